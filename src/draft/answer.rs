//! The answer: its text, tool calls, finish reasons, and whether it is complete.

use std::rc::Rc;

use super::calls::AnswerCalls;
use super::{Draft, entry};
use crate::bytes::is_equal;
use crate::json::{Scalar, Validator};
use crate::observation::{FinishClass, FinishReason, LIST, Parsed, Text};
use crate::text::content::Content;
use crate::text::fingerprint::{Begins, Fingerprint, Mark};
use crate::text::hash::Key;

/// The place where the answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Arrival {
    /// In the response that is being read.
    #[default]
    Here,
    /// In the response to another request.
    Later,
    /// The request asks for none.
    Never,
}

/// The answer, as far as it has been read.
#[derive(Default)]
pub struct Answer {
    text: Fingerprint,
    /// The text came in deltas: a document that repeats it is ignored. In DashScope's API: the request asks for deltas.
    text_comes_in_deltas: bool,
    /// Something was generated that is neither text nor a call of a client's tool: an image, audio, a call of a tool that the
    /// provider runs.
    has_other_content: bool,
    /// The calls of client's tools.
    pub(super) calls: AnswerCalls,
    /// True if the response is a stream of JSON documents.
    is_stream: bool,
    /// True if the plugin has read the end of the answer.
    is_complete: bool,
    /// True after the last event of the stream. The plugin ignores all bytes after it.
    has_ended: bool,
    arrival: Arrival,
    /// True if the answer was created apart from the request, so that other requests fetch it.
    is_fetchable: bool,
    /// Parses the arguments of the call that the request forces, which are structured output. None if it forces none.
    structure: Option<Box<Validator>>,
    /// Number of documents that were read to their end.
    documents: u32,
}

impl Answer {
    /// Starts the hash of the text, if it is wanted. `captures`: the text itself may be reported.
    pub(super) fn start(&mut self, key: Option<&Rc<Key>>, hashes: bool, captures: bool) {
        self.text = Fingerprint::new(key, hashes);
        if captures {
            self.text.capture();
        }
    }

    /// The answer is to be JSON, with these keys.
    pub(super) fn expect_json(&mut self, required_keys: Vec<u64>) {
        self.text.expect_json(required_keys);
    }

    /// The arguments of a call are to be JSON, with these keys.
    pub(super) fn expect_structure(&mut self, required_keys: Vec<u64>) {
        self.structure = Some(Box::new(Validator::requiring(required_keys)));
    }

    /// The result of checking the arguments of the only call as JSON with the required keys. None if they are not structured output.
    fn structure(&mut self) -> Option<Parsed> {
        let is_only = self.calls.len() == 1;
        let structure = self.structure.as_mut().filter(|_| is_only)?;
        Some(Parsed::of(structure.is_whole(), structure.has_required()))
    }

    /// Adds a piece of the arguments that are structured output, if the request asks for it.
    pub(super) fn structured_arguments(&mut self, piece: &[u8]) {
        if let Some(structure) = &mut self.structure {
            structure.feed(piece);
        }
    }

    /// The end of the text so far.
    pub(super) fn mark(&mut self, begins: Begins) -> Mark {
        self.text.mark(begins)
    }

    /// Removes the text after the mark.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.text.rewind(mark);
    }

    pub(super) fn document_ended(&mut self) {
        self.documents = self.documents.saturating_add(1);
    }

    /// Sets whether the response is a stream of documents.
    pub fn set_stream(&mut self, is_stream: bool) {
        self.is_stream = is_stream;
    }

    /// Returns true if the response is a stream of JSON documents.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Returns true if the plugin has read the end of the answer.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns true after the last event of the stream. The plugin ignores all bytes after it.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Returns true if the answer comes later, in the response to another request.
    pub fn is_deferred(&self) -> bool {
        self.arrival == Arrival::Later
    }

    /// Returns true if the request asks for no answer, or if the answer was cancelled.
    pub fn is_unwanted(&self) -> bool {
        self.arrival == Arrival::Never
    }

    /// Returns true if the answer was created apart from the request, so that other requests fetch it.
    pub fn is_fetchable(&self) -> bool {
        self.is_fetchable
    }

    /// Returns true if something was generated that is neither text nor a call of a client's tool.
    pub fn has_other_content(&self) -> bool {
        self.has_other_content
    }

    /// Returns true if no document was read to its end.
    pub fn is_first_document(&self) -> bool {
        self.documents == 0
    }

    /// Returns true if the text comes in deltas.
    pub fn text_comes_in_deltas(&self) -> bool {
        self.text_comes_in_deltas
    }

    /// Takes the text, if it was captured.
    pub fn take_content(&mut self) -> Option<Box<Content>> {
        self.text.take_content()
    }
}

impl Draft {
    /// The response begins.
    pub fn begin_response(&mut self) {
        self.document_opened();
        self.answer.has_ended = false;
    }

    /// The answer ends: sets hash and length of its text, whether it is the expected JSON, and which choices call tools.
    pub fn end_answer(&mut self) {
        let (text, output) = (&mut self.answer.text, &mut self.observation.output);
        output.hash = text.hash();
        output.characters = text.characters();
        output.parsed = text.parsed();
        output.parsed = self.answer.structure().or(output.parsed);
        self.settle_finish_reasons();
    }

    /// Frees the memory of the answer's text.
    pub fn free_answer_text(&mut self) {
        self.answer.text = Fingerprint::default();
    }

    /// The number of the answer's calls of client's tools.
    pub fn tool_call_count(&self) -> u64 {
        self.observation.output.tools.len() as u64
    }
}

