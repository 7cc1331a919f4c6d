//! The messages of a request, as the history of an agent's run: its iteration, its tool calls and their results.
//!
//! A run begins with the last message of a user that does not follow tool results. Calls are kept as hashes, results as plain data
//! without their text, see [`turn`]. Turns before the last one are kept as a state of fixed size, see
//! [`crate::observation::LoopState`].

mod failure;
#[cfg(test)]
mod tests;
mod turn;

use crate::budget::Share;
use crate::bytes::mix::Mix;
use crate::json::{ObjectHash, Scalar, identity};
use crate::observation::{Agent, Loop, LoopLimits, LoopState, Roles, Text};
use turn::LastTurn;

/// The history of a request, as far as it has been read.
#[derive(Default)]
pub struct History {
    /// Number of the assistant's turns with tool calls since the user's last message.
    turns: u64,
    turn: LastTurn,
    /// The state after the turns before the last one.
    loops: LoopState,
    limits: LoopLimits,
    messages: Roles,
    /// True if the request offers tools.
    offers_tools: bool,
    /// Number of tools offered. 0 if it is not known.
    tools_offered: u16,
    message: OpenMessage,
    call: CallInProgress,
    saw_message: bool,
    /// True if the assistant's message before, or the messages in a row before, had calls.
    follows_calls: bool,
    /// True if the previous item was a call, for APIs in which calls are items.
    in_turn: bool,
    /// True if results were read, and no answer to them since.
    awaits_answer: bool,
    /// True if a message of the user follows these results.
    asks_again: bool,
}

/// The message that is being read.
#[derive(Default)]
struct OpenMessage {
    role: MessageRole,
    has_calls: bool,
    has_results: bool,
    /// For a message between agents: how many levels the recipient is below the author.
    level: i32,
    /// Hash of its strings.
    hash: u64,
}

/// The author of a message.
#[derive(Clone, Copy, Default, PartialEq)]
enum MessageRole {
    #[default]
    Unknown,
    User,
    Assistant,
    Tool,
    System,
}

/// The tool call that is being read.
#[derive(Default)]
struct CallInProgress {
    id: u64,
    name: Option<Text>,
    arguments: ObjectHash,
}

impl History {
    /// Maximum memory of a history, without that of its calls and results, in bytes.
    pub const BOUND: usize = size_of::<History>();

    /// Sets where the calls and results reserve memory.
    pub fn set_share(&mut self, share: Option<Share>) {
        self.turn.share = share;
    }

    /// Returns true if there was no memory for calls and results.
    pub fn lacks_memory(&self) -> bool {
        self.turn.lacks_memory
    }

    /// Measures the length of tool results from now on.
    pub fn measure_results(&mut self) {
        self.turn.measures_length = true;
    }

    /// Sets after how many repetitions the run counts as a loop.
    pub fn set_loop_limits(&mut self, limits: LoopLimits) {
        self.limits = limits;
    }

    /// A message begins.
    pub fn message_opened(&mut self) {
        self.message = OpenMessage::default();
        self.call = CallInProgress::default();
        self.turn.opened();
        self.saw_message = true;
    }

    /// Sets the message's role.
    pub fn role(&mut self, value: Scalar<'_>) {
        self.message.role = match value {
            Scalar::Text("user") => MessageRole::User,
            Scalar::Text("assistant" | "model") => MessageRole::Assistant,
            Scalar::Text("tool" | "function") => MessageRole::Tool,
            Scalar::Text("system" | "developer") => MessageRole::System,
            _ => MessageRole::Unknown,
        };
    }

    /// Adds the level of an agent's path, times `sign`, to that of the message.
    pub fn message_level(&mut self, path: &str, sign: i32) {
        let level = path.bytes().filter(|byte| *byte == b'/').count();
        let level = sign.saturating_mul(i32::try_from(level).unwrap_or(0));
        self.message.level = self.message.level.saturating_add(level);
    }

    /// A message between agents ends. A message to an agent below the author is a task and begins a run, whatever its history shows:
    /// Codex gives an agent a copy of the history of the one above it.
    pub fn agent_message_closed(&mut self) {
        if self.message.level > 0 {
            self.start_run();
            self.awaits_answer = false;
        }
    }

