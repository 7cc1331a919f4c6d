//! Hashes of prompt and answer, computed while the text passes; no text outlives the message it belongs to.
//!
//! Text is hashed [`SHORT`] bytes at a time. A prompt's hash is of its last message, and which one is the last is known only
//! at the end: one that is short and not the last is never hashed. And to go back costs nothing where no hash was begun since.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::content::Words;
use super::hash::{self, Key};
use crate::json::Canonical;
use crate::observation::Parsed;

/// Longest text held unhashed, in bytes.
const SHORT: usize = 1024;

/// Running hash and length of one text.
#[derive(Clone, Default)]
pub struct Fingerprint {
    key: Option<Rc<Key>>,
    /// Nobody asks for the hash.
    mute: bool,
    watch: Option<Box<Watch>>,
    /// What is known of the text's first bytes, and how many they are.
    read: Reading,
    done: u64,
    /// The text behind them.
    held: Vec<u8>,
    /// The latest place remembered of each kind.
    marks: [Option<Kept>; 2],
    /// The text itself, where it may be reported.
    words: Option<Box<Words>>,
}

/// A digest of the text is wanted too, of its first `bytes` where there are more; and that, once known.
#[derive(Clone)]
struct Watch {
    bytes: usize,
    prefix: Option<[u8; 32]>,
}

#[derive(Clone, Default)]
struct Reading {
    hasher: Option<Sha256>,
    characters: u64,
    /// Reads the text as JSON, where it should be.
    structure: Option<Box<Canonical>>,
}

/// A place remembered, with what was known of the text before it once that is not held any more.
#[derive(Clone)]
struct Kept {
    at: u64,
    read: Option<Box<Reading>>,
}

/// What begins at a place remembered: of each kind one is open at a time.
#[derive(Clone, Copy)]
pub enum Begins {
    /// A choice, candidate, output item or delta.
    Choice,
    /// A part of it.
    Part,
}

/// A place in a text to go back to, where what followed turns out not to belong to it.
#[derive(Clone, Copy)]
pub struct Mark {
    begins: Begins,
    at: u64,
}

impl Fingerprint {
    /// Of no text yet; `hashes` tells whether a hash is wanted beside the length.
    pub fn new(key: Option<&Rc<Key>>, hashes: bool) -> Self {
        Fingerprint { key: key.cloned(), mute: !hashes, ..Fingerprint::default() }
    }

    /// From now on a digest is wanted of the text, or of its first bytes where it is longer than this; 0 for none.
    pub fn watch(&mut self, bytes: usize) {
        self.watch = (bytes > 0).then(|| Box::new(Watch { bytes, prefix: None }));
    }

    /// The digest that is wanted; None where there is no text.
    pub fn digest(&self) -> Option<[u8; 32]> {
        let watch = self.watch.as_ref().filter(|_| self.length() > 0)?;
        let room = watch.bytes.saturating_sub(self.done as usize);
        let held = self.held.get(..room).unwrap_or(&self.held);
        watch.prefix.or_else(|| Some(hash::end(self.key.as_ref(), self.begun().chain_update(held))))
    }

    fn begun(&self) -> Sha256 {
        self.read.hasher.clone().unwrap_or_else(|| hash::begin(self.key.as_ref()))
    }

    /// Holds the beginning of the text too.
    pub fn capture(&mut self) {
        self.words = Some(Box::default());
    }

    /// What is held of the text, to be reported later.
    pub fn words(&mut self) -> Option<Box<Words>> {
        self.words.take()
    }

    /// Forgets the text.
    pub fn clear(&mut self) {
        if let Some(words) = &mut self.words {
            words.clear();
        }
        self.held.clear();
        if let Some(watch) = &mut self.watch {
            watch.prefix = None;
        }
        self.marks = [None, None];
        self.done = 0;
        self.read.hasher = None;
        self.read.characters = 0;
    }

    /// Reads the text as JSON too, an object that has to have these keys.
    pub fn expect_json(&mut self, required: Vec<u64>) {
        self.read.structure = Some(Box::new(Canonical::requiring(required)));
    }

    /// Whether the text is one JSON value with the keys it has to have; None where none is expected, or there is no text.
    pub fn parsed(&mut self) -> Option<Parsed> {
        self.characters()?;
        self.let_go();
        let structure = self.read.structure.as_mut()?;
        Some(match (structure.is_whole(), structure.has_required()) {
            (true, true) => Parsed::Whole,
            (true, false) => Parsed::Incomplete,
            (false, _) => Parsed::Malformed,
        })
    }

    /// Adds text, cut anywhere.
    pub fn push(&mut self, piece: &[u8]) {
        if let Some(words) = &mut self.words {
            words.push(piece);
        }
        if self.held.len() + piece.len() > SHORT {
            self.let_go();
            if piece.len() > SHORT {
                self.pass(piece);
                return;
            }
        }
        append(&mut self.held, piece);
    }

    /// Reads what is held, up to each place remembered in it, and then all.
    fn let_go(&mut self) {
        let mut held = core::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        loop {
            let due = self.marks.iter().flatten().filter(|kept| kept.read.is_none() && kept.at >= self.done);
            let Some(at) = due.map(|kept| kept.at).min() else { break };
            let (before, behind) = rest.split_at_checked((at - self.done) as usize).unwrap_or((rest, &[]));
            rest = behind;
            self.pass(before);
            for kept in self.marks.iter_mut().flatten().filter(|kept| kept.at == at) {
                kept.read = Some(Box::new(self.read.clone()));
            }
        }
        self.pass(rest);
        held.clear();
        self.held = held;
    }

