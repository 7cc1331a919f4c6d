//! What an agent does, from the conversation it sends along: where in its run it is, which tools it called, whether it loops.
//!
//! A run begins with the last message of a user. Bound: the last [`CALLS`] calls of the run as two hashes each, and the names
//! of the calls a request brings results for. No argument and no result is kept, only hashes and whether it failed.

use crate::json::{Canonical, Scalar, Unescape, identity};
use crate::observation::{Agent, Loop, Outcome, Roles, RunEnd, Text, ToolResult};

/// Calls remembered for finding loops.
const CALLS: usize = 16;
/// The same call so often is a retry loop; the same tool so often in a row, with other arguments each turn, drifts.
const RETRIES: usize = 3;
const DRIFTS: usize = 6;
/// Turns of two alternating calls that are an oscillation.
const OSCILLATION: usize = 6;

/// The history of a request, as far as it has been read.
#[derive(Default)]
pub struct History {
    /// Assistant's turns with tool calls since the user's last message.
    turns: u64,
    /// The last calls.
    calls: [Made; CALLS],
    count: usize,
    /// How many there were before the last turn.
    before: usize,
    /// The last turn's calls, to name their results by.
    names: Vec<(u64, Text)>,
    /// The length of results is wanted.
    pub measures: bool,
    messages: Roles,
    /// Tools may be called, of which so many are known.
    acts: bool,
    offered: u16,
    results: Vec<ToolResult>,
    message: Message,
    call: Call,
    arguments: Option<Box<Canonical>>,
    result: Result,
    saw_message: bool,
    /// The item before was a call.
    in_turn: bool,
}

/// A call, by hashes of its tool and arguments, and the calls before its turn.
#[derive(Clone, Copy, Default)]
struct Made {
    what: (u32, u32),
    before: usize,
}

/// The message being read.
#[derive(Default)]
struct Message {
    role: Role,
    calls: bool,
    results: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Role {
    #[default]
    Unknown,
    User,
    Assistant,
    Tool,
    System,
}

/// The call being read.
#[derive(Default)]
struct Call {
    id: u64,
    name: Option<Text>,
    /// Its arguments were read, or some of them.
    argues: bool,
}

/// The result being read.
#[derive(Default)]
struct Result {
    so_far: ToolResult,
    /// How its text begins.
    head: [u8; 10],
    length: usize,
}

impl History {
    /// A message begins.
    pub fn message_opened(&mut self) {
        self.message = Message::default();
        self.call = Call::default();
        self.result = Result::default();
        self.saw_message = true;
    }

    /// The message's role.
    pub fn role(&mut self, value: Scalar<'_>) {
        self.message.role = match value {
            Scalar::Text("user") => Role::User,
            Scalar::Text("assistant" | "model") => Role::Assistant,
            Scalar::Text("tool" | "function") => Role::Tool,
            Scalar::Text("system" | "developer") => Role::System,
            _ => Role::Unknown,
        };
    }

    /// Whether the message's text may be a tool's result, as far as its role is known.
    pub fn may_be_result(&self) -> bool {
        matches!(self.message.role, Role::Unknown | Role::Tool)
    }

    /// The message is over: true if it was a user's, false if the system's.
    pub fn message_closed(&mut self) -> Option<bool> {
        if self.message.role == Role::Tool {
            self.result_closed();
        }
        match self.message.role {
            // What a user adds beside a tool's results goes on with the run.
            Role::User if !self.message.results => {
                self.run_began();
                more(&mut self.messages.user);
            }
            Role::User | Role::Tool => more(&mut self.messages.tool),
            Role::Assistant => more(&mut self.messages.assistant),
            Role::System => more(&mut self.messages.system),
            Role::Unknown => {}
        }
        if self.message.calls {
            self.turns += 1;
        }
        match self.message.role {
            // Gemini's only message need not say whose it is.
            Role::User | Role::Unknown => Some(true),
            Role::System => Some(false),
            Role::Assistant | Role::Tool => None,
        }
    }

