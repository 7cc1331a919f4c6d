//! One HTTP stream of MCP: passes its callbacks to an [`McpExchange`], and writes and counts its operations.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::types::{BufferType, MapType};

use super::metrics::HostMetrics;
use super::shared::Shared;
use super::{answer, filter_state, host, role, room, stream};
use crate::config::Role;
use crate::exchange::{End, Head, Observer};
use crate::mcp::{McpExchange, McpOperation, may_be_mcp};
use crate::signal::asked::{AskedCall, JoinedBy, Wanted};
use crate::sink::otlp::SpanReference;
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

/// Returns false if the current request is not MCP. One host call.
pub fn may_be() -> bool {
    host::header(MapType::HttpRequestHeaders, "accept").is_some_and(|accept| may_be_mcp(&accept))
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
        let address = if observer.is_crowded() { stream::address(None) } else { stream::address_for(head, None) };
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
        let address = stream::source_address(None);
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
        self.join(shared);
        filter_state::write_operation(&shared.selection, &self.exchange, false);
    }

    /// Looks for the calls of models that the operations execute.
    fn join(&mut self, shared: &Shared) {
        let Some((peer, caller)) = self.source.filter(|_| self.asked.is_empty()) else { return };
        let wait = self.observer.config.agent.abandoned_after.saturating_mul(1_000_000_000);
        let (asked, now) = (&mut self.asked, self.exchange.transport().start);
        self.exchange.join(|operation| {
            let McpOperation { call, arguments, .. } = *operation;
            let found = operation
                .tool()
                .and_then(|tool| shared.asked.find(&Wanted { peer, caller, call, arguments, tool, now, wait }));
            let how = found.as_ref().map_or("", |(how, _)| how.as_str());
            asked.push(found);
            how
        });
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
        for (at, operation) in self.exchange.operations().iter().enumerate() {
            let asked = self.asked.get(at).and_then(Option::as_ref);
            if let Some((JoinedBy::Id | JoinedBy::Arguments, calls)) = asked {
                let nanos = operation.end.unwrap_or_default().saturating_sub(self.exchange.transport().start);
                calls.iter().for_each(|call| shared.asked.serve(call, nanos));
            }
            let run = asked.and_then(|(how, calls)| run_of(shared, *how, calls));
            let span = self.trace(shared, operation, SALT + at as u64, run);
            self.count(shared, operation, span);
        }
    }

    fn finish(&mut self, shared: &Shared, end: End) {
        if core::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.exchange.finish(failure(end), host::now());
        filter_state::write_operation(&shared.selection, &self.exchange, true);
    }

    /// Makes the span of an operation. `run` is the place of its parent in the trace of a run. Returns the span if it is sent.
    fn trace(
        &self,
        shared: &Shared,
        operation: &McpOperation,
        salt: u64,
        run: Option<TraceContext>,
    ) -> Option<SpanReference> {
        let mut export = shared.export.as_ref()?.try_borrow_mut().ok()?;
        // The client's own span is the nearest. All calls of a recorded run are recorded.
        let (place, other) = match (operation.parent, run) {
            (Some(own), run) => (own, run),
            (None, Some(run)) => (run, self.place().filter(|place| place.span != [0; 8])),
            (None, None) => (self.place()?, None),
        };
        let transport = self.exchange.transport();
        let own = TraceContext { span: place.derive(transport.start, salt), ..place };
        let is_sent = place.sampled || operation.error.is_some() && export.sends_all_errors;
        let spans = export.spans.as_mut().filter(|_| is_sent)?;
        let has_room = spans.queue.operation(transport, operation, own, place.span, other);
        if export.needs_short_tick() {
            shared.hasten_tick();
        }
        has_room.then_some(SpanReference { trace: own.trace, span: own.span })
    }

    /// The request's place in a trace by its headers, which Envoy's tracing has set. Without them it is a trace of its own.
    fn place(&self) -> Option<TraceContext> {
        let text = |name: &str| {
            host::header(MapType::HttpRequestHeaders, name).and_then(|value| String::from_utf8(value).ok())
        };
        let sample = self.observer.config.otlp.sample;
        let random = || Some(TraceContext::new_trace(*host::random()?.first_chunk()?, sample));
        TraceContext::of_headers(text).or_else(random)
    }

    /// Counts an operation in the metrics. `span` is its span, if that is sent.
    fn count(&self, shared: &Shared, operation: &McpOperation, span: Option<SpanReference>) {
        let (transport, config) = (self.exchange.transport(), &self.observer.config);
        if let Some(Ok(mut stats)) = shared.stats.as_ref().map(|stats| stats.try_borrow_mut()) {
            stats.record_mcp(transport, operation, config, &mut HostMetrics);
        }
        if let Some(Ok(export)) = shared.export.as_ref().map(RefCell::try_borrow)
            && let Some(Ok(mut metrics)) = export.metrics.as_ref().map(|metrics| metrics.queue.try_borrow_mut())
        {
            metrics.record_mcp(transport, operation, config, span);
        }
    }
}

/// The place of an operation's parent in the trace of a run: the span of the tool, or that of the run if several of its calls fit.
fn run_of(shared: &Shared, how: JoinedBy, calls: &[AskedCall]) -> Option<TraceContext> {
    let places = calls.iter().map(|call| {
        let pending = shared.memory.find(call.key)?;
        let run = pending.run?;
        let span = if how == JoinedBy::Ambiguous { run.span } else { run.tool(pending.called_at, call.id) };
        Some(TraceContext { span, ..run.context() })
    });
    let mut places = places;
    let first = places.next()??;
    places.all(|place| place == Some(first)).then_some(first)
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
