//! Searches for the end of strings and literals. They read eight bytes at a time or use vector instructions; the choice
//! was measured in V8.

use memchr::{memchr_iter, memchr2};

/// Number of bytes that are searched a word at a time, before the search with vector instructions starts.
const NEAR: usize = 32;
/// The lowest bit of each byte of a word.
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte of a word.
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Returns the position of the first quote or backslash.
///
/// Most are near. For these, a search of 8 bytes at a time is faster than the start of a vector search.
#[inline]
pub fn find_quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < NEAR {
        let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
        let word = u64::from_le_bytes(*word);
        // A byte that matches becomes 0. The subtraction borrows from its high bit; the lowest such bit is always a
        // match.
        let (quote, backslash) = (word ^ (LOW_BITS * b'"' as u64), word ^ (LOW_BITS * b'\\' as u64));
        let matches =
            (quote.wrapping_sub(LOW_BITS) & !quote | backslash.wrapping_sub(LOW_BITS) & !backslash) & HIGH_BITS;
        if matches != 0 {
            return Some(at + (matches.trailing_zeros() / 8) as usize);
        }
        at += word.to_le_bytes().len();
    }
    memchr2(b'"', b'\\', bytes.get(at..)?).map(|found| at + found)
}

/// Returns the string that starts at `bytes` (after its opening quote) and the bytes after its closing quote. Returns
/// None if the string does not end in `bytes` or contains an escape.
pub fn plain_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (string, rest) = bytes.split_at_checked(find_quote_or_backslash(bytes)?)?;
    Some((string, rest.strip_prefix(b"\"")?))
}

/// Returns the position of the quote that closes the string. A quote is escaped if the number of backslashes before it
/// is odd.
pub fn find_closing_quote(bytes: &[u8]) -> Option<usize> {
    memchr_iter(b'"', bytes)
        .find(|at| bytes.get(..*at).is_some_and(|before| trailing_backslashes(before).is_multiple_of(2)))
}

/// Returns the number of backslashes at the end of `bytes`.
pub fn trailing_backslashes(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| **byte == b'\\').count()
}

/// Returns true if the byte can be part of a number, `true`, `false` or `null`.
pub const fn is_literal_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_quote_or_backslash_is_found_at_any_position_and_next_to_similar_bytes() {
        for length in 0..80 {
            for at in 0..length {
                for byte in *b"\"\\" {
                    let mut bytes = vec![b'#'; length];
                    bytes.iter_mut().skip(at + 1).for_each(|after| *after = b'!');
                    bytes[at] = byte;
                    assert_eq!(find_quote_or_backslash(&bytes), Some(at), "{length} bytes");
                }
            }
            assert_eq!(find_quote_or_backslash(&vec![0xa2; length]), None, "{length} bytes");
        }
    }

    #[test]
    fn a_quote_closes_a_string_after_an_even_number_of_backslashes() {
        assert_eq!(find_closing_quote(br#"a\"b\\""#), Some(6));
        assert_eq!(find_closing_quote(br#"\\\""#), None);
        assert_eq!(plain_string(br#"ab"c"#), Some((&b"ab"[..], &b"c"[..])));
        assert_eq!(plain_string(br#"a\nb"c"#), None);
    }
}
