//! Clock readings of an exchange, and the gaps between the chunks of a stream.

/// Number of buckets of [`ChunkGaps`].
const BUCKETS: usize = 15;
/// Upper bound of the first bucket of [`ChunkGaps`], in nanoseconds. Each bound is twice the one before.
const FIRST_BOUND: u64 = 10_000_000;

/// Clock readings of an exchange, in nanoseconds of one clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// The request headers arrived.
    pub start: u64,
    /// The first byte of the body of a streamed response arrived.
    pub first_chunk: Option<u64>,
    /// The first generated text, reasoning, refusal or tool call of a stream arrived.
    pub first_token: Option<u64>,
    /// The exchange ended.
    pub end: Option<u64>,
    /// The gaps between the chunks of a streamed response; None before its first chunk. A box, so that other exchanges do not
    /// pay for it.
    pub gaps: Option<Box<ChunkGaps>>,
    /// Number of times that a stream was silent for longer than `streams.stalled_after`.
    pub stalls: u32,
}

impl Timing {
    /// Nanoseconds from the start to `reading`; None if `reading` is unknown or not after the start, as when the clock was set
    /// back.
    pub fn since_start(&self, reading: Option<u64>) -> Option<u64> {
        reading.filter(|at| *at > self.start).map(|at| at - self.start)
    }

    /// The largest gap between two chunks of a stream, in nanoseconds; None if it has none.
    pub fn largest_gap(&self) -> Option<u64> {
        self.gaps.as_ref().map(|gaps| gaps.max()).filter(|max| *max > 0)
    }
}

/// The gap before each chunk of a streamed response but the first. A chunk is what the host passes at once. Chunks with the same
/// clock reading count as one, and a clock that was set back gives no gap.
///
/// Each gap needs the clock at its chunk, so a shell reads the clock for every chunk, also after the first token.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkGaps {
    /// When the last chunk arrived.
    last: u64,
    sum: u64,
    max: u64,
    buckets: [u32; BUCKETS],
}

impl ChunkGaps {
    /// Upper bounds of all buckets but the last, in nanoseconds, each included: those that OpenTelemetry recommends for
    /// `gen_ai.client.inference.time_per_output_chunk`, 0.01 s to 81.92 s.
    pub const BOUNDS: [u64; BUCKETS - 1] = [
        FIRST_BOUND,
        FIRST_BOUND << 1,
        FIRST_BOUND << 2,
        FIRST_BOUND << 3,
        FIRST_BOUND << 4,
        FIRST_BOUND << 5,
        FIRST_BOUND << 6,
        FIRST_BOUND << 7,
        FIRST_BOUND << 8,
        FIRST_BOUND << 9,
        FIRST_BOUND << 10,
        FIRST_BOUND << 11,
        FIRST_BOUND << 12,
        FIRST_BOUND << 13,
    ];

    /// No gap yet. The first chunk arrived at `now`.
    pub fn new(now: u64) -> Self {
        ChunkGaps { last: now, sum: 0, max: 0, buckets: [0; BUCKETS] }
    }

    /// A chunk arrived at `now`.
    pub fn chunk(&mut self, now: u64) {
        let gap = now.saturating_sub(core::mem::replace(&mut self.last, now));
        if gap == 0 {
            return;
        }
        self.sum = self.sum.saturating_add(gap);
        self.max = self.max.max(gap);
        if let Some(count) = self.buckets.get_mut(bucket(gap)) {
            *count = count.saturating_add(1);
        }
    }

    /// Number of gaps.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|count| u64::from(*count)).sum()
    }

    /// Sum of the gaps, in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest gap, in nanoseconds. 0 if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Number of gaps in each bucket. The last one has those above all [`ChunkGaps::BOUNDS`].
    pub fn buckets(&self) -> &[u32; BUCKETS] {
        &self.buckets
    }
}

/// The index of the bucket of a gap of at least one nanosecond.
fn bucket(gap: u64) -> usize {
    // A bucket includes its bound.
    let below = gap.saturating_sub(1);
    let Some(doublings) = FIRST_BOUND.leading_zeros().checked_sub(below.leading_zeros()) else { return 0 };
    let is_above = below >= FIRST_BOUND << doublings;
    (doublings as usize + usize::from(is_above)).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    #[test]
    fn a_reading_that_is_not_after_the_start_gives_no_duration() {
        let timing = Timing { start: 5, ..Timing::default() };
        let since = |at| timing.since_start(at);
        assert_eq!((since(None), since(Some(4)), since(Some(5)), since(Some(7))), (None, None, None, Some(2)));
    }

    #[test]
    fn the_bounds_are_those_of_the_convention() {
        let seconds = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
        assert_eq!(ChunkGaps::BOUNDS.map(|bound| bound as f64 / 1e9), seconds);
    }

    #[test]
    fn a_gap_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let bounds = ChunkGaps::BOUNDS.into_iter();
        let gaps =
            bounds.flat_map(|bound| [bound - 1, bound, bound + 1]).chain([1, 2, 8_388_608, u64::MAX >> 1, u64::MAX]);
        for gap in gaps {
            assert_eq!(bucket(gap), ChunkGaps::BOUNDS.partition_point(|bound| *bound < gap), "{gap}");
        }
    }

    #[test]
    fn every_chunk_but_the_first_adds_its_gap() {
        let mut gaps = ChunkGaps::new(7);
        assert_eq!((gaps.count(), gaps.sum(), gaps.max()), (0, 0, 0));
        for after in [5, 40, 40, 1500] {
            gaps.chunk(gaps.last + after * MILLISECOND);
        }
        assert_eq!((gaps.count(), gaps.sum(), gaps.max()), (4, 1585 * MILLISECOND, 1500 * MILLISECOND));
        let filled: Vec<_> = gaps.buckets().iter().enumerate().filter(|(_, count)| **count > 0).collect();
        assert_eq!(filled, [(0, &1), (2, &2), (8, &1)]);
    }

    #[test]
    fn chunks_that_arrive_together_and_a_clock_that_goes_back_give_no_gap() {
        let mut gaps = ChunkGaps::new(100);
        for now in [100, 100, 60, 60] {
            gaps.chunk(now);
        }
        assert_eq!(gaps.count(), 0);
        assert_eq!(Timing { gaps: Some(Box::new(gaps.clone())), ..Timing::default() }.largest_gap(), None);
        gaps.chunk(65);
        assert_eq!((gaps.count(), gaps.sum(), gaps.max()), (1, 5, 5), "gaps count from the clock that was set back");
        gaps.buckets[0] = u32::MAX;
        gaps.chunk(66);
        assert_eq!(gaps.buckets()[0], u32::MAX, "counters stop at their largest value");
    }
}
