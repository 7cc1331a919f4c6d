//! What rules write into while an exchange is read: the observation so far, and what is still open in the current document.
//!
//! A member's meaning often hangs on a sibling that may come before or after it (`type`, `index`, `thought`). So rules only
//! note what they saw; the end of the object or document decides. No order of keys changes the result.

mod counts;
mod history;
mod word;

use crate::bytes::Base64;
use crate::json::Scalar;
use crate::observation::Quantities;
use crate::observation::{FinishClass, FinishReason, LIST, Observation, Text};
use crate::text::content::Words;
use crate::text::fingerprint::{Begins, Fingerprint, Mark};
use crate::text::opening::Opening;

pub use counts::{Counts, Steps};
pub use history::{History, ended};
pub use word::Word;

/// What the wire tells beside the counts.
pub type Used = Quantities<'static>;

/// Everything being read of one exchange.
#[derive(Default)]
pub struct Draft {
    /// What is known.
    pub seen: Observation,
    /// Text of the request's last message.
    pub prompt: Fingerprint,
    /// Text of the answer.
    pub answer: Fingerprint,
    /// The last message itself, where it may be reported.
    pub prompt_words: Option<Box<Words>>,
    /// Texts of all messages, where their hash is asked for.
    pub whole_prompt: Option<Box<Fingerprint>>,
    /// The tools offered, where their hash is asked for.
    pub tools: Option<Box<Fingerprint>>,
    /// How the conversation begins, where anybody asks.
    pub opening: Option<Box<Opening>>,
    /// The conversation, for what it shows of an agent.
    pub history: Box<History>,
    /// Hashes of keys that an answer in JSON has to have.
    pub required: Vec<u64>,
    /// Something was generated that is neither text nor a call: an image, sound, what a provider's own tool gave.
    pub other_content: bool,
    /// Counts as the wire gives them.
    pub counts: Counts,
    /// What the wire tells beside them, which only the cost depends on.
    pub used: Used,
    /// The error, as the wire names it.
    pub error: WireError,
    /// What is open in the current document.
    pub open: Open,
    /// The name the stream gives the current event.
    pub event: Word,
    /// Tool calls by the identity the wire gives them.
    calls: Vec<(u64, u64)>,
    /// Steps of the answer that have counts of their own; few answers tell any.
    pub steps: Option<Box<Steps>>,
    /// What the API decides at the end of a document.
    pub document: Option<fn(&mut Draft)>,
    /// The API's table of finish reasons.
    pub finish_class: Option<fn(&str) -> FinishClass>,
    /// A document carried inside a string of another.
    pub nested: Base64,
    /// The time of the bytes being read.
    pub now: u64,
    /// The response is a stream of documents.
    pub streams: bool,
    /// What ends a stream in good order was seen.
    pub complete: bool,
    /// Nothing more of the response will be read.
    pub done: bool,
    /// Documents that were read to their end.
    pub documents: u32,
    /// A header names the conversation, whatever the bodies say.
    pub conversation_named: bool,
    /// The answer's text came in pieces before a document that repeats it.
    pub streamed_text: bool,
}

/// An error as the wire names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireError {
    /// There was one.
    pub present: bool,
    /// `error.code`, where it is a word.
    pub code: Option<Text>,
    /// `error.type`
    pub kind: Option<Text>,
    /// `error.status` (Google)
    pub status: Option<Text>,
    /// A name outside the error object or in a header.
    pub outer: Option<Text>,
    /// `error.code`, where it is a number: an HTTP status.
    pub number: Option<u16>,
}

/// State of the document being read; cleared when one begins.
#[derive(Clone, Default)]
pub struct Open {
    /// The document's `type`.
    pub kind: Word,
    /// When generated content was first seen in it.
    pub generated: Option<u64>,
    /// The choice, candidate, output item or delta being read.
    pub choice: Choice,
    /// The part, block or call being read.
    pub part: Part,
}

/// One choice, candidate or output item.
#[derive(Clone, Default)]
pub struct Choice {
    /// Its index: what it says, else its position.
    pub index: u32,
    /// Why it ended.
    pub finish: Option<Text>,
    /// The answer's text before it.
    pub before: Option<Mark>,
}

