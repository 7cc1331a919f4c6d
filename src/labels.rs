//! The table of metric labels.

use crate::documentation::documentation;

/// A metric label: one row of [`LABELS`].
#[derive(Debug, PartialEq)]
pub struct Label {
    /// Its name in Prometheus. No name ends in another: Envoy finds a label by an expression that begins with `NAME=`.
    pub name: &'static str,
    /// Its name as an attribute in OTLP.
    pub attribute: &'static str,
    /// Says where the values come from. Only the manual uses it.
    pub source: &'static str,
    /// Says if a client can choose the values, and if not, why. Only the manual uses it.
    pub client: &'static str,
    /// The kind of its names. None if a fixed list or the operator's configuration bounds them.
    pub kind: Option<NameKind>,
}

/// A kind of name that clients or providers choose, so that the number of names has no bound. Each kind has its own share of
/// the series. A series without room loses names in this order: the first kind first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NameKind {
    /// The values of headers in `labels.headers`.
    Header,
    /// An error type that [`is_common_error`] does not know.
    ErrorType,
    /// The model that an answer names, unless it is a name of the price table or of `labels.models`.
    ResponseModel,
    /// A tool that an answer has called.
    ToolName,
    /// A server of tools or agents.
    ServerAddress,
    /// A model of the price table.
    RequestModel,
}

impl NameKind {
    /// Every kind, in the order of the bits.
    pub const ALL: [NameKind; 6] = [
        NameKind::Header,
        NameKind::ErrorType,
        NameKind::ResponseModel,
        NameKind::ToolName,
        NameKind::ServerAddress,
        NameKind::RequestModel,
    ];

    /// The kind in a set of kinds.
    pub const fn bit(self) -> usize {
        1 << self as usize
    }

    /// Its name in `gaugeway_series_overflow_total`.
    pub const fn as_str(self) -> &'static str {
        match self {
            NameKind::Header => "header",
            NameKind::ErrorType => "error_type",
            NameKind::ResponseModel => "response_model",
            NameKind::ToolName => "tool_name",
            NameKind::ServerAddress => "server_address",
            NameKind::RequestModel => "request_model",
        }
    }
}

/// A label with a bounded number of values.
const fn bounded(name: &'static str, attribute: &'static str, source: &'static str, client: &'static str) -> Label {
    Label { name, attribute, source: documentation(source), client: documentation(client), kind: None }
}

/// A label with an unbounded number of values.
const fn unbounded(
    kind: NameKind,
    name: &'static str,
    attribute: &'static str,
    source: &'static str,
    client: &'static str,
) -> Label {
    Label { kind: Some(kind), ..bounded(name, attribute, source, client) }
}

const FIXED: &str = "no: fixed list";

/// Defines each row as a constant, and [`LABELS`] with all of them.
macro_rules! labels {
    ($($row:ident = $label:expr;)*) => {
        $(
            /// A row of [`LABELS`].
            pub const $row: Label = $label;
        )*

        /// Every label, except those that `labels.headers` adds.
        pub const LABELS: &[&Label] = &[$(&$row),*];
    };
}

