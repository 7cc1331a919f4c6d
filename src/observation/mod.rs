//! The observation: what is known of one exchange (a request and its response). Provider rules fill it in; signals and sinks
//! read it.
//!
//! It is plain data. It names no provider and holds no setting. Every value is optional: an unknown value is None, not 0.
//! Bounds: a string has at most [`crate::json::LIMIT`] bytes, a list at most [`LIST`] entries, a count is at most
//! [`COUNT_LIMIT`], a cost at most [`COST_LIMIT`]; only the sums of a batch can be larger.

mod agent;
mod attribution;
mod batch;
mod cache_break;
mod client;
mod configured;
mod cost;
mod loops;
mod outcome;
mod output;
mod parse_error;
mod quantities;
mod rare;
mod request;
mod response;
mod server;
mod timing;
mod usage;

pub use crate::json::COUNT_LIMIT;
pub use agent::{Agent, Loop, Roles, RunEnd, ToolResult};
pub use attribution::Attribution;
pub use batch::{BatchResults, MODELS, ModelTotals};
pub use cache_break::{CacheBreak, CacheBreakCause};
pub use client::{ClientDetails, RequestKind};
pub use configured::Configured;
pub use cost::{Bill, COST_LIMIT, Cost, CostPart, CostStatus, Unpriced};
pub use loops::{LoopLimits, LoopState, STEPS, Step, Turn};
pub use outcome::{Changes, INTERRUPTED, Outcome};
pub use output::{GeneratedOutput, Parsed};
pub use parse_error::{ParseError, ParseErrors};
pub use quantities::{OtherQuantities, Quantities};
pub use rare::RareDetails;
pub use request::RequestParameters;
pub use response::{FinishClass, FinishReason, RateLimits, ResponseDetails};
pub use server::Server;
pub use timing::{ChunkGaps, Timing};
pub use usage::Usage;

/// Maximum number of entries of a list, such as finish reasons, tool calls or stop sequences.
pub const LIST: usize = 128;

/// A short string from a request or response.
pub type Text = Box<str>;

/// A name that is built in or that the configuration gives.
pub type Name = std::borrow::Cow<'static, str>;

/// The beginning of `text`: at most `limit` bytes, cut between two characters.
pub fn clipped(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// One request and its response, as far as they have been read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// `gen_ai.operation.name`: a value of OpenTelemetry if one fits, else a name of this project such as `image_generation`.
    pub operation: &'static str,
    /// `gen_ai.provider.name`: a value of OpenTelemetry if one fits.
    pub provider: Name,
    /// The server that the request names; None if it names none.
    pub server: Option<Server>,
    /// Name of the gateway's route; empty if the host does not give it.
    pub route: Text,
    /// The program that sent the request; None if nothing names it.
    pub client: Option<Box<ClientDetails>>,
    /// Parameters of the request.
    pub request: RequestParameters,
    /// What the response says about itself.
    pub response: ResponseDetails,
    /// Details that few requests and responses have; None if there are none.
    pub rare: Option<Box<RareDetails>>,
    /// Values of the request headers that the configuration makes labels, in the order of the configuration. A header that
    /// the request lacks has an empty value.
    pub labels: Vec<Text>,
    /// What remains of the provider's rate limits.
    pub limits: RateLimits,
    /// Token counts.
    pub usage: Usage,
    /// An estimate of what the provider's prompt cache lost since the previous call of the conversation; None if it lost nothing, or
    /// if it is not known.
    pub cache_break: Option<Box<CacheBreak>>,
    /// Properties of the generated output.
    pub output: GeneratedOutput,
    /// State of the agent's run that the request belongs to.
    pub agent: Agent,
    /// Clock readings.
    pub timing: Timing,
    /// Cost of the exchange.
    pub cost: Cost,
    /// The quantities that were used beside the token counts; None if there are none.
    pub quantities: Option<Box<OtherQuantities>>,
    /// How the exchange ended; None until it has ended.
    pub outcome: Option<Outcome>,
    /// The error's type, by the most specific name of low cardinality; None if there was no error.
    pub error: Option<Text>,
    /// What could not be read.
    pub parse_errors: ParseErrors,
    /// Fields that are set only when configured; None for an exchange that has none of them.
    pub configured: Option<Box<Configured>>,
}
