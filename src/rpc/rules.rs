//! Rules for the bodies: requests open operations, and answers end them.
//!
//! A document of JSON-RPC is one message, or an array of messages (MCP 2025-03-26).

use super::message::{RpcMessageId, RpcMessages};
use super::task::TaskState;
use crate::json::{Group, Program, Rule, Scalar, close, identity, open, raw, scalar};
use crate::observation::Text;
use crate::trace_context::TraceContext;

/// The compiled rules for requests and for answers.
pub struct RpcPrograms {
    request: Program<RpcMessages>,
    response: Program<RpcMessages>,
    rest_request: Program<RpcMessages>,
    rest_response: Program<RpcMessages>,
}

impl RpcPrograms {
    /// Compiles the rules.
    pub fn compile() -> Self {
        let program = |groups: &[Group<RpcMessages>]| {
            Program::new(groups, |messages| messages.open = None, |messages, _| messages.open = None)
        };
        RpcPrograms {
            request: program(&[("", REQUEST), ("[]", REQUEST)]),
            response: program(&[("", RESPONSE), ("result", TASK), ("[]", RESPONSE), ("[].result", TASK)]),
            rest_request: program(&[("", REST_REQUEST)]),
            rest_response: program(&[("", REST_RESPONSE), ("", TASK)]),
        }
    }

    /// The rules for the body of a request: of A2A's binding to HTTP and JSON if `is_rest`, else of JSON-RPC.
    pub(super) fn request(&self, is_rest: bool) -> &Program<RpcMessages> {
        if is_rest { &self.rest_request } else { &self.request }
    }

    /// The rules for the body of a response, as [`RpcPrograms::request`] has them for the request's.
    pub(super) fn response(&self, is_rest: bool) -> &Program<RpcMessages> {
        if is_rest { &self.rest_response } else { &self.response }
    }
}

/// Calls `set` with the open message.
macro_rules! of_message {
    (|$message:ident, $value:ident| $set:expr) => {
        |messages: &mut RpcMessages, $value: Scalar<'_>| {
            if let Some($message) = messages.message() {
                $set;
            }
        }
    };
}

const BEGIN: Rule<RpcMessages> = open("", |messages, _| messages.open = Some(Box::default()));
const VERSION: Rule<RpcMessages> =
    scalar("jsonrpc", of_message!(|m, value| m.seen.evidence.is_json_rpc = value == Scalar::Text("2.0")));
const METHOD: Rule<RpcMessages> = scalar("method", of_message!(|m, value| m.method = value.text()));
const ID: Rule<RpcMessages> = scalar("id", of_message!(|m, value| m.id = RpcMessageId::of(value)));
const RESULT: Rule<RpcMessages> = open("result", |messages, _| is_answer(messages));
const ERROR: Rule<RpcMessages> = open("error", |messages, _| {
    is_answer(messages);
    // The code may be missing.
    if let Some(message) = messages.message() {
        message.has_failed = true;
    }
});

const REQUEST: &[Rule<RpcMessages>] = &[
    BEGIN,
    VERSION,
    METHOD,
    ID,
    RESULT,
    ERROR,
    scalar("params.name", of_message!(|m, value| m.seen.name = value.text())),
    scalar("params.uri", of_message!(|m, value| m.seen.uri = value.text())),
    scalar(
        "params.id",
        of_message!(|m, value| {
            set(&mut m.seen.task, name(value));
            m.seen.evidence.names_subject = true;
        }),
    ),
    scalar("params.taskId", of_message!(|m, value| m.seen.task = name(value))),
    open("params.message", |messages, _| {
        if let Some(message) = messages.message() {
            message.seen.evidence.names_subject = true;
        }
    }),
    scalar("params.message.taskId", of_message!(|m, value| m.seen.task = name(value))),
    scalar("params.message.contextId", of_message!(|m, value| m.seen.context = name(value))),
    scalar("params.protocolVersion", of_message!(|m, value| m.version = value.text())),
    scalar("params._meta.progressToken", of_message!(|m, value| m.seen.token = token(value))),
    scalar("params._meta.traceparent", of_message!(|m, value| m.seen.parent = parent(value))),
    // The identifier of the model's tool call: of Claude Code, and of Codex.
    scalar("params._meta.claudecode/toolUseId", of_message!(|m, value| m.seen.call = identity(value))),
    scalar("params._meta.callId", of_message!(|m, value| m.seen.call = identity(value))),
    // Codex: that of the item. If the model writes programs, they make calls of their own, and the item is the call with the program.
    scalar("params._meta.itemId", of_message!(|m, value| m.seen.item = identity(value))),
    raw("params.arguments", RpcMessages::argument),
    close("", RpcMessages::request_ended),
];

