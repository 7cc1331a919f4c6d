use super::*;
use crate::json::{Scalar, identity};

const WAIT: u64 = 1_000;

fn asked(peer: u64, caller: u64, id: u64, key: u64) -> AskedCall {
    AskedCall {
        peer,
        caller,
        id,
        item: 0,
        arguments: 5,
        key,
        beginning: 3,
        asked_at: 100,
        served: Served::default(),
        closed: None,
        name: "mcp__files__read".into(),
    }
}

fn wanted(peer: u64, caller: u64, call: u64) -> Wanted<'static> {
    Wanted { peer, caller, call, item: 0, arguments: 5, tool: "read", now: 200, wait: WAIT, has_ended: false }
}

fn bucket(calls: &[AskedCall]) -> AskedBucket {
    let mut bucket = AskedBucket::default();
    calls.iter().for_each(|call| bucket.put(call.clone(), WAIT));
    AskedBucket::parse(&bucket.bytes())
}

/// How a call is joined, and the keys of the calls that fit.
fn told(bucket: &AskedBucket, wanted: &Wanted<'_>) -> Option<(JoinedBy, Vec<u64>)> {
    bucket.find(wanted).map(|(how, calls)| (how, calls.iter().map(|call| call.key).collect()))
}

#[test]
fn an_identifier_joins_with_the_callers_credential_or_with_the_name_and_the_arguments() {
    let bucket = bucket(&[asked(1, 1, 11, 101), asked(1, 1, 12, 102), asked(2, 1, 13, 103)]);
    let other = Wanted { arguments: 6, tool: "other", ..wanted(1, 1, 12) };
    assert_eq!(told(&bucket, &other), Some((JoinedBy::Id, vec![102])));
    assert_eq!(told(&bucket, &wanted(1, 9, 12)), Some((JoinedBy::Id, vec![102])), "another credential for tools");
    for guessed in [Wanted { arguments: 6, ..wanted(1, 9, 12) }, Wanted { tool: "other", ..wanted(1, 9, 12) }] {
        assert_eq!(told(&bucket, &guessed), None, "{guessed:?}");
    }
    assert_eq!(told(&bucket, &wanted(1, 9, 13)), None, "the call of another address");
    assert_eq!(told(&bucket, &wanted(1, 9, 14)), None, "an unknown identifier, with known arguments");
}

#[test]
fn a_call_of_mcp_that_has_ended_finds_a_closed_call_by_its_identifier_for_some_seconds() {
    let run = RunSpan { trace: [1; 16], span: [2; 8], parent: [0; 8], start: 50 };
    let mut closed = bucket(&[asked(1, 1, 11, 101), asked(1, 1, 12, 102)]);
    closed.close(1, 1, 11, 300, Some(run)).unwrap();
    let closed = AskedBucket::parse(&closed.bytes());
    let ended = |now, call| Wanted { now, has_ended: true, wait: 10 * Closed::KEPT, ..wanted(1, 1, call) };
    let (how, calls) = closed.find(&ended(400, 11)).unwrap();
    let place = calls[0].closed.unwrap().place.unwrap();
    assert_eq!((how, place.trace, place.span), (JoinedBy::Id, [1; 16], run.tool(100, 11)));
    assert_eq!(told(&closed, &ended(300 + Closed::KEPT, 11)), Some((JoinedBy::Id, vec![101])));
    assert_eq!(told(&closed, &ended(301 + Closed::KEPT, 11)), None, "the worker has looked in between");
    assert_eq!(told(&closed, &ended(400, 0)), None, "only identifiers join");
    assert_eq!(told(&closed, &wanted(1, 1, 11)), None, "a call that begins now executes another one");
    assert_eq!(told(&closed, &wanted(1, 1, 0)), Some((JoinedBy::Arguments, vec![102])));
}

#[test]
fn a_full_bucket_forgets_closed_calls_first() {
    let mut full = AskedBucket::default();
    let many = Closed::KEPT * 10;
    (0..CALLS_OF_BUCKET as u64).for_each(|key| full.put(asked(1, 1, 2 + 2 * key, key), many));
    full.close(1, 1, 12, 100, None).unwrap();
    full.put(asked(1, 1, 1001, 1001), many);
    assert_eq!(full.calls.len(), CALLS_OF_BUCKET);
    assert!(full.replaced_at == 0 && full.calls.iter().all(|call| call.id != 12));
}

