//! An agent client: a conversation that continues with tool results, over keep-alive connections. The upstream
//! implements the other side with `agent=<n>`.

use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::client;
use super::envoy::Envoy;
use super::prometheus::Sample;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Completions,
    Messages,
    Responses,
}

/// A conversation that offers tools.
#[derive(Clone, Debug)]
pub struct Conversation {
    api: Api,
    stream: bool,
    /// The body of the next request.
    body: Value,
    /// Additional headers of every request.
    pub headers: Vec<(&'static str, String)>,
}

/// A tool call in an answer.
#[derive(Clone, Debug)]
pub struct Call {
    pub id: String,
    pub name: String,
    arguments: String,
}

/// The result of one turn.
pub struct Turn {
    pub status: u16,
    pub request_id: String,
    pub calls: Vec<Call>,
    /// The unread rest of a response body that the upstream keeps open.
    pub rest: Incoming,
}

/// An HTTP/1.1 connection for successive calls.
pub struct Line {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Line {
    pub async fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        Ok(Self { sender, task: tokio::spawn(async move { drop(connection.await) }) })
    }

    /// Sends a request and returns the status and the body of the response.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> (u16, Bytes) {
        self.sender.ready().await.expect("the connection was closed");
        let response = self.sender.send_request(request).await.expect("the request got no response");
        (response.status().as_u16(), response.into_body().collect().await.expect("the response broke off").to_bytes())
    }
}

/// Opens a connection to each of Envoy's two workers, in no particular order.
pub async fn to_both_workers(envoy: &Envoy) -> [Line; 2] {
    let (mut lines, mut workers) = (Vec::new(), Vec::new());
    while lines.len() < 2 {
        let before = served(envoy).await;
        let line = Line::open(envoy.addr).await.unwrap();
        let mut after = served(envoy).await;
        while after == before {
            after = served(envoy).await;
        }
        let worker = before.iter().zip(&after).position(|(before, after)| before != after).unwrap();
        if !workers.contains(&worker) {
            workers.push(worker);
            lines.push(line);
        }
    }
    lines.try_into().unwrap_or_else(|_| panic!("Envoy must have two workers"))
}

