//! A coding agent with the headers of Claude Code, whose model is the upstream's scripted one. It reads two files and asks a
//! sub-agent to check them. The sub-agent searches twice and runs tests, which fail.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use super::client::{self, Http};

const MAIN: Role = Role {
    question: "Why does the build fail?",
    model: "claude-sonnet-4-20250514",
    tools: ["read_file", DELEGATION],
    is_helper: false,
};
const HELPER: Role = Role {
    question: "Check these two files.",
    model: "claude-haiku-4-5",
    tools: ["search_code", "run_tests"],
    is_helper: true,
};
/// The tool that runs the sub-agent.
const DELEGATION: &str = "check_files";
/// A run takes three turns.
const TURNS: usize = 10;

struct Role {
    question: &'static str,
    model: &'static str,
    /// The scripted model calls the first one twice in one turn, then the second one.
    tools: [&'static str; 2],
    is_helper: bool,
}

/// Runs the agent through the Envoy at this address, in a new session. Returns a few words for people.
pub async fn run(envoy: SocketAddr) -> io::Result<String> {
    let calls = converse(envoy, &MAIN, &client::request_id()).await?;
    Ok(format!("finished after {calls} calls"))
}

/// Sends the calls of a run until an answer calls no tool. Returns the number of calls, with those of sub-agents.
async fn converse(envoy: SocketAddr, role: &Role, session: &str) -> io::Result<usize> {
    let mut messages = vec![json!({"role": "user", "content": role.question})];
    let mut sent = 0;
    for _ in 0..TURNS {
        let reply = client::send(envoy, request(role, session, &messages), Http::One).await?;
        sent += 1;
        if reply.status != 200 {
            return Err(io::Error::other(format!("status {}", reply.status)));
        }
        let uses = uses(&String::from_utf8_lossy(&reply.body));
        if uses.is_empty() {
            break;
        }
        let mut results = Vec::new();
        for block in &uses {
            let tool = block["name"].as_str().unwrap_or_default();
            if tool == DELEGATION {
                sent += Box::pin(converse(envoy, &HELPER, session)).await?;
            } else {
                tokio::time::sleep(Duration::from_millis(if tool == "run_tests" { 600 } else { 80 })).await;
            }
            let (text, failed) = if tool == "run_tests" { ("2 of 9 tests failed", true) } else { ("done", false) };
            results
                .push(json!({"type": "tool_result", "tool_use_id": block["id"], "content": text, "is_error": failed}));
        }
        messages.push(json!({"role": "assistant", "content": uses}));
        messages.push(json!({"role": "user", "content": results}));
    }
    Ok(sent)
}

fn request(role: &Role, session: &str, messages: &[Value]) -> Request<Full<bytes::Bytes>> {
    let input = json!({"type": "object", "properties": {"path": {"type": "string"}}});
    let tools = role.tools.map(|name| json!({"name": name, "input_schema": input}));
    let body = json!({"model": role.model, "max_tokens": 200, "stream": true, "tools": tools, "messages": messages})
        .to_string();
    let mut request = Request::post("/v1/messages")
        .header("host", "api.anthropic.com")
        .header("content-type", "application/json")
        .header("user-agent", "claude-cli/2.1.0 (external, sdk-ts)")
        .header("x-claude-code-session-id", session)
        .header("x-upstream", "scripted wait=120 gap=25");
    if role.is_helper {
        let id = format!("check-{}", session.get(28..).unwrap_or(session));
        request = request.header("x-claude-code-agent-id", id).header("x-claude-code-agent-type", "code-checker");
    }
    request.body(Full::new(body.into())).expect("a header of the agent is invalid")
}

/// The `tool_use` blocks of a stream of the Messages API.
fn uses(stream: &str) -> Vec<Value> {
    let mut blocks: Vec<(Value, String)> = Vec::new();
    for event in stream.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok()) {
        if event["content_block"]["type"] == "tool_use" {
            blocks.push((event["content_block"].clone(), String::new()));
        }
        if let (Some(piece), Some((_, input))) = (event["delta"]["partial_json"].as_str(), blocks.last_mut()) {
            input.push_str(piece);
        }
    }
    let whole = |(mut block, input): (Value, String)| {
        block["input"] = serde_json::from_str(&input).unwrap_or_else(|_| json!({}));
        block
    };
    blocks.into_iter().map(whole).collect()
}
