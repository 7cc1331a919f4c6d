//! A hash of a text that leaves out what changes each time although the text says the same.
//!
//! Coding agents add such parts to the results of their tools. Without them, equal results of equal calls would never be equal:
//!
//! - Claude Code ends the last result of a turn with `<total_tokens>`, the number of tokens left and two closing tags. Nothing from
//!   this tag on is hashed.
//! - Codex begins the results of commands with the lines `Chunk ID: ` and `Wall time`. In the first [`HEAD`] bytes, such lines are
//!   not hashed.
//!
//! Sources: recorded requests of Claude Code 2.1 and Codex 0.171.

use super::Digest;
use memchr::memchr_iter;

/// Number of bytes at the begin of a text in which lines may be left out.
const HEAD: usize = 96;
/// Begins of texts that may have lines to leave out.
const BEGINS: [&[u8]; 2] = [b"Chunk ID: ", b"Script "];
/// Begins of lines that are left out.
const LINES: [&[u8]; 2] = [b"Chunk ID: ", b"Wall time"];
/// The end of a line in an escaped JSON string.
const NEWLINE: &[u8] = b"\\n";
/// The begin of what is left out at the end.
const MARK: &[u8] = b"<total_tokens>";

/// Hashes a text, as an escaped JSON string without quotes, in pieces of any size.
#[derive(Clone, Copy, Debug)]
pub struct TextDigest {
    digest: Digest,
    /// The first bytes, until they are hashed.
    head: [u8; HEAD],
    head_length: usize,
    head_is_hashed: bool,
    /// Number of bytes of [`MARK`] at the end of what has been read. They are not hashed yet.
    mark: usize,
}

impl TextDigest {
    /// The state before the first piece.
    pub const EMPTY: TextDigest =
        TextDigest { digest: Digest::new(), head: [0; HEAD], head_length: 0, head_is_hashed: false, mark: 0 };

    /// The hash of a whole text.
    pub fn of(text: &[u8]) -> u64 {
        let mut digest = TextDigest::EMPTY;
        digest.push(text);
        digest.finish()
    }

    /// Adds a piece.
    pub fn push(&mut self, piece: &[u8]) {
        // Nearly no text has lines to leave out.
        let begins = |begin: &[u8]| begin.first() == piece.first();
        if self.head_length == 0 && !piece.is_empty() && !BEGINS.into_iter().any(begins) {
            self.head_is_hashed = true;
        }
        let mut rest = piece;
        while !self.head_is_hashed {
            let free = self.head.get_mut(self.head_length..).unwrap_or_default();
            let count = free.len().min(rest.len());
            let (more, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            free.iter_mut().zip(more).for_each(|(slot, byte)| *slot = *byte);
            self.head_length += count;
            rest = after;
            let head = self.head.get(..self.head_length).unwrap_or_default();
            let begins = |begin: &&[u8]| head.iter().zip(*begin).all(|(seen, wanted)| seen == wanted);
            if self.head_length < HEAD && BEGINS.iter().any(begins) {
                return;
            }
            self.hash_head();
        }
        self.hash(rest);
    }

    /// The hash of the text so far. It is not 0.
    pub fn finish(mut self) -> u64 {
        if !self.head_is_hashed {
            self.hash_head();
        }
        if self.mark < MARK.len() {
            self.digest.push(MARK.get(..self.mark).unwrap_or_default());
        }
        self.digest.finish()
    }

    /// Hashes the first bytes without the lines that are left out.
    fn hash_head(&mut self) {
        self.head_is_hashed = true;
        let head = self.head;
        let mut rest = head.get(..self.head_length).unwrap_or_default();
        if !BEGINS.iter().any(|begin| rest.starts_with(begin)) {
            return self.hash(rest);
        }
        while !rest.is_empty() {
            let end = rest.windows(NEWLINE.len()).position(|bytes| bytes == NEWLINE);
            let (line, after) = rest.split_at(end.map_or(rest.len(), |end| end + NEWLINE.len()));
            if !LINES.iter().any(|begin| line.starts_with(begin)) {
                self.hash(line);
            }
            rest = after;
        }
    }

    /// Hashes bytes up to [`MARK`].
    fn hash(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        // The mark may have begun in an earlier piece.
        while self.mark > 0 {
            if self.mark == MARK.len() {
                return;
            }
            let Some((byte, after)) = rest.split_first() else { return };
            if MARK.get(self.mark) == Some(byte) {
                self.mark += 1;
                rest = after;
            } else {
                self.digest.push(MARK.get(..self.mark).unwrap_or_default());
                self.mark = 0;
            }
        }
        let begins_mark = |at: &usize| {
            let found = rest.get(*at..).unwrap_or_default();
            found.iter().zip(MARK).all(|(seen, wanted)| seen == wanted)
        };
        let end = memchr_iter(b'<', rest).find(begins_mark).unwrap_or(rest.len());
        let (hashed, mark) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        self.digest.push(hashed);
        self.mark = mark.len().min(MARK.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash, which is the same in any pieces.
    fn hash(text: &str) -> u64 {
        let whole = TextDigest::of(text.as_bytes());
        for size in [1, 2, 3, 7, 13, 50, 95, 96, 97] {
            let mut cut = TextDigest::EMPTY;
            text.as_bytes().chunks(size).for_each(|piece| cut.push(piece));
            assert_eq!(cut.finish(), whole, "{size} {text}");
        }
        whole
    }

    #[test]
    fn what_coding_agents_add_to_results_does_not_change_the_hash() {
        let claude = |result: &str, left: u32| {
            let reminder =
                format!(r"<system-reminder>\n<total_tokens>{left} tokens left</total_tokens>\n</system-reminder>");
            hash(&format!(r"{result}\n\n{reminder}"))
        };
        assert_eq!(claude("same", 14_978_738), claude("same", 9));
        assert_ne!(claude("same", 9), claude("other", 9));
        let codex = |id: &str, time: &str, output: &str| {
            hash(&format!(r"Chunk ID: {id}\nWall time: {time} seconds\nProcess exited with code 3\nOutput:\n{output}"))
        };
        assert_eq!(codex("ea84c5", "0.0000", "oops"), codex("b1", "12.5", "oops"));
        assert_ne!(codex("ea84c5", "0.0000", "oops"), codex("ea84c5", "0.0000", "fine"));
        let script = |time: &str, word: &str| hash(&format!(r"Script {word}\nWall time {time} seconds\nOutput:\n"));
        assert_eq!(script("0.6", "completed"), script("0.7", "completed"));
        assert_ne!(script("0.6", "completed"), script("0.6", "failed"));
    }

    #[test]
    fn other_texts_have_different_hashes() {
        let long = "x".repeat(200);
        let texts = [
            "",
            "<",
            "<total",
            "<total_tokens",
            "<total_tokens x",
            "<<total_tokens x",
            "<<<",
            "<total<total_tokens",
            "<t",
            "Chunk",
            "Chunk ID",
            "Script",
            "Script ",
            "Scripts",
            "Wall",
            "Wall of text",
            "C",
            "S",
            &long,
            &long[..96],
            &long[..95],
            &format!(r"Scripts\nWall time 3\n{long}"),
            &format!(r"Scripts\nWall time 4\n{long}"),
            r"text\nWall time: 3\n",
            r"text\nWall time: 4\n",
        ];
        for (at, text) in texts.iter().enumerate() {
            assert!(texts[..at].iter().all(|other| hash(other) != hash(text)), "{text}");
        }
    }
}
