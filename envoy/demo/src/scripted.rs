//! A scripted model for agents: it calls the first tool twice in one turn, then the second tool, and then answers. The
//! turn depends only on the request's history, as with a real model, so any client can use it.
//!
//! It supports Chat Completions, Responses, Messages and embeddings, streamed or not, in the formats of the providers'
//! documentation. Without tools it answers at once. A prompt that describes ReAct in text gets the same turns as text.

use serde_json::{Value, json};

use super::answers::{Answer, DONE, unique};

const WORDS: [&str; 3] = ["Bern has 68 degrees Fahrenheit", " and Oslo is colder", ". ✓"];
const REACT: [&str; 3] = [
    "Thought: I need a tool.\nAction: temperature\nAction Input: {\"city\": \"Bern\"}",
    "Thought: I need a tool.\nAction: fahrenheit\nAction Input: {\"celsius\": 20}",
    "Thought: I can answer without using any more tools.\nAnswer: Bern has 68 degrees Fahrenheit",
];

/// The next turn of the model.
struct Turn {
    /// Unique in this process. Its last part is the number of earlier turns of the run that called tools.
    id: String,
    model: String,
    calls: Vec<Call>,
    words: Vec<String>,
    usage: Usage,
}

struct Call {
    id: String,
    tool: String,
    arguments: String,
}

/// Counts as OpenAI defines them: the input includes cached tokens, the output includes reasoning tokens.
struct Usage {
    input: usize,
    cached: usize,
    output: usize,
}

pub fn answer(path: &str, request: &[u8]) -> Answer {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    if path.split('?').next().is_some_and(|path| path.ends_with("/embeddings")) {
        return Answer::whole(&embeddings(&request));
    }
    say(path, &request, &Turn::after(path, &request))
}

/// An answer that calls these tools, each with its arguments in JSON, and has these words.
pub fn turn(path: &str, request: &Value, calls: &[(String, String)], words: Vec<String>) -> Answer {
    let id = unique().to_string();
    let call = |(at, (tool, arguments)): (usize, &(String, String))| Call {
        id: format!("call_{id}_{at}"),
        tool: tool.clone(),
        arguments: arguments.clone(),
    };
    let calls = calls.iter().enumerate().map(call).collect();
    let usage = Usage { input: 50, cached: 0, output: 10 };
    let model = request["model"].as_str().unwrap_or_default().to_owned();
    say(path, request, &Turn { id, model, calls, words, usage })
}

fn say(path: &str, request: &Value, turn: &Turn) -> Answer {
    let streamed = request["stream"] == true;
    let path = path.split('?').next().unwrap_or_default();
    match (path.rsplit('/').next().unwrap_or_default(), streamed) {
        ("messages", false) => Answer::whole(&turn.message()),
        ("messages", true) => Answer::events(turn.message_events()),
        ("responses", false) => Answer::whole(&turn.response("completed", turn.items())),
        ("responses", true) => Answer::events(turn.response_events()),
        (_, false) => Answer::whole(&turn.completion()),
        (_, true) => {
            let mut answer = Answer::events(turn.chunks(request["stream_options"]["include_usage"] == true));
            answer.pieces.push_back(DONE);
            answer
        }
    }
}

impl Turn {
    fn after(path: &str, request: &Value) -> Self {
        let none = Vec::new();
        let list = |key: &str| request[key].as_array().unwrap_or(&none);
        let history = if path.ends_with("/responses") { list("input") } else { list("messages") };
        let react = history.first().is_some_and(|first| first["content"].to_string().contains("Action Input:"));
        let number = match request["previous_response_id"].as_str() {
            Some(id) if !history.iter().any(is_question) => {
                1 + id.rsplit('_').next().unwrap().parse::<usize>().unwrap()
            }
            _ if react => history
                .iter()
                .filter(|one| one["content"].as_str().is_some_and(|text| text.starts_with("Observation")))
                .count(),
            _ => answered(history),
        };
        let tools: Vec<_> = list("tools")
            .iter()
            .map(|tool| if tool["function"].is_object() { &tool["function"] } else { tool })
            .collect();
        let id = format!("{}_{number}", unique());
        let asked: &[(usize, &str)] = match number {
            0 => &[(0, "Bern"), (0, "Oslo")],
            1 => &[(1, "Bern")],
            _ => &[],
        };
        let calls: Vec<_> = asked
            .iter()
            .enumerate()
            .filter_map(|(at, (tool, city))| {
                let tool = tools.get(*tool)?;
                let schema = if tool["parameters"].is_object() { &tool["parameters"] } else { &tool["input_schema"] };
                Some(Call {
                    id: format!("call_{id}_{at}"),
                    tool: tool["name"].as_str()?.to_owned(),
                    arguments: arguments(schema, city),
                })
            })
            .collect();
        let words = match calls.is_empty() {
            true if react => vec![REACT[number.min(2)].to_owned()],
            true => WORDS.map(str::to_owned).to_vec(),
            false => Vec::new(),
        };
        let size = request.to_string().len();
        let usage = Usage { input: size / 4, cached: size / 16, output: 20 + number };
        Self { id, model: format!("{}-2026-01-01", request["model"].as_str().unwrap_or_default()), calls, words, usage }
    }

