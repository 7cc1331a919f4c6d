//! A strict JSON validator (RFC 8259) for documents in pieces of any size. It also checks the keys of the outermost object.
//!
//! Memory: [`MAX_LEVELS`] levels and one number or word of [`MAX_WORD`] bytes. A document that exceeds one of them
//! counts as malformed.

use super::number;

/// Deepest level of a document.
const MAX_LEVELS: usize = 32;
/// Longest number, in bytes.
const MAX_WORD: usize = 32;

/// The part of the document that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ValidatorState {
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

/// Hash of nothing (the offset basis of FNV-1a).
const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// Validates one document.
#[derive(Clone)]
pub struct Validator {
    state: ValidatorState,
    /// For each open object or array, true if it is an array.
    levels: [bool; MAX_LEVELS],
    depth: usize,
    /// Hash of the bytes of the current key.
    key: u64,
    /// True if the current string is a key.
    is_key: bool,
    word: [u8; MAX_WORD],
    word_length: usize,
    is_done: bool,
    /// Hashes of the required keys that the outermost object does not have yet. None if a key has an escape, because
    /// its hash says nothing then.
    required: Option<Vec<u64>>,
}

impl Default for Validator {
    fn default() -> Self {
        Validator {
            state: ValidatorState::Value,
            levels: [false; MAX_LEVELS],
            depth: 0,
            key: SEED,
            is_key: false,
            word: [0; MAX_WORD],
            word_length: 0,
            is_done: false,
            required: Some(Vec::new()),
        }
    }
}

/// Adds a byte to a hash (FNV-1a).
fn add_byte(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

/// Hash of an object's key, for [`Validator::requiring`].
pub fn key_hash(name: &str) -> u64 {
    name.bytes().fold(SEED, add_byte)
}

impl Validator {
    /// Creates a validator for an object that must have the keys with these hashes (see [`key_hash`]).
    pub fn requiring(mut keys: Vec<u64>) -> Self {
        // Sorted for the binary search: there may be many keys.
        keys.sort_unstable();
        keys.dedup();
        Validator { required: Some(keys), ..Validator::default() }
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
        if self.state == ValidatorState::Word && self.depth == 0 {
            self.word_ended();
        }
        self.is_done && self.state == ValidatorState::AfterValue
    }

    /// Reads one byte.
    fn read_byte(&mut self, byte: u8) {
        match self.state {
            ValidatorState::Malformed => {}
            ValidatorState::String => match byte {
                b'"' => self.string_ended(),
                b'\\' => {
                    if self.is_key && self.depth == 1 {
                        self.required = None;
                    }
                    self.state = ValidatorState::Escape;
                }
                0..=0x1f => self.state = ValidatorState::Malformed,
                _ if self.is_key => self.key = add_byte(self.key, byte),
                _ => {}
            },
            ValidatorState::Escape => {
                self.state = match byte {
                    b'u' => ValidatorState::HexDigits(4),
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => ValidatorState::String,
                    _ => ValidatorState::Malformed,
                };
            }
            ValidatorState::HexDigits(missing) => {
                self.state = match (byte.is_ascii_hexdigit(), missing) {
                    (false, _) => ValidatorState::Malformed,
                    (true, 1) => ValidatorState::String,
                    (true, _) => ValidatorState::HexDigits(missing - 1),
                };
            }
            ValidatorState::Word if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.') => {
                match self.word.get_mut(self.word_length) {
                    Some(slot) => *slot = byte,
                    // Longer than any number that a program writes.
                    None => self.state = ValidatorState::Malformed,
                }
                self.word_length += 1;
            }
            ValidatorState::Word => {
                self.word_ended();
                self.read_byte(byte);
            }
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => {}
            ValidatorState::ArrayStart if byte == b']' => self.close(true),
            ValidatorState::Value | ValidatorState::ArrayStart => self.begin_value(byte),
            ValidatorState::ObjectStart if byte == b'}' => self.close(false),
            ValidatorState::ObjectStart | ValidatorState::Key if byte == b'"' => {
                self.is_key = true;
                self.key = SEED;
                self.state = ValidatorState::String;
            }
            ValidatorState::Colon if byte == b':' => self.state = ValidatorState::Value,
            ValidatorState::AfterValue => self.after_value(byte),
            ValidatorState::ObjectStart | ValidatorState::Key | ValidatorState::Colon => {
                self.state = ValidatorState::Malformed
            }
        }
    }

    /// Reads the first byte of a value.
    fn begin_value(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.is_key = false;
                self.state = ValidatorState::String;
            }
            b'{' | b'[' => {
                let is_array = byte == b'[';
                let Some(level) = self.levels.get_mut(self.depth) else {
                    self.state = ValidatorState::Malformed;
                    return;
                };
                *level = is_array;
                self.depth += 1;
                self.state = if is_array { ValidatorState::ArrayStart } else { ValidatorState::ObjectStart };
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                self.word = [0; MAX_WORD];
                self.word_length = 1;
                if let Some(first) = self.word.first_mut() {
                    *first = byte;
                }
                self.state = ValidatorState::Word;
            }
            _ => self.state = ValidatorState::Malformed,
        }
    }

    /// Ends a number, `true`, `false` or `null`.
    fn word_ended(&mut self) {
        let word = self.word.get(..self.word_length).unwrap_or_default();
        let is_valid = matches!(word, b"true" | b"false" | b"null") || number::is_valid(word);
        if is_valid { self.value_ended() } else { self.state = ValidatorState::Malformed }
    }

    /// Ends a key or a string value.
    fn string_ended(&mut self) {
        if !self.is_key {
            return self.value_ended();
        }
        if self.depth == 1
            && let Some(required) = &mut self.required
            && let Ok(at) = required.binary_search(&self.key)
        {
            required.remove(at);
        }
        self.state = ValidatorState::Colon;
    }

    fn value_ended(&mut self) {
        self.state = ValidatorState::AfterValue;
        self.is_done = self.depth == 0;
    }

    /// Reads the byte after a value: a comma or a closing bracket.
    fn after_value(&mut self, byte: u8) {
        match (byte, self.top()) {
            (b',', Some(true)) => self.state = ValidatorState::Value,
            (b',', Some(false)) => self.state = ValidatorState::Key,
            (b']', _) => self.close(true),
            (b'}', _) => self.close(false),
            _ => self.state = ValidatorState::Malformed,
        }
    }

    /// Closes the innermost object or array.
    fn close(&mut self, is_array: bool) {
        if self.top() == Some(is_array) {
            self.depth -= 1;
            self.value_ended();
        } else {
            self.state = ValidatorState::Malformed;
        }
    }

    /// Returns true if the innermost open value is an array, None if none is open.
    fn top(&self) -> Option<bool> {
        self.levels.get(self.depth.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests;
