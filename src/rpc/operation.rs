//! An operation as plain data.

use super::protocol::{Protocol, a2a_method, follows, old_a2a_method, sends};
use super::task::TaskState;
use crate::observation::{Server, Text};
use crate::trace_context::TraceContext;

/// The HTTP request and response that the operations of one request share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RpcTransport {
    /// `mcp-session-id` of the request, or of the answer that opens the session. None if there is no session.
    pub session: Option<Text>,
    /// Version of the protocol. `2025-11-25`, for example, for MCP: the header `mcp-protocol-version`, else the one that `initialize` agrees on.
    /// `1.0` or `0.3` for A2A: the header `a2a-version`, else by the method.
    pub version: Option<Text>,
    /// The server that the request names.
    pub server: Option<Server>,
    /// HTTP status of the response. None before it.
    pub status: Option<u16>,
    /// When the request's headers arrived, in nanoseconds since 1970.
    pub start: u64,
    /// Name of the Envoy route. Empty if it is unknown.
    pub route: Text,
    /// The values of the headers in `labels.headers`, in the order of the setting.
    pub labels: Vec<Text>,
}

/// A request of MCP or A2A, and its answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RpcOperation {
    /// The protocol.
    pub protocol: Protocol,
    /// Method, such as `tools/call`. A method of A2A has its name of version 1.0, such as `SendMessage`.
    pub method: Text,
    /// Identifier of the JSON-RPC request, as a string. Empty if the request is none of JSON-RPC.
    pub id: Text,
    /// Name of the tool or the prompt.
    pub name: Option<Text>,
    /// URI of the resource.
    pub uri: Option<Text>,
    /// The client's span, which `params._meta.traceparent` names.
    pub parent: Option<TraceContext>,
    /// Hash of the identifier of the model's tool call, which some clients send. 0 if there is none.
    pub call: u64,
    /// Hash of the identifier of the item of the model's answer that is the call, which some clients send. 0 if there is none.
    pub item: u64,
    /// Hash of the arguments of a tool. Without arguments that of an empty object.
    pub arguments: u64,
    /// The text of the arguments, redacted, if the configuration says that it is reported.
    pub arguments_text: Option<Box<str>>,
    /// How it was joined with the call of a model that asked for it. Empty if it was not.
    pub join: &'static str,
    /// Number of notifications about its progress.
    pub progress: u64,
    /// Size of the content of the result, in bytes of JSON. None if there is no result.
    pub result_bytes: Option<u64>,
    /// Identifier of the task that the request or the answer names. None if there is none.
    pub task: Option<Text>,
    /// The last state of the task in the answer. None if it has none.
    pub state: Option<TaskState>,
    /// Duration of the task in nanoseconds, if this is the first operation that shows its end. None otherwise.
    pub task_nanos: Option<u64>,
    /// Identifier of the conversation with an agent: A2A's `contextId`. None if there is none.
    pub context: Option<Text>,
    /// The request names a task, so it does not begin one.
    pub names_task: bool,
    /// The result of MCP is not final: the server asks for input first, and the client repeats the request with it.
    pub needs_input: bool,
    /// Code of the JSON-RPC error. None if there is none.
    pub status_code: Option<i64>,
    /// Why it failed: the code of the JSON-RPC error, `tool_error` if the tool failed, `task_failed` or `task_rejected` if the task of a message did,
    /// the HTTP status, or how the stream ended. None if it did not fail.
    pub error: Option<Text>,
    /// When the answer was complete, or the stream ended without it, in nanoseconds since 1970. None until then.
    pub end: Option<u64>,
    /// Hash of the identifier, with its type.
    pub key: u64,
    /// The stream ended without the answer.
    pub is_unanswered: bool,
    /// Hash of the token under which the server reports progress. 0 if there is none.
    pub(crate) token: u64,
    /// The answer has a message of the agent, so nothing more follows.
    pub(crate) has_message: bool,
    /// The signs of the protocol in the body of the request.
    pub(crate) evidence: RpcEvidence,
}

/// The signs of the protocol in the body of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RpcEvidence {
    /// It is JSON-RPC 2.0.
    pub is_json_rpc: bool,
    /// It has one of these, as requests of A2A do: a message to an agent, or the identifier of a task.
    pub names_subject: bool,
    /// Its method has the name of A2A 0.3.
    pub is_old: bool,
}

