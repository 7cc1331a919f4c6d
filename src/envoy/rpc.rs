//! One HTTP stream of MCP or A2A: passes its callbacks to an [`RpcExchange`], and writes and reports its operations.

use core::cell::OnceCell;
use std::rc::Rc;

use proxy_wasm::types::{BufferType, MapType};

use super::address::{address, address_for, source_address};
use super::late::Lasting;
use super::redirect::{self, EarlierLeg};
use super::resumable::{Report, Resumable};
use super::shared::Shared;
use super::{answer, filter_state, host, role, room, rpc_paths};
use crate::bytes::mix::Mix;
use crate::config::Role;
use crate::exchange::{End, Head, Observer};
use crate::json::{Scalar, identity};
use crate::rpc::{Protocol, RpcExchange, RpcOperation, RpcPrograms, rest_base};
use crate::signal::asked::{AskedCall, JoinedBy, Wanted};
use crate::trace_context::TraceContext;

/// A number that no span of a call of a model is derived with. The operations of a request follow it.
const SALT: u64 = 1 << 32;

/// One HTTP stream of MCP or A2A.
pub struct RpcStream {
    exchange: RpcExchange,
    observer: Rc<Observer>,
    /// Keyed hashes of the downstream address and of the caller. None if exchanges share nothing.
    source: Option<(u64, u64)>,
    /// The head of the request has been read.
    is_identified: bool,
    /// Hash of the address of the agent or the server: the path of the request, and the port.
    place: u64,
    /// Hash of the path to remember once the server has answered without an error.
    learns: Option<u64>,
    /// The task that the operation has begun is noted.
    has_noted: bool,
    /// For each operation the calls of models that it may execute.
    asked: Vec<Option<(JoinedBy, Vec<AskedCall>)>>,
    /// How the response ends if nothing cuts it.
    answer: End,
    has_ended: bool,
    is_reported: bool,
}

impl RpcStream {
    /// Starts with the head of a request. Returns None if it is neither MCP nor A2A, or if another instance reports it. `is_claimed` is true if
    /// the stream is already marked as reported here, because it may be a call to a model too. `is_guess` is true if only the body will tell.
    pub fn start(
        shared: &Shared,
        head: Head<'_>,
        is_claimed: bool,
        is_guess: bool,
        end_of_stream: bool,
    ) -> Option<Box<Self>> {
        let is_known = || shared.rpc_paths.has(head.bytes(":path").unwrap_or_default());
        let may_be_rpc = is_claimed || is_guess || is_known();
        if !RpcExchange::may_start(head, may_be_rpc) {
            return None;
        }
        let mut stream = Self::begin(shared, is_claimed, |observer, programs| {
            let address = if observer.is_crowded() { address(None) } else { address_for(head, None) };
            RpcExchange::start(programs, &observer.budget, head, may_be_rpc, address, host::now())
        })?;
        stream.identify(head, head.text(":path"));
        stream.observer.redaction(head).into_iter().for_each(|redaction| stream.exchange.capture(redaction));
        stream.learns = stream.exchange.agent(head.text(":path")).map(rpc_paths::hash);
        if end_of_stream {
            stream.request_end(shared);
        }
        Some(stream)
    }

    /// Starts with a body that begins like JSON-RPC. Envoy does not show the headers before the end of the stream.
    pub fn start_late(shared: &Shared) -> Option<Box<Self>> {
        let time = || Some(i64::from_le_bytes(*host::property("request\0time")?.first_chunk()?));
        let start = time().and_then(|time| u64::try_from(time).ok()).unwrap_or_else(host::now);
        Self::begin(shared, false, |observer, programs| {
            RpcExchange::start_late(programs, &observer.budget, address(None), start)
        })
    }

    fn begin(
        shared: &Shared,
        is_claimed: bool,
        start: impl FnOnce(&Observer, &Rc<RpcPrograms>) -> Option<RpcExchange>,
    ) -> Option<Box<Self>> {
        let observer = shared.observer();
        let is_attempt = observer.config.role == Role::Upstream;
        if !room::has_room() || !is_claimed && is_attempt && role::is_claimed() {
            return None;
        }
        let exchange = start(&observer, &shared.rpc_programs())?;
        if !is_claimed && !is_attempt && !role::claim() {
            return None;
        }
        Some(Box::new(RpcStream {
            exchange,
            observer,
            source: None,
            is_identified: false,
            place: 0,
            learns: None,
            has_noted: false,
            asked: Vec::new(),
            answer: End::Whole,
            has_ended: false,
            is_reported: false,
        }))
    }