#[test]
fn the_calls_of_a_program_that_the_model_has_written_are_joined_by_its_item() {
    let (random, guessable) = (identity(Scalar::Text("ctc_68f0a1b2c3d4e5f6")), identity(Scalar::Text("ctc_1")));
    let program = |item, id, key| AskedCall { item, name: "exec".into(), arguments: 0, ..asked(1, 1, id, key) };
    let bucket = bucket(&[program(random, 11, 101), program(guessable, 12, 102), asked(1, 1, 13, 103)]);
    let of = |caller, item| told(&bucket, &Wanted { item, ..wanted(1, caller, 900) });
    assert_eq!((of(1, random), of(1, guessable)), (Some((JoinedBy::Id, vec![101])), Some((JoinedBy::Id, vec![102]))));
    assert_eq!(
        (of(9, random), of(9, guessable)),
        (Some((JoinedBy::Id, vec![101])), None),
        "another credential for tools"
    );
    assert_eq!(of(1, 900), None, "an unknown item, with known arguments");
    // The identifier of the call comes first.
    let direct = Wanted { item: random, ..wanted(1, 1, 13) };
    assert_eq!(told(&bucket, &direct), Some((JoinedBy::Id, vec![103])));
    assert_eq!(told(&bucket, &Wanted { call: 0, peer: 2, ..direct }), None, "the call of another address");
}

#[test]
fn the_time_of_calls_that_were_open_at_once_counts_once() {
    for (calls, nanos) in [
        (&[(10, 20), (10, 50)][..], 40),
        (&[(10, 20), (15, 30), (40, 45)], 25),
        (&[(30, 40), (10, 50)], 40),
        (&[(10, 20), (30, 40), (20, 50)], 40),
        (&[(10, 50), (10, 20)], 40),
        (&[(30, 40), (10, 20)], 20),
        (&[(10, 10), (20, 25)], 5),
    ] {
        let mut served = Served::default();
        calls.iter().for_each(|(from, until)| served.add(*from, *until));
        assert!(served.nanos <= nanos, "{calls:?}");
        // The third call of one of them began in a gap.
        assert!(served.nanos == nanos || calls.len() == 3 && served.nanos == 30, "{calls:?}: {served:?}");
    }
}

#[test]
fn without_an_identifier_name_and_arguments_join_one_open_call() {
    let one = bucket(&[asked(1, 1, 11, 101)]);
    assert_eq!(told(&one, &wanted(1, 1, 0)), Some((JoinedBy::Arguments, vec![101])));
    assert_eq!(told(&one, &wanted(1, 9, 0)), Some((JoinedBy::Arguments, vec![101])), "another credential for tools");
    for wrong in [
        Wanted { arguments: 6, ..wanted(1, 1, 0) },
        Wanted { tool: "write", ..wanted(1, 1, 0) },
        Wanted { tool: "ead", ..wanted(1, 1, 0) },
        Wanted { now: 99, ..wanted(1, 1, 0) },
        Wanted { now: 101 + WAIT, ..wanted(1, 1, 0) },
        wanted(2, 1, 0),
    ] {
        assert_eq!(told(&one, &wrong), None, "{wrong:?}");
    }
}

#[test]
fn equal_calls_of_one_caller_are_ambiguous_and_those_of_others_are_not_even_named() {
    let equal = bucket(&[asked(1, 1, 11, 101), asked(1, 1, 12, 102)]);
    assert_eq!(told(&equal, &wanted(1, 1, 0)), Some((JoinedBy::Ambiguous, vec![101, 102])));
    let many: Vec<_> = (0..=KEPT as u64).map(|n| asked(1, 1, 11 + n, 101 + n)).collect();
    assert_eq!(told(&bucket(&many), &wanted(1, 1, 0)), Some((JoinedBy::Ambiguous, vec![])), "too many to keep");
    let two = bucket(&[asked(1, 1, 11, 101), asked(1, 2, 12, 102)]);
    assert_eq!(told(&two, &wanted(1, 2, 0)), Some((JoinedBy::Arguments, vec![102])), "its own credential");
    assert_eq!(told(&two, &wanted(1, 9, 0)), Some((JoinedBy::Ambiguous, vec![])));
    // Another caller waits at the address, if for another tool: the call may be that of a third.
    let mut other = asked(1, 2, 12, 102);
    other.name = "write".into();
    assert_eq!(told(&bucket(&[asked(1, 1, 11, 101), other]), &wanted(1, 9, 0)), Some((JoinedBy::Ambiguous, vec![])));
}

