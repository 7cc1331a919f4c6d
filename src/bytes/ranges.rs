//! Sets of byte positions, as ranges.

use core::ops::Range;

/// Maximum number of ranges in a set.
pub const MOST_RANGES: usize = 8;

/// A set of positions: ranges in ascending order that neither meet nor touch. A set with more than [`MOST_RANGES`] ranges gets those
/// positions in addition that are between the two nearest ranges.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// The set of these ranges, which may come in any order.
    pub fn of(ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut set = Ranges::default();
        ranges.into_iter().for_each(|range| _ = set.add(range));
        set
    }

    /// Returns true if the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the position is in the set.
    pub fn contains(&self, position: u64) -> bool {
        self.0.iter().any(|range| range.contains(&position))
    }

    /// Returns true if a range of the set ends at this position, which is not in the set.
    pub fn ends_at(&self, position: u64) -> bool {
        self.0.iter().any(|range| range.end == position)
    }

    /// The ranges, in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Range<u64>> {
        self.0.iter()
    }

    /// Adds a range. Returns the part of it that the set did not have.
    pub fn add(&mut self, new: Range<u64>) -> Ranges {
        if new.is_empty() {
            return Ranges::default();
        }
        let (mut missing, mut from) = (Vec::new(), new.start);
        for known in self.0.iter().filter(|known| known.start < new.end && known.end > new.start) {
            if known.start > from {
                missing.push(from..known.start);
            }
            from = known.end;
        }
        if from < new.end {
            missing.push(from..new.end);
        }
        let mut all = core::mem::take(&mut self.0);
        all.push(new);
        all.sort_unstable_by_key(|range| range.start);
        for range in all {
            match self.0.last_mut().filter(|last| last.end >= range.start) {
                Some(last) => last.end = last.end.max(range.end),
                None => self.0.push(range),
            }
        }
        self.limit();
        Ranges(missing)
    }

    /// Removes a range.
    pub fn remove(&mut self, gone: &Range<u64>) {
        let parts = |range: Range<u64>| {
            let before = range.start..range.end.min(gone.start);
            let after = range.start.max(gone.end)..range.end;
            [before, after].into_iter().filter(|part| !part.is_empty())
        };
        if !gone.is_empty() {
            self.0 = core::mem::take(&mut self.0).into_iter().flat_map(parts).collect();
            self.limit();
        }
    }

    fn limit(&mut self) {
        while self.0.len() > MOST_RANGES {
            let gaps = self.0.iter().zip(self.0.iter().skip(1)).map(|(a, b)| b.start - a.end);
            let Some((nearest, _)) = gaps.enumerate().min_by_key(|(_, gap)| *gap) else { return };
            let next = self.0.remove(nearest + 1);
            if let Some(range) = self.0.get_mut(nearest) {
                range.end = next.end;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "sets of one range")]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_missing_is_granted() {
        let mut set = Ranges::of([10..20, 30..40]);
        assert_eq!(set.add(0..50), Ranges::of([0..10, 20..30, 40..50]));
        assert_eq!(set, Ranges::of([0..50]));
        assert!(set.add(3..50).is_empty() && set.add(7..7).is_empty());
        assert_eq!(set.add(50..60), Ranges::of([50..60]));
        assert_eq!(set.iter().len(), 1, "ranges that touch are one");
    }

    #[test]
    fn a_removed_range_is_granted_again() {
        let mut set = Ranges::of([0..100]);
        set.remove(&(40..50));
        assert!(set.contains(39) && !set.contains(40) && !set.contains(49) && set.contains(50));
        assert!(set.ends_at(40) && !set.ends_at(50));
        set.remove(&(90..u64::MAX));
        assert_eq!(set, Ranges::of([0..40, 50..90]));
        assert_eq!(set.add(0..u64::MAX), Ranges::of([40..50, 90..u64::MAX]));
    }

    #[test]
    fn the_nearest_ranges_become_one_if_there_are_too_many() {
        let mut set = Ranges::of((0..MOST_RANGES as u64).map(|at| at * 100..at * 100 + 10));
        assert_eq!(set.iter().len(), MOST_RANGES);
        set.add(115..120);
        assert_eq!(set.iter().len(), MOST_RANGES);
        assert!(set.contains(112) && !set.contains(99));
    }
}
