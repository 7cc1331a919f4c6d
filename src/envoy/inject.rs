//! Holds requests until their bodies can be changed, if the configuration asks for usage: see [`crate::usage_injection`].
//!
//! [`Holding`] knows if the host can hold headers. Everything else is decided for each stream on its own. A changed body always has
//! its length in `content-length`: with a wrong one the upstream would read the rest as another request.
//! Memory: the host buffers the body of a held request, of at most `stream_usage.max_held_bytes`.

use std::cell::RefCell;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

use super::holding::{Holding, header_size};
use super::host;
use super::metrics::HostMetrics;
use super::worker_metrics;
use crate::budget::Share;
use crate::config::{Config, Role};
use crate::exchange::Head;
use crate::labels::RESULT;
use crate::observation::Observation;
use crate::provider::Api;
use crate::sink::stats::{INJECTIONS, Registry};
use crate::usage_injection::{AnswerChange, BrokenAnswer, Verdict, held_length, request_usage};

thread_local! {
    /// The counters of this worker by their verdicts, once they are defined.
    static COUNTERS: RefCell<[Option<u32>; Verdict::ALL.len()]> = const { RefCell::new([None; Verdict::ALL.len()]) };
}

/// Response headers with a digest of the body (RFC 9530, RFC 3230, RFC 1864).
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// The change of one stream.
#[derive(Default)]
pub struct Injection {
    state: State,
    /// The result for the stream. None if injection is not wanted, or nothing was decided.
    verdict: Option<Verdict>,
    /// `stream_usage.max_held_bytes`
    max_held: usize,
}

#[derive(Default)]
enum State {
    /// Nothing is changed.
    #[default]
    Idle,
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
    Stripping(Box<AnswerChange>),
    /// The response could not be decoded to its end, and is reset.
    Broken,
}

impl Injection {
    /// Handles the request headers. Returns true if the request must be held.
    pub fn on_request_headers(
        &mut self,
        stream: u32,
        head: Head<'_>,
        config: &Config,
        api: &Api,
        holding: &Holding,
    ) -> bool {
        let settings = &config.stream_usage;
        if !settings.inject || config.role != Role::Listener || !api.takes_stream_options {
            return false;
        }
        self.max_held = usize::try_from(settings.max_held_bytes).unwrap_or(usize::MAX);
        match held_length(head, settings.max_held_bytes) {
            Ok(length) if holding.add(stream, header_size(head), host::now()) => self.state = State::Held(length),
            Ok(_) => self.verdict = Some(Verdict::NotHeld),
            Err(verdict) => self.verdict = Some(verdict),
        }
        matches!(self.state, State::Held(_))
    }

    /// Begins a callback of the request body. Returns how many bytes at the front of the host's buffer earlier callbacks had.
    pub fn start_body(&mut self, stream: u32, holding: &Holding) -> usize {
        match self.state {
            State::Held(length) => {
                if holding.body_came(stream, host::now()) {
                    self.state = State::Buffering { length, came: 0 };
                } else {
                    self.leave(Verdict::NotHeld);
                }
                0
            }
            State::Buffering { came, .. } => came,
            _ => 0,
        }
    }

    /// Returns true if the request was changed to ask for usage, and its response has not come yet.
    pub fn has_asked(&self) -> bool {
        matches!(self.state, State::Asked)
    }

    /// Continues the change of a request that an earlier stream of the same call changed.
    pub fn resume(&mut self, config: &Config) {
        (self.state, self.max_held) = (State::Asked, config.stream_usage.max_held_bytes as usize);
        self.verdict = Some(Verdict::Injected);
    }

    /// Handles the request body, of which `size` bytes have come. Returns true if the request must be held.
    pub fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> bool {
        let State::Buffering { length, came } = &mut self.state else { return false };
        *came = size;
        if !end_of_stream && size <= *length {
            return true;
        }
        let outcome = if end_of_stream && size == *length { rewrite(size) } else { Err(Verdict::Trailers) };
        match outcome {
            Ok(()) => (self.state, self.verdict) = (State::Asked, Some(Verdict::Injected)),
            Err(verdict) => self.leave(verdict),
        }
        false
    }

    /// Leaves the request unchanged, if it is held.
    pub fn cancel(&mut self, stream: u32, holding: &Holding) {
        if let State::Held(_) = self.state {
            holding.remove(stream);
        }
        if let State::Held(_) | State::Buffering { .. } = self.state {
            self.leave(Verdict::Trailers);
        }
    }

