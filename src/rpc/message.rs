//! The messages of a request and its response: requests open operations, and answers end them.

use std::rc::Rc;

use super::head::Signs;
use super::operation::RpcEvidence;
use super::protocol::{Protocol, a2a_method};
use super::{RpcAnswer, RpcOperation};
use crate::budget::Share;
use crate::bytes::mix::Mix;
use crate::json::{ObjectHash, Scalar, Unescape};
use crate::observation::Text;
use crate::text::content::Content;
use crate::text::redaction::Redaction;

/// Maximum number of operations that are read of one request. Others of a larger batch are not counted.
pub const OPERATIONS: usize = 32;
/// Memory that is reserved for an operation, in bytes: its fields, seven strings of usual length, and the calls of models that it may execute.
const ROOM: usize = size_of::<RpcOperation>() + 896 + 640;

/// The operations of a request, and the message that is being read.
pub(super) struct RpcMessages {
    pub operations: Vec<RpcOperation>,
    /// The signs of a protocol in the head of the request. None as long as the head is unknown.
    signs: Option<Signs>,
    /// The version of the protocol that `initialize` asks for, or the server agrees to.
    pub version: Option<Text>,
    /// Nanoseconds since 1970.
    pub now: u64,
    /// The response is a stream of events.
    pub has_events: bool,
    /// True if the response may bring answers to operations of other requests.
    pub is_resumed: bool,
    /// Redacts the arguments of tools. None if they are not reported.
    redaction: Option<Rc<Redaction>>,
    /// These answers: at most [`OPERATIONS`].
    pub others: Vec<RpcAnswer>,
    /// The message that is being read.
    pub open: Option<Box<RpcMessage>>,
    memory: Share,
}

/// A message of JSON-RPC, or a body of HTTP and JSON, as far as it has been read.
#[derive(Default)]
pub(super) struct RpcMessage {
    /// It has a member `result` or `error`.
    pub is_answer: bool,
    /// A result of MCP is a task.
    pub is_task: bool,
    pub method: Option<Text>,
    pub id: Option<RpcMessageId>,
    /// The fields of the operation that were read. A request has its name and parameters, an answer has its result.
    pub seen: RpcOperation,
    pub arguments: Option<ObjectHash>,
    /// The text of the arguments, if it is reported.
    arguments_text: Option<(Unescape, Content)>,
    pub has_failed: bool,
    pub version: Option<Text>,
}

/// The identifier of a request: a string or a number.
pub(super) struct RpcMessageId {
    pub text: Text,
    pub key: u64,
}

impl RpcMessageId {
    pub fn of(value: Scalar<'_>) -> Option<Self> {
        let (text, kind) = match value {
            Scalar::Text(text) => (text, 1),
            Scalar::Number(number) => (number, 2),
            _ => return None,
        };
        Some(RpcMessageId { text: text.into(), key: Mix::new(kind).text(text).finish() })
    }
}

impl RpcMessages {
    /// No messages. `memory` is the share for operations.
    pub fn new(signs: Option<Signs>, memory: Share, now: u64) -> Self {
        RpcMessages {
            operations: Vec::new(),
            signs,
            version: None,
            now,
            has_events: false,
            is_resumed: false,
            redaction: None,
            others: Vec::new(),
            open: None,
            memory,
        }
    }

    /// Returns true if the head of the request is known.
    pub fn knows_head(&self) -> bool {
        self.signs.is_some()
    }

    /// Returns true if every operation has ended.
    pub fn are_answered(&self) -> bool {
        self.operations.iter().all(|operation| operation.end.is_some())
    }

    /// The message that is being read.
    pub fn message(&mut self) -> Option<&mut RpcMessage> {
        self.open.as_deref_mut()
    }

    /// Adds an operation. Returns false if there is no room for it.
    pub fn add(&mut self, operation: RpcOperation) -> bool {
        let has_room = self.operations.len() < OPERATIONS && self.memory.resize(self.memory.bytes() + ROOM);
        if has_room {
            self.operations.push(operation);
        }
        has_room
    }