    fn completion(&self) -> Value {
        let reason = if self.calls.is_empty() { "stop" } else { "tool_calls" };
        let mut message = json!({"role": "assistant", "content": self.text(), "refusal": null});
        if !self.calls.is_empty() {
            message["tool_calls"] = self.calls.iter().map(Call::chat).collect();
        }
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": reason});
        self.chat("chat.completion", &json!([choice]), true)
    }

    fn chunks(&self, counted: bool) -> Vec<Value> {
        let chunk = |delta: Value, reason: Value| {
            self.chat("chat.completion.chunk", &json!([{"index": 0, "delta": delta, "finish_reason": reason}]), false)
        };
        let mut chunks = vec![chunk(json!({"role": "assistant", "content": null}), Value::Null)];
        for (at, call) in self.calls.iter().enumerate() {
            let mut first = call.chat();
            first["index"] = at.into();
            first["function"]["arguments"] = "".into();
            chunks.push(chunk(json!({"tool_calls": [first]}), Value::Null));
            for piece in halves(&call.arguments) {
                chunks
                    .push(chunk(json!({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}), Value::Null));
            }
        }
        chunks.extend(self.words.iter().map(|word| chunk(json!({"content": word}), Value::Null)));
        chunks.push(chunk(json!({}), if self.calls.is_empty() { "stop" } else { "tool_calls" }.into()));
        if counted {
            chunks.push(self.chat("chat.completion.chunk", &json!([]), true));
        }
        chunks
    }

    fn chat(&self, object: &str, choices: &Value, counted: bool) -> Value {
        let mut body = json!({"id": format!("chatcmpl-{}", self.id), "object": object, "created": 1, "model": self.model, "choices": choices});
        if counted {
            let Usage { input, cached, output } = self.usage;
            body["usage"] = json!({
                "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
                "prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": 3},
            });
        }
        body
    }

    fn items(&self) -> Vec<Value> {
        if self.calls.is_empty() {
            let text = json!({"type": "output_text", "text": self.words.concat(), "annotations": []});
            return vec![
                json!({"type": "message", "id": "msg_0", "status": "completed", "role": "assistant", "content": [text]}),
            ];
        }
        let item = |call: &Call| {
            json!({"type": "function_call", "id": format!("fc_{}", call.id), "call_id": call.id, "status": "completed",
                   "name": call.tool, "arguments": call.arguments})
        };
        self.calls.iter().map(item).collect()
    }

    fn response(&self, status: &str, items: Vec<Value>) -> Value {
        let Usage { input, cached, output } = self.usage;
        let usage = json!({
            "input_tokens": input, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": input + output,
        });
        json!({
            "id": format!("resp_{}", self.id), "object": "response", "created_at": 1, "status": status, "model": self.model,
            "output": items, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "error": null,
            "incomplete_details": null, "usage": if status == "completed" { usage } else { Value::Null },
        })
    }

    fn response_events(&self) -> Vec<Value> {
        let mut events =
            vec![json!({"type": "response.created", "response": self.response("in_progress", Vec::new())})];
        for (at, item) in self.items().into_iter().enumerate() {
            let mut begun = item.clone();
            begun["status"] = "in_progress".into();
            let id = item["id"].clone();
            if let Some(arguments) = item["arguments"].as_str() {
                begun["arguments"] = "".into();
                events.push(json!({"type": "response.output_item.added", "output_index": at, "item": begun}));
                for piece in halves(arguments) {
                    events.push(json!({"type": "response.function_call_arguments.delta", "item_id": id, "output_index": at, "delta": piece}));
                }
                events.push(json!({"type": "response.function_call_arguments.done", "item_id": id, "output_index": at, "arguments": arguments}));
            } else {
                let place = |kind: &str| json!({"type": kind, "item_id": id, "output_index": at, "content_index": 0});
                let with = |kind: &str, key: &str, value: Value| {
                    let mut event = place(kind);
                    event[key] = value;
                    event
                };
                begun["content"] = json!([]);
                events.push(json!({"type": "response.output_item.added", "output_index": at, "item": begun}));
                let empty = json!({"type": "output_text", "text": "", "annotations": []});
                events.push(with("response.content_part.added", "part", empty));
                events.extend(
                    self.words.iter().map(|word| with("response.output_text.delta", "delta", word.as_str().into())),
                );
                events.push(with("response.output_text.done", "text", self.words.concat().into()));
                events.push(with("response.content_part.done", "part", item["content"][0].clone()));
            }
            events.push(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
        }
        events.push(json!({"type": "response.completed", "response": self.response("completed", self.items())}));
        for (number, event) in events.iter_mut().enumerate() {
            event["sequence_number"] = number.into();
        }
        events
    }

    fn message(&self) -> Value {
        let blocks: Vec<_> = match self.calls.is_empty() {
            true => vec![json!({"type": "text", "text": self.words.concat()})],
            false => self.calls.iter().map(|call| call.block(serde_json::from_str(&call.arguments).unwrap())).collect(),
        };
        self.of_message(blocks, Some(self.usage.output))
    }

    fn message_events(&self) -> Vec<Value> {
        let mut message = self.of_message(Vec::new(), None);
        message["stop_reason"] = Value::Null;
        let mut events = vec![json!({"type": "message_start", "message": message})];
        let mut block = |at: usize, start: Value, deltas: Vec<Value>| {
            events.push(json!({"type": "content_block_start", "index": at, "content_block": start}));
            events.extend(
                deltas.into_iter().map(|delta| json!({"type": "content_block_delta", "index": at, "delta": delta})),
            );
            events.push(json!({"type": "content_block_stop", "index": at}));
        };
        if self.calls.is_empty() {
            let deltas = self.words.iter().map(|word| json!({"type": "text_delta", "text": word}));
            block(0, json!({"type": "text", "text": ""}), deltas.collect());
        }
        for (at, call) in self.calls.iter().enumerate() {
            let deltas = halves(&call.arguments)
                .into_iter()
                .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}));
            block(at, call.block(json!({})), deltas.collect());
        }
        let reason = if self.calls.is_empty() { "end_turn" } else { "tool_use" };
        let delta = json!({"stop_reason": reason, "stop_sequence": null});
        events.push(json!({"type": "message_delta", "delta": delta, "usage": self.message_usage(self.usage.output)}));
        events.push(json!({"type": "message_stop"}));
        events
    }

    fn of_message(&self, blocks: Vec<Value>, output: Option<usize>) -> Value {
        let reason = if self.calls.is_empty() { "end_turn" } else { "tool_use" };
        json!({
            "id": format!("msg_{}", self.id), "type": "message", "role": "assistant", "model": self.model, "content": blocks,
            "stop_reason": reason, "stop_sequence": null, "usage": self.message_usage(output.unwrap_or(1)),
        })
    }

    fn message_usage(&self, output: usize) -> Value {
        let Usage { input, cached, .. } = self.usage;
        json!({"input_tokens": input - cached, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0, "output_tokens": output})
    }

    fn text(&self) -> Value {
        if self.words.is_empty() { Value::Null } else { self.words.concat().into() }
    }
}

