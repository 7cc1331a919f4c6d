//! An OTLP receiver on loopback that keeps the spans it got, attributes with their types. It takes protobuf over HTTP/1.1
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
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as AnyInner, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

const GRPC_HEAD: usize = 5;

pub struct Receiver {
    pub addr: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    status: Arc<AtomicU16>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    /// Who made it: the resource's `service.name`.
    pub service: String,
    /// `CLIENT`, `SERVER`, ...
    pub kind: String,
    /// `UNSET`, `OK` or `ERROR`.
    pub status: String,
    pub trace_id: String,
    pub span_id: String,
    /// Empty for a span that starts its trace.
    pub parent_id: String,
    pub duration: Duration,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    /// Trace and span of each.
    pub links: Vec<(String, String)>,
    pub attributes: BTreeMap<String, Attribute>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    String(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// Envoy sends none of this and the next kind.
    Strings(Vec<String>),
    Other(String),
}

impl Receiver {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await.expect("a free port on loopback")
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

    /// Answers with this status from now on, and keeps no spans unless it is a success; 0 stands for no answer, ever.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// The first span that fits, as soon as it is here. Envoy sends its spans every five seconds unless told otherwise.
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

    /// The span of the call that was sent with this `x-request-id`.
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
        // One message: whether it is compressed, its length, itself.
        body.advance(GRPC_HEAD.min(body.len()));
    }
    let Ok(export) = ExportTraceServiceRequest::decode(body) else { return reply(400) };
    match status.load(Ordering::Relaxed) {
        0 => return pending().await,
        status if status >= 300 => return reply(status),
        _ => {}
    }
    for resource in export.resource_spans {
        let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
        let service = attributes.into_iter().map(attribute).find(|(key, _)| key == "service.name");
        let service = service.map(|(_, value)| value.to_string()).unwrap_or_default();
        let found = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.lock().unwrap().extend(found.map(|span| Span::new(&service, span)));
    }
    if !grpc {
        return reply(200);
    }
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let empty = Full::new(Bytes::from_static(&[0; GRPC_HEAD])).with_trailers(async { Some(Ok(trailers)) });
    Ok(Response::builder().header("content-type", "application/grpc").body(empty.boxed()).unwrap())
}

impl Span {
    fn new(service: &str, span: proto::Span) -> Self {
        let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let status = span.status.as_ref().map_or(proto::status::StatusCode::Unset, proto::Status::code);
        Self {
            kind: span.kind().as_str_name().trim_start_matches("SPAN_KIND_").to_owned(),
            status: status.as_str_name().trim_start_matches("STATUS_CODE_").to_owned(),
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            duration: Duration::from_nanos(span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano)),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            attributes: span.attributes.into_iter().map(attribute).collect(),
            service: service.to_owned(),
            name: span.name,
        }
    }
}

fn attribute(pair: KeyValue) -> (String, Attribute) {
    let value = match pair.value.and_then(|value| value.value) {
        Some(AnyValue::StringValue(value)) => Attribute::String(value),
        Some(AnyValue::IntValue(value)) => Attribute::Int(value),
        Some(AnyValue::DoubleValue(value)) => Attribute::Double(value),
        Some(AnyValue::BoolValue(value)) => Attribute::Bool(value),
        Some(AnyValue::ArrayValue(list))
            if list.values.iter().all(|one| matches!(one.value, Some(AnyValue::StringValue(_)))) =>
        {
            let text = |one: AnyInner| match one.value {
                Some(AnyValue::StringValue(text)) => text,
                _ => String::new(),
            };
            Attribute::Strings(list.values.into_iter().map(text).collect())
        }
        other => Attribute::Other(format!("{other:?}")),
    };
    (pair.key, value)
}