    /// The letter of the message's role in [`crate::text::transcript`].
    pub fn role_letter(&self) -> u8 {
        match self.message.role {
            MessageRole::User => b'u',
            MessageRole::Assistant => b'a',
            MessageRole::System => b's',
            MessageRole::Tool => b't',
            MessageRole::Unknown => b'-',
        }
    }

    /// Hash of the message's strings so far.
    pub fn text_hash(&self) -> u64 {
        self.message.hash
    }

    /// Returns true if the message's text may be a tool's result: its role is that of a tool, or not known yet.
    pub fn may_be_result(&self) -> bool {
        matches!(self.message.role, MessageRole::Unknown | MessageRole::Tool)
    }

    /// The message ends. Returns true for a message of the user, false for one of the system, None for others.
    pub fn message_closed(&mut self) -> Option<bool> {
        if self.message.role == MessageRole::Tool {
            self.turn.closed();
        }
        match self.message.role {
            // A user's message with tool results continues the run, whatever else is in it. So does one behind the results.
            MessageRole::User if !self.message.has_results => {
                match self.awaits_answer {
                    true => self.asks_again = true,
                    false => self.start_run(),
                }
                increment(&mut self.messages.user);
            }
            MessageRole::User | MessageRole::Tool => {
                self.awaits_answer = true;
                increment(&mut self.messages.tool);
            }
            MessageRole::Assistant => {
                (self.awaits_answer, self.asks_again) = (false, false);
                increment(&mut self.messages.assistant);
            }
            MessageRole::System => increment(&mut self.messages.system),
            MessageRole::Unknown => {}
        }
        // Calls in two messages of the assistant in a row are one turn.
        if self.message.has_calls && !self.follows_calls {
            self.turns += 1;
        }
        self.follows_calls =
            self.message.role == MessageRole::Assistant && (self.message.has_calls || self.follows_calls);
        match self.message.role {
            // In Gemini the role may be missing if there is only one message.
            MessageRole::User | MessageRole::Unknown => Some(true),
            MessageRole::System => Some(false),
            MessageRole::Assistant | MessageRole::Tool => None,
        }
    }

    /// Counts a prompt that is a string, and no message, as a message of the user.
    pub fn prompt_opened(&mut self) {
        self.message.role = MessageRole::User;
        increment(&mut self.messages.user);
    }

    /// The request offers tools, of an unknown number.
    pub fn tools_offered(&mut self) {
        self.offers_tools = true;
    }

    /// The request offers a tool.
    pub fn tool_offered(&mut self) {
        self.offers_tools = true;
        increment(&mut self.tools_offered);
    }

    /// The session of the request offers tools, unless the request itself does. What the user said is a message.
    pub fn session_offers(&mut self, tools: u16) {
        if !core::mem::replace(&mut self.offers_tools, true) {
            self.tools_offered = tools;
        }
        self.saw_message = true;
    }

    /// A tool call begins.
    pub fn call_opened(&mut self) {
        if !core::mem::replace(&mut self.message.has_calls, true) && !self.follows_calls {
            self.start_turn();
        }
        self.call = CallInProgress::default();
    }

    /// Sets the name of the call's tool.
    pub fn call_name(&mut self, value: Scalar<'_>) {
        self.call.name = value.text();
    }

    /// Sets the call's identifier.
    pub fn call_id(&mut self, value: Scalar<'_>) {
        self.call.id = identity(value);
    }

    /// Sets the hash of the call's identifier.
    pub fn set_call_id(&mut self, id: u64) {
        self.call.id = id;
    }

    /// Adds a piece of the call's arguments, as JSON.
    pub fn call_arguments(&mut self, piece: &[u8]) {
        self.call.arguments.push(piece);
    }

    /// The call ends.
    pub fn call_closed(&mut self) {
        let call = core::mem::take(&mut self.call);
        let Some(name) = call.name else { return };
        self.turn.push_call(call.id, name, call.arguments.finish());
    }

    /// A part of a message ends that is a call of the tool `name`.
    pub fn call_part_closed(&mut self, name: Option<Text>) {
        let call = core::mem::take(&mut self.call);
        self.call_opened();
        self.call = CallInProgress { name, ..call };
        self.call_closed();
    }

