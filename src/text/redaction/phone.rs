//! The recogniser of telephone numbers.
//!
//! It returns the leftmost match that starts at or after `from`. Bound: numbers are short, so that a start costs a constant
//! number of reads.

use std::ops::Range;

use super::text::{at, continues, escape_around, is_digit, may_end, may_start, run, seek, separator};

/// A number with a country's code, or with an area code or groups. `^` stands for [`may_start`], `$` for [`may_end`], `S` for a
/// [`separator`], `P` for `S|[./]`:
/// - `(?:\+|^00)[1-9][0-9]*\)?(?:(?:P|S[/-]S)?\(?[0-9]+\)?)*$` with 8 to 15 digits after `+` or `00` (ITU-T E.164), as many as
///   possible, and something that groups them after `00`;
/// - `(?:\([0-9]{2,5}\)|\(0\)|^0[0-9]{1,4}|^[0-9]{3})(?:P?\(?[0-9]{2,5}\)?){2,4}$`, if [`is_phone`].
pub fn phone(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let start = seek(text, next, |byte| matches!(byte, b'0'..=b'9' | b'+' | b'('))?;
        if let Some(end) = escape_around(text, start) {
            // The digit belongs to an escape sequence. The next character may start a number.
            next = end;
            continue;
        }
        if matches!(at(text, start), b'+' | b'0')
            && let Some(end) = international(text, start)
        {
            return Some(start..end);
        }
        next = if is_digit(at(text, start)) { run(text, start, is_digit) } else { start + 1 };
        if let Some(end) = (National { text, start, failed: [0; 5] }).end() {
            if is_phone(text.get(start..end).unwrap_or_default()) {
                return Some(start..end);
            }
            next = end;
        }
    }
}

/// The end of the number with a country's code at an offset.
#[inline(never)]
fn international(text: &[u8], start: usize) -> Option<usize> {
    let plus = at(text, start) == b'+';
    let first = start + if plus { 1 } else { 2 };
    let has_prefix = plus || continues(text, start, b"00") && may_start(text, start);
    if !has_prefix || !matches!(at(text, first), b'1'..=b'9') {
        return None;
    }
    let (mut next, mut count, mut groups, mut last) = (first, 0, 0, None);
    loop {
        let open = next + usize::from(groups > 0 && at(text, next) == b'(');
        let end = run(text.get(..open + 16).unwrap_or(text), open, is_digit);
        count += end - open;
        groups += 1;
        if end == open || count > 15 {
            return last;
        }
        next = end + usize::from(at(text, end) == b')');
        if count >= 8 && (plus || groups > 1) {
            last = [next, end].into_iter().find(|end| may_end(text, *end)).or(last);
        }
        next += gap(text, next);
    }
}

/// The length of what separates two groups of an international number: `P|S[/-]S`, where the inner sign may be any [`separator`].
fn gap(text: &[u8], offset: usize) -> usize {
    let first = pause(text, offset);
    let second = if at(text, offset) == b' ' { pause(text, offset + first) } else { 0 };
    if second > 0 && at(text, offset + first + second) == b' ' { first + second + 1 } else { first }
}

/// The length of `P` at an offset; 0 if there is none.
fn pause(text: &[u8], offset: usize) -> usize {
    if matches!(at(text, offset), b'.' | b'/') { 1 } else { separator(text, offset) }
}

/// One attempt at a number without a country's code.
struct National<'a> {
    text: &'a [u8],
    start: usize,
    /// For each number of groups read, the offsets from `start` where the rest is known not to match; offsets of 64 and more
    /// are not recorded, which only escape sequences reach. With this record each group is tried once at each offset, although
    /// the pattern is ambiguous.
    failed: [u64; 5],
}

impl National<'_> {
    /// The end of the match at `start`. The alternatives and their lengths are tried in the order of the pattern.
    fn end(&mut self) -> Option<usize> {
        let (text, start) = (self.text, self.start);
        let digits = |offset| run(text.get(..offset + 5).unwrap_or(text), offset, is_digit) - offset;
        let first = at(text, start);
        if first == b'(' {
            let count = digits(start + 1);
            let closed = at(text, start + 1 + count) == b')' && (count >= 2 || at(text, start + 1) == b'0');
            return closed.then(|| self.groups(0, start + count + 2)).flatten();
        }
        if !is_digit(first) || !may_start(text, start) {
            return None;
        }
        let count = digits(start);
        let area = (first == b'0').then(|| self.longest(start, 2, count)).flatten();
        area.or_else(|| self.longest(start, 3, count.min(3)))
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
        (count >= 2 && may_end(self.text, offset)).then_some(offset)
    }

    /// The end of the match whose next group starts at an offset.
    fn group(&mut self, count: usize, offset: usize) -> Option<usize> {
        let text = self.text;
        let bracket = offset + pause(text, offset);
        let first = bracket + usize::from(at(text, bracket) == b'(');
        let most = run(text.get(..first + 5).unwrap_or(text), first, is_digit);
        (first + 2..=most).rev().find_map(|end| {
            let closed = (at(text, end) == b')').then(|| self.groups(count + 1, end + 1)).flatten();
            closed.or_else(|| self.groups(count + 1, end))
        })
    }
}

/// Has as many digits as telephone numbers have, and a character that groups them.
fn is_phone(text: &[u8]) -> bool {
    let count = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    (8..=15).contains(&count) && count < text.iter().filter(|byte| **byte != b')').count()
}
