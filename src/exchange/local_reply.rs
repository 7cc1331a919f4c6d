//! Answers that no provider gave: Envoy's reasons for them, and the sign of an answer that an upstream gave.
//!
//! Source: `ResponseCodeDetailValues` in Envoy's `stream_info.h`, and the response code details of the HTTP filters of Envoy
//! 1.36 to 1.40.

use super::Head;

/// The reason if Envoy's details are unknown, or if a plugin replied, which has none.
pub const LOCAL_REPLY: &str = "local_reply";

/// Beginnings of Envoy's response code details, and the values of `error.type`. The first match counts.
pub const REASONS: &[(&str, &str)] = &[
    ("request_rate_limited", "rate_limited"),
    ("local_rate_limited", "rate_limited"),
    ("rate_limiter_error", "rate_limiter_error"),
    ("ext_authz_denied", "ext_authz_denied"),
    ("ext_authz", "ext_authz_error"),
    ("rbac_access_denied", "rbac_access_denied"),
    ("jwt_authn_access_denied", "jwt_authn_failed"),
    ("missing_api_key", "api_key_denied"),
    ("unknown_api_key", "api_key_denied"),
    ("client_not_allowed", "api_key_denied"),
    ("no_credential_for_basic_auth", "basic_auth_denied"),
    ("invalid_credential_for_basic_auth", "basic_auth_denied"),
    ("invalid_format_for_basic_auth", "basic_auth_denied"),
    ("invalid_scheme_for_basic_auth", "basic_auth_denied"),
    ("oauth", "oauth"),
    ("csrf_origin_mismatch", "csrf_denied"),
    ("failed_to_inject_credential", "credential_error"),
    ("direct_response", DIRECT_RESPONSE),
    ("route_not_found", "no_route"),
    ("route_configuration_not_found", "no_route"),
    ("cluster_not_found", "cluster_not_found"),
    ("no_healthy_upstream", "no_healthy_upstream"),
    ("maintenance_mode", "maintenance_mode"),
    ("overload", "overload"),
    ("drop_overload", "overload"),
    ("unconditional_drop_overload", "overload"),
    ("reached_concurrency_limit", "concurrency_limit"),
    ("denied_by_admission_control", "admission_control"),
    ("dns_", "dns_failure"),
    ("dynamic_forward_proxy", "dns_failure"),
    ("sub_cluster_warming_timeout", "dns_failure"),
    ("request_payload", "request_payload_too_large"),
    ("response_payload_too_large", "response_payload_too_large"),
    ("request_overall_timeout", "request_timeout"),
    ("request_header_timeout", "request_timeout"),
    ("request_headers_failed_strict_check", "invalid_request"),
    ("filter_removed_required_request_headers", "invalid_request"),
    ("uhv.", "invalid_request"),
    ("upgrade_failed", "upgrade_failed"),
    ("fault_filter_abort", "fault_filter_abort"),
    ("lua_response", "lua_response"),
    ("ext_proc_error", "ext_proc_error"),
    ("cache.", "cache"),
];

/// The reason if a limit of connections or requests of the cluster was reached. Envoy calls it a reset.
pub(super) const OVERFLOW: &str = "overflow";
const DIRECT_RESPONSE: &str = "direct_response";
/// The reason if a route redirects. Envoy's details do not tell it from another direct response.
const REDIRECT: &str = "redirect";

/// The reason of Envoy's reply with this status.
pub(super) fn reason(details: &str, status: Option<u16>) -> &'static str {
    let known = REASONS.iter().find(|(beginning, _)| details.starts_with(beginning));
    match known.map_or(LOCAL_REPLY, |(_, reason)| *reason) {
        DIRECT_RESPONSE if status.is_some_and(|status| (300..400).contains(&status)) => REDIRECT,
        reason => reason,
    }
}

/// Returns true if the head shows that an upstream gave the answer, `elapsed` nanoseconds after the request began. If it
/// returns false, only the host knows.
///
/// Envoy's router adds `x-envoy-upstream-service-time`, the milliseconds that the upstream took. A cache or a filter can copy
/// it from another response. Such a copy is recognised by a status other than 2xx (a refusal of ext_authz), by `age`, or by a
/// time that is longer than the request took.
pub fn shows_upstream(head: Head<'_>, elapsed: u64) -> bool {
    let succeeded = head.text(":status").starts_with('2');
    let took = head.text("x-envoy-upstream-service-time").parse::<u64>().ok();
    succeeded && took.is_some_and(|took| took <= elapsed / 1_000_000) && head.bytes("age").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_shows_an_upstream_only_if_nothing_speaks_against_it() {
        let head = |status: &'static str, more: &[(&'static str, &'static str)]| {
            let pairs = [(":status", status)].into_iter().chain(more.iter().copied());
            pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect::<Vec<_>>()
        };
        let took = ("x-envoy-upstream-service-time", "12");
        for (pairs, elapsed, expected) in [
            (head("200", &[took]), 12_000_000, true),
            (head("200", &[took]), 11_999_999, false),
            (head("200", &[]), 12_000_000, false),
            (head("200", &[took, ("age", "3")]), 12_000_000, false),
            (head("403", &[took]), 12_000_000, false),
            (head("200", &[("x-envoy-upstream-service-time", "soon")]), 12_000_000, false),
        ] {
            assert_eq!(shows_upstream(Head(&pairs), elapsed), expected, "{pairs:?} after {elapsed}");
        }
    }
}
