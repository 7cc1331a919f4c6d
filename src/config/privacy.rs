//! What becomes of words: which are hashed, with which key, and how a conversation is told by its beginning.
//!
//! Spec: FIPS 180-4 (SHA-256), RFC 2104 (HMAC). Bound: of the beginning, [`OPENING`] bytes of each message are hashed.

use std::rc::Rc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::capture::Capture;
use crate::config::{ConfigError, object, one_of, text};
use crate::fingerprint::Fingerprint;
use crate::redaction::Redaction;

/// What of a message is hashed to recognise a conversation by, in bytes. Where the whole system prompt is to be hashed, all of it.
const OPENING: usize = 4096;

/// What becomes of words.
#[derive(Clone, Debug)]
pub struct Privacy {
    /// `privacy.key`: makes hashes of HMAC-SHA-256 instead of SHA-256; empty for none.
    pub key: Option<Rc<Key>>,
    /// `privacy.hash`
    pub hash: Hashes,
    /// `privacy.capture`: whose words are reported.
    pub capture: Capture,
    /// `privacy.sample`: the share of traces whose words are, where they are sampled; 0 to 1.
    pub sample: f64,
    /// What is taken out of them, `privacy.redact` included; None where none are reported.
    pub redaction: Option<Rc<Redaction>>,
}

impl Default for Privacy {
    fn default() -> Self {
        Privacy { key: None, hash: Hashes::default(), capture: Capture::Off, sample: 0.01, redaction: None }
    }
}

/// Which texts are hashed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hashes {
    /// The request's last message.
    pub last_message: bool,
    /// All messages of the request.
    pub prompt: bool,
    /// What the system says before the first message of a user.
    pub system: bool,
    /// The schemas of the tools offered, as they are written.
    pub tools: bool,
    /// The answer.
    pub response: bool,
    /// What the system and the user say first.
    pub conversation: bool,
}

const KEYS: &[&str] = &["capture", "hash", "key", "redact", "sample"];

/// Names of [`Hashes`], as `privacy.hash` lists them.
const HASHES: [&str; 6] = ["conversation", "last_message", "prompt", "response", "system", "tools"];

impl Default for Hashes {
    fn default() -> Self {
        Hashes { last_message: true, prompt: false, system: false, tools: false, response: true, conversation: true }
    }
}

/// A key for hashes, worked into the states both passes of HMAC begin with.
#[derive(Clone)]
pub struct Key {
    inner: Sha256,
    outer: Sha256,
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Prepares a key of any length.
    pub fn new(key: &[u8]) -> Self {
        let mut block = [0; 64];
        let digest = Sha256::digest(key);
        let key = if key.len() > block.len() { &*digest } else { key };
        block.iter_mut().zip(key).for_each(|(slot, byte)| *slot = *byte);
        let state = |pad: u8| Sha256::new_with_prefix(block.map(|byte| byte ^ pad));
        Key { inner: state(0x36), outer: state(0x5c) }
    }
}

/// The state a text's hash begins with.
pub fn begin(key: Option<&Rc<Key>>) -> Sha256 {
    key.map(|key| key.inner.clone()).unwrap_or_default()
}

/// The hash of a text that has passed through what [`begin`] gave.
pub fn end(key: Option<&Rc<Key>>, state: Sha256) -> [u8; 32] {
    let digest = state.finalize();
    key.map_or(digest, |key| key.outer.clone().chain_update(digest).finalize()).into()
}

/// The first 8 bytes of a hash, which is what is reported.
pub fn short(hash: [u8; 32]) -> [u8; 8] {
    hash.first_chunk().copied().unwrap_or_default()
}

impl Privacy {
    /// Reads `privacy`.
    ///
    /// # Errors
    /// An unknown key or name, a value of the wrong type.
    pub fn read(&mut self, value: &Value) -> Result<(), ConfigError> {
        let mut redact = None;
        for (key, value) in object("privacy", value)? {
            match key.as_str() {
                "capture" => self.capture = one_of("privacy.capture", value, &Capture::WORDS)?,
                "redact" => redact = Some(value),
                "sample" => {
                    let share = value.as_f64().filter(|share| (0.0..=1.0).contains(share));
                    self.sample =
                        share.ok_or_else(|| ConfigError::new("privacy.sample", "must be a number from 0 to 1"))?;
                }
                "key" => {
                    let key = text("privacy.key", value)?;
                    self.key = (!key.is_empty()).then(|| Rc::new(Key::new(key.as_bytes())));
                }
                "hash" => self.hash = hashes(value)?,
                _ => return Err(ConfigError::unknown("privacy", key, KEYS)),
            }
        }
        if self.capture != Capture::Off || redact.is_some_and(|own| *own != Value::Array(Vec::new())) {
            self.redaction = Some(Rc::new(Redaction::new(redact)?));
        }
        Ok(())
    }
}

fn hashes(value: &Value) -> Result<Hashes, ConfigError> {
    let wrong = || ConfigError::new("privacy.hash", format!("must be an array of any of {}", HASHES.join(", ")));
    let names = value.as_array().ok_or_else(wrong)?;
    let names: Vec<_> = names.iter().filter_map(Value::as_str).filter(|name| HASHES.contains(name)).collect();
    if names.len() != value.as_array().map_or(0, Vec::len) {
        return Err(wrong());
    }
    let has = |name| names.contains(&name);
    Ok(Hashes {
        last_message: has("last_message"),
        prompt: has("prompt"),
        system: has("system"),
        tools: has("tools"),
        response: has("response"),
        conversation: has("conversation"),
    })
}

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
    pub fn new(privacy: &Privacy, prompt: &mut Fingerprint) -> Option<Box<Self>> {
        let Hashes { system, conversation, .. } = privacy.hash;
        (system || conversation).then(|| {
            let limit = if system { usize::MAX } else { OPENING };
            prompt.watch(limit);
            Box::new(Opening {
                key: privacy.key.clone(),
                limit,
                beside: Part { state: begin(privacy.key.as_ref()), length: 0 },
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

    fn hex(hash: [u8; 32]) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_keyed_hash_is_hmac() {
        // RFC 4231, cases 2 and 6.
        let hmac = |key: &[u8], text: &[u8]| {
            let key = Some(Rc::new(Key::new(key)));
            hex(end(key.as_ref(), begin(key.as_ref()).chain_update(text)))
        };
        let wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hmac(b"Jefe", b"what do ya want for nothing?"), wanted);
        let wanted = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        assert_eq!(hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"), wanted);
        assert_eq!(hex(end(None, begin(None)))[..16], *"e3b0c44298fc1c14");
    }

    fn opening(messages: &[(&str, Option<bool>)]) -> (Option<[u8; 8]>, Option<[u8; 8]>) {
        let mut prompt = Fingerprint::new(None, true);
        let mut opening = Opening::new(&Privacy::default(), &mut prompt).unwrap();
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
        let mut beside = Opening::new(&Privacy::default(), &mut prompt).unwrap();
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
        let mut whole = Privacy::default();
        whole.hash.system = true;
        let system = |text: &str| {
            let mut prompt = Fingerprint::new(None, true);
            let mut opening = Opening::new(&whole, &mut prompt).unwrap();
            opening.push_beside(text.as_bytes());
            opening.settle(&mut prompt).0
        };
        assert_ne!(system(&long("a")), system(&long("b")));
    }
}