/// One content part, block, output item or tool call.
#[derive(Clone, Default)]
pub struct Part {
    /// Its `type`.
    pub kind: Word,
    /// Its index: what it says, else its position.
    pub index: u32,
    /// Name of the tool called.
    pub name: Option<Text>,
    /// Hash of the call's identifier; 0 where it has none.
    pub id: u64,
    /// Tokens, where it is one of a list of counts.
    pub tokens: u64,
    /// It holds thoughts, not the answer.
    pub thought: bool,
    /// The answer's text before it.
    pub before: Option<Mark>,
}

impl Draft {
    /// The conversation's identifier: the last one given, unless the request's head has named it.
    #[inline(never)]
    pub fn conversation(&mut self, value: Scalar<'_>) {
        if let Some(id) = value.text().filter(|_| !self.conversation_named) {
            self.seen.request.conversation = Some(id);
        }
    }

    /// The response's identifier: the first one given.
    #[inline(never)]
    pub fn response_id(&mut self, value: Scalar<'_>) {
        if self.seen.response.id.is_none() {
            self.seen.response.id = value.text();
        }
    }

    /// The response's model: the last one given.
    #[inline(never)]
    pub fn response_model(&mut self, value: Scalar<'_>) {
        if let Scalar::Text(model) = value
            && !model.is_empty()
            && self.seen.response.model.as_deref() != Some(model)
        {
            self.seen.response.model = Some(model.into());
        }
    }

    /// Generated content was seen in this document.
    pub fn generated(&mut self) {
        self.open.generated.get_or_insert(self.now);
    }

    /// A piece of the answer's text.
    #[inline(never)]
    pub fn answer(&mut self, piece: &[u8]) {
        if !piece.is_empty() {
            self.generated();
            self.answer.push(piece);
        }
    }

    /// A piece of the answer's text in a place that only answers which are not streamed fill.
    #[inline(never)]
    pub fn whole_answer(&mut self, piece: &[u8]) {
        if !self.streams {
            self.answer(piece);
        }
    }

    /// A piece of generated content that is not the answer's text: reasoning, a refusal, arguments.
    #[inline(never)]
    pub fn aside(&mut self, piece: &[u8]) {
        if !piece.is_empty() {
            self.generated();
        }
    }

    /// A message begins in the request; the one before was not the last.
    #[inline(never)]
    pub fn message(&mut self) {
        self.prompt.clear();
        self.history.message_opened();
        if let Some(opening) = &mut self.opening {
            opening.message_opened();
        }
        self.counted_message();
    }

    /// The message is over.
    #[inline(never)]
    pub fn message_closed(&mut self) {
        let speaker = self.history.message_closed();
        if let (Some(opening), Some(of_user)) = (&mut self.opening, speaker) {
            opening.message_closed(of_user, &mut self.prompt);
        }
    }

    /// Whether what a message says is wanted even if it is not the last.
    pub fn listens(&self) -> bool {
        self.whole_prompt.is_some() || self.opening.as_ref().is_some_and(|opening| opening.listens())
    }

    /// A piece of the text of the request's last message so far.
    #[inline(never)]
    pub fn said(&mut self, piece: &[u8]) {
        self.input(piece);
    }

    /// A piece of what the system says beside the messages.
    #[inline(never)]
    pub fn told(&mut self, piece: &[u8]) {
        if let Some(opening) = &mut self.opening {
            opening.push_beside(piece);
        }
    }

    /// A piece of the text of a tool's result.
    pub fn result(&mut self, piece: &[u8]) {
        self.input(piece);
        self.history.result_text(piece);
    }

    /// The text of a tool's result as it is written, where the message may not be the last.
    pub fn glimpse(&mut self, text: &[u8]) {
        self.history.result_glimpse(text);
    }

    /// A piece of the last message's text that no conversation is told by.
    #[inline(never)]
    pub fn input(&mut self, piece: &[u8]) {
        self.prompt.push(piece);
        if let Some(whole) = &mut self.whole_prompt {
            whole.push(piece);
        }
    }

    /// A piece of the tools offered, as it is written.
    pub fn tools(&mut self, piece: &[u8]) {
        if let Some(tools) = &mut self.tools {
            tools.push(piece);
        }
        if piece.contains(&b'{') {
            self.history.acts();
        }
    }

    /// A key that an answer in JSON has to have.
    pub fn required(&mut self, value: Scalar<'_>) {
        if let Scalar::Text(name) = value
            && self.required.len() < LIST
        {
            self.required.push(crate::json::key_hash(name));
        }
    }

