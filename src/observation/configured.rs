//! Fields that only some configurations ask for.

use super::Text;

/// Fields that are set only when configured. They are stored apart, so that other exchanges need no memory for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configured {
    /// First 8 bytes of the hash of the texts of all messages, concatenated. Setting: `privacy.hash`.
    pub prompt_hash: Option<[u8; 8]>,
    /// First 8 bytes of the hash of the system prompt: the system's text before the first user message. Setting: `privacy.hash`.
    pub system_hash: Option<[u8; 8]>,
    /// First 8 bytes of the hash of the offered tools, as the request's JSON has them. Setting: `privacy.hash`.
    pub tools_hash: Option<[u8; 8]>,
    /// Text of the last message, redacted and cut. Setting: `privacy.capture`.
    pub prompt: Option<Text>,
    /// Text of the answer, redacted and cut. Setting: `privacy.capture`.
    pub answer: Option<Text>,
    /// Score of a feedback request for an earlier answer, in thousandths: 0 to 1,000. Setting: `feedback.path`.
    pub feedback: Option<u64>,
}