    /// The user speaks: what follows is a new run.
    pub fn run_began(&mut self) {
        self.turns = 0;
        self.count = 0;
        self.before = 0;
        self.names.clear();
        self.results.clear();
    }

    /// All that the user says is one text, and no message.
    pub fn asked(&mut self) {
        more(&mut self.messages.user);
    }

    /// The request offers the model tools.
    pub fn acts(&mut self) {
        self.acts = true;
    }

    /// The request offers the model a tool.
    pub fn tool_offered(&mut self) {
        self.acts = true;
        more(&mut self.offered);
    }

    fn turn_began(&mut self) {
        self.before = self.count;
        self.names.clear();
        self.results.clear();
    }

    /// A tool call begins.
    pub fn call_opened(&mut self) {
        if !core::mem::replace(&mut self.message.calls, true) {
            self.turn_began();
        }
        self.call = Call::default();
    }

    /// The call's tool.
    pub fn call_name(&mut self, value: Scalar<'_>) {
        self.call.name = value.text();
    }

    /// The call's identifier.
    pub fn call_id(&mut self, value: Scalar<'_>) {
        self.call.id = identity(value);
    }

    /// A piece of the call's arguments, as JSON.
    pub fn call_arguments(&mut self, piece: &[u8]) {
        let arguments = self.arguments.get_or_insert_default();
        if !core::mem::replace(&mut self.call.argues, true) {
            arguments.reset();
        }
        arguments.feed(piece);
    }

    /// The call is over.
    pub fn call_closed(&mut self) {
        let call = core::mem::take(&mut self.call);
        let Some(name) = call.name else { return };
        let arguments = self.arguments.as_mut().filter(|_| call.argues).map_or(0, |arguments| arguments.hash());
        let tool = identity(Scalar::Text(&name));
        if let Some(slot) = self.calls.get_mut(self.count % CALLS) {
            let what = ((tool ^ tool >> 32) as u32, (arguments ^ arguments >> 32) as u32);
            *slot = Made { what, before: self.before };
        }
        self.count += 1;
        if self.names.len() < CALLS {
            self.names.push((call.id, name));
        }
    }

    /// A tool's result begins.
    pub fn result_opened(&mut self) {
        self.message.results = true;
        self.result = Result::default();
    }

    /// The identifier of the call it answers.
    pub fn result_id(&mut self, value: Scalar<'_>) {
        self.result.so_far.call = identity(value);
    }

    /// The tool it comes from, where the result says so itself.
    pub fn result_name(&mut self, value: Scalar<'_>) {
        self.result.so_far.name = value.text();
    }

    /// Whether it says itself that it failed.
    pub fn result_failed(&mut self, value: Scalar<'_>) {
        self.result.so_far.failed |= value.is_true() || value == Scalar::Text("error");
    }

    /// A piece of its text.
    pub fn result_text(&mut self, piece: &[u8]) {
        if self.measures {
            let bytes = self.result.so_far.bytes.get_or_insert_default();
            *bytes = bytes.saturating_add(piece.len() as u64);
        }
        for byte in piece.iter().filter(|b| !b.is_ascii_whitespace() && **b != b'"') {
            let Some(slot) = self.result.head.get_mut(self.result.length) else { return };
            *slot = byte.to_ascii_lowercase();
            self.result.length += 1;
        }
    }

    /// Its text, as it is written up to its last quote, of which no more is wanted than shows what it is.
    pub fn result_glimpse(&mut self, text: &[u8]) {
        let mut escape = Unescape::default();
        for block in text.chunks(64) {
            escape.feed(block, |piece| self.result_text(piece));
            if !self.measures && self.result.length == self.result.head.len() {
                break;
            }
        }
    }

