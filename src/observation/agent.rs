//! The state of an agent's run: the calls of a model from a user's message to the answer that needs no further tool.

use super::{LoopState, Text, Turn};

/// The state of an agent's run, as the messages of the request and the answer show it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    /// Number of this call in the run, from 1; None if no tools are used or if the request does not repeat the run.
    pub iteration: Option<u64>,
    /// How the run repeats itself; None if it does not.
    pub looping: Option<Loop>,
    /// The run repeats itself, and it did not in an earlier request, at least not in this way.
    pub loop_began: bool,
    /// The state after the turns that the request shows.
    pub loops: LoopState,
    /// The last of these turns, whose results the request brings. None if the request shows no call.
    pub last_turn: Option<Turn>,
    /// How the run ended with this call; None if it goes on.
    pub ended: Option<RunEnd>,
    /// The tool results that this request is the first to bring.
    pub results: Vec<ToolResult>,
    /// A message of the user follows the results.
    pub asks_again: bool,
    /// Number of messages of each role; zeros if no tools are used.
    pub messages: Roles,
    /// Number of tools that the request offers; 0 also if it is unknown.
    pub tools_offered: u16,
}

/// Number of messages of each role, each up to 65,535. A message with tool results counts as a tool's, whatever role the API
/// gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Roles {
    /// System and developer messages. A system prompt outside the list of messages is not counted.
    pub system: u16,
    /// User messages.
    pub user: u16,
    /// Messages of the model.
    pub assistant: u16,
    /// Messages with tool results.
    pub tool: u16,
}

/// The result of one tool call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolResult {
    /// Hash of the call's identifier. If neither the result nor the call has one, the same as `unnamed`.
    pub call: u64,
    /// The number of the call among those of its tool, see [`crate::json::unnamed_call`]. The answer's call has it as identifier if
    /// the answer had none and the client invented one. 0 if the tool is not known.
    pub unnamed: u64,
    /// Name of the tool; None if neither the request nor the memory of earlier calls has it.
    pub name: Option<Text>,
    /// The tool failed.
    pub failed: bool,
    /// Hash of the content; 0 if it cannot be read. Never reported.
    pub content: u64,
    /// Length of the result's text in bytes; None if it is not measured.
    pub bytes: Option<u64>,
    /// Time at which the model asked for the call, in nanoseconds since 1970; None if it is not remembered.
    pub called_at: Option<u64>,
    /// How long the calls of MCP for it took, in nanoseconds; None if no call of MCP was joined with it.
    pub served: Option<u64>,
}

/// How an agent's run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RunEnd {
    /// With an answer that calls no tool.
    Completed,
    /// It reached the configured number of iterations and calls further tools.
    MaxIterations,
    /// As `MaxIterations`, and the run repeats itself.
    Loop,
    /// The call failed.
    Error,
    /// The client stopped reading the answer.
    Cancelled,
    /// The model called tools, and no request brought their results in time.
    Abandoned,
    /// The model called tools, and the conversation went on without their results.
    Unknown,
}

impl RunEnd {
    /// The value of attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            RunEnd::Completed => "completed",
            RunEnd::MaxIterations => "max_iterations",
            RunEnd::Loop => "loop",
            RunEnd::Error => "error",
            RunEnd::Cancelled => "cancelled",
            RunEnd::Abandoned => "abandoned",
            RunEnd::Unknown => "unknown",
        }
    }
}

/// How an agent's run repeats itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loop {
    /// A turn is repeated: the same calls with the same results.
    Retry,
    /// Two turns alternate, each with the same results.
    Oscillation,
    /// One tool is called turn after turn, each time with other arguments.
    Drift,
}

impl Loop {
    /// The value of attributes and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Loop::Retry => "retry",
            Loop::Oscillation => "oscillation",
            Loop::Drift => "drift",
        }
    }
}
