//! Answers that the upstream generates where a fixture would be too large or could not depend on the request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::{Value, json};

pub struct Answer {
    /// The content type.
    pub kind: &'static str,
    pub pieces: VecDeque<Bytes>,
    /// The content length, if the provider knows it before it sends.
    pub length: Option<usize>,
}

impl Answer {
    /// A chat completion, or a stream of the Responses API whose last event repeats the text, with `size` bytes of text
    /// followed by the usage. The text is not held in memory: every piece is a view of the same 64 KiB.
    pub fn big(size: usize, stream: bool) -> Self {
        let (kind, head, tail) = if stream { RESPONSE } else { COMPLETION };
        let page = Bytes::from(vec![b'a'; 64 * 1024]);
        let mut pieces = VecDeque::from([Bytes::from_static(head.as_bytes())]);
        let mut left = size;
        while left > 0 {
            let piece = page.slice(..left.min(page.len()));
            left -= piece.len();
            pieces.push_back(piece);
        }
        pieces.push_back(Bytes::from_static(tail.as_bytes()));
        Self { kind, pieces, length: (!stream).then_some(head.len() + size + tail.len()) }
    }

    /// A JSON document.
    pub fn given(document: String) -> Self {
        let length = Some(document.len());
        Self { kind: "application/json", pieces: VecDeque::from([Bytes::from(document)]), length }
    }

    /// A chat completion that names the model of the request.
    pub fn echo(request: &[u8]) -> Self {
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let body = json!({
            "id": "chatcmpl-echo", "object": "chat.completion", "created": 1, "model": request["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        });
        Self::whole(&body)
    }

    pub fn whole(body: &Value) -> Self {
        let body = body.to_string();
        let length = Some(body.len());
        Self { kind: "application/json", pieces: VecDeque::from([Bytes::from(body)]), length }
    }

    /// A stream of server-sent events. An event with a member `type` has a name.
    pub fn events(events: Vec<Value>) -> Self {
        let piece = |event: Value| match event["type"].as_str() {
            Some(kind) => Bytes::from(format!("event: {kind}\ndata: {event}\n\n")),
            None => Bytes::from(format!("data: {event}\n\n")),
        };
        Self { kind: "text/event-stream", pieces: events.into_iter().map(piece).collect(), length: None }
    }
}

/// The end of a stream of chat completions.
pub const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// The parameters of a generated agent run.
#[derive(Clone, Copy, Default)]
pub struct Steps {
    /// Number of tool results in the conversation that ends the run.
    pub results: usize,
    /// Number of tool calls in each answer that has any.
    pub calls: usize,
    /// Gives every call the same arguments.
    pub again: bool,
    /// Gives the calls of all runs the same identifiers, as some servers do.
    pub same_ids: bool,
}

/// The tools that an agent is asked to call, in turn.
pub const TOOLS: [&str; 2] = ["search", "read"];

/// A tool call in an answer.
struct Call {
    id: String,
    name: &'static str,
    arguments: String,
}

impl Answer {
    /// The next turn of a conversation: tool calls until the conversation has enough tool
    /// results, then a text. Supports chat completions, Anthropic's messages and, on its path, the Responses API. The
    /// identifiers of the latter contain the number of earlier results.
    pub fn agent(path: &str, request: &[u8], steps: Steps) -> Self {
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let speak = match path {
            _ if path.ends_with("/responses") => responses,
            _ if path.ends_with("/messages") => messages,
            _ => completions,
        };
        let brought = brought(&request);
        let calls: Vec<_> = (brought..steps.results.min(brought + steps.calls.max(1)))
            .map(|number| Call {
                id: format!("call_{}", if steps.same_ids { number as u64 } else { unique() }),
                name: TOOLS[number % TOOLS.len()],
                arguments: json!({"about": if steps.again { 0 } else { number }}).to_string(),
            })
            .collect();
        let (whole, events) = speak(&request["model"], brought, &calls);
        if request["stream"] != true {
            return Self::whole(&whole);
        }
        let mut answer = Self::events(events);
        if path.ends_with("/completions") {
            answer.pieces.push_back(DONE);
        }
        answer
    }
}

/// Number of tool results in a conversation, including those of the previous responses that it continues.
fn brought(request: &Value) -> usize {
    let before = request["previous_response_id"].as_str().and_then(|id| id.rsplit('_').next()?.parse().ok());
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let chat = list(&request["messages"]).into_iter();
    let blocks = chat.clone().flat_map(|message| list(&message["content"]));
    let parts = chat.chain(blocks).chain(list(&request["input"]));
    let result = |part: &Value| {
        part["role"] == "tool" || part["type"] == "tool_result" || part["type"] == "function_call_output"
    };
    before.unwrap_or(0) + parts.filter(result).count()
}

/// A number that is unique in this process.
pub fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

const TEXT: &str = "It is done.";

fn completions(model: &Value, _: usize, calls: &[Call]) -> (Value, Vec<Value>) {
    let (id, usage) =
        (format!("chatcmpl-{}", unique()), json!({"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60}));
    let tools: Vec<_> = calls.iter().map(|call| json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})).collect();
    let (message, reason) = match calls {
        [] => (json!({"role": "assistant", "content": TEXT}), "stop"),
        _ => (json!({"role": "assistant", "content": null, "tool_calls": tools}), "tool_calls"),
    };
    let whole = json!({"id": id, "object": "chat.completion", "created": 1, "model": model, "usage": usage,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}]});
    let chunk = |choices: Value| json!({"id": id, "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices});
    let delta = |delta: Value| chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]));
    let mut events = vec![delta(json!({"role": "assistant", "content": if calls.is_empty() { TEXT } else { "" }}))];
    for (index, call) in calls.iter().enumerate() {
        let (head, tail) = call.arguments.split_at(3);
        events.push(delta(json!({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": head}}]})));
        events.push(delta(json!({"tool_calls": [{"index": index, "function": {"arguments": tail}}]})));
    }
    events.push(chunk(json!([{"index": 0, "delta": {}, "finish_reason": reason}])));
    let mut last = chunk(json!([]));
    last["usage"] = usage;
    events.push(last);
    (whole, events)
}

fn messages(model: &Value, _: usize, calls: &[Call]) -> (Value, Vec<Value>) {
    let block =
        |call: &Call, input: Value| json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input});
    let content = match calls {
        [] => vec![json!({"type": "text", "text": TEXT})],
        _ => calls.iter().map(|call| block(call, serde_json::from_str(&call.arguments).unwrap())).collect(),
    };
    let reason = if calls.is_empty() { "end_turn" } else { "tool_use" };
    let mut whole = json!({"id": format!("msg_{}", unique()), "type": "message", "role": "assistant", "model": model,
        "content": content, "stop_reason": reason, "stop_sequence": null, "usage": {"input_tokens": 50, "output_tokens": 10}});
    let mut events = Vec::new();
    let mut say = |index: usize, start: Value, delta: Value| {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        events.push(json!({"type": "content_block_stop", "index": index}));
    };
    if calls.is_empty() {
        say(0, json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": TEXT}));
    }
    for (index, call) in calls.iter().enumerate() {
        say(index, block(call, json!({})), json!({"type": "input_json_delta", "partial_json": call.arguments}));
    }
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 10}}));
    events.push(json!({"type": "message_stop"}));
    let answer = whole.clone();
    whole["content"] = json!([]);
    whole["stop_reason"] = Value::Null;
    events.insert(0, json!({"type": "message_start", "message": whole}));
    (answer, events)
}

