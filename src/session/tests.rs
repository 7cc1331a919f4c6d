//! The responses that a session finds, in the messages of each API.

use std::rc::Rc;

use super::{Session, SessionEvent};
use crate::budget::Side;
use crate::config::Config;
use crate::exchange::{End, Exchange, Head, Observer, Unread};
use crate::observation::{Observation, Outcome, Usage};

pub(super) const SECOND: u64 = 1_000_000_000;

/// One message: from the client (C) or the server (S).
pub(super) type Sent<'a> = (char, &'a str);

/// The reports of a session.
pub(super) struct Reported {
    pub ended: Vec<Observation>,
    pub unread: Vec<Unread>,
    pub sums: Observation,
}

/// A session for this path that the configuration of `settings` reads.
fn session_with(settings: &str, path: &str, headers: &[(&str, &str)], extensions: &str) -> Result<Session, Unread> {
    let observer = Rc::new(Observer::new(Config::parse(settings).unwrap()));
    let mut head =
        vec![(":method", "GET"), (":path", path), (":authority", "api.openai.com"), ("upgrade", "websocket")];
    head.extend(headers);
    let head: Vec<_> = head.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let exchange = Exchange::start(&observer, Head(&head), 1).unwrap();
    assert!(exchange.is_upgrade());
    Session::start(exchange.into_template().unwrap(), extensions)
}

fn session(path: &str) -> Session {
    session_with("{}", path, &[], "").unwrap()
}

