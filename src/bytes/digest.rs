//! A fast, non-cryptographic hash of bytes that arrive in pieces of any size.
//!
//! It only tells whether two texts are equal. It is never reported, because short texts could be guessed from it.

/// Hashes bytes. The hash does not depend on the cuts between the pieces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Digest {
    state: u64,
    /// The bytes that do not fill a word yet: the first in the lowest byte.
    word: u64,
    length: u64,
}

impl Default for Digest {
    fn default() -> Self {
        Digest::new()
    }
}

impl Digest {
    /// The hash of no bytes.
    pub const fn new() -> Self {
        Digest { state: 0, word: 0, length: 0 }
    }

    /// Adds a piece.
    #[inline]
    pub fn push(&mut self, piece: &[u8]) {
        let open = 8 * (self.length % 8) as u32;
        self.length = self.length.wrapping_add(piece.len() as u64);
        let (words, rest) = piece.as_chunks::<8>();
        if open == 0 {
            self.state = words.iter().fold(self.state, |state, word| mixed(state, u64::from_le_bytes(*word)));
            self.word = word(rest);
            return;
        }
        for bytes in words {
            let bytes = u64::from_le_bytes(*bytes);
            self.state = mixed(self.state, self.word | bytes << open);
            self.word = bytes >> (64 - open);
        }
        let bytes = word(rest);
        self.word |= bytes << open;
        if open + 8 * rest.len() as u32 >= 64 {
            self.state = mixed(self.state, self.word);
            self.word = bytes >> (64 - open);
        }
    }

    /// Adds a byte.
    #[inline]
    pub fn push_byte(&mut self, byte: u8) {
        self.word |= u64::from(byte) << (8 * (self.length % 8));
        self.length = self.length.wrapping_add(1);
        if self.length.is_multiple_of(8) {
            self.state = mixed(self.state, core::mem::take(&mut self.word));
        }
    }

    /// The hash of all bytes. It is not 0.
    pub fn finish(self) -> u64 {
        let state = mixed(mixed(mixed(self.state, self.word), self.length), 0);
        // The highest bits of a product depend on all bits of its factors.
        (state ^ state >> 29 ^ state >> 47).max(1)
    }
}

/// At most seven bytes as a number: the first in the lowest byte.
#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// One step.
#[inline(always)]
const fn mixed(state: u64, word: u64) -> u64 {
    (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn digest(pieces: &[&[u8]]) -> u64 {
        let mut digest = Digest::new();
        pieces.iter().for_each(|piece| digest.push(piece));
        digest.finish()
    }

    #[test]
    fn the_cuts_between_pieces_do_not_change_the_hash() {
        let text: Vec<u8> = (0..100).collect();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(digest(&pieces), digest(&[&text]), "{first} {second}");
            }
            let mut by_bytes = Digest::new();
            text[..first].iter().for_each(|byte| by_bytes.push_byte(*byte));
            by_bytes.push(&text[first..]);
            assert_eq!(by_bytes.finish(), digest(&[&text]), "{first}");
        }
    }

    #[test]
    fn similar_texts_have_different_hashes() {
        let long = "x".repeat(300);
        let mut texts: Vec<Vec<u8>> = (0..2000).map(|n| format!("result {n}").into_bytes()).collect();
        texts.extend((0..300).map(|n| long.as_bytes()[..n].to_vec()));
        texts.extend((1..40).map(|n| vec![0; n]));
        for at in 0..long.len() {
            let mut edited = long.clone().into_bytes();
            edited[at] = b'y';
            texts.push(edited);
        }
        texts.extend([b"12345678abcdefgh".to_vec(), b"abcdefgh12345678".to_vec()]);
        let hashes: HashSet<u64> = texts.iter().map(|text| digest(&[text])).collect();
        assert_eq!(hashes.len(), texts.len());
        let short: HashSet<u16> = texts.iter().map(|text| digest(&[text]) as u16).collect();
        // 2,641 random numbers below 65,536 have 2,589 different values on average.
        assert!(short.len() > 2540, "the lowest bits are not well mixed: {}", short.len());
    }
}
