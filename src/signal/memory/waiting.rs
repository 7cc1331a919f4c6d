//! Runs that wait for their next request. A worker counts a run as ended if that request does not come in time.

#[cfg(doc)]
use super::WAYS;
use super::{Bucket, Pending};
use crate::observation::{Agent, Attribution, Observation, RunEnd};

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
    /// The end of the run if no request continues it.
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

    /// An observation that counts the end of the run, and nothing else. `is_left`: the conversation has gone on without the results.
    pub fn given_up(self, is_left: bool) -> Observation {
        let is_unknown = is_left && matches!(self.end, RunEnd::Abandoned | RunEnd::Completed);
        let end = if is_unknown { RunEnd::Unknown } else { self.end };
        let agent = Agent { iteration: self.iteration, ended: Some(end), ..Agent::default() };
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

    /// The runs of the bucket with this number.
    pub fn of(&self, number: usize) -> &[WaitingRun] {
        self.buckets.get(number).map_or(&[], Vec::as_slice)
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
