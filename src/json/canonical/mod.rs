//! A strict JSON validator (RFC 8259) that also computes a hash of the document, in pieces of any size.
//!
//! The hash is the sum of the hashes of all leaves. The hash of a leaf includes the path to it. Thus the order of keys
//! and the blanks do not matter.
//!
//! Memory: [`MAX_LEVELS`] levels and one number or word of [`MAX_WORD`] bytes. A document that exceeds one of them
//! counts as malformed.

mod hash;

use super::number;
use hash::{SEED, add_byte, add_segment, spread};

/// Deepest level of a document.
const MAX_LEVELS: usize = 32;
/// Longest number, in bytes.
const MAX_WORD: usize = 32;

/// What the document may continue with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum CanonicalState {
    /// A value.
    Value,
    /// After `[`: a value or `]`.
    ArrayStart,
    /// After `{`: a key or `}`.
    ObjectStart,
    /// After a comma in an object: a key.
    Key,
    /// After a key: a colon.
    Colon,
    /// After a value: a comma, a closing bracket, or the end of the document.
    AfterValue,
    /// Inside a string.
    String,
    /// After a backslash in a string.
    Escape,
    /// Inside a `\u` escape. The number of hexadecimal digits that are missing.
    HexDigits(u8),
    /// Inside a number, `true`, `false` or `null`.
    Word,
    /// After an error.
    Malformed,
}

/// An open object or array.
#[derive(Clone, Copy)]
struct CanonicalLevel {
    is_array: bool,
    /// Hash of the path to the object or array.
    path: u64,
    /// Position of the current element, if this is an array.
    index: u32,
}

/// Validates one document and computes its hash.
#[derive(Clone)]
pub struct Canonical {
    state: CanonicalState,
    levels: [CanonicalLevel; MAX_LEVELS],
    depth: usize,
    /// Hash of the path to the current value.
    path: u64,
    /// Hash of the bytes of the current key or value.
    leaf: u64,
    /// Sum of the hashes of all leaves.
    sum: u64,
    /// True if the current string is a key.
    is_key: bool,
    word: [u8; MAX_WORD],
    word_length: usize,
    is_done: bool,
    /// Hashes of the required keys that the outermost object does not have yet. None if a key has an escape, because
    /// its hash says nothing then.
    required: Option<Vec<u64>>,
}

impl Default for Canonical {
    fn default() -> Self {
        Canonical {
            state: CanonicalState::Value,
            levels: [CanonicalLevel { is_array: false, path: 0, index: 0 }; MAX_LEVELS],
            depth: 0,
            path: SEED,
            leaf: SEED,
            sum: 0,
            is_key: false,
            word: [0; MAX_WORD],
            word_length: 0,
            is_done: false,
            required: Some(Vec::new()),
        }
    }
}

/// Hash of an object's key, for [`Canonical::requiring`].
pub fn key_hash(name: &str) -> u64 {
    name.bytes().fold(SEED, add_byte)
}

impl Canonical {
    /// Creates a validator for an object that must have the keys with these hashes (see [`key_hash`]).
    pub fn requiring(mut keys: Vec<u64>) -> Self {
        // Sorted for the binary search: there may be many keys.
        keys.sort_unstable();
        keys.dedup();
        Canonical { required: Some(keys), ..Canonical::default() }
    }

    /// Starts a new document without required keys.
    pub fn reset(&mut self) {
        // Levels and word need no reset: they are written before they are read.
        let Canonical { state, levels: _, depth, path, leaf, sum, is_key, word: _, word_length, is_done, required } =
            self;
        (*state, *depth, *path, *leaf, *sum) = (CanonicalState::Value, 0, SEED, SEED, 0);
        (*is_key, *word_length, *is_done, *required) = (false, 0, false, Some(Vec::new()));
    }

    /// Returns false if the outermost object lacks a required key. Returns true if that is unknown because a key has an
    /// escape.
    pub fn has_required(&self) -> bool {
        self.required.as_ref().is_none_or(Vec::is_empty)
    }