impl RpcOperation {
    /// Sets the protocol, and the name of the method by which that protocol knows it.
    pub(super) fn belongs_to(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        let name = match protocol {
            Protocol::A2a => a2a_method(&self.method).map(|(name, _)| name),
            Protocol::Mcp => old_a2a_method(&self.method).filter(|_| self.evidence.is_old),
        };
        if let Some(name) = name {
            self.method = name.into();
        }
    }

    /// Name of the tool that it calls.
    pub fn tool(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| self.calls_tool())
    }

    /// Name of the prompt that it gets.
    pub fn prompt(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| &*self.method == "prompts/get")
    }

    /// `execute_tool` if it calls a tool, `invoke_agent` if it sends a message to an agent, else empty. A call of a tool whose server asks for
    /// input counts once: as the last of its requests.
    pub fn operation(&self) -> &'static str {
        match self.protocol {
            Protocol::Mcp if self.calls_tool() && !self.needs_input => "execute_tool",
            Protocol::A2a if sends(&self.method) => "invoke_agent",
            _ => "",
        }
    }

    /// Returns true if the request has begun the task of the answer.
    pub fn begins_task(&self) -> bool {
        !self.names_task && (self.calls_tool() || self.protocol == Protocol::A2a && sends(&self.method))
    }

    /// Returns true if its answer may be a stream of many results.
    pub(super) fn follows(&self) -> bool {
        self.protocol == Protocol::A2a && follows(&self.method)
    }

    /// Returns true if nothing more follows after what the answer has so far.
    pub(super) fn has_result(&self) -> bool {
        self.has_message || self.state.is_some_and(TaskState::rests)
    }

    /// Takes over the task of an answer: its identifier, its state and its conversation.
    pub(super) fn update(&mut self, answer: RpcOperation) {
        self.task = answer.task.or(self.task.take());
        self.state = answer.state.or(self.state);
        self.context = answer.context.or(self.context.take());
        self.has_message |= answer.has_message;
    }

    /// The operation ends at this time without a failure of the protocol.
    pub(super) fn complete(&mut self, now: u64) {
        self.end = Some(now);
        let failed = self.state.and_then(TaskState::error).filter(|_| self.operation() == "invoke_agent");
        self.error = self.error.take().or(failed.map(Into::into));
    }

    fn calls_tool(&self) -> bool {
        self.protocol == Protocol::Mcp && &*self.method == "tools/call"
    }

    /// The operation has this answer.
    pub fn answered(&mut self, answer: &RpcAnswer) {
        self.end = Some(answer.end);
        self.is_unanswered = false;
        self.status_code = answer.status_code;
        self.result_bytes = answer.result_bytes.filter(|_| answer.status_code.is_none());
        self.error = match answer.status_code {
            Some(code) => Some(code.to_string().into()),
            None => answer.has_failed.then(|| "tool_error".into()),
        };
    }
}

/// An answer, without its content.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RpcAnswer {
    /// Hash of the identifier of its request, with the identifier's type.
    pub key: u64,
    /// When it was complete, in nanoseconds since 1970.
    pub end: u64,
    /// Code of the JSON-RPC error. None if there is none.
    pub status_code: Option<i64>,
    /// The tool failed.
    pub has_failed: bool,
    /// Size of the content of the result, in bytes of JSON. None if there is no result.
    pub result_bytes: Option<u64>,
}

impl RpcAnswer {
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let has_code = self.status_code.is_some();
        let flags = u8::from(has_code) | u8::from(self.has_failed) << 1 | u8::from(self.result_bytes.is_some()) << 2;
        let numbers = [self.key, self.end, self.status_code.unwrap_or(0) as u64, self.result_bytes.unwrap_or(0)];
        let mut bytes = vec![1, flags];
        numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes
    }

    /// Reads what [`RpcAnswer::to_bytes`] wrote. Returns None for other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[1, flags], numbers) = bytes.split_first_chunk()? else { return None };
        let (numbers, []) = numbers.as_chunks::<8>() else { return None };
        let [key, end, code, size] = numbers else { return None };
        let [key, end, code, size] = [key, end, code, size].map(|number| u64::from_le_bytes(*number));
        let status_code = (flags & 1 != 0).then_some(code as i64);
        let result_bytes = (flags & 4 != 0).then_some(size);
        Some(RpcAnswer { key, end, status_code, has_failed: flags & 2 != 0, result_bytes })
    }
}
