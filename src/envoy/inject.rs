//! Holds requests until their bodies can be changed, if the configuration asks for usage: see [`crate::usage_injection`].
//!
//! A body callback runs while the headers are held only if the plugin's configuration in Envoy has
//! `allow_on_headers_stop_iteration`. In other hosts, such as Istio, the body waits for the headers, and the request would hang.
//! So a tick releases requests that waited too long, and after [`FAILURES`] of them no request is held any more. A changed body
//! always has its length in `content-length`: with a wrong one the upstream would read the rest as another request.
//! Memory: the host buffers the body of a held request, of at most the configured size.

use std::cell::{Cell, RefCell};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

use super::host;
use crate::config::{Config, Role};
use crate::exchange::Head;
use crate::provider::Api;
use crate::usage_injection::{UsageStripper, request_usage};

/// How long a request may wait for the first bytes of its body, in nanoseconds.
const GRACE: u64 = 250_000_000;
/// Number of requests in a row that were released without a body after which the host counts as unable to hold headers.
const FAILURES: u32 = 3;

/// The requests of a plugin that wait for the first bytes of their bodies.
#[derive(Default)]
pub struct Holding {
    /// Identifiers of streams, and since when they wait.
    waiting: RefCell<Vec<(u32, u64)>>,
    /// A body came while its headers were held.
    host_can_hold: Cell<bool>,
    failures: Cell<u32>,
}

impl Holding {
    /// Registers a request. Returns whether it may be held: until the host has shown that it can hold headers, one at a time is.
    fn add(&self, stream: u32, now: u64) -> bool {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return false };
        let may_hold = now > 0 && self.failures.get() < FAILURES && (self.host_can_hold.get() || waiting.is_empty());
        if may_hold {
            waiting.push((stream, now));
        }
        may_hold
    }

    /// Removes a request. Returns whether it was still held.
    fn remove(&self, stream: u32) -> bool {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return false };
        let place = waiting.iter().position(|(held, _)| *held == stream);
        place.map(|place| waiting.swap_remove(place)).is_some()
    }

    fn confirm(&self) {
        self.host_can_hold.set(true);
        self.failures.set(0);
    }

    /// Releases the requests that waited too long. The effective context of later host calls may be one of their streams.
    pub fn release_late(&self, now: u64) {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return };
        waiting.retain(|(stream, since)| {
            let late = now.saturating_sub(*since) > GRACE || now < *since;
            if late {
                if hostcalls::set_effective_context(*stream).is_ok() {
                    let _ = hostcalls::resume_http_request();
                }
                self.failures.set(self.failures.get().saturating_add(1));
                if self.failures.get() == FAILURES {
                    log::warn!(
                        "stream_usage.inject does nothing: this host does not run the body's callbacks while headers are held (allow_on_headers_stop_iteration)"
                    );
                }
            }
            !late
        });
    }

    /// Returns true if a request is held, and it is not known yet if the host shows its body.
    pub fn needs_short_tick(&self) -> bool {
        !self.host_can_hold.get() && self.waiting.try_borrow().is_ok_and(|waiting| !waiting.is_empty())
    }
}

/// The state of changing the bodies of one stream.
#[derive(Default)]
pub enum Injection {
    /// Nothing is changed.
    #[default]
    None,
    /// The headers are held. The value is the `content-length` of the body.
    Held(usize),
    /// The body is coming, and is held.
    Buffering {
        /// The `content-length` of the body.
        length: usize,
        /// Number of bytes that have come.
        came: usize,
    },
    /// The request was changed to ask for usage.
    Asked,
    /// The response is freed of what that added.
    Stripping(Box<UsageStripper>),
}

impl Injection {
    /// Handles the request headers. Returns whether to hold the request.
    pub fn on_request_headers(
        &mut self,
        stream: u32,
        head: Head<'_>,
        config: &Config,
        api: &Api,
        holding: &Holding,
    ) -> bool {
        let wanted = config.stream_usage.inject && config.role == Role::Listener;
        if !wanted || !api.takes_stream_options {
            return false;
        }
        let length = head.text("content-length").parse().unwrap_or(0);
        let length_fits = (2..=config.stream_usage.max_request_bytes).contains(&length);
        // A signed or encoded body cannot be changed; `expect` asks the upstream before the body is sent.
        let unchangeable =
            ["content-encoding", "content-md5", "content-digest", "digest", "signature", "transfer-encoding", "expect"];
        if !length_fits
            || unchangeable.iter().any(|name| head.bytes(name).is_some())
            || !holding.add(stream, host::now())
        {
            return false;
        }
        *self = Injection::Held(length as usize);
        true
    }

