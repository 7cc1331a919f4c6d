//! WebSockets through a real Envoy: every byte arrives in both directions, and each response is reported when it ends.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Attribute, Receiver, Span};
use crate::support::prometheus::{Sample, total};

const PATIENCE: Duration = Duration::from_secs(20);

/// An Envoy with the plugin, the upstream's port and the receiver of spans.
struct Gateway {
    envoy: Envoy,
    upstream: TcpListener,
    spans: Receiver,
}

/// Both ends of a WebSocket through Envoy.
struct Ends {
    client: TcpStream,
    server: TcpStream,
    /// The head of the request, as the upstream received it.
    request: String,
}

impl Gateway {
    async fn start(mut config: Value) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let spans = Receiver::start().await;
        config["otlp"] = json!({"cluster": "otlp"});
        let options = Options { config, otlp: Some(spans.addr), ..Options::to(upstream.local_addr().unwrap()) };
        Self { envoy: Envoy::start(&options).await, upstream, spans }
    }

    /// The plugin is a filter of the cluster, as in `envoy/upstream-filter.yaml`.
    async fn in_the_cluster() -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let spans = Receiver::start().await;
        let plugin = std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test envoy");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/upstream-filter.yaml");
        let filter = fs::read_to_string(path).unwrap().replace("dist/gaugeway.wasm", &plugin);
        let filter: String = filter.lines().map(|line| format!("\n    {line}")).collect();
        let llm = "\n    load_assignment:\n      cluster_name: llm\n";
        let replace = vec![(llm.to_owned(), format!("{filter}{llm}"))];
        let options = Options { plugin: false, replace, ..Options::to(upstream.local_addr().unwrap()) };
        Self { envoy: Envoy::start(&options).await, upstream, spans }
    }

    /// Sends a request for a WebSocket with these header lines. The upstream answers with this head.
    async fn ask(&self, path: &str, lines: &str, answer: &str) -> Ends {
        let mut client = TcpStream::connect(self.envoy.addr).await.unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: api.openai.com\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let (mut server, _) = self.upstream.accept().await.unwrap();
        let request = read_head(&mut server).await;
        server.write_all(answer.as_bytes()).await.unwrap();
        Ends { client, server, request }
    }

    async fn open(&self, path: &str, lines: &str) -> Ends {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        let mut ends = self.ask(path, lines, answer).await;
        assert!(read_head(&mut ends.client).await.starts_with("HTTP/1.1 101 "));
        ends
    }

    async fn spans_of(&self, count: usize) -> Vec<Span> {
        let mut spans = self.spans.spans_of(count, PATIENCE).await;
        spans.sort_by_key(|span| span.end);
        spans
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

impl Ends {
    /// Sends a message, from the client (C) or the server (S), and reads it at the other end.
    async fn say(&mut self, side: char, message: &Value) {
        let bytes = frame(side, 0x81, message.to_string().as_bytes());
        let (from, to) = match side {
            'C' => (&mut self.client, &mut self.server),
            _ => (&mut self.server, &mut self.client),
        };
        from.write_all(&bytes).await.unwrap();
        let mut arrived = vec![0; bytes.len()];
        to.read_exact(&mut arrived).await.unwrap();
        assert!(arrived == bytes, "the bytes of {message} have changed");
    }

    async fn run(&mut self, messages: &[(char, Value)]) {
        for (side, message) in messages {
            self.say(*side, message).await;
        }
    }
}

/// A frame with this first byte. The client's frames are masked.
fn frame(side: char, first: u8, payload: &[u8]) -> Vec<u8> {
    let (mask, key) = if side == 'C' { (0x80, [7, 77, 177, 250]) } else { (0, [0; 4]) };
    let mut out = vec![first];
    match payload.len() {
        length @ ..126 => out.push(mask | length as u8),
        length @ ..=0xffff => out.extend([&[mask | 126], &(length as u16).to_be_bytes()[..]].concat()),
        length => out.extend([&[mask | 127], &(length as u64).to_be_bytes()[..]].concat()),
    }
    if side == 'C' {
        out.extend(key);
    }
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn responses() -> Vec<(char, Value)> {
    let usage = |input: u64, cached: u64, output: u64| json!({"input_tokens": input, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": output, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input + output});
    let tools = json!([{"type": "function", "name": "ls", "parameters": {}}]);
    vec![
        (
            'C',
            json!({"type": "response.create", "model": "gpt-5.1", "input": [{"role": "user", "content": "list it ".repeat(20_000)}], "tools": tools}),
        ),
        ('S', json!({"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5.1"}})),
        (
            'S',
            json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "function_call", "id": "fc_1", "call_id": "call_9f8e7d6c5b4a", "name": "ls", "arguments": "{}"}}),
        ),
        (
            'S',
            json!({"type": "response.completed", "response": {"id": "resp_1", "model": "gpt-5.1", "status": "completed", "usage": usage(1000, 0, 10)}}),
        ),
        (
            'C',
            json!({"type": "response.create", "model": "gpt-5.1", "previous_response_id": "resp_1", "tools": tools, "input": [{"type": "function_call_output", "call_id": "call_9f8e7d6c5b4a", "output": "src"}]}),
        ),
        ('S', json!({"type": "response.created", "response": {"id": "resp_2", "model": "gpt-5.1"}})),
        ('S', json!({"type": "response.output_text.delta", "delta": "There is src."})),
        (
            'S',
            json!({"type": "response.completed", "response": {"id": "resp_2", "model": "gpt-5.1", "status": "completed", "usage": usage(1200, 1024, 20)}}),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_response_is_reported_when_it_ends_and_the_log_line_sums_up_the_connection() {
    let gateway = Gateway::start(json!({})).await;
    let mut ends = gateway.open("/v1/responses", "x-request-id: 6f1f2f7c-31c5-4bd1-b88b-8cf4a2f6a3a1\r\n").await;
    assert!(ends.request.starts_with("GET /v1/responses HTTP/1.1\r\n"));
    let open = |samples: &[Sample]| total(samples, "gaugeway_websocket_sessions", &[]);
    gateway.envoy.samples_when(|samples| open(samples) == 1.0, PATIENCE).await;
    ends.run(&responses()).await;

    // The connection is still open.
    let spans = gateway.spans_of(4).await;
    let calls: Vec<_> = spans.iter().filter(|span| span.name == "chat gpt-5.1").collect();
    let int = |span: &Span, key: &str| match span.attributes.get(key) {
        Some(Attribute::Int(value)) => *value,
        other => panic!("{key}: {other:?}"),
    };
    let tokens: Vec<_> = calls
        .iter()
        .map(|span| (int(span, "gen_ai.usage.input_tokens"), int(span, "gen_ai.usage.output_tokens")))
        .collect();
    assert_eq!(tokens, [(1000, 10), (1200, 20)], "{spans:#?}");
    assert_eq!(calls[0].trace_id, calls[1].trace_id, "a run is one trace");
    assert!(spans.iter().any(|span| span.name == "execute_tool ls"), "{spans:#?}");
    assert!(spans.iter().any(|span| span.name == "invoke_agent"), "{spans:#?}");
    let samples =
        gateway.envoy.samples_when(|samples| total(samples, "gaugeway_requests_total", &[]) == 2.0, PATIENCE).await;
    let sum = |name: &str| total(&samples, name, &[]);
    assert_eq!((sum("gaugeway_input_tokens_total"), sum("gaugeway_output_tokens_total")), (2200.0, 30.0));
    assert_eq!((sum("gaugeway_cache_read_tokens_total"), sum("gaugeway_tool_calls_total")), (1024.0, 1.0));
    assert_eq!((sum("gaugeway_agent_runs_total"), open(&samples)), (1.0, 1.0));
    let cost = sum("gaugeway_cost_nanousd_total");
    assert!(cost > 0.0);

    let Ends { mut client, mut server, .. } = ends;
    for (side, from, to) in [('C', &mut client, &mut server)] {
        let close = frame(side, 0x88, &1000_u16.to_be_bytes());
        from.write_all(&close).await.unwrap();
        to.read_exact(&mut vec![0; close.len()]).await.unwrap();
    }
    drop((client, server));
    let entries = gateway.envoy.entries_of(1, PATIENCE).await;
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((&entry["response_code"], &entry["gaugeway.outcome"]), (&json!(101), &json!("completed")), "{entry}");
    assert_eq!(entry["gen_ai.usage.input_tokens"], "2200", "{entry}");
    assert_eq!(entry["gen_ai.usage.output_tokens"], "30", "{entry}");
    let logged: f64 = entry["gaugeway.cost.usd"].as_str().unwrap().parse().unwrap();
    assert!((logged * 1e9 - cost).abs() < 1.0, "{entry}");
    let samples = gateway.envoy.samples_when(|samples| open(samples) == 0.0, PATIENCE).await;
    assert_eq!((open(&samples), total(&samples, "gaugeway_requests_total", &[])), (0.0, 2.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speech_has_its_own_tokens_and_its_transcription_another_model() {
    let gateway = Gateway::start(json!({})).await;
    let mut ends = gateway.open("/v1/realtime?model=gpt-realtime", "").await;
    let transcription = json!({"type": "tokens", "input_tokens": 14, "output_tokens": 6, "total_tokens": 20, "input_token_details": {"audio_tokens": 14, "text_tokens": 0}});
    let usage = json!({"total_tokens": 230, "input_tokens": 130, "output_tokens": 100, "input_token_details": {"text_tokens": 100, "audio_tokens": 30, "cached_tokens": 64, "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0}}, "output_token_details": {"text_tokens": 20, "audio_tokens": 80}});
    ends.run(&[
        ('S', json!({"type": "session.created", "session": {"id": "sess_1", "model": "gpt-realtime", "audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}}}})),
        ('C', json!({"type": "input_audio_buffer.append", "audio": "A".repeat(300_000)})),
        ('S', json!({"type": "input_audio_buffer.speech_stopped", "item_id": "item_1"})),
        ('S', json!({"type": "response.created", "response": {"id": "resp_a"}})),
        ('S', json!({"type": "conversation.item.input_audio_transcription.completed", "item_id": "item_1", "transcript": "hello", "usage": transcription})),
        ('S', json!({"type": "response.output_audio.delta", "response_id": "resp_a", "delta": "A".repeat(100_000)})),
        ('S', json!({"type": "response.done", "response": {"id": "resp_a", "status": "completed", "usage": usage}})),
    ])
    .await;
    let spans = gateway.spans_of(2).await;
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["transcription gpt-4o-mini-transcribe", "chat gpt-realtime"]);
    let whole = |name: &str| spans[1].attributes.get(name).map(Attribute::to_string);
    for (name, value) in [
        ("gen_ai.usage.input_tokens", "130"),
        ("gen_ai.usage.output_tokens", "100"),
        ("gen_ai.usage.cache_read.input_tokens", "64"),
        ("gen_ai.usage.audio.input_tokens", "30"),
        ("gen_ai.usage.audio.output_tokens", "80"),
        ("gen_ai.usage.text.cache_read.input_tokens", "64"),
        ("gaugeway.cost.status", "priced"),
    ] {
        assert_eq!(whole(name).as_deref(), Some(value), "{name}: {:?}", spans[1]);
    }
    assert!(spans[1].attributes.contains_key("gaugeway.time_to_first_token"));
    drop(ends);
    let entries = gateway.envoy.entries_of(1, PATIENCE).await;
    let says = |key: &str| entries[0][key].as_str().unwrap_or_default().to_owned();
    assert_eq!((says("gaugeway.websocket.responses"), says("gen_ai.usage.input_tokens")), ("2".into(), "144".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_ends_the_response_and_one_without_a_response_reports_none() {
    let gateway = Gateway::start(json!({})).await;
    let mut ends = gateway.open("/v1/responses", "").await;
    ends.run(&responses()[..2]).await;
    drop(ends);
    let entries = gateway.envoy.entries_of(1, PATIENCE).await;
    assert_eq!(entries[0]["gaugeway.outcome"], "client_disconnect", "{entries:?}");
    let mut ends = gateway.open("/v1/responses", "").await;
    ends.run(&responses()[..1]).await;
    ends.server.set_zero_linger().unwrap();
    drop(ends.server);
    let mut rest = Vec::new();
    let _ = ends.client.read_to_end(&mut rest).await;
    drop(ends.client);
    gateway.envoy.entries_of(2, PATIENCE).await;
    drop(gateway.open("/v1/responses", "").await);
    gateway.envoy.entries_of(3, PATIENCE).await;
    let samples = gateway.envoy.samples().await;
    for (outcome, count) in [("client_disconnect", 1.0), ("upstream_reset", 1.0)] {
        assert_eq!(total(&samples, "gaugeway_requests_total", &[("outcome", outcome)]), count, "{outcome}");
    }
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_refuses_the_websocket_is_an_ordinary_error() {
    let gateway = Gateway::start(json!({})).await;
    let body = r#"{"error":{"type":"invalid_request_error","code":"invalid_api_key","message":"no"}}"#;
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut ends = gateway.ask("/v1/responses", "", &answer).await;
    assert!(read_head(&mut ends.client).await.starts_with("HTTP/1.1 401 "));
    let mut arrived = vec![0; length];
    ends.client.read_exact(&mut arrived).await.unwrap();
    assert_eq!(arrived, body.as_bytes());
    drop(ends);
    let entries = gateway.envoy.entries_of(1, PATIENCE).await;
    let of_error = (&entries[0]["gaugeway.outcome"], &entries[0]["error.type"]);
    assert_eq!(of_error, (&json!("error"), &json!("invalid_api_key")), "{entries:?}");
    let samples = gateway.envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("error_type", "invalid_api_key")]), 1.0);
    assert_eq!(total(&samples, "gaugeway_websocket_sessions", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_counted_and_passes_unchanged() {
    let gateway = Gateway::start(json!({})).await;
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-extensions: x-secret\r\n\r\n";
    let mut ends = gateway.ask("/v1/responses", "sec-websocket-extensions: x-secret\r\n", answer).await;
    assert!(ends.request.contains("sec-websocket-extensions: x-secret\r\n"), "the request has changed");
    assert!(read_head(&mut ends.client).await.starts_with("HTTP/1.1 101 "));
    ends.run(&responses()).await;
    // The first frame of this connection is malformed: all of its reserved bits are set.
    let mut broken = gateway.open("/v1/responses", "").await;
    let bytes = frame('C', 0xf1, b"{}");
    broken.client.write_all(&bytes).await.unwrap();
    let mut arrived = vec![0; bytes.len()];
    broken.server.read_exact(&mut arrived).await.unwrap();
    assert_eq!(arrived, bytes);
    broken.run(&responses()).await;
    // A WebSocket that is no LLM traffic.
    let mut other = gateway.open("/chat/room", "").await;
    other.run(&responses()).await;
    drop((ends, broken, other));
    gateway.envoy.entries_of(3, PATIENCE).await;
    let samples = gateway.envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_unread_requests_total", &[("kind", "websocket")]), 2.0);
    assert_eq!(total(&samples, "gaugeway_unread_requests_total", &[]), 2.0);
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_removes_the_extensions_of_llm_apis_only() {
    let gateway = Gateway::start(json!({"websocket": {"plain_frames": true}})).await;
    let lines = "sec-websocket-extensions: permessage-deflate\r\n";
    for (path, is_removed) in [("/v1/responses", true), ("/v1/realtime?model=m", true), ("/chat/room", false)] {
        let ends = gateway.open(path, lines).await;
        assert_eq!(!ends.request.contains("sec-websocket-extensions"), is_removed, "{path}: {}", ends.request);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_of_a_cluster_reads_websockets_too() {
    let gateway = Gateway::in_the_cluster().await;
    let mut ends = gateway.open("/v1/responses", "").await;
    ends.run(&responses()).await;
    let sum = |samples: &[Sample], name: &str| total(samples, name, &[]);
    let samples = gateway.envoy.samples_when(|samples| sum(samples, "gaugeway_requests_total") == 2.0, PATIENCE).await;
    assert_eq!(sum(&samples, "gaugeway_input_tokens_total"), 2200.0);
    assert_eq!(sum(&samples, "gaugeway_websocket_sessions"), 1.0);
    drop(ends);
    let entries = gateway.envoy.entries_of(1, PATIENCE).await;
    assert_eq!(entries[0]["gen_ai.usage.input_tokens"], "2200", "{entries:?}");
    let samples =
        gateway.envoy.samples_when(|samples| sum(samples, "gaugeway_websocket_sessions") == 0.0, PATIENCE).await;
    assert_eq!((sum(&samples, "gaugeway_websocket_sessions"), sum(&samples, "gaugeway_requests_total")), (0.0, 2.0));
}
