//! Conversions of a [`Scalar`] to the type that a rule expects. A value of another type is treated as absent.

use super::{Scalar, number};
use crate::bytes::mix::Mix;

/// Largest count of tokens, searches or seconds that is accepted: 2^32. A larger count is an error of the sender.
pub const COUNT_LIMIT: u64 = 1 << 32;
/// Largest whole number that every JSON implementation represents exactly: 2^53 - 1 (RFC 8259, section 6).
const EXACT_LIMIT: u64 = (1 << 53) - 1;

// Not inlined: hundreds of short rules call these functions, and copies in each of them make the plugin larger.
impl Scalar<'_> {
    /// The string, if it is not empty.
    #[inline(never)]
    pub fn text(self) -> Option<Box<str>> {
        match self {
            Scalar::Text(text) if !text.is_empty() => Some(text.into()),
            _ => None,
        }
    }

    /// The number, if it is finite.
    #[inline(never)]
    pub fn float(self) -> Option<f64> {
        match self {
            Scalar::Number(number) => number::parse(number).filter(|n| n.is_finite()),
            _ => None,
        }
    }

    /// A whole number from 0 to [`COUNT_LIMIT`]. It may be written with a fraction of zero (`12.0`) or an exponent
    /// (`1e3`).
    pub fn count(self) -> Option<u64> {
        self.whole().filter(|count| *count <= COUNT_LIMIT)
    }

    /// A whole number from 0 to 2^53 - 1. It may be written with a fraction of zero or an exponent.
    #[inline(never)]
    pub fn whole(self) -> Option<u64> {
        let Scalar::Number(number) = self else { return None };
        if let [digit @ b'0'..=b'9'] = number.as_bytes() {
            return Some(u64::from(digit - b'0'));
        }
        if let Ok(whole) = number.parse::<u64>() {
            return Some(whole).filter(|n| *n <= EXACT_LIMIT);
        }
        let float = number::parse(number)?;
        (float >= 0.0 && float <= EXACT_LIMIT as f64 && float.trunc() == float).then_some(float as u64)
    }

    /// Returns true if this is a number greater than `limit`. A number that overflows `f64` is.
    #[inline(never)]
    pub fn exceeds(self, limit: f64) -> bool {
        matches!(self, Scalar::Number(number) if number::parse(number).is_some_and(|n| n > limit))
    }

    /// A whole number in the range of `i64`, written without fraction and exponent.
    #[inline(never)]
    pub fn integer(self) -> Option<i64> {
        match self {
            Scalar::Number(number) => number.parse().ok(),
            _ => None,
        }
    }

    /// Returns true if this is `true`.
    pub fn is_true(self) -> bool {
        self == Scalar::Bool(true)
    }
}

/// The highest bit of an identifier's hash, see [`unnamed_call`].
const UNNAMED: u64 = 1 << 63;

/// A hash of an identifier. It is the same in every worker. Returns 0 if the value is not a string or is empty, and never for
/// another value. The lowest bit tells whether the identifier [`is_random`], the highest one is that of [`unnamed_call`].
#[inline(never)]
pub fn identity(value: Scalar<'_>) -> u64 {
    match value {
        Scalar::Text(id) if !id.is_empty() => {
            (Mix::new(0).text(id).finish() & !UNNAMED & !1).max(2) | u64::from(looks_random(id))
        }
        _ => 0,
    }
}

/// Returns true if this is the [`identity`] of an identifier that looks random, such as `call_Zk3vQ81x`, so that no other call has
/// it. Servers that count their calls make identifiers such as `call_0` or `functions.search:1`.
pub fn is_random(identity: u64) -> bool {
    identity & 1 == 1
}

/// Returns true if the identifier ends in at least eight letters and digits that are no word with a number.
fn looks_random(id: &str) -> bool {
    let length = id.bytes().rev().take_while(u8::is_ascii_alphanumeric).count();
    let tail = id.as_bytes().get(id.len() - length..).unwrap_or_default();
    let first_digit = tail.iter().position(u8::is_ascii_digit);
    let has_letter = |from: usize| tail.iter().skip(from).any(u8::is_ascii_alphabetic);
    length >= 8 && first_digit.is_some_and(has_letter)
}

/// The identifier of a tool call that has none: a hash of its tool, given by the hash of its name, and of the number of earlier
/// calls of this tool in the turn. It differs from every [`identity`].
pub fn unnamed_call(tool: u64, earlier: usize) -> u64 {
    Mix::new(0).text("unnamed").number(tool).number(earlier as u64).finish() & !1 | UNNAMED
}

/// Returns true if the identifier is that of [`unnamed_call`].
pub const fn is_unnamed(id: u64) -> bool {
    id & UNNAMED != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_with_letters_after_digits_looks_random() {
        let is = |id| is_random(identity(Scalar::Text(id)));
        for id in
            ["call_Zk3vQ81x", "toolu_01A09q90qw90lq917835lq9", "D681PevKs", "550e8400-e29b-41d4-a716-446655440a00"]
        {
            assert!(is(id), "{id}");
        }
        for id in
            ["call_0", "call_12345678", "functions.get_weather:12", "searchengine1", "call_abcdefghij", "1a", "é", ""]
        {
            assert!(!is(id), "{id}");
        }
        assert_eq!(identity(Scalar::Text("")), 0);
    }

    #[test]
    fn calls_without_identifiers_are_numbered_by_tool() {
        let (search, read) = (identity(Scalar::Text("search")), identity(Scalar::Text("read")));
        let ids = [unnamed_call(search, 0), unnamed_call(search, 1), unnamed_call(read, 0), search, read];
        assert_eq!(ids.map(is_unnamed), [true, true, true, false, false]);
        assert!((1..ids.len()).all(|n| !ids[..n].contains(&ids[n])));
        assert_eq!((identity(Scalar::Text("")), identity(Scalar::Null), is_unnamed(0)), (0, 0, false));
    }

    #[test]
    fn a_count_is_a_whole_number_up_to_2_to_the_32() {
        for (text, count) in [("0", 0), ("12.0", 12), ("4294967296", 1 << 32), ("4294967296.0", 1 << 32), ("1e3", 1000)]
        {
            assert_eq!(Scalar::Number(text).count(), Some(count), "{text}");
            assert!(!Scalar::Number(text).exceeds(COUNT_LIMIT as f64), "{text}");
        }
        for text in ["4294967297", "9007199254740991", "18446744073709551616", "1e300", "1e400", "4294967297.0"] {
            assert_eq!(Scalar::Number(text).count(), None, "{text}");
            assert!(Scalar::Number(text).exceeds(COUNT_LIMIT as f64), "{text}");
        }
        for text in ["-1", "0.5", "-1e300"] {
            assert_eq!(Scalar::Number(text).count(), None, "{text}");
            assert!(!Scalar::Number(text).exceeds(COUNT_LIMIT as f64), "{text}");
        }
        assert_eq!(Scalar::Text("9007199254740991").count(), None);
        assert!(!Scalar::Text("9007199254740991").exceeds(COUNT_LIMIT as f64));
    }
}