    /// A piece of a refusal.
    pub fn refused(&mut self, piece: &[u8]) {
        self.seen.output.refused |= !piece.is_empty();
        self.aside(piece);
    }

    /// A piece of generated content that is no text.
    pub fn other(&mut self, piece: &[u8]) {
        self.other_content |= !piece.is_empty();
        self.aside(piece);
    }

    /// A message of the request that is not the last, wherever it stands.
    pub fn counted_message(&mut self) {
        self.seen.request.messages = Some(self.seen.request.messages.unwrap_or(0).saturating_add(1));
    }

    /// A choice, candidate or output item begins.
    #[inline(never)]
    pub fn choice_opened(&mut self, position: u32) {
        self.open.choice = Choice { index: position, finish: None, before: Some(self.answer.mark(Begins::Choice)) };
    }

    /// A choice is over: its finish reason is taken; its text only if it is the first choice.
    #[inline(never)]
    pub fn choice_closed(&mut self) {
        let choice = core::mem::take(&mut self.open.choice);
        if choice.index != 0
            && let Some(mark) = choice.before
        {
            self.answer.rewind(mark);
        }
        if choice.finish.is_some() {
            self.finish(choice.index, choice.finish);
            self.complete = true;
        }
    }

    /// Why the only choice ended.
    #[inline(never)]
    pub fn finished(&mut self, value: Scalar<'_>) {
        if let Some(reason) = value.text() {
            self.finish(0, Some(reason));
            self.complete = true;
        }
    }

    /// Why the choice at `index` ended.
    #[inline(never)]
    pub fn finish(&mut self, index: u32, word: Option<Text>) {
        let index = index as usize;
        let class = |word: &str| self.finish_class.map_or(FinishClass::Other, |class| class(word));
        let reason = word.map(|word| FinishReason { class: class(&word), word });
        let reasons = &mut self.seen.response.finish_reasons;
        if index < LIST {
            if reasons.len() <= index {
                reasons.resize(index + 1, None);
            }
            if let Some(slot) = reasons.get_mut(index) {
                *slot = reason;
            }
        }
    }

    /// A part, block, item or call begins.
    #[inline(never)]
    pub fn part_opened(&mut self, position: u32) {
        self.open.part = Part { index: position, ..Part::default() };
    }

    /// As [`Draft::part_opened`], for parts whose text counts only if the part turns out to be of the answer.
    #[inline(never)]
    pub fn part_marked(&mut self, position: u32) {
        self.open.part = Part { index: position, before: Some(self.answer.mark(Begins::Part)), ..Part::default() };
    }

    /// The text since the part began is not of the answer.
    #[inline(never)]
    pub fn part_dropped(&mut self) {
        if let Some(mark) = self.open.part.before.take() {
            self.answer.rewind(mark);
        }
    }

    /// The part is a call of a client's tool. Calls come whole, in fragments (only the first of which has the name), or
    /// again in a later document: `place` (position of choice and call) and the call's identifier tell them apart.
    #[inline(never)]
    pub fn call(&mut self, place: u64) {
        let part = core::mem::take(&mut self.open.part);
        let Some(name) = part.name else { return };
        self.generated();
        let known = |(at, id): &(u64, u64)| *at == place && (part.id == 0 || *id == 0 || *id == part.id);
        if !self.calls.iter().any(known) && self.calls.len() < LIST {
            self.calls.push((place, part.id));
            self.seen.output.tools.push(name);
        }
    }

    /// The answer's calls of client's tools: hashes of their identifiers, 0 where one has none, and names.
    pub fn asked(&self) -> impl Iterator<Item = (u64, &Text)> {
        self.calls.iter().map(|(_, id)| *id).zip(&self.seen.output.tools)
    }

    /// An error object or string begins.
    pub fn failed(&mut self) {
        self.error.present = true;
    }

    /// An error's `code`.
    #[inline(never)]
    pub fn error_code(&mut self, value: Scalar<'_>) {
        match value {
            Scalar::Number(number) => self.error.number = number.parse().ok(),
            Scalar::Text(word) if word.bytes().all(|b| b.is_ascii_digit()) => self.error.number = word.parse().ok(),
            other => self.error.code = other.text(),
        }
    }
}
