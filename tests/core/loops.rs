//! Planted loops of each kind, and runs that look like loops, in every API with tools.

use std::rc::Rc;

use crate::support::core::{Wire, pass};
use gaugeway::config::Config;
use gaugeway::exchange::{End, Observer};
use gaugeway::observation::{Agent, Loop};
use serde_json::{Value, json};

/// A call: tool, arguments, result.
type Call = (&'static str, Value, Value);
/// The calls of one turn.
type Turn = Vec<Call>;

/// An API, and the body of a request after some turns.
struct Api {
    host: &'static str,
    path: &'static str,
    body: fn(&[Turn]) -> Value,
}

const APIS: &[Api] = &[
    Api { host: "api.openai.com", path: "/v1/chat/completions", body: |turns| chat(turns, &named_call, &named_result) },
    Api { host: "api.mistral.ai", path: "/v1/chat/completions", body: |turns| chat(turns, &named_call, &named_result) },
    Api { host: "api.cohere.com", path: "/v2/chat", body: |turns| chat(turns, &named_call, &cohere_result) },
    Api { host: "ollama:11434", path: "/api/chat", body: |turns| chat(turns, &ollama_call, &ollama_result) },
    Api { host: "api.openai.com", path: "/v1/responses", body: responses },
    Api { host: "api.anthropic.com", path: "/v1/messages", body: anthropic },
    Api { host: GOOGLE, path: "/v1beta/models/g:generateContent", body: |turns| gemini(turns, true) },
    Api { host: GOOGLE, path: "/v1beta/models/g:generateContent", body: |turns| gemini(turns, false) },
    Api { host: GOOGLE, path: "/v1beta/interactions", body: interactions },
    Api { host: "bedrock-runtime.eu-west-1.amazonaws.com", path: "/model/m/converse", body: bedrock },
    Api { host: "api.mistral.ai", path: "/v1/conversations", body: conversations },
];
const GOOGLE: &str = "generativelanguage.googleapis.com";

/// The items of all turns: first `call` of each call, then `result` of each, with the number of the call.
fn items(turns: &[Turn], call: impl Fn(usize, &Call) -> Value, result: impl Fn(usize, &Call) -> Value) -> Vec<Value> {
    let mut all = Vec::new();
    for (at, turn) in turns.iter().enumerate() {
        let numbered = || turn.iter().enumerate().map(|(n, one)| (100 * at + n, one));
        all.extend(numbered().map(|(n, one)| call(n, one)));
        all.extend(numbered().map(|(n, one)| result(n, one)));
    }
    all
}

/// The messages of all turns: one with the calls, then the results, in one message or in one each.
fn messages(turns: &[Turn], calls: impl Fn(Vec<Value>) -> Value, call: &dyn Fn(usize, &Call) -> Value) -> Vec<Value> {
    let number = |at: usize, turn: &Turn| turn.iter().enumerate().map(|(n, one)| call(100 * at + n, one)).collect();
    turns.iter().enumerate().map(|(at, turn)| calls(number(at, turn))).collect()
}

fn interleaved(first: Vec<Value>, calls: Vec<Value>, results: Vec<Vec<Value>>) -> Value {
    let turns = calls.into_iter().zip(results).flat_map(|(call, results)| [vec![call], results].concat());
    first.into_iter().chain(turns).collect()
}

fn chat(turns: &[Turn], call: &dyn Fn(usize, &Call) -> Value, result: &dyn Fn(usize, &Call) -> Value) -> Value {
    let of = |calls: Vec<Value>| json!({"role": "assistant", "content": "", "tool_calls": calls});
    let results = turns
        .iter()
        .enumerate()
        .map(|(at, turn)| turn.iter().enumerate().map(|(n, one)| result(100 * at + n, one)).collect());
    let first = vec![json!({"role": "user", "content": "go"})];
    json!({"model": "m", "tools": [{}], "messages": interleaved(first, messages(turns, of, call), results.collect())})
}

fn named_call(n: usize, (tool, arguments, _): &Call) -> Value {
    json!({"id": format!("c{n}"), "type": "function", "function": {"name": tool, "arguments": arguments.to_string()}})
}

fn named_result(n: usize, (_, _, result): &Call) -> Value {
    json!({"role": "tool", "tool_call_id": format!("c{n}"), "content": text(result)})
}

fn cohere_result(n: usize, (_, _, result): &Call) -> Value {
    let content = json!([{"type": "document", "document": {"data": {"result": result}}}]);
    json!({"role": "tool", "tool_call_id": format!("c{n}"), "content": content})
}

fn ollama_call(_: usize, (tool, arguments, _): &Call) -> Value {
    json!({"function": {"name": tool, "arguments": arguments}})
}

fn ollama_result(_: usize, (tool, _, result): &Call) -> Value {
    json!({"role": "tool", "tool_name": tool, "content": text(result)})
}

fn text(result: &Value) -> String {
    result.as_str().map_or_else(|| result.to_string(), str::to_owned)
}

fn responses(turns: &[Turn]) -> Value {
    let call = |n: usize, (tool, arguments, _): &Call| {
        json!({"type": "function_call", "id": format!("fc{n}"), "call_id": format!("c{n}"), "name": tool,
            "arguments": arguments.to_string()})
    };
    let result = |n: usize, (_, _, result): &Call| json!({"type": "function_call_output", "id": format!("o{n}"), "call_id": format!("c{n}"), "output": text(result)});
    let mut input = vec![json!({"role": "user", "content": "go"})];
    input.extend(items(turns, call, result));
    json!({"model": "m", "tools": [{}], "input": input})
}

fn interactions(turns: &[Turn]) -> Value {
    let call = |n: usize, (tool, arguments, _): &Call| json!({"type": "function_call", "id": format!("c{n}"), "name": tool, "arguments": arguments});
    let result = |n: usize, (tool, _, result): &Call| json!({"type": "function_result", "call_id": format!("c{n}"), "name": tool, "result": {"value": result}});
    let mut input = vec![json!({"role": "user", "content": "go"})];
    input.extend(items(turns, call, result));
    json!({"model": "m", "tools": [{}], "input": input})
}

fn conversations(turns: &[Turn]) -> Value {
    let call = |n: usize, (tool, arguments, _): &Call| json!({"type": "function.call", "tool_call_id": format!("c{n}"), "name": tool, "arguments": arguments.to_string()});
    let result = |n: usize, (_, _, result): &Call| json!({"type": "function.result", "tool_call_id": format!("c{n}"), "result": text(result)});
    let mut inputs = vec![json!({"role": "user", "content": "go"})];
    inputs.extend(items(turns, call, result));
    json!({"model": "m", "tools": [{}], "inputs": inputs})
}

/// The messages of an API in which one message has all results of a turn.
fn with_results(
    turns: &[Turn],
    roles: [&str; 2],
    parts: &str,
    call: impl Fn(usize, &Call) -> Value,
    result: impl Fn(usize, &Call) -> Value,
) -> Value {
    let number = |at: usize, turn: &Turn, of: &dyn Fn(usize, &Call) -> Value| -> Value {
        turn.iter().enumerate().map(|(n, one)| of(100 * at + n, one)).collect()
    };
    let message = |role: &str, inside: Value| json!({"role": role, parts: inside});
    let turns = turns.iter().enumerate().flat_map(|(at, turn)| {
        [message(roles[1], number(at, turn, &call)), message(roles[0], number(at, turn, &result))]
    });
    [message("user", json!([{"text": "go", "type": "text"}]))].into_iter().chain(turns).collect()
}

fn anthropic(turns: &[Turn]) -> Value {
    let call = |n: usize, (tool, arguments, _): &Call| json!({"type": "tool_use", "id": format!("c{n}"), "name": tool, "input": arguments});
    let result = |n: usize, (_, _, result): &Call| {
        let content = match result {
            Value::String(text) => json!([{"type": "text", "text": text}]),
            image => json!([{"type": "image", "source": {"type": "base64", "data": image.to_string()}}]),
        };
        json!({"type": "tool_result", "tool_use_id": format!("c{n}"), "content": content})
    };
    json!({"model": "m", "tools": [{}], "messages": with_results(turns, ["user", "assistant"], "content", call, result)})
}

fn gemini(turns: &[Turn], named: bool) -> Value {
    let with_id = |n: usize, mut part: Value| {
        if named {
            part["id"] = format!("c{n}").into();
        }
        part
    };
    let call = |n: usize, (tool, arguments, _): &Call| json!({"functionCall": with_id(n, json!({"name": tool, "args": arguments}))});
    let result = |n: usize, (tool, _, result): &Call| json!({"functionResponse": with_id(n, json!({"name": tool, "response": {"result": result}}))});
    json!({"tools": [{"functionDeclarations": [{}]}],
        "contents": with_results(turns, ["user", "model"], "parts", call, result)})
}

fn bedrock(turns: &[Turn]) -> Value {
    let call = |n: usize, (tool, arguments, _): &Call| json!({"toolUse": {"toolUseId": format!("c{n}"), "name": tool, "input": arguments}});
    let result = |n: usize, (_, _, result): &Call| {
        let content = match result {
            Value::String(text) => json!([{"text": text}]),
            other => json!([{"json": {"value": other}}]),
        };
        json!({"toolResult": {"toolUseId": format!("c{n}"), "content": content, "status": "success"}})
    };
    json!({"toolConfig": {"tools": [{}]},
        "messages": with_results(turns, ["user", "assistant"], "content", call, result)})
}

impl Api {
    /// The agent as the request after these turns shows it, with the body in these pieces.
    fn agent(&self, observer: &Rc<Observer>, pieces: Vec<&[u8]>) -> Agent {
        let wire = Wire {
            method: "POST",
            host: self.host,
            path: self.path,
            request_headers: &[],
            request: pieces,
            status: 200,
            response_headers: &[],
            response: vec![],
        };
        pass(observer, &wire, End::Whole).expect("the path is known").observation().agent.clone()
    }

    /// The loop after each turn, and whether it began there.
    fn loops(&self, config: &str, turns: &[Turn]) -> Vec<(Option<Loop>, bool)> {
        let observer = Rc::new(Observer::new(Config::parse(config).unwrap()));
        (1..=turns.len())
            .map(|count| {
                let body = (self.body)(&turns[..count]).to_string();
                let agent = self.agent(&observer, vec![body.as_bytes()]);
                assert_eq!(agent.iteration, Some(count as u64 + 1), "{} {body}", self.path);
                assert_eq!(agent.results.len(), turns[count - 1].len(), "{} {body}", self.path);
                (agent.looping, agent.loop_began)
            })
            .collect()
    }
}

fn call(tool: &'static str, argument: usize, result: &str) -> Turn {
    vec![(tool, json!({"n": argument, "of": "x y"}), result.into())]
}

/// Asserts that the run has the loop from its last turn on, and none before, in every API.
fn assert_begins_with_the_last_turn(config: &str, kind: Loop, turns: &[Turn]) {
    for api in APIS {
        let mut expected = vec![(None, false); turns.len() - 1];
        expected.push((Some(kind), true));
        assert_eq!(api.loops(config, turns), expected, "{} {}", api.host, api.path);
    }
}

fn assert_no_loop(turns: &[Turn]) {
    for api in APIS {
        let found = api.loops("", turns);
        assert!(found.iter().all(|found| *found == (None, false)), "{} {}: {found:?}", api.host, api.path);
    }
}

#[test]
fn the_third_equal_turn_is_a_retry_in_every_api() {
    assert_begins_with_the_last_turn("", Loop::Retry, &vec![call("a", 1, "no such file"); 3]);
    let parallel = [call("a", 1, "x"), call("b", 2, "y"), call("a", 3, "z")].concat();
    let reversed: Turn = parallel.iter().rev().cloned().collect();
    assert_begins_with_the_last_turn("", Loop::Retry, &[parallel.clone(), reversed, parallel]);
    let image = vec![vec![("look", json!({}), json!([1, 2, 3]))]; 3];
    assert_begins_with_the_last_turn("", Loop::Retry, &image);
}

#[test]
fn two_turns_that_alternate_three_times_are_an_oscillation_in_every_api() {
    let turns = [call("a", 1, "x"), call("b", 2, "y")].repeat(3);
    assert_begins_with_the_last_turn("", Loop::Oscillation, &turns);
    let turns = [call("a", 1, "x"), call("a", 2, "y")].repeat(2);
    assert_begins_with_the_last_turn(r#"{"agent": {"loops": {"oscillation": 2}}}"#, Loop::Oscillation, &turns);
}

#[test]
fn turns_with_one_tool_and_other_arguments_are_a_drift_only_if_it_is_configured() {
    let turns: Vec<_> = (0..8).map(|n| call("sql", n, "0 rows")).collect();
    assert_no_loop(&turns);
    assert_begins_with_the_last_turn(r#"{"agent": {"loops": {"drift": 8}}}"#, Loop::Drift, &turns);
}

#[test]
fn progress_is_no_loop_in_any_api() {
    let polls: Vec<_> = (0..6).map(|n| call("poll", 1, &format!("{n}0%"))).collect();
    assert_no_loop(&polls);
    let edits = (0..4).flat_map(|n| [call("test", 0, &format!("{n} failed")), call("edit", n, "ok")]);
    assert_no_loop(&edits.collect::<Vec<_>>());
    let snapshots: Vec<_> = (0..4).map(|n| vec![("snapshot", json!({}), json!([n]))]).collect();
    assert_no_loop(&snapshots);
    assert_no_loop(&[vec![call("read", 1, "same")[0].clone(); 3]]);
    let exchanged = [("x", "y"), ("y", "x"), ("x", "y"), ("x", "y")];
    assert_no_loop(&exchanged.map(|(first, second)| [call("a", 1, first), call("a", 2, second)].concat()));
}

#[test]
fn a_request_is_read_the_same_at_every_cut() {
    let observer = Rc::new(Observer::new(Config::parse("").unwrap()));
    let failed = "{\"content\":[\"\\u00e9\\n\"],\"isError\": true}\n";
    let last = [call("a", 2, failed), call("b", 1, "Error: \\\"no\\\""), call("a", 3, "")].concat();
    let image = vec![("look", json!({"deep": [{"a": "\\\" , }"}, 1.5]}), json!([1, 2, 3]))];
    let turns = [image.clone(), image.clone(), image, last];
    for api in APIS {
        let body = (api.body)(&turns).to_string().into_bytes();
        let whole = api.agent(&observer, vec![&body]);
        assert_eq!((whole.iteration, whole.results.len()), (Some(5), 3), "{}", api.path);
        assert!(whole.last_turn.is_some() && whole.loops != Agent::default().loops);
        assert_eq!(api.agent(&observer, body.chunks(1).collect()), whole, "byte by byte, {}", api.path);
        for at in 0..body.len() {
            let (first, second) = body.split_at(at);
            assert_eq!(api.agent(&observer, vec![first, second]), whole, "cut at {at}, {}", api.path);
        }
    }
}
