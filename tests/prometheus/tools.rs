//! Operations of MCP and A2A, for the panels and the alerts about tools and agents. The upstream answers with what the request says.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::events::{Event, PATIENCE};
use crate::support::client::{self, Http};
use crate::support::fixtures::Fixture;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const TOOLS: &str = "tools.example.com";
const AGENT: &str = "agent.example.com";

/// Sends sessions of MCP whose tools a model has called, and messages to an agent. Some of them fail, each in another way.
pub async fn traffic(envoy: SocketAddr) {
    for number in 0.. {
        let session = format!("s-{number}");
        let of_session = [("mcp-session-id", &*session), ("mcp-protocol-version", "2025-11-25")];
        for (method, result) in [("initialize", json!({})), ("tools/list", json!({"tools": []}))] {
            send(envoy, with(mcp(TOOLS, method, json!({}), json!({"result": result})), &of_session)).await;
        }
        let asked = json!({"id": format!("call_{number}x"), "type": "function",
            "function": {"name": "look_up", "arguments": json!({"number": number}).to_string()}});
        let question = json!({"role": "user", "content": format!("Find {number}")});
        let turn = json!({"role": "assistant", "content": null, "tool_calls": [asked]});
        let result = json!({"role": "tool", "tool_call_id": asked["id"], "content": "done"});
        send(envoy, chat(json!([question]), turn.clone())).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        let call = tool(TOOLS, "look_up", json!({"number": number}), Outcome::Done);
        send(envoy, with(call, &[of_session[0], of_session[1], ("x-upstream", "given wait=60")])).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        send(envoy, chat(json!([question, turn, result]), json!({"role": "assistant", "content": "ok"}))).await;

        let outcome = if number % 2 == 0 { Outcome::Done } else { Outcome::Failed };
        send(envoy, tool(TOOLS, "save", json!({}), outcome)).await;
        send(envoy, tool(TOOLS, &format!("invented_{number}"), json!({}), Outcome::Unknown)).await;
        let end = Request::delete("/mcp").header("host", TOOLS).header("x-upstream", "given").header("x-answer", "{}");
        send(envoy, with(end.body(Full::default()).unwrap(), &of_session)).await;

        let ends = ["TASK_STATE_COMPLETED", "TASK_STATE_FAILED", "TASK_STATE_CANCELED"];
        message(envoy, AGENT, &[], number, ends[number % 3]).await;
        send(envoy, refused(a2a(AGENT, "SendMessage", json!({"message": {"messageId": "m"}}), json!({})))).await;
    }
}

