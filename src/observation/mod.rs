//! What an exchange came to: plain data between the providers' rules (left) and signals and sinks (right).
//!
//! Every part is optional: unknown is not zero. Strings are bounded by [`crate::json::LIMIT`] bytes, lists by [`LIST`] entries.

mod quantities;

pub use crate::json::COUNT_LIMIT;
pub use quantities::Quantities;

/// Most entries a list (finish reasons, tool calls, stop sequences) keeps.
pub const LIST: usize = 128;

/// Largest cost of one call that is accepted, in nano-dollars: 1,000,000 USD.
pub const COST_LIMIT: u64 = 1_000_000_000_000_000;

/// A short string of the wire.
pub type Text = Box<str>;
/// The beginning of a text, of at most `limit` bytes, cut between two characters.
pub fn clipped(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A name of our own list, or one the configuration gives.
pub type Name = std::borrow::Cow<'static, str>;

/// One request and its response, as far as they have been read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// `gen_ai.operation.name`: an OpenTelemetry value where one fits, else a name of our own (`image_generation`).
    pub operation: &'static str,
    /// `gen_ai.provider.name`: an OpenTelemetry value where one fits.
    pub provider: Name,
    /// The gateway's name for the route, where the host tells one.
    pub route: Text,
    /// What the client asked for.
    pub request: Request,
    /// What the answer said of itself.
    pub response: Response,
    /// Values of the request's headers that the configuration makes labels, in its order.
    pub labels: Vec<Text>,
    /// What the provider's rate limits leave.
    pub limits: Limits,
    /// Tokens.
    pub usage: Usage,
    /// How a part of them is called.
    pub cache_attribute: CacheAttribute,
    /// What the answer asks the client's tools to do.
    pub output: Output,
    /// Where in its run an agent is.
    pub agent: Agent,
    /// Clock readings.
    pub timing: Timing,
    /// Money.
    pub cost: Cost,
    /// How it ended; None while it goes on.
    pub outcome: Option<Outcome>,
    /// The error, by its most specific low-cardinality name.
    pub error: Option<Text>,
    /// What could not be read.
    pub trouble: Troubles,
    /// What most exchanges have nothing of.
    pub rare: Option<Box<Rare>>,
}

/// What is known only where the configuration asks, apart so that other exchanges keep no room for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rare {
    /// First 8 bytes of the hash over the texts of all messages, one after the other.
    pub prompt_hash: Option<[u8; 8]>,
    /// The same over what the system says before the first message of a user.
    pub system_hash: Option<[u8; 8]>,
    /// The same over the tools offered, as they are written.
    pub tools_hash: Option<[u8; 8]>,
    /// The last message's text, redacted and cut.
    pub prompt: Option<Text>,
    /// The answer's text, redacted and cut.
    pub answer: Option<Text>,
    /// What somebody thinks of an earlier answer, 0 to 1,000.
    pub feedback: Option<u64>,
}

/// Whose numbers they are: what labels are made of, without the numbers. Later events are counted under it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Who {
    /// See [`Observation::operation`].
    pub operation: &'static str,
    /// See [`Observation::provider`].
    pub provider: Name,
    /// See [`Observation::route`].
    pub route: Text,
    /// See [`Request::model`].
    pub request_model: Option<Text>,
    /// See [`Response::model`].
    pub response_model: Option<Text>,
    /// See [`Request::conversation`].
    pub conversation: Option<Text>,
    /// See [`Observation::labels`].
    pub labels: Vec<Text>,
}

impl Who {
    /// Of an exchange.
    pub fn of(seen: &Observation) -> Self {
        Who {
            operation: seen.operation,
            provider: seen.provider.clone(),
            route: seen.route.clone(),
            request_model: seen.request.model.clone(),
            response_model: seen.response.model.clone(),
            conversation: seen.request.conversation.clone(),
            labels: seen.labels.clone(),
        }
    }

    /// An observation of nothing else.
    pub fn observation(self) -> Observation {
        let Who { operation, provider, route, labels, .. } = self;
        let mut seen = Observation { operation, provider, route, labels, ..Observation::default() };
        seen.request.model = self.request_model;
        seen.request.conversation = self.conversation;
        seen.response.model = self.response_model;
        seen
    }
}

