//! Hash and length of a text, computed while it arrives in pieces. The text of a message is forgotten with the message.
//!
//! Up to [`SHORT`] bytes are held before they are hashed, for two reasons. Only the last message of a request is hashed, and which
//! one is the last is known at the end of the request; earlier ones that are short are then never hashed. And text that is still
//! held can be removed again without a copy of the hash's state.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::content::Content;
use super::hash::{self, Key};
use crate::json::Validator;
use crate::observation::Parsed;

/// Maximum number of bytes that are held before they are hashed.
const SHORT: usize = 1024;

/// Hash and length of one text.
#[derive(Clone, Default)]
pub struct Fingerprint {
    key: Option<Rc<Key>>,
    /// The hash is not needed.
    without_hash: bool,
    /// The full hash is needed, see [`Fingerprint::watch`].
    is_watched: bool,
    /// State after the bytes that were read.
    state: TextState,
    /// Number of bytes that were read.
    read_bytes: u64,
    /// The bytes after them.
    held: Vec<u8>,
    /// The latest mark of each kind.
    marks: [Option<Checkpoint>; 2],
    /// The beginning of the text itself, if it may be reported.
    content: Option<Box<Content>>,
}

/// What is computed from a text.
#[derive(Clone, Default)]
struct TextState {
    /// None if no byte was hashed.
    hasher: Option<Sha256>,
    /// Number of Unicode code points.
    characters: u64,
    /// Parser of the text, if it is expected to be JSON.
    structure: Option<Box<Validator>>,
}

/// A mark with a copy of the state at it, which is made when the text before it is read.
#[derive(Clone)]
struct Checkpoint {
    at: u64,
    state: Option<Box<TextState>>,
}

/// What begins at a mark. Of each kind, one is open at a time.
#[derive(Clone, Copy)]
pub enum Begins {
    /// A choice, candidate, output item or delta.
    Choice,
    /// A part of a choice.
    Part,
}

/// A position in a text. [`Fingerprint::rewind`] removes what follows it.
#[derive(Clone, Copy)]
pub struct Mark {
    begins: Begins,
    at: u64,
}

impl Fingerprint {
    /// Maximum heap memory of a fingerprint, in bytes, without a JSON parser and captured text.
    pub const BOUND: usize = SHORT + 2 * size_of::<TextState>();

    /// Maximum memory of the JSON parser for an object with this number of required keys, in bytes: its own and that of the
    /// copies at marks.
    pub const fn json_bound(required_keys: usize) -> usize {
        3 * (size_of::<Validator>() + required_keys * size_of::<u64>())
    }

    /// The fingerprint of an empty text. `hashes` tells whether the hash is needed in addition to the length.
    pub fn new(key: Option<&Rc<Key>>, hashes: bool) -> Self {
        Fingerprint { key: key.cloned(), without_hash: !hashes, ..Fingerprint::default() }
    }

    /// Sets whether [`Fingerprint::digest`] is needed.
    pub fn watch(&mut self, is_watched: bool) {
        self.is_watched = is_watched;
    }

    /// The full hash of the whole text. None if there is no text, or if [`Fingerprint::watch`] did not ask for it.
    pub fn digest(&self) -> Option<[u8; 32]> {
        (self.is_watched && self.length() > 0)
            .then(|| hash::end(self.key.as_ref(), self.hasher().chain_update(&self.held)))
    }

    /// A copy of the hash's state after the bytes that were read.
    fn hasher(&self) -> Sha256 {
        self.state.hasher.clone().unwrap_or_else(|| hash::begin(self.key.as_ref()))
    }

    /// Keeps the beginning of the text too.
    pub fn capture(&mut self) {
        self.content = Some(Box::default());
    }

    /// Takes the kept beginning of the text, to be reported later.
    pub fn take_content(&mut self) -> Option<Box<Content>> {
        self.content.take()
    }

    /// Forgets the text.
    pub fn clear(&mut self) {
        if let Some(content) = &mut self.content {
            content.clear();
        }
        self.held.clear();
        self.marks = [None, None];
        self.read_bytes = 0;
        self.state.hasher = None;
        self.state.characters = 0;
    }

    /// Parses the text as JSON too. `required` are the hashes of the keys that the outermost object must have.
    pub fn expect_json(&mut self, required: Vec<u64>) {
        self.state.structure = Some(Box::new(Validator::requiring(required)));
    }

