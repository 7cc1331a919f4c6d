//! The live page of `./build.sh run`: its files, Envoy's statistics and the last calls as JSON, and a POST that sends a
//! call again.
//!
//! It listens on 127.0.0.1 only. It keeps the last 100 calls, and ten minutes of totals for the charts.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::client::{self, Http};
use crate::prometheus::{self, Sample, total};

const PERIOD: Duration = Duration::from_secs(2);
const READINGS: usize = 300;
const CALLS: usize = 100;

/// The content of the page.
pub struct Subject {
    pub envoy: SocketAddr,
    pub admin: SocketAddr,
    /// One line with Envoy's address and the provider.
    pub title: String,
    /// A command to send a call by hand.
    pub by_hand: String,
    pub replays: Vec<Replay>,
}

/// A call that a button sends again.
pub struct Replay {
    pub title: String,
    pub request: Box<dyn Fn() -> Request<Full<Bytes>> + Send + Sync>,
}

/// The running page. Dropping the value stops it.
pub struct Live {
    pub addr: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl Live {
    /// Serves the page on 127.0.0.1 at `port`, or at any free port if that one is in use.
    pub async fn start(subject: Subject, port: u16) -> Result<Self, String> {
        let listener = match TcpListener::bind(("127.0.0.1", port)).await {
            Err(_) => TcpListener::bind(("127.0.0.1", 0)).await,
            bound => bound,
        };
        let listener = listener.map_err(|error| format!("the live page cannot listen on 127.0.0.1: {error}"))?;
        let addr = listener.local_addr().map_err(|error| format!("the live page has no address: {error}"))?;
        let state = Arc::new(State { subject, calls: Mutex::default(), history: Mutex::default() });
        let mut tasks = JoinSet::new();
        let reader = Arc::clone(&state);
        tasks.spawn(async move {
            loop {
                reader.stats().await;
                tokio::time::sleep(PERIOD).await;
            }
        });
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            // Dropped together with this task, so that connections end with the page.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(answer(request, &state).await) }
                });
                connections.spawn(async move {
                    let served =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    drop(served.await); // a browser that disconnects is not an error
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { addr, state, _tasks: tasks })
    }

    /// Updates the calls from the access log.
    pub fn show(&self, log: &[Value]) {
        let numbered = log.iter().enumerate().rev().filter_map(|(number, line)| {
            let mut call = line.as_object()?.clone();
            call.insert("number".to_owned(), number.into());
            Some(Value::Object(call))
        });
        *self.state.calls.lock().unwrap() = numbered.take(CALLS).collect();
    }
}

struct State {
    subject: Subject,
    /// The newest call first.
    calls: Mutex<Vec<Value>>,
    /// Time in milliseconds, number of calls, cost in billionths of a dollar. The oldest reading is first.
    history: Mutex<VecDeque<[u64; 3]>>,
}

impl State {
    /// The statistics that the page draws, or None if Envoy does not answer.
    async fn stats(&self) -> Option<Vec<Sample>> {
        let get = client::get(self.subject.admin, "/stats/prometheus?filter=wasmcustom");
        let reply = tokio::time::timeout(PERIOD, get).await.ok()?.ok().filter(|reply| reply.status == 200)?;
        let samples = prometheus::parse(&String::from_utf8_lossy(&reply.body));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let [calls, cost] =
            ["gaugeway_requests_total", "gaugeway_cost_nanousd_total"].map(|name| total(&samples, name, &[]) as u64);
        let mut history = self.history.lock().unwrap();
        history.push_back([now, calls, cost]);
        // Several pages may be open, so one reading per period is kept, and the newest one.
        if let Some(before) = history.len().checked_sub(3)
            && history[before + 2][0] - history[before][0] < PERIOD.as_millis() as u64
        {
            history.remove(before + 1);
        }
        if history.len() > READINGS {
            history.pop_front();
        }
        Some(samples)
    }

    async fn data(&self) -> Value {
        let stats = self.stats().await;
        let drawn = ["gaugeway_", "gen_ai_client_inference_duration_", "gen_ai_server_time_to_first_token_"];
        let stats = stats.map(|samples| {
            let drawn = samples.into_iter().filter(|one| drawn.iter().any(|start| one.name.starts_with(start)));
            drawn.map(|one| json!([one.name, one.labels, one.value])).collect::<Vec<_>>()
        });
        let Subject { admin, title, by_hand, replays, .. } = &self.subject;
        json!({
            "stats": stats,
            "history": *self.history.lock().unwrap(),
            "calls": *self.calls.lock().unwrap(),
            "replays": replays.iter().map(|one| &one.title).collect::<Vec<_>>(),
            "admin": admin.to_string(),
            "title": title,
            "by_hand": by_hand,
        })
    }

    async fn send(&self, number: &str) -> (StatusCode, String) {
        let Some(replay) = number.parse().ok().and_then(|at: usize| self.subject.replays.get(at)) else {
            return (StatusCode::NOT_FOUND, format!("there is no call {number}"));
        };
        match client::send(self.subject.envoy, (replay.request)(), Http::One).await {
            Ok(reply) => (StatusCode::OK, format!("{}: status {}", replay.title, reply.status)),
            Err(error) => (StatusCode::BAD_GATEWAY, format!("{}: no response from Envoy: {error}", replay.title)),
        }
    }
}

async fn answer(request: Request<Incoming>, state: &State) -> Response<Full<Bytes>> {
    if !is_own(request.headers()) {
        return reply(StatusCode::FORBIDDEN, "text/plain", "this is served to its own page only\n");
    }
    let path = request.uri().path();
    match (request.method(), path.strip_prefix("/send/")) {
        (&Method::POST, Some(number)) => {
            let (status, words) = state.send(number).await;
            reply(status, "text/plain", words)
        }
        (&Method::GET, None) => match path {
            "/" => reply(StatusCode::OK, "text/html", include_str!("index.html")),
            "/page.css" => reply(StatusCode::OK, "text/css", include_str!("page.css")),
            "/page.js" => reply(StatusCode::OK, "text/javascript", include_str!("page.js")),
            "/data" => reply(StatusCode::OK, "application/json", state.data().await.to_string()),
            _ => reply(StatusCode::NOT_FOUND, "text/plain", "there is only /\n"),
        },
        _ => reply(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "there is nothing like that\n"),
    }
}

/// Rejects requests from other sites that are open in the same browser. They must neither read nor send calls. Such a
/// request has another host name, one that resolves to this machine (DNS rebinding), or an `Origin`.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    matches!(name, "127.0.0.1" | "localhost") && text(ORIGIN).is_none_or(|from| from == format!("http://{host}"))
}

fn reply(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, format!("{kind}; charset=utf-8"))
        .header("cache-control", "no-store")
        .header(CONTENT_SECURITY_POLICY, "default-src 'self'; img-src data:; frame-ancestors 'self'")
        .body(Full::new(body.into()))
        .expect("a header of the page is invalid")
}
