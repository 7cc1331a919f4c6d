//! The opening of a conversation: the system prompt and the first user message. Later calls of the conversation repeat it, so its
//! hash identifies the conversation.
//!
//! Bound: at most [`OPENING`] bytes of each message are hashed, unless the whole system prompt is to be hashed.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::fingerprint::Fingerprint;
use super::hash::{Hashes, Key, begin, end, short};

/// Maximum number of bytes of a message that are hashed to identify a conversation.
const OPENING: usize = 4096;

/// The opening of a conversation, while a request is read. The texts of messages are hashed by the [`Fingerprint`] of the prompt,
/// which the caller passes to the methods.
#[derive(Clone)]
pub struct Opening {
    key: Option<Rc<Key>>,
    limit: usize,
    /// System prompt outside the list of messages, such as Anthropic's `system`.
    beside: PrefixHash,
    /// Number of messages so far.
    messages: u32,
    /// Hash of the first system message.
    system: Option<[u8; 32]>,
    /// Hash of the first user message.
    user: Option<[u8; 32]>,
    /// Length in bytes and number, from 1, of the first user message.
    user_message: (u64, u32),
}

/// The hash of the beginning of a text, and the number of hashed bytes.
#[derive(Clone, Default)]
struct PrefixHash {
    state: Sha256,
    length: usize,
}

impl PrefixHash {
    fn push(&mut self, piece: &[u8], limit: usize) {
        let piece = piece.get(..limit.saturating_sub(self.length)).unwrap_or(piece);
        if !piece.is_empty() {
            self.state.update(piece);
            self.length += piece.len();
        }
    }
}

impl Opening {
    /// Memory of an opening, in bytes.
    pub const BOUND: usize = size_of::<Opening>();

    /// Returns None if no setting needs the opening. Else sets in `prompt` how many bytes of each message are hashed.
    pub fn new(key: Option<&Rc<Key>>, hashes: Hashes, prompt: &mut Fingerprint) -> Option<Box<Self>> {
        let Hashes { system, conversation, .. } = hashes;
        (system || conversation).then(|| {
            let limit = if system { usize::MAX } else { OPENING };
            prompt.watch(limit);
            Box::new(Opening {
                key: key.cloned(),
                limit,
                beside: PrefixHash { state: begin(key), length: 0 },
                messages: 0,
                system: None,
                user: None,
                user_message: (0, 0),
            })
        })
    }

    /// A message begins.
    pub fn message_opened(&mut self) {
        self.messages = self.messages.saturating_add(1);
    }

    /// Returns true if the texts of messages are needed: until the end of the first user message.
    pub fn listens(&self) -> bool {
        self.user.is_none()
    }

    /// Adds a piece of a system prompt outside the list of messages.
    pub fn push_beside(&mut self, piece: &[u8]) {
        self.beside.push(piece, self.limit);
    }

    /// A message ends, whose text `prompt` has. `of_user` tells a user message from a system message.
    pub fn message_closed(&mut self, of_user: bool, prompt: &mut Fingerprint) {
        if !self.listens() {
            return;
        }
        if !of_user {
            self.system = self.system.or_else(|| prompt.digest());
            return;
        }
        self.user = prompt.digest();
        self.user_message = (prompt.length(), self.messages);
        if !self.listens() {
            prompt.watch(0);
        }
    }

    /// The full hash of `prompt` if its text is the first user message and was hashed as a whole. This saves hashing it twice.
    pub fn of_prompt(&self, prompt: &Fingerprint) -> Option<[u8; 32]> {
        let same = self.user_message == (prompt.length(), self.messages) && prompt.length() <= self.limit as u64;
        self.user.filter(|_| same)
    }

    /// The hash of the system prompt, and the hash of system prompt and first user message. None if the request lacks the text.
    pub fn settle(mut self, prompt: &mut Fingerprint) -> (Option<[u8; 8]>, Option<[u8; 8]>) {
        if self.messages == 1 && self.system.is_none() {
            // The only message counts as a user message, whatever its role.
            self.message_closed(true, prompt);
        }
        let key = self.key.as_ref();
        let beside = (self.beside.length > 0).then(|| end(key, self.beside.state));
        let system = beside.or(self.system);
        let both = self.user.map(|user| {
            let state = begin(key).chain_update(system.unwrap_or_default()).chain_update(user);
            end(key, state)
        });
        (system.map(short), both.map(short))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(messages: &[(&str, Option<bool>)]) -> (Option<[u8; 8]>, Option<[u8; 8]>) {
        let mut prompt = Fingerprint::new(None, true);
        let mut opening = Opening::new(None, Hashes::default(), &mut prompt).unwrap();
        for (text, of_user) in messages {
            prompt.clear();
            opening.message_opened();
            text.as_bytes().chunks(3).for_each(|piece| prompt.push(piece));
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
        let (system, user) = (("be brief", Some(false)), ("hello", Some(true)));
        let first = opening(&[system, user]);
        assert!(first.0.is_some() && first.1.is_some());
        assert_eq!(opening(&[system, user, ("hi", None), ("more", Some(true)), ("late", Some(false))]), first);
        assert_ne!(opening(&[user]).1, first.1);
        assert_ne!(opening(&[system, ("hallo", Some(true))]).1, first.1);
        assert_eq!(
            opening(&[("a prompt without a role", None)]).1,
            opening(&[("a prompt without a role", Some(true))]).1
        );
        assert_eq!(opening(&[("one", None), ("two", None)]), (None, None));
    }

    #[test]
    fn a_system_prompt_outside_the_messages_gives_the_same_hash_as_a_first_system_message() {
        let mut prompt = Fingerprint::new(None, true);
        let mut beside = Opening::new(None, Hashes::default(), &mut prompt).unwrap();
        beside.message_opened();
        prompt.push(b"hello");
        beside.message_closed(true, &mut prompt);
        beside.push_beside(b"be brief");
        assert_eq!(beside.settle(&mut prompt), opening(&[("be brief", Some(false)), ("hello", Some(true))]));
    }

    #[test]
    fn only_the_beginning_of_a_long_message_is_hashed_unless_the_whole_system_prompt_is_asked_for() {
        let long = |tail: &str| "x".repeat(OPENING) + tail;
        assert_eq!(opening(&[(&long("a"), Some(true))]), opening(&[(&long("b"), Some(true))]));
        let whole = Hashes { system: true, ..Hashes::default() };
        let system = |text: &str| {
            let mut prompt = Fingerprint::new(None, true);
            let mut opening = Opening::new(None, whole, &mut prompt).unwrap();
            opening.push_beside(text.as_bytes());
            opening.settle(&mut prompt).0
        };
        assert_ne!(system(&long("a")), system(&long("b")));
    }
}
