//! The scanner: a state machine that reads JSON documents in pieces and calls the rules of a [`Program`].
//!
//! Memory: a [`Scanner`] takes less than 1 KiB, plus at most [`Scanner::BOUND`] bytes on the heap, whatever the size
//! and the depth of the document. It never holds a string longer than [`LIMIT`] bytes.
//!
//! The submodules implement parts of the scanner: [`containers`] objects and arrays, [`members`] object members,
//! [`values`] strings and literals, [`skip`] values that no rule selects, [`deferred`] texts that are passed on later,
//! [`repeats`] documents that begin and end like the previous one.
//!
//! "Literal" means a number, `true`, `false` or `null` in this module.

mod containers;
mod deferred;
mod members;
mod repeats;
mod skip;
mod values;

use memchr::memchr;

use super::LIMIT;
use super::program::{Ended, MAX_DEPTH, NO_NODE, Program};
use super::string::{EscapeState, HeldValue};
use crate::bytes::TextDigest;
use deferred::DeferredTexts;
use repeats::RepeatCache;

/// What the scanner expects next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ScannerState {
    /// Between documents.
    Idle,
    /// A value.
    Value,
    /// After `[`: a value or `]`.
    ArrayStart,
    /// After `{`: a key or `}`.
    ObjectStart,
    /// After a comma in an object: a key.
    Key,
    /// Inside a key.
    KeyString,
    /// After a key: a colon.
    Colon,
    /// After a value in an object or array: a comma or a closing bracket.
    AfterValue,
    /// Inside a string that a rule selects.
    String,
    /// At the first byte of a string that a [`super::Deferred`] rule selects and that may be deferred.
    Deferrable,
    /// At the first byte of such a string that must be passed on now, after all strings that were deferred before it.
    Immediate,
    /// Inside a literal that a rule selects.
    Literal,
    /// Inside a string that no rule selects.
    SkippedString,
    /// Inside a literal that no rule selects.
    SkippedLiteral,
    /// Inside an object or array that no rule looks into.
    SkippedContainer,
    /// Inside a string of such an object or array.
    SkippedContainerString,
    /// After an error. The rest of the document is ignored.
    Malformed,
}

/// An open object or array.
#[derive(Clone, Copy)]
struct ScannerFrame {
    /// Node of the object or array in the program.
    node: u16,
    is_array: bool,
    /// Position of the current element, if this is an array.
    index: u32,
}

/// Most documents between two calls of [`Scanner::allow_documents`]. Documents of real streams are longer than 16 bytes,
/// so that 1 MiB has fewer of them. Without the limit, 1 MiB of `{}` takes 40 ms in Envoy.
const MAX_DOCUMENTS: u32 = 1 << 16;

/// How the documents of a stream are separated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Documents {
    /// Documents follow each other. After a malformed document, only [`Scanner::finish`] starts the next one.
    Plain,
    /// Documents follow each other. After a malformed document, the next line starts the next one.
    Lines,
    /// The documents are the elements of one top-level array, or follow each other.
    Elements,
}

/// Reads a stream of documents.
pub struct Scanner {
    state: ScannerState,
    documents: Documents,
    /// Number of documents that may still begin, see [`Scanner::allow_documents`].
    documents_left: u32,
    /// Number of open objects and arrays on `stack`.
    depth: u8,
    /// Node of the program for the current value.
    node: u16,
    /// Number of open brackets of the container that is being skipped.
    skip_depth: u32,
    /// True if the bytes of the skipped container go to a raw rule.
    is_raw: bool,
    escape: EscapeState,
    /// Hash of the current string so far, if a rule wants it.
    digest: TextDigest,
    /// Texts of the current piece of input that rules have not received yet.
    deferred: DeferredTexts,
    stack: [ScannerFrame; MAX_DEPTH],
    /// The current key or scalar, if it did not arrive in one piece.
    held: HeldValue,
    repeats: RepeatCache,
}

impl Scanner {
    /// Creates a scanner that is between documents.
    pub const fn new(documents: Documents) -> Self {
        Scanner {
            state: ScannerState::Idle,
            documents,
            documents_left: MAX_DOCUMENTS,
            depth: 0,
            node: 0,
            skip_depth: 0,
            is_raw: false,
            escape: EscapeState::new(),
            digest: TextDigest::new(),
            deferred: DeferredTexts::NONE,
            stack: [ScannerFrame { node: NO_NODE, is_array: false, index: 0 }; MAX_DEPTH],
            held: HeldValue::new(),
            repeats: RepeatCache::EMPTY,
        }
    }

    /// Allows 65,536 documents from now on. The one that reaches this number is malformed, and those after it are
    /// ignored. The caller allows them again for each callback of the host, which bounds the work of a callback.
    pub fn allow_documents(&mut self) {
        self.documents_left = MAX_DOCUMENTS;
    }

    /// Returns true if the scanner is between documents.
    pub fn is_idle(&self) -> bool {
        self.state == ScannerState::Idle
    }

