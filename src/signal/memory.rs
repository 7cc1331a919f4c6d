//! Tool calls of answers, remembered until a request brings their results.
//!
//! The host stores them for all workers in a fixed number of buckets with [`WAYS`] entries each. In a full bucket a new entry
//! replaces one whose run has moved on, else one of the caller with the most entries: a client with many runs forgets its own
//! first. Memory: [`ENTRY`] bytes per entry. An entry has hashes, the name of a tool and clock readings, and no other content
//! of a conversation.
//!
//! Each worker also has the runs that it would count as abandoned, see [`WaitingRuns`]. A run whose entry was replaced is forgotten
//! there too: it is not counted, because nobody knows how it goes on.

use core::cmp::Reverse;

use crate::observation::{Agent, Attribution, Observation, RunEnd, Text};
use crate::trace_context::RunSpan;

/// Entries of a bucket. With this number nearly every call finds room until the slots are two thirds full.
pub const WAYS: usize = 32;
/// Maximum length of an entry, in bytes.
pub const ENTRY: usize = FIXED + RUN + NAME;
/// Maximum length of a tool's name, in bytes. The limit of OpenAI and Anthropic is 64.
const NAME: usize = 128;
const FIXED: usize = 32;
const RUN: usize = 40;
/// The version of the format. Buckets of another version of the plugin count as empty.
const FORM: u8 = 3;

/// A tool call whose result is awaited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pending {
    /// Hash of the call's identifier.
    pub call: u64,
    /// Hash of the first call of the same answer. Its entry says whether the run has continued.
    pub lead: u64,
    /// Part of the keyed hash of the caller.
    pub caller: u32,
    /// When the answer ended, or the request with the result failed, in nanoseconds since 1970.
    pub called_at: u64,
    /// Iteration of the run that made the call; 0 if it is unknown.
    pub iteration: u64,
    /// The run is already counted as ended.
    pub run_has_ended: bool,
    /// Another result of the same answer has arrived, so the run has continued.
    pub has_continued: bool,
    /// The result has arrived in a request that failed. The client may send it again.
    pub has_failed_result: bool,
    /// Name of the tool.
    pub name: Text,
    /// The span of the run, if the plugin makes spans.
    pub run: Option<RunSpan>,
}

impl Pending {
    fn waits(&self) -> bool {
        !self.run_has_ended && !self.has_continued
    }
}

/// The entries that share one key of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucket(Vec<Pending>);

impl Bucket {
    /// Reads the bytes that [`Bucket::bytes`] wrote. Any other bytes are an empty bucket.
    pub fn parse(bytes: &[u8]) -> Self {
        let Some((&FORM, mut rest)) = bytes.split_first() else { return Bucket::default() };
        let mut entries = Vec::with_capacity(WAYS);
        while entries.len() < WAYS
            && let Some(entry) = entry(&mut rest)
        {
            entries.push(entry);
        }
        Bucket(entries)
    }

    /// The bytes that the host stores.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + self.0.len() * (FIXED + RUN + 32));
        out.push(FORM);
        for entry in &self.0 {
            for number in [entry.call, entry.lead, entry.called_at] {
                out.extend(number.to_le_bytes());
            }
            out.extend(entry.caller.to_le_bytes());
            out.extend(u16::try_from(entry.iteration).unwrap_or(u16::MAX).to_le_bytes());
            let flags = [entry.run_has_ended, entry.has_continued, entry.has_failed_result, entry.run.is_some()];
            out.push(flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
            let name = entry.name.as_bytes().get(..entry.name.len().min(NAME)).unwrap_or_default();
            out.push(name.len() as u8);
            out.extend_from_slice(name);
            if let Some(run) = &entry.run {
                out.extend(run.trace);
                out.extend(run.span);
                out.extend(run.parent);
                out.extend(run.start.to_le_bytes());
            }
        }
        out
    }

