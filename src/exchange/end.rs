//! How the host says an exchange ended, and Envoy's words for it.

/// How the host says an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// The response's last byte came.
    Whole,
    /// The client went away.
    ClientDisconnect,
    /// The upstream broke off or could not be reached.
    UpstreamReset,
    /// A time limit of the gateway passed.
    Timeout,
    /// The gateway answered by itself.
    LocalReply,
    /// Nobody knows: the host shows no bodies of responses.
    Unheard,
}

impl End {
    /// Reads Envoy's `response.code_details`: who answered, or who broke off.
    pub fn from_details(details: &str) -> Self {
        // What a filter or an upstream adds stands behind the name, in brackets.
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
    fn envoys_details_tell_who_broke_off() {
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
