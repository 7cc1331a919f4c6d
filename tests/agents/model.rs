//! A model that follows scripts. A client sets the steps of a scenario with `PUT /script/KEY`. Each call with the header
//! `x-scenario: KEY` gets the answer of the next step, in Chat Completions, Responses, Messages or Gemini's generateContent.
//!
//! A step is a JSON object: `{"calls": [{"tool": NAME, "arguments": {}}]}`, `{"text": TEXT}`, or `{"fail": STATUS}`. With
//! `"slow": true` the words of a text come over seconds if the answer is a stream. With `"ids": true` Gemini's calls have ids.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::answers::{Answer, unique};
use crate::support::scripted;
use crate::support::upstream::{self, Piecewise};

/// The time between the words of a slow text.
const SLOW: Duration = Duration::from_millis(250);

pub struct Model {
    pub addr: SocketAddr,
    scripts: Scripts,
    task: JoinHandle<()>,
}

type Scripts = Arc<Mutex<HashMap<String, Script>>>;

/// The state of one scenario.
#[derive(Clone, Default)]
pub struct Script {
    /// The steps that no call has asked for yet.
    pub left: VecDeque<Value>,
    /// Number of tool calls in answers, by tool.
    pub calls: BTreeMap<String, u64>,
    /// Problems of the script.
    pub errors: Vec<String>,
}

impl Model {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is no free port on 127.0.0.1");
        let (addr, scripts) = (listener.local_addr().unwrap(), Scripts::default());
        let state = Arc::clone(&scripts);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&state)));
            }
        });
        Self { addr, scripts, task }
    }

    /// The state of a scenario. Default if there is none.
    pub fn script(&self, key: &str) -> Script {
        self.scripts.lock().unwrap().get(key).cloned().unwrap_or_default()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, scripts: Scripts) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let scripts = Arc::clone(&scripts);
        async move { Ok::<_, Infallible>(answer(request, &scripts).await) }
    });
    // A client that disconnects causes an error here, which is ignored.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, scripts: &Scripts) -> Response<Piecewise> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path();
    if head.method == Method::PUT {
        let left = serde_json::from_slice(&body).expect("a script is a JSON array");
        let key = path.trim_start_matches("/script/").to_owned();
        scripts.lock().unwrap().insert(key, Script { left, ..Script::default() });
        return upstream::paced(200, Answer::whole(&json!({})), Duration::ZERO);
    }
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let key = head.headers.get("x-scenario").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let mut scripts = scripts.lock().unwrap();
    let script = scripts.entry(key.to_owned()).or_default();
    let Some(step) = script.left.pop_front() else {
        script.errors.push(format!("there is no step for another call of {path}"));
        return refusal(400, "the script has no more steps");
    };
    if let Some(status) = step["fail"].as_u64() {
        return refusal(status as u16, "try again");
    }
    let calls: Vec<_> = step["calls"].as_array().into_iter().flatten().map(call).collect();
    for (tool, _) in &calls {
        *script.calls.entry(tool.clone()).or_default() += 1;
    }
    let words: Vec<_> = step["text"].as_str().unwrap_or_default().split_inclusive(' ').map(str::to_owned).collect();
    let answer = match path.rsplit(':').next().unwrap_or_default() {
        "generateContent" => Answer::whole(&content(unique(), &calls, &words, step["ids"] == true)),
        "streamGenerateContent" => stream(&calls, &words, step["ids"] == true),
        _ => scripted::turn(path, &request, &calls, words),
    };
    upstream::paced(200, answer, if step["slow"] == true { SLOW } else { Duration::ZERO })
}

/// Name and arguments of a call in a step.
fn call(call: &Value) -> (String, String) {
    (call["tool"].as_str().unwrap_or_default().to_owned(), call["arguments"].to_string())
}

fn refusal(status: u16, message: &str) -> Response<Piecewise> {
    let error = json!({"type": "error", "error": {"type": "api_error", "code": status, "message": message}});
    let mut reply = upstream::paced(status, Answer::whole(&error), Duration::ZERO);
    reply.headers_mut().insert("retry-after", "0".parse().unwrap());
    reply
}

/// A `GenerateContentResponse` with these calls and words.
fn content(id: u64, calls: &[(String, String)], words: &[String], ids: bool) -> Value {
    let mut parts: Vec<_> = words.iter().map(|word| json!({"text": word})).collect();
    for (tool, arguments) in calls {
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        let mut call = json!({"name": tool, "args": arguments});
        if ids {
            call["id"] = format!("call_{}", unique()).into();
        }
        parts.push(json!({"functionCall": call}));
    }
    json!({
        "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 50, "candidatesTokenCount": 10, "totalTokenCount": 60},
        "modelVersion": "gemini-2.5-flash", "responseId": format!("response_{id}"),
    })
}

/// The same as a stream with one word or all calls in each event. Only the last event has the finish reason.
fn stream(calls: &[(String, String)], words: &[String], ids: bool) -> Answer {
    let id = unique();
    let mut pieces: Vec<_> = words.chunks(1).map(|word| content(id, &[], word, false)).collect();
    if !calls.is_empty() {
        pieces.push(content(id, calls, &[], ids));
    }
    if let Some((_, earlier)) = pieces.split_last_mut() {
        for piece in earlier {
            piece["candidates"][0].as_object_mut().unwrap().remove("finishReason");
        }
    }
    Answer::events(pieces)
}
