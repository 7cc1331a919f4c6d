//! How an exchange ended, and what became known of it meanwhile.

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// The response is complete.
    Completed,
    /// The upstream answered with an error: a status of 400 or more, or an error in the body.
    Error,
    /// The client disconnected.
    ClientDisconnect,
    /// The upstream reset the stream or could not be reached.
    UpstreamReset,
    /// A timeout of the gateway expired while it waited for the upstream.
    Timeout,
    /// The gateway or one of its filters replied. No provider gave this answer.
    LocalReply,
    /// An attempt of a call failed, and the host did not show how. Only the role `upstream` sees attempts.
    AttemptFailed,
    /// The response ended without an error of the transport, but without the event that ends a complete one.
    Truncated,
}

impl Outcome {
    /// The value of attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Error => "error",
            Outcome::ClientDisconnect => "client_disconnect",
            Outcome::UpstreamReset => "upstream_reset",
            Outcome::Timeout => "timeout",
            Outcome::LocalReply => "local_reply",
            Outcome::AttemptFailed => "attempt_failed",
            Outcome::Truncated => "truncated",
        }
    }
}

/// In place of the outcome, from the end of the request on. A host calls nothing before the end of the span if the stream is
/// reset, so spans of such exchanges keep it.
pub const INTERRUPTED: &str = "interrupted";

/// What became known since the caller last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Changes {
    /// The request was read to its end.
    pub request: bool,
    /// The first token arrived.
    pub first_token: bool,
    /// Usage became known or changed.
    pub usage: bool,
    /// All tool calls of a stream are known. The client can send their results at once, before the stream ends.
    pub asks: bool,
    /// The exchange ended.
    pub end: bool,
}

impl Changes {
    /// Returns true if there is any change.
    pub fn any(self) -> bool {
        self != Changes::default()
    }
}
