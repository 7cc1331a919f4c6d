//! The delivery of one signal to a collector: the time of each request, the requests to send again, and the results of the items.
//!
//! At most one request is in flight. Spec: OTLP 1, "OTLP/HTTP Response" and "OTLP/HTTP Throttling". Memory: one request.

#[cfg(test)]
mod tests;

use super::answer::CollectorAnswer;
use crate::bytes::mix::Mix;

const SECOND: u64 = 1_000_000_000;

/// Maximum size of a request's body in bytes. A larger one is not sent, and its items are dropped.
pub const REQUEST_LIMIT: usize = 1024 * 1024;

/// Longest time between two requests because the collector said so, in nanoseconds.
const LONGEST_WAIT: u64 = 300 * SECOND;
/// The same because it failed.
const LONGEST_BACKOFF: u64 = 60 * SECOND;

/// Time between two lines in the log about one signal, in nanoseconds.
const QUIET: u64 = 60 * SECOND;

/// An encoded request and the number of its items: spans, data points or log records.
pub struct Batch {
    /// The request's body.
    pub body: Vec<u8>,
    /// Number of items in it.
    pub items: u64,
}

/// A place where the items of a signal wait.
pub trait Source {
    /// Removes the items that wait, at most [`REQUEST_LIMIT`] bytes. None if there are none.
    fn take(&mut self, now: u64) -> Option<Batch>;

    /// Number of items since the last call for which there was no room.
    fn take_dropped(&mut self) -> u64;

    /// Returns true if the last request was a part of what waited then. The rest is sent without delay.
    fn has_more(&self) -> bool {
        false
    }
}

/// A rule for a request that failed, but might be accepted later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Retention {
    /// It is sent again: spans and log records.
    Resend,
    /// The next request has newer values of all items, so nothing is lost: cumulative metrics.
    Replace,
    /// Its items are lost. A collector that has accepted them before its answer was lost would count them twice: delta metrics.
    Lose,
}

/// Numbers of items by their result. An item is counted when its result is final.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Accepted by the collector.
    pub sent: u64,
    /// Not accepted.
    pub failed: u64,
    /// Never sent.
    pub dropped: u64,
}

/// The delivery of one signal.
pub struct Delivery {
    retention: Retention,
    /// Least time between two requests, in nanoseconds.
    interval: u64,
    /// The time before which nothing is sent, in nanoseconds since 1970.
    due: u64,
    state: DeliveryState,
    /// Number of requests in a row that failed.
    failures: u32,
    is_closing: bool,
    /// The last items of a closing delivery were taken from their source.
    is_drained: bool,
    tally: Tally,
    /// The time of the last line in the log, in nanoseconds since 1970.
    told: Option<u64>,
    complaint: Option<String>,
}

/// The event that a delivery waits for. The body is kept only if it may be sent again.
enum DeliveryState {
    /// New items.
    Idle,
    /// The time to send this request, or the host.
    Ready(Batch),
    /// The answer to this request.
    Sent(Batch),
}

impl Delivery {
    /// A delivery that starts `now` with requests at least `interval` nanoseconds apart.
    pub fn new(retention: Retention, interval: u64, now: u64) -> Self {
        Delivery {
            retention,
            interval,
            due: now.saturating_add(interval),
            state: DeliveryState::Idle,
            failures: 0,
            is_closing: false,
            is_drained: false,
            tally: Tally::default(),
            told: None,
            complaint: None,
        }
    }

    /// Returns the body to send now, if there is one. Then the caller calls [`Delivery::sent`], [`Delivery::lost`] or [`Delivery::answered`].
    pub fn next(&mut self, now: u64, source: &mut dyn Source) -> Option<&[u8]> {
        self.tally.dropped += source.take_dropped();
        let has_more = self.failures == 0 && source.has_more();
        if now < self.due && !self.is_closing && !has_more {
            return None;
        }
        if let DeliveryState::Idle = self.state {
            if core::mem::replace(&mut self.is_drained, self.is_closing) && !has_more {
                return None;
            }
            let batch = source.take(now)?;
            self.due = self.due.saturating_add(self.interval).max(now.saturating_add(self.interval / 2));
            if batch.body.len() > REQUEST_LIMIT {
                self.tally.dropped += batch.items;
                return None;
            }
            self.state = DeliveryState::Ready(batch);
        }
        match &self.state {
            DeliveryState::Ready(batch) => Some(&batch.body),
            DeliveryState::Idle | DeliveryState::Sent(_) => None,
        }
    }

