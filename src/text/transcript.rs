//! The hash of all messages of a request, with their boundaries, roles and media: `gaugeway.prompt.full_hash`.
//!
//! It is the hash of a sequence of records. A record is its bytes, the number of those bytes as 8 bytes (the most significant first),
//! and one letter:
//!
//! | letter | bytes | when |
//! |---|---|---|
//! | `T` | a text in UTF-8 | at the end of each string with text of a message, also of a tool's result |
//! | `M` | an image, a sound or a file: its data as in the request (mostly base64), its URL or its identifier | at the end of each such string |
//! | `u`, `a`, `s`, `t`, `-` | none | at the end of each message: the role of the message is that of a user, an assistant, the system, a tool, or another or none |
//!
//! The length and the letter follow the bytes, because neither the length of a text nor, if `role` follows it, the role of its message
//! is known before. Read from its end, the sequence has one meaning only, so two requests have the same records if their hashes
//! are equal. Tool calls and system prompts outside the messages are not part of it.
//!
//! Memory: the state of one hash.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::hash::{Key, begin, end, short};

/// The kind of a string in a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// A text.
    Text,
    /// An image, a sound or a file.
    Media,
}

/// The hash of the messages that have been read.
#[derive(Clone)]
pub struct Transcript {
    key: Option<Rc<Key>>,
    state: Sha256,
    /// The string that is being read, and its length so far in bytes.
    part: Option<(Part, u64)>,
    /// True while a message is open.
    is_open: bool,
    /// True if a message has ended.
    has_messages: bool,
}

impl Transcript {
    /// No message.
    pub fn new(key: Option<&Rc<Key>>) -> Self {
        Transcript { key: key.cloned(), state: begin(key), part: None, is_open: false, has_messages: false }
    }

    /// A message begins. The one before has ended, see [`Transcript::message_closed`].
    pub fn message_opened(&mut self) {
        self.is_open = true;
    }

    /// Adds a piece of a string of the message. An empty piece begins another string.
    pub fn push(&mut self, part: Part, piece: &[u8]) {
        if piece.is_empty() {
            self.part_closed();
        }
        let (_, length) = self.part.get_or_insert((part, 0));
        *length = length.saturating_add(piece.len() as u64);
        self.state.update(piece);
    }

    /// The message ends, if one is open or has a string. `role` is the letter of its role.
    pub fn message_closed(&mut self, role: u8) {
        if core::mem::take(&mut self.is_open) || self.part.is_some() {
            self.part_closed();
            self.record(0, role);
            self.has_messages = true;
        }
    }

    /// The first 8 bytes of the hash. None if there was no message.
    pub fn hash(self) -> Option<[u8; 8]> {
        self.has_messages.then(|| short(end(self.key.as_ref(), self.state)))
    }

    fn part_closed(&mut self) {
        match self.part.take() {
            Some((Part::Text, length)) => self.record(length, b'T'),
            Some((Part::Media, length)) => self.record(length, b'M'),
            None => {}
        }
    }

    fn record(&mut self, length: u64, letter: u8) {
        self.state.update(length.to_be_bytes());
        self.state.update([letter]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message: its role and its strings.
    type Message = (u8, &'static [(Part, &'static str)]);

    /// The hash of messages. The strings are added in pieces of `cut` bytes.
    fn hash(messages: &[Message], cut: usize) -> Option<[u8; 8]> {
        let mut transcript = Transcript::new(None);
        for (role, parts) in messages {
            transcript.message_opened();
            for (part, text) in *parts {
                transcript.push(*part, b"");
                text.as_bytes().chunks(cut).for_each(|piece| transcript.push(*part, piece));
            }
            transcript.message_closed(*role);
        }
        transcript.hash()
    }

    #[test]
    fn the_hash_is_that_of_the_documented_records() {
        let records = b"Be brief.\0\0\0\0\0\0\0\x09T\0\0\0\0\0\0\0\0shi\0\0\0\0\0\0\0\x02TiVBO\0\0\0\0\0\0\0\x04M\0\0\0\0\0\0\0\0u";
        let expected = Sha256::digest(records);
        for cut in [1, 2, 100] {
            let seen = hash(
                &[(b's', &[(Part::Text, "Be brief.")]), (b'u', &[(Part::Text, "hi"), (Part::Media, "iVBO")])],
                cut,
            );
            assert_eq!(seen.as_ref().map(|hash| &hash[..]), Some(&expected[..8]), "{cut}");
        }
    }

    #[test]
    fn boundaries_roles_and_kinds_change_the_hash() {
        use Part::{Media, Text};
        let cases: [&[Message]; 12] = [
            &[(b'u', &[(Text, "ab")]), (b'u', &[(Text, "c")])],
            &[(b'u', &[(Text, "a")]), (b'u', &[(Text, "bc")])],
            &[(b'u', &[(Text, "ab"), (Text, "c")])],
            &[(b'u', &[(Text, "a"), (Text, "bc")])],
            &[(b'u', &[(Text, "abc")])],
            &[(b'a', &[(Text, "abc")])],
            &[(b'u', &[(Media, "abc")])],
            &[(b'u', &[(Text, "abc"), (Text, "")])],
            &[(b'u', &[(Text, "abc")]), (b'u', &[])],
            &[(b'u', &[]), (b'u', &[(Text, "abc")])],
            &[(b'u', &[(Text, "a\0\0\0\0\0\0\0\x01T\0\0\0\0\0\0\0\0uc")])],
            &[(b'u', &[(Text, "a")]), (b'u', &[(Text, "c")])],
        ];
        let hashes = cases.map(|case| hash(case, 1));
        for (at, hash) in hashes.iter().enumerate() {
            assert!(hash.is_some() && !hashes[..at].contains(hash), "case {at}");
        }
        assert_eq!(hash(&[], 1), None);
    }
}
