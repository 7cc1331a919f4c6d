//! What rules write into while an exchange is read: the observation so far, and what is still open in the current document.
//!
//! A member's meaning often hangs on a sibling that may come before or after it (`type`, `index`, `thought`). So rules only
//! note what they saw; the end of the object or document decides. No order of keys changes the result.

use crate::capture::Words;
use crate::fingerprint::{Begins, Fingerprint, Mark};
use crate::framing::Base64;
use crate::json::{Scalar, number};
use crate::observation::{LIST, Observation, Text, Trouble, Usage};
use crate::privacy::Opening;
use crate::signal::agent::History;
use crate::signal::cost::Quantities;

/// Largest count accepted: what a JSON number carries exactly.
const COUNT_LIMIT: u64 = (1 << 53) - 1;

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
    /// What the API decides at the end of a document.
    pub document: Option<fn(&mut Draft)>,
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
    /// A document was read to its end.
    pub documents: u32,
    /// A header names the conversation, whatever the bodies say.
    pub conversation_named: bool,
    /// The answer's text came in pieces before a document that repeats it.
    pub streamed_text: bool,
}

/// Token counts before they are normalised; which are parts of which depends on the API.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Input.
    pub input: Option<u64>,
    /// Output.
    pub output: Option<u64>,
    /// Read from a cache.
    pub cache_read: Option<u64>,
    /// Written to a cache.
    pub cache_write: Option<u64>,
    /// Reasoning.
    pub reasoning: Option<u64>,
    /// Input of provider-run tools that the input count leaves out.
    pub tool_input: Option<u64>,
    /// The provider's own total.
    pub total: Option<u64>,
    /// Input and output once more, in other words (headers, a second object): used where the first are missing.
    pub spare_input: Option<u64>,
    /// See `spare_input`.
    pub spare_output: Option<u64>,
    /// See `spare_input`, which leaves them out: used with it only.
    pub spare_cache_read: Option<u64>,
    /// See `spare_cache_read`.
    pub spare_cache_write: Option<u64>,
    /// The cost as the provider itself says it, in nano-dollars.
    pub cost: Option<u64>,
    /// Cached input stands beside the input, not in it (Anthropic, Bedrock).
    pub cache_beside: bool,
    /// Reasoning stands beside the output, not in it (Gemini).
    pub thoughts_beside: bool,
}

impl Counts {
    /// Normalises: input with what was cached, output with reasoning. A part larger than its whole (Azure-hosted Grok says
    /// 161 cached of 7; Cohere bills 11 of 506, of which 448 were cached) is told as it came.
    pub fn settle(&self) -> Usage {
        let sum = |a: Option<u64>, b: Option<u64>| a.map(|a| a.saturating_add(b.unwrap_or(0)));
        let spare = self.input.is_none();
        let mut usage = Usage {
            input: self.input.or(self.spare_input),
            output: self.output.or(self.spare_output),
            cache_read: self.cache_read.or(self.spare_cache_read.filter(|_| spare)),
            cache_creation: self.cache_write.or(self.spare_cache_write.filter(|_| spare)),
            reasoning: self.reasoning,
        };
        let spare_cache = self.spare_cache_read.is_some() || self.spare_cache_write.is_some();
        if self.cache_beside || spare && spare_cache {
            usage.input = sum(sum(usage.input, usage.cache_read), usage.cache_creation);
        }
        usage.input = sum(usage.input, self.tool_input);
        let without = sum(usage.input, usage.output);
        if self.thoughts_beside {
            // The total tells where the output already holds the thoughts.
            if self.reasoning.is_some() && (without.is_none() || without != self.total) {
                usage.output = sum(usage.output.or(Some(0)), self.reasoning);
            }
        } else if self.total.is_some() && self.total == sum(without, self.reasoning) {
            // xAI's reasoning is beside the output, which only its total shows.
            usage.output = sum(usage.output, self.reasoning);
        }
        usage
    }
}

/// An error as the wire names it.
#[derive(Clone, Debug, Default)]
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

impl Open {
    /// A copy, to begin an equal document with: None where a copy would say a second time what may be said only once.
    pub fn repeatable(&self) -> Option<Open> {
        let plain = self.choice.finish.is_none() && self.part.name.is_none() && self.generated.is_none();
        plain.then(|| self.clone())
    }
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

/// A short word of the wire, kept in place: what is longer than any word the rules compare with is kept as empty.
#[derive(Clone, Copy)]
pub struct Word {
    bytes: [u8; 48],
    length: u8,
}

impl Default for Word {
    fn default() -> Self {
        Word { bytes: [0; 48], length: 0 }
    }
}

impl Word {
    /// Takes the word over; anything but a string is empty.
    #[inline(never)]
    pub fn set(&mut self, value: Scalar<'_>) {
        let word = match value {
            Scalar::Text(word) if word.len() <= self.bytes.len() => word,
            _ => "",
        };
        if let Some(room) = self.bytes.get_mut(..word.len()) {
            room.copy_from_slice(word.as_bytes());
            self.length = word.len() as u8;
        }
    }

    /// Adds a piece of the word.
    pub fn push(&mut self, piece: &[u8]) {
        let from = usize::from(self.length);
        if let Some(room) = self.bytes.get_mut(from..from + piece.len()) {
            room.copy_from_slice(piece);
            self.length += piece.len() as u8;
        } else {
            // However it was cut, it stays too long.
            self.length = u8::MAX;
        }
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.length)).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

// Rules are many and short: what they share is called, not copied into each.
impl Scalar<'_> {
    /// A string that is not empty.
    #[inline(never)]
    pub fn text(self) -> Option<Text> {
        match self {
            Scalar::Text(text) if !text.is_empty() => Some(text.into()),
            _ => None,
        }
    }

