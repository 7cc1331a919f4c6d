//! What becomes of the texts of an exchange: hashes, lengths and, where the configuration asks, words.

use super::{Exchange, Head, SPEAKS};
use crate::config::{Capture, Privacy};
use crate::draft::Draft;
use crate::text::fingerprint::Fingerprint;
use crate::text::hash;
use crate::text::opening::Opening;
use crate::trace_context::{self, TraceContext};

impl Exchange {
    pub(super) fn end_hashes(&mut self) {
        let (draft, wanted) = (&mut self.draft, self.observer.config.privacy.hash);
        let mut prompt = core::mem::take(&mut draft.prompt);
        if let Some(opening) = draft.opening.take() {
            let known = opening.of_prompt(&prompt).filter(|_| wanted.last_message);
            draft.seen.request.hash = known.map(hash::short);
            let (system, conversation) = opening.settle(&mut prompt);
            if wanted.system {
                draft.seen.rare.get_or_insert_default().system_hash = system;
            }
            draft.seen.request.conversation_hash = conversation.filter(|_| wanted.conversation);
        }
        let seen = &mut draft.seen.request;
        seen.hash = seen.hash.or_else(|| prompt.hash());
        seen.characters = prompt.characters();
        draft.prompt_words = prompt.words();
        if let Some(whole) = draft.whole_prompt.take() {
            draft.seen.rare.get_or_insert_default().prompt_hash = whole.hash();
        }
        if let Some(tools) = draft.tools.take() {
            draft.seen.rare.get_or_insert_default().tools_hash = tools.hash();
        }
    }

    pub(super) fn report_words(&mut self) {
        let (prompt, answer) = (self.draft.prompt_words.take(), self.draft.answer.words());
        let Privacy { capture, redaction: Some(redaction), .. } = &self.observer.config.privacy else { return };
        if *capture == Capture::Truncated || self.sampled {
            let rare = self.draft.seen.rare.get_or_insert_default();
            rare.prompt = prompt.and_then(|words| words.report(redaction));
            rare.answer = answer.and_then(|words| words.report(redaction));
        }
    }
}

/// Whether the trace the client's call belongs to is among those whose words are reported; without one, the call by itself.
pub(super) fn is_sampled(head: Head<'_>, share: f64) -> bool {
    let context =
        TraceContext::parse(head.whole("traceparent")).or_else(|| TraceContext::of_request(head.whole("x-request-id")));
    context.is_some_and(|context| trace_context::is_sampled(context.trace, share))
}

pub(super) fn begin_hashes(draft: &mut Draft, privacy: &Privacy) {
    let (key, hash) = (privacy.key.as_ref(), privacy.hash);
    draft.prompt = Fingerprint::new(key, hash.last_message);
    draft.answer = Fingerprint::new(key, hash.response);
    if privacy.capture != Capture::Off {
        draft.prompt.capture();
        draft.answer.capture();
    }
    let beside = |wanted: bool| wanted.then(|| Box::new(Fingerprint::new(key, true)));
    draft.whole_prompt = beside(hash.prompt);
    draft.tools = beside(hash.tools);
    if SPEAKS.contains(&draft.seen.operation) {
        draft.opening = Opening::new(key, hash, &mut draft.prompt);
    }
}
