//! Rules for the messages of JSON-RPC: requests open operations, and answers end them.
//!
//! A document is one message, or an array of messages (version 2025-03-26).

use super::method::known_method;
use super::{McpAnswer, McpOperation};
use crate::budget::Share;
use crate::bytes::mix::Mix;
use crate::json::{Group, ObjectHash, Program, Rule, Scalar, close, identity, open, raw, scalar};
use crate::observation::Text;
use crate::trace_context::TraceContext;

/// Maximum number of operations that are read of one request. Others of a larger batch are not counted.
pub const OPERATIONS: usize = 32;
/// Memory that is reserved for an operation, in bytes: its fields, five strings of usual length, and the calls of models that it may execute.
const ROOM: usize = size_of::<McpOperation>() + 640 + 640;

/// The compiled rules for requests and for answers.
pub struct McpPrograms {
    pub(super) request: Program<McpMessages>,
    pub(super) response: Program<McpMessages>,
}

impl McpPrograms {
    /// Compiles the rules.
    pub fn compile() -> Self {
        let program = |groups: &[Group<McpMessages>]| {
            Program::new(groups, |messages| messages.open = None, |messages, _| messages.open = None)
        };
        McpPrograms {
            request: program(&[("", REQUEST), ("[]", REQUEST)]),
            response: program(&[("", RESPONSE), ("[]", RESPONSE)]),
        }
    }
}

/// The operations of a request, and the message that is being read.
pub(super) struct McpMessages {
    pub operations: Vec<McpOperation>,
    /// True if only messages with a method of MCP are operations.
    pub needs_known_method: bool,
    /// The version of the protocol that `initialize` asks for, or the server agrees to.
    pub version: Option<Text>,
    /// Nanoseconds since 1970.
    pub now: u64,
    /// True if the response may bring answers to operations of other requests.
    pub is_resumed: bool,
    /// These answers: at most [`OPERATIONS`].
    pub others: Vec<McpAnswer>,
    open: Option<Box<McpMessage>>,
    memory: Share,
}

/// A message of JSON-RPC, as far as it has been read.
#[derive(Default)]
struct McpMessage {
    is_json_rpc: bool,
    /// It has a member `result` or `error`.
    is_answer: bool,
    method: Option<Text>,
    id: Option<McpMessageId>,
    /// The fields of the operation that were read. A request has its name and parameters, an answer has its result.
    seen: McpOperation,
    arguments: Option<ObjectHash>,
    has_failed: bool,
    version: Option<Text>,
}

/// The identifier of a request: a string or a number.
struct McpMessageId {
    text: Text,
    key: u64,
}

impl McpMessageId {
    fn of(value: Scalar<'_>) -> Option<Self> {
        let (text, kind) = match value {
            Scalar::Text(text) => (text, 1),
            Scalar::Number(number) => (number, 2),
            _ => return None,
        };
        Some(McpMessageId { text: text.into(), key: Mix::new(kind).text(text).finish() })
    }
}

impl McpMessages {
    /// No messages. `memory` is the share for operations.
    pub fn new(needs_known_method: bool, memory: Share, now: u64) -> Self {
        McpMessages {
            operations: Vec::new(),
            needs_known_method,
            version: None,
            now,
            is_resumed: false,
            others: Vec::new(),
            open: None,
            memory,
        }
    }

    /// Returns true if every operation has ended.
    pub fn are_answered(&self) -> bool {
        self.operations.iter().all(|operation| operation.end.is_some())
    }

    fn message(&mut self) -> Option<&mut McpMessage> {
        self.open.as_deref_mut()
    }

    fn request_ended(&mut self) {
        let Some(message) = self.open.take() else { return };
        let (Some(method), Some(id), false) = (message.method, message.id, message.is_answer) else { return };
        let is_known = message.is_json_rpc && known_method(&method).is_some();
        if self.needs_known_method && !is_known || self.operations.len() >= OPERATIONS {
            return;
        }
        if !self.memory.resize(self.memory.bytes() + ROOM) {
            return;
        }
        self.version = self.version.take().or(message.version);
        let arguments = message.arguments.unwrap_or_default().finish();
        self.operations.push(McpOperation { method, id: id.text, key: id.key, arguments, ..message.seen });
    }

