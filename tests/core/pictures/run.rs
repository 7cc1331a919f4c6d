//! The spans of a run of a coding agent, which trace.svg shows: the core reads the bytes of its calls.

use std::rc::Rc;

use gaugeway::config::{CacheAttribute, Config};
use gaugeway::exchange::{End, Exchange, Head, Observer};
use gaugeway::sink::otlp::{Envelope, Source, SpanQueue};
use gaugeway::text::hash::Key;
use gaugeway::trace_context::TraceContext;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};

const MODEL: &str = "claude-sonnet-4-5";
/// The run's start, and a millisecond, in nanoseconds.
const START: u64 = 1_800_000_000_000_000_000;
const MS: u64 = 1_000_000;

/// A call of the model, and the tool that its answer calls.
struct Step {
    /// Start, first token and end, in milliseconds since the run's start.
    at: [u64; 3],
    /// Tokens of the prompt that no cache had, read from the cache, written to it, and of the answer.
    tokens: [u64; 4],
    tool: Option<Tool>,
}

/// A tool call, and its result.
struct Tool {
    name: &'static str,
    input: Value,
    result: &'static str,
    failed: bool,
}

fn steps() -> [Step; 4] {
    let tool = |name, input, result, failed| Some(Tool { name, input, result, failed });
    let failure = "test result: FAILED. 41 passed; 1 failed; 0 ignored";
    [
        Step {
            at: [0, 1_200, 2_200],
            tokens: [12, 0, 14_200, 96],
            tool: tool("Read", json!({"file_path": "src/tide.rs"}), "fn tide() -> f64 { 1.2 }", false),
        },
        Step {
            at: [2_500, 3_300, 4_600],
            tokens: [8, 14_200, 640, 118],
            tool: tool("Bash", json!({"command": "cargo test"}), failure, true),
        },
        Step {
            at: [8_100, 9_000, 10_900],
            tokens: [8, 14_840, 310, 402],
            tool: tool("Edit", json!({"file_path": "src/tide.rs"}), "The file has been updated.", false),
        },
        Step { at: [11_100, 11_800, 12_600], tokens: [8, 15_150, 440, 57], tool: None },
    ]
}

/// The spans in the order of their starts. One that contains others comes before them.
pub fn spans() -> Vec<Span> {
    let observer = Rc::new(Observer::new(Config::parse("").unwrap()).sharing(Rc::new(Key::new(b"secret"))));
    let mut queue = SpanQueue::new(Rc::new(Envelope::new(&[])));
    let mut history = vec![json!({"role": "user", "content": "The tide is wrong on Mondays."})];
    let mut pending = Vec::new();
    for (number, step) in (1..).zip(steps()) {
        let mut exchange = step.begin(&observer, &history);
        for (call, key, _) in exchange.result_keys() {
            let at = pending.iter().position(|one: &gaugeway::signal::memory::Pending| one.call == key.call).unwrap();
            exchange.recall(call, pending.swap_remove(at));
        }
        exchange.end_recall();
        let place = TraceContext::of_request(&format!("{number:032x}")).unwrap();
        if number == 1 {
            exchange.set_trace_context(place);
        }
        step.answer(&mut exchange, number);
        pending = exchange.take_calls();
        let run = exchange.run_span();
        assert!(queue.exchange(exchange.observation(), CacheAttribute::default(), place, run));
        history.extend(step.messages(number));
    }
    let sent = ExportTraceServiceRequest::decode(&*queue.take(0).unwrap().body).unwrap();
    let mut spans = sent.resource_spans[0].scope_spans[0].spans.clone();
    spans.sort_by_key(|span| (span.start_time_unix_nano, u64::MAX - span.end_time_unix_nano));
    spans
}

impl Step {
    /// The exchange with the whole request.
    fn begin(&self, observer: &Rc<Observer>, history: &[Value]) -> Exchange {
        let head: [(&[u8], &[u8]); 6] = [
            (b":method", b"POST"),
            (b":authority", b"api.anthropic.com"),
            (b":path", b"/v1/messages"),
            (b"content-type", b"application/json"),
            (b"user-agent", b"claude-cli/2.1.332 (external, cli)"),
            (b"x-claude-code-session-id", b"0b9c7f6e-2f4e-4d0c-9d55-1f0a3f1f7f10"),
        ];
        let now = START + self.at[0] * MS;
        let mut exchange = Exchange::start(observer, Head(&head), now).unwrap();
        exchange.identify(Head(&head), || b"10.0.0.1".to_vec());
        let tools = ["Bash", "Edit", "Read"].map(|name| json!({"name": name, "input_schema": {"type": "object"}}));
        let request = json!({"model": MODEL, "stream": true, "tools": tools, "messages": history});
        exchange.request_body(request.to_string().as_bytes());
        exchange.request_end(now);
        exchange
    }

    /// The whole answer.
    fn answer(&self, exchange: &mut Exchange, number: u64) {
        let [start, first, end] = self.at.map(|ms| START + ms * MS);
        let head: [(&[u8], &[u8]); 2] = [(b":status", b"200"), (b"content-type", b"text/event-stream")];
        exchange.response(Head(&head), start + 400 * MS);
        let [input, cache_read, cache_write, output] = self.tokens;
        let usage = json!({
            "input_tokens": input, "cache_read_input_tokens": cache_read, "cache_creation_input_tokens": cache_write, "output_tokens": 1,
        });
        let message = json!({"id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": MODEL, "content": [], "usage": usage});
        let (block, delta, reason) = match &self.tool {
            Some(tool) => (
                json!({"type": "tool_use", "id": tool_id(number), "name": tool.name, "input": {}}),
                json!({"type": "input_json_delta", "partial_json": tool.input.to_string()}),
                "tool_use",
            ),
            None => (
                json!({"type": "text", "text": ""}),
                json!({"type": "text_delta", "text": "All tests pass."}),
                "end_turn",
            ),
        };
        let events = [
            (start + 400 * MS, json!({"type": "message_start", "message": message})),
            (first, json!({"type": "content_block_start", "index": 0, "content_block": block})),
            (first, json!({"type": "content_block_delta", "index": 0, "delta": delta})),
            (end, json!({"type": "content_block_stop", "index": 0})),
            (
                end,
                json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": output}}),
            ),
            (end, json!({"type": "message_stop"})),
        ];
        for (at, event) in events {
            let event = format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
            exchange.response_body(event.as_bytes(), at);
        }
        exchange.finish(End::Whole, end);
    }

    /// The messages that the step adds to the history.
    fn messages(&self, number: u64) -> Vec<Value> {
        let Some(tool) = &self.tool else { return Vec::new() };
        let id = tool_id(number);
        let call = json!({"type": "tool_use", "id": id, "name": tool.name, "input": tool.input});
        let result = json!({"type": "tool_result", "tool_use_id": id, "content": tool.result, "is_error": tool.failed});
        vec![json!({"role": "assistant", "content": [call]}), json!({"role": "user", "content": [result]})]
    }
}

fn tool_id(number: u64) -> String {
    format!("toolu_01Zk3vQ81xT7mYw{number}")
}
