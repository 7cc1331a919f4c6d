//! Short words of the wire that rules compare.

use crate::json::Scalar;

/// A short word, stored in place. A word longer than 48 bytes, which no rule compares with, is stored as the empty word.
#[derive(Clone, Copy)]
pub struct Word {
    bytes: [u8; 48],
    /// More than 48 if the word was too long.
    length: u8,
}

impl Default for Word {
    fn default() -> Self {
        Word { bytes: [0; 48], length: 0 }
    }
}

impl Word {
    /// Replaces the word. A value that is not a string sets it to the empty word.
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
            // The word stays too long, so that its pieces do not matter.
            self.length = u8::MAX;
        }
    }

    /// Removes the word.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// The word.
    #[inline]
    pub fn as_str(&self) -> &str {
        // Most events have no name. Checking an empty word for UTF-8 would take time.
        if self.length == 0 {
            return "";
        }
        self.bytes.get(..usize::from(self.length)).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or_default()
    }
}