/// The frame of a text message.
fn frame(side: char, text: &str) -> Vec<u8> {
    let (mask, key) = if side == 'C' { (0x80, [1, 2, 3, 4]) } else { (0, [0; 4]) };
    let mut out = vec![0x81];
    match text.len() {
        length @ ..126 => out.push(mask | length as u8),
        length => out.extend([&[mask | 126], &(length as u16).to_be_bytes()[..]].concat()),
    }
    if side == 'C' {
        out.extend(key);
    }
    out.extend(text.bytes().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// Passes the messages in pieces of `cut` bytes, one message each second, and then closes the connection.
fn run_as(mut session: Session, messages: &[Sent<'_>], cut: usize, end: End) -> Reported {
    let (mut ended, mut unread) = (Vec::new(), Vec::new());
    let mut tell = |event: SessionEvent<'_>| match event {
        SessionEvent::Changed(exchange) => {
            if exchange.changes().end {
                ended.push(exchange.observation().clone());
            }
        }
        SessionEvent::Unread(reason) => unread.push(reason),
    };
    let mut now = 10 * SECOND;
    for (side, text) in messages {
        now += SECOND;
        let side_of = if *side == 'C' { Side::Request } else { Side::Response };
        for piece in frame(*side, text).chunks(cut) {
            session.push(side_of, piece, now, &mut tell);
        }
    }
    session.close(end, now + SECOND, &mut tell);
    Reported { ended, unread, sums: session.sums().clone() }
}

pub(super) fn run(path: &str, messages: &[Sent<'_>]) -> Reported {
    let whole = run_as(session(path), messages, usize::MAX, End::ClientDisconnect);
    for cut in (1..16).chain([31, 47, 61, 79, 127, 200]) {
        let other = run_as(session(path), messages, cut, End::ClientDisconnect);
        assert_eq!(other.ended, whole.ended, "cut into pieces of {cut} bytes");
        assert_eq!((other.sums, other.unread), (whole.sums.clone(), whole.unread.clone()));
    }
    whole
}

fn usage(input: u64, cached: u64, output: u64, reasoning: u64) -> Usage {
    Usage {
        input: Some(input),
        output: Some(output),
        cache_read: Some(cached),
        reasoning: Some(reasoning),
        ..Usage::default()
    }
}

const RESPONSES: &str = "/v1/responses";

const LANES: &[Sent<'_>] = &[
    ('C', r#"{"type":"response.create","model":"gpt-5.1","generate":false,"input":[],"tools":[]}"#),
    (
        'S',
        r#"{"type":"response.completed","response":{"id":"resp_p","model":"gpt-5.1","status":"completed","usage":{"input_tokens":900,"input_tokens_details":{"cached_tokens":0},"output_tokens":0,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":900}}}"#,
    ),
    (
        'C',
        r#"{"type":"response.create","stream_id":"a","model":"gpt-5.1","previous_response_id":"resp_p","input":[{"role":"user","content":"list"}]}"#,
    ),
    ('C', r#"{"model":"gpt-5-mini","input":"title please","type":"response.create","stream_id":"b"}"#),
    ('S', r#"{"type":"response.created","stream_id":"a","response":{"id":"resp_1","model":"gpt-5.1"}}"#),
    ('S', r#"{"type":"response.created","stream_id":"b","response":{"id":"resp_2","model":"gpt-5-mini"}}"#),
    ('S', r#"{"type":"response.output_text.delta","delta":"Hi","stream_id":"b"}"#),
    (
        'S',
        r#"{"item":{"type":"function_call","id":"fc_1","call_id":"call_1","name":"ls","arguments":"{}"},"type":"response.output_item.done","stream_id":"a"}"#,
    ),
    (
        'S',
        r#"{"type":"response.completed","stream_id":"b","response":{"id":"resp_2","model":"gpt-5-mini","status":"completed","usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":0},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":15}}}"#,
    ),
    (
        'S',
        r#"{"response":{"id":"resp_1","model":"gpt-5.1","status":"completed","output":[{"type":"function_call","id":"fc_1","call_id":"call_1","name":"ls","arguments":"{}"}],"usage":{"input_tokens":950,"input_tokens_details":{"cached_tokens":896},"output_tokens":30,"output_tokens_details":{"reasoning_tokens":10},"total_tokens":980}},"type":"response.completed","stream_id":"a"}"#,
    ),
    (
        'C',
        r#"{"type":"response.create","stream_id":"a","previous_response_id":"resp_1","input":[{"type":"function_call_output","call_id":"call_1","output":"src"}]}"#,
    ),
    ('S', r#"{"type":"response.created","stream_id":"a","response":{"id":"resp_3","model":"gpt-5.1"}}"#),
    (
        'S',
        r#"{"type":"response.completed","stream_id":"a","response":{"id":"resp_3","model":"gpt-5.1","status":"completed","usage":{"input_tokens":1000,"input_tokens_details":{"cached_tokens":960},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":1020}}}"#,
    ),
];

#[test]
fn each_response_of_each_lane_is_reported_with_its_own_tokens_whatever_the_cuts() {
    let reported = run(RESPONSES, LANES);
    let seen: Vec<_> = reported
        .ended
        .iter()
        .map(|seen| (seen.response.id.as_deref().unwrap(), seen.response.model.as_deref().unwrap(), seen.usage))
        .collect();
    assert_eq!(
        seen,
        [
            ("resp_p", "gpt-5.1", usage(900, 0, 0, 0)),
            ("resp_2", "gpt-5-mini", usage(12, 0, 3, 0)),
            ("resp_1", "gpt-5.1", usage(950, 896, 30, 10)),
            ("resp_3", "gpt-5.1", usage(1000, 960, 20, 0)),
        ]
    );
    assert!(reported.ended.iter().all(|seen| seen.outcome == Some(Outcome::Completed)));
    // The last answer has nothing but its usage. A request that prepares another one wants no answer.
    let empty: Vec<_> = reported.ended.iter().map(|seen| seen.output.empty).collect();
    assert_eq!(empty, [false, false, false, true]);
    let tools: Vec<_> = reported.ended.iter().map(|seen| seen.output.tools.len()).collect();
    assert_eq!(tools, [0, 0, 1, 0]);
    let prewarms: Vec<_> = reported.ended.iter().map(Observation::is_prewarm).collect();
    assert_eq!(prewarms, [true, false, false, false]);
    assert!(reported.ended[0].agent.iteration.is_none());
    // The text came three seconds after the end of the request.
    let b = &reported.ended[1];
    assert_eq!(b.timing.since_start(b.timing.first_token), Some(3 * SECOND));
    let Observation { usage: sum, rare, outcome, .. } = reported.sums;
    assert_eq!((sum, rare.unwrap().responses), (usage(2862, 1856, 53, 10), Some(4)));
    assert_eq!((outcome, reported.unread), (Some(Outcome::ClientDisconnect), vec![]));
}

#[test]
fn an_error_ends_one_response_and_not_the_socket() {
    let create = ('C', r#"{"type":"response.create","model":"gpt-5.1","input":"hi"}"#);
    let done = (
        'S',
        r#"{"type":"response.completed","response":{"id":"resp_2","model":"gpt-5.1","status":"completed","usage":{"input_tokens":5,"output_tokens":1,"total_tokens":6}}}"#,
    );
    let plain = (
        'S',
        r#"{"type":"error","code":"previous_response_not_found","message":"no","param":"previous_response_id","sequence_number":1}"#,
    );
    let wrapped = (
        'S',
        r#"{"type":"error","status":429,"error":{"type":"rate_limit_error","code":"rate_limit_exceeded","message":"no"},"headers":{"retry-after":"1"}}"#,
    );
    let without_code = ('S', r#"{"type":"error","status":503,"error":{"message":"no"}}"#);
    let reported = run(RESPONSES, &[create, plain, create, wrapped, create, without_code, create, done, plain]);
    let seen: Vec<_> = reported.ended.iter().map(|seen| (seen.outcome.unwrap(), seen.error.as_deref())).collect();
    assert_eq!(
        seen,
        [
            (Outcome::Error, Some("previous_response_not_found")),
            (Outcome::Error, Some("rate_limit_exceeded")),
            (Outcome::Error, Some("503")),
            (Outcome::Completed, None),
        ]
    );
}

#[test]
fn a_steered_response_is_followed_by_another_one_without_a_request() {
    let create = ('C', r#"{"type":"response.create","stream_id":"a","model":"gpt-5.1","input":"hi"}"#);
    let later = ('C', r#"{"type":"response.create","stream_id":"a","model":"gpt-5-mini","input":"later"}"#);
    let steer = ('C', r#"{"type":"response.steer","stream_id":"a","input":"shorter"}"#);
    let steered = (
        'S',
        r#"{"type":"response.incomplete","stream_id":"a","response":{"id":"resp_1","model":"gpt-5.1","status":"incomplete","incomplete_details":{"reason":"steered"},"usage":{"input_tokens":5,"output_tokens":1,"total_tokens":6}}}"#,
    );
    let created = |id| format!(r#"{{"type":"response.created","stream_id":"a","response":{{"id":"{id}"}}}}"#);
    let done = |id, model| {
        format!(
            r#"{{"type":"response.completed","stream_id":"a","response":{{"id":"{id}","model":"{model}","status":"completed","usage":{{"input_tokens":7,"output_tokens":2,"total_tokens":9}}}}}}"#
        )
    };
    let [first, second, third] = ["resp_1", "resp_2", "resp_3"].map(created);
    let (second_done, third_done) = (done("resp_2", "gpt-5.1"), done("resp_3", "gpt-5-mini"));
    let reported = run(
        RESPONSES,
        &[
            create,
            ('S', &first),
            later,
            steer,
            steered,
            ('S', &second),
            ('S', &second_done),
            ('S', &third),
            ('S', &third_done),
        ],
    );
    let seen: Vec<_> = reported
        .ended
        .iter()
        .map(|seen| (seen.response.id.as_deref().unwrap(), seen.request.model.as_deref(), seen.usage.output))
        .collect();
    assert_eq!(
        seen,
        [("resp_1", Some("gpt-5.1"), Some(1)), ("resp_2", None, Some(2)), ("resp_3", Some("gpt-5-mini"), Some(2)),]
    );
}

#[test]
fn the_metadata_of_a_message_beats_the_headers_of_the_connection() {
    let headers = [
        ("user-agent", "codex_cli_rs/0.171.0"),
        ("originator", "codex_cli_rs"),
        ("session-id", "session-of-headers"),
        ("x-codex-turn-metadata", r#"{"request_kind":"prewarm"}"#),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let settings = r#"{"otlp": {"cluster": "collector"}}"#;
    let own = (
        'C',
        r#"{"type":"response.create","model":"gpt-5.1","input":"hi","client_metadata":{"session_id":"session-of-message","thread_id":"thread-2","x-codex-turn-metadata":"{\"installation_id\":\"private\",\"request_kind\":\"compaction\"}","ws_request_header_traceparent":"00-11111111111111111111111111111111-2222222222222222-01"}}"#,
    );
    let bare = ('C', r#"{"type":"response.create","model":"gpt-5.1","input":"hi"}"#);
    let done = (
        'S',
        r#"{"type":"response.completed","response":{"id":"r","model":"gpt-5.1","status":"completed","usage":{"input_tokens":5,"output_tokens":1}}}"#,
    );
    let mut places = Vec::new();
    let mut session = session_with(settings, RESPONSES, &headers, "").unwrap();
    let mut ended = Vec::new();
    for (side, text) in [own, done, bare, done] {
        let side_of = if side == 'C' { Side::Request } else { Side::Response };
        session.push(side_of, &frame(side, text), SECOND, &mut |event| {
            if let SessionEvent::Changed(exchange) = event
                && exchange.changes().end
            {
                places.push(exchange.place().unwrap().span);
                ended.push(exchange.observation().clone());
            }
        });
    }
    let clients: Vec<_> = ended
        .iter()
        .map(|seen| {
            let client = seen.client.as_ref().unwrap();
            (client.name, client.session.as_deref(), client.agent.as_deref(), client.kind.map(|kind| kind.as_str()))
        })
        .collect();
    assert_eq!(
        clients,
        [
            (Some("codex"), Some("session-of-message"), Some("thread-2"), Some("compaction")),
            (Some("codex"), Some("session-of-headers"), None, None),
        ]
    );
    assert_eq!(session.sums().client.as_ref().unwrap().kind, None, "a connection has no kind");
    assert_eq!(places, [[0x22; 8], [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]]);
}

#[test]
fn responses_that_are_open_at_the_close_end_with_what_is_known() {
    let create = ('C', r#"{"type":"response.create","model":"gpt-5.1","input":"hi"}"#);
    let created = ('S', r#"{"type":"response.created","response":{"id":"resp_1","model":"gpt-5.1"}}"#);
    for (messages, end, outcome) in [
        (&[create][..], End::ClientDisconnect, Outcome::ClientDisconnect),
        (&[create], End::Whole, Outcome::UpstreamReset),
        (&[create, created], End::UpstreamReset, Outcome::UpstreamReset),
        (&[create, created], End::Whole, Outcome::Truncated),
    ] {
        let reported = run_as(session(RESPONSES), messages, 3, end);
        let seen: Vec<_> =
            reported.ended.iter().map(|seen| (seen.outcome.unwrap(), seen.request.model.as_deref())).collect();
        assert_eq!(seen, [(outcome, Some("gpt-5.1"))], "{end:?}");
    }
}

#[test]
fn responses_beyond_the_bound_are_counted_and_their_messages_go_nowhere_else() {
    let create =
        |lane: usize| format!(r#"{{"type":"response.create","stream_id":"{lane}","model":"m{lane}","input":"hi"}}"#);
    let done = |lane: usize| {
        format!(
            r#"{{"type":"response.completed","stream_id":"{lane}","response":{{"id":"r{lane}","status":"completed","usage":{{"input_tokens":{lane},"output_tokens":1}}}}}}"#
        )
    };
    let lanes = 1..=super::OPEN + 4;
    let texts: Vec<_> =
        lanes.clone().map(|lane| ('C', create(lane))).chain(lanes.rev().map(|lane| ('S', done(lane)))).collect();
    let messages: Vec<_> = texts.iter().map(|(side, text)| (*side, text.as_str())).collect();
    let reported = run_as(session(RESPONSES), &messages, 17, End::Whole);
    assert_eq!(reported.unread, [Unread::Budget; 4]);
    let inputs: Vec<_> = reported.ended.iter().map(|seen| seen.usage.input.unwrap() as usize).collect();
    assert_eq!(inputs, (1..=super::OPEN).rev().collect::<Vec<_>>());
}

#[test]
fn the_responses_that_one_callback_may_begin_and_those_that_may_be_known_are_bounded() {
    let pair = [r#"{"type":"response.created","response":{"id":"r"}}"#, r#"{"type":"error","code":"no"}"#];
    let hostile: Vec<u8> = pair.iter().cycle().take(200).flat_map(|text| frame('S', text)).collect();
    let (mut session, mut ended, mut unread) = (session(RESPONSES), 0, Vec::new());
    let create: Vec<u8> = (0..40).flat_map(|_| frame('C', r#"{"type":"response.create","input":"hi"}"#)).collect();
    for (side, bytes) in [(Side::Response, &hostile), (Side::Request, &create), (Side::Response, &hostile)] {
        session.push(side, bytes, SECOND, &mut |event| match event {
            SessionEvent::Changed(exchange) => ended += usize::from(exchange.changes().end),
            SessionEvent::Unread(reason) => unread.push(reason),
        });
    }
    assert_eq!(ended, 64);
    // The others of the first callback, those that are open beyond the bound, and the rest of the session.
    assert_eq!(unread.iter().filter(|reason| **reason == Unread::Budget).count(), 36 + 16);
    assert_eq!(unread.last(), Some(&Unread::Websocket));
}

#[test]
fn a_session_that_cannot_be_read_is_counted() {
    let unread = |extensions| session_with("{}", RESPONSES, &[], extensions).err();
    assert_eq!(unread("permessage-bzip2"), Some(Unread::Websocket));
    assert_eq!(unread(""), None);
    let mut session = session(RESPONSES);
    let mut unread = Vec::new();
    // A client's frame must be masked.
    for side in [Side::Request, Side::Response, Side::Request] {
        session.push(side, &frame('S', "{}"), SECOND, &mut |event| {
            if let SessionEvent::Unread(reason) = event {
                unread.push(reason);
            }
        });
    }
    assert_eq!(unread, [Unread::Websocket]);
}
