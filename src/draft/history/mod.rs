//! The messages of a request, as the history of an agent's run: its iteration, its tool calls and their results.
//!
//! A run begins with the last message of a user that does not follow tool results. Calls are kept as hashes, see [`loops`]; results as plain data without their
//! text, see [`results`].

mod loops;
mod results;
#[cfg(test)]
mod tests;

use crate::budget::Share;
use crate::bytes::mix::Mix;
use crate::json::{Canonical, Scalar, identity};
use crate::observation::{Agent, Roles, Text};
use loops::CallLog;
use results::ResultLog;

/// The history of a request, as far as it has been read.
#[derive(Default)]
pub struct History {
    /// Number of the assistant's turns with tool calls since the user's last message.
    turns: u64,
    calls: CallLog,
    results: ResultLog,
    messages: Roles,
    /// True if the request offers tools.
    offers_tools: bool,
    /// Number of tools offered. 0 if it is not known.
    tools_offered: u16,
    message: OpenMessage,
    call: CallInProgress,
    arguments: Option<Box<Canonical>>,
    saw_message: bool,
    /// True if the assistant's message before, or the messages in a row before, had calls.
    follows_calls: bool,
    /// True if the previous item was a call, for APIs in which calls are items.
    in_turn: bool,
    /// True if results were read, and no answer to them since.
    awaits_answer: bool,
}

/// The message that is being read.
#[derive(Default)]
struct OpenMessage {
    role: MessageRole,
    has_calls: bool,
    has_results: bool,
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
    has_arguments: bool,
}

impl History {
    /// Maximum memory of a history, without that of its calls and results, in bytes.
    pub const BOUND: usize = size_of::<History>() + size_of::<Canonical>();

    /// Sets where the calls and results reserve memory.
    pub fn set_share(&mut self, share: Option<Share>) {
        self.results.share = share;
    }

    /// Returns true if there was no memory for calls and results.
    pub fn lacks_memory(&self) -> bool {
        self.results.lacks_memory
    }

    /// Measures the length of tool results from now on.
    pub fn measure_results(&mut self) {
        self.results.measures_length = true;
    }

    /// A message begins.
    pub fn message_opened(&mut self) {
        self.message = OpenMessage::default();
        self.call = CallInProgress::default();
        self.results.opened();
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

    /// Returns true if the message's text may be a tool's result: its role is that of a tool, or not known yet.
    pub fn may_be_result(&self) -> bool {
        matches!(self.message.role, MessageRole::Unknown | MessageRole::Tool)
    }

    /// The message ends. Returns true for a message of the user, false for one of the system, None for others.
    pub fn message_closed(&mut self) -> Option<bool> {
        if self.message.role == MessageRole::Tool {
            self.results.closed();
        }
        match self.message.role {
            // A user's message with tool results continues the run, whatever else is in it. So does one behind the results.
            MessageRole::User if !self.message.has_results => {
                if !self.awaits_answer {
                    self.start_run();
                }
                increment(&mut self.messages.user);
            }
            MessageRole::User | MessageRole::Tool => {
                self.awaits_answer = true;
                increment(&mut self.messages.tool);
            }
            MessageRole::Assistant => {
                self.awaits_answer = false;
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

    /// A tool call begins.
    pub fn call_opened(&mut self) {
        if !core::mem::replace(&mut self.message.has_calls, true) {
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

    /// Adds a piece of the call's arguments, as JSON.
    pub fn call_arguments(&mut self, piece: &[u8]) {
        let arguments = self.arguments.get_or_insert_default();
        if !core::mem::replace(&mut self.call.has_arguments, true) {
            arguments.reset();
        }
        arguments.feed(piece);
    }

    /// The call ends.
    pub fn call_closed(&mut self) {
        let call = core::mem::take(&mut self.call);
        let Some(name) = call.name else { return };
        let arguments = self.arguments.as_mut().filter(|_| call.has_arguments).map_or(0, |arguments| arguments.hash());
        self.calls.push(identity(Scalar::Text(&name)), arguments);
        self.results.push_call(call.id, name);
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
        self.awaits_answer = false;
        increment(&mut self.messages.assistant);
        self.call.name = name;
        self.call_closed();
    }

    /// A tool's result begins.
    pub fn result_opened(&mut self) {
        self.message.has_results = true;
        self.results.opened();
    }

    /// Sets the identifier of the call that the result belongs to.
    pub fn result_id(&mut self, value: Scalar<'_>) {
        self.results.id(value);
    }

    /// Sets the tool's name, if the result has it.
    pub fn result_name(&mut self, value: Scalar<'_>) {
        self.results.name(value);
    }

    /// Sets whether the tool failed, from a flag or a status.
    pub fn result_failed(&mut self, value: Scalar<'_>) {
        self.results.failed(value);
    }

    /// Adds a piece of the result's text.
    pub fn result_text(&mut self, piece: &[u8]) {
        self.results.text(piece);
    }

    /// Adds the result's whole text, as an escaped JSON string up to its closing quote.
    pub fn result_escaped_text(&mut self, text: &[u8]) {
        self.results.escaped_text(text);
    }

    /// Adds the hash of a string of the message.
    pub fn text_hashed(&mut self, hash: u64) {
        self.message.hash = Mix::new(self.message.hash).number(hash).finish();
    }

    /// Adds the hash of a string of the message, which is also one of the result if the message is a tool's.
    pub fn result_hashed(&mut self, hash: u64) {
        self.text_hashed(hash);
        self.results.hashed(hash);
    }

    /// A part of a message ends that is a tool's result.
    pub fn result_part_closed(&mut self) {
        self.message.has_results = true;
        self.results.closed();
    }

    /// An item ends that is a tool's result.
    pub fn result_item_closed(&mut self) {
        self.in_turn = false;
        self.awaits_answer = true;
        increment(&mut self.messages.tool);
        self.results.closed();
    }

    /// The state of the agent's run. Takes the results.
    pub fn settle(&mut self) -> Agent {
        let has_tools = self.offers_tools || !self.calls.is_empty() || !self.results.is_empty();
        // Results without their calls belong to a run whose beginning is not in this request.
        let shows_run = self.turns > 0 || self.results.is_empty();
        let (looping, loop_began) = self.calls.find_loop();
        Agent {
            iteration: (has_tools && self.saw_message && shows_run).then_some(self.turns + 1),
            looping,
            loop_began,
            ended: None,
            results: self.results.take(),
            messages: if has_tools { self.messages } else { Roles::default() },
            tools_offered: self.tools_offered,
        }
    }

    fn start_run(&mut self) {
        self.turns = 0;
        self.calls.clear();
        self.results.clear();
    }

    fn start_turn(&mut self) {
        self.calls.turn_opened();
        self.results.clear();
    }
}

fn increment(count: &mut u16) {
    *count = count.saturating_add(1);
}
