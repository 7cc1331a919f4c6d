//! The parameters of a request.

use super::Text;

/// The parameters of a request, in the terms of OpenTelemetry's `gen_ai.request.*` attributes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestParameters {
    /// Requested model.
    pub model: Option<Text>,
    /// True if the request asks for a stream. None if it does not say.
    pub stream: Option<bool>,
    /// True if the request says whether a stream has usage.
    pub decides_usage: bool,
    /// Maximum number of tokens to generate.
    pub max_tokens: Option<u64>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling threshold, 0 to 1.
    pub top_p: Option<f64>,
    /// Number of candidates per token. It is a real number, as in OpenTelemetry.
    pub top_k: Option<f64>,
    /// Seed for repeatable sampling.
    pub seed: Option<i64>,
    /// Frequency penalty, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Presence penalty, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Strings that end the answer.
    pub stop_sequences: Vec<Text>,
    /// Number of requested answers, if the request gives it.
    pub choice_count: Option<u64>,
    /// Requested output type, if the request gives it: `text`, `json`, `image` or `speech`.
    pub output_type: Option<&'static str>,
    /// Kind of the API, if OpenTelemetry has a word for it.
    pub api_kind: Option<&'static str>,
    /// Identifier of the conversation.
    pub conversation: Option<Text>,
    /// Number of messages in the request.
    pub messages: Option<u64>,
    /// First 8 bytes of the hash of the last message's text.
    pub hash: Option<[u8; 8]>,
    /// Length of the last message's text in Unicode code points; None if it has no text.
    pub characters: Option<u64>,
    /// First 8 bytes of the hash of the system prompt and the first user message. All calls of a conversation have the same.
    pub conversation_hash: Option<[u8; 8]>,
}
