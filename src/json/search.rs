//! Searches in bytes: where strings and words end. They read eight bytes at a time or use vectors, as measured in V8.

use memchr::{memchr_iter, memchr2};

/// Where the next quote or backslash is. Most are near, and for those a search of vectors takes longer to begin than to end.
#[inline]
pub fn special(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < NEAR {
        let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
        let word = u64::from_le_bytes(*word);
        // A byte that is equal is 0 here, and the lowest that borrows from its high bit is such a one.
        let (quote, slash) = (word ^ (ONES * b'"' as u64), word ^ (ONES * b'\\' as u64));
        let equal = (quote.wrapping_sub(ONES) & !quote | slash.wrapping_sub(ONES) & !slash) & HIGHS;
        if equal != 0 {
            return Some(at + (equal.trailing_zeros() / 8) as usize);
        }
        at += word.to_le_bytes().len();
    }
    memchr2(b'"', b'\\', bytes.get(at..)?).map(|found| at + found)
}

/// The string that begins here, where it is whole in this piece and without an escape, and what follows its quote.
pub fn whole_string(at_start: bool, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if !at_start {
        return None;
    }
    let (string, rest) = bytes.split_at_checked(special(bytes)?)?;
    Some((string, rest.strip_prefix(b"\"")?))
}

/// Where the quote is that ends the string. Backslashes are not looked for: whether one stands for itself tells their number before it.
pub fn closing(bytes: &[u8]) -> Option<usize> {
    memchr_iter(b'"', bytes).find(|at| bytes.get(..*at).is_some_and(|before| slashes(before).is_multiple_of(2)))
}

/// Backslashes at the end.
pub fn slashes(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| **byte == b'\\').count()
}

/// Whether the byte can be part of a number, `true`, `false` or `null`.
pub const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Bytes searched a word at a time.
const NEAR: usize = 32;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
