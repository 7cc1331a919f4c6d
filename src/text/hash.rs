//! Hashes of texts: SHA-256, or HMAC-SHA-256 if the configuration has a key.
//!
//! Specification: FIPS 180-4 (SHA-256), RFC 2104 (HMAC).

use std::rc::Rc;

use sha2::{Digest, Sha256};

/// Which texts are hashed. Setting: `privacy.hash`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hashes {
    /// The request's last message.
    pub last_message: bool,
    /// All messages of the request.
    pub prompt: bool,
    /// The system prompt: the system's text before the first user message.
    pub system: bool,
    /// The offered tools, as the JSON of the request has them.
    pub tools: bool,
    /// The answer.
    pub response: bool,
    /// The system prompt and the first user message.
    pub conversation: bool,
}

impl Default for Hashes {
    fn default() -> Self {
        Hashes { last_message: true, prompt: false, system: false, tools: false, response: true, conversation: true }
    }
}

/// A key for hashes, stored as the initial states of the two hashes of HMAC.
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

/// The initial state for the hash of a text.
pub fn begin(key: Option<&Rc<Key>>) -> Sha256 {
    key.map(|key| key.inner.clone()).unwrap_or_default()
}

/// The hash of a text. `state` is the state from [`begin`] after it was updated with the text.
pub fn end(key: Option<&Rc<Key>>, state: Sha256) -> [u8; 32] {
    let digest = state.finalize();
    key.map_or(digest, |key| key.outer.clone().chain_update(digest).finalize()).into()
}

/// The first 8 bytes of a hash. Only these are reported.
pub fn short(hash: [u8; 32]) -> [u8; 8] {
    hash.first_chunk().copied().unwrap_or_default()
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
}
