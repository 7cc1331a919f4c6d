//! Token counts in one normal form.

use super::COUNT_LIMIT;

/// Token counts. Each API counts in its own way; here the input includes cached tokens and the output includes reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// All input tokens, including cached ones.
    pub input: Option<u64>,
    /// All output tokens, including reasoning.
    pub output: Option<u64>,
    /// The input tokens that were read from a cache.
    pub cache_read: Option<u64>,
    /// The input tokens that were written to a cache.
    pub cache_creation: Option<u64>,
    /// The output tokens that were spent on reasoning.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Returns true if any count is known.
    pub fn is_known(&self) -> bool {
        *self != Usage::default()
    }

    /// Returns true if no count is above [`COUNT_LIMIT`]. A sum of counts can be above it.
    pub fn is_possible(&self) -> bool {
        self.possible() == *self
    }

    /// This usage without the counts that are above [`COUNT_LIMIT`].
    #[inline(never)]
    pub fn possible(&self) -> Usage {
        let possible = |count: Option<u64>| count.filter(|count| *count <= COUNT_LIMIT);
        Usage {
            input: possible(self.input),
            output: possible(self.output),
            cache_read: possible(self.cache_read),
            cache_creation: possible(self.cache_creation),
            reasoning: possible(self.reasoning),
        }
    }

    /// The sum of both, count by count. A count that is unknown in both stays unknown.
    #[inline(never)]
    pub fn and(self, other: &Usage) -> Usage {
        let sum = |a: Option<u64>, b: Option<u64>| a.map_or(b, |a| Some(a.saturating_add(b.unwrap_or(0))));
        Usage {
            input: sum(self.input, other.input),
            output: sum(self.output, other.output),
            cache_read: sum(self.cache_read, other.cache_read),
            cache_creation: sum(self.cache_creation, other.cache_creation),
            reasoning: sum(self.reasoning, other.reasoning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_keeps_unknown_counts_apart_from_zero() {
        let a = Usage { input: Some(1), output: None, cache_read: Some(0), ..Usage::default() };
        let b = Usage { input: Some(2), output: Some(3), ..Usage::default() };
        let sum = Usage { input: Some(3), output: Some(3), cache_read: Some(0), ..Usage::default() };
        assert_eq!((a.and(&b), b.and(&a)), (sum, sum));
    }

    #[test]
    fn only_counts_above_the_limit_are_impossible() {
        let usage = Usage { input: Some(COUNT_LIMIT), output: Some(COUNT_LIMIT + 1), ..Usage::default() };
        assert!(!usage.is_possible());
        assert_eq!(usage.possible(), Usage { input: Some(COUNT_LIMIT), ..Usage::default() });
        assert!(usage.possible().is_possible());
    }
}
