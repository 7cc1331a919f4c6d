//! The delivery of one signal to a collector: when to send, what to send again, and what became of the items.
//!
//! At most one request is in flight. Spec: OTLP 1, "OTLP/HTTP Response" and "OTLP/HTTP Throttling". Memory: one request.

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

/// What became of items. An item is counted when its fate is known.
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
    /// The last line in the log: when.
    told: Option<u64>,
    complaint: Option<String>,
}

/// What a delivery waits for. The body is kept only if it may be sent again.
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

    /// The body to send now, if there is one. The caller tells then if it is [`Delivery::sent`] or [`Delivery::lost`].
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

    /// Counts what was not delivered until the end.
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

    /// What became of items since the last call.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Waiting {
        items: u64,
        size: usize,
        dropped: u64,
    }

    impl Source for Waiting {
        fn take(&mut self, _: u64) -> Option<Batch> {
            let items = core::mem::take(&mut self.items);
            (items > 0).then(|| Batch { body: vec![items as u8; self.size.max(1)], items })
        }

        fn take_dropped(&mut self) -> u64 {
            core::mem::take(&mut self.dropped)
        }
    }

    fn waiting(items: u64) -> Waiting {
        Waiting { items, ..Waiting::default() }
    }

    fn status(status: u16) -> CollectorAnswer {
        CollectorAnswer { status: Some(status), ..CollectorAnswer::default() }
    }

    fn tally(sent: u64, failed: u64, dropped: u64) -> Tally {
        Tally { sent, failed, dropped }
    }

    /// Sends what waits, and passes the answer.
    fn exchange(delivery: &mut Delivery, now: u64, source: &mut Waiting, answer: &CollectorAnswer) -> Option<Vec<u8>> {
        let body = delivery.next(now, source)?.to_vec();
        delivery.sent();
        delivery.answered(now, answer);
        Some(body)
    }

    /// The time at which something is sent, to a tenth of a second, from `now` on.
    fn next_at(delivery: &mut Delivery, now: u64) -> u64 {
        (0..10_000)
            .map(|tenth| now + tenth * SECOND / 10)
            .find(|at| delivery.next(*at, &mut waiting(1)).is_some())
            .unwrap()
    }

    #[test]
    fn one_request_is_in_flight_and_new_items_wait_for_its_answer() {
        let mut delivery = Delivery::new(Retention::Resend, 0, 5);
        assert_eq!(delivery.next(5, &mut waiting(0)), None);
        assert!(delivery.is_open(5) && !delivery.is_waiting());
        assert_eq!(delivery.next(5, &mut waiting(3)), Some(&[3][..]));
        delivery.sent();
        assert!(delivery.is_waiting() && !delivery.is_open(6));
        let mut more = waiting(4);
        assert_eq!(delivery.next(6, &mut more), None);
        assert_eq!(delivery.take_tally(), tally(0, 0, 0));
        delivery.answered(7, &status(200));
        assert_eq!(delivery.take_tally(), tally(3, 0, 0));
        assert_eq!(delivery.next(7, &mut more), Some(&[4][..]));
    }

    #[test]
    fn a_request_is_sent_again_after_a_retryable_failure_and_nothing_is_counted_meanwhile() {
        for failure in [status(429), status(502), status(503), status(504), CollectorAnswer::default()] {
            let mut delivery = Delivery::new(Retention::Resend, 0, 0);
            assert_eq!(exchange(&mut delivery, 0, &mut waiting(3), &failure), Some(vec![3]));
            let mut more = waiting(4);
            assert_eq!(delivery.next(SECOND / 2, &mut more), None, "{failure:?}");
            assert_eq!(exchange(&mut delivery, 2 * SECOND, &mut more, &status(200)), Some(vec![3]), "{failure:?}");
            assert_eq!(delivery.take_tally(), tally(3, 0, 0));
            assert_eq!(more.items, 4);
        }
    }

    #[test]
    fn another_failure_is_final() {
        for failure in [300, 400, 401, 404, 413, 500, 501] {
            for retention in [Retention::Resend, Retention::Replace, Retention::Lose] {
                let mut delivery = Delivery::new(retention, 0, 0);
                exchange(&mut delivery, 0, &mut waiting(3), &status(failure));
                assert_eq!(delivery.take_tally(), tally(0, 3, 0), "{failure}");
                let complaint = format!("refused 3 with the status {failure}");
                assert_eq!(delivery.take_complaint(), Some(complaint));
                assert_eq!(delivery.next(1, &mut waiting(4)), Some(&[4][..]));
            }
        }
    }

    #[test]
    fn the_wait_is_the_collectors_own_or_doubles_from_one_second_to_one_minute() {
        let mut delivery = Delivery::new(Retention::Resend, 0, 0);
        let mut now = 0;
        for longest in [2, 4, 8, 16, 32, 60, 60, 60] {
            exchange(&mut delivery, now, &mut waiting(1), &status(503));
            let next = next_at(&mut delivery, now);
            let wait = (next - now) as f64 / SECOND as f64;
            assert!((f64::from(longest) / 2.0..=f64::from(longest)).contains(&wait), "{wait} {longest}");
            now = next;
        }
        for (asked, waited) in [(0, 1), (7, 7), (100_000, 300)] {
            let answer = CollectorAnswer { retry_after: Some(asked * SECOND), ..status(429) };
            exchange(&mut delivery, now, &mut waiting(1), &answer);
            assert_eq!(next_at(&mut delivery, now) - now, waited * SECOND);
            now += waited * SECOND;
        }
        // A success ends the waits.
        exchange(&mut delivery, now, &mut waiting(1), &status(200));
        exchange(&mut delivery, now, &mut waiting(1), &status(503));
        assert!(next_at(&mut delivery, now) - now <= 2 * SECOND);
    }

    #[test]
    fn workers_that_fail_at_different_times_wait_differently() {
        let waits = (0..20).map(|now| {
            let mut delivery = Delivery::new(Retention::Resend, 0, 0);
            exchange(&mut delivery, now, &mut waiting(1), &status(503));
            next_at(&mut delivery, now) / (SECOND / 10)
        });
        assert!(waits.collect::<std::collections::BTreeSet<_>>().len() > 5);
    }

    #[test]
    fn metrics_are_sent_at_the_interval_and_never_twice() {
        for (retention, failed) in [(Retention::Replace, 0), (Retention::Lose, 3)] {
            let mut delivery = Delivery::new(retention, 10 * SECOND, 0);
            assert_eq!(delivery.next(9 * SECOND, &mut waiting(3)), None);
            // Late ticks do not shift the interval.
            assert_eq!(exchange(&mut delivery, 11 * SECOND, &mut waiting(3), &status(200)), Some(vec![3]));
            assert_eq!(delivery.next(19 * SECOND, &mut waiting(3)), None);
            assert_eq!(delivery.take_tally(), tally(3, 0, 0));
            let answer = CollectorAnswer { retry_after: Some(25 * SECOND), ..status(503) };
            exchange(&mut delivery, 20 * SECOND, &mut waiting(3), &answer);
            assert_eq!(delivery.take_tally(), tally(0, failed, 0));
            assert_eq!(delivery.next(44 * SECOND, &mut waiting(5)), None);
            assert_eq!(exchange(&mut delivery, 45 * SECOND, &mut waiting(5), &status(200)), Some(vec![5]));
        }
    }

    #[test]
    fn a_partial_success_counts_the_rejected_items_and_is_told_once_a_minute() {
        let mut delivery = Delivery::new(Retention::Resend, 0, 0);
        let answer = |rejected| CollectorAnswer { rejected, message: "too old".into(), ..status(200) };
        exchange(&mut delivery, 0, &mut waiting(5), &answer(2));
        assert_eq!(delivery.take_tally(), tally(3, 2, 0));
        assert_eq!(delivery.take_complaint().as_deref(), Some("rejected 2 of 5: too old"));
        exchange(&mut delivery, 59 * SECOND, &mut waiting(5), &answer(u64::MAX));
        assert_eq!((delivery.take_tally(), delivery.take_complaint()), (tally(0, 5, 0), None));
        exchange(&mut delivery, 60 * SECOND, &mut waiting(5), &answer(0));
        assert_eq!(delivery.take_tally(), tally(5, 0, 0));
        assert_eq!(delivery.take_complaint().as_deref(), Some("rejected 0 of 5: too old"));
    }

    #[test]
    fn what_cannot_be_sent_is_counted() {
        let mut delivery = Delivery::new(Retention::Resend, 0, 0);
        let mut large = Waiting { items: 3, size: REQUEST_LIMIT + 1, dropped: 2 };
        assert_eq!(delivery.next(0, &mut large), None);
        assert_eq!(delivery.take_tally(), tally(0, 0, 5));
        assert!(delivery.next(0, &mut Waiting { items: 3, size: REQUEST_LIMIT, dropped: 0 }).is_some());
        delivery.lost();
        assert_eq!(delivery.take_tally(), tally(0, 3, 0));
    }

    #[test]
    fn a_closing_delivery_sends_at_once_what_waits_and_does_not_try_again() {
        for retention in [Retention::Resend, Retention::Replace, Retention::Lose] {
            let mut delivery = Delivery::new(retention, 10 * SECOND, 0);
            delivery.close();
            assert_eq!(exchange(&mut delivery, 1, &mut waiting(3), &status(503)), Some(vec![3]));
            assert_eq!(delivery.take_tally(), tally(0, 3, 0));
            assert_eq!(delivery.next(2, &mut waiting(4)), None, "the last items were taken");
        }
        let mut delivery = Delivery::new(Retention::Resend, 0, 0);
        exchange(&mut delivery, 0, &mut waiting(3), &status(503));
        delivery.close();
        let mut more = waiting(4);
        assert_eq!(exchange(&mut delivery, 1, &mut more, &status(200)), Some(vec![3]));
        assert_eq!(delivery.next(1, &mut more), Some(&[4][..]));
        delivery.sent();
        assert!(delivery.is_waiting());
        // The last request stays unanswered, and more has come.
        delivery.give_up(3, &mut Waiting { items: 5, size: 1, dropped: 1 });
        assert_eq!((delivery.take_tally(), delivery.is_waiting()), (tally(3, 4, 6), false));
    }
}
