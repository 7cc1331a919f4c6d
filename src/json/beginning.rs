//! The documents of a stream mostly differ in their text only. What stands before and behind the text is read once.
//!
//! A [`Stretch`] has bytes that the scanner read, and the calls of rules that it made meanwhile. If the scanner stands in the
//! same state before the same bytes again, it makes the same calls and takes the state that it had behind them. This needs
//! nothing from the rules, because the calls depend on the program, the state and the bytes only.
//!
//! Bound: two stretches of [`START`] and [`END`] bytes with [`CALLS`] calls each, and a stack of frames.

use super::program::{DEPTH, Ended, Program, Scalar};
use super::{Frame, LIMIT, Scanner, State, word_value};

/// Longest stretches kept before and behind a text, in bytes.
const START: usize = 384;
const END: usize = 128;
/// Most calls of rules kept.
const CALLS: usize = 10;
/// After so many documents in a row that begin otherwise, no more beginnings are recorded. The same holds for ends.
const PATIENCE: u8 = 16;

/// What a scanner remembers of the documents before this one.
pub(super) struct Beginning {
    known: Option<Box<Known>>,
    /// Calls of rules in the stretch that is being recorded.
    calls: Option<Vec<Call>>,
    /// Documents in a row that did not begin as `known`.
    misses: u8,
}

/// The last document with a text that was recorded.
struct Known {
    /// From the document's first byte up to the first quote of the text.
    start: Stretch,
    /// The state behind `start`.
    node: u16,
    depth: u8,
    stack: [Frame; DEPTH],
    /// From behind the text's last quote to the document's last byte.
    end: Option<Stretch>,
    /// Documents in a row that began as this one and did not end as it.
    misses: u8,
}

struct Stretch {
    bytes: Box<str>,
    calls: Box<[Call]>,
}

/// A call of the rule of this node.
struct Call {
    node: u16,
    with: With,
}

/// The value a rule was called with.
pub(super) enum With {
    /// An object begins at this position of an array.
    Open(u32),
    /// An object ends.
    Close,
    /// A number, `true`, `false` or `null`: the number of bytes from its first one to the end of the piece, and its length.
    Word(u32, u32),
    /// The same for a string without its quotes.
    Text(u32, u32),
}

impl Beginning {
    /// Before the first document.
    pub const NONE: Beginning = Beginning { known: None, calls: None, misses: 0 };

    /// Notes a call of a rule, if a stretch is being recorded.
    #[inline]
    pub fn note(&mut self, node: u16, with: With) {
        if let Some(calls) = &mut self.calls
            && calls.len() <= CALLS
        {
            calls.push(Call { node, with });
        }
    }
}

impl Scanner {
    /// Most bytes that a scanner holds beside itself.
    pub const BOUND: usize = size_of::<Known>() + START + END + 2 * CALLS * size_of::<Call>();

    /// Reads bytes as [`Scanner::feed`] does. It is worth its price where `bytes` begin a document of a stream.
    pub fn feed_document<T>(&mut self, program: &Program<T>, target: &mut T, bytes: &[u8]) {
        let rest = if self.is_idle() { self.start(program, target, bytes) } else { bytes };
        self.feed(program, target, rest);
    }

