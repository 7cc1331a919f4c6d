//! Operations of MCP through a real Envoy: each has one span, one sample and its attributes, whatever form its answer has, and other
//! requests have none.

use std::time::Duration;

use crate::support::client::{self, Http, Raw};
use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Attribute, Receiver, Span};
use crate::support::prometheus::{Sample, total};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(20);
const BOTH: &str = "application/json, text/event-stream";
const DURATION: &str = "mcp_client_operation_duration_microseconds";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
/// The time that the tool `slow` takes.
const SLOW: Duration = Duration::from_millis(300);
/// The time that its stream stays open after the answer.
const LINGERING: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_call_has_a_span_a_sample_and_a_line_of_the_access_log() {
    let site = Site::start(1).await;
    let place = format!("00-{TRACE}-{SPAN}-01");
    let meta = json!({"progressToken": "p", "traceparent": place});
    let (id, body) = site.call(&json!({"name": "slow", "arguments": {"a": 1}, "_meta": meta}), &[SESSION]).await;
    assert!(body.ends_with("\"isError\":false}}\n\n"), "{body}");

    let span = site.spans(1).await.remove(0);
    assert_eq!((&*span.name, &*span.kind, &*span.status), ("tools/call slow", "CLIENT", "UNSET"));
    assert_eq!((&*span.trace_id, &*span.parent_id), (TRACE, SPAN));
    // The answer ends the operation, not the end of the stream.
    assert!((SLOW..LINGERING).contains(&span.duration), "{:?}", span.duration);
    let expected = json!({
        "mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "slow",
        "jsonrpc.request.id": "7", "mcp.session.id": "s-1", "mcp.protocol.version": "2025-11-25",
        "server.address": "tools.example.com", "server.port": 80,
        "gaugeway.mcp.progress": 2, "gaugeway.mcp.result.bytes": 31,
    });
    assert_eq!(attributes(&span), expected);

    let entry = site.envoy.entry(&id, PATIENCE).await.unwrap();
    for (name, value) in expected.as_object().unwrap() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(entry[name], json!(text), "{name} in {entry}");
    }
    let samples = site.samples(1.0).await;
    let labels =
        [("mcp_method_name", "tools/call"), ("gen_ai_tool_name", "slow"), ("gen_ai_operation_name", "execute_tool")];
    assert_eq!(total(&samples, &format!("{DURATION}_count"), &labels), 1.0);
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_tools_of_the_protocol_and_of_the_stream_are_told_apart() {
    let site = Site::start(1).await;
    site.call(&json!({"name": "add"}), &[]).await;
    site.call(&json!({"name": "fail"}), &[]).await;
    site.call(&json!({"name": "broken"}), &[]).await;
    site.call(&json!({"name": "add"}), &[("x-status", "404")]).await;
    let mut hung = Raw::send(site.envoy.addr, &raw(&call(&json!({"name": "hang"})))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    hung.write(b"").await.unwrap();
    drop(hung);
    let spans = site.spans(5).await;
    let errors: Vec<_> = spans.iter().map(|span| span.text("error.type").unwrap_or("")).collect();
    assert_eq!(errors, ["", "tool_error", "-32602", "404", "client_disconnect"]);
    assert!(spans.iter().all(|span| (span.status == "ERROR") == span.text("error.type").is_some()));
    assert_eq!(attributes(&spans[2])["rpc.response.status_code"], -32602);

    let samples = site.samples(5.0).await;
    let count = |labels: &[(&str, &str)]| total(&samples, &format!("{DURATION}_count"), labels);
    assert_eq!(count(&[("gen_ai_tool_name", "add"), ("error_type", "404")]), 1.0);
    // A tool of which no call has succeeded may be invented.
    for error in ["tool_error", "-32602", "client_disconnect"] {
        assert_eq!(count(&[("gen_ai_tool_name", "other"), ("error_type", error)]), 1.0, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_as_many_operations_as_it_has_requests() {
    let site = Site::start(1).await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add"}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "fail"}},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/list"},
    ]);
    site.send(&batch, BOTH, &[]).await;
    let spans = site.spans(3).await;
    let mut names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["tools/call add", "tools/call fail", "tools/list"]);
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_operation_has_no_span_no_sample_and_no_attributes() {
    let site = Site::start(1).await;
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let answer = json!({"jsonrpc": "2.0", "id": 3, "result": {"roots": []}});
    let other = json!({"jsonrpc": "2.0", "id": 3, "method": "eth_call", "params": []});
    let (mut ids, add) = (Vec::new(), call(&json!({"name": "add"})));
    for (body, accept, headers) in [
        (&notification, BOTH, &[SESSION][..]),
        (&answer, BOTH, &[SESSION]),
        (&other, BOTH, &[]),
        (&json!({"model": "m"}), BOTH, &[]),
        (&add, "application/json", &[]),
        (&add, "*/*", &[]),
    ] {
        ids.push(site.send(body, accept, headers).await.0);
    }
    site.call(&json!({"name": "add"}), &[]).await;
    assert_eq!(site.spans(1).await.len(), 1);
    assert_eq!(total(&site.samples(1.0).await, &format!("{DURATION}_count"), &[]), 1.0);
    for id in ids {
        let entry = site.envoy.entry(&id, PATIENCE).await.unwrap();
        assert!(entry["mcp.method.name"].is_null() && entry["gen_ai.operation.name"].is_null(), "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_on_a_resumed_stream_ends_the_operation_whichever_worker_has_the_stream() {
    let site = Site::start(2).await;
    site.call(&json!({"name": "cut"}), &[SESSION]).await;
    // Each is a new connection. The server replays the answer on each.
    for _ in 0..6 {
        let request = Request::get("/mcp").header("host", "tools.example.com").header("accept", "text/event-stream");
        let request = request.header(SESSION.0, SESSION.1).header("last-event-id", "1").body(Full::default()).unwrap();
        client::send(site.envoy.addr, request, Http::One).await.unwrap();
    }
    let span = site.spans(1).await.remove(0);
    assert_eq!((&*span.name, span.text("error.type")), ("tools/call cut", None));
    assert!(span.duration >= 2 * SLOW, "{:?}", span.duration);
    assert_eq!(attributes(&span)["gaugeway.mcp.result.bytes"], 31);
    assert_eq!(total(&site.samples(1.0).await, &format!("{DURATION}_count"), &[]), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_configuration_reports_the_operations_that_wait_for_a_resumed_stream() {
    let drain = Duration::from_secs(1);
    let site = Site::start_with(|options| Options { dynamic: true, drain, ..options }).await;
    site.call(&json!({"name": "cut"}), &[SESSION]).await;
    let mut changed = site.options.clone();
    changed.config["labels"] = json!({"max_series": 5000});
    site.envoy.deliver(&changed);
    let span = site.spans(1).await.remove(0);
    assert_eq!((&*span.name, span.text("error.type")), ("tools/call cut", Some("truncated")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_between_calls_to_models_are_read_too() {
    let site = Site::start(1).await;
    let chat = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    for _ in 0..3 {
        site.send_to("/v1/chat/completions", &chat, "*/*", &[]).await;
        site.call(&json!({"name": "add"}), &[]).await;
        site.call(&json!({"name": "add"}), &[]).await;
    }
    let spans = site.spans(9).await;
    assert_eq!(spans.iter().filter(|span| span.name == "tools/call add").count(), 6);
    let samples = site.samples(6.0).await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), 3.0);
}

const SESSION: (&str, &str) = ("mcp-session-id", "s-1");

/// A server of MCP behind Envoy, which also answers calls to models.
pub struct Site {
    pub envoy: Envoy,
    options: Options,
    receiver: Receiver,
    server: JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Site {
    pub async fn start(concurrency: u32) -> Self {
        Self::start_with(|options| Options { concurrency, ..options }).await
    }

    pub async fn start_with(change: impl FnOnce(Options) -> Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move { drop(serve(stream).await) });
            }
        });
        let receiver = Receiver::start().await;
        let options = change(Options {
            otlp: Some(receiver.addr),
            config: json!({"otlp": {"cluster": "otlp", "metrics_path": ""}}),
            tracing: false,
            ..Options::to(addr)
        });
        Site { envoy: Envoy::start(&options).await, options, receiver, server }
    }

    /// Calls a tool with these parameters. Returns the identifier of the HTTP request and the answer.
    pub async fn call(&self, params: &Value, headers: &[(&str, &str)]) -> (String, String) {
        self.send(&call(params), BOTH, headers).await
    }

    async fn send(&self, body: &Value, accept: &str, headers: &[(&str, &str)]) -> (String, String) {
        self.send_to("/mcp", body, accept, headers).await
    }

    pub async fn send_to(&self, path: &str, body: &Value, accept: &str, headers: &[(&str, &str)]) -> (String, String) {
        self.send_text(path, &body.to_string(), accept, headers).await
    }

    /// Sends a body. Returns the identifier of the HTTP request and the answer.
    pub async fn send_text(&self, path: &str, body: &str, accept: &str, headers: &[(&str, &str)]) -> (String, String) {
        let id = client::request_id();
        let mut request = Request::post(path).header("host", "tools.example.com").header("x-request-id", &id);
        let own = [("accept", accept), ("content-type", "application/json"), ("mcp-protocol-version", "2025-11-25")];
        // The version would make any request MCP.
        let own = if headers.contains(&SESSION) { &own[..] } else { &own[..2] };
        for (name, value) in own.iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let reply = client::send(self.envoy.addr, request, Http::One).await.unwrap();
        (id, String::from_utf8(reply.body.to_vec()).unwrap())
    }

    /// Sends the request that ends a session.
    pub async fn end_session(&self, path: &str, headers: &[(&str, &str)]) {
        let mut request = Request::delete(path).header("host", "tools.example.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client::send(self.envoy.addr, request.body(Full::default()).unwrap(), Http::One).await.unwrap();
    }

    /// The line of the access log for an HTTP request.
    pub async fn entry(&self, id: &str) -> Value {
        self.envoy.entry(id, PATIENCE).await.unwrap()
    }

    /// Waits for this number of spans, and for further ones. Returns them by their start.
    pub async fn spans(&self, count: usize) -> Vec<Span> {
        self.receiver.spans_of(count, PATIENCE).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut spans = self.receiver.spans();
        spans.sort_by_key(|span| span.start);
        assert_eq!(spans.len(), count, "{spans:#?}\n{}", self.envoy.log());
        spans
    }

    /// The samples once this number of operations is counted.
    pub async fn samples(&self, count: f64) -> Vec<Sample> {
        self.samples_of(DURATION, count).await
    }

    /// The samples once this histogram has this number of values.
    pub async fn samples_of(&self, histogram: &str, count: f64) -> Vec<Sample> {
        let enough = |samples: &[Sample]| total(samples, &format!("{histogram}_count"), &[]) >= count;
        self.envoy.samples_when(enough, PATIENCE).await
    }
}

pub fn attributes(span: &Span) -> Value {
    let value = |value: &Attribute| match value {
        Attribute::String(text) => json!(text),
        Attribute::Int(number) => json!(number),
        Attribute::Double(number) => json!(number),
        other => panic!("{other:?}"),
    };
    span.attributes.iter().map(|(name, attribute)| (name.clone(), value(attribute))).collect()
}

fn call(params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})
}

/// A request as bytes.
fn raw(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("POST /mcp HTTP/1.1\r\nhost: a\r\naccept: {BOTH}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// A server of MCP. It answers the tool `slow` with a stream, and other requests with JSON.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let Some((head, body)) = take_request(&mut bytes) else {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let message: Value =
            serde_json::from_slice(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body)).unwrap_or_default();
        if head.starts_with("delete ") {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
            continue;
        }
        let is_resumed = head.starts_with("get ");
        if is_resumed || message["params"]["name"] == "cut" {
            // The server closes the stream. The client resumes it, and gets the answer there.
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            tokio::time::sleep(SLOW).await;
            chunk(&mut stream, &if is_resumed { answer(&call(&json!({"name": "cut"}))) } else { json!(null) }).await?;
            stream.write_all(b"0\r\n\r\n").await?;
            continue;
        }
        if message["params"]["name"] == "slow" {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                .await?;
            let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "p", "progress": 1}});
            for event in [json!(null), progress.clone(), progress] {
                chunk(&mut stream, &event).await?;
            }
            tokio::time::sleep(SLOW).await;
            chunk(&mut stream, &answer(&message)).await?;
            tokio::time::sleep(LINGERING).await;
            stream.write_all(b"0\r\n\r\n").await?;
            continue;
        }
        if let Some(events) = message["events"].as_array() {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                .await?;
            for event in events {
                chunk(&mut stream, event).await?;
                tokio::time::sleep(SLOW).await;
            }
            stream.write_all(b"0\r\n\r\n").await?;
            continue;
        }
        if message["params"]["name"] == "hang" {
            std::future::pending::<()>().await;
        }
        let (status, body) = match &message {
            _ if head.contains("x-status: 404") => ("404 Not Found", "no such session".to_owned()),
            _ if head.starts_with("post /moved") => {
                ("302 Found\r\nlocation: http://tools.example.com/tools", String::new())
            }
            // The answer of a model is in the request.
            one if one["answer"].is_object() => ("200 OK", one["answer"].to_string()),
            Value::Array(all) => {
                let requests = all.iter().filter(|one| !one["id"].is_null());
                ("200 OK", Value::from_iter(requests.map(answer)).to_string())
            }
            one if one["id"].is_null() || one["method"].is_null() => ("202 Accepted", String::new()),
            one => ("200 OK", answer(one).to_string()),
        };
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
    }
}

fn answer(request: &Value) -> Value {
    let content = |text: &str, failed| json!({"content": [{"type": "text", "text": text}], "isError": failed});
    let outcome = match request["params"]["name"].as_str() {
        Some("broken") => {
            return json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32602, "message": "no"}});
        }
        Some("fail") => content("failed", true),
        Some(_) => content("done", false),
        None => json!({"tools": []}),
    };
    json!({"jsonrpc": "2.0", "id": request["id"], "result": outcome})
}

/// Writes an event. Null is one without data, and a text is its data.
async fn chunk(stream: &mut TcpStream, event: &Value) -> std::io::Result<()> {
    let data = match event {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        event => event.to_string(),
    };
    let event = format!("id: 1\ndata: {data}\n\n");
    stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await
}

/// Takes a request that has arrived whole: its head and its body.
fn take_request(bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    let length =
        head.split("content-length: ").nth(1).map_or(0, |rest| rest.split('\r').next().unwrap().parse().unwrap());
    if bytes.len() < end + length {
        return None;
    }
    let body = bytes[end..end + length].to_vec();
    bytes.drain(..end + length);
    Some((head, body))
}
