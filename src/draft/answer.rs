//! The answer: its text, tool calls, finish reasons, and whether it is complete.

use std::rc::Rc;

use super::{Draft, entry};
use crate::json::{LIMIT, ObjectHash, Scalar, identity, unnamed_call};
use crate::observation::{FinishClass, FinishReason, LIST, Text, clipped};
use crate::text::content::Content;
use crate::text::fingerprint::{Begins, Fingerprint, Mark};
use crate::text::hash::Key;

/// The answer, as far as it has been read.
#[derive(Default)]
pub struct Answer {
    text: Fingerprint,
    /// The text came in deltas: a document that repeats it is ignored. In DashScope's API: the request asks for deltas.
    text_comes_in_deltas: bool,
    /// Something was generated that is neither text nor a call of a client's tool: an image, audio, a call of a tool that the
    /// provider runs.
    has_other_content: bool,
    /// The calls of client's tools. Their names are in the observation.
    calls: Vec<AnsweredCall>,
    /// The arguments of a call that arrive in fragments, and the index of the call.
    fragments: (ObjectHash, Option<usize>),
    /// The choices that call tools, one bit for each.
    calling_choices: u128,
    /// True if the response is a stream of JSON documents.
    is_stream: bool,
    /// True if the plugin has read the end of the answer.
    is_complete: bool,
    /// True after the last event of the stream. The plugin ignores all bytes after it.
    has_ended: bool,
    /// True if the answer comes later, in the response to another request, or if the request asks for none.
    is_deferred: bool,
    /// Number of documents that were read to their end.
    documents: u32,
}

/// A call of a client's tool, as far as it has been read.
struct AnsweredCall {
    position: u64,
    /// Hash of its identifier; 0 if it has none.
    id: u64,
    /// Hash of its arguments; 0 if they are not known.
    arguments: u64,
}

