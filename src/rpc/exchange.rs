//! One HTTP request of MCP or A2A, and its response.

use std::rc::Rc;

use super::body::RpcBody;
use super::head::{A2A_VERSION, MCP_SESSION, MCP_VERSION, Signs, accepts_events};
use super::message::RpcMessages;
use super::protocol::{Protocol, RestCall, rest_base};
use super::rules::RpcPrograms;
use super::{RpcAnswer, RpcOperation, RpcTransport};
use crate::budget::{Budget, Share, Side};
use crate::json::LIMIT;
use crate::observation::{Server, Text, clipped};
use crate::provider::Head;
use crate::text::redaction::Redaction;

/// The meaning of a request that its head shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// Messages of JSON-RPC.
    JsonRpc,
    /// The client resumes a stream of MCP.
    Resumed,
    /// The client ends a session of MCP.
    EndOfSession,
    /// One operation of A2A, without JSON-RPC.
    Rest,
}

impl Form {
    /// The form of a request, with the signs of a protocol in its head and the call of A2A that its path names. Returns None if the request is
    /// neither MCP nor A2A.
    fn of<'h>(head: Head<'h>, may_be_rpc: bool) -> Option<(Signs, Form, Option<RestCall<'h>>)> {
        let signs = Signs::of(head);
        let method = head.bytes(":method").unwrap_or_default();
        let call = RestCall::of(method, head.text(":path"));
        let call = call.filter(|call| call.is_sure || signs.a2a_header || signs.a2a_path || may_be_rpc);
        let form = match method {
            _ if call.is_some() => Form::Rest,
            b"POST" if may_be_rpc || signs != Signs::default() => Form::JsonRpc,
            b"GET" if signs.mcp_header && accepts_events(head.bytes("accept").unwrap_or_default()) => Form::Resumed,
            b"DELETE" if head.bytes(MCP_SESSION).is_some() => Form::EndOfSession,
            _ => return None,
        };
        Some((signs, form, call))
    }
}

/// One HTTP request of MCP or A2A and its response, as far as they have been read.
pub struct RpcExchange {
    form: Form,
    transport: RpcTransport,
    messages: RpcMessages,
    programs: Rc<RpcPrograms>,
    budget: Rc<Budget>,
    address: u64,
    /// The version that `initialize` asks for, as long as the head of the request is unknown.
    asked_version: Option<Text>,
    /// The body that is being read.
    body: Option<Box<RpcBody>>,
    has_request_ended: bool,
    has_ended: bool,
}

impl RpcExchange {
    /// Memory that an exchange reserves when it starts, in bytes.
    const ROOM: usize = size_of::<RpcExchange>() + RpcBody::BOUND;

    /// Returns false if a request with this head is neither MCP nor A2A. See [`RpcExchange::start`].
    pub fn may_start(head: Head<'_>, may_be_rpc: bool) -> bool {
        Form::of(head, may_be_rpc).is_some()
    }

    /// Starts with the head of a request. Returns None if it is neither MCP nor A2A, or if the budget has no room. `may_be_rpc` is true if
    /// earlier requests at this path were, or if only the body will tell. `address` is the hash of the downstream address, or 0.
    pub fn start(
        programs: &Rc<RpcPrograms>,
        budget: &Rc<Budget>,
        head: Head<'_>,
        may_be_rpc: bool,
        address: u64,
        now: u64,
    ) -> Option<Self> {
        let (signs, form, call) = Form::of(head, may_be_rpc)?;
        let memory = Self::reserve(budget, address)?;
        let transport = RpcTransport { start: now, ..RpcTransport::default() };
        let mut messages = RpcMessages::new(Some(signs), memory, now);
        messages.is_resumed = form == Form::Resumed;
        if let Some(call) = call {
            let task = Some(clipped(call.task, LIMIT).into()).filter(|_| !call.task.is_empty());
            let names_task = task.is_some();
            let method = call.method.into();
            let operation =
                RpcOperation { protocol: Protocol::A2a, method, task, names_task, ..RpcOperation::default() };
            if !messages.add(operation) {
                return None;
            }
        }
        let encoding = head.whole("content-encoding");
        let body = RpcBody::new(false, encoding, Share::new(budget, Side::Request, address)).map(Box::new);
        let mut exchange = Self::new(programs, budget, address, form, (transport, messages), body);
        exchange.name(head, signs);
        Some(exchange)
    }

