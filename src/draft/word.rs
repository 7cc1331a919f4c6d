//! Short words, compared and not kept.

use crate::json::Scalar;

/// A short word of the wire, kept in place: what is longer than any word the rules compare with is kept as empty.
#[derive(Clone, Copy)]
pub struct Word {
    bytes: [u8; 48],
    length: u8,
}

impl Default for Word {
    fn default() -> Self {
        Word { bytes: [0; 48], length: 0 }
    }
}

impl Word {
    /// Takes the word over; anything but a string is empty.
    #[inline(never)]
    pub fn set(&mut self, value: Scalar<'_>) {
        let word = match value {
            Scalar::Text(word) if word.len() <= self.bytes.len() => word,
            _ => "",
        };
        if let Some(room) = self.bytes.get_mut(..word.len()) {
            room.copy_from_slice(word.as_bytes());
            self.length = word.len() as u8;
        }
    }

    /// Adds a piece of the word.
    pub fn push(&mut self, piece: &[u8]) {
        let from = usize::from(self.length);
        if let Some(room) = self.bytes.get_mut(from..from + piece.len()) {
            room.copy_from_slice(piece);
            self.length += piece.len() as u8;
        } else {
            // However it was cut, it stays too long.
            self.length = u8::MAX;
        }
    }

    /// Forgets the word.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// The word.
    #[inline]
    pub fn as_str(&self) -> &str {
        // Most events have no name, and to ask whether nothing is UTF-8 takes its time.
        if self.length == 0 {
            return "";
        }
        self.bytes.get(..usize::from(self.length)).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or_default()
    }
}
