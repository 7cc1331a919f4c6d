//! Who gave an answer: an upstream, or Envoy or a filter behind the plugin.
//!
//! What Envoy 1.36 to 1.40 shows of a reply that no upstream gave: it passes the plugin if it is made before the response, and
//! replaces the response code details, with nothing if a plugin made it. A reply made when the response's headers have come
//! does not pass the plugin: only `on_log` shows it. A head that shows an upstream costs no host call.

use super::host;
use crate::config::Role;
use crate::exchange::{End, Head, LOCAL_REPLY, shows_upstream};

/// How the response with this head ends if nothing cuts it: whole if it comes from an upstream.
/// `elapsed` are the nanoseconds since the start of the stream.
pub fn end_of(head: Head<'_>, elapsed: u64, role: Role) -> End {
    if shows_upstream(head, elapsed) {
        return End::Whole;
    }
    match end_by_details(head.text(":status").parse().ok()) {
        // Without an address, no upstream was chosen. In a cluster's chain each response comes from the upstream.
        Some(end) => end,
        None if role == Role::Listener && has_code() && !has_upstream() => End::LocalReply(LOCAL_REPLY),
        None => End::Whole,
    }
}

/// How the stream ended that the host has closed. `answer` is the result of [`end_of`], if the response began, and `details` are
/// the response code details. `status` is that of the response, if it began.
pub fn end_of_stream(status: Option<u16>, role: Role, answer: End, details: &str) -> End {
    if answer != End::Whole {
        return answer;
    }
    if !details.is_empty() {
        return End::from_details(details, status);
    }
    if role == Role::Listener && status.is_none() && has_code() { End::LocalReply(LOCAL_REPLY) } else { End::Whole }
}

/// Envoy's response code details. Empty if there are none.
pub fn details() -> String {
    String::from_utf8(host::property("response\0code_details").unwrap_or_default()).unwrap_or_default()
}

/// The end by Envoy's response code details; None if there are none.
fn end_by_details(status: Option<u16>) -> Option<End> {
    Some(details()).filter(|details| !details.is_empty()).map(|details| End::from_details(&details, status))
}

/// Returns true if the host has a response and shows its properties.
fn has_code() -> bool {
    host::property("response\0code").is_some()
}

fn has_upstream() -> bool {
    host::property("upstream\0address").is_some()
}
