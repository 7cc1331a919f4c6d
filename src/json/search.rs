//! Finding one's way in bytes: where strings end, and whether two pieces are the same. Eight bytes at a time or by vectors, as
//! measured in V8; what is compared by the compiler's own means goes byte by byte there.

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

/// A short string without an escape, and what follows its quote: keys are too short for a vector search to pay.
pub fn short_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().take(32).position(|b| matches!(b, b'"' | b'\\'))?;
    let (string, rest) = bytes.split_at_checked(end)?;
    Some((string, rest.strip_prefix(b"\"")?))
}

/// The string that begins here, with its quote, where it is whole and has no control character, and what follows.
pub fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let near = special(bytes)?;
    let end = if bytes.get(near) == Some(&b'"') { near } else { closing(bytes)? };
    let (text, rest) = bytes.split_at_checked(end + 1)?;
    let (words, few) = text.as_chunks::<8>();
    let controls = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        word.wrapping_sub(ONES * b' ' as u64) & !word & HIGHS != 0
    };
    let clean = !words.iter().any(controls) && few.iter().all(|byte| *byte >= b' ');
    clean.then_some((text, rest))
}

/// Where the quote is that ends the string. Backslashes are not looked for: whether one stands for itself tells their number before it.
pub fn closing(bytes: &[u8]) -> Option<usize> {
    memchr_iter(b'"', bytes).find(|at| bytes.get(..*at).is_some_and(|before| slashes(before).is_multiple_of(2)))
}

/// Backslashes at the end.
pub fn slashes(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| **byte == b'\\').count()
}

/// What follows `beginning`, if `bytes` begin so.
#[inline]
pub fn behind<'b>(beginning: &[u8], bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (bytes, rest) = bytes.split_at_checked(beginning.len())?;
    let (left, few) = beginning.as_chunks::<BLOCK>();
    let (right, as_few) = bytes.as_chunks::<BLOCK>();
    let (few, as_few) = (few.as_chunks().0, as_few.as_chunks().0);
    // What is less than a word is compared again with the bytes before it, if there are any.
    let ends = match (beginning.last_chunk(), bytes.last_chunk()) {
        (Some(a), Some(b)) => differ(a, b) == 0,
        _ => beginning == bytes,
    };
    let same = ends
        && left.iter().zip(right).all(|(a, b)| words(a.as_chunks().0, b.as_chunks().0) == 0)
        && words(few, as_few) == 0;
    same.then_some(rest)
}

/// Bytes compared between two branches.
const BLOCK: usize = 32;

#[inline(always)]
fn words(left: &[[u8; 8]], right: &[[u8; 8]]) -> u64 {
    left.iter().zip(right).fold(0, |all, (a, b)| all | differ(a, b))
}

fn differ(a: &[u8; 8], b: &[u8; 8]) -> u64 {
    u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)
}

/// Bytes of numbers, `true`, `false` and `null`.
pub const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Bytes searched a word at a time.
const NEAR: usize = 32;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
