//! The results of a batch: documents that each have a response of their own, in the lines of a file or in a list.
//!
//! Memory: the totals of at most [`MODELS`] models, reserved with [`Draft::keeps`]. What a result leaves in the draft is removed when it
//! ends.

use core::ops::Range;

use super::{BLOCK, Counts, Draft, entry};
use crate::bytes::{MOST_RANGES, Ranges};
use crate::json::Scalar;
use crate::observation::{BatchResults, Cost, MODELS, ModelTotals, OtherQuantities, Usage};

/// Finds the cost of the result that has just been read.
pub type PriceOfResult = Box<dyn Fn(&Draft) -> Cost>;

/// The state of reading the results of a batch.
pub struct ResultReader {
    price: PriceOfResult,
    results: BatchResults,
    /// The current result names the request that it answers.
    has_name: bool,
    /// The current result has a response or an error.
    has_outcome: bool,
    /// The list of results that counts. 0 before the first result of a list.
    list: u8,
    /// Memory that the draft had taken before the current result, in bytes.
    taken: usize,
    /// The batch has not ended: its list may lack results.
    pub is_unfinished: bool,
    /// The results are lines at these positions.
    pub lines: ResultLines,
}

/// The positions of the lines of a file, in bytes from its beginning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultLines {
    /// Lines that begin in these ranges count.
    pub counted: Ranges,
    /// The part of the file that the body has.
    pub range: Range<u64>,
    /// Position of the next byte.
    pub position: u64,
    /// Position at which the current line begins.
    pub line_start: u64,
    /// The body begins inside a line, whose rest is skipped.
    pub skips_line: bool,
    /// Position at which the first whole line begins.
    pub first_line: u64,
    /// A line was read that is no result.
    is_other: bool,
}

impl ResultLines {
    /// The lines of this part of a file. They begin with a whole line only at the beginning of the file.
    pub fn of(range: Range<u64>) -> Self {
        let start = range.start;
        let skips_line = start > 0;
        ResultLines { range, position: start, line_start: start, first_line: start, skips_line, ..Self::default() }
    }
}

impl ResultReader {
    /// Memory without the totals of models, in bytes.
    pub const BOUND: usize = size_of::<ResultReader>() + 4 * BLOCK + 4 * MOST_RANGES * size_of::<Range<u64>>();

    /// Nothing has been read.
    pub fn new(price: PriceOfResult, lines: ResultLines) -> Self {
        let (has_name, has_outcome, list, taken) = (false, false, 0, 0);
        let (results, is_unfinished) = (BatchResults::default(), false);
        ResultReader { price, results, has_name, has_outcome, list, taken, is_unfinished, lines }
    }

    /// Takes the results.
    pub fn take(&mut self) -> BatchResults {
        core::mem::take(&mut self.results)
    }

    fn end(&mut self, draft: &mut Draft) {
        let is_result = self.has_name && self.has_outcome;
        self.lines.is_other |= !is_result && self.list == 0;
        draft.shows_api |= !self.lines.is_other;
        if is_result && draft.shows_api && self.lines.counted.contains(self.lines.line_start) {
            self.results.responses += 1;
            match self.used(draft) {
                Some(used) => self.add(used, draft),
                None => self.results.failures += 1,
            }
        }
    }

    /// The usage and the cost of the current result. None if it failed.
    fn used(&self, draft: &mut Draft) -> Option<ModelTotals> {
        let usage = draft.counts.usage_of_all_attempts().possible();
        if !usage.is_known() && !draft.counts.details().has_other_units() {
            return None;
        }
        // Batches have prices of their own, whatever tier a response names.
        draft.service_tier(Scalar::Text("batch"));
        draft.observation.usage = usage;
        let model = draft.observation.response.model.clone();
        let quantities = OtherQuantities::of(&draft.counts.details(), Vec::new());
        Some(ModelTotals { model, responses: 1, usage, cost: (self.price)(draft), quantities })
    }

    fn add(&mut self, used: ModelTotals, draft: &mut Draft) {
        draft.give_back(self.taken);
        let models = &mut self.results.models;
        if let Some(known) = models.iter_mut().find(|known| known.model == used.model) {
            return known.add(&used);
        }
        let length = used.model.as_ref().map_or(0, |model| model.len());
        let has_room = models.len() < MODELS && draft.keeps(entry::<ModelTotals>(length));
        self.taken = draft.taken();
        match models.last_mut().filter(|_| !has_room) {
            Some(last) => {
                last.model = None;
                last.add(&used);
            }
            None => models.push(used),
        }
    }
}

impl Draft {
    /// Prepares for results.
    pub fn read_results(&mut self, reader: ResultReader) {
        if self.keeps(ResultReader::BOUND) {
            let taken = self.taken();
            self.results = Some(Box::new(ResultReader { taken, ..reader }));
        }
    }

    /// A result begins or ends: forgets the one before.
    fn forget_result(&mut self) {
        self.counts = Counts::default();
        self.observation.usage = Usage::default();
        self.observation.response.model = None;
        if let Some(reader) = &mut self.results {
            (reader.has_name, reader.has_outcome) = (false, false);
            let taken = reader.taken;
            self.give_back(taken);
        }
    }

    /// Returns true if the current line is read: it may count, or may show that the file has results.
    pub fn reads_line(&self) -> bool {
        self.results.as_ref().is_some_and(|reader| {
            let lines = &reader.lines;
            !lines.skips_line && (!self.shows_api || lines.counted.contains(lines.line_start))
        })
    }

    /// Bytes of the current line have been read.
    pub fn line_passed(&mut self, bytes: usize) {
        if let Some(reader) = &mut self.results {
            reader.lines.position = reader.lines.position.saturating_add(bytes as u64);
        }
    }

    /// The current line has ended. Returns false if the file has no results.
    pub fn line_ended(&mut self) -> bool {
        self.forget_result();
        let shows_api = self.shows_api;
        let Some(reader) = &mut self.results else { return false };
        let lines = &mut reader.lines;
        lines.line_start = lines.position;
        if core::mem::take(&mut lines.skips_line) {
            lines.first_line = lines.position;
        }
        shows_api || !lines.is_other
    }
}

/// Rules of results.
impl Draft {
    /// The name of the request that the result answers.
    pub fn batch_result_named(&mut self, _: Scalar<'_>) {
        if let Some(reader) = &mut self.results {
            reader.has_name = true;
        }
    }

    /// The response of the result, or its error.
    pub fn batch_result_decided(&mut self, _: u32) {
        if let Some(reader) = &mut self.results {
            reader.has_outcome = true;
        }
    }

    /// The state of the batch. `unfinished` are the states before its end.
    pub fn batch_state(&mut self, state: Scalar<'_>, unfinished: &[&str]) {
        if let Some(reader) = &mut self.results {
            reader.is_unfinished |= matches!(state, Scalar::Text(state) if unfinished.contains(&state));
        }
    }

    /// A result begins in the list with this number. Only the first list that has results counts.
    pub fn batch_result_of(&mut self, list: u8) {
        if let Some(reader) = &mut self.results {
            reader.list = if reader.list == 0 { list } else { reader.list };
            (reader.has_name, reader.has_outcome) = (reader.list == list, reader.list == list);
        }
    }

    /// The result ends.
    pub fn batch_result_ended(&mut self) {
        if let Some(mut reader) = self.results.take() {
            reader.end(self);
            self.results = Some(reader);
            self.complete();
        }
        self.forget_result();
    }
}
