//! An OTLP receiver on loopback that keeps the received spans with typed attributes. It accepts protobuf over HTTP/1.1
//! (`POST /v1/traces`) and gRPC.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
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
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::protobuf::{Fields, Malformed, Value};

const GRPC_HEAD: usize = 5;

pub struct Receiver {
    pub addr: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    status: Arc<AtomicU16>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
pub struct Span {
    pub name: String,
    /// The `service.name` of the resource.
    pub service: String,
    /// `CLIENT`, `SERVER`, ...
    pub kind: String,
    /// `UNSET`, `OK` or `ERROR`.
    pub status: String,
    pub trace_id: String,
    pub span_id: String,
    /// Empty for a root span.
    pub parent_id: String,
    pub duration: Duration,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    /// Trace id and span id of each link.
    pub links: Vec<(String, String)>,
    pub attributes: BTreeMap<String, Attribute>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    String(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// Envoy sends neither this kind nor the next.
    Strings(Vec<String>),
    Other(String),
}

impl Receiver {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await.expect("there is no free port on 127.0.0.1")
    }

    pub async fn start_at(addr: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let (spans, status) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU16::new(200)));
        let (kept, answer) = (Arc::clone(&spans), Arc::clone(&status));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                let service = service_fn(move |request| export(request, Arc::clone(&kept), Arc::clone(&answer)));
                connections.spawn(async move {
                    let mut start = [0; 3];
                    while matches!(stream.peek(&mut start).await, Ok(1..=2)) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    let stream = TokioIo::new(stream);
                    if &start == b"PRI" {
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        drop(server.serve_connection(stream, service).await);
                    } else {
                        drop(hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await);
                    }
                });
            }
        });
        Ok(Self { addr, spans, status, task })
    }

    /// Sets the status of all further responses. Spans are kept only if it is a success. 0 means that no response is
    /// ever sent.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// The first span that fits, or None after the timeout. By default Envoy exports spans every five seconds.
    pub async fn wait_for(&self, fits: impl Fn(&Span) -> bool, timeout: Duration) -> Option<Span> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(span) = self.spans.lock().unwrap().iter().find(|span| fits(span)) {
                return Some(span.clone());
            }
            if Instant::now() >= end {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The span of the call with this `x-request-id`.
    pub async fn wait_for_request(&self, request_id: &str, timeout: Duration) -> Option<Span> {
        self.wait_for(|span| span.text("guid:x-request-id") == Some(request_id), timeout).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Span {
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.attributes.get(key) {
            Some(Attribute::String(text)) => Some(text),
            _ => None,
        }
    }
}

impl Attribute {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Int(_) => "int",
            Self::Double(_) => "double",
            Self::Bool(_) => "bool",
            Self::Strings(_) => "strings",
            Self::Other(_) => "other",
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(value) | Self::Other(value) => f.write_str(value),
            Self::Int(value) => value.fmt(f),
            Self::Strings(values) => f.write_str(&values.join(",")),
            Self::Double(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
        }
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn export(
    request: Request<Incoming>,
    spans: Arc<Mutex<Vec<Span>>>,
    status: Arc<AtomicU16>,
) -> Result<Response<Body>, Infallible> {
    let reply = |status: u16| Ok(Response::builder().status(status).body(Full::default().boxed()).unwrap());
    let grpc = match request.uri().path() {
        "/v1/traces" => false,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => true,
        _ => return reply(404),
    };
    let Ok(body) = request.into_body().collect().await else { return reply(400) };
    let mut body = body.to_bytes();
    if grpc {
        // A gRPC message: a compression flag, the length and the message.
        body.advance(GRPC_HEAD.min(body.len()));
    }
    let Ok(received) = spans_of(&body) else { return reply(400) };
    match status.load(Ordering::Relaxed) {
        0 => return pending().await,
        status if status >= 300 => return reply(status),
        _ => {}
    }
    spans.lock().unwrap().extend(received);
    if !grpc {
        return reply(200);
    }
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let empty = Full::new(Bytes::from_static(&[0; GRPC_HEAD])).with_trailers(async { Some(Ok(trailers)) });
    Ok(Response::builder().header("content-type", "application/grpc").body(empty.boxed()).unwrap())
}

/// Decodes the spans of an `ExportTraceServiceRequest`. The field numbers are those of opentelemetry-proto 1.x.
fn spans_of(request: &[u8]) -> Result<Vec<Span>, Malformed> {
    let mut spans = Vec::new();
    for resource_spans in messages(request, 1)? {
        let mut service = String::new();
        for resource in messages(resource_spans, 1)? {
            for pair in messages(resource, 1)? {
                let (key, value) = attribute(pair)?;
                if key == "service.name" {
                    service = value.to_string();
                }
            }
        }
        for scope_spans in messages(resource_spans, 2)? {
            for span in messages(scope_spans, 2)? {
                spans.push(Span { service: service.clone(), ..Span::read(span)? });
            }
        }
    }
    Ok(spans)
}

/// The messages, strings or bytes with this field number.
fn messages(message: &[u8], wanted: u64) -> Result<Vec<&[u8]>, Malformed> {
    let mut found = Vec::new();
    for field in Fields::of(message) {
        if let (number, Value::Bytes(bytes)) = field?
            && number == wanted
        {
            found.push(bytes);
        }
    }
    Ok(found)
}

impl Span {
    /// Decodes a span. The service name is not part of the span message.
    fn read(span: &[u8]) -> Result<Self, Malformed> {
        let mut read = Self { kind: kind(0), status: status_code(0), ..Self::default() };
        for field in Fields::of(span) {
            match field? {
                (1, Value::Bytes(id)) => read.trace_id = hex(id),
                (2, Value::Bytes(id)) => read.span_id = hex(id),
                (4, Value::Bytes(id)) => read.parent_id = hex(id),
                (5, Value::Bytes(name)) => read.name = text(name),
                (6, Value::Number(number)) => read.kind = kind(number),
                (7, Value::Number(time)) => read.start = time,
                (8, Value::Number(time)) => read.end = time,
                (9, Value::Bytes(pair)) => read.attributes.extend([attribute(pair)?]),
                (13, Value::Bytes(link)) => {
                    let id = |number| Ok(messages(link, number)?.first().map(|id| hex(id)).unwrap_or_default());
                    read.links.push((id(1)?, id(2)?));
                }
                (15, Value::Bytes(status)) => {
                    for field in Fields::of(status) {
                        if let (3, Value::Number(code)) = field? {
                            read.status = status_code(code);
                        }
                    }
                }
                _ => {}
            }
        }
        read.duration = Duration::from_nanos(read.end.saturating_sub(read.start));
        Ok(read)
    }
}

fn kind(number: u64) -> String {
    let names = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
    usize::try_from(number)
        .ok()
        .and_then(|place| names.get(place))
        .map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

fn status_code(number: u64) -> String {
    match number {
        0 => "UNSET".to_owned(),
        1 => "OK".to_owned(),
        2 => "ERROR".to_owned(),
        _ => number.to_string(),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Decodes the key and the value of a `KeyValue`.
fn attribute(pair: &[u8]) -> Result<(String, Attribute), Malformed> {
    let key = messages(pair, 1)?.first().map(|key| text(key)).unwrap_or_default();
    let value = messages(pair, 2)?.first().map_or(Ok(Attribute::Other("none".to_owned())), |value| any_value(value))?;
    Ok((key, value))
}

fn any_value(value: &[u8]) -> Result<Attribute, Malformed> {
    let Some(field) = Fields::of(value).next() else { return Ok(Attribute::Other("none".to_owned())) };
    Ok(match field? {
        (1, Value::Bytes(value)) => Attribute::String(text(value)),
        (2, Value::Number(value)) => Attribute::Bool(value != 0),
        // Negative numbers are encoded as two's complement.
        (3, Value::Number(value)) => Attribute::Int(value.cast_signed()),
        (4, Value::Number(value)) => Attribute::Double(f64::from_bits(value)),
        (5, Value::Bytes(list)) => {
            let values: Vec<_> = messages(list, 1)?.into_iter().map(any_value).collect::<Result<_, _>>()?;
            let strings: Option<Vec<_>> = values
                .iter()
                .map(|value| match value {
                    Attribute::String(text) => Some(text.clone()),
                    _ => None,
                })
                .collect();
            strings.map_or_else(|| Attribute::Other(format!("{values:?}")), Attribute::Strings)
        }
        other => Attribute::Other(format!("{other:?}")),
    })
}