    /// Returns how far the text is one JSON value with the required keys. Returns None if no JSON is expected, or if
    /// there is no text.
    pub fn parsed(&mut self) -> Option<Parsed> {
        self.characters()?;
        self.read_held();
        let structure = self.state.structure.as_mut()?;
        Some(match (structure.is_whole(), structure.has_required()) {
            (true, true) => Parsed::Whole,
            (true, false) => Parsed::Incomplete,
            (false, _) => Parsed::Malformed,
        })
    }

    /// Adds a piece of the text. It can begin and end at any byte.
    pub fn push(&mut self, piece: &[u8]) {
        if let Some(content) = &mut self.content {
            content.push(piece);
        }
        if self.held.len() + piece.len() > SHORT {
            self.read_held();
            if piece.len() > SHORT {
                self.read(piece);
                return;
            }
        }
        // The list would otherwise grow to twice the room.
        if self.held.len() + piece.len() > self.held.capacity().max(SHORT / 2) {
            self.held.reserve_exact(SHORT - self.held.len());
        }
        append(&mut self.held, piece);
    }

    /// Reads the held bytes, and copies the state at each mark in them.
    fn read_held(&mut self) {
        let mut held = core::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        loop {
            let due = self
                .marks
                .iter()
                .flatten()
                .filter(|checkpoint| checkpoint.state.is_none() && checkpoint.at >= self.read_bytes);
            let Some(at) = due.map(|checkpoint| checkpoint.at).min() else { break };
            let (before, behind) = rest.split_at_checked((at - self.read_bytes) as usize).unwrap_or((rest, &[]));
            rest = behind;
            self.read(before);
            for checkpoint in self.marks.iter_mut().flatten().filter(|checkpoint| checkpoint.at == at) {
                checkpoint.state = Some(Box::new(self.state.clone()));
            }
        }
        self.read(rest);
        held.clear();
        self.held = held;
    }

    fn read(&mut self, piece: &[u8]) {
        self.read_bytes += piece.len() as u64;
        let state = &mut self.state;
        state.characters += characters(piece);
        if let Some(structure) = &mut state.structure {
            structure.feed(piece);
        }
        if !self.without_hash || self.is_watched {
            state.hasher.get_or_insert_with(|| hash::begin(self.key.as_ref())).update(piece);
        }
    }

    /// Length of the text so far, in bytes.
    pub fn length(&self) -> u64 {
        self.read_bytes + self.held.len() as u64
    }

    /// Marks the current end of the text. The earlier mark of the same kind becomes invalid.
    pub fn mark(&mut self, begins: Begins) -> Mark {
        let at = self.length();
        if let Some(slot) = self.marks.get_mut(begins as usize) {
            *slot = Some(Checkpoint { at, state: None });
        }
        Mark { begins, at }
    }

    /// Removes the text after `mark`, which must be the latest of its kind.
    pub fn rewind(&mut self, mark: Mark) {
        if let Some(content) = &mut self.content {
            content.truncate(mark.at as usize);
        }
        self.marks
            .iter_mut()
            .filter(|checkpoint| checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.at > mark.at))
            .for_each(|checkpoint| *checkpoint = None);
        if let Some(length) = mark.at.checked_sub(self.read_bytes) {
            self.held.truncate(length as usize);
            return;
        }
        let checkpoint = self
            .marks
            .get_mut(mark.begins as usize)
            .and_then(Option::as_mut)
            .filter(|checkpoint| checkpoint.at == mark.at);
        if let Some(state) = checkpoint.and_then(|checkpoint| checkpoint.state.take()) {
            self.state = *state;
            self.read_bytes = mark.at;
            self.held.clear();
        }
    }

    /// First 8 bytes of the hash. None if there is no text or if the hash is not needed.
    pub fn hash(&self) -> Option<[u8; 8]> {
        if self.without_hash || self.length() == 0 {
            return None;
        }
        Some(hash::short(hash::end(self.key.as_ref(), self.hasher().chain_update(&self.held))))
    }

    /// Number of Unicode code points. None if there is no text.
    pub fn characters(&self) -> Option<u64> {
        let characters = self.state.characters + characters(&self.held);
        (characters > 0).then_some(characters)
    }
}

/// Appends a piece. Most pieces are short, and in wasm copying them here is faster than a call of the engine's `memory.copy`.
fn append(held: &mut Vec<u8>, piece: &[u8]) {
    if piece.len() > 64 {
        return held.extend_from_slice(piece);
    }
    let (words, few) = piece.as_chunks::<8>();
    words.iter().for_each(|word| held.extend_from_slice(word));
    few.iter().for_each(|byte| held.push(*byte));
}

