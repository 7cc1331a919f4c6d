//! An LLM provider on loopback that answers with fixtures, over HTTP/1.1 and HTTP/2 (prior knowledge) on the same port.
//!
//! The client selects an exchange with `x-fixture: <api>/<case>`; without it, the best match is used. The header
//! `x-upstream` changes how the response is sent. It has words separated by spaces:
//!
//! | word | effect |
//! |---|---|
//! | `whole` | one write (the default, unless the fixture has a gap) |
//! | `cut=<n>` | n bytes per write |
//! | `events` | one event per write, with the fixture's gap between them |
//! | `gap=<ms>` | one event per write, with this gap instead of the fixture's; also between the pieces of a generated answer |
//! | `pause=<ms>` | one event per write, with this gap before the last but two |
//! | `reset-after=<n>` | resets the connection after n bytes of the body |
//! | `trailers` | sends HTTP trailers (over HTTP/1.1 only if the client sends `te: trailers`) |
//! | `chunked` | sends no content-length, whatever the content type |
//! | `wait=<ms>` | delays the response headers |
//! | `hang` | never answers |
//! | `first=<status>` | answers the first request of each `x-request-id` with this status and no body |
//! | `linger=<ms>` | ends the body this long after its last byte |
//! | `latin1` | sends a response header whose value is not UTF-8 |
//! | `big=<n>` | instead of a fixture: a generated response with n bytes of text. On a path of the Responses API it is a stream with one event that has the text before the usage, otherwise a chat completion |
//! | `agent=<n>` | instead of a fixture: the next turn of an agent that calls tools until the conversation has n results |
//! | `calls=<n>` | the number of tool calls in each turn of an agent |
//! | `again` | gives all tool calls of an agent the same arguments |
//! | `same-ids` | numbers the tool calls of an agent from 0 in each conversation, so that those of all agents have equal identifiers |
//! | `given` | instead of a fixture: the JSON document in the request header `x-answer` |
//! | `echo` | instead of a fixture: a short chat completion that names the requested model |
//! | `scripted` | instead of a fixture: the next turn of a scripted model that makes any client's agent use its tools in three turns |

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderValue, TRAILER};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::answers::{Answer, Steps};
use super::fixtures::Fixture;
use super::scripted;

pub struct Upstream {
    pub addr: SocketAddr,
    requests: Arc<Mutex<VecDeque<Received>>>,
    task: JoinHandle<()>,
}

/// The maximum number of requests kept for [`Upstream::take_request`].
const KEPT: usize = 256;

