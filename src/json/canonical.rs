//! Reads any JSON strictly, as it passes: is it well-formed, and what is it, whatever the order of keys and the blanks?
//!
//! The value's hash is the sum of its leaves' hashes, each taken with the path to it, so members may come in any order.
//! Bound: [`DEPTH`] levels; what nests deeper is not well-formed here. Spec: RFC 8259.

/// Deepest level.
const DEPTH: usize = 32;

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Value,
    /// After `[` and `{`.
    FirstElement,
    FirstKey,
    Key,
    Colon,
    After,
    /// In a string; behind its backslash; in the four digits of a `\u`.
    Text,
    Escape,
    Digits(u8),
    Word,
    Broken,
}

#[derive(Clone, Copy)]
struct Level {
    array: bool,
    /// Hash of the path to this level, and position in it.
    path: u64,
    index: u32,
}

/// One document being read.
#[derive(Clone)]
pub struct Canonical {
    state: State,
    levels: [Level; DEPTH],
    depth: usize,
    /// Hash of the path to the value being read, and of its bytes so far.
    path: u64,
    leaf: u64,
    sum: u64,
    /// The string being read is a key.
    key: bool,
    word: [u8; 32],
    word_length: usize,
    done: bool,
    /// Hashes of keys that the outermost object has not had yet, in ascending order; None where one is written in a way that hides it.
    required: Option<Vec<u64>>,
}

impl Default for Canonical {
    fn default() -> Self {
        Canonical {
            state: State::Value,
            levels: [Level { array: false, path: 0, index: 0 }; DEPTH],
            depth: 0,
            path: SEED,
            leaf: SEED,
            sum: 0,
            key: false,
            word: [0; 32],
            word_length: 0,
            done: false,
            required: Some(Vec::new()),
        }
    }
}

/// Hash of an object's key, to require it by.
pub fn key(name: &str) -> u64 {
    name.bytes().fold(SEED, mix)
}

impl Canonical {
    /// For an object that has to have keys with these hashes.
    pub fn requiring(mut keys: Vec<u64>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Canonical { required: Some(keys), ..Canonical::default() }
    }

    /// Begins anew, with a document that has to have no keys.
    pub fn reset(&mut self) {
        // Levels and word are written before they are read.
        let Canonical { state, levels: _, depth, path, leaf, sum, key, word: _, word_length, done, required } = self;
        (*state, *depth, *path, *leaf, *sum) = (State::Value, 0, SEED, SEED, 0);
        (*key, *word_length, *done, *required) = (false, 0, false, Some(Vec::new()));
    }

    /// Whether none of the keys it has to have is missing, as far as can be told: a key with an escape may be any.
    pub fn has_required(&self) -> bool {
        self.required.as_ref().is_none_or(Vec::is_empty)
    }

    /// Reads bytes, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    /// Whether what was read is one whole value.
    pub fn is_whole(&mut self) -> bool {
        if self.state == State::Word && self.depth == 0 {
            self.word_ended();
        }
        self.done && self.state == State::After
    }

    /// The hash, the same for documents that differ in blanks and order of keys only. Meaningful for whole values.
    pub fn hash(&mut self) -> u64 {
        self.is_whole();
        self.sum
    }

    fn byte(&mut self, byte: u8) {
        match self.state {
            State::Broken => {}
            State::Text => match byte {
                b'"' => self.text_ended(),
                b'\\' => {
                    if self.key && self.depth == 1 {
                        self.required = None;
                    }
                    self.state = State::Escape;
                    self.leaf = mix(self.leaf, byte);
                }
                0..=0x1f => self.state = State::Broken,
                _ => self.leaf = mix(self.leaf, byte),
            },
            State::Escape => {
                self.leaf = mix(self.leaf, byte);
                self.state = match byte {
                    b'u' => State::Digits(4),
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => State::Text,
                    _ => State::Broken,
                };
            }
            State::Digits(left) => {
                self.leaf = mix(self.leaf, byte.to_ascii_lowercase());
                self.state = match (byte.is_ascii_hexdigit(), left) {
                    (false, _) => State::Broken,
                    (true, 1) => State::Text,
                    (true, _) => State::Digits(left - 1),
                };
            }
            State::Word if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.') => {
                match self.word.get_mut(self.word_length) {
                    Some(slot) => *slot = byte,
                    // Longer than any number a program writes.
                    None => self.state = State::Broken,
                }
                self.word_length += 1;
            }
            State::Word => {
                self.word_ended();
                self.byte(byte);
            }
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => {}
            State::FirstElement if byte == b']' => self.close(true),
            State::Value | State::FirstElement => self.value(byte),
            State::FirstKey if byte == b'}' => self.close(false),
            State::FirstKey | State::Key if byte == b'"' => {
                self.key = true;
                self.leaf = SEED;
                self.state = State::Text;
            }
            State::Colon if byte == b':' => self.state = State::Value,
            State::After => self.after(byte),
            State::FirstKey | State::Key | State::Colon => self.state = State::Broken,
        }
    }

    fn value(&mut self, byte: u8) {
        self.leaf = mix(SEED, byte);
        match byte {
            b'"' => {
                self.key = false;
                self.state = State::Text;
            }
            b'{' | b'[' => {
                let array = byte == b'[';
                let Some(level) = self.levels.get_mut(self.depth) else {
                    self.state = State::Broken;
                    return;
                };
                *level = Level { array, path: self.path, index: 0 };
                self.depth += 1;
                // An empty object or array is a leaf too.
                self.sum = self.sum.wrapping_add(finish(self.path ^ self.leaf));
                self.path = step(self.path, 0);
                self.state = if array { State::FirstElement } else { State::FirstKey };
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                self.word = [0; 32];
                self.word_length = 1;
                if let Some(first) = self.word.first_mut() {
                    *first = byte;
                }
                self.state = State::Word;
            }
            _ => self.state = State::Broken,
        }
    }

    fn word_ended(&mut self) {
        let word = self.word.get(..self.word_length).unwrap_or_default();
        let sound = matches!(word, b"true" | b"false" | b"null") || is_number(word);
        self.leaf = word.iter().fold(SEED, |hash, byte| mix(hash, *byte));
        if sound { self.leaf_ended() } else { self.state = State::Broken }
    }

    fn text_ended(&mut self) {
        if !self.key {
            return self.leaf_ended();
        }
        if self.depth == 1
            && let Some(required) = &mut self.required
            && let Ok(at) = required.binary_search(&self.leaf)
        {
            required.remove(at);
        }
        let parent = self.top().map_or(SEED, |level| level.path);
        self.path = step(parent, self.leaf);
        self.state = State::Colon;
    }

    fn leaf_ended(&mut self) {
        self.sum = self.sum.wrapping_add(finish(self.path.rotate_left(17) ^ self.leaf));
        self.value_ended();
    }

    fn value_ended(&mut self) {
        self.state = State::After;
        self.done = self.depth == 0;
    }

    fn after(&mut self, byte: u8) {
        let at = self.depth.wrapping_sub(1);
        let Some(level) = self.levels.get_mut(at) else {
            self.state = State::Broken;
            return;
        };
        match (byte, level.array) {
            (b',', true) => {
                level.index = level.index.wrapping_add(1);
                self.path = step(level.path, u64::from(level.index));
                self.state = State::Value;
            }
            (b',', false) => self.state = State::Key,
            (b']', true) => self.close(true),
            (b'}', false) => self.close(false),
            _ => self.state = State::Broken,
        }
    }

    fn close(&mut self, array: bool) {
        if let Some(level) = self.top().filter(|level| level.array == array) {
            self.path = level.path;
            self.depth -= 1;
            self.value_ended();
        } else {
            self.state = State::Broken;
        }
    }

    fn top(&self) -> Option<Level> {
        self.levels.get(self.depth.checked_sub(1)?).copied()
    }
}