    /// Ends the current document, if there is one. An incomplete document ends as `ended`. Returns false if the
    /// document was incomplete.
    pub fn finish<T>(&mut self, program: &Program<T>, target: &mut T, ended: Ended) -> bool {
        let is_complete = match self.state {
            ScannerState::Idle | ScannerState::Malformed => true,
            // A top-level literal has no closing byte.
            ScannerState::Literal | ScannerState::SkippedLiteral if self.depth == 0 => {
                self.literal_ended(program, target);
                (program.end)(target, Ended::Whole);
                true
            }
            _ => {
                (program.end)(target, ended);
                false
            }
        };
        self.reset();
        is_complete
    }

    /// Reads `bytes`. They may begin and end anywhere in a document and may contain several documents.
    pub fn feed<T>(&mut self, program: &Program<T>, target: &mut T, bytes: &[u8]) {
        let mut rest = bytes;
        self.deferred.piece_length = u32::try_from(bytes.len()).unwrap_or(0);
        while !rest.is_empty() {
            rest = self.advance(program, target, rest);
            if self.state == ScannerState::Immediate {
                self.emit_deferred(program, target, bytes);
                self.begin_text(program, target);
            }
        }
        if self.deferred.count > 0 {
            self.emit_deferred(program, target, bytes);
        }
        self.deferred.piece_length = 0;
    }

    /// Reads up to the end of a document. Returns the bytes after it, or None if the document continues after `bytes`.
    pub fn feed_one<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let was_idle = self.is_idle();
            rest = self.advance(program, target, rest);
            if self.is_idle() && !was_idle {
                return Some(rest);
            }
        }
        None
    }

    /// Begins the document whose first byte is `byte`.
    #[inline]
    fn begin_document<T>(&mut self, program: &Program<T>, target: &mut T, byte: u8) {
        if self.documents_left == 0 {
            self.state = ScannerState::Malformed;
            return;
        }
        self.documents_left -= 1;
        self.node = 0;
        (program.begin)(target);
        if self.documents_left == 0 {
            return self.malformed(program, target);
        }
        self.begin_value(program, target, byte);
    }

    fn reset(&mut self) {
        self.state = ScannerState::Idle;
        self.depth = 0;
        self.escape = EscapeState::new();
    }

    /// Reads at least one byte, and all structural bytes after it. Returns the remaining bytes.
    fn advance<'b, T>(&mut self, program: &Program<T>, target: &mut T, mut bytes: &'b [u8]) -> &'b [u8] {
        while let Some((&byte, tail)) = bytes.split_first() {
            if let Some(rest) = self.read_token(program, target, byte, bytes, tail) {
                return rest;
            }
            bytes = tail;
        }
        bytes
    }

    /// Reads one structural byte, or as much of the current value as `bytes` has. Returns the remaining bytes, or None
    /// if the caller can go on with `tail` in the same call.
    #[inline(always)]
    fn read_token<'b, T>(
        &mut self,
        program: &Program<T>,
        target: &mut T,
        byte: u8,
        bytes: &'b [u8],
        tail: &'b [u8],
    ) -> Option<&'b [u8]> {
        let is_blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.state {
            ScannerState::KeyString => return Some(self.read_key(program, bytes)),
            ScannerState::String | ScannerState::Immediate => return Some(self.read_string(program, target, bytes)),
            ScannerState::Deferrable => return Some(self.defer_string(program, target, bytes)),
            ScannerState::Literal | ScannerState::SkippedLiteral => {
                return Some(self.read_literal(program, target, bytes));
            }
            ScannerState::SkippedString | ScannerState::SkippedContainerString => {
                return Some(self.read_skipped_string(program, target, bytes));
            }
            ScannerState::SkippedContainer => return Some(self.read_skipped_container(program, target, bytes)),
            ScannerState::Malformed => {
                let line_end = memchr(b'\n', bytes).filter(|_| self.documents == Documents::Lines);
                if line_end.is_some() {
                    self.reset();
                }
                return Some(line_end.and_then(|at| bytes.get(at + 1..)).unwrap_or_default());
            }
            _ if is_blank => {}
            ScannerState::Idle => {
                if self.documents != Documents::Elements || !matches!(byte, b'[' | b',' | b']') {
                    self.begin_document(program, target, byte);
                }
                // `feed_one` must see the state between the first and the last byte of a document.
                return Some(tail);
            }
            ScannerState::ArrayStart if byte == b']' => self.pop(program, target),
            ScannerState::Value | ScannerState::ArrayStart => self.begin_value(program, target, byte),
            ScannerState::ObjectStart if byte == b'}' => self.pop(program, target),
            ScannerState::ObjectStart | ScannerState::Key if byte == b'"' => {
                self.held.clear();
                self.state = ScannerState::KeyString;
                return Some(self.read_plain_members(program, target, tail));
            }
            ScannerState::Colon if byte == b':' => self.state = ScannerState::Value,
            ScannerState::AfterValue => self.after_value(program, target, byte),
            ScannerState::ObjectStart | ScannerState::Key | ScannerState::Colon => self.malformed(program, target),
        }
        // The callers of `advance` act on all other states.
        let continues = matches!(
            self.state,
            ScannerState::Value
                | ScannerState::ArrayStart
                | ScannerState::ObjectStart
                | ScannerState::Key
                | ScannerState::AfterValue
        );
        if continues { None } else { Some(tail) }
    }
}
