//! Words themselves, for development or for a sample of calls: the last message and the answer, redacted, then cut short.
//!
//! Off unless `privacy.capture` says so. Bound: [`HELD`] bytes of each text, of which [`CHARACTERS`] characters are reported.

use crate::text::redaction::Redaction;

/// Most characters of a text that are reported.
const CHARACTERS: usize = 1000;
/// Bytes held: more than is reported, so that what is to be redacted is seen whole where the cut would go through it.
const HELD: usize = 4 * CHARACTERS + 512;

/// The beginning of a text, as long as it may be wanted.
#[derive(Clone, Debug, Default)]
pub struct Words(Vec<u8>);

impl Words {
    /// Forgets the text.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a piece.
    pub fn push(&mut self, piece: &[u8]) {
        let room = HELD.saturating_sub(self.0.len());
        self.0.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    /// Takes back what came after the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// What is reported of it: redacted, then cut. None where there was no text.
    pub fn report(&self, redaction: &Redaction) -> Option<Box<str>> {
        if self.0.is_empty() {
            return None;
        }
        let text = redaction.apply(&String::from_utf8_lossy(&self.0));
        let end = text.char_indices().nth(CHARACTERS).map_or(text.len(), |(at, _)| at);
        text.get(..end).map(Box::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "capture")]
    #[test]
    fn redaction_comes_before_the_cut_and_memory_is_bounded() {
        let redaction = Redaction::new(None).unwrap();
        let mut words = Words::default();
        words.push("x".repeat(CHARACTERS - 5).as_bytes());
        words.push(b" ada@mail.example and more");
        let report = words.report(&redaction).unwrap();
        assert!(!report.contains("ada"), "{}", &report[CHARACTERS - 10..]);
        for _ in 0..10_000 {
            words.push("é".as_bytes());
        }
        assert!(words.0.len() <= HELD);
        assert!(words.report(&redaction).unwrap().chars().count() <= CHARACTERS);
        assert_eq!(Words::default().report(&redaction), None);
    }
}
