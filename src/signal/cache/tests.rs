//! Tests of the comparison and the estimate. Sessions with whole requests are in `tests/core/cache.rs`.

use super::*;
use crate::bytes::mix::Mix;
use crate::draft::Draft;

/// A prefix whose messages have these names, with the marks of Anthropic if `is_marked`.
fn prefix(names: &[u64], is_marked: bool) -> Box<Draft> {
    let mut draft = Box::<Draft>::default();
    draft.start_prefix();
    for name in names {
        draft.message_opened();
        draft.text_hashed(Mix::new(0).number(*name).finish());
        draft.message_closed();
    }
    if is_marked {
        draft.prefix_marked();
    }
    draft
}

fn asked(draft: &Draft) -> Asked<'_> {
    Asked { prefix: draft.conversation.prefix().unwrap(), model: 1, shows_all: true }
}

fn record(names: &[u64], started: u64) -> Record {
    let draft = prefix(names, false);
    Record { key: 9, started, model: 1, input: 5000, cached: 5000, ..Record::of(asked(&draft).prefix, true) }
}

fn compared(before: &[u64], after: &[u64]) -> Messages {
    compare(&record(before, 1), &asked(&prefix(after, false)))
}

const SECOND: u64 = 1_000_000_000;
const OPENAI: &str = "openai";

/// The loss of a call that begins `seconds` after the previous one, whose record `change` changes.
fn judged(provider: &str, change: fn(&mut Record), read: Option<u64>, seconds: u64) -> Option<(CacheBreakCause, u64)> {
    let mut record = record(&[1, 2, 3], SECOND);
    change(&mut record);
    let draft = prefix(&[1, 2, 3, 4, 5], record.is_marked);
    let comparison = Comparison::find([&record].into_iter(), &asked(&draft)).unwrap();
    let answered = Answered { started: SECOND * (1 + seconds), model: 7, input: Some(6000), read };
    let model = if provider == "anthropic" { "claude-sonnet-4-5" } else { "gpt-4o" };
    comparison.judge(&answered, &cache_rules(provider, model)).map(|found| (found.cause, found.lost_tokens))
}

#[test]
fn a_request_that_goes_on_continues_the_call_and_one_that_went_back_is_another_branch() {
    use Messages::{Changed, Continued, Other};
    let call = [1, 2, 3, 4, 5];
    for (request, expected) in [
        (&[1, 2, 3, 4, 5, 6, 7][..], Continued),
        (&[1, 2, 3, 4, 5], Continued),
        // One message edited, the last one too.
        (&[9, 2, 3, 4, 5, 6, 7], Changed(Some(1))),
        (&[1, 2, 9, 4, 5, 6, 7], Changed(Some(3))),
        (&[1, 2, 3, 4, 9, 6, 7], Changed(Some(5))),
        // One left out, or added.
        (&[1, 3, 4, 5, 6, 7], Changed(Some(2))),
        (&[1, 2, 9, 3, 4, 5, 6, 7], Changed(Some(3))),
        // Trimmed, or summed up.
        (&[1, 4, 5, 6, 7], Changed(Some(2))),
        (&[1, 9, 4, 5, 6], Changed(Some(2))),
        // Went back, and wrote something else.
        (&[1, 2, 3], Other),
        (&[1, 2, 9], Other),
        (&[1, 2, 8, 9, 10], Other),
        (&[1, 2, 3, 4, 9], Other),
        // Another conversation with the same begin, which is longer.
        (&[1, 2, 8, 9, 10, 11, 12], Other),
    ] {
        assert_eq!(compared(&call, request), expected, "{request:?}");
    }
}

#[test]
fn of_several_branches_the_longest_that_the_request_begins_with_is_continued() {
    let records = [record(&[1, 2, 3], 4), record(&[1, 2, 9, 4, 5], 3), record(&[1, 2, 3, 4, 5], 2), record(&[1], 5)];
    let find = |names: &[u64]| {
        let found = Comparison::find(records.iter(), &asked(&prefix(names, false)))?;
        Some((found.continued(), found.change))
    };
    assert_eq!(find(&[1, 2, 3, 4, 5, 6, 7]), Some((2, None)));
    assert_eq!(find(&[1, 2, 9, 4, 5, 6, 7]), Some((3, None)));
    assert_eq!(find(&[1, 2, 3, 8]), Some((4, None)));
    assert_eq!(find(&[1, 2, 7, 4, 5, 6, 7]).unwrap().0, 5, "of the first call all is there");
    assert_eq!(find(&[8]), None);
}

