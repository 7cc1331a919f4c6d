//! The recogniser of e-mail addresses, also internationalised ones (RFC 6531).
//!
//! It returns the leftmost match that starts at or after `from`. Bound: no byte is read for more than two `@`.

use std::ops::Range;

use super::text::{at, before, character, is_word, run, run_back, seek_byte};

/// `L+@D+(?:SD+)+` with
/// - L: `[A-Za-z0-9._%+-]` or a letter beyond ASCII;
/// - D: `[A-Za-z0-9-]` or a letter beyond ASCII;
/// - S: `.`; before the first one also the other full stops of RFC 3490, `。`, `．` and `｡`. Later ones end a sentence.
///
/// A letter beyond ASCII may be written as `\uXXXX`.
pub fn email(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let sign = seek_byte(text, next, b'@')?;
        // Neither part has a second `@`.
        let start = local_start(text, next, sign);
        next = sign + 1;
        let first = label_end(text, next);
        if start == sign || first == next {
            continue;
        }
        let mut end = first;
        loop {
            let stop = stop(text, end, end == first);
            let label = label_end(text, end + stop);
            if stop == 0 || label == end + stop {
                break;
            }
            end = label;
        }
        if end > first {
            return Some(start..end);
        }
    }
}

/// The start of the local part that ends at an offset and does not start before `from`.
fn local_start(text: &[u8], from: usize, end: usize) -> usize {
    let mut start = end;
    loop {
        start = run_back(text, from, start, |byte| is_word(byte) || matches!(byte, b'.' | b'%' | b'+' | b'-'));
        if before(text, start) == b'\\' && start > from {
            // An escape sequence, of which the digits were read: `\uXXXX` belongs to the address, `\n` does not.
            match character(text, start - 1) {
                Some((letter, 6)) if is_letter(letter) => start -= 1,
                Some((_, 6)) => return (start + 5).min(end),
                _ if at(text, start).is_ascii_lowercase() && start < end => return start + 1,
                _ => return start,
            }
        } else if before(text, start) >= 0x80 {
            let back = (1..=4)
                .filter_map(|back| start.checked_sub(back))
                .find(|at| text.get(*at).is_some_and(|b| b & 0xc0 != 0x80));
            match back.filter(|back| *back >= from).map(|back| (back, character(text, back))) {
                Some((back, Some((letter, _)))) if is_letter(letter) => start = back,
                _ => return start,
            }
        } else {
            return start;
        }
    }
}

/// The end of the longest run of D at an offset.
fn label_end(text: &[u8], offset: usize) -> usize {
    let mut end = offset;
    loop {
        end = run(text, end, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        match character(text, end) {
            Some((letter, length)) if is_letter(letter) => end += length,
            _ => return end,
        }
    }
}

/// The length of S at an offset; 0 if there is none.
fn stop(text: &[u8], offset: usize, is_first: bool) -> usize {
    match character(text, offset) {
        Some(('.', length)) => length,
        Some(('\u{3002}' | '\u{ff0e}' | '\u{ff61}', length)) if is_first => length,
        _ => 0,
    }
}

/// Returns true for characters beyond ASCII, except spaces, punctuation and symbols.
fn is_letter(character: char) -> bool {
    character >= '\u{aa}'
        && !matches!(
            character,
            '\u{ab}'..='\u{b4}'
                | '\u{b6}'..='\u{b9}'
                | '\u{bb}'..='\u{bf}'
                | '\u{2000}'..='\u{200b}'
                | '\u{200e}'..='\u{2069}'
                | '\u{20a0}'..='\u{20cf}'
                | '\u{2190}'..='\u{2bff}'
                | '\u{3000}'..='\u{3004}'
                | '\u{3008}'..='\u{3020}'
                | '\u{fe10}'..='\u{fe1f}'
                | '\u{fe30}'..='\u{fe6f}'
                | '\u{feff}'..='\u{ff0f}'
                | '\u{ff1a}'..='\u{ff20}'
                | '\u{ff3b}'..='\u{ff40}'
                | '\u{ff5b}'..='\u{ff65}'
                | '\u{ffe0}'..='\u{ffff}'
        )
}