impl Call {
    fn chat(&self) -> Value {
        json!({"id": self.id, "type": "function", "function": {"name": self.tool, "arguments": self.arguments}})
    }

    fn block(&self, input: Value) -> Value {
        json!({"type": "tool_use", "id": self.id, "name": self.tool, "input": input})
    }
}

/// Number of turns with tool calls since the last question of the user.
fn answered(history: &[Value]) -> usize {
    let start = history.iter().rposition(is_question).map_or(0, |at| at + 1);
    let calls = |one: &Value| {
        let block = |block: &Value| block["type"] == "tool_use";
        one["type"] == "function_call"
            || one["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty())
            || one["content"].as_array().is_some_and(|blocks| blocks.iter().any(block))
    };
    let run = &history[start..];
    // In the Responses API each call is a separate item, and the calls of a turn are adjacent.
    (0..run.len()).filter(|at| calls(&run[*at]) && (*at == 0 || !calls(&run[at - 1]))).count()
}

fn is_question(one: &Value) -> bool {
    let result = |block: &Value| block["type"] == "tool_result";
    one["role"] == "user" && !one["content"].as_array().is_some_and(|blocks| blocks.iter().any(result))
}

/// A value for every property of the tool's schema.
fn arguments(schema: &Value, city: &str) -> String {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let value = |schema: &Value| if schema["type"] == "string" { Value::from(city) } else { 20.into() };
    properties.map(|(name, schema)| (name.clone(), value(schema))).collect::<Value>().to_string()
}

fn halves(text: &str) -> [&str; 2] {
    let (first, second) = text.split_at(text.len() / 2);
    [first, second]
}

fn embeddings(request: &Value) -> Value {
    let count = request["input"].as_array().map_or(1, Vec::len);
    let data: Vec<_> =
        (0..count).map(|at| json!({"object": "embedding", "index": at, "embedding": [0.5, 0.25, at as f64]})).collect();
    let tokens = request["input"].to_string().len() / 4;
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    json!({"object": "list", "data": data, "model": request["model"], "usage": usage})
}
