//! The context of one HTTP stream: passes its callbacks to an [`Exchange`] and writes the attributes as they become known.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};

use super::address::{address, address_for, source_address};
use super::attempt::Attempt;
use super::capabilities::{self, Missing};
use super::feedback::Submission;
use super::filter_state::{self, Written};
use super::inject::Injection;
use super::redirect::{self, EarlierLeg};
use super::rpc::RpcStream;
use super::shared::Shared;
use super::socket::{Socket, is_agreed};
use super::sorting::{self, Sorting};
use super::{answer, host, late, role, room, rpc_paths};
use crate::budget::Side;
use crate::config::{Config, Role};
use crate::exchange::{AttemptFacts, End, Exchange, Head, SHELL, Unread};
use crate::provider;

/// The route of requests that Envoy mirrored. Envoy gives them no route.
const MIRRORED: &str = "(mirrored)";

// A stream and its entry in the SDK's table, which may be half empty.
const _: () = assert!(size_of::<Stream>() + 32 <= SHELL);

/// One HTTP stream. A stream that is not LLM traffic has no exchange.
pub struct Stream {
    id: u32,
    shared: Option<Rc<Shared>>,
    exchange: Option<Box<Exchange>>,
    /// Set in place of the exchange once it is a WebSocket.
    socket: Option<Box<Socket>>,
    /// The first bytes of the request's body will show if it is MCP or A2A.
    sorting: Sorting,
    /// Set if the stream is MCP or A2A.
    rpc: Option<Box<RpcStream>>,
    /// Set in a cluster's filter chain.
    attempt: Option<Attempt>,
    injection: Injection,
    /// Set if this is a feedback request, which is held.
    submission: Option<Rc<Submission>>,
    written: Written,
    /// How the response ends if nothing cuts it: whole if it comes from an upstream.
    answer: End,
    /// The bytes of the response's body that are still to come, if it has a content-length. A client may disconnect after the
    /// last one, before the upstream ends the stream.
    body_left: Option<usize>,
    /// The host called back with a response body, or with the end of the response.
    response_body_seen: bool,
    reported: bool,
}

