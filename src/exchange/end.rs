//! How an exchange ended at the host, and Envoy's names for it.

/// How an exchange ended at the host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// The response's last byte arrived.
    Whole,
    /// The client disconnected.
    ClientDisconnect,
    /// The upstream reset the stream or could not be reached.
    UpstreamReset,
    /// A timeout of the gateway expired.
    Timeout,
    /// The gateway sent a response of its own.
    LocalReply,
    /// An attempt of a call failed, and nothing shows how.
    AttemptFailed,
    /// Unknown: the host does not show response bodies.
    Unheard,
}

impl End {
    /// Parses Envoy's `response.code_details`.
    pub fn from_details(details: &str) -> Self {
        // Filters and upstreams append details to the name, in brackets.
        let name = details.split(['{', '[', '(']).next().unwrap_or_default();
        let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
        if name.is_empty() || name == "via_upstream" {
            End::Whole
        } else if name.ends_with("timeout") || name.ends_with("timed_out") {
            End::Timeout
        } else if begins(&["upstream_reset", "upstream_per_try", "no_healthy_upstream", "cluster_not_found"]) {
            End::UpstreamReset
        } else if begins(&["downstream", "http1.", "http2.", "http3."]) {
            End::ClientDisconnect
        } else {
            End::LocalReply
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
            (
                "upstream_reset_before_response_started{connection_failure|delayed_connect_error:_111}",
                End::UpstreamReset,
            ),
            ("upstream_reset_after_response_started{remote_reset}", End::UpstreamReset),
            ("no_healthy_upstream", End::UpstreamReset),
            ("downstream_remote_disconnect", End::ClientDisconnect),
            ("http2.remote_reset", End::ClientDisconnect),
            ("direct_response", End::LocalReply),
            ("rbac_access_denied_matched_policy[client_x]", End::LocalReply),
            ("request_payload_too_large", End::LocalReply),
        ] {
            assert_eq!(End::from_details(details), end, "{details}");
        }
    }
}
