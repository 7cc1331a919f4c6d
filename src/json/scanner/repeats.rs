//! A cache for streams whose documents differ only in one text: events of one stream mostly begin and end with the same
//! bytes.
//!
//! A [`RecordedSpan`] has bytes that the scanner read and the rule calls that it made. If the same bytes come again in
//! the same state, the scanner repeats the calls and takes the state that it had after the span, without parsing. This
//! is correct because the calls depend only on the program, the state and the bytes.
//!
//! Memory: one span of at most [`MAX_PREFIX`] bytes, one of at most [`MAX_SUFFIX`] bytes, [`MAX_CALLS`] calls each, and
//! a copy of the scanner's stack.

use super::values::literal_value;
use super::{LIMIT, Scanner, ScannerFrame, ScannerState};
use crate::bytes::is_equal;
use crate::json::program::{Ended, MAX_DEPTH, Program, Scalar};

/// Longest recorded span before a text, in bytes.
const MAX_PREFIX: usize = 384;
/// Longest recorded span after a text, in bytes.
const MAX_SUFFIX: usize = 128;
/// Most rule calls in a span.
const MAX_CALLS: usize = 10;
/// After this many misses in a row, no more prefixes are recorded. The same limit holds for suffixes.
const MAX_MISSES: u8 = 16;

/// The begin and the end of a previous document.
pub(super) struct RepeatCache {
    document: Option<Box<RecordedDocument>>,
    /// Rule calls of the span that is being recorded.
    recording: Option<Vec<RuleCall>>,
    /// Number of documents in a row that did not begin like `document`.
    misses: u8,
}

/// The last document that was recorded. It has a text.
struct RecordedDocument {
    /// From the document's first byte to the opening quote of the text.
    prefix: RecordedSpan,
    /// The scanner's state after the prefix.
    node: u16,
    depth: u8,
    stack: [ScannerFrame; MAX_DEPTH],
    /// From the byte after the closing quote of the text to the document's last byte.
    suffix: Option<RecordedSpan>,
    /// Number of documents in a row that have the prefix and another suffix.
    misses: u8,
}

/// Bytes and the rule calls that they cause.
struct RecordedSpan {
    bytes: Box<str>,
    calls: Box<[RecordedCall]>,
}

/// A call to repeat.
struct RecordedCall {
    node: u16,
    argument: RecordedArgument,
}

/// The value that a rule receives. Literals are parsed once. Numbers and texts are given by position and length in the span.
enum RecordedArgument {
    Open(u32),
    Close,
    Null,
    Bool(bool),
    Other,
    Number(u32, u32),
    Text(u32, u32),
}

/// A call of the rule of a node.
struct RuleCall {
    node: u16,
    argument: CallArgument,
}

/// The value that a rule received.
pub(super) enum CallArgument {
    /// The begin of an object, and its position in the array.
    Open(u32),
    /// The end of an object.
    Close,
    /// A literal: its distance from the end of the piece of input, and its length.
    Literal(u32, u32),
    /// The same for a string, without quotes.
    String(u32, u32),
}

impl RepeatCache {
    /// The cache before the first document.
    pub const EMPTY: RepeatCache = RepeatCache { document: None, recording: None, misses: 0 };

    /// Records a call of the rule of `node`, if a span is being recorded.
    #[inline]
    pub fn note(&mut self, node: u16, argument: CallArgument) {
        if let Some(calls) = &mut self.recording
            && calls.len() <= MAX_CALLS
        {
            calls.push(RuleCall { node, argument });
        }
    }
}

impl Scanner {
    /// Most heap memory of a scanner, in bytes.
    pub const BOUND: usize =
        size_of::<RecordedDocument>() + MAX_PREFIX + MAX_SUFFIX + 2 * MAX_CALLS * size_of::<RecordedCall>();

    /// Reads bytes like [`Scanner::feed`]. It is faster if `bytes` start at the begin of a document that resembles the
    /// previous one.
    pub fn feed_document<T>(&mut self, program: &Program<T>, target: &mut T, bytes: &[u8]) {
        let rest = if self.is_idle() { self.read_prefix(program, target, bytes) } else { bytes };
        self.feed(program, target, rest);
    }

