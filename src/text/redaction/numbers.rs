//! Recognisers of the numbers of accounts and cards. A number is recognised by its check digits, also if other numbers or words
//! follow it or stand before it.
//!
//! Each returns the leftmost match that starts at or after `from`, with as many characters as possible. In the patterns, `S` is a
//! [`separator`]. A match lies between [`may_start`] and [`may_end`]. Bound: numbers are short, so that a start costs a
//! constant number of reads.

use std::ops::Range;

use super::text::{at, before, escape_around, is_digit, may_end, may_start, run, seek, separator};

/// The length of an account's number by country: the registry of ISO 13616, and countries outside of it that use the format.
const LENGTHS: &str = "AD24AE23AL28AO25AT20AZ28BA20BE16BF28BG22BH22BI27BJ28BR29BY28CF27CG27CH21CI28CM27CR22CV25CY28CZ24DE22DJ27DK18\
    DO28DZ26EE20EG29ES24FI18FK18FO18FR27GA27GB22GE22GI23GL18GQ27GR27GT28GW25HN28HR21HU28IE22IL23IQ23IR26IS26IT27JO30KM27KW30\
    KZ20LB28LC32LI21LT20LU20LV21LY25MA28MC27MD24ME22MG27MK19ML28MN20MR27MT31MU30MZ25NE28NI28NL18NO15OM23PK24PL28PS29PT25QA29\
    RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SN28SO23ST25SV28TD27TG28TL23TN24TR26UA29VA22VG24XK20YE30";

/// A number of an account: `(?i)[A-Z]{2}[0-9]{2}(?:S?[A-Z0-9]){11,30}`, of the country's length and with the check digits of ISO
/// 13616: the number, with its first four characters moved to the end and its letters read as 10 to 35, is 1 modulo 97.
pub fn iban(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let digit = seek(text, next, is_digit)?;
        next = digit + 1;
        // Most digits follow a digit or stand alone.
        if !before(text, digit).is_ascii_alphabetic() || !is_digit(at(text, next)) {
            continue;
        }
        let Some(start) = digit.checked_sub(2).filter(|start| *start >= from) else { continue };
        let (Some(first), Some(second)) = (letter(at(text, start)), letter(at(text, start + 1))) else { continue };
        if !may_start(text, start) {
            continue;
        }
        let Some(length) = length(first, second) else { continue };
        let check = u32::from(at(text, digit) - b'0') * 10 + u32::from(at(text, digit + 1) - b'0');
        let head = (first * 100 + second) * 100 + check;
        if let Some((end, rest)) = account(text, digit + 2, length - 4)
            && (rest * 1_000_000 + head) % 97 == 1
        {
            return Some(start..end);
        }
    }
}

/// The value of a letter in an account's number: 10 to 35.
fn letter(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(36).filter(|value| *value > 9)
}

/// The number of characters of a country's account numbers.
fn length(first: u32, second: u32) -> Option<usize> {
    let rows = LENGTHS.as_bytes().chunks_exact(4);
    let mut rows = rows.filter_map(|row| <[u8; 4]>::try_from(row).ok());
    let [_, _, tens, ones] = rows.find(|[a, b, ..]| letter(*a) == Some(first) && letter(*b) == Some(second))?;
    Some(usize::from(tens - b'0') * 10 + usize::from(ones - b'0'))
}

/// The end of `count` letters and digits with separators, and their value modulo 97.
fn account(text: &[u8], offset: usize, count: usize) -> Option<(usize, u32)> {
    let (mut end, mut rest) = (offset, 0);
    for _ in 0..count {
        end += separator(text, end);
        let value = char::from(at(text, end)).to_digit(36)?;
        rest = (rest * if value > 9 { 100 } else { 10 } + value) % 97;
        end += 1;
    }
    may_end(text, end).then_some((end, rest))
}

/// A number of a card: `[0-9](?:S?[0-9]){12,18}` with Luhn's checksum (ISO/IEC 7812-1), not all zeros.
pub fn card(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut next = from;
    loop {
        let start = seek(text, next, is_digit)?;
        next = run(text, start, is_digit);
        if let Some(end) = escape_around(text, start) {
            // The digit belongs to an escape sequence. The next character may start a number.
            next = end;
        } else if may_start(text, start) {
            let (found, count, end) = card_end(text, start);
            if let Some(end) = found {
                return Some(start..end);
            }
            if count < SHORTEST {
                // A number that starts in these digits has even fewer.
                next = end;
            }
        }
    }
}

/// Fewest digits of a number of a card.
const SHORTEST: usize = 13;

/// The end of the longest number of a card at an offset, and the number and the end of the digits that were read.
fn card_end(text: &[u8], start: usize) -> (Option<usize>, usize, usize) {
    // The sums in which the digits at even and at odd places are doubled.
    let (mut end, mut last, mut sums, mut count) = (start, None, [0, 0], 0);
    while count < 19 {
        let digit = end + if count > 0 { separator(text, end) } else { 0 };
        if !is_digit(at(text, digit)) {
            break;
        }
        end = digit + 1;
        count += 1;
        let value = u32::from(at(text, digit) - b'0');
        let doubled = value * 2 - if value > 4 { 9 } else { 0 };
        let [even, odd] = sums;
        // The last digit is never doubled, so that the sums change places with each digit.
        sums = [odd + value, even + doubled];
        if count >= SHORTEST && sums[0] % 10 == 0 && sums[0] > 0 && may_end(text, end) {
            last = Some(end);
        }
    }
    (last, count, end)
}
