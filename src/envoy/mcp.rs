//! One HTTP stream of MCP: passes its callbacks to an [`McpExchange`], and writes and reports its operations.

use std::rc::Rc;

use proxy_wasm::types::{BufferType, MapType};

use super::address::{address, address_for, source_address};
use super::resumable::{Report, Resumable};
use super::shared::Shared;
use super::{answer, filter_state, host, role, room, stream};
use crate::config::Role;
use crate::exchange::{End, Head, Observer};
use crate::mcp::{McpExchange, McpOperation, VERSION, may_be_mcp, names_mcp};
use crate::signal::asked::{AskedCall, JoinedBy, Wanted};
use crate::trace_context::TraceContext;

/// A number that no span of a call of a model is derived with. The operations of a request follow it.
const SALT: u64 = 1 << 32;

/// One HTTP stream of MCP.
pub struct McpStream {
    exchange: McpExchange,
    observer: Rc<Observer>,
    /// Keyed hashes of the downstream address and of the caller. None if exchanges share nothing.
    source: Option<(u64, u64)>,
    /// For each operation the calls of models that it may execute.
    asked: Vec<Option<(JoinedBy, Vec<AskedCall>)>>,
    /// How the response ends if nothing cuts it.
    answer: End,
    has_ended: bool,
    is_reported: bool,
}

/// Returns false if the current request, with this path, is not MCP. One host call.
pub fn may_be(path: &[u8]) -> bool {
    let header = |name| host::header(MapType::HttpRequestHeaders, name);
    if names_mcp(path) { header("accept").is_some_and(|accept| may_be_mcp(&accept)) } else { header(VERSION).is_some() }
}

impl McpStream {
    /// Starts with the head of a request. Returns None if it is not MCP, or if another instance reports it.
    pub fn start(shared: &Shared, head: Head<'_>, end_of_stream: bool) -> Option<Box<Self>> {
        if !may_be_mcp(head.bytes("accept")?) || !room::has_room() {
            return None;
        }
        let observer = shared.observer();
        let is_attempt = observer.config.role == Role::Upstream;
        if is_attempt && role::is_claimed() {
            return None;
        }
        let address = if observer.is_crowded() { address(None) } else { address_for(head, None) };
        let programs = shared.mcp_programs();
        let mut exchange = McpExchange::start(&programs, &observer.budget, head, address, host::now())?;
        if !is_attempt && !role::claim() {
            return None;
        }
        exchange.label(observer.config.labels.headers.iter().map(|(header, _)| head.text(header).into()).collect());
        if observer.config.labels.route {
            let route = host::property("xds\0route_name").unwrap_or_default();
            exchange.route(core::str::from_utf8(&route).unwrap_or_default());
        }
        shared.asked.start();
        let address = source_address(None);
        let source = observer.peer(&address).zip(observer.caller(head, &address));
        let mut stream = McpStream {
            exchange,
            observer,
            source,
            asked: Vec::new(),
            answer: End::Whole,
            has_ended: false,
            is_reported: false,
        };
        if end_of_stream {
            stream.request_end(shared);
        }
        Some(Box::new(stream))
    }

    /// The host called back with a part of the request's body.
    pub fn on_request_body(&mut self, shared: &Shared, size: usize, end_of_stream: bool) {
        if size > 0 {
            self.exchange.request_body(&stream::body(BufferType::HttpRequestBody, 0, size));
        }
        if end_of_stream {
            self.request_end(shared);
        }
    }

    /// The request has ended.
    pub fn request_end(&mut self, shared: &Shared) {
        self.exchange.request_end();
        if self.asked.is_empty() {
            self.join(shared, self.exchange.transport().start, false);
        }
        filter_state::write_operation(&shared.selection, &self.exchange, false);
    }

    /// Looks for the calls of models that the operations execute. `now` is in nanoseconds since 1970. If `is_late`, only identifiers join: a client
    /// may have called the tool before the answer of the model had ended.
    fn join(&mut self, shared: &Shared, now: u64, is_late: bool) {
        let Some((peer, caller)) = self.source else { return };
        let wait = self.observer.config.agent.abandoned_after.saturating_mul(1_000_000_000);
        self.asked.resize_with(self.exchange.operations().len(), || None);
        let mut slots = self.asked.iter_mut();
        self.exchange.join(|operation| {
            let McpOperation { call, item, arguments, .. } = *operation;
            let Some(slot) = slots.next() else { return "" };
            let may_join = slot.is_none() && (!is_late || (call, item) != (0, 0));
            if let Some(tool) = operation.tool().filter(|_| may_join) {
                *slot = shared.asked.find(&Wanted { peer, caller, call, item, arguments, tool, now, wait });
            }
            slot.as_ref().map_or("", |(how, _)| how.as_str())
        });
    }

