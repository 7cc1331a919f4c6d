//! An OTLP receiver on loopback that keeps the received spans, data points and log records with typed attributes. It accepts
//! protobuf over HTTP/1.1 (`POST /v1/traces`, `/v1/metrics`, `/v1/logs`), and spans over gRPC too.

mod answer;
mod attribute;
mod point;
mod record;
mod span;

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub use answer::{Answer, Export};
pub use attribute::{Attribute, Attributes};
pub use point::{Exemplar, Point, PointKind, PointTemporality, PointValue};
pub use record::LogRecord;
pub use span::Span;

use answer::Script;

/// The maximum number of spans that are kept, likewise of data points, log records and requests. The oldest are dropped.
pub const KEPT: usize = 500_000;

const GRPC_HEAD: usize = 5;
const GRPC_SPANS: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

pub struct Receiver {
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

struct State {
    spans: VecDeque<Span>,
    points: VecDeque<Point>,
    logs: VecDeque<LogRecord>,
    exports: VecDeque<Export>,
    script: Script,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await.expect("there is no free port on 127.0.0.1")
    }

    pub async fn start_at(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            spans: VecDeque::new(),
            points: VecDeque::new(),
            logs: VecDeque::new(),
            exports: VecDeque::new(),
            script: Script::new(),
        }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                if !shared.lock().unwrap().script.down {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
            }
        });
        Ok(Self { addr, state, task })
    }

    /// Sets the status of all further responses that are not scripted. Spans are kept only if it is a success. 0 means that no
    /// response is ever sent.
    pub fn answer(&self, status: u16) {
        self.state.lock().unwrap().script.default = Answer::status(status);
    }

    /// Adds answers to the next requests with this path. They are given before that of [`Receiver::answer`].
    pub fn script(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().script.queued.entry(path.to_owned()).or_default().extend(answers);
    }

    /// From now on every connection is closed without a response, until it is called with `false`.
    pub fn down(&self, down: bool) {
        self.state.lock().unwrap().script.down = down;
    }

    pub fn spans(&self) -> Vec<Span> {
        self.state.lock().unwrap().spans.iter().cloned().collect()
    }

    /// The spans that have come since the last call of this method. They are kept no longer.
    pub fn take_spans(&self) -> Vec<Span> {
        std::mem::take(&mut self.state.lock().unwrap().spans).into()
    }

    /// All data points, in the order in which they arrived.
    pub fn points(&self) -> Vec<Point> {
        self.state.lock().unwrap().points.iter().cloned().collect()
    }

    /// Removes all data points and returns them.
    pub fn take_points(&self) -> VecDeque<Point> {
        std::mem::take(&mut self.state.lock().unwrap().points)
    }

    pub fn logs(&self) -> Vec<LogRecord> {
        self.state.lock().unwrap().logs.iter().cloned().collect()
    }

    /// All requests, including those without an answer.
    pub fn exports(&self) -> Vec<Export> {
        self.state.lock().unwrap().exports.iter().cloned().collect()
    }

    /// The last point of each series of the metric. A series is an instance of the service with the attributes of the point.
    pub fn latest(&self, name: &str) -> Vec<Point> {
        let state = self.state.lock().unwrap();
        let mut latest = BTreeMap::new();
        for point in state.points.iter().filter(|point| point.name == name) {
            latest.insert((point.instance(), format!("{:?}", point.attributes)), point);
        }
        latest.into_values().cloned().collect()
    }

    /// The first span that fits, or None after the timeout. By default Envoy exports spans every five seconds.
    pub async fn wait_for(&self, fits: impl Fn(&Span) -> bool, timeout: Duration) -> Option<Span> {
        let mut found = None;
        let looked = |state: &State| {
            found = state.spans.iter().find(|span| fits(span)).cloned();
            found.is_some()
        };
        self.wait(looked, timeout).await;
        found
    }

    /// The span of the call with this `x-request-id`.
    pub async fn wait_for_request(&self, request_id: &str, timeout: Duration) -> Option<Span> {
        self.wait_for(|span| span.text("guid:x-request-id") == Some(request_id), timeout).await
    }

    /// All data points once `enough` holds for them, or after the timeout.
    pub async fn points_when(&self, mut enough: impl FnMut(&VecDeque<Point>) -> bool, timeout: Duration) -> Vec<Point> {
        self.wait(|state| enough(&state.points), timeout).await;
        self.points()
    }

    /// All spans once there are `count`, or after the timeout.
    pub async fn spans_of(&self, count: usize, timeout: Duration) -> Vec<Span> {
        self.wait(|state| state.spans.len() >= count, timeout).await;
        self.spans()
    }

    /// All log records once there are `count`, or after the timeout.
    pub async fn logs_of(&self, count: usize, timeout: Duration) -> Vec<LogRecord> {
        self.wait(|state| state.logs.len() >= count, timeout).await;
        self.logs()
    }

    async fn wait(&self, mut enough: impl FnMut(&State) -> bool, timeout: Duration) {
        let end = Instant::now() + timeout;
        while !enough(&self.state.lock().unwrap()) && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Body = BoxBody<Bytes, std::convert::Infallible>;

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut start = [0; 3];
    while matches!(stream.peek(&mut start).await, Ok(1..=2)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let service = service_fn(move |request| export(request, Arc::clone(&state)));
    let stream = TokioIo::new(stream);
    if &start == b"PRI" {
        drop(hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await);
    } else {
        drop(hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await);
    }
}

/// Answers a request as the script says. An error closes the connection.
async fn export(request: Request<Incoming>, state: Arc<Mutex<State>>) -> io::Result<Response<Body>> {
    let reply = |status: u16| Ok(Response::builder().status(status).body(Full::default().boxed()).unwrap());
    let path = request.uri().path().to_owned();
    let grpc = path == GRPC_SPANS;
    let Ok(body) = request.into_body().collect().await else { return reply(400) };
    let mut body = body.to_bytes();
    if grpc {
        // A gRPC message: a compression flag, the length and the message.
        body.advance(GRPC_HEAD.min(body.len()));
    }
    let (mut spans, mut points, mut logs) = (Vec::new(), Vec::new(), Vec::new());
    let read = match path.as_str() {
        "/v1/traces" | GRPC_SPANS => span::spans_of(&body).map(|read| spans = read),
        "/v1/metrics" => point::points_of(&body).map(|read| points = read),
        "/v1/logs" => record::logs_of(&body).map(|read| logs = read),
        _ => return reply(404),
    };
    let answer = {
        let mut state = state.lock().unwrap();
        let answer = if read.is_ok() { state.script.next(&path) } else { Answer::status(400) };
        let status = if let Answer::Reply { status, .. } = &answer { *status } else { 0 };
        keep(&mut state.exports, [Export { path, bytes: body.len(), status, at: Instant::now() }]);
        if answer.keeps() {
            keep(&mut state.spans, spans);
            keep(&mut state.points, points);
            keep(&mut state.logs, logs);
        }
        answer
    };
    let keeps = answer.keeps();
    match answer {
        Answer::Close => Err(io::ErrorKind::ConnectionReset.into()),
        Answer::Never => pending().await,
        Answer::Reply { .. } if grpc && keeps => {
            let status = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
            let trailers = HeaderMap::from_iter([status]);
            let empty = Full::new(Bytes::from_static(&[0; GRPC_HEAD])).with_trailers(async { Some(Ok(trailers)) });
            Ok(Response::builder().header("content-type", "application/grpc").body(empty.boxed()).unwrap())
        }
        Answer::Reply { status, headers, body } => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::from(body).boxed()).unwrap())
        }
    }
}

fn keep<T>(kept: &mut VecDeque<T>, new: impl IntoIterator<Item = T>) {
    kept.extend(new);
    kept.drain(..kept.len().saturating_sub(KEPT));
}
