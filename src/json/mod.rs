//! Push scanner for JSON: bytes in any cutting go in, the values a [`Program`] asks for come out, nothing else is kept.
//!
//! Bound: a scanner is under 1 KiB and holds up to [`Scanner::BOUND`] beside itself, whatever the document's size or depth.
//! Strings longer than [`LIMIT`] are never held.
//! Spec: RFC 8259, read leniently: a value no rule asks for is only checked as far as finding its end needs.

mod beginning;
mod canonical;
mod deferred;
pub(crate) mod number;
mod program;
mod scalar;
mod search;
mod string;

pub use canonical::{Canonical, key_hash};
pub use program::{
    Deferred, Ended, Group, On, Program, Rule, Scalar, close, deferred, open, raw, scalar, supersedes, text,
};
pub use scalar::{COUNT_LIMIT, identity};
pub use string::{LIMIT, Unescape};

use beginning::{Beginning, With};
use deferred::DeferredTexts;
use memchr::memchr;
use program::{DEPTH, NONE, Node};
use search::{is_word, whole_string};
use string::{Escape, Held};

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Between documents.
    Idle,
    Value,
    /// After `[`: a value or `]`.
    ArrayStart,
    /// After `{`: a key or `}`.
    ObjectStart,
    /// After a comma in an object.
    Key,
    KeyText,
    Colon,
    /// After a value inside an object or array.
    After,
    Text,
    /// A text that may come late; and one that must come after those that did not come yet.
    Deferrable,
    Immediate,
    Word,
    /// A string or word that no rule asks for.
    BlindText,
    BlindWord,
    /// Inside an object or array that no rule asks for; in a string of it.
    Skip,
    SkipText,
    /// Malformed: nothing more is read of this document.
    Broken,
}

#[derive(Clone, Copy)]
struct Frame {
    node: u16,
    array: bool,
    index: u32,
}

/// How documents follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Documents {
    /// One after the other; after a malformed one, only [`Scanner::finish`] begins anew.
    Plain,
    /// One after the other; after a malformed one, the next line begins anew.
    Lines,
    /// The elements of one top-level array, or plain documents.
    Elements,
}

/// The state of one stream of documents.
pub struct Scanner {
    state: State,
    documents: Documents,
    depth: u8,
    /// The value being read, as a node of the program.
    node: u16,
    /// Open brackets of a value no rule takes apart.
    skip: u32,
    /// That value's bytes go to a rule.
    raw: bool,
    escape: Escape,
    /// Texts of the piece being read that did not come yet.
    deferred: DeferredTexts,
    stack: [Frame; DEPTH],
    held: Held,
    beginning: Beginning,
}

impl Scanner {
    /// A scanner before its first document.
    pub const fn new(documents: Documents) -> Self {
        Scanner {
            state: State::Idle,
            documents,
            depth: 0,
            node: 0,
            skip: 0,
            raw: false,
            escape: Escape::new(),
            deferred: DeferredTexts::NONE,
            stack: [Frame { node: NONE, array: false, index: 0 }; DEPTH],
            held: Held::new(),
            beginning: Beginning::NONE,
        }
    }

    /// Whether the scanner is between documents.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Ends the document being read, if any; one that is not complete is reported to have `ended` so.
    /// Returns false where there was such a one.
    pub fn finish<T>(&mut self, program: &Program<T>, target: &mut T, ended: Ended) -> bool {
        let whole = match self.state {
            State::Idle | State::Broken => true,
            State::Word | State::BlindWord if self.depth == 0 => {
                self.word_ended(program, target);
                (program.end)(target, Ended::Whole);
                true
            }
            _ => {
                (program.end)(target, ended);
                false
            }
        };
        self.reset();
        whole
    }

    /// Reads `bytes`, which may begin and end anywhere.
    pub fn feed<T>(&mut self, program: &Program<T>, target: &mut T, bytes: &[u8]) {
        let mut rest = bytes;
        self.deferred.size = u32::try_from(bytes.len()).unwrap_or(0);
        while !rest.is_empty() {
            rest = self.step(program, target, rest);
            if self.state == State::Immediate {
                self.catch_up(program, target, bytes);
                self.begin_text(program, target);
            }
        }
        if self.deferred.count > 0 {
            self.catch_up(program, target, bytes);
        }
        self.deferred.size = 0;
    }

    fn begin_text<T>(&mut self, program: &Program<T>, target: &mut T) {
        self.state = State::Text;
        self.held.clear();
        if let Some(apply) = program.node(self.node).and_then(|n| n.text) {
            apply(target, b"");
        }
    }

