//! Clock readings of an exchange.

/// Clock readings of an exchange, in nanoseconds of one clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// The request headers arrived.
    pub start: u64,
    /// The first byte of the body of a streamed response arrived.
    pub first_chunk: Option<u64>,
    /// The first generated text, reasoning, refusal or tool call of a stream arrived.
    pub first_token: Option<u64>,
    /// The exchange ended.
    pub end: Option<u64>,
}

impl Timing {
    /// Nanoseconds from the start to `reading`; None if `reading` is unknown or not after the start, as when the clock was set
    /// back.
    pub fn since_start(&self, reading: Option<u64>) -> Option<u64> {
        reading.filter(|at| *at > self.start).map(|at| at - self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_that_is_not_after_the_start_gives_no_duration() {
        let timing = Timing { start: 5, ..Timing::default() };
        let since = |at| timing.since_start(at);
        assert_eq!((since(None), since(Some(4)), since(Some(5)), since(Some(7))), (None, None, None, Some(2)));
    }
}
