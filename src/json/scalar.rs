//! What rules take a JSON value for. Of another type than expected, it is as if it were not there.

use super::{Scalar, number};
use crate::bytes::mix::Mix;

/// Largest count accepted: what a JSON number carries exactly.
const COUNT_LIMIT: u64 = (1 << 53) - 1;

// Rules are many and short: what they share is called, not copied into each.
impl Scalar<'_> {
    /// A string that is not empty.
    #[inline(never)]
    pub fn text(self) -> Option<Box<str>> {
        match self {
            Scalar::Text(text) if !text.is_empty() => Some(text.into()),
            _ => None,
        }
    }

    /// A number that is finite.
    #[inline(never)]
    pub fn float(self) -> Option<f64> {
        match self {
            Scalar::Number(number) => number::parse(number).filter(|n| n.is_finite()),
            _ => None,
        }
    }

    /// A whole number from 0 to 2^53 - 1, also where it is written as 12.0.
    #[inline(never)]
    pub fn count(self) -> Option<u64> {
        let Scalar::Number(number) = self else { return None };
        if let Ok(count) = number.parse::<u64>() {
            return Some(count).filter(|n| *n <= COUNT_LIMIT);
        }
        let float = number::parse(number)?;
        (float >= 0.0 && float <= COUNT_LIMIT as f64 && float.trunc() == float).then_some(float as u64)
    }

    /// A whole number of either sign.
    #[inline(never)]
    pub fn integer(self) -> Option<i64> {
        match self {
            Scalar::Number(number) => number.parse().ok(),
            _ => None,
        }
    }

    /// Whether this is `true`.
    pub fn is_true(self) -> bool {
        self == Scalar::Bool(true)
    }
}

/// A small hash that tells identifiers apart, the same in every worker; never 0.
#[inline(never)]
pub fn identity(value: Scalar<'_>) -> u64 {
    match value {
        Scalar::Text(id) if !id.is_empty() => Mix::new(0).text(id).finish().max(1),
        _ => 0,
    }
}
