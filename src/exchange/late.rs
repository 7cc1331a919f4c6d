//! Answers that come later: a request creates an answer, and other requests fetch it, perhaps several times. Its usage counts once.

use super::Exchange;
use crate::observation::{Cost, Outcome, Usage};
use crate::provider::Certainty;

/// The meaning of an exchange for an answer that other requests fetch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LateAnswer {
    /// The request has created the answer, which will have this key. The usage comes later.
    Created(u64),
    /// The exchange has the answer with this key and its usage, unless an earlier one had it.
    Complete(u64),
}

impl Exchange {
    /// Returns true if the request fetches what an earlier request has created.
    pub(super) fn fetches(&self) -> bool {
        self.certainty == Certainty::OnceComplete
    }

    /// Returns true if the request has fetched a complete answer. A poll before that is no LLM traffic.
    pub(super) fn has_fetched(&self) -> bool {
        let answer = &self.draft.answer;
        let has_ended = self.draft.observation.outcome.is_some();
        has_ended && self.draft.shows_api && answer.is_complete() && !answer.is_deferred()
    }

    /// The meaning of the exchange, which has ended, for an answer that other requests fetch. None if it has none, or if exchanges share
    /// nothing.
    pub fn late_answer(&self) -> Option<LateAnswer> {
        let (answer, seen) = (&self.draft.answer, &self.draft.observation);
        seen.outcome?;
        let key = || self.late_key();
        if self.fetches() {
            let has_usage = answer.is_fetchable() && seen.usage.is_known();
            return key().filter(|_| self.has_fetched() && has_usage).map(LateAnswer::Complete);
        }
        if answer.is_deferred() {
            return key().filter(|_| seen.outcome == Some(Outcome::Completed)).map(LateAnswer::Created);
        }
        key().filter(|_| answer.is_fetchable() && seen.usage.is_known()).map(LateAnswer::Complete)
    }

    /// The key of an answer: a keyed hash of the caller and the identifier. Of a name such as `operations/1`, the last part is the
    /// identifier.
    fn late_key(&self) -> Option<u64> {
        let seen = &self.draft.observation;
        let own = seen.rare.as_ref().and_then(|rare| rare.fetched.as_deref());
        let id = own.or(seen.response.id.as_deref())?.rsplit('/').next()?;
        let callers = self.observer.callers.as_ref()?;
        Some(callers.conversation_key(self.run.caller, "late answer", &[id.as_bytes()]))
    }

    /// The request that created the fetched answer started at this time.
    pub fn set_created(&mut self, at: u64) {
        let end = self.draft.observation.timing.end;
        if let Some(age) = end.and_then(|end| end.checked_sub(at)).filter(|_| self.fetches()) {
            self.draft.age(age);
        }
    }

    /// An earlier exchange has reported the answer. This one reports no usage and no output.
    pub fn repeats_answer(&mut self) {
        self.run.calls_are_taken = true;
        self.cost_is_due = false;
        let seen = &mut self.draft.observation;
        (seen.usage, seen.cost, seen.quantities) = (Usage::default(), Cost::default(), None);
        seen.output = Default::default();
        seen.response.finish_reasons = Vec::new();
    }

    /// The exchange ends. The times of a fetched answer are not the provider's. An answer that was created with its request has been
    /// reported with that.
    pub(super) fn end_fetch(&mut self) {
        if !self.fetches() {
            return;
        }
        let timing = &mut self.draft.observation.timing;
        (timing.first_chunk, timing.first_token, timing.gaps) = (None, None, None);
        if !self.draft.answer.is_fetchable() && self.draft.results.is_none() {
            self.repeats_answer();
        }
    }
}