    /// Adds an entry. It replaces the entry of the same call. In a full bucket it replaces one whose run does not wait; else one of
    /// the caller that has the most entries with the new one; of several, the oldest.
    pub fn put(&mut self, entry: Pending) {
        self.0.retain(|other| other.call != entry.call);
        if self.0.len() >= WAYS {
            let all = || self.0.iter().chain([&entry]).filter(|other| other.waits());
            let share = |one: &Pending| all().filter(|other| other.caller == one.caller).count();
            let rank = |one: &Pending| (one.waits(), Reverse(share(one)), one.called_at);
            if let Some((least, _)) = self.0.iter().enumerate().min_by_key(|(_, one)| rank(one)) {
                self.0.swap_remove(least);
            }
        }
        self.0.push(entry);
    }

    /// Removes and returns the entry of a call.
    pub fn take(&mut self, call: u64) -> Option<Pending> {
        let at = self.0.iter().position(|entry| entry.call == call)?;
        Some(self.0.swap_remove(at))
    }

    /// Returns true if the run still waits for the result of a call made at `called_at`.
    pub fn waits(&self, call: u64, called_at: u64) -> bool {
        self.0.iter().any(|entry| entry.call == call && entry.called_at == called_at && entry.waits())
    }

    /// Marks the run of a call made at `called_at` as ended, and returns its span. Returns None if it does not wait for the result.
    pub fn close(&mut self, call: u64, called_at: u64) -> Option<Option<RunSpan>> {
        let entry =
            self.0.iter_mut().find(|entry| entry.call == call && entry.called_at == called_at && entry.waits())?;
        entry.run_has_ended = true;
        Some(entry.run)
    }

    /// Adds the span of a call's run. Returns None if the call is not remembered.
    pub fn trace(&mut self, call: u64, run: RunSpan) -> Option<()> {
        let entry = self.0.iter_mut().find(|entry| entry.call == call)?;
        entry.run = Some(run);
        Some(())
    }

    /// Marks the run of a call as continued without its result. Returns None if it does not wait for the result.
    pub fn leave(&mut self, call: u64) -> Option<()> {
        let entry = self.0.iter_mut().find(|entry| entry.call == call && entry.waits())?;
        entry.has_continued = true;
        Some(())
    }
}

/// A run whose next request is awaited, with the data to count it if that request never arrives.
#[derive(Clone, Debug)]
pub struct WaitingRun {
    /// When to count it as ended, in nanoseconds since 1970.
    pub due: u64,
    /// When its last call ended.
    pub since: u64,
    /// Hash of the first tool call of its last answer.
    pub lead: u64,
    /// Hashes of the other tool calls of that answer.
    pub others: Box<[u64]>,
    /// How it ends if no request continues it.
    pub end: RunEnd,
    who: Attribution,
    iteration: Option<u64>,
}

impl WaitingRun {
    /// The run of an exchange with these remembered calls, which ends after `patience` nanoseconds. Returns None without calls.
    pub fn new(seen: &Observation, calls: &[Pending], end: RunEnd, patience: u64) -> Option<Self> {
        let (first, others) = calls.split_first()?;
        Some(WaitingRun {
            due: first.called_at.saturating_add(patience),
            since: first.called_at,
            lead: first.call,
            others: others.iter().map(|other| other.call).collect(),
            end,
            who: Attribution::of(seen),
            iteration: seen.agent.iteration,
        })
    }

    /// An observation that counts the end of the run, and nothing else.
    pub fn given_up(self) -> Observation {
        let agent = Agent { iteration: self.iteration, ended: Some(self.end), ..Agent::default() };
        Observation { agent, ..self.who.observation() }
    }
}

/// The runs whose next request a worker awaits, by the bucket of their first call.
///
/// Bound: [`WAYS`] runs for each bucket. All of them had their entries in the bucket when the last one was added.
#[derive(Default)]
pub struct WaitingRuns {
    buckets: Vec<Vec<WaitingRun>>,
    /// The bucket at which the next search for due runs begins.
    next: usize,
}