    /// An item ends that is a call of the tool `name`. Adjacent calls belong to one turn.
    pub fn call_item_closed(&mut self, name: Option<Text>) {
        if !core::mem::replace(&mut self.in_turn, true) {
            self.turns += 1;
            self.start_turn();
        }
        (self.awaits_answer, self.asks_again) = (false, false);
        increment(&mut self.messages.assistant);
        self.call.name = name;
        self.call_closed();
    }

    /// A tool's result begins.
    pub fn result_opened(&mut self) {
        self.message.has_results = true;
        self.turn.opened();
    }

    /// Sets the identifier of the call that the result belongs to.
    pub fn result_id(&mut self, value: Scalar<'_>) {
        self.turn.id(value);
    }

    /// Sets the tool's name, if the result has it.
    pub fn result_name(&mut self, value: Scalar<'_>) {
        self.turn.name(value);
    }

    /// Sets the hash of the identifier of the result's call, unless it is known.
    pub fn result_id_unless_set(&mut self, id: u64) {
        self.turn.id_unless_set(id);
    }

    /// Sets the tool's name, unless it is known.
    pub fn result_name_unless_set(&mut self, name: Option<Text>) {
        self.turn.name_unless_set(name);
    }

    /// Adds a word or a number to the result's content.
    pub fn result_detail(&mut self, value: Scalar<'_>) {
        self.turn.detail(value);
    }

    /// Sets whether the tool failed, from a flag or a status.
    pub fn result_failed(&mut self, value: Scalar<'_>) {
        self.turn.failed(value);
    }

    /// Adds a piece of a result that is JSON and no text.
    pub fn result_json(&mut self, piece: &[u8]) {
        self.turn.json(piece);
    }

    /// Adds a piece of the result's text.
    pub fn result_text(&mut self, piece: &[u8]) {
        self.turn.text(piece);
    }

    /// Adds the result's whole text, as an escaped JSON string up to its closing quote.
    pub fn result_escaped_text(&mut self, text: &[u8]) {
        self.turn.escaped_text(text);
    }

    /// Adds the hash of a string of the message.
    pub fn text_hashed(&mut self, hash: u64) {
        self.message.hash = Mix::new(self.message.hash).number(hash).finish();
    }

    /// Adds the hash of a string of the message, which is also one of the result if the message is a tool's.
    pub fn result_hashed(&mut self, hash: u64) {
        self.text_hashed(hash);
        self.turn.hashed(hash);
    }

    /// A part of a message ends that is a tool's result.
    pub fn result_part_closed(&mut self) {
        self.message.has_results = true;
        self.turn.closed();
    }

    /// An item ends that is a tool's result.
    pub fn result_item_closed(&mut self) {
        self.in_turn = false;
        self.awaits_answer = true;
        increment(&mut self.messages.tool);
        self.turn.closed();
    }

    /// The state of the agent's run. Takes the results.
    pub fn settle(&mut self) -> Agent {
        let has_tools = self.offers_tools || !self.turn.has_no_call() || !self.turn.has_no_result();
        // Results without their calls belong to a run whose beginning is not in this request.
        let shows_run = self.turns > 0 || self.turn.has_no_result();
        let (last_turn, (looping, loop_began)) = (self.turn.turn(), self.fold_turn());
        Agent {
            iteration: (has_tools && self.saw_message && shows_run).then_some(self.turns + 1),
            looping,
            loop_began,
            loops: self.loops,
            last_turn,
            ended: None,
            results: self.turn.take_results(),
            asks_again: self.asks_again,
            messages: if has_tools { self.messages } else { Roles::default() },
            tools_offered: self.tools_offered,
        }
    }

    fn start_run(&mut self) {
        self.turns = 0;
        self.in_turn = false;
        self.turn.clear();
        self.loops = LoopState::default();
    }

    fn start_turn(&mut self) {
        self.fold_turn();
        self.turn.clear();
    }

    /// Adds the last turn to the state. Returns the loop that the run is in with it, and whether the loop began with it.
    fn fold_turn(&mut self) -> (Option<Loop>, bool) {
        let turn = self.turn.turn();
        turn.map_or((None, false), |turn| self.loops.add(turn, self.limits))
    }
}

fn increment(count: &mut u16) {
    *count = count.saturating_add(1);
}
