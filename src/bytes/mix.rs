//! A fast, non-cryptographic hash for tables and identifiers.
//!
//! A table whose keys come from the network must use a seed that clients do not know. Otherwise they can make keys
//! collide.

use core::hash::{BuildHasherDefault, Hasher};

/// Hashes a sequence of texts and numbers. Reads eight bytes at a time.
#[derive(Clone, Copy)]
pub struct Mix(u64);

impl Mix {
    /// Starts a sequence. Other seeds give other hashes.
    pub const fn new(seed: u64) -> Self {
        Mix(seed ^ 0x2d35_8dcc_aa6c_78a5)
    }

    /// Adds a number. WebAssembly has no multiplication with a 128-bit result, so two multiplications mix both halves.
    pub const fn number(self, number: u64) -> Self {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Mix((mixed ^ mixed >> 32).wrapping_add(0x8bb8_4b93_962e_acc9))
    }

    /// Adds a text and its length.
    pub fn text(self, text: &str) -> Self {
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        let mixed = words.iter().fold(self, |mix, word| mix.number(u64::from_le_bytes(*word)));
        let last = rest.iter().fold(0, |last, byte| last << 8 | u64::from(*byte));
        mixed.number(last << 8 | rest.len() as u64).number(text.len() as u64)
    }

    /// Returns the hash of the sequence.
    pub const fn finish(self) -> u64 {
        self.0
    }
}

/// A [`Hasher`] for keys that are numbers without a pattern that an attacker chooses: hashes, or consecutive numbers.
#[derive(Default)]
pub struct Numbers(u64);

/// Creates [`Numbers`] hashers for a `HashMap`.
pub type BuildNumbers = BuildHasherDefault<Numbers>;

impl Hasher for Numbers {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn similar_texts_have_different_hashes() {
        let mut texts: Vec<String> = (0..2000).map(|n| format!("model-{n}")).collect();
        texts.extend((0..40).map(|n| "a".repeat(n)));
        texts.extend((1..40).map(|n| "\0".repeat(n)));
        let hashes: HashSet<u64> = texts.iter().map(|text| Mix::new(7).text(text).finish()).collect();
        assert_eq!(hashes.len(), texts.len());
    }

    #[test]
    fn the_boundary_between_two_texts_changes_the_hash() {
        let pair = |a: &str, b: &str| Mix::new(7).text(a).text(b).finish();
        assert_ne!(pair("ab", "c"), pair("a", "bc"));
        assert_ne!(pair("", "abcdefgh"), pair("abcdefgh", ""));
    }

    #[test]
    fn another_seed_gives_another_hash() {
        assert_ne!(Mix::new(1).text("gpt-4o").finish(), Mix::new(2).text("gpt-4o").finish());
    }
}
