//! A scripted model for coding agents, over HTTP/1.1 on loopback. A prompt with `script=NAME` selects a script, which has
//! the tool calls of each turn. After the last turn the model answers with a text.
//!
//! It speaks Anthropic's Messages and OpenAI's Responses, always as a stream, in the formats of the providers'
//! documentation. The turn depends only on the request's history, as with a real model. Each answer has another usage, so
//! that a sum shows which answers it contains.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::answers::Answer;
use crate::support::upstream::{self, Piecewise};

/// The answer after the last turn. Without this element, Claude Code asks for a summary twice.
const ANSWER: &str = "<summary>It is done.</summary>";
/// Cached input tokens that nearly fill a context of a million tokens.
const FULL: u64 = 990_000;
/// Maximum time that the end of an answer waits for a tool.
const HELD: Duration = Duration::from_secs(20);
/// The time from then on until the answer ends: the result of the tool must pass the gateway.
const AFTER_TOOL: Duration = Duration::from_millis(150);

pub struct Model {
    pub addr: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// A tool call. `tool` is its name, after its namespace and a dot if it has one. `input` is an object, or the text of a
/// custom tool of the Responses API.
pub struct Call {
    tool: &'static str,
    input: Value,
}

/// Returns how many tools have been executed so far.
pub type Executed = Box<dyn Fn() -> usize + Send + Sync>;

/// The tool calls of each turn.
pub type Script = Vec<Vec<Call>>;

/// Returns a tool call.
pub fn call(tool: &'static str, input: Value) -> Call {
    Call { tool, input }
}

impl Model {
    /// Starts the model with these scripts. In the inputs of their calls, `AGENT` stands for the sub-agent that the
    /// conversation has started. Before its first answer to the script `refused`, it refuses a request with each of the
    /// statuses. An answer to the script `full` reports that it fills the context.
    pub async fn start(scripts: Vec<(&'static str, Script)>, refusals: &[u16]) -> Self {
        Self::with(scripts, refusals, Duration::ZERO, None).await
    }

    /// The same with `gap` between the events of an answer.
    pub async fn paced(scripts: Vec<(&'static str, Script)>, gap: Duration) -> Self {
        Self::with(scripts, &[], gap, None).await
    }

    /// The same. An answer that calls tools ends only after the first of them has been executed.
    pub async fn held(scripts: Vec<(&'static str, Script)>, gap: Duration, executed: Executed) -> Self {
        Self::with(scripts, &[], gap, Some(executed)).await
    }

    async fn with(
        scripts: Vec<(&'static str, Script)>,
        refusals: &[u16],
        gap: Duration,
        executed: Option<Executed>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is no free port on 127.0.0.1");
        let addr = listener.local_addr().unwrap();
        let refusals = Mutex::new(refusals.iter().rev().copied().collect());
        let (answers, results) = (AtomicU64::new(0), Mutex::default());
        let state = Arc::new(State { scripts, refusals, answers, results, gap, executed });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(answer(request, state).await) }
                });
                let server = hyper::server::conn::http1::Builder::new();
                connections.spawn(async move { drop(server.serve_connection(TokioIo::new(stream), service).await) });
            }
        });
        Self { addr, state, task }
    }

    /// The texts of the tool results that it was given, by the identifier of the call.
    pub fn results(&self) -> BTreeMap<String, String> {
        self.state.results.lock().unwrap().clone()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct State {
    scripts: Vec<(&'static str, Script)>,
    /// The last one is the next.
    refusals: Mutex<Vec<u16>>,
    answers: AtomicU64,
    /// By the identifier of the call.
    results: Mutex<BTreeMap<String, String>>,
    gap: Duration,
    executed: Option<Executed>,
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Response<Piecewise> {
    let refusal = |status: u16| {
        let error = json!({"type": "error", "error": {"type": "api_error", "message": "Try again."}});
        upstream::paced(status, Answer::whole(&error), Duration::ZERO)
    };
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let speak = match path.rsplit('/').next() {
        Some("messages") => message_events,
        Some("responses") => response_events,
        _ => return refusal(404),
    };
    let list = if path.ends_with("messages") { &request["messages"] } else { &request["input"] };
    let history = list.as_array().map_or(&[][..], Vec::as_slice);
    state.results.lock().unwrap().extend(history.iter().flat_map(results));
    let (script, start) = selected(history);
    if script == "refused"
        && let Some(status) = state.refusals.lock().unwrap().pop()
    {
        return refusal(status);
    }
    let turns = state.scripts.iter().find(|(name, _)| *name == script).map_or(&[][..], |(_, turns)| turns);
    let calls = turns.get(turns_with_calls(&history[start..])).map_or(&[][..], Vec::as_slice);
    let events = speak(&Turn {
        model: &request["model"],
        calls,
        agent: sub_agent(history),
        fills_context: script == "full",
        number: 1 + state.answers.fetch_add(1, Ordering::Relaxed),
    });
    let mut answer = Answer::events(events);
    if state.executed.is_some() && !calls.is_empty() {
        // The events after those of the calls.
        let last = if path.ends_with("messages") { 2 } else { 1 };
        return held(answer, last, state);
    }
    if state.gap.is_zero() {
        // Codex leaves after the last event. With a length the answer has then ended, else Envoy's span says that it was cut.
        let whole: Vec<u8> = answer.pieces.iter().flatten().copied().collect();
        answer.length = Some(whole.len());
        answer.pieces = [whole.into()].into();
    }
    upstream::paced(200, answer, state.gap)
}

/// An answer whose last pieces wait until a tool has been executed.
fn held(answer: Answer, last: usize, state: Arc<State>) -> Response<Piecewise> {
    let gap = state.gap;
    let executed = move || state.executed.as_ref().map_or(0, |executed| executed());
    let (before, end) = (executed(), Instant::now() + HELD);
    let (sender, frames) = mpsc::channel(1);
    let kind = answer.kind;
    tokio::spawn(async move {
        let mut pieces = answer.pieces;
        while let Some(piece) = pieces.pop_front() {
            if sender.send(Ok(Frame::data(piece))).await.is_err() {
                return;
            }
            tokio::time::sleep(gap).await;
            if pieces.len() == last {
                while executed() == before && Instant::now() < end {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                tokio::time::sleep(AFTER_TOOL).await;
            }
        }
    });
    upstream::fed(kind, frames)
}

/// The next answer of the model.
struct Turn<'a> {
    model: &'a Value,
    calls: &'a [Call],
    /// The sub-agent that the conversation has started.
    agent: String,
    fills_context: bool,
    /// Different in each answer.
    number: u64,
}

/// The script that the last prompt selects, and the place of that prompt. Codex gives a sub-agent its task in an
/// `agent_message`.
fn selected(history: &[Value]) -> (String, usize) {
    let named = |(at, one): (usize, &Value)| {
        let is_prompt = one["role"] == "user" || one["type"] == "agent_message";
        let text = is_prompt.then(|| one["content"].to_string())?;
        let name: String = text.rsplit_once("script=")?.1.chars().take_while(char::is_ascii_lowercase).collect();
        Some((name, at))
    };
    history.iter().enumerate().rev().find_map(named).unwrap_or_default()
}

/// Number of turns that called tools. In the Responses API each call is a separate item, and the calls of a turn are
/// adjacent.
fn turns_with_calls(history: &[Value]) -> usize {
    let calls = |one: &Value| {
        one["type"].as_str().is_some_and(|kind| kind.ends_with("_call"))
            || one["role"] == "assistant" && one["content"].to_string().contains("\"tool_use\"")
    };
    (0..history.len()).filter(|at| calls(&history[*at]) && (*at == 0 || !calls(&history[at - 1]))).count()
}

/// The tool results in a message, or in an item of the Responses API: identifier and text.
fn results(one: &Value) -> Vec<(String, String)> {
    let text = |content: &Value| match content {
        Value::String(text) => text.clone(),
        parts => parts.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect(),
    };
    let id = |id: &Value| id.as_str().unwrap_or_default().to_owned();
    if one["output"].is_null() {
        let blocks = one["content"].as_array().into_iter().flatten();
        let results = blocks.filter(|block| block["type"] == "tool_result");
        return results.map(|block| (id(&block["tool_use_id"]), text(&block["content"]))).collect();
    }
    vec![(id(&one["call_id"]), text(&one["output"]))]
}

/// The identifier in the result of Codex's `spawn_agent`, or an empty text.
fn sub_agent(history: &[Value]) -> String {
    let outputs = history.iter().filter_map(|one| one["output"].as_str());
    let mut started = outputs
        .filter_map(|output| serde_json::from_str::<Value>(output).ok()?["agent_id"].as_str().map(str::to_owned));
    started.next_back().unwrap_or_default()
}

fn message_events(turn: &Turn<'_>) -> Vec<Value> {
    let Turn { model, calls, number, .. } = turn;
    let cached = if turn.fills_context { FULL } else { 20_000 };
    let usage = json!({
        "input_tokens": 100 + number, "cache_read_input_tokens": cached + 100 * number,
        "cache_creation_input_tokens": 1000 + 10 * number, "output_tokens": 1,
        "cache_creation": {"ephemeral_5m_input_tokens": 1000 + 7 * number, "ephemeral_1h_input_tokens": 3 * number},
    });
    let message = json!({
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    let mut events = vec![json!({"type": "message_start", "message": message})];
    let mut block = |at: usize, block: Value, delta: Value| {
        events.push(json!({"type": "content_block_start", "index": at, "content_block": block}));
        events.push(json!({"type": "content_block_delta", "index": at, "delta": delta}));
        events.push(json!({"type": "content_block_stop", "index": at}));
    };
    if calls.is_empty() {
        block(0, json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": ANSWER}));
    }
    for (at, call) in calls.iter().enumerate() {
        let opened = json!({"type": "tool_use", "id": format!("toolu_{number}_{at}"), "name": call.tool, "input": {}});
        block(at, opened, json!({"type": "input_json_delta", "partial_json": call.input.to_string()}));
    }
    let reason = if calls.is_empty() { "end_turn" } else { "tool_use" };
    let usage = json!({"output_tokens": 50 + number});
    events.push(
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": usage}),
    );
    events.push(json!({"type": "message_stop"}));
    events
}

fn response_events(turn: &Turn<'_>) -> Vec<Value> {
    let Turn { model, calls, number, .. } = turn;
    let mut items: Vec<_> =
        calls.iter().enumerate().map(|(at, call)| call.item(&random(*number, at), &turn.agent)).collect();
    if items.is_empty() {
        let text = json!({"type": "output_text", "text": ANSWER, "annotations": []});
        items.push(json!({"type": "message", "id": format!("msg_{number}"), "role": "assistant", "status": "completed", "content": [text]}));
    }
    let (input, output) = (5000 + 100 * number, 60 + number);
    let usage = json!({
        "input_tokens": input, "input_tokens_details": {"cached_tokens": 4000 + 50 * number, "cache_write_tokens": 30 + number},
        "output_tokens": output, "output_tokens_details": {"reasoning_tokens": 7 + number}, "total_tokens": input + output,
    });
    let mut response = json!({
        "id": format!("resp_{number}"), "object": "response", "created_at": 1, "status": "in_progress", "model": model,
        "output": [], "usage": null, "error": null, "incomplete_details": null,
    });
    let mut events = vec![json!({"type": "response.created", "response": response})];
    for (at, item) in items.iter().enumerate() {
        let mut begun = item.clone();
        begun["status"] = "in_progress".into();
        events.push(json!({"type": "response.output_item.added", "output_index": at, "item": begun}));
        events.push(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
    }
    (response["status"], response["output"], response["usage"]) = ("completed".into(), items.into(), usage);
    events.push(json!({"type": "response.completed", "response": response}));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = number.into();
    }
    events
}

/// The end of OpenAI's identifiers, which looks random. That of a call's item is the same here.
fn random(number: u64, at: usize) -> String {
    format!("0a1b2c3d4e5f6a7b{number:04x}{at:04x}")
}

impl Call {
    /// The call as an item of the Responses API.
    fn item(&self, id: &str, agent: &str) -> Value {
        let (namespace, name) =
            self.tool.split_once('.').map_or((None, self.tool), |(space, name)| (Some(space), name));
        let mut item = match &self.input {
            Value::String(text) => json!({"type": "custom_tool_call", "id": format!("ctc_{id}"), "input": text}),
            input => {
                json!({"type": "function_call", "id": format!("fc_{id}"), "arguments": input.to_string().replace("AGENT", agent)})
            }
        };
        (item["call_id"], item["name"], item["status"]) =
            (format!("call_{id}").into(), name.into(), "completed".into());
        if let Some(namespace) = namespace {
            item["namespace"] = namespace.into();
        }
        item
    }
}