#[test]
fn a_call_is_closed_once_with_the_time_that_it_was_served() {
    let mut bucket = bucket(&[asked(1, 1, 11, 101), asked(1, 1, 12, 102)]);
    let call = asked(1, 1, 12, 102);
    // The first one began before the answer had ended, at 100.
    for (from, until) in [(90, 107), (120, 125)] {
        assert_eq!(bucket.serve(&call, from, until, false), Some(()));
    }
    assert_eq!(bucket.close(1, 2, 12, 300, None), None, "another caller");
    assert_eq!(bucket.close(1, 1, 12, 300, None).map(|call| call.served.nanos), Some(12));
    assert_eq!((bucket.close(1, 1, 12, 300, None), bucket.serve(&call, 1, 2, false)), (None, None));
    assert_eq!(told(&bucket, &wanted(1, 1, 0)), Some((JoinedBy::Arguments, vec![101])));
}

#[test]
fn a_tool_has_failed_if_its_last_call_of_mcp_failed() {
    for (calls, failed) in [
        (&[(110, 120, true)][..], true),
        // Its time does not count, because it ended before the answer had.
        (&[(80, 90, true)], true),
        (&[(110, 120, true), (130, 140, false)], false),
        (&[(110, 120, false), (130, 140, true)], true),
    ] {
        let mut one = bucket(&[asked(1, 1, 12, 102)]);
        calls.iter().for_each(|(from, until, failed)| _ = one.serve(&asked(1, 1, 12, 102), *from, *until, *failed));
        let served = AskedBucket::parse(&one.bytes()).close(1, 1, 12, 300, None).unwrap().served;
        assert_eq!(served.failed, failed, "{calls:?}");
    }
}

#[test]
fn a_bucket_is_bounded_and_after_a_loss_only_identifiers_join() {
    let mut bucket = AskedBucket::default();
    for n in 0..200 {
        bucket.put(AskedCall { name: "é".repeat(200).into(), arguments: n, ..asked(1, 1, n + 1, n) }, WAIT);
        assert!(bucket.calls.len() <= CALLS_OF_BUCKET && bucket.bytes().len() <= 9 + CALLS_OF_BUCKET * CALL);
    }
    bucket.put(asked(1, 1, 900, 900), WAIT);
    assert_eq!(told(&bucket, &wanted(1, 1, 0)), Some((JoinedBy::Ambiguous, vec![])));
    assert_eq!(told(&bucket, &wanted(1, 1, 900)), Some((JoinedBy::Id, vec![900])));
    // The calls that were replaced cannot wait any more.
    let late = AskedCall { asked_at: 5_000, ..asked(1, 1, 901, 901) };
    bucket.put(late, WAIT);
    assert_eq!(told(&bucket, &Wanted { now: 5_001, ..wanted(1, 1, 0) }), Some((JoinedBy::Arguments, vec![901])));
}

#[test]
fn damaged_bytes_are_an_empty_bucket() {
    let bytes = bucket(&[asked(1, 1, 11, 101)]).bytes();
    for cut in 0..bytes.len() {
        assert_eq!(AskedBucket::parse(&bytes[..cut]).calls, []);
    }
    assert_eq!(AskedBucket::parse(&[9; 400]), AskedBucket::default());
}

#[test]
fn a_model_may_know_a_tool_with_the_name_of_its_server_and_other_characters() {
    for (name, tool) in [
        ("read", "read"),
        ("mcp__files__read", "read"),
        ("mcp_files_read.file", "read file"),
        ("files.read-file", "read-file"),
        ("srv_a_b", "a.b"),
    ] {
        assert!(is_called(name, tool), "{name} {tool}");
    }
    for (name, tool) in [("thread", "read"), ("read", "mcp__files__read"), ("read", ""), ("files_write", "read")] {
        assert!(!is_called(name, tool), "{name} {tool}");
    }
}

/// How the callers of a kind differ.
#[derive(Clone, Copy, Debug, PartialEq)]
enum CallerKind {
    /// Each has an address, and no credential for tools.
    OwnAddress,
    /// They share an address. Each has one credential for models and tools.
    OneCredential,
    /// They share an address, and tools need no credential.
    Shared,
    /// As `Shared`, and their clients send identifiers.
    Ids,
}

