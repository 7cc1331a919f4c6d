//! The table of metric labels.

use crate::documentation::documentation;

/// A metric label: one row of [`LABELS`].
#[derive(Debug, PartialEq)]
pub struct Label {
    /// Its name in Prometheus. No name ends in another: Envoy finds a label by an expression that begins with `NAME=`.
    pub name: &'static str,
    /// Says where the values come from. Only the manual uses it.
    pub source: &'static str,
    /// Says if a client can choose the values, and if not, why. Only the manual uses it.
    pub client: &'static str,
    /// The client or the provider chooses the values, so their number has no bound. After `labels.max_series` series they
    /// are reported as `other`.
    pub unbounded: bool,
}

/// A label with a bounded number of values.
const fn bounded(name: &'static str, source: &'static str, client: &'static str) -> Label {
    Label { name, source: documentation(source), client: documentation(client), unbounded: false }
}

/// A label with an unbounded number of values.
const fn unbounded(name: &'static str, source: &'static str, client: &'static str) -> Label {
    Label { unbounded: true, ..bounded(name, source, client) }
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
    OPERATION = bounded("gen_ai_operation_name", "the API", FIXED);
    PROVIDER = bounded("gen_ai_provider_name", "host and path, or `apis[].provider`", FIXED);
    REQUEST_MODEL = unbounded("gen_ai_request_model", "the request's body or path", IF_KNOWN);
    RESPONSE_MODEL = unbounded("gen_ai_response_model", "the response's body", UNLESS_ECHOED);
    ROUTE = bounded("route", "name of the Envoy route", "no");
    TOKEN_TYPE = bounded("gen_ai_token_type", "`input` or `output`", FIXED);
    OUTCOME = bounded("outcome", "how the exchange ended", FIXED);
    ERROR_TYPE = unbounded("error_type", ERROR_SOURCE, "no: the provider chooses it");
    FINISH_REASON = bounded("finish_reason", "class of the provider's finish reason", FIXED);
    PARSE_ERROR = bounded("parse_error", "kind of what could not be read", FIXED);
    TOOL_NAME = unbounded("gen_ai_tool_name", "tool calls and tool results", "yes");
    KIND = bounded("kind", "kind of loop, of rate limit or of missing memory", FIXED);
    RESULT = bounded("result", "result of structured output, of span export or of `stream_usage.inject`", FIXED);
    STATUS = bounded("status", "how an agent's run ended", FIXED);
}

const IF_KNOWN: &str = "no: `other` unless the price table, `labels.models` or the answer knows the model";
const UNLESS_ECHOED: &str = "no, unless the upstream echoes the requested name";
const ERROR_SOURCE: &str = "the provider's error code, else the HTTP status, else the outcome";

/// The labels of every metric of exchanges. The labels of `labels.headers` follow them.
pub const COMMON: [&Label; 5] = [&OPERATION, &PROVIDER, &REQUEST_MODEL, &RESPONSE_MODEL, &ROUTE];

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
}