/// A call of a client's tool in the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToolCall<'a> {
    /// Hash of its identifier. If it has none, the same as `unnamed`.
    pub id: u64,
    /// The identifier that its result has in a request without identifiers, see [`unnamed_call`].
    pub unnamed: u64,
    /// Name of the tool.
    pub name: &'a Text,
    /// Hash of the tool's name, for [`crate::observation::Step`].
    pub tool: u64,
    /// Hash of its arguments, the same as in a request that repeats the call; 0 if it is not known. Only APIs whose requests may
    /// lack earlier calls have it: Responses, Interactions, Anthropic, Mistral's conversations.
    pub arguments: u64,
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

    /// Returns true if the answer comes later, in the response to another request, or if the request asks for none.
    pub fn is_deferred(&self) -> bool {
        self.is_deferred
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
        // Some APIs have no word for an answer that calls tools.
        for (index, reason) in self.observation.response.finish_reasons.iter_mut().enumerate() {
            if let Some(FinishReason { class: class @ (FinishClass::Stop | FinishClass::Other), .. }) = reason
                && self.answer.calling_choices.checked_shr(index as u32).is_some_and(|bits| bits & 1 == 1)
            {
                *class = FinishClass::ToolCall;
            }
        }
    }

    /// Frees the memory of the answer's text.
    pub fn free_answer_text(&mut self) {
        self.answer.text = Fingerprint::default();
    }

    /// The answer's calls of client's tools.
    pub fn answer_calls(&self) -> impl Iterator<Item = ToolCall<'_>> {
        let (tools, (fragments, fragments_of)) = (&self.observation.output.tools, &self.answer.fragments);
        self.answer.calls.iter().zip(tools).enumerate().map(move |(at, (call, name))| {
            let earlier = tools.iter().take(at).filter(|earlier| *earlier == name).count();
            let tool = identity(Scalar::Text(name));
            let unnamed = unnamed_call(tool, earlier);
            let is_open = *fragments_of == Some(at) && !fragments.is_empty();
            ToolCall {
                id: if call.id == 0 { unnamed } else { call.id },
                unnamed,
                name,
                tool,
                arguments: if is_open { fragments.finish() } else { call.arguments },
            }
        })
    }

    /// The answer's calls of client's tools: identifier hashes, see [`ToolCall::id`], and names.
    pub fn tool_calls(&self) -> impl Iterator<Item = (u64, &Text)> {
        self.answer_calls().map(|call| (call.id, call.name))
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
            && self.observation.response.model.as_deref() != Some(model)
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

    /// Sets whether the answer comes later, in the response to another request, or whether the request asks for none.
    pub fn set_deferred(&mut self, is_deferred: bool) {
        self.answer.is_deferred = is_deferred;
    }

    /// The end of the stream was read. The rest is not read.
    pub fn end_stream(&mut self) {
        self.complete();
        self.answer.has_ended = true;
    }

    /// The open part is a call of a client's tool. A call may come in fragments, of which only the first has the name, or again
    /// in a later document: `position` (of choice and call) and the identifier tell which call it is.
    #[inline(never)]
    pub fn tool_call(&mut self, position: u64) {
        let part = core::mem::take(&mut self.open.part);
        let Some(name) = part.name else { return };
        self.generated();
        match self.open.calling_choice() {
            Some(calls_tools) => *calls_tools = true,
            None => self.answer.calling_choices |= 1,
        }
        let arguments = part.arguments.as_ref().map_or(0, ObjectHash::finish);
        let same =
            |call: &AnsweredCall| call.position == position && (part.id == 0 || call.id == 0 || call.id == part.id);
        if let Some(at) = self.answer.calls.iter().position(same) {
            self.continue_tool_name(at, part.id, &name);
            // A further fragment: the whole is not known.
            if let Some(call) =
                self.answer.calls.get_mut(at).filter(|call| arguments != 0 && call.arguments != arguments)
            {
                call.arguments = 0;
            }
        } else if self.answer.calls.len() < LIST && self.keeps(entry::<AnsweredCall>(0) + entry::<Text>(name.len())) {
            self.answer.calls.push(AnsweredCall { position, id: part.id, arguments });
            self.observation.output.tools.push(name);
        }
    }

    /// As [`Draft::tool_call`], for a part that has the whole call. A stream may have it several times, not always with its index.
    pub fn whole_tool_call(&mut self, position: u64) {
        let known = self.answer.calls.iter().position(|call| call.id != 0 && call.id == self.open.part.id);
        let arguments = self.open.part.arguments.as_ref().filter(|arguments| !arguments.is_empty());
        let arguments = arguments.map(ObjectHash::finish);
        if known.is_none() {
            self.tool_call(position);
        }
        let at = known.or_else(|| self.answer.calls.iter().position(|call| call.position == position));
        if let (Some(call), Some(arguments)) = (at.and_then(|at| self.answer.calls.get_mut(at)), arguments) {
            call.arguments = arguments;
        }
    }

    /// The arguments of the last call follow in fragments. None follow for a part that is no call, unless `is_call`.
    pub fn fragments_opened(&mut self, is_call: bool) {
        let last = self.answer.calls.len().checked_sub(1).filter(|_| is_call);
        let (arguments, of) = core::mem::replace(&mut self.answer.fragments, (ObjectHash::default(), last));
        if let Some(call) = of.and_then(|at| self.answer.calls.get_mut(at)).filter(|_| !arguments.is_empty()) {
            call.arguments = arguments.finish();
        }
    }

    /// Adds a fragment of a call's arguments.
    pub fn arguments_fragment(&mut self, piece: &[u8]) {
        self.other_text(piece);
        self.answer.fragments.0.push(piece);
    }

    /// Records that a choice calls tools.
    pub(super) fn choice_calls_tools(&mut self, index: u32) {
        self.answer.calling_choices |= 1_u128.checked_shl(index).unwrap_or_default();
    }

    /// Adds a piece to the name of a call. Only the first piece has the identifier; some servers repeat the whole name.
    fn continue_tool_name(&mut self, at: usize, id: u64, piece: &str) {
        let Some(begun) = self.observation.output.tools.get(at).filter(|begun| id == 0 && ***begun != *piece) else {
            return;
        };
        let name = clipped(&[&**begun, piece].concat(), LIMIT).into();
        if self.keeps(piece.len())
            && let Some(slot) = self.observation.output.tools.get_mut(at)
        {
            *slot = name;
        }
    }
}

/// Length of the word of a finish reason, in bytes.
fn length(reason: &Option<FinishReason>) -> usize {
    reason.as_ref().map_or(0, |reason| reason.word.len())
}
