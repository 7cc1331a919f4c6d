//! The waits of a conversation: for the results of the calls in its last answer, or for the repetition of a failed request. A request
//! that continues the conversation in another way ends the wait.

use super::Exchange;
use crate::json::{Scalar, identity};
use crate::observation::Outcome;
use crate::signal::memory::Pending;

/// The meaning of a request for the conversation that waits.
#[derive(Debug, PartialEq)]
pub enum Continuation {
    /// Nothing: it is another conversation that begins in the same way, or its results are known by their identifiers.
    Nothing,
    /// The request repeats the one that failed.
    Repeats,
    /// The request may bring the results of these calls without their identifiers.
    MayContinue,
    /// The request brings no result. Nobody knows how the run went on.
    Leaves,
}

impl Exchange {
    /// The keys of the conversation as the request names it, the most exact one first. Empty if exchanges share nothing, or if nothing
    /// identifies the conversation.
    pub fn awaited_keys(&self) -> impl Iterator<Item = u64> + use<> {
        let conversation = &self.draft.conversation;
        let keys = match conversation.previous_response() {
            Some(previous) => [self.key_of("awaited response", &previous.to_be_bytes()), None],
            None => {
                let message = conversation.first_user_message();
                // smolagents, which requires a call of a tool, adds the error of a failed step to this message, and removes it later.
                let task = conversation.task().filter(|_| conversation.tool_choice().is_required());
                [
                    message.and_then(|message| self.key_of("awaited message", &message)),
                    task.and_then(|task| self.key_of("awaited task", &task.to_be_bytes())),
                ]
            }
        };
        keys.into_iter().flatten()
    }

    fn key_of(&self, kind: &str, value: &[u8]) -> Option<u64> {
        let callers = self.observer.callers.as_ref()?;
        let client = self.draft.observation.client.as_deref();
        let agent = client.and_then(|client| client.agent.as_deref().or(client.session.as_deref()));
        Some(callers.conversation_key(self.run.caller, kind, &[agent.unwrap_or_default().as_bytes(), value]))
    }

    /// Returns true if the conversation of the request may wait for something: agents always offer tools.
    pub fn may_be_awaited(&self) -> bool {
        let agent = &self.draft.observation.agent;
        agent.tools_offered > 0 || agent.iteration.is_some() || self.draft.conversation.previous_response().is_some()
    }

    /// Compares the request with the entry of its conversation.
    pub fn continuation(&self, awaited: &Pending) -> Continuation {
        let messages = self.message_count();
        let is_continued = self.draft.conversation.previous_response().is_some();
        if awaited.lead == awaited.call {
            let repeats = messages >= awaited.messages && awaited.waits();
            return if repeats { Continuation::Repeats } else { Continuation::Nothing };
        }
        if self.run.recalled.is_some() {
            return Continuation::Nothing;
        }
        if !self.draft.observation.agent.results.is_empty() {
            return Continuation::MayContinue;
        }
        let goes_on = messages > awaited.messages || is_continued || self.draft.conversation.asks_to_retry();
        if goes_on { Continuation::Leaves } else { Continuation::Nothing }
    }

    /// Continues the run of a request that failed and that this one repeats.
    pub fn repeat(&mut self, failed: &Pending) {
        self.run.span = self.run.span.take().or(failed.run.map(Box::new));
    }

    /// The entries of the conversation, if it waits for the results of `calls`: under the names that the next request may use.
    pub fn waits_for(&self, calls: &[Pending]) -> Vec<Pending> {
        let Some(first) = calls.first().filter(|first| first.iteration > 0 && first.lead != 0 && self.is_answered())
        else {
            return Vec::new();
        };
        let by_response = || {
            let id = self.draft.observation.response.id.as_deref()?;
            self.key_of("awaited response", &identity(Scalar::Text(id)).to_be_bytes())
        };
        let is_continued = self.draft.conversation.previous_response().is_some();
        let shown = self.awaited_keys().filter(|_| !is_continued);
        let kept = (self.api.remembers || is_continued).then(by_response).flatten();
        let entry = |key| Pending {
            call: key,
            lead: first.call,
            calls: calls.iter().map(|call| call.call).collect(),
            messages: self.message_count(),
            caller: first.caller,
            called_at: first.called_at,
            iteration: first.iteration,
            // The entry of the first call says whether the run waits. This one may be replaced.
            has_continued: true,
            ..Pending::default()
        };
        shown.chain(kept).map(entry).collect()
    }

    /// The entry of a request that failed, if the client may repeat it and it is the first of a run.
    pub(super) fn failed_request(&self) -> Option<Pending> {
        let key = if self.run.waits_for_repetition { self.awaited_keys().next()? } else { return None };
        Some(Pending {
            call: key,
            lead: key,
            messages: self.message_count(),
            caller: self.run.caller as u32,
            called_at: self.draft.observation.timing.end.unwrap_or_default(),
            iteration: self.draft.observation.agent.iteration.unwrap_or_default(),
            run: self.run_span(),
            ..Pending::default()
        })
    }

    /// The outcome as far as the run is concerned. A client that does not read an error to its end has not stopped the run.
    pub(super) fn outcome_for_run(&self, outcome: Outcome) -> Outcome {
        let is_error = self.draft.observation.response.status.is_some_and(|status| status >= 400);
        if is_error && outcome == Outcome::ClientDisconnect { Outcome::Error } else { outcome }
    }

    /// Returns true if a client may repeat the request after it ended like this: nothing was answered, or an answer that says that
    /// another attempt may succeed. SDKs repeat requests after these statuses.
    pub(super) fn may_be_repeated(&self, outcome: Outcome) -> bool {
        match (outcome, self.draft.observation.response.status) {
            // A client that disconnects while it reads the answer wants no more of it.
            (Outcome::ClientDisconnect, Some(..400)) => false,
            (_, Some(status @ 400..500)) => matches!(status, 408 | 409 | 429),
            _ => true,
        }
    }

    fn message_count(&self) -> u16 {
        self.draft.observation.request.messages.map_or(0, |count| u16::try_from(count).unwrap_or(u16::MAX))
    }
}
