//! The members of a JSON object (RFC 8259, section 4) as positions in the text, so that single members can be added and
//! removed without a change to the other bytes.

use core::ops::Range;

use memchr::memchr2;

/// A member of an object, as positions in the text.
pub struct MemberRange {
    /// Position of the key's opening quote.
    pub start: usize,
    /// The key, without quotes.
    pub key: Range<usize>,
    /// The value, without blanks around it.
    pub value: Range<usize>,
}

impl MemberRange {
    /// Returns true if the member has this key, written without escapes.
    pub fn has_key(&self, json: &[u8], key: &[u8]) -> bool {
        json.get(self.key.clone()) == Some(key)
    }
}

/// Returns the value of the member with this key, or None if there is no such member. Returns an error if several
/// members have the key, or if any key has an escape.
pub fn find_value<'b>(members: &[MemberRange], json: &'b [u8], key: &[u8]) -> Result<Option<&'b [u8]>, ()> {
    let mut found = None;
    for member in members {
        let name = json.get(member.key.clone()).ok_or(())?;
        if name.contains(&b'\\') || name == key && found.is_some() {
            return Err(());
        }
        if name == key {
            found = json.get(member.value.clone());
        }
    }
    Ok(found)
}

/// Returns the members of an object. Returns None if `json` is not one object. Does not validate the members' values.
pub fn parse_members(json: &[u8]) -> Option<Vec<MemberRange>> {
    let mut at = after_byte(json, 0, b'{')?;
    let mut members = Vec::new();
    if let Some(end) = after_byte(json, at, b'}') {
        return (skip_blanks(json, end) == json.len()).then_some(members);
    }
    loop {
        let key = after_byte(json, at, b'"')?;
        let key = key..string_end(json, key)?;
        let start = skip_blanks(json, after_byte(json, key.end + 1, b':')?);
        let value = start..value_end(json, start)?;
        at = value.end;
        members.push(MemberRange { start: key.start - 1, key, value });
        match after_byte(json, at, b',') {
            Some(next) => at = next,
            None => return (skip_blanks(json, after_byte(json, at, b'}')?) == json.len()).then_some(members),
        }
    }
}

/// Returns the position of the first byte from `at` on that is not blank.
fn skip_blanks(json: &[u8], at: usize) -> usize {
    let rest = json.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// Returns the position after `byte`, which must follow at `at` or after blanks.
fn after_byte(json: &[u8], at: usize, byte: u8) -> Option<usize> {
    let at = skip_blanks(json, at);
    (json.get(at) == Some(&byte)).then_some(at + 1)
}

/// Returns the position of the closing quote of the string whose first byte is at `at`.
fn string_end(json: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// Returns the position after the value that begins at `start`.
fn value_end(json: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_u32);
    loop {
        match json.get(at)? {
            b'"' => {
                at = string_end(json, at + 1)? + 1;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth = depth.checked_add(1)?,
            b'}' | b']' if depth <= 1 => return Some(if depth == 1 { at + 1 } else { at }).filter(|end| *end > start),
            b'}' | b']' => depth -= 1,
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return Some(at).filter(|end| *end > start),
            _ => {}
        }
        at += 1;
    }
}