/// The request's parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Model asked for.
    pub model: Option<Text>,
    /// Whether a stream was asked for.
    pub stream: Option<bool>,
    /// Most tokens to generate.
    pub max_tokens: Option<u64>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// Candidates per token.
    pub top_k: Option<f64>,
    /// Seed for repeatable sampling.
    pub seed: Option<i64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Strings that end the answer.
    pub stop_sequences: Vec<Text>,
    /// Answers asked for, where the request says so.
    pub choice_count: Option<u64>,
    /// `text`, `json`, `image` or `speech`, where the request says so.
    pub output_type: Option<&'static str>,
    /// The conversation's own identifier.
    pub conversation: Option<Text>,
    /// Messages in the request.
    pub messages: Option<u64>,
    /// First 8 bytes of the hash over the last message's text.
    pub hash: Option<[u8; 8]>,
    /// Unicode code points of the last message's text; None where there was no text.
    pub characters: Option<u64>,
    /// First 8 bytes of the hash over what system and user say first: one for all calls of a conversation.
    pub conversation_hash: Option<[u8; 8]>,
}

/// The response's description of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// HTTP status.
    pub status: Option<u16>,
    /// Model that answered.
    pub model: Option<Text>,
    /// The completion's identifier.
    pub id: Option<Text>,
    /// One per choice, in the provider's words; None where a choice has not said.
    pub finish_reasons: Vec<Option<Text>>,
}

/// Tokens, normalised: input with what was cached, output with reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input: Option<u64>,
    /// All output tokens, reasoning included.
    pub output: Option<u64>,
    /// Part of the input read from a cache.
    pub cache_read: Option<u64>,
    /// Part of the input written to a cache.
    pub cache_creation: Option<u64>,
    /// Part of the output spent on reasoning.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Whether the wire said anything.
    pub fn is_known(&self) -> bool {
        *self != Usage::default()
    }

    /// Whether no count is above [`COUNT_LIMIT`]. Sums of counts can be.
    pub fn is_possible(&self) -> bool {
        self.possible() == *self
    }

    /// The same without the counts that are above [`COUNT_LIMIT`].
    #[inline(never)]
    pub fn possible(&self) -> Usage {
        let possible = |count: Option<u64>| count.filter(|count| *count <= COUNT_LIMIT);
        Usage {
            input: possible(self.input),
            output: possible(self.output),
            cache_read: possible(self.cache_read),
            cache_creation: possible(self.cache_creation),
            reasoning: possible(self.reasoning),
        }
    }

    /// The sum of both, count by count.
    #[inline(never)]
    pub fn and(self, other: &Usage) -> Usage {
        let sum = |a: Option<u64>, b: Option<u64>| a.map_or(b, |a| Some(a.saturating_add(b.unwrap_or(0))));
        Usage {
            input: sum(self.input, other.input),
            output: sum(self.output, other.output),
            cache_read: sum(self.cache_read, other.cache_read),
            cache_creation: sum(self.cache_creation, other.cache_creation),
            reasoning: sum(self.reasoning, other.reasoning),
        }
    }
}

/// What the input written to a cache is called: OpenTelemetry renamed it, and backends know the one or the other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum CacheAttribute {
    /// `gen_ai.usage.cache_creation.input_tokens`
    #[default]
    Creation,
    /// `gen_ai.usage.cache_write.input_tokens`
    Write,
    /// Both.
    Both,
}

/// What the provider's rate limits leave, as the response's headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Requests.
    pub requests: Option<u64>,
    /// Tokens of either kind.
    pub tokens: Option<u64>,
    /// Input tokens.
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: Option<u64>,
    /// Seconds to wait before the next request.
    pub retry_after: Option<u64>,
}