impl Stream {
    /// A stream of the configuration that `shared` belongs to; None if there is none.
    pub fn new(id: u32, shared: Option<Rc<Shared>>) -> Self {
        Stream {
            id,
            shared,
            exchange: None,
            socket: None,
            sorting: Sorting::default(),
            rpc: None,
            attempt: None,
            injection: Injection::default(),
            submission: None,
            written: Written::new(),
            answer: End::Whole,
            body_left: None,
            response_body_seen: false,
            reported: false,
        }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        hold_if(self.start(end_of_stream))
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(shared) = &self.shared else { return Action::Continue };
        if let Some(submission) = &self.submission {
            submission.on_body(shared, size, end_of_stream);
            return Action::Pause;
        }
        if let Some(socket) = &mut self.socket {
            socket.read(shared, &mut self.written, Side::Request, &host::body(BufferType::HttpRequestBody, 0, size));
            return Action::Continue;
        }
        // Frames before the answer: what follows cannot be read without them.
        if size > 0 && self.exchange.as_ref().is_some_and(|exchange| exchange.is_upgrade()) {
            self.exchange = None;
            room::count(Unread::Websocket);
        }
        self.sorting.sort(shared, &mut self.rpc, size);
        if let Some(rpc) = &mut self.rpc {
            rpc.on_request_body(shared, size, end_of_stream);
        }
        let Some(exchange) = &mut self.exchange else { return Action::Continue };
        let seen = self.injection.start_body(self.id, &shared.holding);
        exchange.request_body(&host::body(BufferType::HttpRequestBody, seen, size.saturating_sub(seen)));
        if end_of_stream {
            sorting::settle(&mut self.exchange, &mut self.rpc);
            self.end_request();
        }
        hold_if(self.injection.on_request_body(size, end_of_stream))
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if let Some(submission) = &self.submission {
            submission.on_trailers();
            return Action::Pause;
        }
        self.cancel_injection();
        if let (Some(rpc), Some(shared)) = (&mut self.rpc, &self.shared) {
            rpc.request_end(shared);
        }
        sorting::settle(&mut self.exchange, &mut self.rpc);
        self.end_request();
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.cancel_injection();
        sorting::settle(&mut self.exchange, &mut self.rpc);
        if let (Some(rpc), Some(shared)) = (&mut self.rpc, &self.shared) {
            rpc.on_response_headers(shared, end_of_stream);
        }
        let Some(exchange) = &mut self.exchange else { return Action::Continue };
        let serialized = host::headers(MapType::HttpResponseHeaders);
        let pairs = host::pairs(&serialized);
        let head = Head(&pairs);
        if is_agreed(exchange, head) {
            self.response_body_seen = true;
            if head.bytes("sec-websocket-extensions").is_some() {
                exchange.set_address(address(self.attempt.as_ref()));
            }
            let exchange = self.exchange.take();
            self.socket = exchange.and_then(|exchange| Socket::start(*exchange, head)).map(Box::new);
            return Action::Continue;
        }
        let now = host::now();
        // A cluster's filters see responses of upstreams only.
        if self.attempt.is_none() {
            let elapsed = exchange.observation().timing.since_start(Some(now)).unwrap_or_default();
            self.answer = answer::end_of(head, elapsed, exchange.config().role);
        }
        if self.answer != End::Whole {
            exchange.answered_locally();
        }
        self.body_left = head.text("content-length").parse().ok();
        exchange.set_address(address_for(head, self.attempt.as_ref()));
        exchange.response(head, now);
        late::claim_file(exchange);
        self.injection.on_response_headers(head, || exchange.response_memory());
        if end_of_stream {
            self.response_body_seen = true;
            exchange.finish(self.answer, now);
        }
        if self.attempt.is_none() {
            self.write();
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.note_response_body();
        if let (Some(socket), Some(shared)) = (&mut self.socket, &self.shared) {
            socket.read(shared, &mut self.written, Side::Response, &host::body(BufferType::HttpResponseBody, 0, size));
            return Action::Continue;
        }
        if let (Some(rpc), Some(shared)) = (&mut self.rpc, &self.shared) {
            rpc.on_response_body(shared, size, end_of_stream);
        }
        let Some(exchange) = &mut self.exchange else { return Action::Continue };
        let now = host::now();
        let bytes = host::body(BufferType::HttpResponseBody, 0, size);
        late::claim_file(exchange);
        exchange.response_body(&bytes, now);
        self.injection.on_response_body(&bytes, size, end_of_stream, exchange.observation());
        self.body_left = self.body_left.map(|left| left.saturating_sub(size));
        if end_of_stream || self.body_left == Some(0) {
            exchange.finish(self.answer, now);
        }
        self.write();
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.note_response_body();
        if let Some(exchange) = &mut self.exchange {
            exchange.finish(self.answer, host::now());
            self.write();
        }
        if let (Some(rpc), Some(shared)) = (&mut self.rpc, &self.shared) {
            rpc.on_response_trailers(shared);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        self.report();
    }
}

impl Drop for Stream {
    /// Reports the exchange if `on_log` did not: it is not called for an upstream filter.
    fn drop(&mut self) {
        self.report();
        self.cancel_injection();
    }
}

impl Stream {
    /// Handles the request headers. Returns whether to hold the request.
    fn start(&mut self, end_of_stream: bool) -> bool {
        let Some(shared) = &self.shared else { return false };
        let config = &shared.observer.config;
        // The path and the first bytes of the body are enough to see that a request is neither LLM traffic nor MCP or A2A.
        // In a cluster's chain the headers are gone at the end of the stream, so they are always read here.
        if !shared.expects_llm_traffic.get() && config.role != Role::Upstream {
            let path = host::header(MapType::HttpRequestHeaders, ":path");
            if path.is_none() {
                capabilities::log_once(Missing::RequestHeaders);
            }
            if !path.is_some_and(|path| is_served(config, &path) || rpc_paths::may_be(shared, &path, end_of_stream)) {
                self.sorting = Sorting::of(!end_of_stream);
                return false;
            }
        }
        let serialized = host::headers(MapType::HttpRequestHeaders);
        let pairs = host::pairs(&serialized);
        let head = Head(&pairs);
        shared.expects_llm_traffic.set(head.bytes(":path").is_some_and(|path| is_served(config, path)));
        if !shared.expects_llm_traffic.get() {
            (self.rpc, self.sorting) = sorting::start(shared, head, end_of_stream);
            return false;
        }
        if config.feedback.is_at(head.whole(":path")) {
            self.submission = Some(Submission::start(self.id, head, end_of_stream, shared));
            return true;
        }
        let is_attempt = config.role == Role::Upstream;
        if is_attempt && role::is_claimed() {
            return false;
        }
        self.attempt = is_attempt.then(|| Attempt::start(head));
        let attempt = self.attempt.as_ref();
        let observer = shared.observer();
        let address = if observer.is_crowded() { address(attempt) } else { address_for(head, attempt) };
        let started = match room::has_room() {
            true => Exchange::start_from(&observer, head, address, host::now()),
            false => Err(Unread::Vm),
        };
        match started {
            Ok(exchange) if is_attempt || role::claim() => self.exchange = Some(Box::new(exchange)),
            Ok(_) => {}
            Err(unread) => room::pass_unread(unread, is_attempt),
        }
        let Some(exchange) = &mut self.exchange else { return false };
        exchange.identify(head, || source_address(attempt));
        if attempt.is_some_and(|attempt| attempt.is_mirrored) {
            exchange.route(MIRRORED);
        } else if config.labels.route {
            let route = host::property("xds\0route_name").unwrap_or_default();
            exchange.route(core::str::from_utf8(&route).unwrap_or_default());
        }
        if exchange.is_upgrade() && exchange.config().websocket.plain_frames {
            host::remove_header(MapType::HttpRequestHeaders, "sec-websocket-extensions");
        }
        let earlier = EarlierLeg::take(head);
        if let Some(earlier) = &earlier {
            exchange.set_start(earlier.start);
        }
        if end_of_stream {
            self.end_request();
            return false;
        }
        let (Some(shared), Some(exchange)) = (&self.shared, &self.exchange) else { return false };
        let (config, api) = (exchange.config(), exchange.api());
        if earlier.is_some_and(|earlier| earlier.asked_for_usage) {
            self.injection.resume(config);
            return false;
        }
        let holds = self.injection.on_request_headers(self.id, head, config, api, &shared.holding);
        if holds && shared.holding.needs_short_tick() {
            shared.hasten_tick();
        } else if !holds && exchange.may_be_other() {
            self.rpc = RpcStream::start(shared, head, true, false, false);
            self.sorting = Sorting::of(self.rpc.is_some());
        }
        holds
    }

    /// The host called back with a part of the response body or its trailers: the response has been passed on.
    fn note_response_body(&mut self) {
        self.response_body_seen = true;
        if let Some(attempt) = &mut self.attempt {
            attempt.is_last = true;
        }
    }

    fn end_request(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.request_end(host::now());
            self.write();
        }
    }

    fn cancel_injection(&mut self) {
        if let Some(shared) = &self.shared {
            self.injection.cancel(self.id, &shared.holding);
        }
    }

    /// Shares what became known with later exchanges, and writes the attributes.
    fn write(&mut self) {
        let Some(exchange) = &mut self.exchange else { return };
        let changes = exchange.changes();
        if !changes.any() {
            return;
        }
        let Some(shared) = &self.shared else { return };
        shared.share(exchange, changes);
        let is_final = self.attempt.as_ref().is_none_or(|attempt| attempt.is_last);
        let seen = (exchange.observation(), exchange.config().compat.cache_attribute);
        self.written.write(&shared.selection, seen, changes, is_final);
    }

    /// Finishes the exchange if it is not finished, and counts it. Does so once.
    fn report(&mut self) {
        if let (Some(mut socket), Some(shared)) = (self.socket.take(), &self.shared) {
            socket.close(shared, &mut self.written);
        }
        if let (Some(rpc), Some(shared)) = (&mut self.rpc, &self.shared) {
            rpc.report(shared);
        }
        let Some(exchange) = self.exchange.as_mut().filter(|_| !self.reported) else { return };
        self.reported = true;
        let (status, start) = (exchange.observation().response.status, exchange.observation().timing.start);
        let has_ended = exchange.observation().outcome.is_some();
        let may_be_redirected = status.is_none_or(|status| (300..400).contains(&status));
        let details = if has_ended && !may_be_redirected { String::new() } else { answer::details() };
        if redirect::is_redirected(&details) {
            return self.pass_to_next_leg(start);
        }
        let elapsed = || host::now().saturating_sub(start);
        let facts = self.attempt.as_mut().map(|attempt| attempt.facts(&details, status, elapsed()));
        if !has_ended {
            let end = facts.as_ref().map_or_else(
                || answer::end_of_stream(status, exchange.config().role, self.answer, &details),
                AttemptFacts::end,
            );
            let is_unheard =
                self.attempt.is_none() && end == End::Whole && !self.response_body_seen && status.is_some();
            if is_unheard {
                capabilities::log_once(Missing::ResponseBodies);
            }
            exchange.finish(if is_unheard { End::Unheard } else { end }, host::now());
        }
        late::release_file(exchange);
        if !exchange.is_recognised() {
            return;
        }
        if !facts.is_some_and(|facts| facts.is_superseded()) {
            self.write();
        }
        let (Some(shared), Some(exchange)) = (&self.shared, &mut self.exchange) else { return };
        shared.report(exchange);
        self.injection.count(exchange.observation());
    }

    /// Leaves the report to the next leg of the call, which started at `start`.
    fn pass_to_next_leg(&mut self, start: u64) {
        EarlierLeg { start, asked_for_usage: self.injection.has_asked() }.leave();
        filter_state::mark_redirected();
        if let (Some(shared), Some(exchange)) = (&self.shared, &mut self.exchange) {
            shared.give_back(exchange);
        }
    }
}

fn hold_if(holds: bool) -> Action {
    if holds { Action::Pause } else { Action::Continue }
}

/// Returns true if the path is that of an LLM API or of feedback.
fn is_served(config: &Config, path: &[u8]) -> bool {
    let path = core::str::from_utf8(path).unwrap_or_default();
    provider::serves(path, &config.apis) || config.feedback.is_at(path)
}
