//! How an attempt ended, by what Envoy shows to a filter of a cluster.
//!
//! Such a filter has no callback with the cause: when the stream of the attempt is destroyed, the response code details are
//! those of the call, and most failures have not set them yet. `tests/envoy/attempts.rs` has a test for each case.

use super::End;

/// What is known of an attempt when its stream is destroyed before the end of its response.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttemptFacts<'a> {
    /// `response.code_details` of the call; empty if there are none.
    pub details: &'a str,
    /// The status of the attempt's own response, if its head arrived.
    pub status: Option<u16>,
    /// True if no other attempt follows: the router passed the head of the response on.
    pub is_last: bool,
    /// True if no connection to the upstream could be opened.
    pub is_unreachable: bool,
    /// True if the attempt took at least the time that the router allows it.
    pub is_overdue: bool,
}

impl AttemptFacts<'_> {
    /// How the call ended, if these details say that it ended together with the attempt.
    pub fn end_of_call(details: &str) -> Option<End> {
        Some(End::from_details(details, None)).filter(|end| matches!(end, End::ClientDisconnect | End::Timeout))
    }

    /// How the attempt ended. [`End::AttemptFailed`] if its end cannot be told apart from others.
    pub fn end(&self) -> End {
        if let Some(end) = Self::end_of_call(self.details) {
            return end;
        }
        match self.status {
            // The router read the status, and started another attempt.
            Some(status) if !self.is_last && status >= 400 => End::Whole,
            Some(_) if !self.is_last => End::AttemptFailed,
            None if self.is_unreachable => End::UpstreamReset,
            _ if self.is_overdue => End::Timeout,
            Some(_) => End::UpstreamReset,
            None => End::AttemptFailed,
        }
    }

    /// Returns true if another attempt of the same call has answered: the call has details, and this attempt has no response.
    pub fn is_superseded(&self) -> bool {
        self.status.is_none() && self.details == "via_upstream"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_attempt_follows_from_what_envoy_shows() {
        let none = AttemptFacts::default();
        let cut = AttemptFacts { details: "via_upstream", status: Some(200), is_last: true, ..none };
        for (facts, end) in [
            (none, End::AttemptFailed),
            (AttemptFacts { is_unreachable: true, ..none }, End::UpstreamReset),
            (AttemptFacts { is_overdue: true, ..none }, End::Timeout),
            (AttemptFacts { details: "max_duration_timeout", ..none }, End::Timeout),
            (AttemptFacts { details: "stream_idle_timeout", ..cut }, End::Timeout),
            (AttemptFacts { details: "downstream_remote_disconnect", ..none }, End::ClientDisconnect),
            (AttemptFacts { details: "http2.remote_reset", is_overdue: true, ..cut }, End::ClientDisconnect),
            (cut, End::UpstreamReset),
            (AttemptFacts { is_overdue: true, ..cut }, End::Timeout),
            (AttemptFacts { status: Some(503), is_last: false, ..cut }, End::Whole),
            (AttemptFacts { status: Some(503), ..cut }, End::UpstreamReset),
            (AttemptFacts { is_last: false, ..cut }, End::AttemptFailed),
            (AttemptFacts { details: "via_upstream", ..none }, End::AttemptFailed),
            // The details of an earlier attempt of the call say nothing about this one.
            (AttemptFacts { details: "upstream_reset_before_response_started{overflow}", ..none }, End::AttemptFailed),
        ] {
            assert_eq!(facts.end(), end, "{facts:?}");
        }
    }

    #[test]
    fn only_an_attempt_without_a_response_is_superseded() {
        let answered = AttemptFacts { details: "via_upstream", ..AttemptFacts::default() };
        assert!(answered.is_superseded());
        assert!(!AttemptFacts { status: Some(503), ..answered }.is_superseded());
        assert!(!AttemptFacts::default().is_superseded());
    }
}