/// Number of characters whose first byte is in `piece`. Continuation bytes are not counted, so the result does not depend on cuts.
/// It counts eight bytes at a time: byte by byte, this would take a third of the time for a long answer.
fn characters(piece: &[u8]) -> u64 {
    let continues = |byte: u8| byte & 0xc0 == 0x80;
    let (words, rest) = piece.as_chunks::<8>();
    let in_words: u32 = words
        .iter()
        .map(|word| {
            let word = u64::from_ne_bytes(*word);
            (word >> 7 & !(word >> 6) & 0x0101_0101_0101_0101).count_ones()
        })
        .sum();
    let in_rest = rest.iter().filter(|byte| continues(**byte)).count();
    piece.len() as u64 - u64::from(in_words) - in_rest as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(text: &[u8]) -> Option<[u8; 8]> {
        Sha256::digest(text).first_chunk().copied()
    }

    #[test]
    fn hash_and_length_do_not_depend_on_how_a_text_is_cut() {
        for size in [1, 10, SHORT, SHORT + 1, 3 * SHORT] {
            let text = "é".repeat(size);
            for cut in [1, 2, 3, 64, 1000] {
                let mut fingerprint = Fingerprint::default();
                text.as_bytes().chunks(cut).for_each(|piece| fingerprint.push(piece));
                assert_eq!(fingerprint.hash(), hash_of(text.as_bytes()));
                assert_eq!(fingerprint.characters(), Some(size as u64));
            }
        }
    }

    #[test]
    fn the_digest_covers_the_whole_text_even_if_the_hash_is_not_needed() {
        for size in [1, SHORT, 4096, 4097, 9000] {
            let text = "x".repeat(size);
            for (cut, without_hash) in [(1, false), (7, true), (1000, false), (9000, true)] {
                let mut fingerprint = Fingerprint::new(None, !without_hash);
                fingerprint.watch(true);
                text.as_bytes().chunks(cut).for_each(|piece| fingerprint.push(piece));
                let whole: [u8; 32] = Sha256::digest(&text).into();
                assert_eq!(fingerprint.digest(), Some(whole), "{size} bytes in pieces of {cut}");
                assert_eq!(fingerprint.hash(), hash_of(text.as_bytes()).filter(|_| !without_hash));
            }
        }
        let mut none = Fingerprint::default();
        none.watch(true);
        assert_eq!(none.digest(), None);
    }

    #[test]
    fn an_empty_text_has_no_hash_and_no_length() {
        let mut fingerprint = Fingerprint::default();
        assert_eq!((fingerprint.hash(), fingerprint.characters()), (None, None));
        fingerprint.push(b"x");
        fingerprint.clear();
        assert_eq!((fingerprint.hash(), fingerprint.characters()), (None, None));
    }

    #[test]
    fn text_of_any_length_after_a_mark_can_be_removed() {
        for (before, after) in [(0, 5), (5, 5), (5, 2 * SHORT), (2 * SHORT, 5)] {
            let mut fingerprint = Fingerprint::default();
            let text = vec![b'a'; before];
            fingerprint.push(&text);
            let mark = fingerprint.mark(Begins::Choice);
            fingerprint.push(&vec![b'b'; after]);
            fingerprint.rewind(mark);
            fingerprint.push(b"c");
            assert_eq!(fingerprint.hash(), hash_of(&[text, b"c".to_vec()].concat()), "{before} and {after}");
            assert_eq!(fingerprint.characters(), Some(before as u64 + 1));
        }
    }

    #[test]
    fn a_part_and_the_choice_around_it_can_both_be_removed() {
        for size in [1, 100, SHORT, 3 * SHORT] {
            let mut fingerprint = Fingerprint::default();
            let piece = vec![b'x'; size];
            fingerprint.push(b"kept");
            for _ in 0..5 {
                let choice = fingerprint.mark(Begins::Choice);
                for _ in 0..3 {
                    fingerprint.push(&piece);
                    let part = fingerprint.mark(Begins::Part);
                    fingerprint.push(&piece);
                    fingerprint.push(&piece);
                    fingerprint.rewind(part);
                }
                fingerprint.rewind(choice);
                fingerprint.push(b"!");
            }
            assert_eq!(fingerprint.hash(), hash_of(b"kept!!!!!"), "pieces of {size}");
            assert_eq!(fingerprint.characters(), Some(9));
        }
    }

    #[test]
    fn the_held_text_is_bounded() {
        let mut fingerprint = Fingerprint::default();
        for _ in 0..10_000 {
            fingerprint.push(b"0123456789");
        }
        assert!(fingerprint.held.capacity() <= SHORT);
        assert!(size_of::<Fingerprint>() < 256);
    }
}
