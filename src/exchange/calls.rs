//! What an exchange shares with others of its agent's run: tool calls and their results, and the run's span.

use super::Exchange;
use super::run_end::{AskedCalls, run_end};
use crate::draft::{BLOCK, ToolCall, entry};
use crate::json::{Scalar, identity, is_random, is_unnamed};
use crate::observation::{Outcome, RunEnd, Step, ToolResult, Turn};
use crate::signal::memory::{CALLS, Pending, WaitingRun};
use crate::trace_context::{RunSpan, TraceContext};

/// The key under which a call or a conversation is remembered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryKey {
    /// Keyed hash of the caller and the identifier.
    pub call: u64,
    /// Part of the hash of the conversation's beginning; 0 for any.
    pub beginning: u32,
}

impl Exchange {
    /// The calls whose results the request brings: the hash of each identifier, and the keys under which the call may be
    /// remembered. The second is that of a call without identifier, for clients that make identifiers. Empty if exchanges share
    /// nothing.
    pub fn result_keys(&self) -> Vec<(u64, MemoryKey, Option<MemoryKey>)> {
        let known = self.draft.observation.agent.results.iter().filter(|result| result.call != 0);
        let keys = |result: &ToolResult| {
            let unnamed = Some(result.unnamed).filter(|unnamed| *unnamed != 0 && *unnamed != result.call);
            Some((result.call, self.memory_key(result.call)?, unnamed.and_then(|unnamed| self.memory_key(unnamed))))
        };
        known.filter_map(keys).collect()
    }

    /// Adds a remembered call whose result the request brings. `call` is the hash of its identifier.
    pub fn recall(&mut self, call: u64, pending: Pending) {
        self.add_recalled(|result| result.call == call, pending);
    }

    /// Adds a remembered call if the request brings a result of its tool that no other call explains. Returns the call if it does
    /// not. Some clients return results without identifiers, or with identifiers of their own.
    pub fn recall_by_name(&mut self, pending: Pending) -> Option<Pending> {
        let name = pending.name.clone();
        let is_its =
            |result: &ToolResult| result.called_at.is_none() && result.name.as_ref().is_none_or(|known| *known == name);
        if !self.draft.observation.agent.results.iter().any(is_its) {
            return Some(pending);
        }
        self.add_recalled(is_its, pending);
        None
    }

    fn add_recalled(&mut self, is_its: impl Fn(&ToolResult) -> bool, pending: Pending) {
        // The name is kept twice.
        if !self.draft.keeps(entry::<Pending>(2 * pending.name.len() + BLOCK) + entry::<Step>(0)) {
            return;
        }
        let agent = &mut self.draft.observation.agent;
        let mut content = 0;
        if let Some(result) = agent.results.iter_mut().find(|result| is_its(result)) {
            content = result.content;
            result.called_at = Some(pending.called_at).filter(|_| !pending.has_failed_result);
            // The answer named the tool. The request can give any name.
            result.name = Some(pending.name.clone());
        }
        // The run is over: the user's message behind the results begins another one.
        if pending.run_has_ended && agent.asks_again {
            agent.iteration = agent.iteration.map(|_| 1);
            (agent.looping, agent.loop_began, agent.loops) = Default::default();
            return;
        }
        // The request may show less of the run than there was: clients trim it, servers keep it.
        if pending.iteration > 0 && agent.iteration <= Some(pending.iteration) {
            // With numbered identifiers the call may be that of an equal conversation, whose turns are no repetition.
            self.run.shows_less = !pending.is_numbered || pending.beginning == 0 || agent.iteration.is_none();
            agent.iteration = Some(pending.iteration + 1);
        }
        let tool = identity(Scalar::Text(&pending.name));
        self.run.steps.push(Step { tool, arguments: pending.arguments, result: content });
        // The request that failed has counted the loop.
        self.run.loop_is_counted |= pending.has_failed_result;
        self.run.has_ended |= pending.run_has_ended;
        self.run.span = self.run.span.take().or(pending.run.map(Box::new));
        self.run.recalled.get_or_insert_default().push(pending);
    }

    /// All remembered calls whose results the request brings are added. Goes on with the detection of loops, if the request shows
    /// less of the run than there was.
    pub fn end_recall(&mut self) {
        let steps = core::mem::take(&mut self.run.steps);
        self.continue_loops(steps);
        self.draft.observation.agent.loop_began &= !self.run.loop_is_counted;
    }

    fn continue_loops(&mut self, steps: Vec<Step>) {
        let before = self.run.recalled.as_ref().and_then(|recalled| recalled.first()).map(|first| first.loops);
        let Some(mut loops) = before.filter(|_| self.run.shows_less) else { return };
        let agent = &mut self.draft.observation.agent;
        let turn = agent.last_turn.unwrap_or_else(|| Turn::new(steps));
        (agent.looping, agent.loop_began) = loops.add(turn, self.observer.config.agent.loops);
        agent.loops = loops;
    }

    /// Returns true if the whole answer was read. In a stream that is known before the end: a client may disconnect
    /// after the last event.
    pub(super) fn is_answered(&self) -> bool {
        let answer = &self.draft.answer;
        let is_whole = answer.is_stream() && answer.is_complete() && !self.draft.error.is_present();
        is_whole || self.draft.observation.outcome == Some(Outcome::Completed)
    }

    /// The calls to remember: those of the answer. Without an answer they are the recalled ones, as the client may repeat the
    /// request; or, if there are none, the request itself. Returns them once; later calls return nothing.
    pub fn take_calls(&mut self) -> Vec<Pending> {
        if core::mem::replace(&mut self.run.calls_are_taken, true) {
            return Vec::new();
        }
        match self.is_answered() {
            true => self.new_calls(),
            false if self.run.recalled.is_some() => self.recalled_calls(),
            false => self.failed_request().into_iter().collect(),
        }
    }

