//! A collector that answers as a test tells it, and keeps every request.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// Dropping the value closes all connections and the port.
pub struct Collector {
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

/// An answer to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
    pub after: Duration,
}

/// A request as received, and the status of its answer.
#[derive(Clone, Debug)]
pub struct Export {
    pub path: String,
    pub body: Bytes,
    pub at: Instant,
    pub status: u16,
}

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    received: Vec<Export>,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, retry_after: None, body: Vec::new(), after: Duration::ZERO }
    }
}

impl Collector {
    /// A collector that accepts all requests.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let kept = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                let service = service_fn(move |request| serve(request, Arc::clone(&kept)));
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move { drop(serving.await) });
            }
        });
        Self { addr, state, task }
    }

    /// The answers to the next requests. Those after them are accepted.
    pub fn answer(&self, replies: &[Reply]) {
        self.state.lock().unwrap().script = replies.iter().cloned().collect();
    }

    pub fn received(&self) -> Vec<Export> {
        self.state.lock().unwrap().received.clone()
    }

    /// The requests once there are `count`, or after the timeout.
    pub async fn received_when(&self, count: usize, timeout: Duration) -> Vec<Export> {
        let end = Instant::now() + timeout;
        while self.received().len() < count && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.received()
    }

    /// The plugin's spans of the accepted requests, each with the `service.name` of its resource. Envoy's own spans have another one.
    pub fn spans(&self) -> Vec<(String, Span)> {
        let accepted = self.received().into_iter().filter(|export| export.path == "/v1/traces" && export.status == 200);
        let requests = accepted.map(|export| ExportTraceServiceRequest::decode(export.body).unwrap());
        let resources = requests.flat_map(|request| request.resource_spans);
        let of_resource = resources.flat_map(|one| {
            let service = text(&one.resource.unwrap().attributes, "service.name").unwrap();
            let spans = one.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(move |span| (service.clone(), span)).collect::<Vec<_>>()
        });
        of_resource.filter(|(service, _)| service != "llm-gateway").collect()
    }

    /// The spans once there are `count`, or after the timeout.
    pub async fn spans_when(&self, count: usize, timeout: Duration) -> Vec<Span> {
        let end = Instant::now() + timeout;
        while self.spans().len() < count && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.spans().into_iter().map(|(_, span)| span).collect()
    }

    /// The log records once there are `count`, or after the timeout.
    pub async fn logs_when(&self, count: usize, timeout: Duration) -> Vec<LogRecord> {
        let end = Instant::now() + timeout;
        while self.logs().len() < count && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.logs()
    }

    /// The log records of the accepted requests.
    pub fn logs(&self) -> Vec<LogRecord> {
        let accepted = self.received().into_iter().filter(|export| export.path == "/v1/logs" && export.status == 200);
        let requests = accepted.map(|export| ExportLogsServiceRequest::decode(export.body).unwrap());
        let scopes = requests.flat_map(|request| request.resource_logs).flat_map(|one| one.scope_logs);
        scopes.flat_map(|scope| scope.log_records).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The value of an attribute that is a string or a whole number.
pub fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|pair| pair.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

async fn serve(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let reply = state.lock().unwrap().script.pop_front().unwrap_or(Reply::status(200));
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (path, at, status) = (head.uri.path().to_owned(), Instant::now(), reply.status);
    state.lock().unwrap().received.push(Export { path, body, at, status });
    tokio::time::sleep(reply.after).await;
    let mut response = Response::builder().status(status).header("content-type", "application/x-protobuf");
    if let Some(wait) = reply.retry_after {
        response = response.header("retry-after", wait);
    }
    Ok(response.body(Full::from(reply.body)).unwrap())
}
