//! Streams that are open and silent: they are found while they are open.
//!
//! Bound: one worker watches at most [`STREAMS`] streams, and more are not watched. A search passes each of them once and takes a few
//! microseconds. A stream that has ended takes its place, without its names, until the next search.

use std::cell::Cell;
use std::rc::{Rc, Weak};

use crate::budget::Share;
use crate::draft::BLOCK;
use crate::observation::{Name, Observation, Text, Timing};

/// Maximum number of streams that one worker watches.
pub const STREAMS: usize = 4096;
/// Maximum number of stalls that are counted for one stream.
const STALLS: u32 = 100;

/// A streamed response between its first chunk and its end.
#[derive(Debug)]
pub struct OpenStream {
    /// When the last chunk arrived, in nanoseconds.
    last: Cell<u64>,
    /// True if the silence since then is counted.
    is_counted: Cell<bool>,
    stalls: Cell<u32>,
    /// Duration of a silence that is a stall, in nanoseconds.
    patience: u64,
    operation: &'static str,
    provider: Name,
    route: Text,
    labels: Vec<Text>,
    /// Reserves its memory. None without a budget.
    _memory: Option<Share>,
}

impl OpenStream {
    /// Memory that the stream of `seen` takes, in bytes.
    fn size(seen: &Observation) -> usize {
        let text = |text: &str| text.len() + BLOCK;
        let labels = seen.labels.iter().map(|label| size_of::<Text>() + text(label));
        size_of::<OpenStream>()
            + 2 * size_of::<usize>()
            + 2 * BLOCK
            + text(&seen.provider)
            + text(&seen.route)
            + labels.sum::<usize>()
    }

    /// A chunk arrived at `now`.
    pub fn chunk(&self, now: u64) {
        self.last.set(now);
        self.is_counted.set(false);
    }

    /// Number of stalls so far.
    pub fn stalls(&self) -> u32 {
        self.stalls.get()
    }

    /// An observation that counts one stall, with the names of the stream.
    fn stall(&self) -> Observation {
        Observation {
            operation: self.operation,
            provider: self.provider.clone(),
            route: self.route.clone(),
            labels: self.labels.clone(),
            timing: Timing { stalls: 1, ..Timing::default() },
            ..Observation::default()
        }
    }

    /// Counts the silence if it has become a stall. Returns whether it did.
    fn stalls_at(&self, now: u64) -> bool {
        let is_silent = now.saturating_sub(self.last.get()) > self.patience;
        if !is_silent || self.is_counted.replace(true) || self.stalls.get() >= STALLS {
            return false;
        }
        self.stalls.set(self.stalls.get() + 1);
        true
    }
}

/// The open streams of a worker.
#[derive(Debug, Default)]
pub struct OpenStreams {
    streams: Vec<Weak<OpenStream>>,
}

impl OpenStreams {
    /// Watches the stream of `seen`, of which a chunk arrived at `now`: a silence of more than `patience` nanoseconds is a stall. It
    /// is watched until it is dropped. Its memory is reserved in `memory`. None if there is no place or no memory.
    pub fn watch(
        &mut self,
        seen: &Observation,
        mut memory: Option<Share>,
        patience: u64,
        now: u64,
    ) -> Option<Rc<OpenStream>> {
        let fits = |share: &mut Share| share.resize(OpenStream::size(seen));
        if self.streams.len() >= STREAMS || !memory.as_mut().is_none_or(fits) {
            return None;
        }
        let stream = Rc::new(OpenStream {
            last: Cell::new(now),
            is_counted: Cell::new(false),
            stalls: Cell::new(0),
            patience,
            operation: seen.operation,
            provider: seen.provider.clone(),
            route: seen.route.clone(),
            labels: seen.labels.clone(),
            _memory: memory,
        });
        self.streams.push(Rc::downgrade(&stream));
        Some(stream)
    }

