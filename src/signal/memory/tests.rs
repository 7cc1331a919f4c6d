use super::{Bucket, ENTRY, Pending, WAYS, WaitingRun, WaitingRuns};
use crate::observation::{Observation, RunEnd};
use crate::trace_context::RunSpan;

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
    assert_eq!(read.take(2, 0), Some(Pending { has_continued: true, ..pending(2) }));
    assert_eq!(read.take(2, 0), None);
    assert_eq!(read.take(1, 0).and_then(|entry| entry.run), Some(run));
}

#[test]
fn the_bytes_of_a_bucket_show_which_calls_it_cannot_have() {
    let mut bucket = Bucket::default();
    (1..=9).for_each(|call| bucket.put(pending(call * 1_000_003)));
    let bytes = bucket.bytes();
    assert!((1..=9).all(|call| Bucket::may_have(&bytes, call * 1_000_003)));
    assert!((1..=9).all(|call| !Bucket::may_have(&bytes, call * 1_000_003 + 1)));
    assert!(!Bucket::may_have(&[], 0));
}

#[test]
fn a_full_bucket_replaces_the_oldest_entry() {
    let mut bucket = Bucket::default();
    for call in (1..=WAYS as u64 + 2).rev() {
        bucket.put(pending(call));
    }
    // Clock readings usually ascend. Here they descend.
    assert_eq!(bucket.len(), WAYS);
    assert!(bucket.take(WAYS as u64 + 2, 0).is_some());
    bucket.put(pending(1));
    assert_eq!(
        {
            let mut copy = bucket.clone();
            (0..2).filter(|_| copy.take(1, 0).is_some()).count()
        },
        1
    );
    assert!(bucket.bytes().len() <= 1 + WAYS * ENTRY);
    // An entry whose run does not wait is replaced before the oldest.
    assert!(bucket.close(WAYS as u64, 10 * WAYS as u64).is_some());
    bucket.put(pending(500));
    bucket.put(pending(501));
    assert!(bucket.take(WAYS as u64, 0).is_none() && bucket.take(1, 0).is_some());
}

#[test]
fn a_run_is_closed_once_and_not_after_it_continued() {
    let mut bucket = Bucket::default();
    bucket.put(pending(1));
    assert!(bucket.waits(1, 10) && !bucket.waits(1, 9) && bucket.close(1, 9).is_none());
    assert!(bucket.close(2, 10).is_none() && bucket.close(1, 10).is_some_and(|entry| entry.run.is_none()));
    assert!(bucket.close(1, 10).is_none() && !bucket.waits(1, 10));
    assert!(bucket.take(1, 0).is_some_and(|entry| entry.run_has_ended));
    bucket.put(pending(3));
    assert!(bucket.leave(3, 30).is_some() && !bucket.waits(3, 30) && bucket.close(3, 30).is_none());
    assert!(bucket.take(3, 0).is_some_and(|entry| entry.has_continued && !entry.run_has_ended));
}

#[test]
fn a_caller_with_many_runs_replaces_its_own_entries_first() {
    let mut bucket = Bucket::default();
    let of = |caller: u32, call: u64| Pending { caller, ..pending(call) };
    bucket.put(of(1, 1));
    (2..=4).for_each(|call| bucket.put(of(2, call)));
    (100..10_000).for_each(|call| bucket.put(of(3, call)));
    assert!((1..=4).all(|call| bucket.waits(call, 10 * call)) && bucket.len() == WAYS);
    // Among callers with one run each, the oldest is replaced.
    (10_000..10_100).for_each(|call| bucket.put(of(call as u32, call)));
    assert!(!bucket.waits(1, 10) && bucket.waits(10_099, 100_990) && bucket.len() == WAYS);
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
        assert!(if call % 2 == 0 { bucket.leave(call, 10 * call).is_some() } else { bucket.take(call, 0).is_some() });
        assert!(queue.of(3).len() <= WAYS);
    }
    assert!(bucket.waits(1, 10), "the waiting run was replaced");
    assert!(queue.due(14, 256).is_empty());
    assert!(queue.due(15, 256).iter().any(|run| run.lead == 1));
}

#[test]
fn a_replaced_run_is_forgotten() {
    let (mut queue, mut bucket) = (WaitingRuns::default(), Bucket::default());
    (1..=WAYS as u64 + 10).for_each(|call| begin(&mut queue, &mut bucket, call));
    assert_eq!(queue.of(3).iter().map(|run| run.lead).min(), Some(11));
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
        assert!(Bucket::parse(&bytes[..cut]).is_empty());
    }
    assert_eq!(Bucket::parse(&bytes).len(), 1);
    assert_eq!(Bucket::parse(&[9; 400]), Bucket::default());
}