/// The answer's shape; none of its words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Names of the client's tools called, one per call, in order.
    pub tools: Vec<Text>,
    /// First 8 bytes of the hash over the answer's text.
    pub hash: Option<[u8; 8]>,
    /// Unicode code points of the answer's text; None where there was no text.
    pub characters: Option<u64>,
    /// Where JSON was asked for: what the answer is.
    pub parsed: Option<Parsed>,
    /// The model refused, in its own words or by its finish reason.
    pub refused: bool,
    /// A complete answer with nothing in it: no text, no call of a tool, no refusal, nothing of another kind.
    pub empty: bool,
}

/// What an answer is that should be JSON.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parsed {
    /// Well-formed, with every key the schema requires of the outermost object.
    Whole,
    /// Well-formed, without one of them.
    Incomplete,
    /// Not JSON.
    Malformed,
}

impl Parsed {
    /// The word used in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Parsed::Whole => "ok",
            Parsed::Incomplete => "incomplete",
            Parsed::Malformed => "failed",
        }
    }
}

/// What the conversation shows of an agent's run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    /// The call's place in the run, from 1; None where no tools are in play, or the request does not show the run.
    pub iteration: Option<u64>,
    /// The run goes in circles.
    pub looping: Option<Loop>,
    /// It does so since this request.
    pub loop_began: bool,
    /// How the run ended with this call; None while it goes on.
    pub ended: Option<RunEnd>,
    /// Results of tools that this request brings for the first time.
    pub results: Vec<ToolResult>,
    /// The request's messages, where tools are in play.
    pub messages: Roles,
    /// Tools the request offers; 0 also where their number is not known.
    pub tools_offered: u16,
}

/// Messages by whose they are, each up to 65,535. One that brings results of tools is a tool's, whatever the API calls its sender.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Roles {
    /// The system's or developer's, as far as they stand among the messages.
    pub system: u16,
    /// A user's.
    pub user: u16,
    /// The model's.
    pub assistant: u16,
    /// Results of tools.
    pub tool: u16,
}

/// What a tool made of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolResult {
    /// Hash of the call's identifier; 0 where it has none.
    pub call: u64,
    /// The tool; None where neither request nor memory tells.
    pub name: Option<Text>,
    /// It is a failure.
    pub failed: bool,
    /// Length of its text, in bytes; None where nobody asks.
    pub bytes: Option<u64>,
    /// When the call was asked for, in nanoseconds since 1970; None where nobody remembers.
    pub asked: Option<u64>,
}

/// How an agent's run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RunEnd {
    /// With an answer that asks for no tool.
    Completed,
    /// It reached the configured number of iterations, and asks for more.
    MaxIterations,
    /// The same, going in circles.
    Loop,
    /// The call failed.
    Error,
    /// It asked for tools, and nobody ever brought their results.
    Abandoned,
}

impl RunEnd {
    /// The word used in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            RunEnd::Completed => "completed",
            RunEnd::MaxIterations => "max_iterations",
            RunEnd::Loop => "loop",
            RunEnd::Error => "error",
            RunEnd::Abandoned => "abandoned",
        }
    }
}

/// How a run goes in circles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loop {
    /// The same call with the same arguments, again and again.
    Retry,
    /// Two calls taking turns.
    Oscillation,
    /// The same tool again and again, each time with other arguments.
    Drift,
}

impl Loop {
    /// The word used in attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Loop::Retry => "retry",
            Loop::Oscillation => "oscillation",
            Loop::Drift => "drift",
        }
    }
}

/// Clock readings, in nanoseconds of one clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// The request's head arrived.
    pub start: u64,
    /// First byte of a streamed response's body.
    pub first_chunk: Option<u64>,
    /// First generated text, reasoning, refusal or tool call of a stream.
    pub first_token: Option<u64>,
    /// The exchange was over.
    pub end: Option<u64>,
}

impl Timing {
    /// Nanoseconds from the start to `reading`; a clock set back gives 0.
    pub fn since_start(&self, reading: Option<u64>) -> Option<u64> {
        reading.filter(|at| *at > self.start).map(|at| at - self.start)
    }
}

/// Price of the exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Nano-dollars (1e-9 USD).
    pub nanousd: Option<u64>,
    /// How the price was found, or why there is none.
    pub status: Option<CostStatus>,
}

