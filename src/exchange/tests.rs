use std::cell::RefCell;
use std::rc::Rc;

use super::{End, Exchange, Head, Observer};
use crate::config::Config;
use crate::observation::{Changes, CostStatus, Outcome, ParseError, Usage};
use crate::signal::stalls::OpenStreams;
use crate::text::hash::Key;

const HEAD: [(&[u8], &[u8]); 3] =
    [(b":method", b"POST"), (b":authority", b"llm.internal:8443"), (b":path", b"/gateway/v9/ask")];

/// A whole exchange at an unknown path. Returns None if it is not LLM traffic.
fn at_unknown_path(config: &str, request: &str, response: &str) -> Option<Exchange> {
    let mut exchange = start(config, request, response)?;
    exchange.response_body(response.as_bytes(), 0);
    exchange.finish(End::Whole, 0);
    Some(exchange).filter(Exchange::is_recognised)
}

/// An exchange up to the head of the response, whose content type depends on how `response` begins.
pub(super) fn start(config: &str, request: &str, response: &str) -> Option<Exchange> {
    let observer = Rc::new(Observer::new(Config::parse(config).unwrap()));
    let mut exchange = Exchange::start(&observer, Head(&HEAD), 0)?;
    exchange.request_body(request.as_bytes());
    exchange.request_end(0);
    let kind: &[u8] = if response.starts_with("data:") { b"text/event-stream" } else { b"application/json" };
    exchange.response(Head(&[(b":status", b"200"), (b"content-type", kind)]), 0);
    Some(exchange)
}

const CHAT: &str = r#"{"id":"c","model":"m","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
const BY_SHAPE: &str = r#"{"apis": [{"path": "/gateway/", "api": "detect"}]}"#;

#[test]
fn an_unknown_path_is_not_llm_traffic() {
    assert!(at_unknown_path("", "{}", CHAT).is_none());
}

#[test]
fn the_configuration_sets_the_api_and_the_provider_of_a_host() {
    let config = r#"{"apis": [{"host": "internal", "api": "openai-chat", "provider": "acme"}]}"#;
    let exchange = at_unknown_path(config, r#"{"model":"m"}"#, CHAT).unwrap();
    assert_eq!(exchange.observation().usage.input, Some(3));
    assert_eq!(exchange.observation().provider, "acme");
}

#[test]
fn the_api_of_an_unknown_path_is_detected_by_the_shape_of_the_bodies() {
    let usage = |response: &str| {
        let exchange = at_unknown_path(BY_SHAPE, r#"{"model":"m"}"#, response).unwrap();
        (exchange.observation().usage.input, exchange.observation().usage.output, exchange.observation().outcome)
    };
    let done = Some(Outcome::Completed);
    assert_eq!(usage(CHAT), (Some(3), Some(1), done));
    let anthropic = r#"{"type":"message","id":"a","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":1}}"#;
    assert_eq!(usage(anthropic), (Some(7), Some(1), done));
    let gemini = r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1,"thoughtsTokenCount":2}}"#;
    assert_eq!(usage(gemini), (Some(3), Some(3), done));
    let responses = "data: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\",\"usage\":null}}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
    assert_eq!(usage(responses), (Some(3), Some(1), done));
}

#[test]
fn a_client_that_disconnects_after_the_last_event_has_the_whole_answer() {
    let stop = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n";
    let openai = r#"{"apis": [{"host": "internal", "api": "openai-chat"}]}"#;
    let left_after = |events: &[&str]| {
        let mut exchange = start(openai, "{}", "data:").unwrap();
        events.iter().for_each(|event| exchange.response_body(event.as_bytes(), 0));
        let early = exchange.observation().outcome;
        exchange.finish(End::ClientDisconnect, 0);
        (early, exchange.observation().outcome)
    };
    let (done, gone) = (Some(Outcome::Completed), Some(Outcome::ClientDisconnect));
    assert_eq!(left_after(&[stop, "data: [DONE]"]), (done, done));
    assert_eq!(left_after(&[stop, usage]), (None, done));
    assert_eq!(left_after(&[stop]), (None, gone));
    assert_eq!(left_after(&[usage]), (None, gone));
}

