//! Details that few requests and responses have.

use super::{BatchResults, Text};

/// Details that few requests and responses have. They are stored apart, so that other exchanges need no memory for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RareDetails {
    /// Service tier that the request asks for; None also if it leaves the choice to the provider.
    pub requested_tier: Option<Text>,
    /// Service tier that served the request.
    pub served_tier: Option<Text>,
    /// Fingerprint of the provider's configuration.
    pub system_fingerprint: Option<Text>,
    /// Level of reasoning that the request asks for, in the words of the API.
    pub reasoning_level: Option<Text>,
    /// Identifier of the response that the request continues.
    pub previous_response: Option<Text>,
    /// Number of dimensions that the request wants embeddings to have.
    pub dimensions: Option<u64>,
    /// Encodings that the request wants embeddings to have.
    pub encodings: Vec<Text>,
    /// Number of responses on the WebSocket; None for an exchange.
    pub responses: Option<u64>,
    /// Identifier by which requests fetch the answer or file: that of this request, or that which its answer gives, if it is not the
    /// identifier of the response.
    pub fetched: Option<Text>,
    /// Time from the start of the request that created the fetched answer to the end of this exchange, in nanoseconds; None if the
    /// gateway has not seen that request.
    pub age: Option<u64>,
    /// The results of a batch, if the request has fetched any.
    pub batch: Option<Box<BatchResults>>,
}