/// The body of a request that sends a message. Version 0.3 calls the message `request`, and may separate words by underscores.
const REST_REQUEST: &[Rule<RpcMessages>] = &[
    BEGIN,
    scalar("message.taskId", of_message!(|m, value| m.seen.task = name(value))),
    scalar("message.contextId", of_message!(|m, value| m.seen.context = name(value))),
    scalar("request.taskId", of_message!(|m, value| m.seen.task = name(value))),
    scalar("request.contextId", of_message!(|m, value| m.seen.context = name(value))),
    scalar("request.task_id", of_message!(|m, value| m.seen.task = name(value))),
    scalar("request.context_id", of_message!(|m, value| m.seen.context = name(value))),
    close("", RpcMessages::rest_request_ended),
];

const REST_RESPONSE: &[Rule<RpcMessages>] = &[BEGIN, ERROR, close("", RpcMessages::rest_answer_ended)];

/// The task of a result. A2A has it as the result, or in a member of it by its kind; MCP as the result, or in `task`.
const TASK: &[Rule<RpcMessages>] = &[
    scalar("id", of_message!(|m, value| set(&mut m.seen.task, name(value)))),
    scalar("taskId", of_message!(|m, value| m.seen.task = name(value))),
    scalar("task.id", of_message!(|m, value| m.seen.task = name(value))),
    scalar("task.taskId", of_message!(|m, value| m.seen.task = name(value))),
    scalar("message.taskId", of_message!(|m, value| m.seen.task = name(value))),
    scalar("statusUpdate.taskId", of_message!(|m, value| m.seen.task = name(value))),
    scalar("artifactUpdate.taskId", of_message!(|m, value| m.seen.task = name(value))),
    scalar("contextId", of_message!(|m, value| m.seen.context = name(value))),
    scalar("task.contextId", of_message!(|m, value| m.seen.context = name(value))),
    scalar("message.contextId", of_message!(|m, value| m.seen.context = name(value))),
    scalar("statusUpdate.contextId", of_message!(|m, value| m.seen.context = name(value))),
    scalar("artifactUpdate.contextId", of_message!(|m, value| m.seen.context = name(value))),
    scalar("status", of_message!(|m, value| m.seen.state = TaskState::of(value))),
    scalar("status.state", of_message!(|m, value| m.seen.state = TaskState::of(value))),
    scalar("task.status", of_message!(|m, value| m.seen.state = TaskState::of(value))),
    scalar("task.status.state", of_message!(|m, value| m.seen.state = TaskState::of(value))),
    scalar("statusUpdate.status.state", of_message!(|m, value| m.seen.state = TaskState::of(value))),
    open("message", |messages, _| of_agent(messages)),
    scalar("messageId", |messages, _| of_agent(messages)),
];

const RESPONSE: &[Rule<RpcMessages>] = &[
    BEGIN,
    METHOD,
    ID,
    RESULT,
    ERROR,
    scalar("error.code", of_message!(|m, value| m.seen.status_code = value.integer())),
    scalar("result.isError", of_message!(|m, value| m.has_failed = value.is_true())),
    scalar("result.protocolVersion", of_message!(|m, value| m.version = value.text())),
    scalar(
        "result.resultType",
        of_message!(|m, value| {
            m.seen.needs_input = value == Scalar::Text("input_required");
            m.is_task = value == Scalar::Text("task");
        }),
    ),
    open("result.task", |messages, _| {
        if let Some(message) = messages.message() {
            message.is_task = true;
        }
    }),
    raw("result.content", content),
    raw("result.structuredContent", content),
    raw("result.contents", content),
    raw("result.messages", content),
    scalar("params.progressToken", of_message!(|m, value| m.seen.token = token(value))),
    close("", RpcMessages::answer_ended),
];

fn is_answer(messages: &mut RpcMessages) {
    if let Some(message) = messages.message() {
        message.is_answer = true;
    }
}

/// Adds bytes of the content of a result.
fn content(messages: &mut RpcMessages, piece: &[u8]) {
    if let Some(message) = messages.message() {
        let bytes = message.seen.result_bytes.get_or_insert_default();
        *bytes = bytes.saturating_add(piece.len() as u64);
    }
}

/// The answer has a message of the agent.
fn of_agent(messages: &mut RpcMessages) {
    if let Some(message) = messages.message() {
        message.seen.has_message = true;
    }
}

/// An identifier that is a string and not empty.
fn name(value: Scalar<'_>) -> Option<Text> {
    value.text().filter(|text| !text.is_empty())
}

/// Sets the identifier of a task, unless `taskId` has it: then `id` is that of a configuration.
fn set(task: &mut Option<Text>, value: Option<Text>) {
    *task = task.take().or(value);
}

fn token(value: Scalar<'_>) -> u64 {
    RpcMessageId::of(value).map_or(0, |token| token.key)
}

fn parent(value: Scalar<'_>) -> Option<TraceContext> {
    TraceContext::parse(&value.text()?)
}