#[test]
fn each_cause_follows_from_what_differs_or_from_the_rules_of_the_provider() {
    use CacheBreakCause::{BelowMinimum, Expired, Model, Parameters, System, Tools, Unknown};
    let lost = |provider, change, seconds| judged(provider, change, Some(0), seconds).map(|(cause, _)| cause);
    assert_eq!(lost(OPENAI, |record| record.model = 2, 1), Some(Model));
    assert_eq!(lost(OPENAI, |record| record.answered_by = 2, 1), Some(Model));
    assert_eq!(lost(OPENAI, |record| record.parameters += 1, 1), Some(Parameters));
    assert_eq!(lost(OPENAI, |record| record.tools += 1, 1), Some(Tools));
    assert_eq!(lost(OPENAI, |record| record.system += 1, 1), Some(System));
    assert_eq!(lost(OPENAI, |_| {}, 300), Some(Unknown));
    assert_eq!(lost(OPENAI, |_| {}, 301), Some(Expired));
    assert_eq!(lost(OPENAI, |record| record.kept_for = 86_400, 3600), Some(Unknown));
    assert_eq!(lost("x_ai", |_| {}, 100_000), Some(Unknown));
    assert_eq!(lost(OPENAI, |record| record.input = 1023, 1), Some(BelowMinimum));
    // The first part in the order of the prefix is the cause.
    let all = |record: &mut Record| (record.model, record.tools, record.system) = (2, 2, 2);
    assert_eq!(lost(OPENAI, all, 1), Some(Model));
    assert_eq!(lost(OPENAI, |record| (record.tools, record.system) = (2, 2), 301), Some(Tools));
}

#[test]
fn only_marked_prompts_are_cached_by_providers_that_need_marks() {
    use CacheBreakCause::{BelowMinimum, Expired};
    let lost = |change, seconds| judged("anthropic", change, Some(0), seconds);
    assert_eq!(lost(|record| record.cached = 0, 301), None);
    assert_eq!(lost(|record| (record.is_marked, record.cached) = (true, 4000), 301), Some((Expired, 4000)));
    assert_eq!(
        lost(|record| (record.is_marked, record.cached, record.input) = (true, 0, 900), 1),
        Some((BelowMinimum, 900))
    );
    assert_eq!(lost(|record| (record.is_marked, record.cached) = (true, 0), 1), None, "nothing was cached");
}

#[test]
fn the_loss_is_what_the_cache_had_minus_what_was_read_and_never_more_than_this_call_needs() {
    let lost = |read| judged(OPENAI, |_| {}, read, 1).map(|(_, lost)| lost);
    assert_eq!(lost(Some(1024)), Some(5000 - 1024));
    assert_eq!(lost(Some(4864)), None, "the counts have steps");
    assert_eq!(lost(Some(9000)), None);
    assert_eq!(lost(None), None, "unknown is not zero");
    let much = |record: &mut Record| (record.input, record.cached) = (900_000, 900_000);
    assert_eq!(judged(OPENAI, much, Some(0), 1).unwrap().1, 6000);
    // A count that is left out is 0 only if the call before had one.
    let read_before = |record: &mut Record| record.has_read = true;
    assert_eq!(judged("gcp.gemini", |_| {}, None, 1), None);
    assert_eq!(judged("gcp.gemini", read_before, None, 1).unwrap().1, 5000);
    assert_eq!(judged(OPENAI, read_before, None, 1), None);
}

#[test]
fn a_long_conversation_is_compared_in_the_window_and_by_blocks_before_it() {
    let call: Vec<u64> = (1..=600).collect();
    let mut request: Vec<u64> = (1..=602).collect();
    assert_eq!(compared(&call, &request), Messages::Continued);
    request[400] = 0;
    assert_eq!(compared(&call, &request), Messages::Changed(Some(401)));
    request[400] = 401;
    request[3] = 0;
    assert_eq!(compared(&call, &request), Messages::Changed(None));
    assert_eq!(compared(&call, &(3..=602).collect::<Vec<_>>()), Messages::Changed(None));
}

#[test]
fn a_bucket_is_the_same_after_it_was_written_and_other_bytes_are_none() {
    let mut bucket = Records::default();
    let names: Vec<u64> = (0..1000).collect();
    for n in 0..WAYS as u64 {
        let mut record = record(&names[..(n as usize + 1) * 100], n);
        (record.answered_by, record.kept_for, record.is_marked, record.has_read) = (3, 60, n % 2 == 0, n % 3 == 0);
        bucket.put(record, u64::MAX);
    }
    let bytes = bucket.bytes();
    assert!(bytes.len() <= 1 + WAYS * RECORD && RECORD <= 600, "{} bytes, {RECORD} per record", bytes.len());
    assert_eq!(Records::parse(&bytes), bucket);
    for end in 0..bytes.len() {
        let whole = Records::parse(&bytes[..end]);
        assert!(whole.of(9).count() < WAYS && whole.of(9).all(|record| bucket.of(9).any(|other| record == other)));
    }
    assert_eq!(Records::parse(b"\xffnothing"), Records::default());
}

#[test]
fn a_full_bucket_forgets_the_oldest_call_of_the_caller_with_the_most() {
    let mut bucket = Records::default();
    let of = |caller: u32, key: u64, started: u64| Record { key, caller, started, count: 1, ..Record::default() };
    bucket.put(of(1, 1, 1), 0);
    (2..=20).for_each(|n| bucket.put(of(2, n, n), 0));
    let has = |key: u64| bucket.of(key).count() == 1;
    assert!(has(1) && (14..=20).all(has) && !(2..14).any(has));
    // The call that is continued is replaced, and so is an equal one.
    let mut bucket = Records::default();
    bucket.put(record(&[1], 1), 0);
    bucket.put(record(&[1, 2, 3], 2), 1);
    bucket.put(record(&[1, 2, 3], 3), 0);
    assert_eq!(bucket.of(9).map(|record| record.started).collect::<Vec<_>>(), [3]);
}
