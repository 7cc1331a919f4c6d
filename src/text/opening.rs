//! How a conversation begins, which recognises it in every later call.
//!
//! Bound: [`OPENING`] bytes of each message are hashed.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::fingerprint::Fingerprint;
use super::hash::{Hashes, Key, begin, end, short};

/// What of a message is hashed to recognise a conversation by, in bytes. Where the whole system prompt is to be hashed, all of it.
const OPENING: usize = 4096;

/// How a conversation begins: what the system says and the user's first message, wherever the request has them. Their texts are
/// hashed where those of all messages are, as the prompt.
#[derive(Clone)]
pub struct Opening {
    key: Option<Rc<Key>>,
    limit: usize,
    /// What the system says beside the messages (Anthropic's `system`).
    beside: Part,
    messages: u32,
    system: Option<[u8; 32]>,
    user: Option<[u8; 32]>,
    /// The user's message is so many bytes of the so manieth message.
    user_is: (u64, u32),
}

#[derive(Clone, Default)]
struct Part {
    state: Sha256,
    length: usize,
}

impl Part {
    fn push(&mut self, piece: &[u8], limit: usize) {
        let piece = piece.get(..limit.saturating_sub(self.length)).unwrap_or(piece);
        if !piece.is_empty() {
            self.state.update(piece);
            self.length += piece.len();
        }
    }
}

impl Opening {
    /// None where nobody asks for it; else `prompt` is told how much of each message is looked at.
    pub fn new(key: Option<&Rc<Key>>, hashes: Hashes, prompt: &mut Fingerprint) -> Option<Box<Self>> {
        let Hashes { system, conversation, .. } = hashes;
        (system || conversation).then(|| {
            let limit = if system { usize::MAX } else { OPENING };
            prompt.watch(limit);
            Box::new(Opening {
                key: key.cloned(),
                limit,
                beside: Part { state: begin(key), length: 0 },
                messages: 0,
                system: None,
                user: None,
                user_is: (0, 0),
            })
        })
    }

    /// A message begins.
    pub fn message_opened(&mut self) {
        self.messages = self.messages.saturating_add(1);
    }

    /// Whether the messages' texts are wanted: up to the user's first one. What the system says later is not.
    pub fn listens(&self) -> bool {
        self.user.is_none()
    }

    /// A piece of what the system says beside the messages.
    pub fn push_beside(&mut self, piece: &[u8]) {
        self.beside.push(piece, self.limit);
    }

    /// The message whose text `prompt` is is over, and was the user's or the system's.
    pub fn message_closed(&mut self, of_user: bool, prompt: &mut Fingerprint) {
        if !self.listens() {
            return;
        }
        if !of_user {
            self.system = self.system.or_else(|| prompt.digest());
            return;
        }
        self.user = prompt.digest();
        self.user_is = (prompt.length(), self.messages);
        if !self.listens() {
            prompt.watch(0);
        }
    }

    /// The digest of the prompt, where that is the user's first message.
    pub fn of_prompt(&self, prompt: &Fingerprint) -> Option<[u8; 32]> {
        let same = self.user_is == (prompt.length(), self.messages) && prompt.length() <= self.limit as u64;
        self.user.filter(|_| same)
    }

    /// Hashes of what the system says, and of that with the user's first message; None where the request has no such text.
    pub fn settle(mut self, prompt: &mut Fingerprint) -> (Option<[u8; 8]>, Option<[u8; 8]>) {
        if self.messages == 1 && self.system.is_none() {
            // The only message, which nothing may have said the role of.
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
        assert!(same, "the prompt's hash is known by its digest");
        opening.settle(&mut prompt)
    }

    #[test]
    fn a_conversation_is_told_by_what_system_and_user_say_first() {
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
    fn what_the_system_says_beside_the_messages_counts_as_if_it_stood_first() {
        let mut prompt = Fingerprint::new(None, true);
        let mut beside = Opening::new(None, Hashes::default(), &mut prompt).unwrap();
        beside.message_opened();
        prompt.push(b"hello");
        beside.message_closed(true, &mut prompt);
        beside.push_beside(b"be brief");
        assert_eq!(beside.settle(&mut prompt), opening(&[("be brief", Some(false)), ("hello", Some(true))]));
    }

    #[test]
    fn of_long_messages_only_the_beginning_costs() {
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
