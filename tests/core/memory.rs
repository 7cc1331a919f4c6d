//! The memory of an exchange: what it really allocates is never more than what it has reserved in the budget, and without
//! memory it is not read, or lists are cut.
//!
//! An allocator that counts measures the memory. A pointer of this machine takes eight bytes, and one of the plugin four.

#![allow(unsafe_code, reason = "an allocator is unsafe by its interface")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;

use gaugeway::budget::{Budget, Side};
use gaugeway::config::{Config, Temporality};
use gaugeway::exchange::{End, Exchange, Head, Observer, Unread};
use gaugeway::observation::{Observation, Outcome, ParseError, ParseErrors};
use gaugeway::session::{Session, SessionEvent};
use gaugeway::sink::otlp::{MetricStore, SpanReference};
use gaugeway::text::hash::Key;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Memory that this thread has allocated and not released, in bytes, as wasm's allocator rounds it.
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

/// Memory that this thread has allocated and not released, in bytes.
pub fn allocated() -> usize {
    ALLOCATED.get()
}

fn rounded(layout: Layout) -> usize {
    (layout.size() + 4).next_multiple_of(8).max(16)
}

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get().wrapping_add(rounded(layout)));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        ALLOCATED.set(ALLOCATED.get().wrapping_sub(rounded(layout)));
        unsafe { System.dealloc(block, layout) }
    }
}

/// An exchange, and the most memory that it had after a step.
struct Measured {
    exchange: Exchange,
    budget: Rc<Budget>,
    before: usize,
    peak: usize,
    reserved: usize,
}

impl Measured {
    fn start(config: &Value, path: &str, budget: Budget) -> Result<Self, Unread> {
        let budget = Rc::new(budget);
        let observer = Observer::with_budget(Config::parse(&config.to_string()).unwrap(), Rc::clone(&budget));
        let observer = Rc::new(observer.sharing(Rc::new(Key::new(b"secret"))).watching(Rc::default()));
        // Leaked, so that it does not count.
        let long: &'static str = "h".repeat(4000).leak();
        let mut head: Vec<(&[u8], &[u8])> = vec![(b":method", b"POST"), (b":path", path.as_bytes())];
        head.extend([(&b"x-team"[..], long.as_bytes()), (b"x-conversation", long.as_bytes())]);
        head.extend([(&b"content-type"[..], &b"application/json"[..]), (b"x-request-id", b"1")]);
        let id: &'static str = "i".repeat(128).leak();
        let version: &'static str = format!("claude-cli/{}", "1".repeat(64)).leak();
        head.push((b"user-agent", version.as_bytes()));
        for name in ["session-id", "agent-id", "parent-agent-id", "agent-type"] {
            head.push((format!("x-claude-code-{name}").leak().as_bytes(), id.as_bytes()));
        }
        head.push((b"x-stainless-retry-count", b"1"));
        let head = head.leak();
        let before = ALLOCATED.get();
        let mut exchange = Exchange::start_from(&observer, Head(head), 0, 1)?;
        exchange.route(long);
        let mut measured = Measured { exchange, budget, before, peak: 0, reserved: 0 };
        measured.check("the start");
        Ok(measured)
    }

    #[track_caller]
    fn check(&mut self, step: &str) {
        let allocated = ALLOCATED.get().wrapping_sub(self.before) + size_of::<Exchange>();
        let reserved = self.budget.reserved();
        assert!(allocated <= reserved, "after {step}: {allocated} bytes are allocated and {reserved} reserved");
        self.peak = self.peak.max(allocated);
        self.reserved = self.reserved.max(reserved);
    }

    fn run(&mut self, request: &[u8], answer: &[u8], kind: &str, cut: usize) {
        for piece in request.chunks(cut) {
            self.exchange.request_body(piece);
            self.check("a piece of the request");
        }
        self.exchange.request_end(2);
        self.check("the request");
        self.exchange.response(Head(&[(b":status", b"200"), (b"content-type", kind.as_bytes())]), 3);
        for piece in answer.chunks(cut) {
            self.exchange.response_body(piece, 4);
            self.check("a piece of the response");
        }
        self.exchange.finish(End::Whole, 5);
        self.check("the end");
    }
}

