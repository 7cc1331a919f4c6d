//! Names of the labels of metrics.

/// Every label, as Envoy's tag regexes find them: none ends in another.
pub const LABELS: &[&str] = &[
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
    "route",
    "gen_ai_token_type",
    "outcome",
    "error_type",
    "finish_reason",
    "trouble",
    "gen_ai_tool_name",
    "kind",
    "result",
    "status",
];