    /// Reads the begin of a document, its text and its end, as far as they are recorded. Returns the remaining bytes.
    fn read_prefix<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        let after_prefix = |document: &RecordedDocument| strip_prefix(&document.prefix.bytes, bytes);
        let Some(text) = self.repeats.document.as_deref().and_then(after_prefix) else {
            return self.record_prefix(program, target, bytes);
        };
        let Some(mut document) = self.repeats.document.take() else { return bytes };
        self.repeats.misses = 0;
        (program.begin)(target);
        document.prefix.repeat(program, target);
        self.node = document.node;
        self.depth = document.depth;
        for (slot, frame) in self.stack.iter_mut().zip(&document.stack).take(document.depth.into()) {
            *slot = *frame;
        }
        self.begin_text(program, target);
        let mut rest = self.read_string(program, target, text);
        if self.state == ScannerState::AfterValue {
            rest = self.read_suffix(program, target, &mut document, rest);
        }
        self.repeats.document = Some(document);
        rest
    }

    /// Reads the bytes after the text. The state there depends on `document` only, not on the text.
    fn read_suffix<'b, T>(
        &mut self,
        program: &Program<T>,
        target: &mut T,
        document: &mut RecordedDocument,
        bytes: &'b [u8],
    ) -> &'b [u8] {
        if let Some(suffix) = &document.suffix
            && let Some(rest) = strip_prefix(&suffix.bytes, bytes)
        {
            document.misses = 0;
            suffix.repeat(program, target);
            self.reset();
            (program.end)(target, Ended::Whole);
            return rest;
        }
        if document.misses >= MAX_MISSES {
            return bytes;
        }
        document.misses += 1;
        let (rest, suffix) = self.record_span(program, target, bytes, MAX_SUFFIX);
        document.suffix = suffix.filter(|_| self.is_idle()).or(document.suffix.take());
        rest
    }

    /// Reads up to the first text that a rule receives in pieces, and records what it read.
    fn record_prefix<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        if self.repeats.misses >= MAX_MISSES {
            return bytes;
        }
        self.repeats.misses += 1;
        let (rest, prefix) = self.record_span(program, target, bytes, MAX_PREFIX);
        let is_in_text =
            self.state == ScannerState::String && program.node(self.node).is_some_and(|node| node.text.is_some());
        if let Some(prefix) = prefix.filter(|_| is_in_text) {
            let (node, depth, stack) = (self.node, self.depth, self.stack);
            self.repeats.document =
                Some(Box::new(RecordedDocument { prefix, node, depth, stack, suffix: None, misses: 0 }));
        }
        rest
    }

    /// Reads up to the first state that is not in the list below. Returns the remaining bytes, and the span if it can
    /// be recorded. In the listed states, every rule call is followed by a call of [`RepeatCache::note`].
    fn record_span<'b, T>(
        &mut self,
        program: &Program<T>,
        target: &mut T,
        bytes: &'b [u8],
        max_length: usize,
    ) -> (&'b [u8], Option<RecordedSpan>) {
        const RECORDED_STATES: [ScannerState; 5] = [
            ScannerState::Value,
            ScannerState::ArrayStart,
            ScannerState::ObjectStart,
            ScannerState::Key,
            ScannerState::AfterValue,
        ];
        self.repeats.recording = Some(Vec::new());
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.advance(program, target, rest);
            if !RECORDED_STATES.contains(&self.state) {
                break;
            }
        }
        let calls = self.repeats.recording.take().unwrap_or_default();
        (rest, RecordedSpan::new(bytes, rest, calls, max_length))
    }
}

impl RecordedSpan {
    /// The bytes from the start of `bytes` to the start of `rest`. Returns None if they are longer than `max_length`,
    /// cause too many calls, or are not UTF-8.
    fn new(bytes: &[u8], rest: &[u8], calls: Vec<RuleCall>, max_length: usize) -> Option<Self> {
        let read = bytes.get(..bytes.len() - rest.len())?;
        if read.len() > max_length || calls.len() > MAX_CALLS {
            return None;
        }
        let read = core::str::from_utf8(read).ok()?;
        // The distance from the end of the piece becomes the position in the span.
        let position = |distance: u32| u32::try_from(bytes.len()).ok()?.checked_sub(distance);
        let recorded = |RuleCall { node, argument }| {
            let argument = match argument {
                CallArgument::Open(index) => RecordedArgument::Open(index),
                CallArgument::Close => RecordedArgument::Close,
                CallArgument::Literal(_, length) | CallArgument::String(_, length) if length as usize > LIMIT => {
                    RecordedArgument::Other
                }
                CallArgument::Literal(distance, length) => {
                    let at = position(distance)?;
                    match literal_value(part(read, at, length)?.as_bytes()) {
                        Scalar::Null => RecordedArgument::Null,
                        Scalar::Bool(value) => RecordedArgument::Bool(value),
                        Scalar::Number(_) => RecordedArgument::Number(at, length),
                        _ => RecordedArgument::Other,
                    }
                }
                CallArgument::String(distance, length) => RecordedArgument::Text(position(distance)?, length),
            };
            Some(RecordedCall { node, argument })
        };
        let calls: Option<Box<[_]>> = calls.into_iter().map(recorded).collect();
        Some(RecordedSpan { bytes: read.into(), calls: calls? })
    }

    /// Makes the recorded calls.
    fn repeat<T>(&self, program: &Program<T>, target: &mut T) {
        for RecordedCall { node, argument } in &self.calls {
            let Some(node) = program.node(*node) else { continue };
            let value = match argument {
                RecordedArgument::Open(index) => {
                    node.open.into_iter().for_each(|apply| apply(target, *index));
                    continue;
                }
                RecordedArgument::Close => {
                    node.close.into_iter().for_each(|apply| apply(target));
                    continue;
                }
                RecordedArgument::Null => Scalar::Null,
                RecordedArgument::Bool(value) => Scalar::Bool(*value),
                RecordedArgument::Other => Scalar::Other,
                RecordedArgument::Number(at, length) => {
                    Scalar::Number(part(&self.bytes, *at, *length).unwrap_or_default())
                }
                RecordedArgument::Text(at, length) => Scalar::Text(part(&self.bytes, *at, *length).unwrap_or_default()),
            };
            if let Some(apply) = node.scalar {
                apply(target, value);
            }
        }
    }
}

/// A part of a span.
fn part(span: &str, at: u32, length: u32) -> Option<&str> {
    span.get(at as usize..at as usize + length as usize)
}

/// Returns the bytes after `prefix`, or None if `bytes` do not start with it.
fn strip_prefix<'b>(prefix: &str, bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (begin, rest) = bytes.split_at_checked(prefix.len())?;
    is_equal(prefix.as_bytes(), begin).then_some(rest)
}
