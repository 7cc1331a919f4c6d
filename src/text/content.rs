//! Captured text: the last message of the prompt and the answer, redacted and then truncated.
//!
//! Off unless `privacy.capture` is set. Bound: [`HELD`] bytes of each text are held, [`CHARACTERS`] characters are reported.

use crate::text::redaction::Redaction;

/// Most characters of a text that are reported.
const CHARACTERS: usize = 1000;
/// Most bytes of a text that are held. More than is reported, so that a match across the end of the report is redacted.
const HELD: usize = 4 * CHARACTERS + 512;

/// The first [`HELD`] bytes of a text.
#[derive(Clone, Debug, Default)]
pub struct Content(Vec<u8>);

impl Content {
    /// Maximum memory of a text and of its report, in bytes.
    pub const BOUND: usize = size_of::<Content>() + 2 * HELD + 4 * CHARACTERS;

    /// Forgets the text.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends a piece of the text.
    pub fn push(&mut self, piece: &[u8]) {
        let room = HELD.saturating_sub(self.0.len());
        self.0.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    /// Drops all bytes after the first `length`.
    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// The text that is reported: redacted, then truncated to [`CHARACTERS`]. None if the text is empty.
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
    fn text_is_redacted_before_it_is_truncated_and_memory_is_bounded() {
        let redaction = Redaction::new(None).unwrap();
        let mut content = Content::default();
        content.push("x".repeat(CHARACTERS - 5).as_bytes());
        content.push(b" ada@mail.example and more");
        let report = content.report(&redaction).unwrap();
        assert!(!report.contains("ada"), "{}", &report[CHARACTERS - 10..]);
        for _ in 0..10_000 {
            content.push("é".as_bytes());
        }
        assert!(content.0.len() <= HELD);
        assert!(content.report(&redaction).unwrap().chars().count() <= CHARACTERS);
        assert_eq!(Content::default().report(&redaction), None);
    }
}