    /// Passes on an observation for each stall that has begun, at most `limit`. It counts one stall, and nothing else. Call it again
    /// for the others.
    pub fn pass_stalls(&mut self, now: u64, limit: usize, mut count: impl FnMut(&Observation)) {
        let mut left = limit;
        self.streams.retain(|stream| {
            let Some(stream) = stream.upgrade() else { return false };
            if left > 0 && stream.stalls_at(now) {
                left -= 1;
                count(&stream.stall());
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    const PATIENCE: u64 = 10;

    fn stalls(streams: &mut OpenStreams, now: u64) -> usize {
        let mut found = 0;
        streams.pass_stalls(now, usize::MAX, |seen| found += seen.timing.stalls as usize);
        found
    }

    #[test]
    fn a_silence_is_one_stall_and_a_stream_that_resumes_can_stall_again() {
        let mut streams = OpenStreams::default();
        let stream = streams.watch(&Observation::default(), None, PATIENCE, 100).unwrap();
        assert_eq!([109, 110, 111, 112, 500].map(|now| stalls(&mut streams, now)), [0, 0, 1, 0, 0]);
        stream.chunk(600);
        assert_eq!([600, 610, 620, 630].map(|now| stalls(&mut streams, now)), [0, 0, 1, 0]);
        stream.chunk(700);
        assert_eq!(stalls(&mut streams, 50), 0, "a clock that was set back shows no silence");
        assert_eq!(stream.stalls(), 2);
    }

    #[test]
    fn a_stall_is_counted_for_the_route_and_the_provider_of_the_stream_without_an_outcome() {
        let seen = Observation {
            operation: "chat",
            provider: "acme".into(),
            route: "r".into(),
            labels: vec!["team".into()],
            ..Observation::default()
        };
        let mut streams = OpenStreams::default();
        let _stream = streams.watch(&seen, None, PATIENCE, 1).unwrap();
        let mut found = Vec::new();
        streams.pass_stalls(12, 1, |seen| found.push(seen.clone()));
        let mut expected = seen;
        expected.timing.stalls = 1;
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_stream_that_has_ended_does_not_stall_and_gives_its_place_to_another() {
        let mut streams = OpenStreams::default();
        let watch = |streams: &mut OpenStreams| streams.watch(&Observation::default(), None, PATIENCE, 1);
        let mut open: Vec<_> = (0..STREAMS).map_while(|_| watch(&mut streams)).collect();
        assert_eq!((open.len(), watch(&mut streams).is_some()), (STREAMS, false));
        open.truncate(STREAMS / 2);
        assert_eq!(stalls(&mut streams, 100), STREAMS / 2);
        assert!(watch(&mut streams).is_some());
    }

    #[test]
    fn a_stream_reserves_its_memory_and_without_memory_is_not_watched() {
        let budget = Rc::<Budget>::default();
        let mut streams = OpenStreams::default();
        let memory = || Some(Share::of_state(&budget, 7));
        let stream = streams.watch(&Observation::default(), memory(), PATIENCE, 1);
        assert!(budget.reserved() >= size_of::<OpenStream>());
        drop(stream);
        assert_eq!(budget.reserved(), 0);
        budget.set_limit(0);
        assert!(streams.watch(&Observation::default(), memory(), PATIENCE, 1).is_none());
    }

    #[test]
    fn a_limited_search_leaves_the_other_stalls_to_the_next() {
        let mut streams = OpenStreams::default();
        let _open = [(); 5].map(|()| streams.watch(&Observation::default(), None, PATIENCE, 1).unwrap());
        let mut search = || {
            let mut found = 0;
            streams.pass_stalls(100, 2, |_| found += 1);
            found
        };
        assert_eq!([search(), search(), search(), search()], [2, 2, 1, 0]);
    }

    #[test]
    fn the_stalls_of_one_stream_are_bounded() {
        let mut streams = OpenStreams::default();
        let stream = streams.watch(&Observation::default(), None, PATIENCE, 0).unwrap();
        let found: usize = (1..200)
            .map(|round| {
                stream.chunk(round * 100);
                stalls(&mut streams, round * 100 + 50)
            })
            .sum();
        assert_eq!((found, stream.stalls()), (STALLS as usize, STALLS));
    }
}