    /// Starts with a body that begins like JSON-RPC. The head of the request is unknown until [`RpcExchange::identify`]. Returns None if the budget
    /// has no room.
    pub fn start_late(programs: &Rc<RpcPrograms>, budget: &Rc<Budget>, address: u64, now: u64) -> Option<Self> {
        let memory = Self::reserve(budget, address)?;
        let transport = RpcTransport { start: now, ..RpcTransport::default() };
        let messages = RpcMessages::new(None, memory, now);
        let body = RpcBody::new(false, "", Share::new(budget, Side::Request, address)).map(Box::new);
        Some(Self::new(programs, budget, address, Form::JsonRpc, (transport, messages), body))
    }

    /// The head of the request is known now. Forgets the operations that are neither MCP nor A2A. Returns false if none is left.
    pub fn identify(&mut self, head: Head<'_>) -> bool {
        let signs = Signs::of(head);
        self.messages.identify(signs);
        self.name(head, signs);
        self.default_version();
        !self.messages.operations.is_empty()
    }

    fn new(
        programs: &Rc<RpcPrograms>,
        budget: &Rc<Budget>,
        address: u64,
        form: Form,
        (transport, messages): (RpcTransport, RpcMessages),
        body: Option<Box<RpcBody>>,
    ) -> Self {
        let (programs, budget) = (Rc::clone(programs), Rc::clone(budget));
        RpcExchange {
            form,
            transport,
            messages,
            programs,
            budget,
            address,
            asked_version: None,
            body,
            has_request_ended: false,
            has_ended: false,
        }
    }

    fn reserve(budget: &Rc<Budget>, address: u64) -> Option<Share> {
        let mut memory = Share::of_state(budget, address);
        memory.resize(Self::ROOM).then_some(memory)
    }

    /// Takes session, version and server from the head of the request. A response may have named them before.
    fn name(&mut self, head: Head<'_>, signs: Signs) {
        let transport = &mut self.transport;
        transport.session = header(head, MCP_SESSION).or(transport.session.take());
        let version = header(head, if signs.mcp_header { MCP_VERSION } else { A2A_VERSION });
        transport.version = transport.version.take().or(version).or(self.asked_version.take());
        transport.server = Server::of(head.text(":authority"), head.text(":scheme"));
    }

    /// A client of A2A 0.3 sends no version.
    fn default_version(&mut self) {
        let is_a2a = |operation: &RpcOperation| operation.protocol == Protocol::A2a;
        if self.messages.operations.first().is_some_and(is_a2a) && self.transport.version.is_none() {
            self.transport.version = Some("0.3".into());
        }
    }

    /// Sets the name of the route.
    pub fn route(&mut self, name: &str) {
        self.transport.route = clipped(name, LIMIT).into();
    }

    /// Sets the values of the headers in `labels.headers`.
    pub fn label(&mut self, labels: Vec<Text>) {
        self.transport.labels = labels;
    }

    /// The arguments of tools are reported, redacted.
    pub fn capture(&mut self, redaction: Rc<Redaction>) {
        self.messages.capture(redaction);
    }

    /// Reads bytes of the request's body.
    pub fn request_body(&mut self, bytes: &[u8]) {
        if !self.has_request_ended
            && let Some(body) = &mut self.body
            && !body.feed(self.programs.request(self.form == Form::Rest), &mut self.messages, bytes)
        {
            self.body = None;
        }
    }

    /// The request has ended.
    pub fn request_end(&mut self) {
        if core::mem::replace(&mut self.has_request_ended, true) {
            return;
        }
        if let Some(mut body) = self.body.take() {
            body.finish(self.programs.request(self.form == Form::Rest), &mut self.messages);
        }
        let asked = self.messages.version.take();
        if self.messages.knows_head() {
            self.transport.version = self.transport.version.take().or(asked);
            self.default_version();
        } else {
            self.asked_version = asked;
        }
    }

    /// The head of the response.
    pub fn response(&mut self, head: Head<'_>) {
        self.request_end();
        self.transport.status = head.text(":status").parse().ok();
        self.transport.session = self.transport.session.take().or(header(head, MCP_SESSION));
        if self.messages.operations.is_empty() && !self.messages.is_resumed {
            return;
        }
        let media_type = head.text("content-type").split(';').next().unwrap_or_default().trim();
        let has_events = media_type.eq_ignore_ascii_case("text/event-stream");
        self.messages.has_events = has_events;
        let share = Share::new(&self.budget, Side::Response, self.address);
        self.body = RpcBody::new(has_events, head.whole("content-encoding"), share).map(Box::new);
    }

    /// Reads bytes of the response's body. `now` is in nanoseconds since 1970.
    pub fn response_body(&mut self, bytes: &[u8], now: u64) {
        self.messages.now = now;
        if let Some(body) = &mut self.body
            && !body.feed(self.programs.response(self.form == Form::Rest), &mut self.messages, bytes)
        {
            self.body = None;
        }
    }

