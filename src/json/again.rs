//! Documents whose like came before: what stands before their text and behind it is read once, then only compared, and its
//! effects repeated.
//!
//! Bound: a scanner's place, and of an end [`LONGEST`] bytes and [`ACTS`] calls of rules.

use core::ops::Range;

use super::program::{DEPTH, Ended, Program, Scalar};
use super::search::{behind, is_word, short_string, whole_string};
use super::{Frame, LIMIT, Scanner, State, word_value};

/// A place inside a document, behind the first quote of a string.
pub struct Place {
    node: u16,
    depth: u8,
    stack: [Frame; DEPTH],
}

/// Longest tail kept, in bytes.
const LONGEST: usize = 128;
/// Most calls of rules it makes.
const ACTS: usize = 8;

/// The end of a document, from behind a string's last quote.
pub struct Tail<T> {
    bytes: Box<[u8]>,
    acts: Box<[Act<T>]>,
}

/// What a rule is told; places are of the tail's bytes.
enum Act<T> {
    Word(fn(&mut T, Scalar<'_>), Range<u8>),
    Text(fn(&mut T, Scalar<'_>), Range<u8>),
    Close(fn(&mut T)),
}

impl<T> Tail<T> {
    /// Most bytes it holds.
    pub const BOUND: usize = LONGEST + ACTS * size_of::<Act<T>>();

    /// What follows this end, if `bytes` begin with it.
    pub fn behind<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        behind(&self.bytes, bytes)
    }
}

impl Scanner {
    /// Reads up to the first string of a document that a rule takes in pieces; returns what follows its quote, or None
    /// where there is none in `bytes`, all of which is read then.
    pub fn feed_to_text<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.step(program, target, rest);
            if self.state == State::Text && program.node(self.node).is_some_and(|n| n.text.is_some()) {
                return Some(rest);
            }
        }
        None
    }

    /// Where the scanner stands behind [`Scanner::feed_to_text`].
    pub fn place(&self) -> Place {
        Place { node: self.node, depth: self.depth, stack: self.stack }
    }

    /// Reads what is left of the string the scanner stands in; returns what follows it.
    pub fn feed_text<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        self.string(program, target, bytes)
    }

    /// Begins a document in the place where one with the same first bytes stood; `restore` takes the place of the program's
    /// beginning, and of what rules had made of those bytes.
    pub fn begin_at<T>(&mut self, program: &Program<T>, target: &mut T, place: &Place, restore: impl FnOnce(&mut T)) {
        restore(target);
        self.node = place.node;
        self.depth = place.depth;
        for (slot, frame) in self.stack.iter_mut().zip(&place.stack).take(usize::from(place.depth)) {
            *slot = *frame;
        }
        self.begin_text(program, target);
    }

    /// Whether the scanner stands behind a value inside a document.
    pub fn is_behind_value(&self) -> bool {
        self.state == State::After
    }

    /// Reads ahead, from behind a value, what ends the document: members without structure, and brackets. None for more.
    pub fn tail<T>(&self, program: &Program<T>, bytes: &[u8]) -> Option<Tail<T>> {
        let mut acts = Vec::new();
        let mut depth = usize::from(self.depth);
        let mut rest = bytes;
        let place = |part: &[u8], behind: &[u8], gap: usize| {
            let end = bytes.len() - behind.len() - gap;
            (end - part.len()) as u8..end as u8
        };
        while depth > 0 && bytes.len() <= LONGEST && acts.len() <= ACTS {
            let frame = self.stack.get(depth - 1)?;
            match rest {
                [b',', b'"', member @ ..] if !frame.array => {
                    let Some((key, [b':', value @ ..])) = short_string(member) else { return None };
                    let wanted = program.node(program.node(frame.node)?.child(key));
                    let apply = wanted.and_then(|node| node.scalar);
                    if let [b'"', inside @ ..] = value {
                        let (string, behind) = whole_string(true, inside)?;
                        if wanted.is_some_and(|node| node.text.is_some()) || string.len() > LIMIT {
                            return None;
                        }
                        acts.extend(apply.map(|apply| Act::Text(apply, place(string, behind, 1))));
                        rest = behind;
                    } else {
                        let (word, behind) = value.split_at_checked(value.iter().position(|b| !is_word(*b))?)?;
                        if word.is_empty() {
                            return None;
                        }
                        acts.extend(apply.map(|apply| Act::Word(apply, place(word, behind, 0))));
                        rest = behind;
                    }
                }
                [b'}', behind @ ..] if !frame.array => {
                    acts.extend(program.node(frame.node).and_then(|node| node.close).map(Act::Close));
                    rest = behind;
                    depth -= 1;
                }
                [b']', behind @ ..] if frame.array => {
                    rest = behind;
                    depth -= 1;
                }
                _ => return None,
            }
        }
        (depth == 0 && rest.is_empty() && acts.len() <= ACTS).then(|| Tail { bytes: bytes.into(), acts: acts.into() })
    }

    /// Ends the document with this tail, with which `bytes` begin.
    pub fn end_with<T>(&mut self, program: &Program<T>, target: &mut T, tail: &Tail<T>, bytes: &[u8]) {
        for act in &tail.acts {
            let part = |place: &Range<u8>| bytes.get(place.start.into()..place.end.into()).unwrap_or_default();
            match act {
                Act::Word(apply, place) => apply(target, word_value(part(place))),
                Act::Text(apply, place) => super::apply_text(*apply, target, Some(part(place))),
                Act::Close(apply) => apply(target),
            }
        }
        self.reset();
        (program.end)(target, Ended::Whole);
    }
}