    /// Takes from the head of the request: the caller, and the values of labels. `path` is the path that the client sent.
    fn identify(&mut self, head: Head<'_>, path: &str) {
        if let Some(earlier) = EarlierLeg::take(head) {
            self.exchange.set_start(earlier.start);
        }
        let port = self.exchange.transport().server.as_ref().and_then(|server| server.port).unwrap_or_default();
        self.place = Mix::new(port.into()).text(rest_base(path)).finish();
        let observer = &self.observer;
        self.exchange.label(observer.config.labels.headers.iter().map(|(name, _)| head.text(name).into()).collect());
        if observer.config.labels.route {
            let route = host::property("xds\0route_name").unwrap_or_default();
            self.exchange.route(core::str::from_utf8(&route).unwrap_or_default());
        }
        let address = source_address(None);
        self.source = observer.peer(&address).zip(observer.caller(head, &address));
        self.is_identified = true;
    }

    /// Reads the head of the request at the end of the stream, if it is unknown. Returns false if the operations are neither MCP nor A2A.
    fn identify_late(&mut self, shared: &Shared) -> bool {
        if self.is_identified {
            return true;
        }
        let serialized = host::headers(MapType::HttpRequestHeaders);
        let pairs = host::pairs(&serialized);
        let head = Head(&pairs);
        if !self.exchange.identify(head) {
            return false;
        }
        // The route may have rewritten the path.
        let [path, original] = [":path", "x-envoy-original-path"].map(|name| head.text(name));
        let path = if original.is_empty() { path } else { original };
        if self.exchange.has_succeeded() {
            shared.rpc_paths.add(rpc_paths::hash(path));
        }
        self.identify(head, path);
        self.join(shared, self.exchange.transport().start, false);
        filter_state::write_operation(&shared.selection, &self.exchange, true);
        true
    }

    /// Reads bytes of the request's body that came before the stream started.
    pub fn read_before(&mut self, bytes: &[u8]) {
        self.exchange.request_body(bytes);
    }

    /// Returns true if the head of the request has been read.
    pub fn knows_head(&self) -> bool {
        self.is_identified
    }

    /// Returns true if the request has operations.
    pub fn has_operations(&self) -> bool {
        !self.exchange.operations().is_empty()
    }

    /// The host called back with a part of the request's body.
    pub fn on_request_body(&mut self, shared: &Shared, size: usize, end_of_stream: bool) {
        self.exchange.request_body(&host::body(BufferType::HttpRequestBody, 0, size));
        if end_of_stream {
            self.request_end(shared);
        }
    }

    /// The request has ended.
    pub fn request_end(&mut self, shared: &Shared) {
        self.exchange.request_end();
        if self.is_identified {
            if self.asked.is_empty() {
                self.join(shared, self.exchange.transport().start, false);
            }
            filter_state::write_operation(&shared.selection, &self.exchange, false);
        }
    }

    /// Looks for the calls of models that the operations execute. `now` is in nanoseconds since 1970. If `is_late`, only identifiers join: a client
    /// may have called the tool before the answer of the model had ended.
    fn join(&mut self, shared: &Shared, now: u64, is_late: bool) {
        let is_mcp = |operation: &RpcOperation| operation.protocol == Protocol::Mcp;
        if self.exchange.operations().iter().any(is_mcp) {
            shared.asked.start();
        }
        let Some((peer, caller)) = self.source else { return };
        let wait = self.observer.config.agent.abandoned_after.saturating_mul(1_000_000_000);
        self.asked.resize_with(self.exchange.operations().len(), || None);
        let bucket = OnceCell::new();
        let mut slots = self.asked.iter_mut();
        self.exchange.join(|operation| {
            let RpcOperation { call, item, arguments, .. } = *operation;
            let Some(slot) = slots.next() else { return "" };
            let may_join = slot.is_none() && (!is_late || (call, item) != (0, 0));
            if let Some(tool) = operation.tool().filter(|_| may_join) {
                let wanted = Wanted { peer, caller, call, item, arguments, tool, now, wait, has_ended: is_late };
                *slot = bucket.get_or_init(|| shared.asked.of(peer)).as_ref().and_then(|asked| asked.find(&wanted));
            }
            slot.as_ref().map_or("", |(how, _)| how.as_str())
        });
    }