#[test]
fn the_steps_of_an_answer_are_priced_as_one_request_and_invalid_counts_are_reported() {
    let config = r#"{"apis": [{"host": "internal", "api": "anthropic-messages"}],
        "prices": {"m": {"input": 1000, "output": 1000, "per_1000_requests": 10}}}"#;
    let seen = |steps: &str| {
        let answer = format!(
            r#"{{"type":"message","model":"m","content":[],"usage":{{"input_tokens":2,"output_tokens":1,"iterations":{steps}}}}}"#
        );
        at_unknown_path(config, "{}", &answer).unwrap().observation().clone()
    };
    let message = r#"{"type":"message","input_tokens":2,"output_tokens":1}"#;
    let compaction = r#"{"type":"compaction","input_tokens":4,"output_tokens":3}"#;
    let cost = |steps: &str| (seen(steps).usage.input, seen(steps).cost.nanousd);
    assert_eq!(cost(&format!("[{message}]")), (Some(2), Some(13_000_000)));
    assert_eq!(cost(&format!("[{compaction},{message}]")), (Some(6), Some(20_000_000)));
    for odd in ["[null]", "{}", "[[]]", "\"7\"", r#"[{"type":7,"input_tokens":null}]"#] {
        assert_eq!((cost(odd), seen(odd).parse_errors.iter().count()), ((Some(2), Some(13_000_000)), 0), "{odd}");
    }
    let million = "9".repeat(1_000_000);
    for odd in ["\"4\"", "-1", &million] {
        let seen = seen(&format!(r#"[{{"type":"compaction","input_tokens":{odd}}}]"#));
        assert_eq!(seen.parse_errors.iter().collect::<Vec<_>>(), [ParseError::Number], "{}", &odd[..2]);
        assert_eq!(seen.usage.input, Some(2));
    }
}

#[test]
fn sums_of_counts_are_bounded_and_reported_if_they_are_above_the_limit() {
    let embeddings = r#"{"apis": [{"host": "internal", "api": "vertex-predict"}]}"#;
    let anthropic =
        r#"{"apis": [{"host": "internal", "api": "anthropic-messages"}], "prices": {"m": {"input": 1, "output": 1}}}"#;
    let part = r#"{"embeddings":{"statistics":{"token_count":4294967296}}}"#;
    let step = r#"{"type":"compaction","input_tokens":4294967296,"cache_read_input_tokens":4294967296}"#;
    let steps = |count: usize| {
        let steps = vec![step; count].join(",");
        format!(
            r#"{{"type":"message","model":"m","content":[],"usage":{{"input_tokens":2,"output_tokens":1,"iterations":[{steps}]}}}}"#
        )
    };
    let seen = |config: &str, answer: &str| at_unknown_path(config, "{}", answer).unwrap().observation().clone();
    for count in [2, 3, 100_000] {
        let seen = seen(embeddings, &format!(r#"{{"predictions":[{}]}}"#, vec![part; count].join(",")));
        assert_eq!((seen.usage.input, seen.cost.nanousd), (None, None), "{count} parts");
        assert_eq!(seen.parse_errors.iter().collect::<Vec<_>>(), [ParseError::Number], "{count} parts");
    }
    for count in [1, 2, 100_000] {
        let seen = seen(anthropic, &steps(count));
        assert_eq!((seen.usage.input, seen.usage.output), (None, Some(1)), "{count} steps");
        assert_eq!((seen.cost.nanousd, seen.cost.status), (None, None), "{count} steps");
        assert_eq!(seen.parse_errors.iter().collect::<Vec<_>>(), [ParseError::Number], "{count} steps");
    }
    let one = seen(embeddings, &format!(r#"{{"predictions":[{part}]}}"#));
    assert_eq!((one.usage.input, one.parse_errors.iter().count()), (Some(1 << 32), 0));
}

#[test]
fn a_request_is_never_read_as_server_sent_events() {
    let openai = r#"{"apis": [{"host": "internal", "api": "openai-chat"}]}"#;
    let event = "data: {\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}\n\n";
    let exchange = start(openai, &event.repeat(9), "{").unwrap();
    assert_eq!((&exchange.observation().request.model, exchange.observation().request.messages), (&None, None));
}

#[test]
fn a_misleading_document_does_not_decide_the_shape_of_a_stream() {
    for poison in [r#"{"type":"ping"}"#, r#"{"type":"message"}"#, r#"{"candidates":"x"}"#, r#"{"candidates":[]}"#] {
        assert!(at_unknown_path(BY_SHAPE, "{}", poison).is_none(), "{poison}");
        let stream = format!("data: {poison}\n\ndata: {CHAT}\n\n");
        let exchange = at_unknown_path(BY_SHAPE, "{}", &stream).unwrap();
        assert_eq!(exchange.observation().usage.input, Some(3), "{poison}");
    }
}

#[test]
fn an_answer_that_no_provider_gave_has_its_reason_and_nothing_of_an_answer() {
    let config = r#"{"apis": [{"host": "internal", "api": "openai-chat", "provider": "openai"}]}"#;
    let observer = Rc::new(Observer::new(Config::parse(config).unwrap()));
    let mut exchange = Exchange::start(&observer, Head(&HEAD), 0).unwrap();
    exchange.request_body(br#"{"model":"gpt-4o"}"#);
    exchange.answered_locally();
    exchange.response(Head(&[(b":status", b"200"), (b"content-type", b"application/json"), (b"retry-after", b"9")]), 0);
    exchange.response_body(CHAT.as_bytes(), 0);
    exchange.finish(End::LocalReply("lua_response"), 0);
    let seen = exchange.observation();
    assert_eq!((seen.outcome, seen.error.as_deref()), (Some(Outcome::LocalReply), Some("lua_response")));
    assert_eq!((seen.usage, seen.cost.nanousd, seen.cost.status), (Usage::default(), None, None));
    assert_eq!((&seen.response.model, seen.limits.retry_after), (&None, None));
    assert_eq!((seen.response.status, seen.request.model.as_deref()), (Some(200), Some("gpt-4o")));
}

#[test]
fn the_cost_is_known_with_the_usage_and_hidden_until_the_usage_is_final() {
    let config = r#"{"apis": [{"host": "internal", "api": "anthropic-messages", "provider": "anthropic"}]}"#;
    let events = [
        r#"{"type":"message_start","message":{"id":"a","model":"claude-sonnet-4-20250514","usage":{"input_tokens":1000,"output_tokens":1}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":100}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let event = |json: &str| format!("data: {json}\n\n");
    let cost = |exchange: &Exchange| (exchange.observation().cost.nanousd, exchange.observation().cost.status);
    let start = || start(config, r#"{"model":"claude-sonnet-4-20250514","stream":true}"#, "data:").unwrap();

    let mut whole = start();
    assert_eq!(cost(&whole), (None, None));
    whole.response_body(event(events[0]).as_bytes(), 1);
    // The output count of the first event is only the count so far.
    let (known, hidden) = (3_000_000, Some(CostStatus::Hidden));
    assert!(whole.changes().usage);
    assert_eq!(cost(&whole), (Some(known), hidden));
    whole.response_body(event(events[1]).as_bytes(), 2);
    assert_eq!(whole.changes(), Changes { first_token: true, ..Changes::default() });
    events[2..].iter().for_each(|json| whole.response_body(event(json).as_bytes(), 3));
    whole.finish(End::Whole, 4);
    assert_eq!(cost(&whole), (Some(3_000_000 + 1_500_000), Some(CostStatus::Priced)));

    for (end, read, expected) in [
        (End::ClientDisconnect, 2, (Some(known), hidden)),
        (End::UpstreamReset, 2, (Some(known), hidden)),
        (End::Timeout, 2, (Some(known), hidden)),
        (End::LocalReply("response_payload_too_large"), 2, (Some(known), hidden)),
        (End::Whole, 2, (Some(known), hidden)),
        (End::ClientDisconnect, 4, (Some(4_500_000), Some(CostStatus::Priced))),
        (End::ClientDisconnect, 0, (None, hidden)),
        (End::Unreachable, 0, (None, None)),
    ] {
        let mut cut = start();
        events.iter().take(read).for_each(|json| cut.response_body(event(json).as_bytes(), 1));
        cut.finish(end, 2);
        assert_eq!(cost(&cut), expected, "{end:?} after {read} events");
    }
}

#[test]
fn a_disconnect_hides_no_usage_before_the_request_is_whole() {
    let observer =
        Rc::new(Observer::new(Config::parse(r#"{"apis": [{"host": "internal", "api": "openai-chat"}]}"#).unwrap()));
    for (is_whole, status) in [(false, None), (true, Some(CostStatus::Hidden))] {
        let mut exchange = Exchange::start(&observer, Head(&HEAD), 0).unwrap();
        exchange.request_body(br#"{"model":"m"}"#);
        if is_whole {
            exchange.request_end(0);
        }
        exchange.finish(End::ClientDisconnect, 0);
        assert_eq!(exchange.observation().cost.status, status);
    }
}

#[test]
fn the_keys_of_calls_depend_on_the_caller_and_on_the_complete_first_messages() {
    let config = r#"{"apis": [{"host": "internal", "api": "openai-chat"}], "privacy": {"hash": []}}"#;
    let alone = || Observer::new(Config::parse(config).unwrap());
    let keys = |observer: Observer, token: &str, text: &str| {
        let head = [&HEAD[..], &[(b"authorization", token.as_bytes())]].concat();
        let mut exchange = Exchange::start(&Rc::new(observer), Head(&head), 0).unwrap();
        exchange.identify(Head(&head), Vec::new);
        let call = r#"{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{}"}}]}"#;
        let result = r#"{"role":"tool","tool_call_id":"c1","content":"ok"}"#;
        let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}},{call},{result}]}}"#);
        exchange.request_body(body.as_bytes());
        exchange.request_end(0);
        assert_eq!(exchange.observation().request.conversation_hash, None, "a hash that is not wanted is reported");
        exchange.result_keys()
    };
    let sharing = |token: &str, text: &str| keys(alone().sharing(Rc::new(Key::new(b"secret"))), token, text);
    let long = |tail: &str| "x".repeat(10_000) + tail;
    let own = sharing("Bearer a", &long("a"));
    assert_eq!((own.len(), &sharing("Bearer a", &long("a"))), (1, &own));
    assert_ne!(sharing("Bearer b", &long("a")), own);
    assert_ne!(sharing("Bearer a", &long("b")), own);
    assert!(keys(alone(), "Bearer a", "hi").is_empty());
}

#[test]
fn an_exchange_at_the_path_of_an_api_with_nothing_of_an_api_in_its_bodies_is_not_reported() {
    let recognised = |host: &str, path: &str, request: &str, response: &str| {
        let observer = Rc::new(Observer::new(Config::parse("").unwrap()));
        let head: [(&[u8], &[u8]); 3] =
            [(b":method", b"POST"), (b":authority", host.as_bytes()), (b":path", path.as_bytes())];
        let mut exchange = Exchange::start(&observer, Head(&head), 0).unwrap();
        exchange.request_body(request.as_bytes());
        exchange.request_end(0);
        exchange.response(Head(&[(b":status", b"200"), (b"content-type", b"application/json")]), 0);
        exchange.response_body(response.as_bytes(), 0);
        exchange.finish(End::Whole, 0);
        exchange.is_recognised()
    };
    let (sms, sent) = (r#"{"to":"+49","text":"Hi"}"#, r#"{"id":"m-1","status":"queued"}"#);
    let answer =
        r#"{"role":"assistant","content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":1,"output_tokens":1}}"#;
    assert!(!recognised("sms.internal", "/v1/messages", sms, sent));
    assert!(recognised("api.anthropic.com", "/v1/messages", sms, sent));
    assert!(recognised("sms.internal", "/anthropic/v1/messages", sms, sent));
    assert!(recognised("sms.internal", "/v1/messages", r#"{"model":"m"}"#, sent));
    assert!(recognised("sms.internal", "/v1/messages", "{}", answer));
    // At endings of several APIs the answer must have the form of one.
    assert!(!recognised("sms.internal", "/v1/chat", r#"{"model":"m","message":"Hi"}"#, sent));
    assert!(recognised(
        "sms.internal",
        "/v1/chat",
        r#"{"message":"Hi"}"#,
        r#"{"text":"Ho","finish_reason":"COMPLETE"}"#
    ));
}

#[test]
fn reasoning_is_the_first_token_whatever_its_name_is() {
    let observer = Rc::new(Observer::new(Config::parse("").unwrap()));
    let head: [(&[u8], &[u8]); 3] =
        [(b":method", b"POST"), (b":authority", b"openrouter.ai"), (b":path", b"/api/v1/chat/completions")];
    for delta in [
        r#"{"reasoning_content":"Hm"}"#,
        r#"{"reasoning":"Hm"}"#,
        r#"{"reasoning_text":"Hm"}"#,
        r#"{"content":"","reasoning_details":[{"type":"reasoning.text","text":"Hm"}]}"#,
        r#"{"content":"","reasoning_details":[{"type":"reasoning.summary","summary":"Hm"}]}"#,
    ] {
        let mut exchange = Exchange::start(&observer, Head(&head), 0).unwrap();
        exchange.request_end(0);
        exchange.response(Head(&[(b":status", b"200"), (b"content-type", b"text/event-stream")]), 1);
        for (at, delta) in [(2, r#"{"role":"assistant","content":""}"#), (3, delta), (4, r#"{"content":"Calm"}"#)] {
            exchange.response_body(format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n").as_bytes(), at);
        }
        assert_eq!(exchange.observation().timing.first_token, Some(3), "{delta}");
    }
}

const EVENT: &str = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
const SECOND: u64 = 1_000_000_000;

/// Starts an exchange with OpenAI on a host that searches for stalls every second. Returns it and the stalls found at a time.
fn watched(config: &str, kind: &[u8]) -> (Exchange, impl FnMut(u64) -> usize) {
    let streams = Rc::<RefCell<OpenStreams>>::default();
    let observer = Rc::new(Observer::new(Config::parse(config).unwrap()).watching(Rc::clone(&streams)));
    let head: [(&[u8], &[u8]); 2] = [(b":method", b"POST"), (b":path", b"/v1/chat/completions")];
    let mut exchange = Exchange::start(&observer, Head(&head), 0).unwrap();
    exchange.request_body(br#"{"model": "m", "stream": true, "messages": []}"#);
    exchange.response(Head(&[(b":status", b"200"), (b"content-type", kind)]), SECOND);
    let search = move |now| {
        let mut found = 0;
        streams.borrow_mut().pass_stalls(now, usize::MAX, |_| found += 1);
        found
    };
    (exchange, search)
}

#[test]
fn a_stream_has_a_gap_before_each_chunk_but_the_first_wherever_it_is_cut() {
    for cut in [1, 7, EVENT.len()] {
        let (mut exchange, _) = watched("", b"text/event-stream");
        assert!(exchange.observation().timing.gaps.is_none());
        let pieces: Vec<_> = EVENT.as_bytes().chunks(cut).collect();
        for (number, piece) in pieces.iter().enumerate() {
            exchange.response_body(piece, (2 + number as u64) * SECOND);
            exchange.response_body(b"", 99 * SECOND);
        }
        exchange.finish(End::Whole, 100 * SECOND);
        let gaps = exchange.observation().timing.gaps.as_ref().unwrap();
        let count = pieces.len() as u64 - 1;
        assert_eq!((gaps.count(), gaps.sum(), gaps.buckets()[7]), (count, count * SECOND, count as u32));
        assert_eq!(exchange.observation().timing.largest_gap(), (count > 0).then_some(SECOND));
    }
}

#[test]
fn only_a_stream_between_its_first_chunk_and_its_end_can_stall() {
    let (mut exchange, mut stalls) = watched("", b"text/event-stream");
    assert_eq!(stalls(100 * SECOND), 0, "its first chunk is awaited");
    exchange.response_body(EVENT.as_bytes(), 100 * SECOND);
    assert_eq!([130, 131, 132].map(|now| stalls(now * SECOND)), [0, 1, 0]);
    exchange.response_body(b"data: [DONE]\n\n", 140 * SECOND);
    assert_eq!(stalls(999 * SECOND), 0, "it has ended");
    exchange.finish(End::Whole, 1000 * SECOND);
    assert_eq!((exchange.observation().timing.stalls, stalls(9999 * SECOND)), (1, 0));

    let (mut exchange, mut stalls) = watched("", b"application/json");
    exchange.response_body(b"{", SECOND);
    assert_eq!(stalls(999 * SECOND), 0, "it is no stream");
    assert!(exchange.observation().timing.gaps.is_none());

    let (mut exchange, mut stalls) = watched(r#"{"streams": {"stalled_after": 0}}"#, b"text/event-stream");
    exchange.response_body(EVENT.as_bytes(), SECOND);
    assert_eq!(stalls(999 * SECOND), 0, "the setting is off");
}
