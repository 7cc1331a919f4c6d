//! The opening of a conversation: the system prompt and the first user message. Later calls of the conversation repeat it, so its
//! hash identifies the conversation. Both texts are hashed as a whole: two conversations that differ only at the end of a long system
//! prompt have different hashes. Memory: the states of two hashes.
//!
//! If one of the hashes is reported, they are SHA-256, or HMAC-SHA-256 with the configured key. That costs about 1.7 µs per KiB in wasm.
//! If they serve only as keys of what is remembered, a fast hash takes its place.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::fingerprint::Fingerprint;
use super::hash::{Key, begin, end, short};
use crate::bytes::{self, mix::Mix};

/// Number of bytes at the beginning of the first user message that are also hashed apart.
const HEAD: usize = 24;
/// The end of a first user message to which smolagents has added the error of the last step.
const RETRY: &[u8] = b"try a completely different approach.";
/// Number of bytes at the end of the first user message that are kept: [`RETRY`] and white space.
const TAIL: usize = RETRY.len() + 4;

/// The opening of a conversation, while a request is read. The texts of messages are hashed by the [`Fingerprint`] of the prompt,
/// which the caller passes to the methods.
#[derive(Clone)]
pub struct Opening {
    key: Option<Rc<Key>>,
    /// The fast hashes in place of the others. None if a hash is reported.
    fast: Option<FastHashes>,
    /// Hash of the system prompt outside the list of messages, such as Anthropic's `system`. None if there is no text.
    beside: Option<Sha256>,
    /// Number of messages so far.
    messages: u32,
    /// Hash of the first system message.
    system: Option<[u8; 32]>,
    /// Hash of the first user message.
    user: Option<[u8; 32]>,
    /// Length in bytes and number, from 1, of the first user message.
    user_message: (u64, u32),
    /// Hash of the first bytes of the current message, until the first user message has ended.
    head: bytes::Digest,
    head_length: usize,
    /// The last bytes of the current message, until the first user message has ended.
    tail: [u8; TAIL],
}

/// Hashes that are not reported.
#[derive(Clone, Default)]
struct FastHashes {
    /// That of the current message, until the first user message has ended.
    message: bytes::Digest,
    /// That of the system prompt outside the list of messages. None if there is no text.
    beside: Option<bytes::Digest>,
}

/// The hashes of an opening. A hash is None if the request lacks the text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OpeningHashes {
    /// The hash of the system prompt.
    pub system: Option<[u8; 8]>,
    /// The hash of the first user message.
    pub user: Option<[u8; 8]>,
    /// The hash of the system prompt and the first user message.
    pub both: Option<[u8; 8]>,
    /// The hash of the system prompt and at most [`HEAD`] bytes of the first user message. It is not reported.
    pub task: Option<u64>,
    /// True if the first user message ends with the error of the last step and the request to try again.
    pub asks_to_retry: bool,
}

impl Opening {
    /// Memory of an opening, in bytes.
    pub const BOUND: usize = size_of::<Opening>();

    /// The opening of a request whose messages `prompt` hashes. `is_reported`: one of its hashes is reported.
    pub fn new(key: Option<&Rc<Key>>, prompt: &mut Fingerprint, is_reported: bool) -> Self {
        prompt.watch(is_reported);
        Opening {
            key: key.cloned(),
            fast: (!is_reported).then(FastHashes::default),
            beside: None,
            messages: 0,
            system: None,
            user: None,
            user_message: (0, 0),
            head: bytes::Digest::new(),
            head_length: 0,
            tail: [0; TAIL],
        }
    }

    /// A message begins.
    pub fn message_opened(&mut self) {
        self.messages = self.messages.saturating_add(1);
        if self.listens() {
            (self.head, self.head_length, self.tail) = (bytes::Digest::new(), 0, [0; TAIL]);
            if let Some(fast) = &mut self.fast {
                fast.message = bytes::Digest::new();
            }
        }
    }

    /// Adds a piece of the current message's text, which `prompt` has too.
    pub fn push(&mut self, piece: &[u8]) {
        if !self.listens() {
            return;
        }
        if let Some(fast) = &mut self.fast {
            fast.message.push(piece);
        }
        let last = piece.get(piece.len().saturating_sub(TAIL)..).unwrap_or_default();
        self.tail.rotate_left(last.len());
        if let Some(end) = self.tail.get_mut(TAIL - last.len()..) {
            end.copy_from_slice(last);
        }
        if self.head_length < HEAD {
            let piece = piece.get(..HEAD - self.head_length).unwrap_or(piece);
            self.head.push(piece);
            self.head_length += piece.len();
        }
    }

    /// Returns true if the texts of messages are needed: until the end of the first user message.
    pub fn listens(&self) -> bool {
        self.user.is_none()
    }

    /// Adds a piece of a system prompt outside the list of messages.
    pub fn push_beside(&mut self, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        if let Some(fast) = &mut self.fast {
            fast.beside.get_or_insert_default().push(piece);
        } else {
            self.beside.get_or_insert_with(|| begin(self.key.as_ref())).update(piece);
        }
    }

    /// A message ends, whose text `prompt` has. `of_user` tells a user message from a system message.
    pub fn message_closed(&mut self, of_user: bool, prompt: &mut Fingerprint) {
        if !self.listens() {
            return;
        }
        if !of_user {
            self.system = self.system.or_else(|| self.of_message(prompt));
            return;
        }
        self.user = self.of_message(prompt);
        self.user_message = (prompt.length(), self.messages);
        if !self.listens() {
            prompt.watch(false);
        }
    }

