//! Loops of an agent's run: turns that repeat without progress.
//!
//! A turn is the set of its distinct calls, each with its result. Neither their order nor their number matters. A turn repeats
//! another one only if their results are equal too: a new result is progress.
//!
//! [`LoopState`] is folded turn by turn. It has a fixed size, so the thresholds do not depend on how many turns are remembered.

use super::Loop;
use crate::bytes::mix::Mix;

/// Maximum number of distinct steps of a turn that can be compared. A turn with more equals no other turn.
pub const STEPS: usize = 16;

/// After how many repetitions a run counts as a loop. 0: never.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoopLimits {
    /// Number of equal turns in a row that are a [`Loop::Retry`].
    pub retry: u8,
    /// Number of equal pairs of turns in a row that are a [`Loop::Oscillation`].
    pub oscillation: u8,
    /// Number of turns in a row with other arguments for one tool that are a [`Loop::Drift`].
    pub drift: u8,
}

impl Default for LoopLimits {
    fn default() -> Self {
        LoopLimits { retry: 3, oscillation: 3, drift: 0 }
    }
}

/// One call of a turn, and its result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Hash of the tool's name.
    pub tool: u64,
    /// Hash of the arguments; 0 if they are not known.
    pub arguments: u64,
    /// Hash of the result; 0 if there is none, or if it cannot be read.
    pub result: u64,
}

/// A turn of the model: its calls and their results, as hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Turn {
    /// Hash of the set of steps; 0 if one of them is not known completely.
    signature: u32,
    /// Hash of the only tool; 0 if the turn calls several tools.
    tool: u32,
    /// Hash of the set of arguments.
    arguments: u32,
}

impl Turn {
    /// The turn with these steps, in any order.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let mut turn = Turn::default();
        let (mut whole, mut called) = (StepSet::default(), StepSet::default());
        let mut is_known = true;
        for (at, Step { tool, arguments, result }) in steps.into_iter().enumerate() {
            let name = half(tool);
            turn.tool = if at == 0 || turn.tool == name { name } else { 0 };
            is_known &= arguments != 0 && result != 0;
            let call = Mix::new(0).number(tool).number(arguments);
            called.insert(call.finish());
            whole.insert(call.number(result).finish());
        }
        turn.arguments = half(called.hash());
        if is_known && whole.is_complete() && whole.length > 0 {
            turn.signature = half(whole.hash());
        }
        turn
    }
}

/// A set of hashes.
#[derive(Default)]
struct StepSet {
    hashes: [u64; STEPS],
    length: usize,
    exceeds: bool,
}

impl StepSet {
    fn insert(&mut self, hash: u64) {
        let known = self.hashes.get(..self.length).unwrap_or_default();
        if known.contains(&hash) {
            return;
        }
        match self.hashes.get_mut(self.length) {
            Some(slot) => {
                *slot = hash;
                self.length += 1;
            }
            None => self.exceeds = true,
        }
    }

    const fn is_complete(&self) -> bool {
        !self.exceeds
    }

    /// A hash that does not depend on the order.
    fn hash(&mut self) -> u64 {
        let hashes = self.hashes.get_mut(..self.length).unwrap_or_default();
        hashes.sort_unstable();
        hashes.iter().fold(Mix::new(0), |mix, hash| mix.number(*hash)).finish()
    }
}

/// Half of a hash. It is not 0.
fn half(hash: u64) -> u32 {
    ((hash ^ hash >> 32) as u32).max(1)
}

/// The repetitions among the last turns of a run. The default is the state before the first turn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoopState {
    /// The last turn.
    last: Turn,
    /// The signature of the turn before it; 0 if it is not known.
    before: u32,
    /// Number of equal turns in a row.
    equal: u8,
    /// Number of turns in a row in which two turns alternate.
    alternating: u8,
    /// Number of turns in a row that call one tool, each with other arguments than the turn before.
    drifting: u8,
    /// The kinds of loops that have begun in the run, one bit for each.
    begun: u8,
}