/// A request as received, for comparison with the sent one.
#[derive(Clone, Debug)]
pub struct Received {
    pub version: Version,
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Upstream {
    pub async fn start(fixtures: Vec<Fixture>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), fixtures).await.expect("there is no free port on 127.0.0.1")
    }

    pub async fn start_at(addr: SocketAddr, fixtures: Vec<Fixture>) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let requests = Arc::new(Mutex::new(VecDeque::new()));
        let state = Arc::new(State { fixtures, requests: Arc::clone(&requests), refused: Mutex::default() });
        let task = tokio::spawn(async move {
            // Dropped together with this task, so that connections end with the upstream.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&state)));
            }
        });
        Ok(Self { addr, requests, task })
    }

    /// The request with this `x-request-id` and its body, or None after the timeout. Each request is returned once.
    pub async fn take_request(&self, request_id: &str, timeout: Duration) -> Option<Received> {
        let end = Instant::now() + timeout;
        let take = || {
            let mut requests = self.requests.lock().unwrap();
            let place = requests.iter().position(|one| one.request_id() == request_id)?;
            requests.remove(place)
        };
        loop {
            let found = take();
            if found.is_some() || Instant::now() >= end {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Received {
    fn request_id(&self) -> &str {
        self.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct State {
    fixtures: Vec<Fixture>,
    requests: Arc<Mutex<VecDeque<Received>>>,
    /// Ids of requests whose first attempt was refused.
    refused: Mutex<HashSet<String>>,
}

impl State {
    fn keep(&self, received: Received) {
        let mut requests = self.requests.lock().unwrap();
        requests.push_back(received);
        if requests.len() > KEPT {
            requests.pop_front();
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let mut start = [0; 3];
    while matches!(stream.peek(&mut start).await, Ok(1..=2)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(request, &state).await) }
    });
    // A client that disconnects causes an error here, which is ignored.
    if &start == b"PRI" {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

async fn answer(request: Request<Incoming>, state: &State) -> Response<Piecewise> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return refusal("the request's body broke off") };
    let body = body.to_bytes();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let word = |name: &str| head.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let travel = match Travel::parse(&word("x-upstream").unwrap_or_default()) {
        Ok(travel) => travel,
        Err(word) => return refusal(&format!("unknown word in x-upstream: {word:?}")),
    };
    let given = word("x-answer").filter(|_| travel.given);
    let fixture = match word("x-fixture") {
        Some(id) => state.fixtures.iter().find(|fixture| fixture.id == id),
        None => nearest(&state.fixtures, &path, &body),
    };
    let received =
        Received { version: head.version, method: head.method, path: path.clone(), headers: head.headers, body };
    let (request_id, asked) = (received.request_id().to_owned(), received.body.clone());
    state.keep(received);
    if travel.hang {
        return pending().await;
    }
    tokio::time::sleep(travel.wait).await;
    if let Some(status) = travel.first.filter(|_| state.refused.lock().unwrap().insert(request_id)) {
        return finish(Response::builder().status(status), VecDeque::new(), Duration::ZERO, Some(0), &travel);
    }
    match (travel.big, fixture) {
        (Some(size), _) => made(Answer::big(size, path.ends_with("/responses")), &travel),
        _ if travel.agent.results > 0 => made(Answer::agent(&path, &asked, travel.agent), &travel),
        _ if given.is_some() => made(Answer::given(given.unwrap_or_default()), &travel),
        _ if travel.echo => made(Answer::echo(&asked), &travel),
        _ if travel.scripted => made(scripted::answer(&path, &asked), &travel),
        (None, Some(fixture)) => replay(fixture, &travel),
        (None, None) => refusal("no fixture fits: name one with x-fixture: <api>/<case>"),
    }
}

#[derive(Default)]
struct Travel {
    cut: Option<usize>,
    events: bool,
    gap: Option<Duration>,
    pause: Duration,
    reset_after: Option<usize>,
    trailers: bool,
    chunked: bool,
    wait: Duration,
    hang: bool,
    first: Option<u16>,
    latin1: bool,
    linger: Duration,
    big: Option<usize>,
    echo: bool,
    given: bool,
    agent: Steps,
    scripted: bool,
}

impl Travel {
    fn parse(words: &str) -> Result<Self, String> {
        let mut travel = Self::default();
        for word in words.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<usize>().map_err(|_| word.to_owned());
            match name {
                "whole" => {}
                "cut" => travel.cut = Some(number()?.max(1)),
                "events" => travel.events = true,
                "gap" => travel.gap = Some(Duration::from_millis(number()? as u64)),
                "pause" => (travel.events, travel.pause) = (true, Duration::from_millis(number()? as u64)),
                "reset-after" => travel.reset_after = Some(number()?),
                "trailers" => travel.trailers = true,
                "chunked" => travel.chunked = true,
                "wait" => travel.wait = Duration::from_millis(number()? as u64),
                "hang" => travel.hang = true,
                "first" => travel.first = Some(number()? as u16),
                "linger" => travel.linger = Duration::from_millis(number()? as u64),
                "latin1" => travel.latin1 = true,
                "big" => travel.big = Some(number()?),
                "agent" => travel.agent.results = number()?,
                "calls" => travel.agent.calls = number()?,
                "again" => travel.agent.again = true,
                "same-ids" => travel.agent.same_ids = true,
                "given" => travel.given = true,
                "echo" => travel.echo = true,
                "scripted" => travel.scripted = true,
                _ => return Err(word.to_owned()),
            }
        }
        Ok(travel)
    }
}

fn replay(fixture: &Fixture, travel: &Travel) -> Response<Piecewise> {
    let response = &fixture.response;
    let gap = travel.gap.unwrap_or(response.gap);
    let paced = travel.events || travel.gap.is_some() || (travel.cut.is_none() && !gap.is_zero());
    let pieces = match travel.cut {
        _ if paced => response.events.clone(),
        Some(size) => response.body.chunks(size).map(|piece| response.body.slice_ref(piece)).collect(),
        None => vec![response.body.clone()],
    };
    let gap = if paced { gap } else { Duration::ZERO };
    let mut reply = Response::builder().status(response.status);
    for (name, value) in &response.headers {
        reply = reply.header(name, value);
    }
    let length = (!fixture.is_stream()).then_some(response.body.len());
    finish(reply, pieces.into(), gap, length, travel)
}

fn made(answer: Answer, travel: &Travel) -> Response<Piecewise> {
    let reply = Response::builder().header("content-type", answer.kind);
    finish(reply, answer.pieces, travel.gap.unwrap_or_default(), answer.length, travel)
}

/// A response whose pieces are written separately, with `gap` between them.
pub fn paced(status: u16, answer: Answer, gap: Duration) -> Response<Piecewise> {
    let reply = Response::builder().status(status).header("content-type", answer.kind);
    finish(reply, answer.pieces, gap, answer.length, &Travel::default())
}

/// A response whose pieces come from a channel and are written separately.
pub fn fed(kind: &str, frames: mpsc::Receiver<io::Result<Frame<Bytes>>>) -> Response<Piecewise> {
    let reply = Response::builder().header("content-type", kind);
    reply.body(Piecewise { frames, written: false }).expect("the content type is invalid")
}

fn finish(
    mut reply: hyper::http::response::Builder,
    mut pieces: VecDeque<Bytes>,
    gap: Duration,
    length: Option<usize>,
    travel: &Travel,
) -> Response<Piecewise> {
    if let Some(length) = length.filter(|_| !travel.chunked && !travel.trailers) {
        reply = reply.header(CONTENT_LENGTH, length);
    }
    if travel.trailers {
        reply = reply.header(TRAILER, "x-upstream-end");
    }
    if travel.latin1 {
        reply = reply.header("x-bin", HeaderValue::from_bytes(b"a\xff").unwrap());
    }
    let (reset_after, trailers, linger, pause) = (travel.reset_after, travel.trailers, travel.linger, travel.pause);
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut left = reset_after.unwrap_or(usize::MAX);
        let mut first = true;
        while let Some(mut piece) = pieces.pop_front().filter(|_| left > 0) {
            if !first {
                tokio::time::sleep(if pieces.len() == 2 { gap + pause } else { gap }).await;
            }
            first = false;
            piece.truncate(left);
            left -= piece.len();
            if sender.send(Ok(Frame::data(piece))).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(linger).await;
        if reset_after.is_some() {
            // Gives the receiver time to read: a reset discards the bytes in its buffer.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = sender.send(Err(io::Error::other("reset on request"))).await;
        } else if trailers {
            let trailers = HeaderMap::from_iter([("x-upstream-end".parse().unwrap(), HeaderValue::from_static("yes"))]);
            let _ = sender.send(Ok(Frame::trailers(trailers))).await;
        }
    });
    reply.body(Piecewise { frames, written: false }).expect("a header of the fixture is invalid")
}

fn refusal(why: &str) -> Response<Piecewise> {
    let reply = Response::builder().status(StatusCode::NOT_IMPLEMENTED).header("content-type", "text/plain");
    finish(reply, VecDeque::from([Bytes::from(format!("{why}\n"))]), Duration::ZERO, None, &Travel::default())
}

/// The best match for a request without `x-fixture`: a success on the same path, preferably with the same streaming and
/// model.
fn nearest<'a>(fixtures: &'a [Fixture], path: &str, body: &[u8]) -> Option<&'a Fixture> {
    let asked = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        (body["stream"] == true, body["model"].as_str().map(str::to_owned))
    };
    let (stream, model) = asked(body);
    let fitting = fixtures.iter().filter(|one| one.request.path == path && one.response.status < 300);
    fitting.max_by_key(|one| {
        let own = asked(&one.request.body);
        let completed = one.observation.get("gaugeway.outcome").is_some_and(|outcome| outcome == "completed");
        (own.0 == stream, completed, own.1 == model, one.observation.len())
    })
}

/// A body that makes hyper write each frame separately: it returns Pending after each frame, which flushes.
pub struct Piecewise {
    frames: mpsc::Receiver<io::Result<Frame<Bytes>>>,
    written: bool,
}

impl Body for Piecewise {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if std::mem::take(&mut self.written) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = ready!(self.frames.poll_recv(cx));
        self.written = frame.is_some();
        Poll::Ready(frame)
    }
}
