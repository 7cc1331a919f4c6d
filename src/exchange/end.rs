//! How an exchange ended at the host, and Envoy's names for it.

use super::local_reply::{self, OVERFLOW};

/// How an exchange ended at the host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// The response's last byte arrived.
    Whole,
    /// The client disconnected.
    ClientDisconnect,
    /// The upstream reset the stream.
    UpstreamReset,
    /// The upstream could not be reached: nothing was sent.
    Unreachable,
    /// A timeout of the gateway expired while it waited for the upstream.
    Timeout,
    /// The gateway or one of its filters sent a response of its own, for this reason. It replaces or ends the upstream's answer
    /// if there was one.
    LocalReply(&'static str),
    /// An attempt of a call failed, and nothing shows how.
    AttemptFailed,
    /// Unknown: the host does not show response bodies.
    Unheard,
}

/// Details of timeouts that expire while Envoy waits for the upstream.
const TIMEOUTS: &[&str] = &[
    "response_timeout",
    "upstream_per_try_timeout",
    "upstream_per_try_idle_timeout",
    "upstream_max_stream_duration_reached",
    "stream_idle_timeout",
    "max_duration_timeout",
    "duration_timeout",
];

impl End {
    /// Parses Envoy's `response.code_details`. `status` is the response's status, if it is known.
    pub fn from_details(details: &str, status: Option<u16>) -> Self {
        // Filters and upstreams append details to the name, in brackets.
        let (name, more) = details.split_once(['{', '[', '(']).unwrap_or((details, ""));
        if name.is_empty() || name == "via_upstream" {
            End::Whole
        } else if TIMEOUTS.contains(&name) {
            End::Timeout
        } else if name.starts_with("upstream_reset") {
            match more.split(['|', ',', '}']).next().unwrap_or_default() {
                "overflow" => End::LocalReply(OVERFLOW),
                cause if cause.ends_with("connection_failure") || cause == "connection_timeout" => End::Unreachable,
                _ => End::UpstreamReset,
            }
        } else if ["downstream", "http1.", "http2.", "http3."].iter().any(|word| name.starts_with(word)) {
            End::ClientDisconnect
        } else {
            End::LocalReply(local_reply::reason(name, status))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoys_response_code_details_are_mapped_to_the_end() {
        for (details, end) in [
            ("", End::Whole),
            ("via_upstream", End::Whole),
            ("response_timeout", End::Timeout),
            ("stream_idle_timeout", End::Timeout),
            ("max_duration_timeout", End::Timeout),
            ("upstream_per_try_timeout", End::Timeout),
            ("upstream_max_stream_duration_reached", End::Timeout),
            ("upstream_reset_before_response_started{connection_failure|delayed_connect_error:_111}", End::Unreachable),
            (
                "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
                End::Unreachable,
            ),
            (
                "upstream_reset_before_response_started{remote_connection_failure,_transport_failure_reason:_x}",
                End::Unreachable,
            ),
            ("upstream_reset_before_response_started{connection_timeout}", End::Unreachable),
            ("upstream_reset_before_response_started{connection_termination}", End::UpstreamReset),
            ("upstream_reset_before_response_started{overflow}", End::LocalReply("overflow")),
            ("upstream_reset_after_response_started{remote_reset}", End::UpstreamReset),
            ("no_healthy_upstream", End::LocalReply("no_healthy_upstream")),
            ("cluster_not_found", End::LocalReply("cluster_not_found")),
            ("downstream_remote_disconnect", End::ClientDisconnect),
            ("http2.remote_reset", End::ClientDisconnect),
            ("direct_response", End::LocalReply("direct_response")),
            ("rbac_access_denied_matched_policy[client_x]", End::LocalReply("rbac_access_denied")),
            ("jwt_authn_access_denied{Jwt_is_missing}", End::LocalReply("jwt_authn_failed")),
            ("ext_proc_error_gRPC_error_14{upstream_reset_before_response_started}", End::LocalReply("ext_proc_error")),
            ("ext_proc_error_per-message_timeout_exceeded", End::LocalReply("ext_proc_error")),
            ("ext_authz_error", End::LocalReply("ext_authz_error")),
            ("request_overall_timeout", End::LocalReply("request_timeout")),
            ("request_payload_too_large", End::LocalReply("request_payload_too_large")),
            ("prompt refused by policy 7", End::LocalReply("local_reply")),
        ] {
            assert_eq!(End::from_details(details, Some(503)), end, "{details}");
        }
        assert_eq!(End::from_details("direct_response", Some(301)), End::LocalReply("redirect"));
    }
}