fn everything() -> Value {
    json!({
        "conversation": {"header": "x-conversation"},
        "labels": {"headers": {"x-team": "team"}},
        "otlp": {"cluster": "collector"},
        "privacy": {"capture": "truncated", "hash": ["last_message", "prompt", "system", "tools", "response", "conversation"]},
    })
}

/// The longest length of a string that is kept, in bytes.
const LONGEST: usize = 256;

/// A string of this length that has the number.
fn text(n: usize, length: usize) -> String {
    format!("{n:0>length$}")
}

/// A request with everything that is kept, with strings of this length, and this number of entries in its lists.
fn large_request(length: usize, entries: usize) -> Value {
    let longest = |n| text(n, length);
    let calls = |n: usize| json!({"id": longest(n), "type": "function", "function": {"name": longest(n), "arguments": "{\"a\":[[1]]}"}});
    let results =
        (0..40).map(|n| json!({"role": "tool", "tool_call_id": longest(n), "name": longest(n), "content": "error"}));
    let head = [
        json!({"role": "system", "content": "s".repeat(5000)}),
        json!({"role": "user", "content": "u".repeat(5000)}),
        json!({"role": "assistant", "tool_calls": (0..40).map(calls).collect::<Vec<_>>()}),
    ];
    let names: Vec<_> = (0..entries).map(longest).collect();
    json!({
        "model": longest(1), "n": 128, "stream": true, "stop": names,
        "metadata": {"user_id": "{".repeat(5000)}, "session_id": longest(2),
        "tools": (0..50).map(|n| json!({"type": "function", "function": {"name": longest(n)}})).collect::<Vec<_>>(),
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object", "required": names}}},
        "messages": head.into_iter().chain(results).collect::<Vec<_>>(),
    })
}

/// A stream with 128 choices, each of which has a text and calls a tool.
fn large_answer(length: usize) -> Vec<u8> {
    let longest = |n| text(n, length);
    let mut stream = String::new();
    for n in 0..200 {
        let call = json!({"index": 0, "id": longest(n), "function": {"name": longest(n), "arguments": "{}"}});
        let choice = json!({"index": n, "delta": {"content": "{\"a\": [\"é\", ".repeat(20), "tool_calls": [call]}, "finish_reason": longest(n)});
        let chunk = json!({"id": longest(n), "model": longest(n), "choices": [choice]});
        stream.push_str(&format!("data: {chunk}\n\n"));
    }
    stream.push_str(&format!(
        "data: {}\n\n",
        json!({"error": {"code": longest(1), "type": longest(2), "status": longest(3)}})
    ));
    (stream + "data: [DONE]\n\n").into_bytes()
}

const CHAT: &str = "/v1/chat/completions";
const SSE: &str = "text/event-stream";

#[test]
fn an_exchange_allocates_at_most_what_it_has_reserved() {
    let (ordinary, most) = (json!({}), 1 << 20);
    for (config, cut) in [(&ordinary, most), (&ordinary, 311), (&everything(), most), (&everything(), 101)] {
        for length in [2, 20, LONGEST] {
            let entries = if length < LONGEST { 4 } else { 200 };
            let (request, answer) = (large_request(length, entries).to_string(), large_answer(length));
            let mut measured = Measured::start(config, CHAT, Budget::default()).unwrap();
            measured.run(request.as_bytes(), &answer, SSE, cut);
            let bound = if config == &ordinary { 64 << 10 } else { 94 << 10 };
            assert!(measured.reserved < bound, "an exchange has reserved {} bytes", measured.reserved);
            let seen = measured.exchange.observation();
            let lists = [seen.output.tools.len(), seen.response.finish_reasons.len(), seen.agent.results.len()];
            if length < LONGEST {
                assert_eq!((lists, seen.parse_errors), ([128, 128, 16], ParseErrors::default()));
            } else {
                assert!(lists[0] < 128 && lists[1] < 128, "{lists:?}");
                assert!(seen.parse_errors.iter().eq([ParseError::Memory]));
            }
            let budget = Rc::clone(&measured.budget);
            drop(measured);
            assert_eq!(budget.reserved(), 0);
        }
    }
}