    fn start<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        let start = |known: &Known| behind(&known.start.bytes, bytes);
        let Some(text) = self.beginning.known.as_deref().and_then(start) else {
            return self.learn(program, target, bytes);
        };
        let Some(mut known) = self.beginning.known.take() else { return bytes };
        self.beginning.misses = 0;
        (program.begin)(target);
        known.start.repeat(program, target);
        self.node = known.node;
        self.depth = known.depth;
        for (slot, frame) in self.stack.iter_mut().zip(&known.stack).take(known.depth.into()) {
            *slot = *frame;
        }
        self.begin_text(program, target);
        let mut rest = self.string(program, target, text);
        if self.state == State::After {
            rest = self.end(program, target, &mut known, rest);
        }
        self.beginning.known = Some(known);
        rest
    }

    /// Reads from behind the text. The state depends on `known` only, whatever the text was.
    fn end<'b, T>(&mut self, program: &Program<T>, target: &mut T, known: &mut Known, bytes: &'b [u8]) -> &'b [u8] {
        if let Some(end) = &known.end
            && let Some(rest) = behind(&end.bytes, bytes)
        {
            known.misses = 0;
            end.repeat(program, target);
            self.reset();
            (program.end)(target, Ended::Whole);
            return rest;
        }
        if known.misses >= PATIENCE {
            return bytes;
        }
        known.misses += 1;
        let (rest, end) = self.record(program, target, bytes, END);
        known.end = end.filter(|_| self.is_idle()).or(known.end.take());
        rest
    }

    /// Reads up to the first text that a rule takes in pieces, and keeps what it takes to repeat that.
    fn learn<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        if self.beginning.misses >= PATIENCE {
            return bytes;
        }
        self.beginning.misses += 1;
        let (rest, start) = self.record(program, target, bytes, START);
        let in_text = self.state == State::Text && program.node(self.node).is_some_and(|node| node.text.is_some());
        if let Some(start) = start.filter(|_| in_text) {
            let (node, depth, stack) = (self.node, self.depth, self.stack);
            self.beginning.known = Some(Box::new(Known { start, node, depth, stack, end: None, misses: 0 }));
        }
        rest
    }

    /// Reads up to the first state that is not listed here, and returns what follows. In the states listed, rules are only
    /// called where [`Beginning::note`] is called too.
    fn record<'b, T>(
        &mut self,
        program: &Program<T>,
        target: &mut T,
        bytes: &'b [u8],
        longest: usize,
    ) -> (&'b [u8], Option<Stretch>) {
        self.beginning.calls = Some(Vec::new());
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.step(program, target, rest);
            let listed = [State::Value, State::ArrayStart, State::ObjectStart, State::Key, State::After];
            if !listed.contains(&self.state) {
                break;
            }
        }
        let calls = self.beginning.calls.take().unwrap_or_default();
        (rest, Stretch::new(bytes, rest, calls, longest))
    }
}

impl Stretch {
    /// `bytes` up to `rest`. Returns None if that is too much, or not UTF-8.
    fn new(bytes: &[u8], rest: &[u8], mut calls: Vec<Call>, longest: usize) -> Option<Self> {
        let read = bytes.get(..bytes.len() - rest.len())?;
        if read.len() > longest || calls.len() > CALLS {
            return None;
        }
        for call in &mut calls {
            if let With::Word(place, _) | With::Text(place, _) = &mut call.with {
                // From now on the place counts from the first byte.
                *place = u32::try_from(bytes.len()).ok()?.checked_sub(*place)?;
            }
        }
        Some(Stretch { bytes: core::str::from_utf8(read).ok()?.into(), calls: calls.into() })
    }

    fn repeat<T>(&self, program: &Program<T>, target: &mut T) {
        let part = |at: u32, length: u32| {
            let (at, length) = (at as usize, length as usize);
            self.bytes.get(at..at + length).filter(|_| length <= LIMIT)
        };
        for Call { node, with } in &self.calls {
            let Some(node) = program.node(*node) else { continue };
            match (with, node.open, node.close, node.scalar) {
                (With::Open(index), Some(apply), _, _) => apply(target, *index),
                (With::Close, _, Some(apply), _) => apply(target),
                (With::Word(at, length), _, _, Some(apply)) => {
                    apply(target, part(*at, *length).map_or(Scalar::Other, |word| word_value(word.as_bytes())));
                }
                (With::Text(at, length), _, _, Some(apply)) => {
                    apply(target, part(*at, *length).map_or(Scalar::Other, Scalar::Text));
                }
                _ => {}
            }
        }
    }
}

/// Returns what follows `first` if `bytes` begin with it. In wasm `==` compares slices byte by byte.
fn behind<'b>(first: &str, bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (bytes, rest) = bytes.split_at_checked(first.len())?;
    let ((words, few), (other_words, other_few)) = (first.as_bytes().as_chunks::<8>(), bytes.as_chunks::<8>());
    let same = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b);
    let equal = few.iter().zip(other_few).all(|(a, b)| a == b) && words.iter().zip(other_words).all(same);
    equal.then_some(rest)
}