impl WaitingRuns {
    /// Adds a run. `bucket`, with this number, has just received the entry of its first call. Forgets the runs of the bucket
    /// that no longer wait there: those that have moved on, and those whose entries were replaced.
    pub fn push(&mut self, number: usize, bucket: &Bucket, waiting: WaitingRun) {
        if self.buckets.len() <= number {
            self.buckets.resize_with(number + 1, Vec::new);
        }
        let Some(runs) = self.buckets.get_mut(number) else { return };
        runs.retain(|run| bucket.waits(run.lead, run.since));
        runs.push(waiting);
    }

    /// Removes and returns runs whose time is over, at most `limit`.
    pub fn due(&mut self, now: u64, limit: usize) -> Vec<WaitingRun> {
        let mut due = Vec::new();
        for _ in 0..self.buckets.len() {
            self.next = if self.next + 1 < self.buckets.len() { self.next + 1 } else { 0 };
            let Some(runs) = self.buckets.get_mut(self.next) else { break };
            due.extend(runs.extract_if(.., |run| run.due <= now));
            if due.len() >= limit {
                break;
            }
        }
        due
    }
}

fn entry(rest: &mut &[u8]) -> Option<Pending> {
    let (call, lead, called_at) = (number(rest)?, number(rest)?, number(rest)?);
    let caller = u32::from_le_bytes(array(rest)?);
    let iteration = u64::from(u16::from_le_bytes(array(rest)?));
    let [flags, length] = array(rest)?;
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let (name, tail) = rest.split_at_checked(usize::from(length))?;
    *rest = tail;
    let run = match flag(3) {
        false => None,
        true => Some(RunSpan { trace: array(rest)?, span: array(rest)?, parent: array(rest)?, start: number(rest)? }),
    };
    let name = core::str::from_utf8(name).unwrap_or_default().into();
    Some(Pending {
        call,
        lead,
        caller,
        called_at,
        iteration,
        run_has_ended: flag(0),
        has_continued: flag(1),
        has_failed_result: flag(2),
        name,
        run,
    })
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    array(rest).map(u64::from_le_bytes)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(call: u64) -> Pending {
        Pending {
            call,
            lead: call,
            caller: 7,
            called_at: call * 10,
            iteration: 3,
            name: "search".into(),
            ..Pending::default()
        }
    }

    #[test]
    fn an_entry_is_returned_once_with_all_its_fields() {
        let run = RunSpan { trace: [7; 16], span: [8; 8], parent: [0; 8], start: 5 };
        let mut bucket = Bucket::default();
        bucket.put(Pending { run: Some(run), run_has_ended: true, has_failed_result: true, ..pending(1) });
        bucket.put(Pending { has_continued: true, ..pending(2) });
        let mut read = Bucket::parse(&bucket.bytes());
        assert_eq!(read, bucket);
        assert_eq!(read.take(2), Some(Pending { has_continued: true, ..pending(2) }));
        assert_eq!(read.take(2), None);
        assert_eq!(read.take(1).and_then(|entry| entry.run), Some(run));
    }

    #[test]
    fn a_full_bucket_replaces_the_oldest_entry() {
        let mut bucket = Bucket::default();
        for call in (1..=WAYS as u64 + 2).rev() {
            bucket.put(pending(call));
        }
        // Clock readings usually ascend. Here they descend.
        assert_eq!(bucket.0.len(), WAYS);
        assert!(bucket.take(WAYS as u64 + 2).is_some());
        bucket.put(pending(1));
        assert_eq!(bucket.0.iter().filter(|entry| entry.call == 1).count(), 1);
        assert!(bucket.bytes().len() <= 1 + WAYS * ENTRY);
        // An entry whose run does not wait is replaced before the oldest.
        assert!(bucket.close(WAYS as u64, 10 * WAYS as u64).is_some());
        bucket.put(pending(500));
        bucket.put(pending(501));
        assert!(bucket.take(WAYS as u64).is_none() && bucket.take(1).is_some());
    }

    #[test]
    fn a_run_is_closed_once_and_not_after_it_continued() {
        let mut bucket = Bucket::default();
        bucket.put(pending(1));
        assert!(bucket.waits(1, 10) && !bucket.waits(1, 9) && bucket.close(1, 9).is_none());
        assert!(bucket.close(2, 10).is_none() && bucket.close(1, 10) == Some(None));
        assert!(bucket.close(1, 10).is_none() && !bucket.waits(1, 10));
        assert!(bucket.take(1).is_some_and(|entry| entry.run_has_ended));
        bucket.put(pending(3));
        assert!(bucket.leave(3).is_some() && !bucket.waits(3, 30) && bucket.close(3, 30).is_none());
        assert!(bucket.take(3).is_some_and(|entry| entry.has_continued && !entry.run_has_ended));
    }

    #[test]
    fn a_caller_with_many_runs_replaces_its_own_entries_first() {
        let mut bucket = Bucket::default();
        let of = |caller: u32, call: u64| Pending { caller, ..pending(call) };
        bucket.put(of(1, 1));
        (2..=4).for_each(|call| bucket.put(of(2, call)));
        (100..10_000).for_each(|call| bucket.put(of(3, call)));
        assert!((1..=4).all(|call| bucket.waits(call, 10 * call)) && bucket.0.len() == WAYS);
        // Among callers with one run each, the oldest is replaced.
        (10_000..10_100).for_each(|call| bucket.put(of(call as u32, call)));
        assert!(!bucket.waits(1, 10) && bucket.waits(10_099, 100_990) && bucket.0.len() == WAYS);
    }

    /// Adds the run of a call as a worker does.
    fn begin(queue: &mut WaitingRuns, bucket: &mut Bucket, call: u64) {
        bucket.put(pending(call));
        let waiting = WaitingRun::new(&Observation::default(), &[pending(call)], RunEnd::Abandoned, 5).unwrap();
        queue.push(3, bucket, waiting);
    }

    #[test]
    fn runs_that_moved_on_make_room_and_a_waiting_run_stays_until_it_is_due() {
        let (mut queue, mut bucket) = (WaitingRuns::default(), Bucket::default());
        begin(&mut queue, &mut bucket, 1);
        for call in 2..10_000 {
            begin(&mut queue, &mut bucket, call);
            assert!(if call % 2 == 0 { bucket.leave(call).is_some() } else { bucket.take(call).is_some() });
            assert!(queue.buckets[3].len() <= WAYS);
        }
        assert!(bucket.waits(1, 10), "the waiting run was replaced");
        assert!(queue.due(14, 256).is_empty());
        assert!(queue.due(15, 256).iter().any(|run| run.lead == 1));
    }

    #[test]
    fn a_replaced_run_is_forgotten() {
        let (mut queue, mut bucket) = (WaitingRuns::default(), Bucket::default());
        (1..=WAYS as u64 + 10).for_each(|call| begin(&mut queue, &mut bucket, call));
        assert_eq!(queue.buckets[3].iter().map(|run| run.lead).min(), Some(11));
        let due = queue.due(u64::MAX, 256);
        assert_eq!(due.len(), WAYS);
        assert!(due.iter().all(|run| bucket.close(run.lead, run.since).is_some()));
        assert!(queue.due(u64::MAX, 256).is_empty() && WaitingRuns::default().due(0, 1).is_empty());
    }

    #[test]
    fn damaged_bytes_are_an_empty_bucket() {
        let mut bucket = Bucket::default();
        bucket.put(Pending { name: "é".repeat(200).into(), ..pending(1) });
        let bytes = bucket.bytes();
        for cut in 0..bytes.len() {
            assert!(Bucket::parse(&bytes[..cut]).0.is_empty());
        }
        assert_eq!(Bucket::parse(&bytes).0.len(), 1);
        assert_eq!(Bucket::parse(&[9; 400]), Bucket::default());
    }
}
