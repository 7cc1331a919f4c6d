//! The tool calls of an agent's run, and the detection of loops among them.
//!
//! Bound: the last [`CALLS`] calls, as two hashes each. No argument is kept.

use crate::observation::Loop;

/// Number of calls that are remembered.
pub(super) const CALLS: usize = 16;
/// Number of equal calls that are a retry loop.
const RETRIES: usize = 3;
/// Number of turns with calls of one tool, with different arguments, that are a drift loop.
const DRIFTS: usize = 6;
/// Number of calls in which two calls alternate that are an oscillation loop.
const OSCILLATION: usize = 6;

/// The last calls of the run, and how many there were before the last turn.
#[derive(Default)]
pub(super) struct CallLog {
    calls: [PastCall; CALLS],
    count: usize,
    before_turn: usize,
}

/// A call of an earlier turn.
#[derive(Clone, Copy, Default)]
struct PastCall {
    /// Hashes of the tool's name and of the arguments.
    hashes: (u32, u32),
    /// Number of calls before its turn. Equal for the calls of one turn.
    before_turn: usize,
}

impl CallLog {
    /// Forgets the calls: a new run begins.
    pub fn clear(&mut self) {
        self.count = 0;
        self.before_turn = 0;
    }

    /// A turn with calls begins.
    pub fn turn_opened(&mut self) {
        self.before_turn = self.count;
    }

    /// Adds a call, by the hashes of its tool and its arguments.
    pub fn push(&mut self, tool: u64, arguments: u64) {
        if let Some(slot) = self.calls.get_mut(self.count % CALLS) {
            let hashes = ((tool ^ tool >> 32) as u32, (arguments ^ arguments >> 32) as u32);
            *slot = PastCall { hashes, before_turn: self.before_turn };
        }
        self.count += 1;
    }

    /// Returns true if there is no call.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The loop that the last turn's calls are in, and whether it began in the last turn.
    pub fn find_loop(&self) -> (Option<Loop>, bool) {
        let last = self.count - self.before_turn;
        let found = (0..last).find_map(|without| self.loop_without(without));
        let earlier = |kind| (last..self.count.min(CALLS)).any(|without| self.loop_without(without) == Some(kind));
        (found, found.is_some_and(|kind| !earlier(kind)))
    }

    /// The loop that the calls are in without the newest `without` of them.
    fn loop_without(&self, without: usize) -> Option<Loop> {
        let known = self.count.min(CALLS).saturating_sub(without);
        // `back` counts from the newest call, which is 0.
        let past = |back: usize| self.calls.get((self.count - 1 - without - back) % CALLS).copied().unwrap_or_default();
        let call = |back: usize| past(back).hashes;
        let newest = (known > 0).then(|| call(0))?;
        if known >= OSCILLATION && call(1) != newest && (2..OSCILLATION).all(|back| call(back) == call(back % 2)) {
            return Some(Loop::Oscillation);
        }
        if (0..known).filter(|back| call(*back) == newest).count() >= RETRIES {
            return Some(Loop::Retry);
        }
        // Parallel calls of one turn are no drift: a model may read ten files in one turn.
        let drifts = |back: usize| {
            call(back).0 == newest.0 && (back == 0 || past(back).before_turn != past(back - 1).before_turn)
        };
        (known >= DRIFTS && (0..DRIFTS).all(drifts)).then_some(Loop::Drift)
    }
}
