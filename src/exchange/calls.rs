//! What an exchange shares with others of its agent's run: tool calls and their results, and the run's span.

use super::Exchange;
use super::run_end::run_end;
use crate::draft::{BLOCK, entry};
use crate::observation::{Outcome, RunEnd, Text};
use crate::signal::memory::{Pending, WaitingRun};
use crate::trace_context::{RunSpan, TraceContext};

/// Maximum number of calls of one answer that are remembered.
const CALLS: usize = 16;

impl Exchange {
    /// The calls whose results the request brings: the hash of each identifier, and the key under which the call is remembered.
    /// Empty if exchanges share nothing.
    pub fn result_keys(&self) -> Vec<(u64, u64)> {
        let known = self.draft.observation.agent.results.iter().filter(|result| result.call != 0);
        known.filter_map(|result| Some((result.call, self.memory_key(result.call)?))).collect()
    }

    /// Adds a remembered call whose result the request brings. `call` is the hash of its identifier.
    pub fn recall(&mut self, call: u64, pending: Pending) {
        // The name is kept twice.
        if !self.draft.keeps(entry::<Pending>(2 * pending.name.len() + BLOCK)) {
            return;
        }
        let agent = &mut self.draft.observation.agent;
        if let Some(result) = agent.results.iter_mut().find(|result| result.call == call) {
            result.called_at = Some(pending.called_at).filter(|_| !pending.has_failed_result);
            // The answer named the tool. The request can give any name.
            result.name = Some(pending.name.clone());
        }
        if self.run.is_hidden && pending.iteration > 0 {
            agent.iteration = agent.iteration.max(Some(pending.iteration + 1));
        }
        self.run.has_ended |= pending.run_has_ended;
        self.run.span = self.run.span.take().or(pending.run.map(Box::new));
        self.run.recalled.get_or_insert_default().push(pending);
    }

    /// Returns true if the whole answer was read. In a stream that is known before the end: a client may disconnect
    /// after the last event.
    pub(super) fn is_answered(&self) -> bool {
        let answer = &self.draft.answer;
        let is_whole = answer.is_stream() && answer.is_complete() && !self.draft.error.is_present();
        is_whole || self.draft.observation.outcome == Some(Outcome::Completed)
    }

    /// The calls to remember: those of the answer. Without an answer they are the recalled ones, as the client may repeat the
    /// request. Returns them once; later calls return nothing.
    pub fn take_calls(&mut self) -> Vec<Pending> {
        if core::mem::replace(&mut self.run.calls_are_taken, true) {
            return Vec::new();
        }
        if self.is_answered() { self.new_calls() } else { self.recalled_calls() }
    }

    /// Removes the recalled calls and returns them as they were remembered.
    pub fn give_back_calls(&mut self) -> Vec<Pending> {
        self.run.calls_are_taken = true;
        self.run.recalled.take().map_or_else(Vec::new, |recalled| *recalled)
    }

    fn new_calls(&self) -> Vec<Pending> {
        let observation = &self.draft.observation;
        let limit = self.observer.config.agent.max_iterations;
        let over = self.run.has_ended || run_end(&observation.agent, Outcome::Completed, true, limit).is_some();
        let mut lead = 0;
        let pending = |(id, name): (u64, &Text)| {
            let call = self.memory_key(id)?;
            lead = if lead == 0 { call } else { lead };
            Some(Pending {
                call,
                lead,
                caller: self.run.caller as u32,
                called_at: observation.timing.end.unwrap_or(self.draft.now),
                iteration: observation.agent.iteration.unwrap_or_default(),
                run_has_ended: over,
                name: name.clone(),
                run: self.run_span(),
                ..Pending::default()
            })
        };
        self.identified_calls().filter_map(pending).collect()
    }

    fn recalled_calls(&self) -> Vec<Pending> {
        let mut recalled = self.run.recalled.as_deref().cloned().unwrap_or_default();
        let lead = recalled.first().map_or(0, |first| first.call);
        let failed_at = self.draft.observation.timing.end.unwrap_or_default();
        for pending in &mut recalled {
            (pending.lead, pending.called_at, pending.has_continued, pending.has_failed_result) =
                (lead, failed_at, false, true);
            pending.run_has_ended |= self.run.has_ended;
        }
        recalled
    }

    /// The answer's calls that have an identifier.
    fn identified_calls(&self) -> impl Iterator<Item = (u64, &Text)> {
        self.draft.tool_calls().filter(|(id, _)| *id != 0).take(CALLS)
    }

    /// The run that waits for the results of `calls`. None if the run has ended.
    pub fn waiting_run(&self, calls: &[Pending]) -> Option<WaitingRun> {
        calls.first().filter(|first| !first.run_has_ended && first.iteration > 0)?;
        let patience = self.observer.config.agent.abandoned_after.saturating_mul(1_000_000_000);
        let end = if self.is_answered() { RunEnd::Abandoned } else { RunEnd::Error };
        WaitingRun::new(&self.draft.observation, calls, end, patience)
    }

    /// Sets the trace context of the exchange. If it is the first call of an agent's run, the run's span starts here.
    pub fn set_trace_context(&mut self, context: TraceContext) {
        if self.run.span.is_none() && self.draft.observation.agent.iteration == Some(1) {
            self.run.span = Some(Box::new(context.run_span(self.draft.observation.timing.start)));
        }
    }

    /// Sets the run's span, which another exchange started.
    pub fn set_run_span(&mut self, span: RunSpan) {
        self.run.span = Some(Box::new(span));
    }

    /// The key of the first call of the earlier answer whose results the request brings.
    pub fn previous_lead(&self) -> Option<u64> {
        self.run.recalled.as_ref()?.first().map(|pending| pending.lead)
    }

    /// The keys of the answer's calls.
    pub fn call_keys(&self) -> Vec<u64> {
        self.identified_calls().filter_map(|(id, _)| self.memory_key(id)).collect()
    }

    /// The span of the agent's run that the exchange belongs to.
    pub fn run_span(&self) -> Option<RunSpan> {
        self.run.span.as_deref().copied()
    }

    /// The key under which a call is remembered: a keyed hash of the caller, the beginning of the conversation, and the hash of
    /// the call's identifier. So neither equal conversations nor equal identifiers of two callers meet, and the requests of one
    /// caller cannot be made to meet those of another. Not all providers make unique identifiers, hence the conversation. If
    /// requests do not repeat its beginning, it is not part of the key. None if exchanges share nothing.
    fn memory_key(&self, call: u64) -> Option<u64> {
        let callers = self.observer.callers.as_ref()?;
        let beginning = self.draft.conversation.beginning().filter(|_| !self.api.remembers);
        Some(callers.call_key(self.run.caller, beginning, call))
    }
}