    /// True if an operation names a call of a model that has not been found.
    fn lacks_call(&self) -> bool {
        let calls = self.asked.iter().zip(self.exchange.operations());
        calls.into_iter().any(|(asked, operation)| asked.is_none() && names_call(operation))
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
        let is_success = self.exchange.transport().status.is_some_and(|status| (200..300).contains(&status));
        if let Some(path) = self.learns.take().filter(|_| is_success) {
            shared.rpc_paths.add(path);
        }
        if end_of_stream {
            self.finish(shared, self.answer);
        }
    }

    /// The host called back with a part of the response's body.
    pub fn on_response_body(&mut self, shared: &Shared, size: usize, end_of_stream: bool) {
        if size > 0 && !self.exchange.is_answered() {
            self.exchange.response_body(&host::body(BufferType::HttpResponseBody, 0, size), host::now());
            self.note_task();
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
        let status = self.exchange.transport().status;
        let may_be_redirected = status.is_none_or(|status| (300..400).contains(&status));
        let details = if self.has_ended && !may_be_redirected { String::new() } else { answer::details() };
        if redirect::is_redirected(&details) {
            // The next leg has the same operations.
            EarlierLeg { start: self.exchange.transport().start, asked_for_usage: false }.leave();
            return filter_state::mark_redirected();
        }
        if !self.has_ended {
            let end = answer::end_of_stream(status, self.observer.config.role, self.answer, &details);
            self.finish(shared, end);
        }
        if !self.identify_late(shared) {
            return;
        }
        self.settle_session(shared);
        self.settle_tasks();
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
            let peer = self.source.map_or(0, |(peer, _)| peer);
            let source = self.source.filter(|_| report.asked.is_none() && names_call(operation));
            match (key, source) {
                (Some(key), _) => shared.resumable.wait((key, peer), report, shared),
                (None, Some(source)) => shared.early.wait(source, report, shared),
                (None, None) => report.make(shared),
            }
        }
    }

    /// Notes a task as soon as a stream names it: another request may end it before the stream ends.
    fn note_task(&mut self) {
        if self.has_noted || !self.is_identified {
            return;
        }
        if let Some(key) = self.exchange.begun_task().and_then(|task| self.task_key(task)) {
            Lasting::Task.begin(key, self.exchange.transport().start);
            self.has_noted = true;
        }
    }

    /// The key of a task. Any caller may ask for it: its identifier is the server's. Servers behind one host may choose equal ones.
    fn task_key(&self, task: &str) -> Option<u64> {
        let server = self.exchange.transport().server.as_ref()?;
        self.observer.operation_key(self.place, &server.address, identity(Scalar::Text(task)))
    }

    /// Notes the tasks that the operations have begun, and finds the durations of those that have ended.
    fn settle_tasks(&mut self) {
        let start = self.exchange.transport().start;
        let of = |operation: &RpcOperation| {
            let key = self.task_key(operation.task.as_deref()?)?;
            if !operation.state?.is_terminal() {
                if operation.begins_task() && !self.has_noted {
                    Lasting::Task.begin(key, start);
                }
                return None;
            }
            let began = Lasting::Task.end(key)?;
            let began = if operation.begins_task() { start } else { began };
            operation.end?.checked_sub(began).filter(|_| began > 0)
        };
        let times: Vec<_> = self.exchange.operations().iter().map(of).collect();
        self.exchange.time_tasks(times);
    }

    /// Notes a session that the server has opened, and counts one that it has ended.
    fn settle_session(&self, shared: &Shared) {
        let Some(key) = self.key(0) else { return };
        if self.exchange.has_opened_session() {
            Lasting::Session.begin(key, self.exchange.transport().start);
        } else if self.exchange.has_ended_session()
            && let Some(began) = Lasting::Session.end(key).filter(|began| *began > 0)
        {
            let nanos = host::now().saturating_sub(began);
            shared.count_session(self.exchange.transport(), nanos, &self.observer.config);
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
        if self.is_identified {
            filter_state::write_operation(&shared.selection, &self.exchange, true);
        }
    }
}

/// Returns true if an operation names the call of a model that it executes.
fn names_call(operation: &RpcOperation) -> bool {
    operation.tool().is_some() && (operation.call, operation.item) != (0, 0)
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