fn responses(model: &Value, brought: usize, calls: &[Call]) -> (Value, Vec<Value>) {
    let item = |call: &Call| json!({"type": "function_call", "id": format!("fc_{}", call.id), "call_id": call.id, "name": call.name, "arguments": call.arguments, "status": "completed"});
    let output: Vec<_> = match calls {
        [] => vec![json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": TEXT, "annotations": []}]})],
        _ => calls.iter().map(item).collect(),
    };
    let whole = json!({"id": format!("resp_{}_{brought}", unique()), "object": "response", "status": "completed", "model": model,
        "output": output, "usage": {"input_tokens": 50, "output_tokens": 10, "total_tokens": 60}});
    let mut begun = whole.clone();
    (begun["status"], begun["output"], begun["usage"]) = (json!("in_progress"), json!([]), Value::Null);
    let mut events = vec![json!({"type": "response.created", "response": begun})];
    for (index, item) in output.iter().enumerate() {
        events.push(json!({"type": "response.output_item.added", "output_index": index, "item": item}));
        if let Some(arguments) = item["arguments"].as_str() {
            events.push(
                json!({"type": "response.function_call_arguments.delta", "output_index": index, "delta": arguments}),
            );
        }
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    events.push(json!({"type": "response.completed", "response": whole}));
    (whole, events)
}

/// The content type, the bytes before the text and the bytes after it.
type Frame = (&'static str, &'static str, &'static str);

const COMPLETION: Frame = (
    "application/json",
    r#"{"id":"chatcmpl-big","object":"chat.completion","created":1,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":""#,
    r#""},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33}}"#,
);

const RESPONSE: Frame = (
    "text/event-stream",
    concat!(
        "event: response.completed\n",
        r#"data: {"type":"response.completed","response":{"id":"resp_big","object":"response","status":"completed","#,
        r#""model":"gpt-4o-2024-08-06","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":""#
    ),
    concat!(r#""}]}],"usage":{"input_tokens":11,"output_tokens":22,"total_tokens":33}}}"#, "\n\n"),
);