const CALLER_KINDS: [CallerKind; 4] =
    [CallerKind::OwnAddress, CallerKind::OneCredential, CallerKind::Shared, CallerKind::Ids];

/// A caller in the middle of a run: the open calls of its turn, of which some were executed.
struct Scripted {
    kind: CallerKind,
    number: u64,
    turn: u64,
    open: Vec<AskedCall>,
    left: Vec<usize>,
}

impl Scripted {
    fn peer(&self) -> u64 {
        if self.kind == CallerKind::OwnAddress { 1_000 + self.number } else { self.kind as u64 + 1 }
    }

    /// The caller of a call to a model, or to a tool.
    fn caller(&self, is_tool: bool) -> u64 {
        match self.kind {
            CallerKind::OneCredential => 2_000 + self.number,
            _ if is_tool => 3_000 + self.peer(),
            _ => 4_000 + self.number,
        }
    }
}

/// 100 callers at once call one tool with three different arguments, one to three times in each of 10,000 turns. The calls of all of them are interleaved.
#[test]
fn ten_thousand_runs_of_a_hundred_callers_with_equal_names_and_arguments_are_never_joined_wrongly() {
    let mut state = 7_u64;
    let mut dice = |sides: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    let mut buckets = std::collections::HashMap::<u64, Vec<u8>>::new();
    let mut callers: Vec<_> = (0..100)
        .map(|number| Scripted {
            kind: CALLER_KINDS[number as usize % 4],
            number,
            turn: 0,
            open: Vec::new(),
            left: Vec::new(),
        })
        .collect();
    let (mut now, mut turns, mut counts) = (1_000, 0, std::collections::BTreeMap::new());
    while turns < 10_000 {
        now += 1;
        let caller = &mut callers[dice(100) as usize];
        let (peer, of_model, of_tool) = (caller.peer(), caller.caller(false), caller.caller(true));
        let bytes = buckets.entry(peer).or_default();
        let mut bucket = AskedBucket::parse(bytes);
        if let Some(at) = caller.left.pop() {
            let own = caller.open[at].clone();
            let call = if caller.kind == CallerKind::Ids { own.id } else { 0 };
            let wanted = Wanted { now, wait: 100_000, arguments: own.arguments, ..wanted(peer, of_tool, call) };
            let (how, found) = bucket.find(&wanted).unwrap_or((JoinedBy::Ambiguous, Vec::new()));
            let keys: Vec<_> = found.iter().map(|call| call.key).collect();
            match how {
                JoinedBy::Ambiguous => {
                    assert!(found.iter().all(|call| call.caller == of_model), "{wanted:?} {found:?}")
                }
                _ => assert_eq!(keys, [own.key], "{wanted:?}"),
            }
            let equal = caller.open.iter().filter(|call| call.arguments == own.arguments).count();
            if caller.kind == CallerKind::Ids {
                assert!(how == JoinedBy::Id || found.is_empty());
            } else if caller.kind == CallerKind::OwnAddress {
                assert_eq!(how, if equal == 1 { JoinedBy::Arguments } else { JoinedBy::Ambiguous });
            }
            *counts.entry((caller.kind as u64, how.as_str())).or_insert(0) += 1;
        } else {
            // The results go to the model, which asks for the next calls.
            caller.open.drain(..).for_each(|call| _ = bucket.close(peer, of_model, call.id, now, None));
            (caller.turn, turns) = (caller.turn + 1, turns + 1);
            for n in 0..=dice(3) {
                let id = caller.number * 1_000_000 + caller.turn * 10 + n + 1;
                let call = AskedCall { arguments: dice(3), asked_at: now, ..asked(peer, of_model, id, id) };
                bucket.put(call.clone(), 100_000);
                caller.open.push(call);
            }
            caller.left = (0..caller.open.len()).collect();
        }
        *bytes = bucket.bytes();
    }
    let count = |kind: CallerKind, how: JoinedBy| counts.get(&(kind as u64, how.as_str())).copied().unwrap_or(0);
    assert!(count(CallerKind::OwnAddress, JoinedBy::Arguments) > 2_000 && count(CallerKind::Ids, JoinedBy::Id) > 2_000);
    assert!(
        count(CallerKind::OneCredential, JoinedBy::Arguments) > 2_000
            && count(CallerKind::OneCredential, JoinedBy::Ambiguous) > 0
            && count(CallerKind::Shared, JoinedBy::Arguments) == 0
    );
}
