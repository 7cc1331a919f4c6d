//! The attributes of an operation of MCP or A2A. The table [`RPC_ATTRIBUTES`] has one row for each.
//!
//! Spec: OpenTelemetry's semantic-conventions-genai v0.1.0, `docs/gen-ai/mcp.md`; the conventions have none for A2A. Arguments and results are content: only their size is
//! reported.

use super::Phase::{self, End, Request};
use super::{AttributeType, AttributeValue};
use crate::documentation::documentation;
use crate::rpc::{Protocol, RpcOperation, RpcTransport, TaskState};

/// An attribute of an operation: one row of [`RPC_ATTRIBUTES`].
#[derive(Clone, Copy)]
pub struct RpcAttribute {
    /// Its name. Envoy's filter state has it under `wasm.NAME`.
    pub name: &'static str,
    /// Its type.
    pub kind: AttributeType,
    /// Unit in the notation of UCUM; empty if there is none. Documentation only.
    pub unit: &'static str,
    /// When it is written.
    pub phase: Phase,
    /// What it says. Documentation only.
    pub doc: &'static str,
    read: RpcRead,
}

/// Reads the value of an attribute. Returns None if there is none.
type RpcRead = for<'o> fn(&'o RpcTransport, &'o RpcOperation) -> Option<AttributeValue<'o>>;

impl RpcAttribute {
    /// The value for an operation. Returns None if it is unknown.
    pub fn value<'o>(&self, transport: &'o RpcTransport, operation: &'o RpcOperation) -> Option<AttributeValue<'o>> {
        (self.read)(transport, operation)
    }
}

const fn of(
    name: &'static str,
    kind: AttributeType,
    unit: &'static str,
    phase: Phase,
    doc: &'static str,
    read: RpcRead,
) -> RpcAttribute {
    RpcAttribute { name, kind, unit: documentation(unit), phase, doc: documentation(doc), read }
}

const fn text(name: &'static str, phase: Phase, doc: &'static str, read: RpcRead) -> RpcAttribute {
    of(name, AttributeType::String, "", phase, doc, read)
}

const fn int(name: &'static str, unit: &'static str, doc: &'static str, read: RpcRead) -> RpcAttribute {
    of(name, AttributeType::Int, unit, End, doc, read)
}

/// Every attribute of an operation, in the order in which they are written.
pub const RPC_ATTRIBUTES: &[RpcAttribute] = &[
    text("mcp.method.name", Request, "method of the request of MCP, such as `tools/call`", |_, o| {
        of_protocol(o, Protocol::Mcp, Some(&o.method))
    }),
    text(
        "rpc.method",
        Request,
        "method of the request of A2A by its name in version 1.0, such as `SendMessage`",
        |_, o| of_protocol(o, Protocol::A2a, Some(&o.method)),
    ),
    text(
        "gen_ai.operation.name",
        End,
        "`execute_tool` for `tools/call`, unless the server asks for input first; `invoke_agent` for a message to an agent; otherwise not written",
        |_, o| present(Some(o.operation())),
    ),
    text("gen_ai.conversation.id", End, "conversation with the agent: `contextId` of A2A", |_, o| {
        present(o.context.as_deref())
    }),
    text("gen_ai.tool.name", Request, "tool that `tools/call` names", |_, o| present(o.tool())),
    text(
        "gen_ai.tool.call.arguments",
        End,
        "arguments of the tool with their escapes decoded, redacted and cut; needs `privacy.capture`",
        |_, o| present(o.arguments_text.as_deref().filter(|_| o.tool().is_some())),
    ),
    text("gen_ai.prompt.name", Request, "prompt that `prompts/get` names", |_, o| present(o.prompt())),
    text("mcp.resource.uri", Request, "resource that the request names", |_, o| present(o.uri.as_deref())),
    text("jsonrpc.request.id", Request, "identifier of the JSON-RPC request", |_, o| present(Some(&o.id))),
    text("mcp.session.id", Request, "session, if there is one", |t, _| present(t.session.as_deref())),
    text("mcp.protocol.version", Request, "version of MCP, such as `2025-11-25`", |t, o| {
        of_protocol(o, Protocol::Mcp, t.version.as_deref())
    }),
    text("gaugeway.a2a.version", Request, "version of A2A, such as `1.0`; `0.3` if the client sends none", |t, o| {
        of_protocol(o, Protocol::A2a, t.version.as_deref())
    }),
    text("gaugeway.task.id", End, "task that the request or the answer names", |_, o| present(o.task.as_deref())),
    text(
        "gaugeway.task.state",
        End,
        "last state of the task in the answer: `submitted`, `working`, `input_required`, `auth_required`, `completed`, `canceled`, `failed` or `rejected`",
        |_, o| present(o.state.map(TaskState::as_str)),
    ),
    text("server.address", Request, "server that the request names: the host of its authority", |t, _| {
        present(Some(&t.server.as_ref()?.address))
    }),
    of(
        "server.port",
        AttributeType::Int,
        "",
        Request,
        "port of that server; if the authority has none, that of the scheme",
        |t, _| Some(AttributeValue::Count(t.server.as_ref()?.port?.into())),
    ),
    int("rpc.response.status_code", "", "code of the JSON-RPC error", |_, o| {
        o.status_code.map(AttributeValue::Integer)
    }),
    text(
        "error.type",
        End,
        "why the operation failed: the code of the JSON-RPC error, `tool_error` if the tool failed, `task_failed` or `task_rejected` if the task of a message did, the HTTP status, or how the stream ended",
        |_, o| present(o.error.as_deref()),
    ),
    text(
        "gaugeway.mcp.join",
        Request,
        "how the call was joined with that of the model: `id`, `arguments`, or `ambiguous` if several fit; not written if none fits",
        |_, o| present(Some(o.join)),
    ),
    int(
        "gaugeway.mcp.progress",
        "{notification}",
        "number of notifications about progress; not written if 0",
        |_, o| Some(AttributeValue::Count(o.progress)).filter(|_| o.progress > 0),
    ),
    int("gaugeway.mcp.result.bytes", "By", "size of the content of the result, as JSON", |_, o| {
        o.result_bytes.filter(|_| o.protocol == Protocol::Mcp).map(AttributeValue::Count)
    }),
];

/// The text, if the operation is one of this protocol.
fn of_protocol<'t>(operation: &RpcOperation, protocol: Protocol, text: Option<&'t str>) -> Option<AttributeValue<'t>> {
    present(text.filter(|_| operation.protocol == protocol))
}

/// The text, unless it is empty.
fn present(text: Option<&str>) -> Option<AttributeValue<'_>> {
    text.filter(|text| !text.is_empty()).map(AttributeValue::Text)
}