fn mix(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

fn step(path: u64, segment: u64) -> u64 {
    finish(path.rotate_left(5) ^ segment)
}

/// Spreads a hash over all its bits, so that sums of them do not cancel (splitmix64).
fn finish(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The grammar of RFC 8259, section 6.
fn is_number(word: &[u8]) -> bool {
    let digits = |word: &[u8]| word.iter().take_while(|b| b.is_ascii_digit()).count();
    let word = word.strip_prefix(b"-").unwrap_or(word);
    let whole = digits(word);
    if whole == 0 || whole > 1 && word.first() == Some(&b'0') {
        return false;
    }
    let mut rest = word.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        rest = fraction.get(count..).unwrap_or_default();
        if count == 0 {
            return false;
        }
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Canonical {
        let mut canonical = Canonical::default();
        text.as_bytes().chunks(3).for_each(|piece| canonical.feed(piece));
        canonical
    }

    #[test]
    fn what_serde_json_takes_is_whole_and_nothing_else() {
        for text in [
            "{}",
            "[]",
            " [1, 2.5, -0, 1e9, 1E-2 ] ",
            "\"a\\u00e9\\n\"",
            "true",
            "null",
            "12",
            "{\"a\":{\"b\":[{},[]]}}",
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "1e",
            "nul",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "{}{}",
            "[1 2]",
            "```json\n{}\n```",
            "]",
            "{]",
            "[}",
            "\"open",
            "[\"a\":1]",
            "{\"a\"}",
            "1.5.2",
            "--1",
        ] {
            let expected = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(read(text).is_whole(), expected, "{text:?}");
        }
    }

    #[test]
    fn order_of_keys_and_blanks_do_not_change_the_hash() {
        let hash = |text| read(text).hash();
        assert_eq!(hash(r#"{"a":1,"b":[true,{"c":"x"}]}"#), hash(" {\"b\" : [ true, {\"c\": \"x\"} ] ,\n\"a\": 1}"));
    }

    #[test]
    fn different_values_have_different_hashes() {
        let texts = [
            "{}",
            "[]",
            "[[]]",
            "{\"a\":1}",
            "{\"a\":2}",
            "{\"b\":1}",
            "{\"a\":\"1\"}",
            "[1,2]",
            "[2,1]",
            "{\"a\":{}}",
            "{\"a\":[]}",
            "1",
            "\"1\"",
            "{\"a\":1,\"b\":2}",
            "{\"a\":2,\"b\":1}",
            "{\"a\":{\"b\":1}}",
            "{\"b\":{\"a\":1}}",
            "[[1],2]",
            "[1,[2]]",
            "null",
            "{\"a\":null}",
        ];
        let mut hashes: Vec<_> = texts.iter().map(|text| read(text).hash()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), texts.len());
    }

    #[test]
    fn required_keys_may_be_named_twice_and_come_in_any_order() {
        let keys = ["b", "a", "c", "a"].map(key).to_vec();
        for (text, has_all) in [(r#"{"c":1,"a":2,"x":3,"b":4}"#, true), (r#"{"a":1,"a":2,"c":3}"#, false)] {
            let mut canonical = Canonical::requiring(keys.clone());
            canonical.feed(text.as_bytes());
            assert_eq!((canonical.is_whole(), canonical.has_required()), (true, has_all), "{text}");
        }
    }
}