/// Rules of responses. A method that takes a [`Scalar`] sets what it is named after.
impl Draft {
    /// The response's identifier. The first one counts.
    #[inline(never)]
    pub fn response_id(&mut self, value: Scalar<'_>) {
        if self.observation.response.id.is_none() {
            self.observation.response.id = value.text();
        }
    }

    /// The response's identifier. The last one counts.
    pub fn last_response_id(&mut self, value: Scalar<'_>) {
        if let Some(id) = value.text() {
            self.observation.response.id = Some(id);
        }
    }

    /// Removes the response's identifier, which does not identify a completion.
    pub fn clear_response_id(&mut self) {
        self.observation.response.id = None;
    }

    /// The response's model. The last one counts.
    #[inline(never)]
    pub fn response_model(&mut self, value: Scalar<'_>) {
        if let Scalar::Text(model) = value
            && !model.is_empty()
            && !self
                .observation
                .response
                .model
                .as_deref()
                .is_some_and(|known| is_equal(known.as_bytes(), model.as_bytes()))
        {
            self.observation.response.model = Some(model.into());
        }
    }

    /// Adds a piece of the answer's text.
    #[inline(never)]
    pub fn answer_text(&mut self, piece: &[u8]) {
        if !piece.is_empty() {
            self.generated();
            self.answer.text.push(piece);
        }
    }

    /// As [`Draft::answer_text`]. In a stream the text is ignored, as it repeats deltas.
    #[inline(never)]
    pub fn answer_text_unless_stream(&mut self, piece: &[u8]) {
        if !self.answer.is_stream {
            self.answer_text(piece);
        }
    }

    /// Removes the answer's text: the next piece repeats it.
    pub fn clear_answer_text(&mut self) {
        self.answer.text.clear();
    }

    /// Sets whether the text comes in deltas.
    pub fn set_text_comes_in_deltas(&mut self, comes_in_deltas: bool) {
        self.answer.text_comes_in_deltas = comes_in_deltas;
    }

    /// A piece of generated text that is not the answer's: reasoning, a call's arguments.
    #[inline(never)]
    pub fn other_text(&mut self, piece: &[u8]) {
        if !piece.is_empty() {
            self.generated();
        }
    }

    /// A piece of a refusal.
    pub fn refusal_text(&mut self, piece: &[u8]) {
        self.observation.output.refused |= !piece.is_empty();
        self.other_text(piece);
    }

    /// A piece of generated content that is not text.
    pub fn other_content(&mut self, piece: &[u8]) {
        self.add_other_content(!piece.is_empty());
        self.other_text(piece);
    }

    /// Records that there is content that is neither text nor a call of a client's tool, if `is_present`.
    pub fn add_other_content(&mut self, is_present: bool) {
        self.answer.has_other_content |= is_present;
    }

    /// The finish reason of the only choice. It completes the answer.
    #[inline(never)]
    pub fn finish_reason(&mut self, value: Scalar<'_>) {
        if let Some(reason) = value.text() {
            self.set_finish_reason(0, Some(reason));
            self.complete();
        }
    }

    /// Sets the finish reason of the choice at `index`.
    #[inline(never)]
    pub fn set_finish_reason(&mut self, index: u32, word: Option<Text>) {
        let index = index as usize;
        let class = |word: &str| self.finish_class.map_or(FinishClass::Other, |class| class(word));
        let reason = word.map(|word| FinishReason { class: class(&word), word });
        if reason.as_ref().is_some_and(|reason| reason.class == FinishClass::Error) {
            self.failed();
        }
        let reasons = &self.observation.response.finish_reasons;
        let new = (index + 1).saturating_sub(reasons.len()) * entry::<Option<FinishReason>>(0);
        let replaced = reasons.get(index).map_or(0, length);
        if index < LIST && self.keeps(new + length(&reason)) {
            self.room.give(replaced);
            let reasons = &mut self.observation.response.finish_reasons;
            if reasons.len() <= index {
                reasons.resize(index + 1, None);
            }
            if let Some(slot) = reasons.get_mut(index) {
                *slot = reason;
            }
        }
    }

    /// Sets the finish reason of the only choice, in place of all earlier ones.
    pub fn set_only_finish_reason(&mut self, word: Option<Text>) {
        let removed = core::mem::take(&mut self.observation.response.finish_reasons);
        self.room.give(removed.iter().map(|reason| entry::<Option<FinishReason>>(length(reason))).sum());
        self.set_finish_reason(0, word);
    }

    /// The end of the answer was read.
    pub fn complete(&mut self) {
        self.answer.is_complete = true;
    }

    /// The end of the answer was read, if `is_end`.
    pub fn complete_if(&mut self, is_end: bool) {
        self.answer.is_complete |= is_end;
    }

    /// Sets whether the answer comes later, in the response to another request.
    pub fn set_deferred(&mut self, is_deferred: bool) {
        self.answer.arrival = if is_deferred { Arrival::Later } else { Arrival::Here };
    }

    /// The request asks for no answer, or the answer was cancelled.
    pub fn unwanted(&mut self) {
        self.answer.arrival = Arrival::Never;
    }

    /// Sets that the answer was created apart from the request, so that other requests fetch it.
    pub fn fetchable(&mut self, is_fetchable: bool) {
        self.answer.is_fetchable |= is_fetchable;
    }

    /// The end of the stream was read. The rest is not read.
    pub fn end_stream(&mut self) {
        self.complete();
        self.answer.has_ended = true;
    }
}

/// Length of the word of a finish reason, in bytes.
fn length(reason: &Option<FinishReason>) -> usize {
    reason.as_ref().map_or(0, |reason| reason.word.len())
}