/// Number of connections that each worker has accepted.
async fn served(envoy: &Envoy) -> [f64; 2] {
    let samples = envoy.samples().await;
    ["0", "1"].map(|worker| {
        let of = |sample: &&Sample| {
            sample.name == "envoy_listener_worker_downstream_cx_total" && sample.label("envoy_worker_id") == worker
        };
        samples.iter().filter(of).map(|sample| sample.value).sum()
    })
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Conversation {
    pub fn new(api: Api, stream: bool) -> Self {
        Self::about("Find out, then tell me.", api, stream)
    }

    /// A conversation that begins with this message.
    pub fn about(message: &str, api: Api, stream: bool) -> Self {
        let question = json!([{"role": "user", "content": message}]);
        let parameters = json!({"type": "object", "properties": {"about": {"type": "integer"}}});
        let tool = |name: &str| match api {
            Api::Completions => json!({"type": "function", "function": {"name": name, "parameters": parameters}}),
            Api::Messages => json!({"name": name, "input_schema": parameters}),
            Api::Responses => json!({"type": "function", "name": name, "parameters": parameters}),
        };
        let tools: Vec<_> = super::answers::TOOLS.iter().map(|name| tool(name)).collect();
        let mut body = match api {
            Api::Completions => json!({"model": "gpt-4o", "messages": question}),
            Api::Messages => json!({"model": "claude-sonnet-4-20250514", "max_tokens": 100, "messages": question}),
            Api::Responses => json!({"model": "gpt-4o", "input": question}),
        };
        body["tools"] = tools.into();
        if stream {
            body["stream"] = true.into();
        }
        if stream && api == Api::Completions {
            body["stream_options"] = json!({"include_usage": true});
        }
        Self { api, stream, body, headers: Vec::new() }
    }

    /// A conversation without tools.
    pub fn plain() -> Self {
        let mut conversation = Self::new(Api::Completions, false);
        conversation.body.as_object_mut().unwrap().remove("tools");
        conversation
    }

    /// The conversation with a system prompt before its messages. Not for the Responses API.
    pub fn with_system(mut self, text: &str) -> Self {
        self.list("messages").insert(0, json!({"role": "system", "content": text}));
        self
    }

    /// Sends the next request and reads the answer. The caller adds the tool results with
    /// [`Conversation::add_results`]. If `travel` contains `linger`, only the events are read and the connection cannot
    /// be used again.
    pub async fn turn(&mut self, line: &mut Line, travel: &str) -> Turn {
        let (path, host) = match self.api {
            Api::Completions => ("/v1/chat/completions", "api.openai.com"),
            Api::Messages => ("/v1/messages", "api.anthropic.com"),
            Api::Responses => ("/v1/responses", "api.openai.com"),
        };
        let request_id = client::request_id();
        let mut request = Request::post(path).header("host", host).header("content-type", "application/json");
        request = request.header("x-request-id", &request_id).header("x-upstream", travel);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::from(self.body.to_string())).unwrap();
        line.sender.ready().await.expect("the connection was closed");
        let response = line.sender.send_request(request).await.expect("the request got no response");
        let status = response.status().as_u16();
        let mut body = BytesMut::new();
        let mut incoming = response.into_body();
        while let Some(frame) = incoming.frame().await {
            body.extend(frame.expect("the response broke off").into_data());
            if travel.contains("linger")
                && ["[DONE]", "message_stop", "response.completed"].iter().any(|end| holds(&body, end))
            {
                break;
            }
        }
        let calls = if status == 200 { self.take(&body) } else { Vec::new() };
        Turn { status, request_id, calls, rest: incoming }
    }

    /// Takes turns on the two connections alternately until it gets a final answer or an error, at most ten. Returns
    /// the status.
    pub async fn run(&mut self, lines: &mut [Line; 2], travel: &str) -> u16 {
        for number in 0..10 {
            let turn = self.turn(&mut lines[number % 2], travel).await;
            if turn.calls.is_empty() {
                return turn.status;
            }
            self.add_results(&turn.calls);
        }
        200
    }

    /// Adds the results of tool calls to the next request.
    pub fn add_results(&mut self, calls: &[Call]) {
        let result = |call: &Call| match self.api {
            Api::Completions => json!({"role": "tool", "tool_call_id": call.id, "content": "fine"}),
            Api::Messages => json!({"type": "tool_result", "tool_use_id": call.id, "content": "fine"}),
            Api::Responses => json!({"type": "function_call_output", "call_id": call.id, "output": "fine"}),
        };
        let results: Vec<_> = calls.iter().map(result).collect();
        match self.api {
            Api::Completions => self.list("messages").extend(results),
            Api::Messages => self.list("messages").push(json!({"role": "user", "content": results})),
            Api::Responses => self.list("input").extend(results),
        }
    }

    /// Size of the next request's body in bytes.
    pub fn size(&self) -> usize {
        self.body.to_string().len()
    }

    fn list(&mut self, key: &str) -> &mut Vec<Value> {
        self.body[key].as_array_mut().unwrap()
    }

    /// Adds the answer to the conversation and returns its tool calls.
    fn take(&mut self, body: &[u8]) -> Vec<Call> {
        let text = std::str::from_utf8(body).unwrap();
        let documents: Vec<Value> = match self.stream {
            true => text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect(),
            false => vec![serde_json::from_str(text).unwrap()],
        };
        let mut calls = Vec::new();
        for document in &documents {
            self.read(document, &mut calls);
        }
        match self.api {
            Api::Completions => {
                let function = |call: &Call| json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}});
                let tools: Vec<_> = calls.iter().map(function).collect();
                let mut said = json!({"role": "assistant", "content": "So far."});
                if !tools.is_empty() {
                    said["tool_calls"] = tools.into();
                }
                self.list("messages").push(said);
            }
            Api::Messages => {
                let block = |call: &Call| json!({"type": "tool_use", "id": call.id, "name": call.name, "input": serde_json::from_str::<Value>(&call.arguments).unwrap()});
                let blocks: Vec<_> = calls.iter().map(block).collect();
                self.list("messages").push(json!({"role": "assistant", "content": blocks}));
            }
            // The provider stores the conversation.
            Api::Responses => self.list("input").clear(),
        }
        calls
    }

    fn read(&mut self, document: &Value, calls: &mut Vec<Call>) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        match self.api {
            Api::Completions => {
                let choice = &document["choices"][0];
                for call in list(&choice["message"]["tool_calls"]).iter().chain(&list(&choice["delta"]["tool_calls"])) {
                    let arguments = text(&call["function"]["arguments"]);
                    match calls.last_mut().filter(|_| call["id"].is_null()) {
                        Some(last) => last.arguments += &arguments,
                        None => {
                            calls.push(Call { id: text(&call["id"]), name: text(&call["function"]["name"]), arguments })
                        }
                    }
                }
            }
            Api::Messages => {
                for block in list(&document["content"]).iter().chain([&document["content_block"]]) {
                    if block["type"] == "tool_use" {
                        let arguments = if self.stream { String::new() } else { block["input"].to_string() };
                        calls.push(Call { id: text(&block["id"]), name: text(&block["name"]), arguments });
                    }
                }
                if let Some(last) = calls.last_mut() {
                    last.arguments += &text(&document["delta"]["partial_json"]);
                }
            }
            Api::Responses => {
                let whole = if document["type"] == "response.completed" { &document["response"] } else { document };
                for item in list(&whole["output"]).iter().filter(|item| item["type"] == "function_call") {
                    let arguments = text(&item["arguments"]);
                    calls.push(Call { id: text(&item["call_id"]), name: text(&item["name"]), arguments });
                }
                if whole["status"] == "completed" {
                    self.body["previous_response_id"] = whole["id"].clone();
                }
            }
        }
    }
}

/// Returns true if the body ends with a whole event and has a `data:` line that contains `end`.
fn holds(body: &[u8], end: &str) -> bool {
    let text = String::from_utf8_lossy(body);
    text.ends_with("\n\n") && text.lines().any(|line| line.starts_with("data: ") && line.contains(end))
}
