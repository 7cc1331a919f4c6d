//! The loss of a provider's prompt cache between two calls of a conversation, and its cause.

/// An estimate of what the provider's prompt cache lost since the previous call of the conversation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheBreak {
    /// Why the cache was not read.
    pub cause: CacheBreakCause,
    /// Number of the first message that differs from the previous call's, from 1 in the order of the request. Reasoning items are
    /// not counted. None if the cause is another one, or if the message is not among those that are remembered.
    pub message: Option<u32>,
    /// Estimate: input tokens that were in the cache after the previous call and were not read from it in this call.
    pub lost_tokens: u64,
    /// Estimate: what these tokens cost more than if they had been read from the cache, in nano-dollars. None if no rate is known.
    pub lost_nanousd: Option<u64>,
}

/// Why a provider's prompt cache was not read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CacheBreakCause {
    /// Another model or provider was asked, or answered.
    Model,
    /// A parameter changed that a cached prefix depends on.
    Parameters,
    /// The offered tools changed.
    Tools,
    /// The system prompt changed.
    System,
    /// An earlier message changed or is missing.
    Message,
    /// Nothing changed, and more time passed than the provider keeps a prefix.
    Expired,
    /// The previous call was shorter than the shortest prompt that the provider caches.
    BelowMinimum,
    /// The prefix is unchanged and the provider should still have it. Its cache was not read nevertheless.
    Unknown,
}

impl CacheBreakCause {
    /// The value of attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            CacheBreakCause::Model => "model",
            CacheBreakCause::Parameters => "parameters",
            CacheBreakCause::Tools => "tools",
            CacheBreakCause::System => "system",
            CacheBreakCause::Message => "message",
            CacheBreakCause::Expired => "expired",
            CacheBreakCause::BelowMinimum => "below_minimum",
            CacheBreakCause::Unknown => "unknown",
        }
    }
}
