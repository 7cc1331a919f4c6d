//! The end of an exchange: its outcome, whether the answer is empty or a refusal, and the end of the agent's run.

use super::run_end::run_end;
use super::{End, Exchange, ExchangePhase, TEXT_OPERATIONS};
use crate::observation::{FinishClass, Outcome, RunEnd, Text};

/// How the body of the response ended.
struct BodyEnd {
    /// True if a body was read, and could be decoded to its end.
    is_read: bool,
    /// True if there was nothing in it.
    is_empty: bool,
    /// True if it ended inside a document.
    is_cut: bool,
}

impl Exchange {
    /// The exchange has ended. Later calls change nothing.
    pub fn finish(&mut self, end: End, now: u64) {
        if matches!(self.phase, ExchangePhase::Ended) {
            return;
        }
        // Without the whole request, the provider does not answer.
        let was_sent = !matches!(self.phase, ExchangePhase::Request(_));
        self.request_end(now);
        let body = self.end_response_body();
        self.draft.observation.timing.end = Some(now);
        self.draft.observation.timing.stalls = self.stream.take().map_or(0, |stream| stream.stalls());
        if self.draft.observation.response.status.is_some_and(|status| status >= 400) {
            self.draft.clear_response_id();
        }
        let end = self.corrected(end);
        let outcome = self.decide_outcome(end, &body);
        self.end_texts(outcome);
        self.judge_answer(outcome);
        self.end_run(outcome);
        self.update_usage();
        self.set_final_cost(outcome, end, was_sent);
        self.end_results(body.is_cut);
        self.end_fetch();
        self.explain_cache();
        self.changes.end = true;
    }

    fn end_response_body(&mut self) -> BodyEnd {
        let mut body_end = BodyEnd { is_read: false, is_empty: true, is_cut: false };
        let phase = core::mem::replace(&mut self.phase, ExchangePhase::Ended);
        let ExchangePhase::Response { body: Some(mut body), .. } = phase else { return body_end };
        // Nobody knows whether a body that could not be decoded is whole.
        body_end.is_read = !body.is_abandoned();
        if let Some(programs) = self.observer.programs.get(self.endpoint) {
            body_end.is_empty = body.is_empty();
            body_end.is_cut = !body.finish(programs.response_rules(), &mut self.draft);
        }
        body_end
    }

    /// How the exchange ended. A client may disconnect after the last event of a stream: then the answer is whole.
    fn corrected(&self, end: End) -> End {
        let answer = &self.draft.answer;
        let has_all = answer.is_stream() && answer.is_complete() && self.draft.observation.usage.is_known();
        if end == End::ClientDisconnect && has_all { End::Whole } else { end }
    }

    /// Sets the outcome and the error's name.
    fn decide_outcome(&mut self, end: End, body: &BodyEnd) -> Outcome {
        let answer = &self.draft.answer;
        let status = self.draft.observation.response.status;
        let (is_stream, is_complete) = (answer.is_stream(), answer.is_complete());
        let lacks_end = is_stream && self.api.terminated && !is_complete;
        let lacks_body = body.is_empty && self.api.usage_expected && status == Some(200);
        let is_truncated = body.is_read && (lacks_body || lacks_end || body.is_cut && !(is_stream && is_complete));
        let outcome = match end {
            End::Whole | End::Unheard if self.draft.error.is_present() => Outcome::Error,
            End::Whole if is_truncated => Outcome::Truncated,
            End::Whole | End::Unheard => Outcome::Completed,
            End::ClientDisconnect => Outcome::ClientDisconnect,
            End::UpstreamReset | End::Unreachable => Outcome::UpstreamReset,
            End::Timeout => Outcome::Timeout,
            End::LocalReply(_) => Outcome::LocalReply,
            End::AttemptFailed => Outcome::AttemptFailed,
        };
        self.draft.observation.outcome = Some(outcome);
        self.draft.observation.error = match end {
            End::LocalReply(reason) => Some(reason.into()),
            _ => self.error_name(outcome),
        };
        outcome
    }

    /// The error's name: the provider's own, else the HTTP status, else the outcome. A local reply has its reason instead.
    fn error_name(&self, outcome: Outcome) -> Option<Text> {
        match outcome {
            Outcome::Completed => None,
            Outcome::Error => {
                let status = self.draft.observation.response.status.filter(|status| *status >= 400);
                self.draft.error.name(status).or_else(|| Some("_OTHER".into()))
            }
            other => Some(other.as_str().into()),
        }
    }

    /// Sets whether the answer is a refusal, or empty.
    fn judge_answer(&mut self, outcome: Outcome) {
        let is_prewarm = self.draft.observation.is_prewarm();
        let observation = &mut self.draft.observation;
        let has_reason = |classes: &[FinishClass]| {
            let mut reasons = observation.response.finish_reasons.iter().flatten();
            reasons.any(|reason| classes.contains(&reason.class))
        };
        let is_filtered = has_reason(&[FinishClass::ContentFilter]);
        let has_ended = has_reason(&[FinishClass::Stop, FinishClass::Length]);
        let output = &mut observation.output;
        output.refused |= is_filtered;
        let has_content = output.refused || output.characters.is_some() || !output.tools.is_empty();
        let has_other_content = matches!(observation.request.output_type, Some("image" | "speech"))
            || self.draft.answer.has_other_content();
        output.empty = outcome == Outcome::Completed
            && has_ended
            && TEXT_OPERATIONS.contains(&self.api.operation)
            && !has_content
            && !has_other_content
            && !is_prewarm;
    }

    /// Sets how the agent's run ended, if it ended with this exchange.
    fn end_run(&mut self, outcome: Outcome) {
        let outcome = if self.is_answered() { Outcome::Completed } else { self.outcome_for_run(outcome) };
        let limit = self.observer.config.agent.max_iterations;
        let asked = self.asked();
        // A host without shared data cannot tell whether a run above the limit is already counted.
        let is_above = self.draft.observation.agent.iteration > Some(limit) && self.observer.callers.is_none();
        let ended = run_end(&self.draft.observation.agent, outcome, asked, limit);
        let ended = ended.filter(|_| !self.run.has_ended && !is_above && !self.draft.answer.is_deferred());
        // The client may repeat a failed request. The run has ended only if nobody continues it.
        let has_failed = matches!(ended, Some(RunEnd::Error | RunEnd::Cancelled));
        let is_kept =
            || self.run.calls_are_taken || self.run.recalled.is_some() || self.awaited_keys().next().is_some();
        self.run.waits_for_repetition = has_failed && self.may_be_repeated(outcome) && is_kept();
        let ended = ended.filter(|_| !self.run.waits_for_repetition);
        self.run.has_ended |= ended.is_some();
        self.draft.observation.agent.ended = ended;
    }
}
