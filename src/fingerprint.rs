//! Hashes of prompt and answer, computed while the text passes; no text outlives the message it belongs to.
//!
//! A prompt's hash is of its last message, and which one is the last is known only at the end. Hashing each as it passes
//! costs most of a long history's time, so a message of at most [`SHORT`] bytes is held and only hashed if none follows.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::capture::Words;
use crate::json::Canonical;
use crate::observation::Parsed;
use crate::privacy::{self, Key};

/// Longest text held unhashed, in bytes.
const SHORT: usize = 1024;

/// Running hash and length of one text.
#[derive(Clone, Default)]
pub struct Fingerprint {
    key: Option<Rc<Key>>,
    /// Nobody asks for the hash.
    mute: bool,
    /// Text not hashed yet, while the whole is short.
    held: Vec<u8>,
    hasher: Option<Sha256>,
    characters: u64,
    /// Reads the text as JSON, where it should be.
    structure: Option<Box<Canonical>>,
    /// The text itself, where it may be reported.
    words: Option<Box<Words>>,
}

/// A place in a text to go back to, where what followed turns out not to belong to it.
#[derive(Clone)]
pub struct Mark {
    hasher: Option<Sha256>,
    characters: u64,
    structure: Option<Box<Canonical>>,
    words: usize,
}

impl Fingerprint {
    /// Of no text yet; `hashes` tells whether a hash is wanted beside the length.
    pub fn new(key: Option<&Rc<Key>>, hashes: bool) -> Self {
        Fingerprint { key: key.cloned(), mute: !hashes, ..Fingerprint::default() }
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
        self.hasher = None;
        self.characters = 0;
    }

    /// Reads the text as JSON too, an object that has to have these keys.
    pub fn expect_json(&mut self, required: Vec<u64>) {
        self.structure = Some(Box::new(Canonical::requiring(required)));
    }

    /// Whether the text is one JSON value with the keys it has to have; None where none is expected, or there is no text.
    pub fn parsed(&mut self) -> Option<Parsed> {
        self.characters()?;
        let structure = self.structure.as_mut()?;
        Some(match (structure.is_whole(), structure.has_required()) {
            (true, true) => Parsed::Whole,
            (true, false) => Parsed::Incomplete,
            (false, _) => Parsed::Malformed,
        })
    }

    /// Adds text, cut anywhere. What is held is counted when it is let go.
    pub fn push(&mut self, piece: &[u8]) {
        if let Some(structure) = &mut self.structure {
            structure.feed(piece);
        }
        if let Some(words) = &mut self.words {
            words.push(piece);
        }
        match &mut self.hasher {
            _ if self.mute => self.characters += characters(piece),
            Some(hasher) => {
                self.characters += characters(piece);
                hasher.update(piece);
            }
            None if self.held.len() + piece.len() <= SHORT => self.held.extend_from_slice(piece),
            None => {
                let mut hasher = self.let_go();
                self.characters += characters(piece);
                hasher.update(piece);
                self.hasher = Some(hasher);
            }
        }
    }

    fn let_go(&mut self) -> Sha256 {
        self.characters += characters(&self.held);
        let held = core::mem::take(&mut self.held);
        privacy::begin(self.key.as_ref()).chain_update(&held)
    }

    /// Remembers this place.
    pub fn mark(&mut self) -> Mark {
        if !self.held.is_empty() {
            // What is held may be hashed before the return: then only a hash of it can be gone back to.
            let hasher = self.let_go();
            self.hasher = Some(hasher);
        }
        Mark {
            hasher: self.hasher.clone(),
            characters: self.characters,
            structure: self.structure.clone(),
            words: self.words.as_ref().map_or(0, |words| words.length()),
        }
    }

    /// Goes back to a place remembered in this text.
    pub fn rewind(&mut self, mark: Mark) {
        self.held.clear();
        self.hasher = mark.hasher;
        self.characters = mark.characters;
        self.structure = mark.structure;
        if let Some(words) = &mut self.words {
            words.truncate(mark.words);
        }
    }

    /// First 8 bytes of the hash, or None where there was no text, or nobody asks.
    pub fn hash(&self) -> Option<[u8; 8]> {
        let state = match &self.hasher {
            Some(hasher) => hasher.clone(),
            None if self.held.is_empty() => return None,
            None => privacy::begin(self.key.as_ref()).chain_update(&self.held),
        };
        Some(privacy::short(privacy::end(self.key.as_ref(), state)))
    }

    /// Unicode code points, or None where there was no text.
    pub fn characters(&self) -> Option<u64> {
        let characters = self.characters + characters(&self.held);
        (characters > 0).then_some(characters)
    }
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
            let mark = fingerprint.mark();
            fingerprint.push(&vec![b'b'; after]);
            fingerprint.rewind(mark);
            fingerprint.push(b"c");
            assert_eq!(fingerprint.hash(), hash_of(&[text, b"c".to_vec()].concat()), "{before} and {after}");
            assert_eq!(fingerprint.characters(), Some(before as u64 + 1));
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
