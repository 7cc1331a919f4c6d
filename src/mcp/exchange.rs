//! One HTTP request of MCP and its response.

use std::rc::Rc;

use super::body::McpBody;
use super::head::{Evidence, evidence};
use super::message::{McpMessages, McpPrograms};
use super::{McpAnswer, McpOperation, McpTransport};
use crate::budget::{Budget, Share, Side};
use crate::json::LIMIT;
use crate::observation::{Server, Text, clipped};
use crate::provider::Head;

/// One HTTP request of MCP and its response, as far as they have been read.
pub struct McpExchange {
    transport: McpTransport,
    messages: McpMessages,
    programs: Rc<McpPrograms>,
    budget: Rc<Budget>,
    address: u64,
    /// The body that is being read.
    body: Option<Box<McpBody>>,
    has_request_ended: bool,
    /// The response is a stream of events.
    has_events: bool,
    has_ended: bool,
}

impl McpExchange {
    /// Memory that an exchange reserves when it starts, in bytes.
    const ROOM: usize = size_of::<McpExchange>() + McpBody::BOUND;

    /// Starts with the head of a request. Returns None if it is not MCP, or if the budget has no room. `address` is the hash of the
    /// downstream address, or 0.
    pub fn start(
        programs: &Rc<McpPrograms>,
        budget: &Rc<Budget>,
        head: Head<'_>,
        address: u64,
        now: u64,
    ) -> Option<Self> {
        let evidence = evidence(head)?;
        let is_resumed = match head.bytes(":method") {
            Some(b"POST") => false,
            Some(b"GET") => true,
            _ => return None,
        };
        let mut memory = Share::of_state(budget, address);
        if !memory.resize(Self::ROOM) {
            return None;
        }
        let transport = McpTransport {
            session: header(head, "mcp-session-id"),
            version: header(head, "mcp-protocol-version"),
            server: Server::of(head.text(":authority"), head.text(":scheme")),
            start: now,
            ..McpTransport::default()
        };
        let body = McpBody::new(false, head.whole("content-encoding"), Share::new(budget, Side::Request, address));
        let mut messages = McpMessages::new(evidence == Evidence::Accept, memory, now);
        messages.is_resumed = is_resumed;
        Some(McpExchange {
            transport,
            messages,
            programs: Rc::clone(programs),
            budget: Rc::clone(budget),
            address,
            body: body.map(Box::new),
            has_request_ended: false,
            has_events: false,
            has_ended: false,
        })
    }

    /// Sets the name of the route.
    pub fn route(&mut self, name: &str) {
        self.transport.route = clipped(name, LIMIT).into();
    }

    /// Sets the values of the headers in `labels.headers`.
    pub fn label(&mut self, labels: Vec<Text>) {
        self.transport.labels = labels;
    }

    /// Reads bytes of the request's body.
    pub fn request_body(&mut self, bytes: &[u8]) {
        if !self.has_request_ended
            && let Some(body) = &mut self.body
            && !body.feed(&self.programs.request, &mut self.messages, bytes)
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
            body.finish(&self.programs.request, &mut self.messages);
        }
        self.transport.version = self.transport.version.take().or(self.messages.version.take());
    }

    /// The head of the response.
    pub fn response(&mut self, head: Head<'_>) {
        self.request_end();
        self.transport.status = head.text(":status").parse().ok();
        self.transport.session = self.transport.session.take().or(header(head, "mcp-session-id"));
        if self.messages.operations.is_empty() && !self.messages.is_resumed {
            return;
        }
        let media_type = head.text("content-type").split(';').next().unwrap_or_default().trim();
        self.has_events = media_type.eq_ignore_ascii_case("text/event-stream");
        let share = Share::new(&self.budget, Side::Response, self.address);
        self.body = McpBody::new(self.has_events, head.whole("content-encoding"), share).map(Box::new);
    }

    /// Reads bytes of the response's body. `now` is in nanoseconds since 1970.
    pub fn response_body(&mut self, bytes: &[u8], now: u64) {
        self.messages.now = now;
        if let Some(body) = &mut self.body
            && !body.feed(&self.programs.response, &mut self.messages, bytes)
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
            body.finish(&self.programs.response, &mut self.messages);
        }
        if self.messages.version.is_some() {
            self.transport.version = self.messages.version.take();
        }
        let status = self.transport.status;
        // The server accepted the message and answers on another stream, or never.
        if failure.is_empty() && status == Some(202) {
            self.messages.operations.retain(|operation| operation.end.is_some());
        }
        let error = match status {
            _ if !failure.is_empty() => failure.into(),
            Some(status) if status >= 400 => status.to_string(),
            _ => "truncated".to_owned(),
        };
        for operation in self.messages.operations.iter_mut().filter(|operation| operation.end.is_none()) {
            operation.end = Some(now);
            operation.is_unanswered = true;
            // A client ends a subscription when it leaves.
            let has_left =
                self.has_events && error == "client_disconnect" && &*operation.method == "subscriptions/listen";
            operation.error = (!has_left).then(|| error.as_str().into());
        }
    }

    /// Returns true if nothing more is to be read: every operation has its answer.
    pub fn is_answered(&self) -> bool {
        self.has_request_ended && !self.messages.is_resumed && self.messages.are_answered()
    }

    /// Returns true if another stream of the session may bring the missing answers: the client may resume a stream of events. Since
    /// version 2026-07-28 it cannot.
    pub fn may_resume(&self) -> bool {
        let is_old = self.transport.version.as_deref().is_none_or(|version| version < "2026-07-28");
        self.has_events && is_old && self.transport.session.is_some() && self.transport.status == Some(200)
    }

    /// The answers to operations of other requests, which came since the last call.
    pub fn take_others(&mut self) -> Vec<McpAnswer> {
        core::mem::take(&mut self.messages.others)
    }

    /// Sets how each operation was joined with the call of a model, as `find` returns it. Empty if it was not.
    pub fn join(&mut self, mut find: impl FnMut(&McpOperation) -> &'static str) {
        for operation in &mut self.messages.operations {
            operation.join = find(operation);
        }
    }

    /// The HTTP request and response of the operations.
    pub fn transport(&self) -> &McpTransport {
        &self.transport
    }

    /// The operations of the request, in its order.
    pub fn operations(&self) -> &[McpOperation] {
        &self.messages.operations
    }
}

/// A header that is not empty.
fn header(head: Head<'_>, name: &str) -> Option<Text> {
    Some(head.text(name)).filter(|value| !value.is_empty()).map(Into::into)
}