labels! {
    OPERATION = bounded("gen_ai_operation_name", "gen_ai.operation.name", "the API", FIXED);
    PROVIDER = bounded("gen_ai_provider_name", "gen_ai.provider.name", "host and path, or `apis[].provider`", FIXED);
    REQUEST_MODEL = unbounded(NameKind::RequestModel, "gen_ai_request_model", "gen_ai.request.model", REQUESTED, IF_KNOWN);
    RESPONSE_MODEL = unbounded(NameKind::ResponseModel, "gen_ai_response_model", "gen_ai.response.model", "the response's body", UNLESS_ECHOED);
    ROUTE = bounded("route", "gaugeway.route", "name of the Envoy route", "no");
    TOKEN_TYPE = bounded("gen_ai_token_type", "gen_ai.token.type", "`input` or `output`", FIXED);
    TOKEN_MODALITY = bounded("gen_ai_token_modality", "gen_ai.token.modality", "`audio`, `image`, `text`, or `unknown` for what the provider does not tell apart", FIXED);
    PART = bounded("part", "gaugeway.part", "part of the cost, what had no rate, or part of the time of a tool", FIXED);
    OUTCOME = bounded("outcome", "gaugeway.outcome", "how the exchange ended", FIXED);
    ERROR_TYPE = unbounded(NameKind::ErrorType, "error_type", "error.type", ERROR_SOURCE, "no: the provider chooses it");
    FINISH_REASON = bounded("finish_reason", "gaugeway.finish_reason", "class of the provider's finish reason", FIXED);
    PARSE_ERROR = bounded("parse_error", "gaugeway.parse_error", "kind of what could not be read", FIXED);
    TOOL_NAME = unbounded(NameKind::ToolName, "gen_ai_tool_name", "gen_ai.tool.name", "tool calls in answers", IF_CALLED);
    KIND = bounded("kind", "gaugeway.kind", "kind of loop, of rate limit, of name, of unread traffic or of a provider's tool", FIXED);
    RESULT = bounded("result", "gaugeway.result", "result of structured output, of the export of spans, metrics and log records, or of `stream_usage.inject`", FIXED);
    CAUSE = bounded("cause", "gaugeway.cause", "why a prompt cache was not read", FIXED);
    STATUS = bounded("status", "gaugeway.status", "how an agent's run ended", FIXED);
    MCP_METHOD = bounded("mcp_method_name", "mcp.method.name", "the request of MCP; `other` for a method that the specification does not have", FIXED);
    MCP_VERSION = bounded("mcp_protocol_version", "mcp.protocol.version", "the session of MCP; `other` for a version that the plugin does not know", FIXED);
    RPC_METHOD = bounded("rpc_method", "rpc.method", "the request of A2A, by its name in version 1.0; `other` for a method that the specification does not have", FIXED);
    SERVER_ADDRESS = unbounded(NameKind::ServerAddress, "server_address", "server.address", "host of the request's authority, of MCP and A2A", IF_SERVED);
    TASK_STATE = bounded("task_state", "gaugeway.task.state", "the last state of the task in an answer", FIXED);
    CLIENT_NAME = bounded("client_name", "gaugeway.client.name", "the client, if it is a known one", "only a value of a fixed list");
}

const REQUESTED: &str = "the price table's name of the requested model, or its name in `labels.models`; else the answer's name if \
    the requested name begins it; else `other`";
const IF_KNOWN: &str = "no, but it can choose any model of the price table";
const UNLESS_ECHOED: &str = "no, unless the upstream echoes the requested name";
const IF_CALLED: &str =
    "no, unless it has a model call tools with invented names; `other` for a tool that no answer named";
const IF_SERVED: &str =
    "no, unless a server answers for invented hosts; `other` for a server of which no operation has succeeded";
const ERROR_SOURCE: &str = "the provider's error code, else the HTTP status, else the outcome";

/// The labels that metrics of exchanges share. [`Scope`] says which of them a metric has. The labels of `labels.headers` follow
/// them.
pub const COMMON: [&Label; 5] = [&OPERATION, &PROVIDER, &REQUEST_MODEL, &RESPONSE_MODEL, &ROUTE];

/// Which labels of [`COMMON`] a metric has. Models and routes multiply, and a histogram takes six times the memory of a counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scope {
    /// All: counts of calls, tokens and money.
    Exchange,
    /// Both models, but no route: the counters of the conventions.
    Models,
    /// The requested model, but no route: latencies and other distributions.
    Model,
    /// The route, but no models: agents, tools and the plugin's own reading.
    Route,
    /// Neither.
    Provider,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 5] = [Scope::Exchange, Scope::Models, Scope::Model, Scope::Route, Scope::Provider];

    /// True for each label of [`COMMON`] that the metric has.
    pub const fn has(self) -> [bool; COMMON.len()] {
        match self {
            Scope::Exchange => [true, true, true, true, true],
            Scope::Models => [true, true, true, true, false],
            Scope::Model => [true, true, true, false, false],
            Scope::Route => [true, true, false, false, true],
            Scope::Provider => [true, true, false, false, false],
        }
    }

    /// The labels.
    pub fn labels(self) -> impl Iterator<Item = &'static Label> {
        COMMON.into_iter().zip(self.has()).filter_map(|(label, has)| has.then_some(label))
    }
}

