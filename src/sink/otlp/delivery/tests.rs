use super::*;

#[derive(Default)]
struct TestSource {
    items: u64,
    size: usize,
    dropped: u64,
}

impl Source for TestSource {
    fn take(&mut self, _: u64) -> Option<Batch> {
        let items = core::mem::take(&mut self.items);
        (items > 0).then(|| Batch { body: vec![items as u8; self.size.max(1)], items })
    }

    fn take_dropped(&mut self) -> u64 {
        core::mem::take(&mut self.dropped)
    }
}

fn waiting(items: u64) -> TestSource {
    TestSource { items, ..TestSource::default() }
}

fn status(status: u16) -> CollectorAnswer {
    CollectorAnswer { status: Some(status), ..CollectorAnswer::default() }
}

fn tally(sent: u64, failed: u64, dropped: u64) -> Tally {
    Tally { sent, failed, dropped }
}

/// Sends what waits, and passes the answer.
fn exchange(delivery: &mut Delivery, now: u64, source: &mut TestSource, answer: &CollectorAnswer) -> Option<Vec<u8>> {
    let body = delivery.next(now, source)?.to_vec();
    delivery.sent();
    delivery.answered(now, answer);
    Some(body)
}

/// The time at which something is sent, to a tenth of a second, from `now` on.
fn next_at(delivery: &mut Delivery, now: u64) -> u64 {
    (0..10_000).map(|tenth| now + tenth * SECOND / 10).find(|at| delivery.next(*at, &mut waiting(1)).is_some()).unwrap()
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
    let mut large = TestSource { items: 3, size: REQUEST_LIMIT + 1, dropped: 2 };
    assert_eq!(delivery.next(0, &mut large), None);
    assert_eq!(delivery.take_tally(), tally(0, 0, 5));
    assert!(delivery.next(0, &mut TestSource { items: 3, size: REQUEST_LIMIT, dropped: 0 }).is_some());
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
    delivery.give_up(3, &mut TestSource { items: 5, size: 1, dropped: 1 });
    assert_eq!((delivery.take_tally(), delivery.is_waiting()), (tally(3, 4, 6), false));
}

#[test]
fn the_rest_of_an_export_is_sent_without_delay_unless_the_collector_wants_a_pause() {
    struct Parts(u64);
    impl Source for Parts {
        fn take(&mut self, _: u64) -> Option<Batch> {
            self.0 = self.0.checked_sub(1)?;
            Some(Batch { body: vec![1], items: 1 })
        }

        fn take_dropped(&mut self) -> u64 {
            0
        }

        fn has_more(&self) -> bool {
            self.0 > 0
        }
    }
    let (mut delivery, mut parts) = (Delivery::new(Retention::Replace, 10 * SECOND, 0), Parts(3));
    let mut sent = |delivery: &mut Delivery, now, answer: &CollectorAnswer| {
        let is_sent = delivery.next(now, &mut parts).is_some();
        delivery.sent();
        delivery.answered(now, answer);
        is_sent
    };
    assert!(sent(&mut delivery, 10 * SECOND, &status(200)));
    assert!(sent(&mut delivery, 11 * SECOND, &status(503)));
    assert!(!sent(&mut delivery, 11 * SECOND, &status(200)));
    assert!(sent(&mut delivery, 40 * SECOND, &status(200)));
}
