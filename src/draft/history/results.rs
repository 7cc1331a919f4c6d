//! The results of the last turn's tool calls: which tool, whether it failed, how long the text is.
//!
//! Bound: [`CALLS`] calls and results, with [`BOUND`] bytes. No text of a result is kept beyond its first bytes while it is read.

use super::loops::CALLS;
use crate::budget::Share;
use crate::bytes::mix::Mix;
use crate::draft::BLOCK;
use crate::json::{LIMIT, Scalar, Unescape, identity};
use crate::observation::{Text, ToolResult};

/// Memory of calls and results, in bytes. It is reserved as a whole with the first of them.
const BOUND: usize = CALLS * (size_of::<(u64, Text)>() + size_of::<ToolResult>() + 2 * (LIMIT + BLOCK));

/// The calls of the last turn, and their results.
#[derive(Default)]
pub(super) struct ResultLog {
    /// True if the length of results is measured.
    pub measures_length: bool,
    /// The share of the memory budget for calls and results. None if there is no budget.
    pub share: Option<Share>,
    /// True if there was no memory for a call or a result.
    pub lacks_memory: bool,
    /// Identifier hashes and tool names of the last turn's calls.
    calls: Vec<(u64, Text)>,
    results: Vec<ToolResult>,
    open: ResultInProgress,
}

/// The result that is being read.
#[derive(Default)]
struct ResultInProgress {
    result: ToolResult,
    /// The first bytes of its text in lower case, without white space and quotes.
    head: [u8; 10],
    head_length: usize,
    /// Hash of its strings.
    hash: u64,
}

impl ResultLog {
    /// Forgets calls and results: a new turn begins.
    pub fn clear(&mut self) {
        self.calls.clear();
        self.results.clear();
    }

    /// Adds a call whose result may follow.
    pub fn push_call(&mut self, id: u64, tool: Text) {
        if self.calls.len() < CALLS && self.has_memory() {
            self.calls.push((id, tool));
        }
    }

    /// A result begins.
    pub fn opened(&mut self) {
        self.open = ResultInProgress::default();
    }

    /// Sets the identifier of the call that the result belongs to.
    pub fn id(&mut self, value: Scalar<'_>) {
        self.open.result.call = identity(value);
    }

    /// Sets the tool's name, if the result has it.
    pub fn name(&mut self, value: Scalar<'_>) {
        self.open.result.name = value.text();
    }

    /// Sets whether the tool failed, from a flag or a status.
    pub fn failed(&mut self, value: Scalar<'_>) {
        self.open.result.failed |= value.is_true() || value == Scalar::Text("error");
    }

    /// Adds a piece of the result's text.
    pub fn text(&mut self, piece: &[u8]) {
        if self.measures_length {
            let bytes = self.open.result.bytes.get_or_insert_default();
            *bytes = bytes.saturating_add(piece.len() as u64);
        }
        for byte in piece.iter().filter(|b| !b.is_ascii_whitespace() && **b != b'"') {
            let Some(slot) = self.open.head.get_mut(self.open.head_length) else { return };
            *slot = byte.to_ascii_lowercase();
            self.open.head_length += 1;
        }
    }

    /// Adds the hash of a string of the result.
    pub fn hashed(&mut self, hash: u64) {
        self.open.hash = Mix::new(self.open.hash).number(hash).finish();
    }

    /// Adds the whole text, as an escaped JSON string up to its closing quote. Reads only as much as is needed.
    pub fn escaped_text(&mut self, text: &[u8]) {
        let mut escape = Unescape::default();
        for block in text.chunks(64) {
            escape.feed(block, |piece| self.text(piece));
            if !self.measures_length && self.open.head_length == self.open.head.len() {
                break;
            }
        }
    }

    /// The result ends. It failed if it says so, or if its text begins with `error`, `{"error`, `exception` or `traceback`.
    pub fn closed(&mut self) {
        let ResultInProgress { mut result, head, head_length, .. } = core::mem::take(&mut self.open);
        let head = head.get(..head_length).unwrap_or_default();
        let begins = |word: &str| head.starts_with(word.as_bytes());
        result.failed |= begins("error") || begins("{error") || begins("exception") || begins("traceback");
        if result.name.is_none() {
            let call = self.calls.iter().find(|(id, _)| *id == result.call && *id != 0);
            result.name = call.map(|(_, name)| name.clone());
        }
        if self.results.len() < CALLS && self.has_memory() {
            self.results.push(result);
        }
    }

    /// Reserves memory for calls and results, unless it is reserved. Returns false if there is none.
    fn has_memory(&mut self) -> bool {
        let fits = self.share.as_mut().is_none_or(|share| share.bytes() > 0 || share.resize(BOUND));
        self.lacks_memory |= !fits;
        fits
    }

    /// Returns true if there is no result.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// Takes the results.
    pub fn take(&mut self) -> Vec<ToolResult> {
        core::mem::take(&mut self.results)
    }
}
