//! Recognisers of e-mail addresses and of the numbers of accounts, cards and telephones, each for the pattern in its
//! documentation.
//!
//! Each returns the leftmost match that starts at or after `from`; [`is_iban`], [`is_card`] and [`is_phone`] then decide
//! whether it is redacted. Bound: all numbers are short, so that a start costs a constant number of reads.

use std::ops::Range;

use super::text::{at, is_boundary, is_word, run, run_back, seek, seek_byte, starts_word};

/// `[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`
pub fn email(text: &[u8], from: usize) -> Option<Range<usize>> {
    let in_local = |byte| is_word(byte) || matches!(byte, b'.' | b'%' | b'+' | b'-');
    let in_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let mut next = from;
    loop {
        let sign = seek_byte(text, next, b'@')?;
        // Neither part has a second `@`, so that no byte is read for more than two of them.
        let start = run_back(text, next, sign, in_local);
        next = sign + 1;
        let label = run(text, next, in_label);
        if start == sign || label == next {
            continue;
        }
        let mut end = label;
        while at(text, end) == b'.' && in_label(at(text, end + 1)) {
            end = run(text, end + 1, in_label);
        }
        if end > label {
            return Some(start..end);
        }
    }
}

/// `\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b`
pub fn iban(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let start = seek(text, next, |byte| byte.is_ascii_uppercase())?;
        next = start + 1;
        let Some([b'A'..=b'Z', b'0'..=b'9', b'0'..=b'9']) = text.get(next..next + 3) else { continue };
        if starts_word(text, start) {
            let in_body = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            if let Some(end) = units(text, start + 4, (11, 30), |byte| byte == b' ', in_body) {
                return Some(start..end);
            }
        }
    }
}

/// `\b[0-9](?:[ -]?[0-9]){12,18}\b`
pub fn card(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let start = seek(text, next, |byte| byte.is_ascii_digit())?;
        next = start + 1;
        if starts_word(text, start) {
            let separates = |byte| matches!(byte, b' ' | b'-');
            if let Some(end) = units(text, next, (12, 18), separates, |byte| byte.is_ascii_digit()) {
                return Some(start..end);
            }
        } else {
            // No number starts inside of a run of digits.
            next = run(text, next, |byte| byte.is_ascii_digit());
        }
    }
}

/// The end of as many units as possible that end with a word, where a unit is a character with or without a separator
/// before it. None if there are fewer than `least`.
fn units(
    text: &[u8],
    offset: usize,
    (least, most): (usize, usize),
    separates: impl Fn(u8) -> bool,
    class: impl Fn(u8) -> bool,
) -> Option<usize> {
    let (mut end, mut last) = (offset, None);
    for count in 1..=most {
        let character = end + usize::from(separates(at(text, end)));
        if !class(at(text, character)) {
            break;
        }
        end = character + 1;
        if count >= least && !is_word(at(text, end)) {
            last = Some(end);
        }
    }
    last
}

/// A number with a country's code, an area code in brackets or groups:
/// `(?:\+[0-9]{1,3}|\b00[1-9][0-9]{0,2}|\([0-9]{2,5}\)|\b0[0-9]{1,4}|\b[0-9]{3})(?:[ ./-]?\(?[0-9]{2,5}\)?){2,4}\b`
pub fn phone(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let start = seek(text, next, |byte| matches!(byte, b'0'..=b'9' | b'+' | b'('))?;
        if let Some(end) = (Phone { text, start, failed: [0; 5] }).end() {
            return Some(start..end);
        }
        next = if is_digit(at(text, start)) { run(text, start, is_digit) } else { start + 1 };
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// One attempt at a telephone number.
struct Phone<'a> {
    text: &'a [u8],
    start: usize,
    /// For each number of groups read, the offsets from `start` where the rest is known not to match. A number has at most
    /// 39 bytes. With this record each group is tried once at each offset, although the pattern is ambiguous.
    failed: [u64; 5],
}

