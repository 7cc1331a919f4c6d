//! What a response says about itself: status, model, finish reasons, rate limits.

use super::Text;

/// What a response says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResponseDetails {
    /// HTTP status.
    pub status: Option<u16>,
    /// Model that answered.
    pub model: Option<Text>,
    /// Identifier of the response.
    pub id: Option<Text>,
    /// The finish reason of each choice; None for a choice without one.
    pub finish_reasons: Vec<Option<FinishReason>>,
}

/// Why the generation of one choice ended.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishReason {
    /// The word that the response has for it.
    pub word: Text,
    /// Its class.
    pub class: FinishClass,
}

/// The class of a finish reason. APIs have different words for one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FinishClass {
    /// The model ended the answer, or generated a stop sequence.
    Stop,
    /// The answer reached a limit on its length.
    Length,
    /// The answer calls tools of the client.
    ToolCall,
    /// A content filter stopped the answer, or the model refused.
    ContentFilter,
    /// The generation failed.
    Error,
    /// None of the above.
    Other,
}

impl FinishClass {
    /// The value of the label `finish_reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            FinishClass::Stop => "stop",
            FinishClass::Length => "length",
            FinishClass::ToolCall => "tool_call",
            FinishClass::ContentFilter => "content_filter",
            FinishClass::Error => "error",
            FinishClass::Other => "other",
        }
    }
}

/// What remains of the provider's rate limits, as the response headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RateLimits {
    /// Number of requests.
    pub requests: Option<u64>,
    /// Number of tokens, input and output together.
    pub tokens: Option<u64>,
    /// Number of input tokens.
    pub input_tokens: Option<u64>,
    /// Number of output tokens.
    pub output_tokens: Option<u64>,
    /// Seconds to wait before the next request.
    pub retry_after: Option<u64>,
}
