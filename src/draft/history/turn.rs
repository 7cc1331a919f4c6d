//! The last turn of a run: its calls and their results, as hashes, and what is reported of each result.
//!
//! Bound: [`STEPS`] calls and results, with [`BOUND`] bytes. No text of a result is kept beyond its ends while it is read.

use super::failure::TextEnds;
use crate::budget::Share;
use crate::bytes::Digest;
use crate::bytes::mix::Mix;
use crate::draft::BLOCK;
use crate::json::{LIMIT, Scalar, Unescape, identity, is_unnamed, unnamed_call};
use crate::observation::{STEPS, Step, Text, ToolResult, Turn};

/// Memory of calls and results, in bytes. It is reserved as a whole with the first of them.
const BOUND: usize = STEPS * (size_of::<PastCall>() + size_of::<ToolResult>() + 2 * (LIMIT + BLOCK));

/// The calls of the last turn, and their results.
#[derive(Default)]
pub(super) struct LastTurn {
    /// True if the length of results is measured.
    pub measures_length: bool,
    /// The share of the memory budget for calls and results. None if there is no budget.
    pub share: Option<Share>,
    /// True if there was no memory for a call or a result.
    pub lacks_memory: bool,
    calls: Vec<PastCall>,
    /// True if there are more calls.
    has_more: bool,
    results: Vec<ToolResult>,
    open: ResultInProgress,
}

/// A call of the last turn.
struct PastCall {
    /// Hash of its identifier, see [`unnamed_call`].
    id: u64,
    name: Text,
    /// Hashes, with that of the result once it has been read.
    step: Step,
    has_result: bool,
}

/// The result that is being read.
#[derive(Default)]
struct ResultInProgress {
    result: ToolResult,
    ends: TextEnds,
    /// The bytes of results that are JSON and no text.
    json: Option<Digest>,
    /// Hash of the strings.
    hash: Option<u64>,
}

impl LastTurn {
    /// Forgets calls and results: a new turn begins.
    pub fn clear(&mut self) {
        self.calls.clear();
        self.has_more = false;
        self.results.clear();
    }

    /// Adds a call whose result may follow. `id` and `arguments` are hashes; `id` is 0 if there is none.
    pub fn push_call(&mut self, id: u64, name: Text, arguments: u64) {
        if self.calls.len() >= STEPS || !self.has_memory() {
            self.has_more = true;
            return;
        }
        let tool = identity(Scalar::Text(&name));
        let nth = self.calls.iter().filter(|call| call.step.tool == tool).count();
        let id = if id == 0 { unnamed_call(tool, nth) } else { id };
        self.calls.push(PastCall { id, name, step: Step { tool, arguments, result: 0 }, has_result: false });
    }

    /// The turn. None if it has no call.
    pub fn turn(&self) -> Option<Turn> {
        let more = self.has_more.then(Step::default);
        (!self.calls.is_empty()).then(|| Turn::new(self.calls.iter().map(|call| call.step).chain(more)))
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

    /// Sets the hash of the identifier of the call, unless it is known.
    pub fn id_unless_set(&mut self, id: u64) {
        if self.open.result.call == 0 {
            self.open.result.call = id;
        }
    }

    /// Sets the tool's name, unless it is known.
    pub fn name_unless_set(&mut self, name: Option<Text>) {
        self.open.result.name = self.open.result.name.take().or(name);
    }

    /// Adds a word or a number to the content.
    pub fn detail(&mut self, value: Scalar<'_>) {
        if let Scalar::Text(word) | Scalar::Number(word) = value {
            self.hashed(Mix::new(0).text(word).finish());
        }
    }

    /// Sets whether the tool failed, from a flag, a status or an outcome.
    pub fn failed(&mut self, value: Scalar<'_>) {
        self.open.result.failed |= matches!(value, Scalar::Bool(true) | Scalar::Text("error" | "failed" | "timeout"));
    }

    /// Adds a piece of the result's text.
    pub fn text(&mut self, piece: &[u8]) {
        self.measure(piece);
        self.open.ends.push(piece);
    }

    /// Adds the whole text, as an escaped JSON string up to its closing quote. Reads only as much as is needed.
    pub fn escaped_text(&mut self, text: &[u8]) {
        if self.measures_length {
            Unescape::default().feed(text, |piece| self.measure(piece));
        }
        self.open.ends.push_escaped(text);
    }

    fn measure(&mut self, piece: &[u8]) {
        if self.measures_length {
            let bytes = self.open.result.bytes.get_or_insert_default();
            *bytes = bytes.saturating_add(piece.len() as u64);
        }
    }

    /// Adds a piece of a result that is JSON and no text.
    pub fn json(&mut self, piece: &[u8]) {
        self.open.json.get_or_insert_default().push(piece);
        self.text(piece);
    }

    /// Adds the hash of a string of the result.
    pub fn hashed(&mut self, hash: u64) {
        self.open.hash = Some(Mix::new(self.open.hash.unwrap_or_default()).number(hash).finish());
    }

    /// The result ends. It failed if it says so, see [`super::failure`].
    pub fn closed(&mut self) {
        if let Some(json) = self.open.json.take() {
            self.hashed(json.finish());
        }
        let ResultInProgress { mut result, ends, hash, .. } = core::mem::take(&mut self.open);
        result.failed |= ends.report_failure();
        result.content = hash.map_or(0, |hash| Mix::new(hash).number(u64::from(result.failed)).finish().max(1));
        let place = self.call_of(&result);
        if let Some(call) = place.and_then(|at| self.calls.get_mut(at)) {
            call.has_result = true;
            call.step.result = result.content;
            result.name.get_or_insert_with(|| call.name.clone());
            if result.call == 0 {
                result.call = call.id;
            }
        } else if let (0, Some(name)) = (result.call, &result.name) {
            let earlier = self.results.iter().filter(|one| is_unnamed(one.call) && one.name == result.name);
            result.call = unnamed_call(identity(Scalar::Text(name)), earlier.count());
        }
        if self.results.len() < STEPS && self.has_memory() {
            self.results.push(result);
        }
    }

    /// The position of the call that the result belongs to: by its identifier, else by the tool's name and the order.
    fn call_of(&self, result: &ToolResult) -> Option<usize> {
        let open = |call: &PastCall| !call.has_result;
        let by_id = self.calls.iter().position(|call| open(call) && call.id == result.call);
        let tool = result.name.as_deref().map(|name| identity(Scalar::Text(name)));
        // Without an identifier on either side.
        let fits = |call: &PastCall| result.call == 0 || is_unnamed(call.id);
        let by_name = |call: &PastCall| open(call) && fits(call) && tool.is_none_or(|tool| tool == call.step.tool);
        by_id.or_else(|| self.calls.iter().position(by_name))
    }

    /// Reserves memory for calls and results, unless it is reserved. Returns false if there is none.
    fn has_memory(&mut self) -> bool {
        let fits = self.share.as_mut().is_none_or(|share| share.bytes() > 0 || share.resize(BOUND));
        self.lacks_memory |= !fits;
        fits
    }

    /// Returns true if there is no call.
    pub fn has_no_call(&self) -> bool {
        self.calls.is_empty() && !self.has_more
    }

    /// Returns true if there is no result.
    pub fn has_no_result(&self) -> bool {
        self.results.is_empty()
    }

    /// Takes the results.
    pub fn take_results(&mut self) -> Vec<ToolResult> {
        core::mem::take(&mut self.results)
    }
}