/// How a price was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CostStatus {
    /// Told by the provider itself.
    Reported,
    /// From the price table.
    Priced,
    /// There is usage, but the table does not know the model.
    Unpriced,
    /// A successful answer that said no usage.
    NoUsage,
}

impl CostStatus {
    /// The word used in attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            CostStatus::Reported => "reported",
            CostStatus::Priced => "priced",
            CostStatus::Unpriced => "unpriced",
            CostStatus::NoUsage => "no_usage",
        }
    }
}

/// A finish reason in common words (wire-level words differ from provider to provider).
pub fn finish_class(reason: &str) -> &'static str {
    match reason {
        "stop" | "end_turn" | "stop_sequence" | "STOP" | "COMPLETE" | "STOP_SEQUENCE" | "FINISH" | "completed"
        | "eos_token" => "stop",
        "length"
        | "max_tokens"
        | "MAX_TOKENS"
        | "LENGTH"
        | "ERROR_LIMIT"
        | "model_length"
        | "incomplete"
        | "max_output_tokens"
        | "model_context_window_exceeded" => "length",
        "tool_calls" | "tool_call" | "tool_use" | "function_call" | "TOOL_CALL" | "requires_action" => "tool_call",
        "content_filter"
        | "refusal"
        | "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "guardrail_intervened"
        | "content_filtered"
        | "CONTENT_FILTERED"
        | "ERROR_TOXIC"
        | "MODEL_ARMOR"
        | "JAILBREAK" => "content_filter",
        "error" | "ERROR" | "TIMEOUT" | "failed" => "error",
        _ if reason.starts_with("malformed_") || reason.starts_with("MALFORMED_") => "error",
        _ => "other",
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Answered in full.
    Completed,
    /// Refused by the upstream: a status of 400 or more, or an error inside the answer.
    Error,
    /// The client went away.
    ClientDisconnect,
    /// The upstream broke off, or could not be reached.
    UpstreamReset,
    /// A time limit of the gateway passed.
    Timeout,
    /// The gateway answered by itself.
    LocalReply,
    /// The answer ended in good order, but without what should end it.
    Truncated,
}

impl Outcome {
    /// The word used in attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Error => "error",
            Outcome::ClientDisconnect => "client_disconnect",
            Outcome::UpstreamReset => "upstream_reset",
            Outcome::Timeout => "timeout",
            Outcome::LocalReply => "local_reply",
            Outcome::Truncated => "truncated",
        }
    }
}

/// A kind of thing that could not be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// Malformed JSON.
    Json,
    /// A count that is not a whole number from 0 to [`COUNT_LIMIT`], or a cost above [`COST_LIMIT`].
    Number,
    /// A frame whose lengths or checksum do not agree.
    Framing,
    /// A content encoding that cannot be read.
    Encoding,
}

impl Trouble {
    /// Every kind.
    pub const ALL: [Trouble; 4] = [Trouble::Json, Trouble::Number, Trouble::Framing, Trouble::Encoding];

    /// The word used in attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Trouble::Json => "json",
            Trouble::Number => "number",
            Trouble::Framing => "framing",
            Trouble::Encoding => "encoding",
        }
    }
}

/// A set of troubles.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Troubles(u8);

impl Troubles {
    /// Adds one.
    pub fn add(&mut self, trouble: Trouble) {
        self.0 |= 1 << trouble as u8;
    }

    /// Those seen, each once.
    pub fn iter(self) -> impl Iterator<Item = Trouble> {
        Trouble::ALL.into_iter().filter(move |t| self.0 & 1 << *t as u8 != 0)
    }
}

/// What became known since it was last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Changes {
    /// The request was read to its end.
    pub request: bool,
    /// The first token came.
    pub first_token: bool,
    /// Usage was said or changed.
    pub usage: bool,
    /// A stream has said all that it asks of tools: the client may act on it at once.
    pub asks: bool,
    /// The exchange is over.
    pub end: bool,
}

impl Changes {
    /// Whether there is any.
    pub fn any(self) -> bool {
        self != Changes::default()
    }
}