    fn answer_ended(&mut self) {
        let Some(message) = self.open.take() else { return };
        if let Some(method) = &message.method {
            if &**method == "notifications/progress" {
                self.progressed(message.seen.token);
            }
            return;
        }
        if !message.is_answer {
            return;
        }
        let answer = McpAnswer {
            key: message.id.as_ref().map_or(0, |id| id.key),
            end: self.now,
            status_code: message.seen.status_code,
            has_failed: message.has_failed,
            result_bytes: Some(message.seen.result_bytes.unwrap_or_default()),
        };
        let is_only = self.operations.len() == 1;
        let is_its = |operation: &McpOperation| match &message.id {
            Some(_) => answer.key == operation.key,
            // The server could not read the identifier.
            None => is_only && answer.status_code.is_some(),
        };
        let waits = |operation: &&mut McpOperation| operation.end.is_none() && is_its(operation);
        match self.operations.iter_mut().find(waits) {
            Some(operation) => operation.answered(&answer),
            None if self.is_resumed && message.id.is_some() && self.others.len() < OPERATIONS => {
                return self.others.push(answer);
            }
            None => return,
        }
        if message.version.is_some() {
            self.version = message.version;
        }
    }

    fn progressed(&mut self, token: u64) {
        let is_its = |operation: &&mut McpOperation| operation.token == token && token != 0;
        if let Some(operation) = self.operations.iter_mut().find(is_its) {
            operation.progress = operation.progress.saturating_add(1);
        }
    }
}

/// Calls `set` with the open message.
macro_rules! of_message {
    (|$message:ident, $value:ident| $set:expr) => {
        |messages: &mut McpMessages, $value: Scalar<'_>| {
            if let Some($message) = messages.message() {
                $set;
            }
        }
    };
}

const BEGIN: Rule<McpMessages> = open("", |messages, _| messages.open = Some(Box::default()));
const VERSION: Rule<McpMessages> =
    scalar("jsonrpc", of_message!(|m, value| m.is_json_rpc = value == Scalar::Text("2.0")));
const METHOD: Rule<McpMessages> = scalar("method", of_message!(|m, value| m.method = value.text()));
const ID: Rule<McpMessages> = scalar("id", of_message!(|m, value| m.id = McpMessageId::of(value)));
const RESULT: Rule<McpMessages> = open("result", |messages, _| is_answer(messages));
const ERROR: Rule<McpMessages> = open("error", |messages, _| {
    is_answer(messages);
    // Its code may be missing.
    if let Some(message) = messages.message() {
        message.has_failed = true;
    }
});

const REQUEST: &[Rule<McpMessages>] = &[
    BEGIN,
    VERSION,
    METHOD,
    ID,
    RESULT,
    ERROR,
    scalar("params.name", of_message!(|m, value| m.seen.name = value.text())),
    scalar("params.uri", of_message!(|m, value| m.seen.uri = value.text())),
    scalar("params.protocolVersion", of_message!(|m, value| m.version = value.text())),
    scalar("params._meta.progressToken", of_message!(|m, value| m.seen.token = token(value))),
    scalar("params._meta.traceparent", of_message!(|m, value| m.seen.parent = parent(value))),
    // The identifier of the model's tool call: of Claude Code, and of Codex.
    scalar("params._meta.claudecode/toolUseId", of_message!(|m, value| m.seen.call = identity(value))),
    scalar("params._meta.callId", of_message!(|m, value| m.seen.call = identity(value))),
    // Codex: that of the item. If the model writes programs, they make calls of their own, and the item is the call with the program.
    scalar("params._meta.itemId", of_message!(|m, value| m.seen.item = identity(value))),
    raw("params.arguments", |messages, piece| {
        if let Some(message) = messages.message() {
            message.arguments.get_or_insert_default().push(piece);
        }
    }),
    close("", McpMessages::request_ended),
];

const RESPONSE: &[Rule<McpMessages>] = &[
    BEGIN,
    METHOD,
    ID,
    RESULT,
    ERROR,
    scalar("error.code", of_message!(|m, value| m.seen.status_code = value.integer())),
    scalar("result.isError", of_message!(|m, value| m.has_failed = value.is_true())),
    scalar("result.protocolVersion", of_message!(|m, value| m.version = value.text())),
    raw("result.content", content),
    raw("result.structuredContent", content),
    raw("result.contents", content),
    raw("result.messages", content),
    scalar("params.progressToken", of_message!(|m, value| m.seen.token = token(value))),
    close("", McpMessages::answer_ended),
];

fn is_answer(messages: &mut McpMessages) {
    if let Some(message) = messages.message() {
        message.is_answer = true;
    }
}

/// Adds bytes of the content of a result.
fn content(messages: &mut McpMessages, piece: &[u8]) {
    if let Some(message) = messages.message() {
        let bytes = message.seen.result_bytes.get_or_insert_default();
        *bytes = bytes.saturating_add(piece.len() as u64);
    }
}

fn token(value: Scalar<'_>) -> u64 {
    McpMessageId::of(value).map_or(0, |token| token.key)
}

fn parent(value: Scalar<'_>) -> Option<TraceContext> {
    TraceContext::parse(&value.text()?)
}