    pub fn request_ended(&mut self) {
        let Some(message) = self.open.take() else { return };
        let (Some(method), Some(id), false) = (message.method, message.id, message.is_answer) else { return };
        let a2a = a2a_method(&method);
        let evidence = RpcEvidence { is_old: a2a.is_some_and(|(_, is_old)| is_old), ..message.seen.evidence };
        let names_task = message.seen.task.is_some();
        let arguments = message.arguments.unwrap_or_default().finish();
        let arguments_text = message.arguments_text.and_then(|(_, text)| self.report(&text));
        let (id, key) = (id.text, id.key);
        let mut operation =
            RpcOperation { method, id, key, arguments, arguments_text, names_task, evidence, ..message.seen };
        let protocol = match self.signs {
            Some(signs) => signs.protocol(&operation),
            // A guess, as long as the head is unknown.
            None if a2a.is_some() && (evidence.names_subject || !evidence.is_old) => Some(Protocol::A2a),
            None => Some(Protocol::Mcp),
        };
        let Some(protocol) = protocol else { return };
        operation.belongs_to(protocol);
        if self.add(operation) {
            self.version = self.version.take().or(message.version);
        }
    }

    /// A piece of the arguments of a tool.
    pub fn argument(&mut self, piece: &[u8]) {
        let captures = self.redaction.is_some();
        let Some(message) = self.message() else { return };
        message.arguments.get_or_insert_default().push(piece);
        if captures {
            let (escapes, text) = message.arguments_text.get_or_insert_default();
            escapes.feed_json(piece, |piece| text.push(piece));
        }
    }

    /// The arguments of tools are reported, redacted. Without room in the memory they are not.
    pub fn capture(&mut self, redaction: Rc<Redaction>) {
        if self.memory.resize(self.memory.bytes() + Content::BOUND) {
            self.redaction = Some(redaction);
        }
    }

    fn report(&mut self, text: &Content) -> Option<Box<str>> {
        let text = text.report(self.redaction.as_ref()?, false)?;
        self.memory.resize(self.memory.bytes() + text.len()).then_some(text)
    }

    /// The head of the request is known now. Forgets the operations that are neither MCP nor A2A.
    pub fn identify(&mut self, signs: Signs) {
        self.signs = Some(signs);
        self.operations.retain_mut(|operation| match signs.protocol(operation) {
            Some(protocol) => {
                operation.belongs_to(protocol);
                true
            }
            None => false,
        });
    }

    /// An answer of JSON-RPC has ended.
    pub fn answer_ended(&mut self) {
        let Some(message) = self.open.take() else { return };
        if let Some(method) = &message.method {
            if &**method == "notifications/progress" {
                self.progressed(message.seen.token);
            }
            return;
        }
        let answer = RpcAnswer {
            key: message.id.as_ref().map_or(0, |id| id.key),
            end: self.now,
            status_code: message.seen.status_code,
            has_failed: message.has_failed,
            result_bytes: message.seen.result_bytes,
        };
        let is_only = self.operations.len() == 1;
        let is_its = |operation: &RpcOperation| match &message.id {
            // An answer without a result is one of A2A 0.3.
            Some(_) => answer.key == operation.key && (message.is_answer || operation.protocol == Protocol::A2a),
            // The server could not read the identifier.
            None => is_only && answer.status_code.is_some(),
        };
        let waits = |operation: &&mut RpcOperation| operation.end.is_none() && is_its(operation);
        let is_part = self.has_events && !message.has_failed;
        match self.operations.iter_mut().find(waits) {
            Some(operation) if operation.follows() && is_part => operation.update(message.seen),
            Some(operation) => {
                operation.answered(&answer);
                operation.needs_input = message.seen.needs_input;
                if operation.protocol == Protocol::A2a || message.is_task || operation.method.starts_with("tasks/") {
                    operation.update(message.seen);
                }
                operation.complete(self.now);
            }
            None if self.is_resumed && message.is_answer && message.id.is_some() && self.others.len() < OPERATIONS => {
                return self.others.push(answer);
            }
            None => return,
        }
        if message.version.is_some() {
            self.version = message.version;
        }
    }

    /// A body of HTTP and JSON has ended, or an event of a stream.
    pub fn rest_answer_ended(&mut self) {
        let (Some(message), [operation]) = (self.open.take(), &mut self.operations[..]) else { return };
        if !message.has_failed {
            operation.update(message.seen);
        }
    }

    /// The body of a request of HTTP and JSON has ended.
    pub fn rest_request_ended(&mut self) {
        let (Some(message), [operation]) = (self.open.take(), &mut self.operations[..]) else { return };
        operation.names_task |= message.seen.task.is_some();
        operation.update(message.seen);
    }

    fn progressed(&mut self, token: u64) {
        let is_its = |operation: &&mut RpcOperation| operation.token == token && token != 0;
        if let Some(operation) = self.operations.iter_mut().find(is_its) {
            operation.progress = operation.progress.saturating_add(1);
        }
    }
}
