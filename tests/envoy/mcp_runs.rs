//! The call of a model, the call of MCP that executes it, and the request that brings the result: one trace in a real Envoy.

use std::time::Duration;

use crate::mcp::{Site, attributes};
use crate::support::otlp::Span;
use crate::support::prometheus::total;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

const CHAT: &str = "/v1/chat/completions";
/// The tool `slow` of the server takes this long at least.
const SLOW: f64 = 0.3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_an_identifier_is_joined_by_name_and_arguments_and_its_time_is_split() {
    let site = Site::start(1).await;
    open_session(&site).await;
    let asked = [("call_Zk3vQ81xA", "mcp__files__slow", r#"{"a": 1, "b": [2]}"#)];
    ask(&site, &asked).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    site.call(&json!({"name": "slow", "arguments": {"b": [2], "a": 1}}), &[]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    end(&site, &asked).await;

    let spans = site.spans(6).await;
    let (call, tool) = (named(&spans, "tools/call slow"), named(&spans, "execute_tool mcp__files__slow"));
    let run = named(&spans, "invoke_agent");
    assert_eq!((&call.trace_id, &call.parent_id), (&run.trace_id, &tool.span_id));
    assert_eq!((&tool.trace_id, &tool.parent_id), (&run.trace_id, &run.span_id));
    assert_eq!(call.text("gaugeway.mcp.join"), Some("arguments"));
    let parts = attributes(tool);
    let (server, client) = (&parts["gaugeway.tool.server_time"], &parts["gaugeway.tool.client_time"]);
    let (server, client) = (server.as_f64().unwrap(), client.as_f64().unwrap());
    assert!((server - call.duration.as_secs_f64()).abs() < 1e-6 && server >= SLOW, "{server} {call:?}");
    assert!(client >= 0.2 && (server + client - tool.duration.as_secs_f64()).abs() < 1e-6, "{client} {tool:?}");

    let samples = site.samples(2.0).await;
    let time = |part| total(&samples, "gaugeway_tool_time_microseconds_total", &[("part", part)]) / 1e6;
    assert!((time("server") - server).abs() < 1e-4 && (time("client") - client).abs() < 1e-4, "{samples:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_equal_calls_are_joined_by_their_identifiers_and_without_them_ambiguous() {
    let site = Site::start(1).await;
    open_session(&site).await;
    let asked = [("call_Zk3vQ81xA", "add", "{}"), ("call_9fTe21LmB", "add", "{}")];
    ask(&site, &asked).await;
    for (id, ..) in asked {
        site.call(&json!({"name": "add", "_meta": {"callId": id}}), &[]).await;
    }
    site.call(&json!({"name": "add"}), &[]).await;
    end(&site, &asked).await;
    // The results have gone to the model: no call waits.
    site.call(&json!({"name": "add"}), &[]).await;

    let spans = site.spans(10).await;
    let mut calls: Vec<_> = spans.iter().filter(|span| span.name == "tools/call add").collect();
    calls.sort_by_key(|span| span.start);
    let joined: Vec<_> = calls.iter().map(|span| span.text("gaugeway.mcp.join").unwrap_or("")).collect();
    assert_eq!(joined, ["id", "id", "ambiguous", ""]);
    let (run, tools) = (named(&spans, "invoke_agent"), spans.iter().filter(|span| span.name == "execute_tool add"));
    let tools: Vec<_> = tools.map(|span| &span.span_id).collect();
    assert!(calls[..3].iter().all(|call| call.trace_id == run.trace_id) && calls[3].trace_id != run.trace_id);
    assert_eq!(calls[2].parent_id, run.span_id);
    assert!(tools.contains(&&calls[0].parent_id) && tools.contains(&&calls[1].parent_id));
    assert_ne!(calls[0].parent_id, calls[1].parent_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_arguments_or_another_tool_are_not_joined() {
    let site = Site::start(1).await;
    open_session(&site).await;
    ask(&site, &[("call_Zk3vQ81xA", "add", r#"{"a": 1}"#)]).await;
    for params in [json!({"name": "add", "arguments": {"a": 2}}), json!({"name": "fail", "arguments": {"a": 1}})] {
        site.call(&params, &[]).await;
    }
    let spans = site.spans(4).await;
    assert!(spans.iter().all(|span| span.text("gaugeway.mcp.join").is_none()), "{spans:#?}");
}

/// Chats have no flag for it, and the result does not look like a failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_has_failed_if_its_last_call_of_mcp_failed_although_the_client_does_not_say_so() {
    let site = Site::start(2).await;
    open_session(&site).await;
    let asked = ["fail", "broken", "add", "other"].map(|name| (name, name, "{}"));
    ask(&site, &asked).await;
    for name in ["fail", "broken", "other"] {
        site.call(&json!({"name": name, "arguments": {}}), &[]).await;
    }
    // The client tries again.
    let add = json!({"name": "add", "arguments": {}});
    site.call(&add, &[("x-status", "404")]).await;
    site.call(&add, &[]).await;
    end(&site, &asked).await;

    let spans = site.spans(13).await;
    let errors = |name: &str| {
        let its = |span: &&Span| span.name == name;
        let errors = spans.iter().filter(its).map(|span| (&*span.status, span.text("error.type")));
        errors.collect::<Vec<_>>()
    };
    let (fine, failed) = (("UNSET", None), ("ERROR", Some("tool_error")));
    assert_eq!(errors("tools/call add"), [("ERROR", Some("404")), fine]);
    assert_eq!(errors("tools/call broken"), [("ERROR", Some("-32602"))]);
    for (tool, status) in [("fail", failed), ("broken", failed), ("add", fine), ("other", fine)] {
        assert_eq!(errors(&format!("execute_tool {tool}")), [status], "{tool}");
    }
    let samples = site.samples(6.0).await;
    assert_eq!(total(&samples, "gaugeway_tool_errors_total", &[]), 2.0, "{samples:?}");
}

/// Agents execute a tool as soon as the model has asked for it, while the answer goes on. The result goes to the model at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_ends_before_the_answer_of_the_model_is_joined_by_its_identifier_on_any_worker() {
    let site = Site::start(2).await;
    join_early(&site, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_of_another_client_that_wait_for_a_model_take_no_place_of_such_a_call() {
    let site = Site::start(1).await;
    join_early(&site, 320).await;
}

/// Joins a call that ends before the answer of the model, while this number of operations of another client waits for models.
async fn join_early(site: &Site, waiting: usize) {
    open_session(site).await;
    let asked = [("call_Zk3vQ81xA", "add", r#"{"a": 1}"#), ("call_9fTe21LmB", "slow", "{}")];
    let delta = |at: usize| {
        let (id, name, arguments) = asked[at];
        let call =
            json!({"index": at, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        chunk(json!({"tool_calls": [call]}), Value::Null)
    };
    let events = json!([delta(0), delta(1), chunk(json!({}), json!("tool_calls")), "[DONE]"]);
    let answer = async {
        let body = json!({"model": "gpt-4o", "stream": true, "messages": [user()], "tools": tools(), "events": events});
        site.send_to(CHAT, &body, "*/*", &[("authorization", "Bearer of-the-model")]).await;
    };
    let tool = async {
        flood(site, waiting).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        site.call(&json!({"name": "add", "arguments": {"a": 1}, "_meta": {"callId": asked[0].0}}), &[]).await;
    };
    tokio::join!(answer, tool);
    end(site, &asked).await;

    let spans = site.spans(7 + waiting).await;
    let (call, run) = (named(&spans, "tools/call add"), named(&spans, "invoke_agent"));
    assert_eq!((call.text("gaugeway.mcp.join"), &call.trace_id), (Some("id"), &run.trace_id));
    assert_eq!(call.parent_id, named(&spans, "execute_tool add").span_id);
}

/// Another address makes calls whose identifiers no model has given.
async fn flood(site: &Site, count: usize) {
    for batch in 0..count.div_ceil(32) {
        let call = |at| json!({"jsonrpc": "2.0", "id": at, "method": "tools/call", "params": {"name": "fail", "_meta": {"callId": format!("call_{batch}x{at}")}}});
        let body = Value::from_iter((0..32).map(call)).to_string();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: b\r\naccept: application/json, text/event-stream\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut stream = socket.connect(site.envoy.addr).await.unwrap();
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
}

/// The server of tools is known once it was used.
async fn open_session(site: &Site) {
    site.call(&json!({"name": "other"}), &[]).await;
}

/// A model asks for these calls: identifier, name and arguments.
async fn ask(site: &Site, calls: &[(&str, &str, &str)]) {
    chat(site, json!([user()]), turn(calls)).await;
}

/// The results go to the model, which needs no further call.
async fn end(site: &Site, calls: &[(&str, &str, &str)]) {
    let results = calls.iter().map(|(id, ..)| json!({"role": "tool", "tool_call_id": id, "content": "done"}));
    let messages: Vec<_> = [user(), turn(calls)].into_iter().chain(results).collect();
    chat(site, json!(messages), json!({"role": "assistant", "content": "ok"})).await;
}

fn user() -> Value {
    json!({"role": "user", "content": "Find out"})
}

fn turn(calls: &[(&str, &str, &str)]) -> Value {
    let call = |(id, name, arguments): &(&str, &str, &str)| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    json!({"role": "assistant", "content": null, "tool_calls": calls.iter().map(call).collect::<Vec<_>>()})
}

async fn chat(site: &Site, messages: Value, answer: Value) {
    let finish = if answer["tool_calls"].is_array() { "tool_calls" } else { "stop" };
    let answer = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o",
        "choices": [{"index": 0, "message": answer, "finish_reason": finish}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    });
    let body = json!({"model": "gpt-4o", "messages": messages, "tools": tools(), "answer": answer});
    site.send_to(CHAT, &body, "*/*", &[("authorization", "Bearer of-the-model")]).await;
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "add"}}])
}

/// A part of a streamed answer.
fn chunk(delta: Value, finish: Value) -> Value {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": [choice]})
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}: {spans:#?}"))
}
