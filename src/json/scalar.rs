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

/// A 63-bit hash of an identifier. It is the same in every worker. Returns 0 if the value is not a string or is empty,
/// and never for another value.
#[inline(never)]
pub fn identity(value: Scalar<'_>) -> u64 {
    match value {
        Scalar::Text(id) if !id.is_empty() => (Mix::new(0).text(id).finish() & !UNNAMED).max(1),
        _ => 0,
    }
}

/// The identifier of a tool call that has none: a hash of its tool, given by the hash of its name, and of the number of earlier
/// calls of this tool in the turn. It differs from every [`identity`].
pub fn unnamed_call(tool: u64, earlier: usize) -> u64 {
    Mix::new(0).text("unnamed").number(tool).number(earlier as u64).finish() | UNNAMED
}

/// Returns true if the identifier is that of [`unnamed_call`].
pub const fn is_unnamed(id: u64) -> bool {
    id & UNNAMED != 0
}

#[cfg(test)]
mod tests {
    use super::*;

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