    /// True if an operation names a call of a model that has not been found.
    fn lacks_call(&self) -> bool {
        let has_id =
            |operation: &McpOperation| operation.tool().is_some() && (operation.call, operation.item) != (0, 0);
        self.exchange
            .operations()
            .iter()
            .zip(&self.asked)
            .any(|(operation, asked)| asked.is_none() && has_id(operation))
    }

    /// The host called back with the head of the response.
    pub fn on_response_headers(&mut self, shared: &Shared, end_of_stream: bool) {
        let serialized = host::headers(MapType::HttpResponseHeaders);
        let pairs = host::pairs(&serialized);
        let head = Head(&pairs);
        let role = self.observer.config.role;
        if role == Role::Listener {
            let elapsed = host::now().saturating_sub(self.exchange.transport().start);
            self.answer = answer::end_of(head, elapsed, role);
        }
        self.exchange.response(head);
        if end_of_stream {
            self.finish(shared, self.answer);
        }
    }

    /// The host called back with a part of the response's body.
    pub fn on_response_body(&mut self, shared: &Shared, size: usize, end_of_stream: bool) {
        if size > 0 && !self.exchange.is_answered() {
            self.exchange.response_body(&stream::body(BufferType::HttpResponseBody, 0, size), host::now());
            for answer in self.exchange.take_others() {
                self.key(answer.key).into_iter().for_each(|key| Resumable::answer(key, answer));
            }
        }
        if end_of_stream || self.exchange.is_answered() {
            self.finish(shared, self.answer);
        }
    }

    /// The response has ended.
    pub fn on_response_trailers(&mut self, shared: &Shared) {
        self.finish(shared, self.answer);
    }

    /// The stream is over. Reports its operations once.
    pub fn report(&mut self, shared: &Shared) {
        if core::mem::replace(&mut self.is_reported, true) {
            return;
        }
        if !self.has_ended {
            let status = self.exchange.transport().status;
            let end = answer::end_of_stream(status, self.observer.config.role, self.answer, &answer::details());
            self.finish(shared, end);
        }
        let may_resume = self.exchange.may_resume();
        for (at, operation) in self.exchange.operations().iter().enumerate() {
            let report = Report {
                transport: self.exchange.transport().clone(),
                operation: operation.clone(),
                salt: SALT + at as u64,
                asked: self.asked.get_mut(at).and_then(Option::take),
                place: place(self.observer.config.otlp.sample),
                observer: Rc::clone(&self.observer),
            };
            let key = self.key(operation.key).filter(|_| may_resume && operation.is_unanswered);
            match key {
                Some(key) => shared.resumable.wait(key, report, shared),
                None => report.make(shared),
            }
        }
    }

    /// The key of an operation of this caller and session, by the hash of its identifier.
    fn key(&self, id: u64) -> Option<u64> {
        let (_, caller) = self.source?;
        self.observer.operation_key(caller, self.exchange.transport().session.as_deref()?, id)
    }

    fn finish(&mut self, shared: &Shared, end: End) {
        if core::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let now = host::now();
        self.exchange.finish(failure(end), now);
        if self.lacks_call() {
            self.join(shared, now, true);
        }
        filter_state::write_operation(&shared.selection, &self.exchange, true);
    }
}

/// The request's place in a trace by its headers, which Envoy's tracing has set. Without them it is a trace of its own.
fn place(sample: f64) -> Option<TraceContext> {
    let text =
        |name: &str| host::header(MapType::HttpRequestHeaders, name).and_then(|value| String::from_utf8(value).ok());
    let random = || Some(TraceContext::new_trace(*host::random()?.first_chunk()?, sample));
    TraceContext::of_headers(text).or_else(random)
}

/// How a stream failed, as the type of an error. Empty if it did not.
fn failure(end: End) -> &'static str {
    match end {
        End::Whole | End::Unheard => "",
        End::ClientDisconnect => "client_disconnect",
        End::UpstreamReset | End::Unreachable => "upstream_reset",
        End::Timeout => "timeout",
        End::LocalReply(reason) => reason,
        End::AttemptFailed => "attempt_failed",
    }
}