    /// A number that is finite.
    #[inline(never)]
    pub fn float(self) -> Option<f64> {
        match self {
            Scalar::Number(number) => number::parse(number).filter(|n| n.is_finite()),
            _ => None,
        }
    }

    /// A whole number from 0 to 2^53 - 1, also where it is written as 12.0.
    #[inline(never)]
    pub fn count(self) -> Option<u64> {
        let Scalar::Number(number) = self else { return None };
        if let Ok(count) = number.parse::<u64>() {
            return Some(count).filter(|n| *n <= COUNT_LIMIT);
        }
        let float = number::parse(number)?;
        (float >= 0.0 && float <= COUNT_LIMIT as f64 && float.trunc() == float).then_some(float as u64)
    }

    /// A whole number of either sign.
    #[inline(never)]
    pub fn integer(self) -> Option<i64> {
        match self {
            Scalar::Number(number) => number.parse().ok(),
            _ => None,
        }
    }

    /// Whether this is `true`.
    pub fn is_true(self) -> bool {
        self == Scalar::Bool(true)
    }
}

impl Draft {
    /// Overlays a count: the last one given stays; null says nothing; what is no count is trouble and changes nothing.
    #[inline(never)]
    pub fn count(&mut self, value: Scalar<'_>, slot: fn(&mut Counts) -> &mut Option<u64>) {
        match value.count() {
            Some(count) => *slot(&mut self.counts) = Some(count),
            None if value == Scalar::Null => {}
            None => self.seen.trouble.add(Trouble::Number),
        }
    }

    /// As [`Draft::count`], but 0 does not replace a count already seen.
    #[inline(never)]
    pub fn count_up(&mut self, value: Scalar<'_>, slot: fn(&mut Counts) -> &mut Option<u64>) {
        if value.count() != Some(0) || slot(&mut self.counts).is_none() {
            self.count(value, slot);
        }
    }

    /// A finer count: the last one that is not 0 stays, and what is no count says nothing.
    #[inline(never)]
    pub fn detail(&mut self, value: Scalar<'_>, slot: fn(&mut Used) -> &mut u64) {
        if let Some(count) = value.count().filter(|count| *count > 0) {
            *slot(&mut self.used) = count;
        }
    }

    /// An entry of a list of counts is over, which says its kind and its tokens in any order. A list replaces the one
    /// before it; text is what the others leave.
    #[inline(never)]
    pub fn modality(&mut self, slots: fn(&mut Used) -> [Option<&mut u64>; 3]) {
        let part = core::mem::take(&mut self.open.part);
        let kinds: [&[&str]; 3] = [&["AUDIO"], &["IMAGE", "DOCUMENT"], &["VIDEO"]];
        for (slot, kinds) in slots(&mut self.used).into_iter().zip(kinds) {
            let Some(slot) = slot else { continue };
            if part.index == 0 {
                *slot = 0;
            }
            if kinds.iter().any(|kind| part.kind.as_str().eq_ignore_ascii_case(kind)) {
                *slot = slot.saturating_add(part.tokens);
            }
        }
    }

    /// The tier the answer came at, in OpenAI's word or one that ends in it: the last one said.
    #[inline(never)]
    pub fn tier(&mut self, value: Scalar<'_>) {
        if let Scalar::Text(word) = value {
            let word = word.rsplit('_').next().unwrap_or_default();
            let priced = ["batch", "flex", "priority", "fast"];
            self.used.tier = priced.into_iter().find(|tier| word.eq_ignore_ascii_case(tier)).unwrap_or_default();
        }
    }

    /// Length of sound, in seconds begun.
    #[inline(never)]
    pub fn seconds(&mut self, value: Scalar<'_>) {
        if let Some(seconds) = value.float().filter(|seconds| (0.0..1e9).contains(seconds)) {
            self.used.audio_seconds = seconds.ceil() as u64;
        }
    }

    /// The cost in USD as the provider itself says it.
    #[inline(never)]
    pub fn cost(&mut self, value: Scalar<'_>) {
        if let Some(usd) = value.float().filter(|usd| (0.0..1e6).contains(usd)) {
            self.counts.cost = Some((usd * 1e9).round() as u64);
        }
    }

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

    /// A document begins with the same bytes as the one `open` was copied from.
    pub fn reopen(&mut self, open: &Open) {
        self.open = open.clone();
        for (mark, begins) in
            [(&mut self.open.choice.before, Begins::Choice), (&mut self.open.part.before, Begins::Part)]
        {
            if mark.is_some() {
                *mark = Some(self.answer.mark(begins));
            }
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
            opening.message_closed(of_user);
        }
    }

    /// A piece of the text of the request's last message so far.
    #[inline(never)]
    pub fn said(&mut self, piece: &[u8]) {
        self.input(piece);
        if let Some(opening) = &mut self.opening {
            opening.push(piece);
        }
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
            self.history.tool_offered();
        }
    }

    /// A key that an answer in JSON has to have.
    pub fn required(&mut self, value: Scalar<'_>) {
        if let Scalar::Text(name) = value
            && self.required.len() < LIST
        {
            self.required.push(crate::json::key(name));
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

    /// Adds to the input, for answers that count each part of it.
    pub fn add_input(&mut self, value: Scalar<'_>) {
        let before = self.counts.input.take();
        self.count(value, |c| &mut c.input);
        self.counts.input = match (before, self.counts.input) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
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
    pub fn finish(&mut self, index: u32, reason: Option<Text>) {
        let index = index as usize;
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

/// A small hash that tells identifiers apart (FNV-1a); never 0.
#[inline(never)]
pub fn identity(value: Scalar<'_>) -> u64 {
    let Scalar::Text(id) = value else { return 0 };
    if id.is_empty() {
        return 0;
    }
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    hash.max(1)
}