    /// Reads up to the end of a document; returns what follows it, or None where the document goes on.
    pub fn feed_one<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let idle = self.is_idle();
            rest = self.step(program, target, rest);
            if self.is_idle() && !idle {
                return Some(rest);
            }
        }
        None
    }

    fn reset(&mut self) {
        self.state = State::Idle;
        self.depth = 0;
        self.escape = Escape::new();
    }

    /// Takes at least one byte, and those after it that only structure the document.
    fn step<'b, T>(&mut self, program: &Program<T>, target: &mut T, mut bytes: &'b [u8]) -> &'b [u8] {
        while let Some((&byte, tail)) = bytes.split_first() {
            if let Some(rest) = self.take(program, target, byte, bytes, tail) {
                return rest;
            }
            bytes = tail;
        }
        bytes
    }

    /// Takes a byte that structures the document, or all that belongs to a value, and returns what follows that.
    #[inline(always)]
    fn take<'b, T>(
        &mut self,
        program: &Program<T>,
        target: &mut T,
        byte: u8,
        bytes: &'b [u8],
        tail: &'b [u8],
    ) -> Option<&'b [u8]> {
        let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.state {
            State::KeyText => return Some(self.key(program, bytes)),
            State::Text | State::Immediate => return Some(self.string(program, target, bytes)),
            State::Deferrable => return Some(self.defer(program, target, bytes)),
            State::Word | State::BlindWord => return Some(self.word(program, target, bytes)),
            State::BlindText | State::SkipText => {
                let (rest, done) = self.escape.pass(bytes);
                if self.raw && self.state == State::SkipText {
                    self.pass_raw(program, target, bytes, rest);
                }
                match self.state {
                    State::SkipText if done => self.state = State::Skip,
                    _ if done => self.value_ended(program, target),
                    _ => {}
                }
                return Some(rest);
            }
            State::Skip => {
                let rest = self.skip(bytes);
                if self.raw {
                    self.pass_raw(program, target, bytes, rest);
                }
                if self.skip == 0 {
                    self.value_ended(program, target);
                }
                return Some(rest);
            }
            State::Broken => {
                let line = memchr(b'\n', bytes).filter(|_| self.documents == Documents::Lines);
                if line.is_some() {
                    self.reset();
                }
                return Some(line.and_then(|at| bytes.get(at + 1..)).unwrap_or_default());
            }
            _ if blank => {}
            State::Idle => {
                if self.documents != Documents::Elements || !matches!(byte, b'[' | b',' | b']') {
                    self.node = 0;
                    (program.begin)(target);
                    self.value(program, target, byte);
                }
                // However short the document, it begins and ends in two steps.
                return Some(tail);
            }
            State::ArrayStart if byte == b']' => self.pop(program, target),
            State::Value | State::ArrayStart => self.value(program, target, byte),
            State::ObjectStart if byte == b'}' => self.pop(program, target),
            State::ObjectStart | State::Key if byte == b'"' => {
                self.held.clear();
                self.state = State::KeyText;
                return Some(self.member(program, target, tail));
            }
            State::Colon if byte == b':' => self.state = State::Value,
            State::After => self.after(program, target, byte),
            State::ObjectStart | State::Key | State::Colon => self.malformed(program, target),
        }
        // Whoever feeds looks at what begins or ends here.
        let inside =
            matches!(self.state, State::Value | State::ArrayStart | State::ObjectStart | State::Key | State::After);
        if inside { None } else { Some(tail) }
    }

    /// A value begins with `byte`.
    fn value<T>(&mut self, program: &Program<T>, target: &mut T, byte: u8) {
        let node = program.node(self.node);
        match byte {
            b'"' => {
                self.state = State::BlindText;
                if let Some(node) = node.filter(|n| n.wants_string()) {
                    self.held.clear();
                    self.state = State::Text;
                    if let Some(late) = node.deferred.as_ref().filter(|_| self.deferred.size > 0) {
                        let may = self.deferred.has_room() && !(late.is_awaited)(target);
                        self.state = if may { State::Deferrable } else { State::Immediate };
                    } else if let Some(apply) = node.text {
                        apply(target, b"");
                    }
                }
            }
            b'{' => match node.filter(|n| n.wants_object()) {
                Some(node) => {
                    let index = self.top().filter(|f| f.array).map_or(0, |f| f.index);
                    if let Some(apply) = node.open {
                        apply(target, index);
                        self.beginning.note(self.node, With::Open(index));
                    }
                    if node.supersedes {
                        self.deferred.count = 0;
                    }
                    self.push(false);
                }
                None => self.ignore(node, target, byte),
            },
            b'[' => match node.filter(|n| n.element != NONE) {
                Some(node) => {
                    self.push(true);
                    self.node = node.element;
                }
                None => self.ignore(node, target, byte),
            },
            b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.state = State::BlindWord;
                if node.is_some_and(|n| n.scalar.is_some()) {
                    self.state = State::Word;
                    self.held.clear();
                    self.held.push(&[byte]);
                }
            }
            _ => self.malformed(program, target),
        }
    }

    fn ignore<T>(&mut self, node: Option<&Node<T>>, target: &mut T, byte: u8) {
        self.raw = false;
        if let Some(apply) = node.and_then(|n| n.raw) {
            self.raw = true;
            apply(target, b"");
            apply(target, &[byte]);
        }
        if let Some(apply) = node.and_then(|n| n.scalar) {
            apply(target, Scalar::Other);
        }
        self.skip = 1;
        self.state = State::Skip;
    }

    fn top(&self) -> Option<&Frame> {
        self.stack.get(usize::from(self.depth).checked_sub(1)?)
    }

    fn push(&mut self, array: bool) {
        let Some(frame) = self.stack.get_mut(usize::from(self.depth)) else {
            self.skip = 1;
            self.state = State::Skip;
            return;
        };
        *frame = Frame { node: self.node, array, index: 0 };
        self.depth += 1;
        self.state = if array { State::ArrayStart } else { State::ObjectStart };
    }

    fn pop<T>(&mut self, program: &Program<T>, target: &mut T) {
        if let Some(frame) = self.top().copied() {
            self.depth -= 1;
            if let Some(apply) = program.node(frame.node).and_then(|n| n.close).filter(|_| !frame.array) {
                apply(target);
                self.beginning.note(frame.node, With::Close);
            }
        }
        self.value_ended(program, target);
    }

    fn value_ended<T>(&mut self, program: &Program<T>, target: &mut T) {
        self.state = State::After;
        if self.depth == 0 {
            self.reset();
            (program.end)(target, Ended::Whole);
        }
    }

    fn malformed<T>(&mut self, program: &Program<T>, target: &mut T) {
        self.reset();
        self.state = State::Broken;
        (program.end)(target, Ended::Malformed);
    }

    fn after<T>(&mut self, program: &Program<T>, target: &mut T, byte: u8) {
        let at = usize::from(self.depth).wrapping_sub(1);
        let Some(frame) = self.stack.get_mut(at) else { return self.malformed(program, target) };
        match (byte, frame.array) {
            (b',', true) => {
                frame.index = frame.index.saturating_add(1);
                self.node = program.node(frame.node).map_or(NONE, |n| n.element);
                self.state = State::Value;
            }
            (b',', false) => self.state = State::Key,
            (b']', true) | (b'}', false) => self.pop(program, target),
            _ => self.malformed(program, target),
        }
    }

    /// Reads members as they nearly always come: whole in this piece, without an escape or a blank. Stops, in the state
    /// that fits, at the first thing that is otherwise; begins behind a key's first quote.
    fn member<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        let parent = self.top().and_then(|f| program.node(f.node));
        let mut rest = bytes;
        loop {
            let Some((key, [b':', value @ ..])) = whole_string(true, rest) else { return rest };
            self.node = parent.map_or(NONE, |n| n.child(key));
            self.state = State::Value;
            let wanted = program.node(self.node);
            let after = match value {
                [b'"', inside @ ..] if wanted.is_none_or(|n| n.text.is_none()) => {
                    let Some((string, after)) = whole_string(true, inside) else { return value };
                    if let Some(apply) = wanted.and_then(|n| n.scalar) {
                        apply_text(apply, target, Some(string));
                        self.beginning.note(self.node, With::Text(inside.len() as u32, string.len() as u32));
                    }
                    after
                }
                [b'"', inside @ ..] => {
                    let late = wanted.and_then(|n| n.deferred.as_ref());
                    let late = late.filter(|late| self.deferred.has_room() && !(late.is_awaited)(target));
                    let Some(after) = late.and_then(|late| self.put_off(target, late, inside)) else { return value };
                    after
                }
                [b'-' | b'0'..=b'9' | b'a'..=b'z', ..] => {
                    let end = value.iter().position(|b| !is_word(*b)).unwrap_or(value.len());
                    let (word, after) = value.split_at_checked(end).unwrap_or((value, &[]));
                    if after.is_empty() {
                        return value;
                    }
                    if let Some(apply) = wanted.and_then(|n| n.scalar) {
                        apply(target, if end <= LIMIT { word_value(word) } else { Scalar::Other });
                        self.beginning.note(self.node, With::Word(value.len() as u32, end as u32));
                    }
                    after
                }
                _ => return value,
            };
            self.state = State::After;
            match after {
                [b',', b'"', next @ ..] => {
                    self.state = State::KeyText;
                    rest = next;
                }
                _ => return after,
            }
        }
    }

    fn key<'b, T>(&mut self, program: &Program<T>, bytes: &'b [u8]) -> &'b [u8] {
        let parent = self.top().and_then(|f| program.node(f.node));
        let (key, rest) = match whole_string(self.held.is_clear() && !self.escape.is_open(), bytes) {
            Some((key, rest)) => (Some(key), rest),
            None => {
                let (rest, done) = self.escape.decode(bytes, |piece| self.held.push(piece));
                if !done {
                    return rest;
                }
                (self.held.whole(), rest)
            }
        };
        self.node = match (parent, key) {
            (Some(node), Some(key)) => node.child(key),
            (Some(node), None) => node.any,
            (None, _) => NONE,
        };
        self.state = State::Colon;
        rest
    }

    fn string<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        let Some(node) = program.node(self.node) else { return &[] };
        if let Some(apply) = node.text {
            let (rest, done) = self.escape.decode(bytes, |piece| apply(target, piece));
            if done {
                self.value_ended(program, target);
            }
            return rest;
        }
        let (value, rest) = match whole_string(self.held.is_clear() && !self.escape.is_open(), bytes) {
            Some((value, rest)) => (Some(value), rest),
            None => {
                let (rest, done) = self.escape.decode(bytes, |piece| self.held.push(piece));
                if !done {
                    return rest;
                }
                (self.held.whole(), rest)
            }
        };
        if let Some(apply) = node.scalar {
            apply_text(apply, target, value);
        }
        self.value_ended(program, target);
        rest
    }

    fn word<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        let end = bytes.iter().position(|b| !is_word(*b)).unwrap_or(bytes.len());
        let (word, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        if self.state == State::Word {
            self.held.push(word);
        }
        if !rest.is_empty() {
            self.word_ended(program, target);
            self.value_ended(program, target);
        }
        rest
    }

    fn word_ended<T>(&mut self, program: &Program<T>, target: &mut T) {
        if self.state != State::Word {
            return;
        }
        if let Some(apply) = program.node(self.node).and_then(|n| n.scalar) {
            apply(target, self.held.whole().map_or(Scalar::Other, word_value));
        }
    }

    /// Passes the bytes between two places of one piece to the rule that takes the value as it is written.
    fn pass_raw<T>(&mut self, program: &Program<T>, target: &mut T, from: &[u8], to: &[u8]) {
        let passed = from.get(..from.len() - to.len()).unwrap_or_default();
        if let Some(apply) = program.node(self.node).and_then(|n| n.raw).filter(|_| !passed.is_empty()) {
            apply(target, passed);
        }
    }

    fn skip<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'{' | b'[' | b'}' | b']')) {
            let Some((byte, tail)) = rest.get(at..).and_then(<[u8]>::split_first) else { break };
            rest = tail;
            match byte {
                b'"' => match whole_string(true, rest) {
                    Some((_, tail)) => rest = tail,
                    None => {
                        self.state = State::SkipText;
                        return rest;
                    }
                },
                b'{' | b'[' => self.skip = self.skip.saturating_add(1),
                _ => self.skip -= 1,
            }
            if self.skip == 0 {
                return rest;
            }
        }
        &[]
    }
}

fn apply_text<T>(apply: fn(&mut T, Scalar<'_>), target: &mut T, value: Option<&[u8]>) {
    match value.filter(|v| v.len() <= LIMIT).map(|v| (v, core::str::from_utf8(v))) {
        Some((_, Ok(text))) => apply(target, Scalar::Text(text)),
        Some((bytes, Err(_))) => apply(target, Scalar::Text(&String::from_utf8_lossy(bytes))),
        None => apply(target, Scalar::Other),
    }
}

fn word_value(word: &[u8]) -> Scalar<'_> {
    match word {
        [b'n', b'u', b'l', b'l'] => Scalar::Null,
        [b't', b'r', b'u', b'e'] => Scalar::Bool(true),
        [b'f', b'a', b'l', b's', b'e'] => Scalar::Bool(false),
        [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => match core::str::from_utf8(word) {
            Ok(text) if number::parse(text).is_some() => Scalar::Number(text),
            _ => Scalar::Other,
        },
        _ => Scalar::Other,
    }
}
