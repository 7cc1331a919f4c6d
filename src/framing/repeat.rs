//! The events of a stream repeat themselves: from one to the next only the text and a few counters change. What stands before
//! and behind the text is compared with the event before, and where it is the same, not read again.
//!
//! Bound: [`LONGEST`] bytes of one event's beginning, and a [`Tail`]. Measured natively: the compare is a tenth of the reading it saves.

use crate::draft::{Draft, Open};
use crate::json::{Place, Program, Scanner, Tail, behind};

/// Longest beginning kept, in bytes.
const LONGEST: usize = 384;
/// After so many events in a row that begin otherwise, no more beginnings are kept; the same for ends.
const PATIENCE: u8 = 16;

/// The beginning of an event and what it came to.
#[derive(Default)]
pub struct Repeat {
    begin: Vec<u8>,
    known: Option<Box<(Place, Open)>>,
    misses: u8,
    tail: Option<Tail<Draft>>,
    tail_misses: u8,
}

impl Repeat {
    /// Most bytes it holds beside itself.
    pub const BOUND: usize = LONGEST + size_of::<(Place, Open)>() + Tail::<Draft>::BOUND;

    /// Reads the start of an event's data; returns what is left to read.
    pub fn start<'b>(
        &mut self,
        scanner: &mut Scanner,
        program: &Program<Draft>,
        draft: &mut Draft,
        data: &'b [u8],
    ) -> &'b [u8] {
        if let Some(known) = &self.known
            && let Some(rest) = behind(&self.begin, data)
        {
            let (place, open) = &**known;
            self.misses = 0;
            scanner.begin_at(program, draft, place, |draft| draft.reopen(open));
            let rest = scanner.feed_text(program, draft, rest);
            return self.end(scanner, program, draft, rest);
        }
        if self.misses >= PATIENCE || !scanner.is_idle() {
            return data;
        }
        self.misses += 1;
        self.known = None;
        self.tail = None;
        let Some(rest) = scanner.feed_to_text(program, draft, data) else { return &[] };
        let begin = data.get(..data.len() - rest.len()).unwrap_or_default();
        if begin.len() <= LONGEST
            && let Some(open) = draft.open.repeatable()
        {
            self.begin.clear();
            self.begin.extend_from_slice(begin);
            self.known = Some(Box::new((scanner.place(), open)));
        }
        rest
    }

    /// Reads the end of an event that began like the one before; returns what is left to read.
    fn end<'b>(
        &mut self,
        scanner: &mut Scanner,
        program: &Program<Draft>,
        draft: &mut Draft,
        rest: &'b [u8],
    ) -> &'b [u8] {
        if !scanner.is_behind_value() {
            return rest;
        }
        if let Some(tail) = &self.tail
            && scanner.end_with(program, draft, tail, rest)
        {
            self.tail_misses = 0;
            return &[];
        }
        if self.tail_misses < PATIENCE {
            self.tail_misses += 1;
            self.tail = scanner.tail(program, rest).or(self.tail.take());
        }
        rest
    }
}
