//! The live page of `./build.sh run`: its files, the last calls and agent runs with Envoy's counters as JSON, and a POST that
//! sends a call again.
//!
//! It listens on 127.0.0.1 only, and keeps the last [`KEPT`] items.

mod kept;

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
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::client;
use crate::otlp::Span;
use crate::prometheus::{self, total};
use crate::replay::Replay;
pub use kept::KEPT;
use kept::Kept;

const PATIENCE: Duration = Duration::from_secs(2);

/// The files of the page: path, type and content.
const FILES: [(&str, &str, &str); 7] = [
    ("/", "text/html", include_str!("index.html")),
    ("/page.css", "text/css", include_str!("page.css")),
    ("/page.js", "text/javascript", include_str!("page.js")),
    ("/call.js", "text/javascript", include_str!("call.js")),
    ("/draw.js", "text/javascript", include_str!("draw.js")),
    ("/figures.js", "text/javascript", include_str!("figures.js")),
    ("/runs.js", "text/javascript", include_str!("runs.js")),
];

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
        let state = Arc::new(State { subject, since: now(), kept: Mutex::default() });
        let mut tasks = JoinSet::new();
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

    /// Adds new spans and new lines of the access log. The page uses the plugin's spans and the lines of other traffic.
    pub fn show(&self, spans: &[Span], log: &[Value]) {
        let mut kept = self.state.kept.lock().unwrap();
        kept.spans(spans);
        kept.lines(log);
    }
}

struct State {
    subject: Subject,
    /// The start of the page, in milliseconds since 1970.
    since: u64,
    kept: Mutex<Kept>,
}

impl State {
    /// The number of calls and the cost in billionths of a dollar that Envoy has counted, or None if it does not answer.
    async fn counted(&self) -> Option<[f64; 2]> {
        let get = client::get(self.subject.admin, "/stats/prometheus?filter=wasmcustom");
        let reply = tokio::time::timeout(PATIENCE, get).await.ok()?.ok().filter(|reply| reply.status == 200)?;
        let samples = prometheus::parse(&String::from_utf8_lossy(&reply.body));
        Some(["gaugeway_requests_total", "gaugeway_cost_nanousd_total"].map(|name| total(&samples, name, &[])))
    }

    /// The items from a number on, and everything else that the page shows.
    async fn data(&self, from: usize) -> Value {
        let counted = self.counted().await;
        let Subject { admin, title, by_hand, replays, .. } = &self.subject;
        let mut data = self.kept.lock().unwrap().since(from);
        data["counted"] = counted.map_or(Value::Null, |counted| counted.to_vec().into());
        data["replays"] = replays.iter().map(|one| one.title.as_str()).collect();
        data["admin"] = admin.to_string().into();
        data["title"] = title.as_str().into();
        data["by_hand"] = by_hand.as_str().into();
        data["since"] = self.since.into();
        data["now"] = now().into();
        data
    }

    async fn send(&self, number: &str) -> (StatusCode, String) {
        let Some(replay) = number.parse().ok().and_then(|at: usize| self.subject.replays.get(at)) else {
            return (StatusCode::NOT_FOUND, format!("there is no call {number}"));
        };
        match (replay.act)(self.subject.envoy).await {
            Ok(told) => (StatusCode::OK, format!("{}: {told}", replay.title)),
            Err(error) => (StatusCode::BAD_GATEWAY, format!("{}: no response from Envoy: {error}", replay.title)),
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
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
        (&Method::GET, None) if path == "/data" => {
            let from = request.uri().query().and_then(|query| query.strip_prefix("from=")?.parse().ok());
            reply(StatusCode::OK, "application/json", state.data(from.unwrap_or(0)).await.to_string())
        }
        (&Method::GET, None) => match FILES.iter().find(|(own, ..)| *own == path) {
            Some((_, kind, content)) => reply(StatusCode::OK, kind, *content),
            None => reply(StatusCode::NOT_FOUND, "text/plain", "there is only /\n"),
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
