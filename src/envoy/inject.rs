//! Holds requests back until their bodies can be changed, where the configuration asks for it: see [`crate::usage_injection`].
//!
//! Holding the headers only works where the plugin's own `allow_on_headers_stop_iteration` is set. Elsewhere, as in Istio, the body
//! waits for the headers and the call would hang: so the tick lets go what had to wait too long, and after [`FAILURES`] such
//! calls nothing is held any more. A changed body always has its length in `content-length`: a wrong one would turn the
//! rest into another request. Bound: the body of a held request, of at most the configured size.

use std::cell::{Cell, RefCell};

use super::host::{self, Buffer, Map};
use crate::config::{Config, Role};
use crate::exchange::Head;
use crate::usage_injection::{Strip, ask};

/// Nanoseconds that a request may wait for its body's first bytes.
const GRACE: u64 = 250_000_000;
/// Calls in a row that were let go without a body until the host counts as one that cannot hold headers.
const FAILURES: u32 = 3;

/// The requests of a plugin that wait for the first bytes of their bodies.
#[derive(Default)]
pub struct Holding {
    waiting: RefCell<Vec<(u32, u64)>>,
    /// A body came while its headers were held.
    proven: Cell<bool>,
    failures: Cell<u32>,
}

impl Holding {
    /// Until the host has shown that it can hold headers, one request at a time is tried.
    fn begin(&self, stream: u32, now: u64) -> bool {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return false };
        let may = now > 0 && self.failures.get() < FAILURES && (self.proven.get() || waiting.is_empty());
        if may {
            waiting.push((stream, now));
        }
        may
    }

    /// Its body comes, or nothing ever will. Returns whether it was still held.
    fn end(&self, stream: u32) -> bool {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return false };
        let place = waiting.iter().position(|(held, _)| *held == stream);
        place.map(|place| waiting.swap_remove(place)).is_some()
    }

    fn proven(&self) {
        self.proven.set(true);
        self.failures.set(0);
    }

    /// Lets go what has waited too long.
    pub fn sweep(&self, now: u64) {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return };
        waiting.retain(|(stream, since)| {
            let late = now.saturating_sub(*since) > GRACE || now < *since;
            if late {
                host::resume_request(*stream);
                self.failures.set(self.failures.get().saturating_add(1));
                if self.failures.get() == FAILURES {
                    host::log_warning("gaugeway: stream_usage.inject does nothing: this host does not run the body's callbacks while headers are held (allow_on_headers_stop_iteration)");
                }
            }
            !late
        });
    }

    /// Whether a tick is needed soon.
    pub fn is_urgent(&self) -> bool {
        !self.proven.get() && self.waiting.try_borrow().is_ok_and(|waiting| !waiting.is_empty())
    }
}

/// What happens to one stream's bodies.
#[derive(Default)]
pub enum Injection {
    /// Nothing.
    #[default]
    None,
    /// The headers are held; the body is to have so many bytes.
    Held(usize),
    /// The body comes.
    Buffering {
        /// Bytes it is to have.
        length: usize,
        /// Bytes that came.
        came: usize,
    },
    /// Usage was asked for.
    Asked,
    /// And what that adds is taken out of the answer.
    Stripping(Box<Strip>),
}

impl Injection {
    /// Whether the request is to be held.
    pub fn request_headers(
        &mut self,
        stream: u32,
        head: Head<'_>,
        config: &Config,
        api: &str,
        holding: &Holding,
    ) -> bool {
        let wanted = config.stream_usage.inject && config.role == Role::Listener;
        if !wanted || !matches!(api, "openai-chat" | "openai-completions") {
            return false;
        }
        let length = head.text("content-length").parse().unwrap_or(0);
        let sound = (2..=config.stream_usage.max_request_bytes).contains(&length);
        // What is signed or packed cannot be changed; an expectation is for the one who answers it.
        let rigid =
            ["content-encoding", "content-md5", "content-digest", "digest", "signature", "transfer-encoding", "expect"];
        if !sound || rigid.iter().any(|name| head.bytes(name).is_some()) || !holding.begin(stream, host::now()) {
            return false;
        }
        *self = Injection::Held(length as usize);
        true
    }

    /// How many bytes of what is buffered were seen before, where the host gathers them.
    pub fn seen(&mut self, stream: u32, holding: &Holding) -> usize {
        match *self {
            Injection::Held(length) => {
                *self = Injection::None;
                if holding.end(stream) {
                    holding.proven();
                    *self = Injection::Buffering { length, came: 0 };
                }
                0
            }
            Injection::Buffering { came, .. } => came,
            _ => 0,
        }
    }

    /// More of the body came: `size` bytes by now. Returns whether it is to be held.
    pub fn request_body(&mut self, size: usize, end_of_stream: bool) -> bool {
        let Injection::Buffering { length, came } = self else { return false };
        *came = size;
        if !end_of_stream && size <= *length {
            return true;
        }
        let length = *length;
        *self = if end_of_stream && size == length && rewrite(length) { Injection::Asked } else { Injection::None };
        false
    }

    /// What was held goes on as it is.
    pub fn let_go(&mut self, stream: u32, holding: &Holding) {
        if let Injection::Held(_) = self {
            holding.end(stream);
        }
        if let Injection::Held(_) | Injection::Buffering { .. } = self {
            *self = Injection::None;
        }
    }

    /// The answer begins.
    pub fn response_headers(&mut self, head: Head<'_>) {
        if !matches!(self, Injection::Asked) {
            return;
        }
        let kind = head.text("content-type").split(';').next().unwrap_or_default().trim();
        let events = kind.eq_ignore_ascii_case("text/event-stream") && head.text(":status") == "200";
        let plain = head.bytes("content-encoding").is_none();
        // The client would wait for the bytes that were taken out.
        let open = || head.bytes("content-length").is_none() || host::remove_header(Map::Response, "content-length");
        *self = if events && plain && open() { Injection::Stripping(Box::default()) } else { Injection::None };
    }

    /// Bytes of the answer, as they lie in the host's buffer, where there are `size`.
    pub fn response_body(&mut self, bytes: &[u8], size: usize, end_of_stream: bool) {
        let Injection::Stripping(strip) = self else { return };
        let held = strip.held().to_vec();
        let kept = (bytes.len() == size).then(|| strip.feed(bytes, end_of_stream));
        let done = kept.is_some_and(|kept| kept == bytes || host::set_buffer(Buffer::Response, size, &kept));
        if !done {
            // What was kept back goes before what the host does not show or change.
            if !held.is_empty() {
                host::set_buffer(Buffer::Response, 0, &held);
            }
            *self = Injection::None;
        }
    }
}

/// Puts the asking body in the place of the held one; false where nothing was changed.
fn rewrite(length: usize) -> bool {
    let body = host::buffer(Buffer::Request, length).unwrap_or_default();
    let Some(asking) = ask(&body).filter(|_| body.len() == length) else { return false };
    // What is added to a packed answer could not be taken out of it. And without any length the body goes in chunks: whatever
    // the host refuses here, no length is told that is not the body's.
    let ready = host::set_header(Map::Request, "accept-encoding", "identity")
        && host::remove_header(Map::Request, "content-length");
    if !ready {
        return false;
    }
    let changed = host::set_buffer(Buffer::Request, length, &asking);
    let length = if changed { asking.len() } else { length };
    host::set_header(Map::Request, "content-length", &length.to_string());
    changed
}