impl LoopState {
    /// Length of [`LoopState::to_bytes`].
    pub const BYTES: usize = 20;

    /// Adds a turn. Returns the loop that the run is in with it, and true if the run was in no loop of this kind before.
    pub fn add(&mut self, turn: Turn, limits: LoopLimits) -> (Option<Loop>, bool) {
        let equals = |signature: u32| signature != 0 && signature == turn.signature;
        let is_other = turn.signature != 0 && self.last.signature != 0 && !equals(self.last.signature);
        self.equal = if equals(self.last.signature) { self.equal.saturating_add(1) } else { 1 };
        self.alternating = match (is_other, equals(self.before)) {
            (true, true) => self.alternating.saturating_add(1),
            (true, false) => 2,
            (false, _) => 1,
        };
        let drifts = turn.tool != 0 && turn.tool == self.last.tool && turn.arguments != self.last.arguments;
        self.drifting = if drifts { self.drifting.saturating_add(1) } else { 1 };
        (self.before, self.last) = (self.last.signature, turn);

        let reached = |count: u8, limit: u16| limit > 0 && u16::from(count) >= limit;
        let found = if reached(self.equal, limits.retry.into()) {
            Loop::Retry
        } else if reached(self.alternating, 2 * u16::from(limits.oscillation)) {
            Loop::Oscillation
        } else if reached(self.drifting, limits.drift.into()) {
            Loop::Drift
        } else {
            return (None, false);
        };
        let bit = 1 << found as u8;
        let begins = self.begun & bit == 0;
        self.begun |= bit;
        (Some(found), begins)
    }