impl Phone<'_> {
    /// The end of the match at `start`. The alternatives and their lengths are tried in the order of the pattern.
    fn end(&mut self) -> Option<usize> {
        let (text, start) = (self.text, self.start);
        let digits = |offset| run(text.get(..offset + 5).unwrap_or(text), offset, is_digit) - offset;
        let first = at(text, start);
        if first == b'+' {
            return self.longest(start + 1, 1, digits(start + 1).min(3));
        }
        if first == b'(' {
            let count = digits(start + 1);
            let closed = count >= 2 && at(text, start + 1 + count) == b')';
            return closed.then(|| self.groups(0, start + count + 2)).flatten();
        }
        if !starts_word(text, start) {
            return None;
        }
        let count = digits(start);
        let international = first == b'0' && at(text, start + 1) == b'0' && matches!(at(text, start + 2), b'1'..=b'9');
        international
            .then(|| self.longest(start, 3, count))
            .flatten()
            .or_else(|| (first == b'0').then(|| self.longest(start, 2, count)).flatten())
            .or_else(|| self.longest(start, 3, count.min(3)))
    }

    /// The end of the match after a prefix of `most` to `least` bytes.
    fn longest(&mut self, offset: usize, least: usize, most: usize) -> Option<usize> {
        (least..=most).rev().find_map(|count| self.groups(0, offset + count))
    }

    /// The end of the match after `count` groups.
    fn groups(&mut self, count: usize, offset: usize) -> Option<usize> {
        let mark = 1_u64.checked_shl((offset - self.start) as u32).unwrap_or(0);
        let failed = self.failed.get_mut(count)?;
        if *failed & mark != 0 {
            return None;
        }
        *failed |= mark;
        if count < 4
            && let Some(end) = self.group(count, offset)
        {
            return Some(end);
        }
        (count >= 2 && is_boundary(self.text, offset)).then_some(offset)
    }

    /// The end of the match whose next group starts at an offset.
    fn group(&mut self, count: usize, offset: usize) -> Option<usize> {
        let text = self.text;
        let bracket = offset + usize::from(matches!(at(text, offset), b' ' | b'.' | b'/' | b'-'));
        let first = bracket + usize::from(at(text, bracket) == b'(');
        let most = run(text.get(..first + 5).unwrap_or(text), first, is_digit);
        (first + 2..=most).rev().find_map(|end| {
            let closed = (at(text, end) == b')').then(|| self.groups(count + 1, end + 1)).flatten();
            closed.or_else(|| self.groups(count + 1, end))
        })
    }
}

fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> {
    text.chars().filter_map(|c| c.to_digit(10))
}

/// Luhn's checksum (ISO/IEC 7812-1). False if all digits are 0.
pub fn is_card(text: &str) -> bool {
    let sum: u32 = digits(text)
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit * 2) {
            (0, _) => digit,
            (_, twice) => twice / 10 + twice % 10,
        })
        .sum();
    sum.is_multiple_of(10) && digits(text).any(|digit| digit > 0)
}

/// The check digits of ISO 13616: the number, with its first four characters moved to the end and its letters read as 10 to
/// 35, is 1 modulo 97.
pub fn is_iban(text: &str) -> bool {
    let compact = || text.chars().filter(|c| *c != ' ');
    let rest = compact().skip(4).chain(compact().take(4)).try_fold(0_u32, |rest, c| {
        let digit = c.to_digit(36)?;
        Some((rest * if digit > 9 { 100 } else { 10 } + digit) % 97)
    });
    (15..=34).contains(&compact().count()) && rest == Some(1)
}

/// Has as many digits as telephone numbers have (ITU-T E.164), and a character that groups them.
pub fn is_phone(text: &str) -> bool {
    let count = digits(text).count();
    let grouped = text.contains([' ', '.', '/', '-', '(', '+']);
    (8..=15).contains(&count) && grouped
}
