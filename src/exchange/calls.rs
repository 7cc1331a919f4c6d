//! What an exchange shares with the others of its agent's run: tool calls asked for and answered, and the run's span.

use super::Exchange;
use crate::draft;
use crate::observation::{Outcome, RunEnd, Text};
use crate::signal::memory::{Pending, Waiting};
use crate::trace_context::{RunSpan, TraceContext};

/// Most calls of one answer that are remembered.
const CALLS: usize = 16;

impl Exchange {
    /// What the calls whose results the request brings are remembered under.
    pub fn answers(&self) -> Vec<u64> {
        let known = self.draft.seen.agent.results.iter().filter(|result| result.call != 0);
        known.map(|result| self.remembered(result.call)).collect()
    }

    /// What is remembered of a call whose result the request brings.
    pub fn recall(&mut self, pending: Pending) {
        let mix = self.mix();
        let agent = &mut self.draft.seen.agent;
        if let Some(result) = agent.results.iter_mut().find(|result| result.call ^ mix == pending.call) {
            result.asked = Some(pending.asked).filter(|_| !pending.brought);
            result.name.get_or_insert_with(|| pending.name.clone());
        }
        if self.hidden && pending.iteration > 0 {
            agent.iteration = agent.iteration.max(Some(pending.iteration + 1));
        }
        self.run_over |= pending.over;
        self.run = self.run.take().or(pending.run.map(Box::new));
        self.recalled.get_or_insert_default().push(pending);
    }

    /// The answer is whole, whatever becomes of the connection: a client may leave at a stream's last event.
    pub(super) fn answered(&self) -> bool {
        let whole = self.draft.streams && self.draft.complete && !self.draft.error.present;
        whole || self.draft.seen.outcome == Some(Outcome::Completed)
    }

    /// What is to be remembered, once: the tools an answer asks for, or, where there is no answer, what was remembered
    /// before, for the request that is sent again.
    pub fn asks(&mut self) -> Vec<Pending> {
        if core::mem::replace(&mut self.asked, true) {
            return Vec::new();
        }
        let seen = &self.draft.seen;
        if !self.answered() {
            let mut again = self.recalled.as_deref().cloned().unwrap_or_default();
            let lead = again.first().map_or(0, |first| first.call);
            let failed = seen.timing.end.unwrap_or_default();
            for pending in &mut again {
                (pending.lead, pending.asked, pending.left, pending.brought) = (lead, failed, false, true);
                pending.over |= self.run_over;
            }
            return again;
        }
        let limit = self.observer.config.agent.max_iterations;
        let over = self.run_over || draft::ended(&seen.agent, Outcome::Completed, true, limit).is_some();
        let mut lead = 0;
        let pending = |(id, name): (u64, &Text)| {
            let call = self.remembered(id);
            lead = if lead == 0 { call } else { lead };
            Pending {
                call,
                lead,
                asked: seen.timing.end.unwrap_or(self.draft.now),
                iteration: seen.agent.iteration.unwrap_or_default(),
                over,
                name: name.clone(),
                run: self.run(),
                ..Pending::default()
            }
        };
        self.calls().map(pending).collect()
    }

    fn calls(&self) -> impl Iterator<Item = (u64, &Text)> {
        self.draft.asked().filter(|(id, _)| *id != 0).take(CALLS)
    }

    /// The run to wait for, where these calls keep one going.
    pub fn waits(&self, asks: &[Pending]) -> Option<Waiting> {
        asks.first().filter(|first| !first.over && first.iteration > 0)?;
        let patience = self.observer.config.agent.abandoned_after.saturating_mul(1_000_000_000);
        let end = if self.answered() { RunEnd::Abandoned } else { RunEnd::Error };
        Waiting::new(&self.draft.seen, asks, end, patience)
    }

    /// Sets the trace context of the exchange. If it is the first call of an agent's run, the run's span starts here.
    pub fn set_trace_context(&mut self, context: TraceContext) {
        if self.run.is_none() && self.draft.seen.agent.iteration == Some(1) {
            self.run = Some(Box::new(context.run_span(self.draft.seen.timing.start)));
        }
    }

    /// The run's span, learned late.
    pub fn join(&mut self, run: RunSpan) {
        self.run = Some(Box::new(run));
    }

    /// What the first call is remembered under of the answer that this request brings results to.
    pub fn before(&self) -> Option<u64> {
        self.recalled.as_ref()?.first().map(|pending| pending.lead)
    }

    /// What the calls that the answer asks for are remembered under.
    pub fn after(&self) -> Vec<u64> {
        self.calls().map(|(id, _)| self.remembered(id)).collect()
    }

    /// The span of the agent's run this belongs to.
    pub fn run(&self) -> Option<RunSpan> {
        self.run.as_deref().copied()
    }

    fn remembered(&self, call: u64) -> u64 {
        call ^ self.mix()
    }

    /// Identifiers are unique with most providers only. Where each request repeats the conversation, its beginning tells
    /// equal ones apart.
    fn mix(&self) -> u64 {
        let beginning = self.draft.seen.request.conversation_hash.filter(|_| !self.api.remembers);
        beginning.map_or(0, u64::from_le_bytes)
    }
}