    fn pass(&mut self, piece: &[u8]) {
        self.done += piece.len() as u64;
        let read = &mut self.read;
        read.characters += characters(piece);
        if let Some(structure) = &mut read.structure {
            structure.feed(piece);
        }
        if self.mute && self.watch.is_none() {
            return;
        }
        let hasher = read.hasher.get_or_insert_with(|| hash::begin(self.key.as_ref()));
        let mut piece = piece;
        if let Some(Watch { bytes, prefix: prefix @ None }) = self.watch.as_deref_mut()
            && let Some(over @ 1..) = self.done.checked_sub(*bytes as u64)
            && let Some((before, behind)) = piece.split_at_checked(piece.len().saturating_sub(over as usize))
        {
            hasher.update(before);
            *prefix = Some(hash::end(self.key.as_ref(), hasher.clone()));
            piece = behind;
        }
        hasher.update(piece);
    }

    /// Bytes of the text so far.
    pub fn length(&self) -> u64 {
        self.done + self.held.len() as u64
    }

    /// Remembers this place, and the one of its kind before it no longer.
    pub fn mark(&mut self, begins: Begins) -> Mark {
        let at = self.length();
        if let Some(slot) = self.marks.get_mut(begins as usize) {
            *slot = Some(Kept { at, read: None });
        }
        Mark { begins, at }
    }

    /// Goes back to the place last remembered of its kind.
    pub fn rewind(&mut self, mark: Mark) {
        if let Some(words) = &mut self.words {
            words.truncate(mark.at as usize);
        }
        self.marks
            .iter_mut()
            .filter(|kept| kept.as_ref().is_some_and(|kept| kept.at > mark.at))
            .for_each(|kept| *kept = None);
        if let Some(length) = mark.at.checked_sub(self.done) {
            self.held.truncate(length as usize);
            return;
        }
        let kept = self.marks.get_mut(mark.begins as usize).and_then(Option::as_mut).filter(|kept| kept.at == mark.at);
        if let Some(read) = kept.and_then(|kept| kept.read.take()) {
            self.read = *read;
            self.done = mark.at;
            self.held.clear();
        }
    }

    /// First 8 bytes of the hash, or None where there was no text, or nobody asks.
    pub fn hash(&self) -> Option<[u8; 8]> {
        if self.mute || self.length() == 0 {
            return None;
        }
        Some(hash::short(hash::end(self.key.as_ref(), self.begun().chain_update(&self.held))))
    }

    /// Unicode code points, or None where there was no text.
    pub fn characters(&self) -> Option<u64> {
        let characters = self.read.characters + characters(&self.held);
        (characters > 0).then_some(characters)
    }
}

/// Appends a piece, which is short most of the time. In wasm a call of the engine's own copy costs more.
fn append(held: &mut Vec<u8>, piece: &[u8]) {
    if piece.len() > 64 {
        return held.extend_from_slice(piece);
    }
    let (words, few) = piece.as_chunks::<8>();
    words.iter().for_each(|word| held.extend_from_slice(word));
    few.iter().for_each(|byte| held.push(*byte));
}

/// Characters that begin in `piece`: bytes that continue one belong to its first byte, so cuts do not matter. Eight bytes at a
/// time: byte by byte this is a third of what a long answer costs.
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
    fn any_cutting_of_a_short_or_long_text_gives_its_hash_and_length() {
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
    fn a_long_text_has_a_digest_of_its_beginning_beside_its_hash() {
        for size in [1, SHORT, 3000, 3001, 9000] {
            let text = "x".repeat(size);
            for (cut, mute) in [(1, false), (7, true), (1000, false), (9000, true)] {
                let mut fingerprint = Fingerprint::new(None, !mute);
                fingerprint.watch(3000);
                text.as_bytes().chunks(cut).for_each(|piece| fingerprint.push(piece));
                let beginning: [u8; 32] = Sha256::digest(&text[..size.min(3000)]).into();
                assert_eq!(fingerprint.digest(), Some(beginning), "{size} bytes in pieces of {cut}");
                assert_eq!(fingerprint.hash(), hash_of(text.as_bytes()).filter(|_| !mute));
            }
        }
        let mut none = Fingerprint::default();
        none.watch(3000);
        assert_eq!(none.digest(), None);
    }

    #[test]
    fn no_text_has_no_hash() {
        let mut fingerprint = Fingerprint::default();
        assert_eq!((fingerprint.hash(), fingerprint.characters()), (None, None));
        fingerprint.push(b"x");
        fingerprint.clear();
        assert_eq!((fingerprint.hash(), fingerprint.characters()), (None, None));
    }

    #[test]
    fn what_follows_a_mark_can_be_taken_back_however_long_it_is() {
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
    fn a_part_and_the_choice_it_is_in_can_both_be_taken_back() {
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
    fn the_memory_held_is_bounded() {
        let mut fingerprint = Fingerprint::default();
        for _ in 0..10_000 {
            fingerprint.push(b"0123456789");
        }
        assert!(fingerprint.held.capacity() <= 2 * SHORT);
        assert!(size_of::<Fingerprint>() < 256);
    }
}
