//! Byte classes, boundaries and anchors, as the recognisers need them.
//!
//! A byte after the end of the text or before its start reads as 0, which is in no class. Captured text often holds JSON, URLs
//! and output of terminals, so that escape sequences count as boundaries and as separators.

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

/// `[A-Za-z0-9_]`
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// `[0-9]`
pub fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// Returns true if a match may start at an offset: no letter or digit is before it, or one that belongs to an escape sequence.
pub fn may_start(text: &[u8], offset: usize) -> bool {
    !before(text, offset).is_ascii_alphanumeric() || ends_escape(text, offset)
}

/// Returns true if a match may end at an offset: no letter or digit follows.
pub fn may_end(text: &[u8], offset: usize) -> bool {
    !at(text, offset).is_ascii_alphanumeric()
}

/// Returns true if one of these ends at an offset: `\n` and other escapes of one letter, `\xXX`, `\uXXXX`, `%XX`, and a
/// terminal's `[31m` or `[1;31m`.
#[inline(never)]
fn ends_escape(text: &[u8], offset: usize) -> bool {
    // Nearly all letters before an offset belong to words.
    let near = text.get(offset.saturating_sub(10)..offset).unwrap_or_default();
    if !near.iter().fold(false, |found, byte| found | matches!(byte, b'\\' | b'%' | b'[')) {
        return false;
    }
    let short = matches!(before(text, offset), b'a' | b'b' | b'e' | b'f' | b'n' | b'r' | b't' | b'v' | b'0')
        && offset.checked_sub(2).is_some_and(|start| at(text, start) == b'\\');
    short || escape_to(text, offset) == Some(offset) || ends_colour(text, offset)
}

/// Returns true if `[0-9;]*m` after a bracket ends at an offset.
fn ends_colour(text: &[u8], offset: usize) -> bool {
    let Some(end) = offset.checked_sub(1).filter(|end| at(text, *end) == b'm') else { return false };
    let start = run_back(text, end.saturating_sub(8), end, |byte| is_digit(byte) || byte == b';');
    before(text, start) == b'['
}

/// The end of the `\xXX`, `\uXXXX` or `%XX` that starts before an offset and reaches further.
pub fn escape_around(text: &[u8], offset: usize) -> Option<usize> {
    let last = before(text, offset);
    let near = text.get(offset.saturating_sub(6)..offset).unwrap_or_default();
    if !(last.is_ascii_alphanumeric() || last == b'%')
        || !near.iter().fold(false, |found, byte| found | matches!(byte, b'\\' | b'%'))
    {
        return None;
    }
    escape_to(text, offset).filter(|end| *end > offset)
}

/// The end of the `\xXX`, `\uXXXX` or `%XX` that starts before an offset and reaches to it or further.
fn escape_to(text: &[u8], offset: usize) -> Option<usize> {
    let starts = (1..=6).filter_map(|back| offset.checked_sub(back));
    starts.filter_map(|start| escape(text, start)).find(|end| *end >= offset)
}

/// The end of the `\xXX`, `\uXXXX` or `%XX` at an offset.
fn escape(text: &[u8], start: usize) -> Option<usize> {
    let (digits, count) = match (at(text, start), at(text, start + 1)) {
        (b'%', _) => (start + 1, 2),
        (b'\\', b'x') => (start + 2, 2),
        (b'\\', b'u') => (start + 2, 4),
        _ => return None,
    };
    let hex = text.get(digits..digits + count)?;
    hex.iter().all(u8::is_ascii_hexdigit).then_some(digits + count)
}

/// The character at an offset and its length in bytes, also if it is written as `\uXXXX`. None at the end of the text.
pub fn character(text: &[u8], offset: usize) -> Option<(char, usize)> {
    let first = at(text, offset);
    if first == b'\\' && at(text, offset + 1) == b'u' {
        let hex = std::str::from_utf8(text.get(offset + 2..offset + 6)?).ok()?;
        let code = u32::from_str_radix(hex, 16).ok()?;
        return Some((char::from_u32(code).unwrap_or('\u{fffd}'), 6));
    }
    let length = match first {
        0..0x80 => return (offset < text.len()).then_some((char::from(first), 1)),
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    let bytes = text.get(offset..offset + length)?;
    std::str::from_utf8(bytes).ok()?.chars().next().map(|character| (character, length))
}

/// The length of the separator of groups of digits at an offset: a space or a dash of any kind, also an invisible one and one
/// in an escape sequence. 0 if there is none.
#[inline]
pub fn separator(text: &[u8], offset: usize) -> usize {
    match at(text, offset) {
        b' ' | b'-' => 1,
        b'\\' | b'%' | b'&' | 0x80.. => rare_separator(text, offset),
        _ => 0,
    }
}

#[inline(never)]
fn rare_separator(text: &[u8], offset: usize) -> usize {
    match character(text, offset) {
        Some((found, length)) if is_separator(found) => length,
        _ if continues(text, offset, b"%20") => 3,
        _ if continues(text, offset, b"%C2%A0") || continues(text, offset, b"&nbsp;") => 6,
        _ => 0,
    }
}

/// Spaces, dashes and invisible characters of Unicode.
fn is_separator(character: char) -> bool {
    matches!(
        character,
        '\u{a0}' | '\u{ad}' | '\u{2000}'
            ..='\u{2015}' | '\u{202f}' | '\u{205f}' | '\u{2060}' | '\u{2212}' | '\u{3000}' | '\u{feff}'
    )
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

/// The offset of the first byte of a class at or after an offset. After a few bytes the class is tested for 16 bytes at a time,
/// which compiles to vector instructions if it is simple.
pub fn seek(text: &[u8], offset: usize, class: impl Fn(u8) -> bool) -> Option<usize> {
    let rest = text.get(offset..)?;
    let near = rest.get(..8).unwrap_or(rest);
    if let Some(found) = near.iter().position(|byte| class(*byte)) {
        return Some(offset + found);
    }
    let (blocks, _) = rest.as_chunks::<16>();
    let none = |block: &&[u8; 16]| !block.iter().fold(false, |found, byte| found | class(*byte));
    let passed = 16 * blocks.iter().take_while(none).count();
    Some(offset + passed + rest.get(passed..)?.iter().position(|byte| class(*byte))?)
}

/// The offset of the first `byte` at or after an offset.
pub fn seek_byte(text: &[u8], offset: usize, byte: u8) -> Option<usize> {
    Some(offset + memchr::memchr(byte, text.get(offset..)?)?)
}

/// The offset of the first of two bytes at or after an offset.
pub fn seek_either(text: &[u8], offset: usize, one: u8, other: u8) -> Option<usize> {
    Some(offset + memchr::memchr2(one, other, text.get(offset..)?)?)
}

/// The offset of the first of three bytes at or after an offset.
pub fn seek_any(text: &[u8], offset: usize, [one, two, three]: [u8; 3]) -> Option<usize> {
    Some(offset + memchr::memchr3(one, two, three, text.get(offset..)?)?)
}
