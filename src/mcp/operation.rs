//! An operation of MCP as plain data.

use crate::observation::{Server, Text};
use crate::trace_context::TraceContext;

/// The HTTP request and response that the operations of one request share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct McpTransport {
    /// `mcp-session-id` of the request, or of the answer that opens the session. None if there is no session.
    pub session: Option<Text>,
    /// Version of the protocol, such as `2025-11-25`: the header `mcp-protocol-version`, else the one that `initialize` agrees on.
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

/// A request of MCP and its answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct McpOperation {
    /// Method, such as `tools/call`.
    pub method: Text,
    /// Identifier of the JSON-RPC request, as a string.
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
    /// How it was joined with the call of a model that asked for it. Empty if it was not.
    pub join: &'static str,
    /// Number of notifications about its progress.
    pub progress: u64,
    /// Size of the content of the result, in bytes of JSON. None if there is no result.
    pub result_bytes: Option<u64>,
    /// Code of the JSON-RPC error. None if there is none.
    pub status_code: Option<i64>,
    /// Why it failed: the code of the JSON-RPC error, `tool_error` if the tool failed, the HTTP status, or how the stream ended. None if
    /// it did not fail.
    pub error: Option<Text>,
    /// When the answer was complete, or the stream ended without it, in nanoseconds since 1970. None until then.
    pub end: Option<u64>,
    /// Hash of the identifier, with its type.
    pub key: u64,
    /// The stream ended without the answer.
    pub is_unanswered: bool,
    /// Hash of the token under which the server reports progress. 0 if there is none.
    pub(super) token: u64,
}

impl McpOperation {
    /// Name of the tool that it calls.
    pub fn tool(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| &*self.method == "tools/call")
    }

    /// Name of the prompt that it gets.
    pub fn prompt(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| &*self.method == "prompts/get")
    }

    /// `execute_tool` if it calls a tool, else empty.
    pub fn operation(&self) -> &'static str {
        if &*self.method == "tools/call" { "execute_tool" } else { "" }
    }

    /// The operation has this answer.
    pub fn answered(&mut self, answer: &McpAnswer) {
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
pub struct McpAnswer {
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

impl McpAnswer {
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let has_code = self.status_code.is_some();
        let flags = u8::from(has_code) | u8::from(self.has_failed) << 1 | u8::from(self.result_bytes.is_some()) << 2;
        let numbers = [self.key, self.end, self.status_code.unwrap_or(0) as u64, self.result_bytes.unwrap_or(0)];
        let mut bytes = vec![1, flags];
        numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes
    }

    /// Reads what [`McpAnswer::to_bytes`] wrote. Returns None for other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[1, flags], numbers) = bytes.split_first_chunk()? else { return None };
        let (numbers, []) = numbers.as_chunks::<8>() else { return None };
        let [key, end, code, size] = numbers else { return None };
        let [key, end, code, size] = [key, end, code, size].map(|number| u64::from_le_bytes(*number));
        let status_code = (flags & 1 != 0).then_some(code as i64);
        let result_bytes = (flags & 4 != 0).then_some(size);
        Some(McpAnswer { key, end, status_code, has_failed: flags & 2 != 0, result_bytes })
    }
}
