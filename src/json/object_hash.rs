//! A hash of a JSON object, in pieces of any size. Neither the order of the object's members nor blanks outside of strings matter.
//!
//! It is a sum of the hashes of the members. It checks nothing: it is the same for some texts that are not JSON, which no program
//! writes. A text that does not begin as an object or an array is hashed as it is. An empty
//! text has the hash of an empty object.

use super::search::find_quote_or_backslash;
use crate::bytes::Digest;

/// Computes the hash of one text.
#[derive(Clone, Default)]
pub struct ObjectHash {
    state: ObjectHashState,
    /// The open member.
    member: Digest,
    /// Sum of the hashes of the members before.
    sum: u64,
    /// Number of open objects and arrays.
    depth: u32,
    is_array: bool,
}

/// The place of the next byte.
#[derive(Clone, Copy, Default, PartialEq)]
enum ObjectHashState {
    /// Nothing was read but blanks.
    #[default]
    Start,
    /// No object and no array.
    Plain,
    /// Outside of strings.
    Outside,
    String,
    /// After a backslash in a string.
    Escape,
}

impl ObjectHash {
    /// Adds a piece of the text.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                ObjectHashState::Plain => {
                    self.member.push(bytes);
                    &[]
                }
                ObjectHashState::String => self.read_string(bytes),
                ObjectHashState::Escape => {
                    self.member.push_byte(*byte);
                    self.state = ObjectHashState::String;
                    rest
                }
                _ if byte.is_ascii_whitespace() => rest,
                ObjectHashState::Start => {
                    let is_json = matches!(byte, b'{' | b'[');
                    self.state = if is_json { ObjectHashState::Outside } else { ObjectHashState::Plain };
                    self.is_array = *byte == b'[';
                    bytes
                }
                ObjectHashState::Outside => {
                    self.read_outside(*byte);
                    rest
                }
            };
        }
    }

    /// Reads the bytes of a string, and its closing quote. Returns the rest.
    fn read_string<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let end = find_quote_or_backslash(bytes).map_or(bytes.len(), |at| at + 1);
        let (inside, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        self.member.push(inside);
        match inside.last() {
            Some(b'"') => self.state = ObjectHashState::Outside,
            Some(b'\\') => self.state = ObjectHashState::Escape,
            _ => {}
        }
        rest
    }

    fn read_outside(&mut self, byte: u8) {
        match byte {
            b',' if self.depth == 1 && !self.is_array => {
                self.sum = self.sum.wrapping_add(core::mem::take(&mut self.member).finish());
                return;
            }
            b'"' => self.state = ObjectHashState::String,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        // The outermost brackets are no part of the first and the last member.
        let is_outermost = matches!((byte, self.depth), (b'{', 1) | (b'}', 0));
        if !is_outermost {
            self.member.push_byte(byte);
        }
    }

    /// Returns true if nothing was read but blanks.
    pub fn is_empty(&self) -> bool {
        self.state == ObjectHashState::Start
    }

    /// The hash of the text so far. It is not 0.
    pub fn finish(&self) -> u64 {
        // The factor makes an object differ from the text of its only member.
        let is_object = self.state != ObjectHashState::Plain && !self.is_array;
        let sum = self.sum.wrapping_add(self.member.finish());
        (if is_object { sum.wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { sum }).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> u64 {
        let mut whole = ObjectHash::default();
        whole.push(text.as_bytes());
        for size in 1..9 {
            let mut cut = ObjectHash::default();
            text.as_bytes().chunks(size).for_each(|piece| cut.push(piece));
            assert_eq!(cut.finish(), whole.finish(), "{size} {text}");
        }
        whole.finish()
    }

    #[test]
    fn blanks_and_the_order_of_members_do_not_matter() {
        let text = r#"{"a":1,"b":[true,{"c":"x, \"y"}],"d":"}"}"#;
        let other = " {\"d\" : \"}\",\n\"b\": [ true, {\"c\": \"x, \\\"y\"} ] , \"a\": 1}";
        assert_eq!(hash(text), hash(other));
        assert_eq!([hash("{ }"), hash("")], [hash("{}"); 2]);
    }

    #[test]
    fn different_values_have_different_hashes() {
        let texts = [
            "{}",
            "[]",
            "[[]]",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"b":1}"#,
            r#"{"a":"1"}"#,
            "[1,2]",
            "[2,1]",
            r#"{"a":{}}"#,
            r#"{"a":[]}"#,
            "1",
            "\"1\"",
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":" x"}"#,
            r#"{"a":"x"}"#,
            r#"{"a":"x\"y"}"#,
            r#"{"a":"x","y":1}"#,
            "\"a\":1",
            "ls -l",
            "ls  -l",
            "{\"a\":",
        ];
        let mut hashes: Vec<_> = texts.iter().map(|text| hash(text)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), texts.len());
    }
}