/// The traffic without the event of a route, until the end of the test.
pub async fn healthy(gateway: SocketAddr, event: &Event) {
    let end = Instant::now() + 10 * PATIENCE;
    for number in 0.. {
        if Instant::now() > end {
            return;
        }
        if event.name.ends_with("agent") {
            message(gateway, event.host, &[("x-event", event.name)], number, "TASK_STATE_COMPLETED").await;
        } else {
            of(gateway, event, mcp(event.host, "tools/list", json!({}), json!({"result": {"tools": []}}))).await;
            of(gateway, event, tool(event.host, "work", json!({}), Outcome::Done)).await;
        }
        // The tools that do not exist are rare among the calls.
        let pause = if event.name == "inventing" { 100 } else { 1000 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// The event of a route.
pub fn bad(gateway: SocketAddr, event: &'static Event, tasks: &mut JoinSet<()>) {
    let second = Duration::from_secs(1);
    // At least one call in five of the slow tool takes longer than 30 seconds.
    let at_a_time = if event.name == "slow-tool" { 20 } else { 1 };
    let times = if event.name == "twice-failing" { 2 } else { usize::MAX };
    for place in 0..at_a_time {
        tasks.spawn(async move {
            tokio::time::sleep(place * 31 * second / at_a_time).await;
            for number in 0..times {
                if event.name == "failing-agent" {
                    let headers = [("x-event", event.name)];
                    message(gateway, event.host, &headers, 1_000_000 + number, "TASK_STATE_FAILED").await;
                } else {
                    of(gateway, event, failing(event, number)).await;
                }
                tokio::time::sleep(second).await;
            }
        });
    }
}

/// A request that fails, or takes long.
fn failing(event: &Event, number: usize) -> Request<Full<Bytes>> {
    let work = |outcome| tool(event.host, "work", json!({}), outcome);
    match event.name {
        "slow-tool" => with(work(Outcome::Done), &[("x-upstream", "given wait=31000")]),
        "inventing" => tool(event.host, &format!("invented_{number}"), json!({}), Outcome::Unknown),
        "lost-server" => refused(mcp(event.host, "initialize", json!({}), json!({}))),
        "lost-agent" => refused(a2a(event.host, "SendMessage", json!({"message": {"messageId": "m"}}), json!({}))),
        _ => work(Outcome::Failed),
    }
}

/// True for the routes of tools and agents.
pub fn is_of_tools(event: &Event) -> bool {
    event.host.ends_with(".example.com")
}

/// How a call of a tool ends.
#[derive(Clone, Copy)]
enum Outcome {
    Done,
    /// The tool says that it has failed.
    Failed,
    /// The server has no such tool.
    Unknown,
}

/// A call of a tool.
fn tool(host: &str, name: &str, arguments: Value, outcome: Outcome) -> Request<Full<Bytes>> {
    let content =
        |text: &str, failed| json!({"result": {"content": [{"type": "text", "text": text}], "isError": failed}});
    let answer = match outcome {
        Outcome::Done => content("done", false),
        Outcome::Failed => content("failed", true),
        Outcome::Unknown => json!({"error": {"code": -32602, "message": "no such tool"}}),
    };
    mcp(host, "tools/call", json!({"name": name, "arguments": arguments}), answer)
}

/// A message that begins a task, and a question after it has ended.
async fn message(envoy: SocketAddr, host: &str, headers: &[(&str, &str)], number: usize, end: &str) {
    let task = |state: &str| json!({"id": format!("t-{number}"), "contextId": "c", "status": {"state": state}});
    let (message, id) = (json!({"message": {"messageId": "m"}}), json!({"id": format!("t-{number}")}));
    let begun = json!({"result": {"task": task("TASK_STATE_WORKING")}});
    send(envoy, with(a2a(host, "SendMessage", message, begun), headers)).await;
    send(envoy, with(a2a(host, "GetTask", id, json!({"result": task(end)})), headers)).await;
}

/// A call of a model that answers with this message.
fn chat(messages: Value, answer: Value) -> Request<Full<Bytes>> {
    let finish = if answer["tool_calls"].is_array() { "tool_calls" } else { "stop" };
    let answer = json!({"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o",
        "choices": [{"index": 0, "message": answer, "finish_reason": finish}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}});
    let mut fixture = Fixture::load("openai-chat/unary");
    let tools = json!([{"type": "function", "function": {"name": "look_up"}}]);
    fixture.request.body = json!({"model": "gpt-4o", "messages": messages, "tools": tools}).to_string().into();
    client::request(&fixture, &[("x-team", "chat"), ("x-upstream", "given"), ("x-answer", &answer.to_string())])
}

/// An operation of MCP. `answer` has the member `result` or `error`.
fn mcp(host: &str, method: &str, params: Value, answer: Value) -> Request<Full<Bytes>> {
    rpc("/mcp", host, method, params, answer)
}

/// An operation of A2A.
fn a2a(host: &str, method: &str, params: Value, answer: Value) -> Request<Full<Bytes>> {
    with(rpc("/a2a", host, method, params, answer), &[("a2a-version", "1.0")])
}

fn rpc(path: &str, host: &str, method: &str, params: Value, mut answer: Value) -> Request<Full<Bytes>> {
    (answer["jsonrpc"], answer["id"]) = (json!("2.0"), json!(7));
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
    let request = Request::post(path).header("host", host).header("accept", "application/json, text/event-stream");
    let request = request.header("content-type", "application/json").header("x-team", "chat");
    request.header("x-upstream", "given").header("x-answer", answer.to_string()).body(Full::from(body)).unwrap()
}

/// The server answers with an error of HTTP.
fn refused(request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    with(request, &[("x-upstream", "first=503"), ("x-request-id", &client::request_id())])
}

fn with(mut request: Request<Full<Bytes>>, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    for (name, value) in headers {
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

/// Sends a request on the route of an event.
async fn of(gateway: SocketAddr, event: &Event, request: Request<Full<Bytes>>) {
    send(gateway, with(request, &[("x-event", event.name)])).await;
}

async fn send(envoy: SocketAddr, request: Request<Full<Bytes>>) {
    drop(client::send(envoy, request, Http::One).await);
}