    /// Begins a callback of the request body. Returns how many bytes at the front of the host's buffer earlier callbacks had.
    pub fn start_body(&mut self, stream: u32, holding: &Holding) -> usize {
        match *self {
            Injection::Held(length) => {
                *self = Injection::None;
                if holding.remove(stream) {
                    holding.confirm();
                    *self = Injection::Buffering { length, came: 0 };
                }
                0
            }
            Injection::Buffering { came, .. } => came,
            _ => 0,
        }
    }

    /// Returns true if the request was changed to ask for usage, and its response has not come yet.
    pub fn has_asked(&self) -> bool {
        matches!(self, Injection::Asked)
    }

    /// Handles the request body, of which `size` bytes have come. Returns whether to hold the request.
    pub fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> bool {
        let Injection::Buffering { length, came } = self else { return false };
        *came = size;
        if !end_of_stream && size <= *length {
            return true;
        }
        let length = *length;
        *self = if end_of_stream && size == length && rewrite(length) { Injection::Asked } else { Injection::None };
        false
    }

    /// Leaves the request unchanged, if it is held.
    pub fn cancel(&mut self, stream: u32, holding: &Holding) {
        if let Injection::Held(_) = self {
            holding.remove(stream);
        }
        if let Injection::Held(_) | Injection::Buffering { .. } = self {
            *self = Injection::None;
        }
    }

    /// Handles the response headers.
    pub fn on_response_headers(&mut self, head: Head<'_>) {
        if !matches!(self, Injection::Asked) {
            return;
        }
        let kind = head.text("content-type").split(';').next().unwrap_or_default().trim();
        let is_event_stream = kind.eq_ignore_ascii_case("text/event-stream") && head.text(":status") == "200";
        let is_plain = head.bytes("content-encoding").is_none();
        // A client that knows the length would wait for the removed bytes.
        let has_no_length = || {
            head.bytes("content-length").is_none()
                || host::remove_header(MapType::HttpResponseHeaders, "content-length")
        };
        *self = if is_event_stream && is_plain && has_no_length() {
            Injection::Stripping(Box::default())
        } else {
            Injection::None
        };
    }

    /// Handles a part of the response body: `bytes`, as the host returned them, of the `size` in its buffer.
    pub fn on_response_body(&mut self, bytes: &[u8], size: usize, end_of_stream: bool) {
        let Injection::Stripping(strip) = self else { return };
        let held = strip.held().to_vec();
        let kept = (bytes.len() == size).then(|| strip.feed(bytes, end_of_stream));
        let done =
            kept.is_some_and(|kept| kept == bytes || host::set_buffer(BufferType::HttpResponseBody, size, &kept));
        if !done {
            // The part passes unchanged. The bytes held back from earlier parts go before it.
            if !held.is_empty() {
                host::set_buffer(BufferType::HttpResponseBody, 0, &held);
            }
            *self = Injection::None;
        }
    }
}

/// Replaces the held body by one that asks for usage. Returns false if the body is unchanged.
fn rewrite(length: usize) -> bool {
    let body = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, length).ok().flatten().unwrap_or_default();
    let Some(changed_body) = request_usage(&body).filter(|_| body.len() == length) else { return false };
    // Nothing could be removed from an encoded response. `content-length` is removed first: if the host refuses a later call,
    // the body is sent in chunks, and not with a wrong length.
    let ready = host::set_header(MapType::HttpRequestHeaders, "accept-encoding", "identity")
        && host::remove_header(MapType::HttpRequestHeaders, "content-length");
    if !ready {
        return false;
    }
    let changed = host::set_buffer(BufferType::HttpRequestBody, length, &changed_body);
    let length = if changed { changed_body.len() } else { length };
    host::set_header(MapType::HttpRequestHeaders, "content-length", &length.to_string());
    changed
}
