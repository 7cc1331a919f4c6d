//! The texts of an exchange: hashes, lengths and, if the configuration says so, the redacted texts themselves.

use std::rc::Rc;

use super::{Exchange, Head, Observer, TEXT_OPERATIONS};
use crate::config::{Capture, Privacy};
use crate::draft::Draft;
use crate::observation::{FinishClass, Outcome};
use crate::text::redaction::Redaction;
use crate::trace_context::{self, TraceContext};

/// Starts the hashes that the configuration wants. `keys_need_opening`: the keys of remembered tool calls need the hash of the
/// conversation's beginning.
pub(super) fn start(draft: &mut Draft, privacy: &Privacy, keys_need_opening: bool) {
    let captures = privacy.capture != Capture::Off;
    let has_messages = TEXT_OPERATIONS.contains(&draft.observation.operation);
    let is_wanted = privacy.hash.system || privacy.hash.conversation || keys_need_opening;
    draft.start_texts(privacy.key.as_ref(), privacy.hash, captures, has_messages && is_wanted);
}

/// Returns true if the texts of a request are reported: if its trace is sampled. A request without a trace is a trace
/// of its own.
pub(super) fn is_sampled(head: Head<'_>, share: f64) -> bool {
    let of_request = || TraceContext::of_request(head.whole("x-request-id"));
    let context = TraceContext::parse(head.whole("traceparent")).or_else(of_request);
    context.is_some_and(|context| trace_context::is_sampled(context.trace, share))
}

/// The place of a request in a trace: by `traceparent` or B3, or in a trace of its own by `x-request-id`, of which `share` is sampled.
pub(super) fn place(head: Head<'_>, share: f64) -> Option<TraceContext> {
    let of_request = || TraceContext::of_request(head.whole("x-request-id"));
    TraceContext::of_headers(|name| Some(head.whole(name)).filter(|value| !value.is_empty()))
        .or_else(|| Some(TraceContext::new_trace(of_request()?.trace, share)))
}

impl Observer {
    /// The redaction of the texts of a request. Returns None if they are not reported.
    pub fn redaction(&self, head: Head<'_>) -> Option<Rc<Redaction>> {
        let Privacy { capture, sample, redaction, .. } = &self.config.privacy;
        let is_reported = match capture {
            Capture::Off => false,
            Capture::Truncated => true,
            Capture::Sampled => is_sampled(head, *sample),
        };
        redaction.clone().filter(|_| is_reported)
    }
}

impl Exchange {
    /// The answer has ended: sets its hash and length, and the texts if they are reported. A text that the end of
    /// the exchange or a limit on its length has cut is reported without what touches the cut.
    pub(super) fn end_texts(&mut self, outcome: Outcome) {
        self.draft.end_answer();
        let (prompt, answer) = (self.draft.conversation.take_content(), self.draft.answer.take_content());
        let Privacy { capture, redaction, .. } = &self.observer.config.privacy;
        if let Some(redaction) = redaction
            && (*capture == Capture::Truncated || self.content_is_sampled)
        {
            let response = &self.draft.observation.response;
            let is_cut = !matches!(outcome, Outcome::Completed | Outcome::Error | Outcome::LocalReply);
            // Without a response nobody knows whether the request is whole.
            let is_prompt_cut = is_cut && response.status.is_none();
            let mut reasons = response.finish_reasons.iter().flatten();
            let is_answer_cut = is_cut || reasons.any(|reason| reason.class == FinishClass::Length);
            let configured = self.draft.observation.configured.get_or_insert_default();
            configured.prompt = prompt.and_then(|text| text.report(redaction, is_prompt_cut));
            configured.answer = answer.and_then(|text| text.report(redaction, is_answer_cut));
        }
        self.draft.free_answer_text();
    }
}