    /// Reads the next bytes of the document.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.read_byte(*byte);
        }
    }

    /// Returns true if the bytes so far are one complete, well-formed document.
    pub fn is_whole(&mut self) -> bool {
        if self.state == CanonicalState::Word && self.depth == 0 {
            self.word_ended();
        }
        self.is_done && self.state == CanonicalState::AfterValue
    }

    /// The hash of the document. It does not depend on blanks and the order of keys. It is meaningful only if
    /// [`Canonical::is_whole`] returns true.
    pub fn hash(&mut self) -> u64 {
        self.is_whole();
        self.sum
    }

    /// Reads one byte.
    fn read_byte(&mut self, byte: u8) {
        match self.state {
            CanonicalState::Malformed => {}
            CanonicalState::String => match byte {
                b'"' => self.string_ended(),
                b'\\' => {
                    if self.is_key && self.depth == 1 {
                        self.required = None;
                    }
                    self.state = CanonicalState::Escape;
                    self.leaf = add_byte(self.leaf, byte);
                }
                0..=0x1f => self.state = CanonicalState::Malformed,
                _ => self.leaf = add_byte(self.leaf, byte),
            },
            CanonicalState::Escape => {
                self.leaf = add_byte(self.leaf, byte);
                self.state = match byte {
                    b'u' => CanonicalState::HexDigits(4),
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => CanonicalState::String,
                    _ => CanonicalState::Malformed,
                };
            }
            CanonicalState::HexDigits(missing) => {
                self.leaf = add_byte(self.leaf, byte.to_ascii_lowercase());
                self.state = match (byte.is_ascii_hexdigit(), missing) {
                    (false, _) => CanonicalState::Malformed,
                    (true, 1) => CanonicalState::String,
                    (true, _) => CanonicalState::HexDigits(missing - 1),
                };
            }
            CanonicalState::Word if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.') => {
                match self.word.get_mut(self.word_length) {
                    Some(slot) => *slot = byte,
                    // Longer than any number that a program writes.
                    None => self.state = CanonicalState::Malformed,
                }
                self.word_length += 1;
            }
            CanonicalState::Word => {
                self.word_ended();
                self.read_byte(byte);
            }
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => {}
            CanonicalState::ArrayStart if byte == b']' => self.close(true),
            CanonicalState::Value | CanonicalState::ArrayStart => self.begin_value(byte),
            CanonicalState::ObjectStart if byte == b'}' => self.close(false),
            CanonicalState::ObjectStart | CanonicalState::Key if byte == b'"' => {
                self.is_key = true;
                self.leaf = SEED;
                self.state = CanonicalState::String;
            }
            CanonicalState::Colon if byte == b':' => self.state = CanonicalState::Value,
            CanonicalState::AfterValue => self.after_value(byte),
            CanonicalState::ObjectStart | CanonicalState::Key | CanonicalState::Colon => {
                self.state = CanonicalState::Malformed
            }
        }
    }

    /// Reads the first byte of a value.
    fn begin_value(&mut self, byte: u8) {
        self.leaf = add_byte(SEED, byte);
        match byte {
            b'"' => {
                self.is_key = false;
                self.state = CanonicalState::String;
            }
            b'{' | b'[' => {
                let is_array = byte == b'[';
                let Some(level) = self.levels.get_mut(self.depth) else {
                    self.state = CanonicalState::Malformed;
                    return;
                };
                *level = CanonicalLevel { is_array, path: self.path, index: 0 };
                self.depth += 1;
                // An object or array counts as a leaf too, so that empty ones have a hash.
                self.sum = self.sum.wrapping_add(spread(self.path ^ self.leaf));
                self.path = add_segment(self.path, 0);
                self.state = if is_array { CanonicalState::ArrayStart } else { CanonicalState::ObjectStart };
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                self.word = [0; MAX_WORD];
                self.word_length = 1;
                if let Some(first) = self.word.first_mut() {
                    *first = byte;
                }
                self.state = CanonicalState::Word;
            }
            _ => self.state = CanonicalState::Malformed,
        }
    }

    /// Ends a number, `true`, `false` or `null`.
    fn word_ended(&mut self) {
        let word = self.word.get(..self.word_length).unwrap_or_default();
        let is_valid = matches!(word, b"true" | b"false" | b"null") || number::is_valid(word);
        self.leaf = word.iter().fold(SEED, |hash, byte| add_byte(hash, *byte));
        if is_valid { self.leaf_ended() } else { self.state = CanonicalState::Malformed }
    }

    /// Ends a key or a string value.
    fn string_ended(&mut self) {
        if !self.is_key {
            return self.leaf_ended();
        }
        if self.depth == 1
            && let Some(required) = &mut self.required
            && let Ok(at) = required.binary_search(&self.leaf)
        {
            required.remove(at);
        }
        let parent = self.top().map_or(SEED, |level| level.path);
        self.path = add_segment(parent, self.leaf);
        self.state = CanonicalState::Colon;
    }

    /// Adds the current string or word to the sum.
    fn leaf_ended(&mut self) {
        self.sum = self.sum.wrapping_add(spread(self.path.rotate_left(17) ^ self.leaf));
        self.value_ended();
    }

    fn value_ended(&mut self) {
        self.state = CanonicalState::AfterValue;
        self.is_done = self.depth == 0;
    }

    /// Reads the byte after a value: a comma or a closing bracket.
    fn after_value(&mut self, byte: u8) {
        let at = self.depth.wrapping_sub(1);
        let Some(level) = self.levels.get_mut(at) else {
            self.state = CanonicalState::Malformed;
            return;
        };
        match (byte, level.is_array) {
            (b',', true) => {
                level.index = level.index.wrapping_add(1);
                self.path = add_segment(level.path, u64::from(level.index));
                self.state = CanonicalState::Value;
            }
            (b',', false) => self.state = CanonicalState::Key,
            (b']', true) => self.close(true),
            (b'}', false) => self.close(false),
            _ => self.state = CanonicalState::Malformed,
        }
    }

    /// Closes the innermost object or array.
    fn close(&mut self, is_array: bool) {
        if let Some(level) = self.top().filter(|level| level.is_array == is_array) {
            self.path = level.path;
            self.depth -= 1;
            self.value_ended();
        } else {
            self.state = CanonicalState::Malformed;
        }
    }

    /// The innermost open object or array.
    fn top(&self) -> Option<CanonicalLevel> {
        self.levels.get(self.depth.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests;