    /// The result is over. It failed where it says so, or its text begins with `error`, `{"error`, `exception` or `traceback`.
    pub fn result_closed(&mut self) {
        let Result { so_far: mut result, head, length } = core::mem::take(&mut self.result);
        let head = head.get(..length).unwrap_or_default();
        let begins = |word: &str| head.starts_with(word.as_bytes());
        result.failed |= begins("error") || begins("{error") || begins("exception") || begins("traceback");
        if result.name.is_none() {
            let call = self.names.iter().find(|(id, _)| *id == result.call && *id != 0);
            result.name = call.map(|(_, name)| name.clone());
        }
        if self.results.len() < CALLS {
            self.results.push(result);
        }
    }

    /// A part of the message was a call.
    pub fn call_block(&mut self, name: Option<Text>) {
        let call = core::mem::take(&mut self.call);
        self.call_opened();
        self.call = Call { name, ..call };
        self.call_closed();
    }

    /// A part of the message was a tool's result.
    pub fn result_block(&mut self) {
        self.message.results = true;
        self.result_closed();
    }

    /// A call that is an item of its own: calls without anything between them are of one turn.
    pub fn call_item(&mut self, name: Option<Text>) {
        if !core::mem::replace(&mut self.in_turn, true) {
            self.turns += 1;
            self.turn_began();
        }
        more(&mut self.messages.assistant);
        self.call.name = name;
        self.call_closed();
    }

    /// A result that is an item of its own.
    pub fn result_item(&mut self) {
        self.in_turn = false;
        more(&mut self.messages.tool);
        self.result_closed();
    }

    /// What the history comes to.
    pub fn settle(&mut self) -> Agent {
        let acts = self.acts || self.count > 0 || !self.results.is_empty();
        // Results without the calls they answer go on with a run that began elsewhere.
        let shown = self.turns > 0 || self.results.is_empty();
        let last = self.count - self.before;
        let looping = (0..last).find_map(|without| self.looping(without));
        let earlier = |kind| (last..self.count.min(CALLS)).any(|without| self.looping(without) == Some(kind));
        Agent {
            iteration: (acts && self.saw_message && shown).then_some(self.turns + 1),
            looping,
            loop_began: looping.is_some_and(|kind| !earlier(kind)),
            ended: None,
            results: core::mem::take(&mut self.results),
            messages: if acts { self.messages } else { Roles::default() },
            tools_offered: self.offered,
        }
    }

