//! The attempt of a call that an instance in a cluster's filter chain sees. The host calls `on_delete` at its end, and not
//! `on_log`.
//!
//! Filter state belongs to the call and cannot be removed. So an attempt writes attributes of its response only once the router
//! has passed the response on: then no further attempt follows that would have to remove them.

use super::host;
use crate::exchange::{AttemptFacts, Head};

/// The router's time limit of the attempt, in milliseconds. Absent if there is none, or with `suppress_envoy_headers`.
const TIME_LIMIT: &str = "x-envoy-expected-rq-timeout-ms";
/// Envoy's timers have milliseconds and start before or after the filter's clock reading: they may seem to expire this many
/// nanoseconds early, at most a sixteenth of the limit.
const EARLY: u64 = 25_000_000;

/// An attempt of a call.
pub struct Attempt {
    /// The router's time limit in nanoseconds.
    time_limit: Option<u64>,
    /// True if Envoy made the request itself: it mirrored the request of a client.
    pub is_mirrored: bool,
    /// True if no other attempt follows: the router has passed the response on, or the call has ended.
    pub is_last: bool,
}

impl Attempt {
    /// The attempt with this request head.
    pub fn start(head: Head<'_>) -> Self {
        let time_limit: Option<u64> = head.text(TIME_LIMIT).parse().ok();
        Attempt {
            time_limit: time_limit.filter(|millis| *millis > 0).map(|millis| millis.saturating_mul(1_000_000)),
            is_mirrored: is_mirrored(),
            is_last: false,
        }
    }

    /// The facts of the attempt when its stream is destroyed. `status` is that of the attempt's own response, `elapsed` are nanoseconds.
    pub fn facts<'a>(&mut self, details: &'a str, status: Option<u16>, elapsed: u64) -> AttemptFacts<'a> {
        // The code of the call is known from the head of a response that was passed on.
        self.is_last = self.is_last
            || AttemptFacts::end_of_call(details).is_some()
            || status.is_some() && response_code() == status;
        AttemptFacts {
            details,
            status,
            is_last: self.is_last,
            is_unreachable: status.is_none() && host::property("upstream\0transport_failure_reason").is_some(),
            is_overdue: self.time_limit.is_some_and(|limit| elapsed.saturating_add(EARLY.min(limit / 16)) >= limit),
        }
    }
}

/// Returns true if Envoy made the request itself, so that it came on no connection.
pub fn is_mirrored() -> bool {
    host::property("connection\0id").is_none()
}

/// The status of the response that the client gets, if there is one.
fn response_code() -> Option<u16> {
    let code = host::property("response\0code")?;
    u16::try_from(u64::from_le_bytes(*code.first_chunk()?)).ok()
}