    /// The exchange has ended. `failure` names how the stream failed; empty if it did not. Later calls change nothing.
    pub fn finish(&mut self, failure: &str, now: u64) {
        if core::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.request_end();
        self.messages.now = now;
        if let Some(mut body) = self.body.take() {
            body.finish(self.programs.response(self.form == Form::Rest), &mut self.messages);
        }
        if self.messages.version.is_some() {
            self.transport.version = self.messages.version.take();
        }
        let status = self.transport.status;
        // The server accepted the message and answers on another stream, or never.
        if failure.is_empty() && status == Some(202) {
            self.messages.operations.retain(|operation| operation.end.is_some() || operation.protocol == Protocol::A2a);
        }
        let is_success = status.is_some_and(|status| status < 400);
        let error = match status {
            _ if !failure.is_empty() => failure.into(),
            Some(status) if status >= 400 => status.to_string(),
            _ => "truncated".to_owned(),
        };
        let ends_with_body = self.form == Form::Rest;
        for operation in self.messages.operations.iter_mut().filter(|operation| operation.end.is_none()) {
            // A stream of results has no last one. A client may leave it as soon as nothing more follows.
            let is_whole = failure.is_empty() && (ends_with_body || operation.state.is_some());
            if is_success && (is_whole || operation.has_result()) {
                operation.complete(now);
                continue;
            }
            operation.end = Some(now);
            operation.is_unanswered = true;
            // A client ends a subscription when it leaves.
            let has_left = self.messages.has_events
                && failure == "client_disconnect"
                && &*operation.method == "subscriptions/listen";
            operation.error = (!has_left).then(|| error.as_str().into());
        }
    }

    /// Sets when the request began, if an earlier stream was a part of it. In nanoseconds since 1970.
    pub fn set_start(&mut self, start: u64) {
        self.transport.start = start;
    }

    /// Returns true if an answer shows that the server knows the protocol.
    pub fn has_succeeded(&self) -> bool {
        self.messages.operations.iter().any(|operation| operation.end.is_some() && operation.error.is_none())
    }

    /// The address of the agent, if the path alone shows that the request is one of A2A.
    pub fn agent<'p>(&self, path: &'p str) -> Option<&'p str> {
        Some(rest_base(path)).filter(|_| self.form == Form::Rest)
    }

    /// The task that the only operation has begun, as soon as a part of the answer names it.
    pub fn begun_task(&self) -> Option<&str> {
        let [operation] = &self.messages.operations[..] else { return None };
        operation.task.as_deref().filter(|_| operation.begins_task() && operation.end.is_none())
    }

    /// Returns true if the server has ended the session that the request names.
    pub fn has_ended_session(&self) -> bool {
        self.form == Form::EndOfSession && self.transport.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Returns true if the server has opened the session of the transport.
    pub fn has_opened_session(&self) -> bool {
        let opens = |operation: &RpcOperation| &*operation.method == "initialize" && operation.error.is_none();
        self.transport.session.is_some() && self.messages.operations.iter().any(opens)
    }

    /// Returns true if nothing more is to be read: every operation has its answer.
    pub fn is_answered(&self) -> bool {
        self.has_request_ended && self.form == Form::JsonRpc && self.messages.are_answered()
    }

    /// Returns true if another stream of the session may bring the missing answers: the client may resume a stream of events. Since
    /// version 2026-07-28 it cannot.
    pub fn may_resume(&self) -> bool {
        let is_old = self.transport.version.as_deref().is_none_or(|version| version < "2026-07-28");
        self.messages.has_events && is_old && self.transport.session.is_some() && self.transport.status == Some(200)
    }

    /// The answers to operations of other requests, which came since the last call.
    pub fn take_others(&mut self) -> Vec<RpcAnswer> {
        core::mem::take(&mut self.messages.others)
    }

    /// Sets how each operation was joined with the call of a model, as `find` returns it. Empty if it was not.
    pub fn join(&mut self, mut find: impl FnMut(&RpcOperation) -> &'static str) {
        for operation in &mut self.messages.operations {
            operation.join = find(operation);
        }
    }

    /// Sets the durations of the tasks of the operations, in their order.
    pub fn time_tasks(&mut self, times: Vec<Option<u64>>) {
        for (operation, nanos) in self.messages.operations.iter_mut().zip(times) {
            operation.task_nanos = nanos;
        }
    }

    /// The HTTP request and response of the operations.
    pub fn transport(&self) -> &RpcTransport {
        &self.transport
    }

    /// The operations of the request, in its order.
    pub fn operations(&self) -> &[RpcOperation] {
        &self.messages.operations
    }
}

/// A header that is not empty.
fn header(head: Head<'_>, name: &str) -> Option<Text> {
    Some(head.text(name)).filter(|value| !value.is_empty()).map(Into::into)
}