    /// Whether the calls go in circles, the newest `without` of them left out.
    fn looping(&self, without: usize) -> Option<Loop> {
        let known = self.count.min(CALLS).saturating_sub(without);
        // The newest first.
        let made = |back: usize| self.calls.get((self.count - 1 - without - back) % CALLS).copied().unwrap_or_default();
        let call = |back: usize| made(back).what;
        let newest = (known > 0).then(|| call(0))?;
        if known >= OSCILLATION && call(1) != newest && (2..OSCILLATION).all(|back| call(back) == call(back % 2)) {
            return Some(Loop::Oscillation);
        }
        if (0..known).filter(|back| call(*back) == newest).count() >= RETRIES {
            return Some(Loop::Retry);
        }
        // Many at once are one step: a model that reads ten files in a turn knows what it does.
        let drifts =
            |back: usize| call(back).0 == newest.0 && (back == 0 || made(back).before != made(back - 1).before);
        (known >= DRIFTS && (0..DRIFTS).all(drifts)).then_some(Loop::Drift)
    }
}

fn more(count: &mut u16) {
    *count = count.saturating_add(1);
}

/// How the run ended with a call that came to `outcome` and asks for tools or not; None while it goes on, and after it was
/// over already. `limit` is the configured number of iterations.
pub fn ended(agent: &Agent, outcome: Outcome, asks: bool, limit: u64) -> Option<RunEnd> {
    let iteration = agent.iteration.filter(|n| *n <= limit)?;
    match (outcome, asks) {
        (Outcome::Completed, false) => Some(RunEnd::Completed),
        (Outcome::Completed, true) if iteration < limit => None,
        (Outcome::Completed, true) if agent.looping.is_some() => Some(RunEnd::Loop),
        (Outcome::Completed, true) => Some(RunEnd::MaxIterations),
        _ => Some(RunEnd::Error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_once() {
        let at = |iteration, looping| Agent { iteration: Some(iteration), looping, ..Agent::default() };
        assert_eq!(ended(&at(1, None), Outcome::Completed, true, 3), None);
        assert_eq!(ended(&at(2, None), Outcome::Completed, false, 3), Some(RunEnd::Completed));
        assert_eq!(ended(&at(3, None), Outcome::Completed, true, 3), Some(RunEnd::MaxIterations));
        assert_eq!(ended(&at(3, Some(Loop::Retry)), Outcome::Completed, true, 3), Some(RunEnd::Loop));
        assert_eq!(ended(&at(4, None), Outcome::Completed, false, 3), None);
        assert_eq!(ended(&at(2, None), Outcome::Error, false, 3), Some(RunEnd::Error));
        assert_eq!(ended(&Agent::default(), Outcome::Completed, false, 3), None);
    }

    /// A run of calls `tool arguments`, each answered, after one message of the user.
    fn run(calls: &[&str]) -> Agent {
        let mut history = History::default();
        history.message_opened();
        history.role(Scalar::Text("user"));
        history.message_closed();
        for (at, call) in calls.iter().enumerate() {
            let (tool, arguments) = call.split_once(' ').unwrap();
            let id = format!("call_{at}");
            history.message_opened();
            history.role(Scalar::Text("assistant"));
            history.call_opened();
            history.call_name(Scalar::Text(tool));
            history.call_id(Scalar::Text(&id));
            history.call_arguments(arguments.as_bytes());
            history.call_closed();
            history.message_closed();
            history.message_opened();
            history.role(Scalar::Text("tool"));
            history.result_opened();
            history.result_id(Scalar::Text(&id));
            history.result_text(b"fine");
            history.message_closed();
        }
        history.settle()
    }

    #[test]
    fn each_turn_with_calls_since_the_user_spoke_is_an_iteration() {
        assert_eq!(run(&[]).iteration, None);
        assert_eq!(run(&["search {}"]).iteration, Some(2));
        assert_eq!(run(&["search {}", "read {}"]).iteration, Some(3));
    }

    #[test]
    fn the_same_call_three_times_is_a_retry_whatever_the_order_of_its_keys() {
        let calls = ["s {\"a\":1,\"b\":2}", "x {}", "s {\"b\":2,\"a\":1}", "s { \"a\":1, \"b\":2}"];
        assert_eq!(run(&calls).looping, Some(Loop::Retry));
        assert!(run(&calls).loop_began);
        assert_eq!(run(&calls[..3]).looping, None);
        let longer = [&calls[..], &["s {\"a\":1,\"b\":2}"]].concat();
        assert!(run(&longer).looping.is_some() && !run(&longer).loop_began);
    }

    #[test]
    fn a_run_begins_each_kind_of_loop_once() {
        let began = |calls: &[&str]| {
            let of = |n: &usize| run(&calls[..*n]);
            (1..=calls.len()).filter(|n| of(n).loop_began).map(|n| (n, of(&n).looping.unwrap())).collect::<Vec<_>>()
        };
        // The fifth is the third equal call, and the sixth is their third taking of turns.
        let turns = ["a {}", "b {}", "a {}", "b {}", "a {}", "b {}", "a {}", "b {}"];
        assert_eq!(began(&turns), [(5, Loop::Retry), (6, Loop::Oscillation)]);
        assert_eq!(began(&["a {}", "a {}", "a {}", "b {}", "a {}", "a {}"]), [(3, Loop::Retry)]);
    }

    #[test]
    fn equal_calls_of_one_turn_are_a_retry_too() {
        let agent = turn(&["a {}", "a {}", "a {}", "a {}", "b {}"]);
        assert_eq!((agent.looping, agent.loop_began), (Some(Loop::Retry), true));
    }

    #[test]
    fn two_calls_taking_turns_three_times_are_an_oscillation() {
        assert_eq!(run(&["a {}", "b {}", "a {}", "b {}"]).looping, None);
        assert_eq!(run(&["a {}", "b {}", "a {}", "b {}", "a {}", "b {}"]).looping, Some(Loop::Oscillation));
        assert_eq!(run(&["a 1", "b 1", "a 2", "b 2", "a 3", "b 3"]).looping, None);
    }

    #[test]
    fn one_tool_six_times_in_a_row_with_other_arguments_drifts() {
        let calls = ["s 1", "s 2", "s 3", "s 4", "s 5", "s 6"];
        assert_eq!(run(&calls).looping, Some(Loop::Drift));
        assert_eq!(run(&calls[1..]).looping, None);
        assert_eq!(turn(&calls).looping, None, "many at once are one step");
    }

    /// Calls of one turn.
    fn turn(calls: &[&str]) -> Agent {
        let mut history = History::default();
        history.message_opened();
        history.role(Scalar::Text("assistant"));
        for call in calls {
            let (tool, arguments) = call.split_once(' ').unwrap();
            history.call_opened();
            history.call_name(Scalar::Text(tool));
            history.call_arguments(arguments.as_bytes());
            history.call_closed();
        }
        history.message_closed();
        history.settle()
    }

    #[test]
    fn messages_are_told_by_role_where_tools_are_in_play() {
        let roles = run(&["search {}", "read {}"]).messages;
        assert_eq!((roles.system, roles.user, roles.assistant, roles.tool), (0, 1, 2, 2));
        assert_eq!(run(&[]).messages, Roles::default());
        let mut history = History::default();
        (0..70_000).for_each(|_| history.tool_offered());
        assert_eq!(history.settle().tools_offered, u16::MAX);
    }

    #[test]
    fn of_a_result_that_may_be_repeated_the_beginning_shows_whether_it_failed() {
        let blank = " \\n".repeat(60);
        for (text, failed) in [
            (format!("{blank}{{\\\"error\\\": \\\"no\\\"}}\""), true),
            (format!("{blank}\\u0065rror{blank}\""), true),
            (format!("{blank}fine\""), false),
        ] {
            for measures in [false, true] {
                let mut history = History { measures, ..History::default() };
                history.message_opened();
                history.result_opened();
                history.result_glimpse(text.as_bytes());
                history.result_block();
                let result = history.settle().results.remove(0);
                assert_eq!(result.failed, failed, "{text}");
                let said: String = serde_json::from_str(&format!("\"{text}")).unwrap();
                assert_eq!(result.bytes, measures.then_some(said.len() as u64), "{text}");
            }
        }
    }

    #[test]
    fn results_that_failed_are_named_by_their_call() {
        let failed = |text: &str, says: bool| {
            let mut history = History { measures: true, ..History::default() };
            history.message_opened();
            history.role(Scalar::Text("assistant"));
            history.call_opened();
            history.call_name(Scalar::Text("search"));
            history.call_id(Scalar::Text("c1"));
            history.call_closed();
            history.message_closed();
            history.message_opened();
            history.role(Scalar::Text("tool"));
            history.result_opened();
            history.result_id(Scalar::Text("c1"));
            history.result_failed(Scalar::Bool(says));
            text.as_bytes().chunks(2).for_each(|piece| history.result_text(piece));
            history.message_closed();
            let results = history.settle().results;
            assert_eq!(results.iter().filter_map(|result| result.bytes).sum::<u64>(), text.len() as u64);
            let failed = results.into_iter().filter(|result| result.failed);
            failed.filter_map(|result| result.name).collect::<Vec<_>>()
        };
        for text in [
            "Error: no such file",
            "{\"error\": 1}",
            "  { \"error\" : {} }",
            "Traceback (most recent",
            "Exception in x",
        ] {
            assert_eq!(failed(text, false), [Text::from("search")], "{text}");
        }
        assert_eq!(failed("fine", true), [Text::from("search")]);
        assert!(failed("no errors found", false).is_empty());
        assert!(failed("{\"errata\": []}", false).is_empty());
    }
}
