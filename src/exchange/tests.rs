use std::rc::Rc;

use super::{End, Exchange, Head, Observer};
use crate::config::Config;
use crate::framing::Body;
use crate::json::Scanner;
use crate::observation::{Outcome, ParseError};

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
fn start(config: &str, request: &str, response: &str) -> Option<Exchange> {
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
fn the_state_of_a_stream_is_under_4_kib() {
    // One body is read at a time. A request has up to 1 KiB of text that is not hashed yet; a response has the recorded
    // beginning of a document.
    let state = size_of::<Exchange>() + size_of::<Body>() + Scanner::BOUND.max(1024);
    assert!(state < 4096, "{state} bytes");
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
