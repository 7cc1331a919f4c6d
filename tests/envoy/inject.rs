//! `stream_usage.inject` in a real Envoy: the plugin asks for usage if the client did not, the client's response is as
//! without it, and the next request on the connection is intact. If Envoy cannot hold headers, every call passes
//! unchanged.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::client::{self, Http, Made, Raw};
use crate::support::envoy::{self, Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(20);
/// Its upstream sends usage, as OpenAI does when a request asks for it.
const STREAM: &str = "openai-chat/stream-include-usage";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_requested_from_the_provider_and_hidden_from_the_client() {
    let (mut silent, asking) = (Fixture::load(STREAM), Fixture::load(STREAM));
    silent.request.body = without_options(&asking.request.body);
    let upstream = Upstream::start(vec![asking.clone()]).await;
    let envoy = Envoy::start(&injecting(&upstream, true)).await;
    let unseen = unasked(&asking.response.body);
    assert_ne!(unseen, asking.response.body);
    let mut calls = 0.0;
    for http in [Http::One, Http::Two] {
        for travel in ["whole", "cut=1", "cut=7", "events", "chunked trailers"] {
            let id = client::request_id();
            let extra = [("x-request-id", id.as_str()), ("x-upstream", travel), ("accept-encoding", "gzip, br")];
            let reply = client::send(envoy.addr, client::request(&silent, &extra), http).await.unwrap();
            assert_eq!((reply.status, reply.broken), (200, None), "{http:?} {travel}");
            assert_eq!(text(&reply.body), text(&unseen), "{http:?} {travel}");
            let received = upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
            assert_eq!(received.headers["content-length"], received.body.len().to_string());
            assert_eq!(received.headers["accept-encoding"], "identity");
            let mut body: Value = serde_json::from_slice(&received.body).unwrap();
            assert_eq!(body["stream_options"], json!({"include_usage": true}));
            body.as_object_mut().unwrap().remove("stream_options");
            assert_eq!(body, serde_json::from_slice::<Value>(&silent.request.body).unwrap());
            let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
            assert_eq!(entry["gen_ai.usage.output_tokens"], "8", "{entry}");
            assert_eq!(entry["gaugeway.outcome"], "completed", "{entry}");
            calls += 1.0;
        }
    }

    // A client that asks for usage gets it. A request that is ambiguous or too large to hold is not changed.
    let mut large = silent.clone();
    large.request.body = Bytes::from(format!("{{\"stream\":true,\"messages\":[],\"a\":\"{}\"}}", "a".repeat(300_000)));
    let mut declined = silent.clone();
    declined.request.body = r#"{"stream":true,"messages":[],"stream_options":{"include_usage":false}}"#.into();
    let mut signed = silent.clone();
    signed.request.headers.push(("content-digest".to_owned(), "sha-256=:x:".to_owned()));
    for fixture in [&asking, &large, &declined, &signed] {
        let id = client::request_id();
        let reply = client::replay(envoy.addr, fixture, &[("x-request-id", &id), ("x-upstream", "whole")]).await;
        assert_eq!(reply.body, asking.response.body);
        let received = upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
        assert_eq!(received.body, fixture.request.body);
        calls += 1.0;
    }
    let id = client::request_id();
    let (mut head, body) = client::request(&silent, &[("x-request-id", &id), ("x-upstream", "whole")]).into_parts();
    head.headers.remove("content-length");
    let frames = Made([Frame::data(body.collect().await.unwrap().to_bytes())].into_iter());
    let reply = client::send(envoy.addr, Request::from_parts(head, frames), Http::One).await.unwrap();
    assert_eq!(reply.body, asking.response.body, "a chunked request without a known length must not be changed");

    assert_eq!(total(&envoy.samples().await, "gaugeway_requests_total", &[("outcome", "completed")]), calls + 1.0);
    assert!(!envoy.log().contains("gaugeway"), "{}", envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_request_on_the_same_upstream_connection_is_intact() {
    let seen = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let all = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let all = Arc::clone(&all);
            let connection = all.lock().unwrap().len();
            all.lock().unwrap().push(Vec::new());
            tokio::spawn(async move {
                let (mut answered, mut buffer) = (0, [0; 65_536]);
                while let Ok(size @ 1..) = stream.read(&mut buffer).await {
                    let whole = {
                        let mut all = all.lock().unwrap();
                        all[connection].extend_from_slice(&buffer[..size]);
                        requests(&all[connection]).0.len()
                    };
                    while answered < whole {
                        answered += 1;
                        let body = "data: [DONE]\n\n";
                        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 14\r\n\r\n";
                        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    let upstream = Upstream::start(Vec::new()).await;
    let config = json!({"stream_usage": {"inject": true, "max_held_bytes": 262_144}});
    let envoy = Envoy::start(&Options { upstream: addr, config, ..injecting(&upstream, true) }).await;
    let request = |name: &str, pad: usize| {
        let body = format!("{{\"stream\":true,\"model\":\"{name}\",\"messages\":[],\"a\":\"{}\"}}", "x".repeat(pad));
        let head =
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ";
        format!("{head}{}\r\n\r\n{body}", body.len())
    };
    let get = "GET /after HTTP/1.1\r\nhost: a\r\n\r\n".to_owned();
    let calls = [request("one", 0), get.clone(), request("two", 100_000), request("three", 1), get];
    let mut raw = Raw::send(envoy.addr, b"").await.unwrap();
    for call in &calls {
        // Sends the request in two writes, so that the body arrives in parts.
        let (head, tail) = call.as_bytes().split_at(call.len() - 9);
        raw.write(head).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        raw.write(tail).await.unwrap();
        assert!(raw.read_until(b"data: [DONE]\n\n").await.unwrap());
        raw.read.clear();
    }
    let seen = seen.lock().unwrap();
    let (mut arrived, mut left) = (Vec::new(), 0);
    for connection in seen.iter() {
        let (requests, rest) = requests(connection);
        arrived.extend(requests);
        left += rest;
    }
    assert_eq!(left, 0, "the connection has bytes that belong to no request");
    let lines: Vec<_> = arrived.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "POST /v1/chat/completions",
            "GET /after",
            "POST /v1/chat/completions",
            "POST /v1/chat/completions",
            "GET /after"
        ]
    );
    for ((_, body), (name, pad)) in
        arrived.iter().filter(|(_, body)| !body.is_empty()).zip([("one", 0), ("two", 100_000), ("three", 1)])
    {
        let body: Value = serde_json::from_slice(body).expect("the request body is not a whole JSON document");
        assert_eq!(body["model"], name);
        assert_eq!(body["a"].as_str().unwrap().len(), pad);
        assert_eq!(body["stream_options"]["include_usage"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_allow_on_headers_stop_iteration_requests_pass_unchanged() {
    let (mut silent, asking) = (Fixture::load(STREAM), Fixture::load(STREAM));
    silent.request.body = without_options(&asking.request.body);
    let upstream = Upstream::start(vec![asking.clone()]).await;
    let envoy = Envoy::start(&injecting(&upstream, false)).await;
    let call = async || {
        let id = client::request_id();
        let reply = client::replay(envoy.addr, &silent, &[("x-request-id", &id), ("x-upstream", "whole")]).await;
        assert_eq!((reply.status, &reply.body), (200, &asking.response.body));
        let received = upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
        assert_eq!(received.body, silent.request.body);
        assert_eq!(received.headers["content-length"], silent.request.body.len().to_string());
    };
    // On a busy machine a call may not show it.
    let mut calls = 0;
    while !envoy.log().contains("stream_usage.inject does nothing") {
        assert!(calls < 20, "{}", envoy.log());
        call().await;
        calls += 1;
    }
    assert!(calls >= 3, "{calls}");
    for _ in 0..20 {
        call().await;
    }
    let samples = envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("outcome", "completed")]), f64::from(calls + 20));
}

fn injecting(upstream: &Upstream, able: bool) -> Options {
    let mut options = Options { config: json!({"stream_usage": {"inject": true}}), ..Options::to(upstream.addr) };
    if able {
        options.replace.push(envoy::holding_requests());
    }
    options
}

fn without_options(body: &[u8]) -> Bytes {
    text(body).replace(r#","stream_options":{"include_usage":true}"#, "").into()
}

/// The response of a provider that was not asked for usage.
fn unasked(answer: &[u8]) -> Bytes {
    let events = text(answer);
    let events = events.split_inclusive("\n\n").filter(|event| !event.contains(r#""choices":[],"usage":{"#));
    events.collect::<String>().replace(r#","usage":null"#, "").into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Parses the bytes of a connection into whole requests (method with path, and body) and returns the number of bytes
/// left over.
fn requests(mut bytes: &[u8]) -> (Vec<(String, Vec<u8>)>, usize) {
    let mut found = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0_usize);
        assert!(!head.contains("transfer-encoding"), "{head}");
        let Some(body) = bytes.get(end + 4..end + 4 + length) else { break };
        let line: Vec<_> = head.split(' ').take(2).map(str::to_owned).collect();
        found.push((format!("{} {}", line[0].to_uppercase(), line[1]), body.to_vec()));
        bytes = &bytes[end + 4 + length..];
    }
    (found, bytes.len())
}