#[test]
fn ten_thousand_ordinary_exchanges_of_one_address_fit() {
    let request =
        json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "hello ".repeat(100)}]});
    let answer =
        "data: {\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n"
            .repeat(30);
    let mut measured = Measured::start(&json!({}), CHAT, Budget::default()).unwrap();
    measured.run(request.to_string().as_bytes(), answer.as_bytes(), SSE, 200);
    assert!(measured.peak < 9 << 10, "an ordinary exchange takes {} bytes", measured.peak);
    let observer = Rc::new(Observer::new(Config::parse("").unwrap()));
    let head: [(&[u8], &[u8]); 2] = [(b":method", b"POST"), (b":path", CHAT.as_bytes())];
    let open: Vec<_> = (0..20_000).map_while(|_| Exchange::start_from(&observer, Head(&head), 0, 1).ok()).collect();
    assert!((10_000..20_000).contains(&open.len()), "{} fit, each of {} bytes", open.len(), measured.reserved);
    assert!(observer.is_crowded());
    assert!(Exchange::start_from(&observer, Head(&head), 7, 1).is_ok(), "another address has room");
}

#[test]
fn without_memory_an_exchange_is_not_read() {
    let refused = Measured::start(&json!({"limits": {"stream_memory_bytes": 8 << 20}}), "/other", Budget::default());
    assert_eq!(refused.err(), Some(Unread::OtherTraffic));
    let observer = Rc::new(Observer::new(Config::parse(r#"{"limits": {"stream_memory_bytes": 8388608}}"#).unwrap()));
    let head: [(&[u8], &[u8]); 2] = [(b":method", b"POST"), (b":path", CHAT.as_bytes())];
    let mut open = Vec::new();
    let refused = loop {
        match Exchange::start_from(&observer, Head(&head), 0, 1) {
            Ok(exchange) => open.push(exchange),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, Unread::Budget);
    open.pop();
    assert!(Exchange::start_from(&observer, Head(&head), 0, 1).is_ok());
}

#[test]
fn without_memory_for_lists_they_are_cut_and_the_rest_is_read() {
    let config = json!({"limits": {"stream_memory_bytes": 8 << 20}});
    let mut measured = Measured::start(&config, CHAT, Budget::default()).unwrap();
    let observer =
        Rc::new(Observer::with_budget(Config::parse(&config.to_string()).unwrap(), Rc::clone(&measured.budget)));
    let head: [(&[u8], &[u8]); 2] = [(b":method", b"POST"), (b":path", CHAT.as_bytes())];
    let others: Vec<_> = (0..10_000).map_while(|_| Exchange::start_from(&observer, Head(&head), 0, 1).ok()).collect();
    assert!(others.len() > 100);
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\n";
    // Without the end of the stream, which is `data: [DONE]` and a blank line.
    let answer = large_answer(40);
    let answer = [&answer[..answer.len() - 14], usage.as_bytes()].concat();
    let exchange = &mut measured.exchange;
    exchange.request_body(large_request(40, 4).to_string().as_bytes());
    exchange.request_end(2);
    exchange.response(Head(&[(b":status", b"200"), (b"content-type", SSE.as_bytes())]), 3);
    exchange.response_body(&answer, 4);
    exchange.finish(End::Whole, 5);
    let seen = exchange.observation();
    assert!(seen.parse_errors.iter().eq([ParseError::Memory]));
    assert!(seen.output.tools.len() < 128 && seen.response.finish_reasons.len() < 128);
    assert_eq!((seen.usage.input, seen.usage.output), (Some(5), Some(7)));
    assert!(measured.budget.reserved() <= 8 << 20);
}

/// The frame of a server's text message.
fn frame(text: &str) -> Vec<u8> {
    [&[0x81, 127], &(text.len() as u64).to_be_bytes()[..], text.as_bytes()].concat()
}

/// The frame of a client's text message. The key of its mask is 0.
fn masked(text: &str) -> Vec<u8> {
    [&[0x81, 255], &(text.len() as u64).to_be_bytes()[..], &[0; 4], text.as_bytes()].concat()
}

#[test]
fn a_websocket_allocates_no_more_than_it_has_reserved_and_little_while_it_is_idle() {
    let budget = Rc::new(Budget::default());
    let observer = Observer::with_budget(Config::parse(&everything().to_string()).unwrap(), Rc::clone(&budget));
    let observer = Rc::new(observer.sharing(Rc::new(Key::new(b"secret"))));
    let long: &'static str = "h".repeat(4000).leak();
    let head: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"GET"),
        (b":path", b"/v1/responses"),
        (b"upgrade", b"websocket"),
        (b"x-team", long.as_bytes()),
        (b"x-conversation", long.as_bytes()),
    ];
    let create = |lane: usize| {
        let (pad, messages) = ("p".repeat(3000), &large_request(LONGEST, 40)["messages"]);
        masked(&format!(r#"{{"pad":"{pad}","type":"response.create","stream_id":"{lane}","input":{messages}}}"#))
    };
    let answer = |lane: usize| {
        let created = format!(r#"{{"type":"response.created","stream_id":"{lane}","response":{{"id":"{long}"}}}}"#);
        let text = format!(r#"{{"delta":"{long}","type":"response.output_text.delta","stream_id":"{lane}"}}"#);
        [frame(&created), frame(&text)].concat()
    };
    let messages: Vec<_> = (0..30).map(|lane| (create(lane), answer(lane))).collect();
    let before = ALLOCATED.get();
    let check = |step: &str| {
        let allocated = ALLOCATED.get().wrapping_sub(before);
        assert!(allocated <= budget.reserved(), "{step}: {allocated} of {}", budget.reserved());
        allocated
    };
    let exchange = Exchange::start_from(&observer, Head(&head), 0, 1).unwrap();
    let mut session = Box::new(Session::start(exchange.into_template().unwrap(), "").unwrap());
    let idle = check("an idle session");
    println!("an idle session takes {idle} bytes and reserves {}", budget.reserved());
    assert!(idle < 4 << 10, "an idle session takes {idle} bytes");
    let mut tell = |_: SessionEvent<'_>| {};
    let mut most = 0;
    for (create, answer) in &messages {
        for piece in create.chunks(999) {
            session.push(Side::Request, piece, 2, &mut tell);
            check("a piece of a request");
        }
        for piece in answer.chunks(777) {
            session.push(Side::Response, piece, 3, &mut tell);
            most = most.max(check("a piece of a response"));
        }
    }
    assert!(most > 16 * 4000, "sixteen responses were open in {most} bytes");
    session.close(End::ClientDisconnect, 4, &mut tell);
    assert!(check("the end") < 4 << 10);
    drop(session);
    drop(observer);
    assert_eq!(budget.reserved(), 0);
}

#[test]
fn a_thousand_series_of_otlp_metrics_take_less_than_two_megabytes() {
    let config = Config::parse("").unwrap();
    let before = ALLOCATED.get();
    let mut store = MetricStore::new(1, Temporality::Cumulative);
    let mut calls = 0;
    while store.series() < 1000 {
        let mut seen = Observation { operation: "chat", provider: "openai".into(), ..Observation::default() };
        seen.response.model = Some(format!("gpt-4o-2024-08-06-of-{calls}").into());
        seen.route = "the-route-of-an-application-in-a-namespace".into();
        seen.outcome = Some(Outcome::Completed);
        (seen.usage.input, seen.usage.output, seen.cost.nanousd) = (Some(1), Some(1), Some(1));
        (seen.timing.start, seen.timing.first_chunk, seen.timing.first_token) = (1, Some(2), Some(3));
        // Each duration is in another bucket, so each leaves an exemplar.
        for end in [10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000] {
            seen.timing.end = Some(end);
            store.record(&seen, &config, 1, Some(SpanReference { trace: [1; 16], span: [2; 8] }));
        }
        calls += 1;
    }
    let bytes = ALLOCATED.get() - before;
    println!("{} series take {bytes} bytes", store.series());
    assert!(bytes < 2_000_000, "{} series take {bytes} bytes", store.series());
}