    /// Removes the recalled calls and returns them as they were remembered.
    pub fn give_back_calls(&mut self) -> Vec<Pending> {
        self.run.calls_are_taken = true;
        self.run.recalled.take().map_or_else(Vec::new, |recalled| *recalled)
    }

    fn new_calls(&self) -> Vec<Pending> {
        let observation = &self.draft.observation;
        let limit = self.observer.config.agent.max_iterations;
        let over = self.run.has_ended || run_end(&observation.agent, Outcome::Completed, self.asked(), limit).is_some();
        let mut lead = 0;
        let pending = |asked: ToolCall<'_>| {
            let MemoryKey { call, beginning } = self.memory_key(asked.id)?;
            lead = if lead == 0 { call } else { lead };
            Some(Pending {
                call,
                beginning,
                is_unique: is_random(asked.id),
                is_numbered: !is_random(asked.id) && !is_unnamed(asked.id),
                lead,
                caller: self.run.caller as u32,
                called_at: observation.timing.end.unwrap_or(self.draft.now),
                iteration: observation.agent.iteration.unwrap_or_default(),
                arguments: asked.arguments,
                loops: observation.agent.loops,
                run_has_ended: over,
                name: asked.name.clone(),
                run: self.run_span(),
                ..Pending::default()
            })
        };
        self.draft.answer_calls().take(CALLS).filter_map(pending).collect()
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

    /// The run that waits for the results of `calls`, or for the repetition of a request. None if the run has ended.
    pub fn waiting_run(&self, calls: &[Pending]) -> Option<WaitingRun> {
        calls.first().filter(|first| !first.run_has_ended && first.iteration > 0)?;
        let patience = self.observer.config.agent.abandoned_after.saturating_mul(1_000_000_000);
        let outcome = self.draft.observation.outcome.map(|outcome| self.outcome_for_run(outcome));
        let end = match (self.is_answered(), outcome) {
            (true, _) if self.may_have_delivered() => RunEnd::Completed,
            (true, _) => RunEnd::Abandoned,
            (false, Some(Outcome::ClientDisconnect)) => RunEnd::Cancelled,
            (false, _) => RunEnd::Error,
        };
        WaitingRun::new(&self.draft.observation, calls, end, patience)
    }

    /// Returns true if the answer must call a tool and calls only the last one offered. Frameworks that get their answer from a tool
    /// require a call and offer that tool last. If nothing follows, the call was the answer.
    fn may_have_delivered(&self) -> bool {
        let last = self.draft.conversation.tool_choice().last_of_required();
        let tools = &self.draft.observation.output.tools;
        last.is_some_and(|last| !tools.is_empty() && tools.iter().all(|tool| **tool == *last))
    }

    /// The calls that the answer asks for.
    pub(super) fn asked(&self) -> AskedCalls {
        let (config, tools) = (&self.observer.config.agent, &self.draft.observation.output.tools);
        if tools.is_empty() {
            AskedCalls::Nothing
        } else if tools.iter().any(|tool| config.delivers(tool)) {
            AskedCalls::Delivery
        } else if self.run.is_structured {
            AskedCalls::Structure
        } else {
            AskedCalls::Tools
        }
    }

    /// The place in a trace that the request came with.
    pub fn place(&self) -> Option<TraceContext> {
        self.place
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

    /// The first call of the earlier answer whose results the request brings.
    pub fn previous_lead(&self) -> Option<MemoryKey> {
        let first = self.run.recalled.as_ref()?.first()?;
        Some(MemoryKey { call: first.lead, beginning: first.beginning })
    }

    /// The keys of the entries that [`Exchange::take_calls`] has returned.
    pub fn kept_keys(&self) -> Vec<MemoryKey> {
        let of_entry = |entry: &Pending| MemoryKey { call: entry.call, beginning: entry.beginning };
        match &self.run.recalled {
            _ if self.is_answered() => {
                let calls = self.draft.answer_calls().take(CALLS);
                calls.filter_map(|asked| self.memory_key(asked.id)).collect()
            }
            Some(recalled) => recalled.iter().map(of_entry).collect(),
            None => self.failed_request().iter().map(of_entry).collect(),
        }
    }

    /// The span of the agent's run that the exchange belongs to.
    pub fn run_span(&self) -> Option<RunSpan> {
        self.run.span.as_deref().copied()
    }

    /// The key under which a call is remembered: a keyed hash of the caller, its agent if the client names it, and the hash of the
    /// call's identifier. So equal identifiers of two callers do not meet, and the requests of one caller cannot be made to meet
    /// those of another. Not all providers make unique identifiers, hence the hash of the conversation's beginning beside it. It
    /// is 0 if requests do not repeat the beginning; the call then belongs to any conversation. None if exchanges share nothing.
    fn memory_key(&self, call: u64) -> Option<MemoryKey> {
        let callers = self.observer.callers.as_ref()?;
        let is_hidden = self.api.remembers || self.draft.conversation.previous_response().is_some();
        let beginning = self.draft.conversation.beginning().filter(|_| !is_hidden);
        let beginning =
            beginning.as_ref().and_then(|hash| hash.first_chunk()).map_or(0, |part| u32::from_be_bytes(*part));
        let agent = self.draft.observation.client.as_ref().and_then(|client| client.agent.as_deref());
        Some(MemoryKey { call: callers.call_key(self.run.caller, agent, call), beginning })
    }
}