    /// The host sends the request.
    pub fn sent(&mut self) {
        if let DeliveryState::Ready(mut batch) = self.take_state() {
            if self.retention != Retention::Resend {
                batch.body = Vec::new();
            }
            self.state = DeliveryState::Sent(batch);
        }
    }

    /// The host cannot send the request, and never will.
    pub fn lost(&mut self) {
        if let DeliveryState::Ready(batch) = self.take_state() {
            self.tally.failed += batch.items;
        }
    }

    /// The collector has answered the request, or the request has failed.
    pub fn answered(&mut self, now: u64, answer: &CollectorAnswer) {
        let (DeliveryState::Ready(batch) | DeliveryState::Sent(batch)) = self.take_state() else { return };
        if answer.is_accepted() {
            self.failures = 0;
            let rejected = answer.rejected.min(batch.items);
            self.tally.sent += batch.items - rejected;
            self.tally.failed += rejected;
            if rejected > 0 || !answer.message.is_empty() {
                self.complain(now, || format!("rejected {rejected} of {}: {}", batch.items, answer.message));
            }
        } else if answer.is_retryable() {
            self.failures = self.failures.saturating_add(1);
            let wait = answer.retry_after.map_or_else(|| self.backoff(now), |wait| wait.clamp(SECOND, LONGEST_WAIT));
            self.due = self.due.max(now.saturating_add(wait));
            match self.retention {
                Retention::Resend if !self.is_closing => self.state = DeliveryState::Ready(batch),
                Retention::Replace if !self.is_closing => {}
                _ => self.tally.failed += batch.items,
            }
        } else {
            self.tally.failed += batch.items;
            let status = answer.status.unwrap_or_default();
            self.complain(now, || format!("refused {} with the status {status}", batch.items));
        }
    }

    /// The end is near: what waits is sent once more without delay, then what the source has, and nothing after it.
    pub fn close(&mut self) {
        self.is_closing = true;
    }

    /// Counts the items that are not delivered at the end.
    pub fn give_up(&mut self, now: u64, source: &mut dyn Source) {
        match self.take_state() {
            DeliveryState::Idle => {}
            DeliveryState::Ready(batch) => self.tally.dropped += batch.items,
            DeliveryState::Sent(batch) => self.tally.failed += batch.items,
        }
        self.tally.dropped += source.take_dropped() + source.take(now).map_or(0, |batch| batch.items);
    }

    /// Returns true if a request is in flight.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, DeliveryState::Sent(_))
    }

    /// Returns true if new items are sent as soon as they come.
    pub fn is_open(&self, now: u64) -> bool {
        matches!(self.state, DeliveryState::Idle) && now >= self.due
    }

    /// The results of items since the last call.
    pub fn take_tally(&mut self) -> Tally {
        core::mem::take(&mut self.tally)
    }

    /// What the log should say about the collector's answer: at most one line in a minute.
    pub fn take_complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    fn take_state(&mut self) -> DeliveryState {
        core::mem::replace(&mut self.state, DeliveryState::Idle)
    }

    fn complain(&mut self, now: u64, complaint: impl FnOnce() -> String) {
        if self.told.is_none_or(|told| now.saturating_sub(told) >= QUIET) {
            self.told = Some(now);
            self.complaint = Some(complaint());
        }
    }

    /// The wait after a failure: it doubles each time from one second on. A part that differs between workers keeps them from
    /// sending all at once.
    fn backoff(&self, now: u64) -> u64 {
        let longest = (SECOND << self.failures.min(6)).min(LONGEST_BACKOFF);
        longest / 2 + Mix::new(now).number(u64::from(self.failures)).finish() % (longest / 2)
    }
}