/// Returns true for an HTTP status and for the common error types of providers and of this plugin. They take no share of the
/// unbounded names.
pub fn is_common_error(name: &str) -> bool {
    let is_status = name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_digit());
    is_status || COMMON_ERRORS.contains(&name)
}

const COMMON_ERRORS: &[&str] = &[
    // Outcomes and local answers.
    "_OTHER",
    "admission_control",
    "api_key_denied",
    "attempt_failed",
    "basic_auth_denied",
    "cache",
    "client_disconnect",
    "cluster_not_found",
    "concurrency_limit",
    "credential_error",
    "csrf_denied",
    "direct_response",
    "dns_failure",
    "error",
    "ext_authz_denied",
    "ext_authz_error",
    "ext_proc_error",
    "fault_filter_abort",
    "invalid_request",
    "jwt_authn_failed",
    "local_reply",
    "lua_response",
    "maintenance_mode",
    "no_healthy_upstream",
    "no_route",
    "oauth",
    "overflow",
    "overload",
    "rate_limited",
    "rate_limiter_error",
    "rbac_access_denied",
    "redirect",
    "request_payload_too_large",
    "request_timeout",
    "response_payload_too_large",
    "timeout",
    "truncated",
    "upgrade_failed",
    "upstream_reset",
    // Codes and types of the documented error objects.
    "api_error",
    "authentication_error",
    "billing_error",
    "content_filter",
    "context_length_exceeded",
    "insufficient_quota",
    "internal_error",
    "internal_server_error",
    "invalid_api_key",
    "invalid_request_error",
    "model_not_found",
    "not_found_error",
    "overloaded_error",
    "permission_error",
    "rate_limit_error",
    "rate_limit_exceeded",
    "request_too_large",
    "server_error",
    "timeout_error",
    // Failures of operations of MCP and A2A: of a tool, of a task, and of JSON-RPC.
    "tool_error",
    "task_failed",
    "task_rejected",
    "-32000",
    "-32001",
    "-32002",
    "-32003",
    "-32004",
    "-32005",
    "-32006",
    "-32007",
    "-32008",
    "-32009",
    "-32020",
    "-32021",
    "-32022",
    "-32042",
    "-32600",
    "-32601",
    "-32602",
    "-32603",
    "-32700",
    // Status codes of gRPC.
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "INTERNAL",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    // Names of exceptions.
    "AccessDeniedException",
    "InternalServerException",
    "ModelErrorException",
    "ModelNotReadyException",
    "ModelTimeoutException",
    "ResourceNotFoundException",
    "ServiceQuotaExceededException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "ValidationException",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_ends_in_another() {
        for (at, label) in LABELS.iter().enumerate() {
            for other in LABELS.iter().skip(at + 1) {
                assert!(!label.name.ends_with(other.name) && !other.name.ends_with(label.name), "{label:?}, {other:?}");
            }
        }
    }

    #[test]
    fn the_common_labels_are_rows_of_the_table() {
        assert!(COMMON.iter().all(|label| LABELS.contains(label)));
    }

    #[test]
    fn each_kind_of_name_has_its_own_bit_and_name() {
        for (at, kind) in NameKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.bit(), 1 << at);
            assert_eq!(NameKind::ALL.iter().filter(|other| other.as_str() == kind.as_str()).count(), 1);
        }
    }

    #[test]
    fn an_http_status_is_a_common_error_and_an_invented_name_is_not() {
        assert!(["429", "503", "rate_limit_exceeded", "truncated"].into_iter().all(is_common_error));
        assert!(!["", "4290", "42a", "invented"].into_iter().any(is_common_error));
    }
}