    /// Handles the response headers. `memory` is a part of the budget for the response.
    pub fn on_response_headers(&mut self, head: Head<'_>, memory: impl FnOnce() -> Share) {
        if !matches!(self.state, State::Asked) {
            return;
        }
        self.state = State::Idle;
        let kind = head.text("content-type").split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("text/event-stream") || head.text(":status") != "200" {
            return;
        }
        let Some(change) = AnswerChange::start(head.whole("content-encoding"), self.max_held, memory()) else {
            return self.leave(Verdict::AnswerEncoded);
        };
        let lacks = |name| head.bytes(name).is_none() || host::remove_header(MapType::HttpResponseHeaders, name);
        // A client that knows the length would wait for the removed bytes, and one that checks a digest would refuse the answer.
        // They are removed first: a response whose `content-encoding` stays is passed unchanged.
        if DIGESTS.into_iter().all(lacks)
            && lacks("content-length")
            && (!change.is_decoded() || lacks("content-encoding"))
        {
            self.state = State::Stripping(Box::new(change));
        } else {
            self.leave(Verdict::Refused);
        }
    }

    /// Handles a part of the response body: `bytes`, as the host returned them, of the `size` in its buffer. `seen` is what is
    /// known of the exchange, including these bytes.
    pub fn on_response_body(&mut self, bytes: &[u8], size: usize, end_of_stream: bool, seen: &Observation) {
        let change = match &mut self.state {
            State::Stripping(change) => change,
            State::Broken => {
                host::set_buffer(BufferType::HttpResponseBody, size, b"");
                return;
            }
            _ => return,
        };
        let is_finishing = seen.response.finish_reasons.iter().any(Option::is_some);
        let held = change.held().to_vec();
        let kept = (bytes.len() == size).then(|| change.feed(bytes, is_finishing, end_of_stream));
        let done = match kept {
            Some(Ok(kept)) => kept == bytes || host::set_buffer(BufferType::HttpResponseBody, size, &kept),
            Some(Err(BrokenAnswer)) | None => false,
        };
        if done {
            return;
        }
        if change.is_decoded() {
            // The client would read the encoded bytes as text.
            host::set_buffer(BufferType::HttpResponseBody, size, b"");
            host::reset_response();
            (self.state, self.verdict) = (State::Broken, Some(Verdict::AnswerEncoded));
            return;
        }
        // The part passes unchanged. The bytes held back from earlier parts go before it.
        if !held.is_empty() {
            host::set_buffer(BufferType::HttpResponseBody, 0, &held);
        }
        self.leave(Verdict::Refused);
    }

    /// Counts what became of a stream that has ended, if its client did not say whether it wants usage.
    pub fn count(&mut self, seen: &Observation) {
        let Some(verdict) = self.verdict.take() else { return };
        // After an internal redirect the request is the changed one.
        let is_changed = matches!(verdict, Verdict::Injected | Verdict::AnswerEncoded);
        if is_changed || seen.request.stream == Some(true) && !seen.request.decides_usage {
            let labels = [(RESULT.name, verdict.as_str())];
            let define = || HostMetrics.define(&INJECTIONS, &labels);
            COUNTERS.with_borrow_mut(|counters| {
                let Some(counter) = counters.get_mut(verdict as usize) else { return };
                *counter = counter.or_else(define);
                if let Some(counter) = *counter {
                    HostMetrics.emit(&INJECTIONS, counter, 1);
                }
            });
            worker_metrics::add(&INJECTIONS, &labels, 1);
        }
    }

    fn leave(&mut self, verdict: Verdict) {
        (self.state, self.verdict) = (State::Idle, Some(verdict));
    }
}

/// Replaces the held body by one that asks for usage.
///
/// # Errors
/// Why the body is unchanged.
fn rewrite(length: usize) -> Result<(), Verdict> {
    let body = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, length).ok().flatten().unwrap_or_default();
    if body.len() != length {
        return Err(Verdict::Refused);
    }
    let changed_body = request_usage(&body).ok_or(Verdict::Ambiguous)?;
    // `content-length` is removed first: if the host refuses a later call, the body is sent in chunks, and not with a wrong
    // length. Of an encoded response nothing could be removed.
    let ready = host::set_header(MapType::HttpRequestHeaders, "accept-encoding", "identity")
        && host::remove_header(MapType::HttpRequestHeaders, "content-length");
    if !ready {
        return Err(Verdict::Refused);
    }
    let changed = host::set_buffer(BufferType::HttpRequestBody, length, &changed_body);
    let length = if changed { changed_body.len() } else { length };
    host::set_header(MapType::HttpRequestHeaders, "content-length", &length.to_string());
    changed.then_some(()).ok_or(Verdict::Refused)
}
