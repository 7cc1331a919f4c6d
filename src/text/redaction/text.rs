//! Byte classes, word boundaries and anchors, as the recognisers need them.
//!
//! A byte after the end of the text or before its start reads as 0, which is in no class.

/// The byte at an offset; 0 outside of the text.
pub fn at(text: &[u8], offset: usize) -> u8 {
    text.get(offset).copied().unwrap_or(0)
}

/// The byte before an offset; 0 at the start of the text.
pub fn before(text: &[u8], offset: usize) -> u8 {
    offset.checked_sub(1).map_or(0, |offset| at(text, offset))
}

/// Returns true if the text continues with `word` at an offset.
pub fn continues(text: &[u8], offset: usize, word: &[u8]) -> bool {
    text.get(offset..).is_some_and(|rest| rest.starts_with(word))
}

/// `[A-Za-z0-9_]`, the class of `\w` and of `\b`. ASCII only.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns true if a word may start at an offset: `\b` before a word character.
pub fn starts_word(text: &[u8], offset: usize) -> bool {
    !is_word(before(text, offset))
}

/// Returns true if `\b` matches at an offset.
pub fn is_boundary(text: &[u8], offset: usize) -> bool {
    is_word(before(text, offset)) != is_word(at(text, offset))
}

/// The end of the longest run of a class that starts at an offset.
pub fn run(text: &[u8], offset: usize, class: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(offset..).unwrap_or_default();
    offset + rest.iter().position(|byte| !class(*byte)).unwrap_or(rest.len())
}

/// The start of the longest run of a class that ends at an offset and does not start before `from`.
pub fn run_back(text: &[u8], from: usize, offset: usize, class: impl Fn(u8) -> bool) -> usize {
    let head = text.get(from..offset).unwrap_or_default();
    from + head.iter().rposition(|byte| !class(*byte)).map_or(0, |last| last + 1)
}

/// The offset of the first byte of a class at or after an offset.
pub fn seek(text: &[u8], offset: usize, class: impl Fn(u8) -> bool) -> Option<usize> {
    Some(offset + text.get(offset..)?.iter().position(|byte| class(*byte))?)
}

/// The offset of the first `byte` at or after an offset.
pub fn seek_byte(text: &[u8], offset: usize, byte: u8) -> Option<usize> {
    Some(offset + memchr::memchr(byte, text.get(offset..)?)?)
}

/// The offset of the first of two bytes at or after an offset.
pub fn seek_either(text: &[u8], offset: usize, one: u8, other: u8) -> Option<usize> {
    Some(offset + memchr::memchr2(one, other, text.get(offset..)?)?)
}