    /// The hash of the current message. None if it has no text.
    fn of_message(&self, prompt: &Fingerprint) -> Option<[u8; 32]> {
        match &self.fast {
            Some(fast) => (prompt.length() > 0).then(|| padded(fast.message.finish())),
            None => prompt.digest(),
        }
    }

    /// The full hash of `prompt` if its text is the first user message. This saves finishing the hash twice.
    pub fn of_prompt(&self, prompt: &Fingerprint) -> Option<[u8; 32]> {
        self.user.filter(|_| self.fast.is_none() && self.user_message == (prompt.length(), self.messages))
    }

    /// The hashes of the opening.
    pub fn settle(mut self, prompt: &mut Fingerprint) -> OpeningHashes {
        if self.messages == 1 && self.system.is_none() {
            // The only message counts as a user message, whatever its role.
            self.message_closed(true, prompt);
        }
        let key = self.key.as_ref();
        let fast = self.fast.as_ref();
        let fast_beside = fast.and_then(|fast| fast.beside).map(|beside| padded(beside.finish()));
        let beside = self.beside.take().map(|state| end(key, state)).or(fast_beside);
        let system = beside.or(self.system);
        let both = self.user.map(|user| {
            if fast.is_some() {
                let [system, user] = [system.unwrap_or_default(), user].map(|hash| u64::from_be_bytes(short(hash)));
                return padded(Mix::new(system).number(user).finish());
            }
            let state = begin(key).chain_update(system.unwrap_or_default()).chain_update(user);
            end(key, state)
        });
        let asks_to_retry = self.tail.trim_ascii_end().ends_with(RETRY);
        let system = system.map(short);
        let task = self
            .user
            .map(|_| Mix::new(self.head.finish()).number(u64::from_be_bytes(system.unwrap_or_default())).finish());
        OpeningHashes { system, user: self.user.map(short), both: both.map(short), task, asks_to_retry }
    }
}

/// A fast hash in the form of the others: its bytes are the first ones.
fn padded(hash: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(hash.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(messages: &[(&str, Option<bool>)]) -> OpeningHashes {
        hashes(messages, true)
    }

    fn hashes(messages: &[(&str, Option<bool>)], is_reported: bool) -> OpeningHashes {
        let mut prompt = Fingerprint::new(None, true);
        let mut opening = Opening::new(None, &mut prompt, is_reported);
        for (text, of_user) in messages {
            prompt.clear();
            opening.message_opened();
            text.as_bytes().chunks(3).for_each(|piece| {
                prompt.push(piece);
                opening.push(piece);
            });
            if let Some(of_user) = of_user {
                opening.message_closed(*of_user, &mut prompt);
            }
        }
        let same = opening.of_prompt(&prompt).is_none_or(|digest| prompt.hash() == Some(short(digest)));
        assert!(same, "the hash of the prompt is not the beginning of its digest");
        opening.settle(&mut prompt)
    }

    #[test]
    fn the_system_prompt_and_the_first_user_message_identify_a_conversation() {
        for is_reported in [true, false] {
            let opening = |messages: &[(&str, Option<bool>)]| hashes(messages, is_reported);
            let (system, user) = (("be brief", Some(false)), ("hello", Some(true)));
            let first = opening(&[system, user]);
            assert!(first.system.is_some() && first.both.is_some());
            assert_eq!(opening(&[system, user, ("hi", None), ("more", Some(true)), ("late", Some(false))]), first);
            assert_ne!(opening(&[user]).both, first.both);
            assert_eq!(opening(&[user]).user, first.user);
            assert_ne!(opening(&[system, ("hallo", Some(true))]).both, first.both);
            assert_eq!(
                opening(&[("a prompt without a role", None)]).both,
                opening(&[("a prompt without a role", Some(true))]).both
            );
            assert_eq!(opening(&[("one", None), ("two", None)]), OpeningHashes::default());
            assert_eq!(opening(&[("", Some(true))]), OpeningHashes::default());
        }
    }

    #[test]
    fn a_system_prompt_outside_the_messages_gives_the_same_hash_as_a_first_system_message() {
        for is_reported in [true, false] {
            let mut prompt = Fingerprint::new(None, true);
            let mut beside = Opening::new(None, &mut prompt, is_reported);
            beside.message_opened();
            prompt.push(b"hello");
            beside.push(b"hello");
            beside.message_closed(true, &mut prompt);
            beside.push_beside(b"be brief");
            let expected = hashes(&[("be brief", Some(false)), ("hello", Some(true))], is_reported);
            assert_eq!(beside.settle(&mut prompt), expected);
        }
    }

    #[test]
    fn conversations_that_differ_after_any_number_of_bytes_have_different_hashes() {
        let long = |tail: &str| "x".repeat(100_000) + tail;
        let (a, b) = (long("a"), long("b"));
        assert_ne!(opening(&[(&a, Some(true))]).both, opening(&[(&b, Some(true))]).both);
        assert_ne!(
            opening(&[(&a, Some(false)), ("hi", Some(true))]),
            opening(&[(&b, Some(false)), ("hi", Some(true))])
        );
        let beside = |text: &str| {
            let mut prompt = Fingerprint::new(None, true);
            let mut opening = Opening::new(None, &mut prompt, true);
            text.as_bytes().chunks(1000).for_each(|piece| opening.push_beside(piece));
            opening.settle(&mut prompt).system
        };
        assert_ne!(beside(&a), beside(&b));
    }
}