    /// The state as bytes, for [`LoopState::from_bytes`].
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let numbers = [self.last.signature, self.last.tool, self.last.arguments, self.before];
        let counts = [self.equal, self.alternating, self.drifting, self.begun];
        let mut bytes = numbers.into_iter().flat_map(u32::to_le_bytes).chain(counts);
        core::array::from_fn(|_| bytes.next().unwrap_or_default())
    }

    /// The state that [`LoopState::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let (numbers, _) = bytes.as_chunks::<4>();
        let mut numbers = numbers.iter().map(|number| u32::from_le_bytes(*number));
        let mut number = || numbers.next().unwrap_or_default();
        let last = Turn { signature: number(), tool: number(), arguments: number() };
        let before = number();
        let [equal, alternating, drifting, begun] = number().to_le_bytes();
        LoopState { last, before, equal, alternating, drifting, begun }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: LoopLimits = LoopLimits { retry: 3, oscillation: 3, drift: 4 };

    /// A turn with calls of the form `tool arguments result`, separated by commas.
    fn turn(calls: &str) -> Turn {
        let hash = |word: &str| if word == "?" { 0 } else { Mix::new(0).text(word).finish() };
        Turn::new(calls.split(',').map(|call| {
            let words: Vec<_> = call.split_whitespace().map(hash).collect();
            Step { tool: words[0], arguments: words[1], result: words[2] }
        }))
    }

    /// The kind and the begin of the loop after each turn. The state passes through its bytes after each of them.
    fn loops(turns: &[&str], limits: LoopLimits) -> Vec<(Option<Loop>, bool)> {
        let mut state = LoopState::default();
        let mut add = |calls: &&str| {
            let found = state.add(turn(calls), limits);
            let read = LoopState::from_bytes(state.to_bytes());
            assert_eq!(core::mem::replace(&mut state, read), read);
            found
        };
        turns.iter().map(&mut add).collect()
    }

    /// The loop after the last turn.
    fn last(turns: &[&str]) -> Option<Loop> {
        loops(turns, ALL).last().copied().unwrap_or_default().0
    }

    #[test]
    fn equal_turns_in_a_row_are_a_retry() {
        let begins = [(None, false), (None, false), (Some(Loop::Retry), true), (Some(Loop::Retry), false)];
        assert_eq!(loops(&["a 1 x"; 4], ALL), begins);
        assert_eq!(last(&["a 1 x", "a 1 x", "a 1 y", "a 1 x"]), None, "a new result is progress");
        assert_eq!(last(&["a 1 x", "a 1 x", "b 1 x", "a 1 x"]), None, "another call ends the row");
        assert_eq!(loops(&["a 1 x"; 200], LoopLimits { retry: 100, ..ALL })[98..100], begins[1..3]);
    }

    #[test]
    fn two_turns_that_alternate_are_an_oscillation() {
        let turns = ["a 1 x", "b 1 y", "a 1 x", "b 1 y", "a 1 x", "b 1 y", "a 1 x"];
        let found = loops(&turns, ALL);
        assert!(found[..5].iter().all(|loops| *loops == (None, false)));
        assert_eq!(found[5..], [(Some(Loop::Oscillation), true), (Some(Loop::Oscillation), false)]);
        assert_eq!(last(&["a 1 x", "b 1 y", "a 1 x", "b 1 z", "a 1 x", "b 1 y"]), None);
        assert_eq!(loops(&turns.repeat(40)[..], LoopLimits { oscillation: 100, ..ALL }).len(), 280);
    }

    #[test]
    fn turns_with_one_tool_and_other_arguments_are_a_drift_if_it_is_enabled() {
        let turns = ["a 1 x", "a 2 x", "a 3 x", "a 4 x"];
        assert_eq!(last(&turns), Some(Loop::Drift));
        assert_eq!(last(&turns[1..]), None);
        assert_eq!(last(&["a 1 x", "a 2 x", "b 1 x", "a 3 x", "a 4 x", "a 5 x"]), None);
        assert_eq!(last(&["a 1 x", "a 2 x", "a 3 x,b 1 x", "a 4 x"]), None);
        assert!(loops(&turns, LoopLimits::default()).iter().all(|(found, _)| found.is_none()));
    }

    #[test]
    fn a_threshold_of_0_disables_a_kind() {
        let none = LoopLimits { retry: 0, oscillation: 0, drift: 0 };
        for turns in [&["a 1 x"; 300][..], &["a 1 x", "b 1 y"].repeat(150)] {
            assert!(loops(turns, none).iter().all(|(found, _)| found.is_none()));
        }
    }

    #[test]
    fn each_kind_begins_once_in_a_run() {
        let (a, b) = ("a 1 x", "b 1 x");
        let begun = loops(&[a, a, a, b, a, b, a, b, b, b, b, a, b, a, b, a, b], ALL);
        let begun: Vec<_> = begun.iter().filter(|(_, begins)| *begins).filter_map(|(found, _)| *found).collect();
        assert_eq!(begun, [Loop::Retry, Loop::Oscillation]);
    }

    #[test]
    fn a_turn_is_the_set_of_its_calls() {
        assert_eq!(turn("a 1 x,b 2 y"), turn("b 2 y,a 1 x,b 2 y"));
        assert_ne!(turn("a 1 x,b 2 y"), turn("a 1 y,b 2 x"));
        assert_eq!(last(&["a 1 x,a 1 x,a 1 x"]), None, "equal calls of one turn are one step");
    }

    #[test]
    fn a_turn_that_is_not_known_completely_equals_no_other() {
        for calls in ["a 1 ?", "a ? x", "a 1 x,b 1 ?"] {
            assert_eq!(last(&[calls; 3]), if calls == "a ? x" { None } else { last(&[calls; 2]) }, "{calls}");
            assert_eq!(last(&[calls, "c 1 x", calls, "c 1 x", calls, "c 1 x"]), None, "{calls}");
        }
        let many: Vec<_> = (0..=STEPS).map(|n| format!("a {n} x")).collect();
        assert_eq!(last(&[&*many.join(","); 3]), None);
        assert_eq!(last(&[&*many[1..].join(","); 3]), Some(Loop::Retry));
        assert_eq!(last(&[&*many[1..].join(","); 2]), None);
    }
}
