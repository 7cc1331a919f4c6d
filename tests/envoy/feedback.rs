//! `feedback.path` in a real Envoy: the plugin answers feedback itself, scores are attributed to the requested
//! model even if the other worker saw the answer, and invalid feedback is rejected and not counted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::agent::to_both_workers;
use crate::support::client::{self, Http, Made, Raw};
use crate::support::envoy::{self, Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Frame;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);
const PATH: &str = "/feedback";
const SECRET: &str = "correct-horse-battery";
const BEARER: &str = "Bearer correct-horse-battery";
const SCORES: &str = "gaugeway_feedback_permille";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_score_counts_once_for_the_requested_model_on_any_worker() {
    let site = Site::start(true, 2).await;
    let mut lines = to_both_workers(&site.envoy).await;
    let cases =
        [("gpt-4o", "whole", 250, 0, 1), ("gpt-4o", "cut=7", 750, 1, 0), ("claude-sonnet-4", "whole", 1000, 0, 0)];
    for (number, (model, travel, permille, answered, told)) in cases.into_iter().enumerate() {
        let case = fixture(number, model);
        let call = client::request(&case, &[("x-upstream", travel)]);
        assert_eq!(lines[answered].send(call).await.0, 200);
        let body =
            json!({"response_id": format!("answer-{number}"), "score": f64::from(permille) / 1000.0}).to_string();
        let feedback = || {
            let request = to(Full::from(body.clone()));
            let (mut head, body) = request.into_parts();
            head.uri = format!("{PATH}?from=app").parse().unwrap();
            Request::from_parts(head, body)
        };
        assert_eq!(lines[told].send(feedback()).await, (204, Bytes::new()));
        for line in &mut lines {
            let (status, words) = line.send(feedback()).await;
            assert_eq!(status, 404, "a second score for the same response must be refused: {words:?}");
        }
    }
    let scores = |samples: &[Sample], model, part| {
        total(samples, &format!("{SCORES}_{part}"), &[("gen_ai_request_model", model)])
    };
    let all = |samples: &[Sample]| total(samples, &format!("{SCORES}_count"), &[]) == 3.0;
    let samples = site.envoy.samples_when(all, PATIENCE).await;
    assert_eq!(["gpt-4o", "claude-sonnet-4"].map(|model| scores(&samples, model, "count")), [2.0, 1.0]);
    for (model, sum) in [("gpt-4o", 1000.0), ("claude-sonnet-4", 1000.0)] {
        let found = scores(&samples, model, "sum");
        assert!((found / sum - 1.0).abs() < 0.06, "{model}: {found}");
    }
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), 3.0, "feedback must not be counted as an LLM call");
    assert_eq!(total(&samples, "envoy_cluster_upstream_rq_total", &[("envoy_cluster_name", "llm")]), 3.0);
    let told = site.envoy.entries_of(12, PATIENCE).await;
    let own = told.iter().filter(|entry| entry["response_code_details"] == "gaugeway_feedback");
    assert_eq!(own.count(), 9, "{told:?}");
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_feedback_is_rejected_and_not_counted() {
    let site = Site::start(true, 1).await;
    let known = fixture(0, "gpt-4o");
    client::replay(site.envoy.addr, &known, &[]).await;
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let long = |length: usize| json!({"response_id": "a".repeat(length - 30), "score": 0.5}).to_string();
    let bodies: Vec<(Vec<u8>, u16)> = [
        ("{\"response_id\":\"nobody\",\"score\":0.5}".to_owned(), 404),
        ("{\"response_id\":\"\\u0000answer-0\",\"score\":0.5}".to_owned(), 404),
        (long(4096), 404),
        (long(4097), 413),
        (long(3_000_000), 413),
        ("no".to_owned(), 400),
        ("{\"response_id\":\"answer-0\",\"score\":".to_owned(), 400),
        ("{\"response_id\":\"answer-0\",\"score\":1.5}".to_owned(), 400),
        ("{\"response_id\":\"answer-0\",\"score\":1e999}".to_owned(), 400),
        ("{\"response_id\":\"answer-0\",\"score\":NaN}".to_owned(), 400),
        ("{\"response_id\":\"answer-0\",\"score\":true}".to_owned(), 400),
        ("{\"response_id\":[\"answer-0\"],\"score\":1}".to_owned(), 400),
        ("{\"response_id\":\"answer-0\",\"score\":1,\"comment\":\"x\"}".to_owned(), 400),
        ("{\"response_id\":\"answer-0\",\"score\":1}{}".to_owned(), 400),
        (deep(1000), 400),
        (format!("{{\"response_id\":{},\"score\":1}}", deep(1000)), 400),
        ("[".repeat(4096), 400),
        (String::new(), 400),
    ]
    .into_iter()
    .map(|(body, status)| (body.into_bytes(), status))
    .chain([(b"\xff\xfe\0{}".to_vec(), 400), (b"{\"response_id\":\"\xc3\x28\",\"score\":1}".to_vec(), 400)])
    .collect();
    for (body, status) in &bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        for chunked in [false, true] {
            assert_eq!(site.raw(&raw(body, chunked)).await, *status, "chunked: {chunked}; {shown}");
        }
        let pieces: Vec<_> = body.chunks(5000).map(|piece| Frame::data(Bytes::copy_from_slice(piece))).collect();
        let reply = client::send(site.envoy.addr, to(Made(pieces.into_iter())), Http::Two).await;
        // The server may reset the stream before the whole body is sent.
        assert!(reply.is_ok_and(|reply| reply.status == *status) || body.len() > 4096, "{shown}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let request = Request::builder().method(&method).uri(PATH).header(HOST, "llm").header(AUTHORIZATION, BEARER);
        let reply = client::send(site.envoy.addr, request.body(Full::from("{}")).unwrap(), Http::One).await.unwrap();
        assert_eq!(reply.status, 405, "{method}");
    }
    let trailers = HeaderMap::from_iter([("x-end".parse().unwrap(), HeaderValue::from_static("1"))]);
    let good = json!({"response_id": "answer-0", "score": 0.5}).to_string();
    let frames = [Frame::data(Bytes::from(good.clone())), Frame::trailers(trailers)].into_iter();
    assert_eq!(client::send(site.envoy.addr, to(Made(frames)), Http::Two).await.unwrap().status, 400);

    // A client that disconnects in the middle has no effect. A slow client is waited for.
    for _ in 0..20 {
        let half = raw(good.as_bytes(), false);
        drop(Raw::send(site.envoy.addr, &half[..half.len() - 5]).await.unwrap());
        Raw::send(site.envoy.addr, &half[..half.len() - good.len()]).await.unwrap().reset().unwrap();
    }
    let whole = raw(good.as_bytes(), false);
    let (head, body) = whole.split_at(whole.len() - good.len());
    let mut slow = Raw::send(site.envoy.addr, head).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2600)).await;
    for piece in body.chunks(13) {
        slow.write(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(slow.read_until(b"\r\n\r\n").await.unwrap());
    assert_eq!(status(&slow.read), 204, "{}", String::from_utf8_lossy(&slow.read));

    let samples =
        site.envoy.samples_when(|samples| total(samples, &format!("{SCORES}_count"), &[]) > 0.0, PATIENCE).await;
    assert_eq!(total(&samples, &format!("{SCORES}_count"), &[]), 1.0);
    assert_eq!(total(&samples, "envoy_cluster_upstream_rq_total", &[("envoy_cluster_name", "llm")]), 1.0);
    assert!(samples.iter().all(|sample| !sample.name.contains("vm_reload") || sample.value == 0.0), "{samples:?}");
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envoy_that_cannot_hold_headers_answers_feedback_with_an_error_and_other_calls_work() {
    let site = Site::start(false, 1).await;
    let case = fixture(0, "gpt-4o");
    let start = Instant::now();
    let good = json!({"response_id": "answer-0", "score": 0.5}).to_string();
    let mut held = Vec::new();
    for body in [good.clone(), "x".repeat(3_000_000)] {
        let mut raw = Raw::send(site.envoy.addr, b"").await.unwrap();
        held.push(tokio::spawn(async move {
            // The rest of a large body is never read.
            let bytes = self::raw(body.as_bytes(), false);
            drop(tokio::time::timeout(Duration::from_millis(200), raw.write(&bytes)).await);
            assert!(raw.read_until(b"allow_on_headers_stop_iteration: true").await.unwrap());
            status(&raw.read)
        }));
    }
    let mut calls = 0.0;
    while held.iter().any(|one| !one.is_finished()) {
        let reply = client::replay(site.envoy.addr, &case, &[]).await;
        assert_eq!((reply.status, reply.body), (200, case.response.body.clone()));
        calls += 1.0;
        assert!(start.elapsed() < Duration::from_secs(10), "there was no response within 10 seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(start.elapsed() < Duration::from_millis(3500), "{:?}", start.elapsed());
    for one in held {
        assert_eq!(one.await.unwrap(), 500);
    }
    assert_eq!(site.raw(&raw(b"", false)).await, 400, "a request without a body must get 400");
    let samples = site.envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("outcome", "completed")]), calls);
    assert_eq!(total(&samples, "envoy_cluster_upstream_rq_total", &[("envoy_cluster_name", "llm")]), calls);
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feedback_without_the_secret_or_of_another_content_type_is_refused_and_the_secret_is_not_logged() {
    let site = Site::start(true, 1).await;
    client::replay(site.envoy.addr, &fixture(0, "gpt-4o"), &[]).await;
    let good = json!({"response_id": "answer-0", "score": 0.5}).to_string();
    let send = async |headers: &[(&str, &str)], method: Method| {
        let mut request = Request::builder().method(method).uri(PATH).header(HOST, "llm");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client::send(site.envoy.addr, request.body(Full::from(good.clone())).unwrap(), Http::One).await.unwrap()
    };
    let json = ("content-type", "application/json");
    // What a page of another origin can send without the gateway's consent.
    let simple = ("content-type", "text/plain");
    let wrong = ["Bearer correct-horse-batterX", "Bearer correct-horse-batter", "Basic x", SECRET, "Bearer", ""];
    for (headers, method) in
        [(vec![simple], Method::POST), (vec![json], Method::POST), (vec![json], Method::GET), (vec![], Method::OPTIONS)]
            .into_iter()
            .chain(wrong.map(|value| (vec![json, ("authorization", value)], Method::POST)))
    {
        let reply = send(&headers, method).await;
        assert_eq!(reply.status, 401, "{headers:?}");
        assert_eq!(reply.headers[WWW_AUTHENTICATE], "Bearer");
        assert!(!String::from_utf8_lossy(&reply.body).contains("horse"));
    }
    let right = ("authorization", BEARER);
    for other in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonx"] {
        assert_eq!(send(&[right, ("content-type", other)], Method::POST).await.status, 415, "{other}");
    }
    assert_eq!(send(&[right], Method::POST).await.status, 415);
    let scores = total(&site.envoy.samples().await, &format!("{SCORES}_count"), &[]);
    assert_eq!(scores, 0.0, "a refused request must not be counted");
    assert_eq!(send(&[right, json], Method::POST).await.status, 204);
    assert!(!site.envoy.log().contains("horse") && !site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_slow_on_a_new_worker_is_not_told_that_the_host_cannot_hold_headers() {
    let site = Site::start(true, 1).await;
    client::replay(site.envoy.addr, &fixture(0, "gpt-4o"), &[]).await;
    let good = json!({"response_id": "answer-0", "score": 0.5}).to_string();
    let whole = raw(good.as_bytes(), false);
    let (head, body) = whole.split_at(whole.len() - good.len());
    let mut slow = Raw::send(site.envoy.addr, head).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3500)).await;
    slow.write(body).await.unwrap();
    assert!(slow.read_until(b"\r\n\r\n").await.unwrap());
    assert_eq!(status(&slow.read), 204, "{}", String::from_utf8_lossy(&slow.read));
}

struct Site {
    _upstream: Upstream,
    envoy: Envoy,
}

impl Site {
    async fn start(able: bool, concurrency: u32) -> Self {
        let fixtures = ["gpt-4o", "gpt-4o", "claude-sonnet-4"].into_iter().enumerate();
        let upstream = Upstream::start(fixtures.map(|(number, model)| fixture(number, model)).collect()).await;
        let config = json!({"feedback": {"path": PATH, "secret": SECRET, "slots": 1024}});
        let mut options = Options { config, concurrency, ..Options::to(upstream.addr) };
        if able {
            options.replace.push(envoy::holding_requests());
        }
        Self { envoy: Envoy::start(&options).await, _upstream: upstream }
    }

    /// Returns the status of the response to these raw bytes.
    async fn raw(&self, bytes: &[u8]) -> u16 {
        raw_status(self.envoy.addr, bytes).await
    }
}

async fn raw_status(addr: SocketAddr, bytes: &[u8]) -> u16 {
    let mut raw = Raw::send(addr, b"").await.unwrap();
    // Envoy may answer and close the connection before all bytes are sent.
    drop(tokio::time::timeout(Duration::from_millis(500), raw.write(bytes)).await);
    drop(tokio::time::timeout(PATIENCE, raw.read_until(b"\r\n\r\n")).await);
    status(&raw.read)
}

fn status(answer: &[u8]) -> u16 {
    String::from_utf8_lossy(answer).split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn raw(body: &[u8], chunked: bool) -> Vec<u8> {
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: llm\r\nauthorization: {BEARER}\r\n");
    let mut out = format!("{head}content-type: application/json\r\n").into_bytes();
    if !chunked {
        out.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
        out.extend_from_slice(body);
        return out;
    }
    out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    for piece in body.chunks(1000) {
        out.extend([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn to<B>(body: B) -> Request<B> {
    let request = Request::post(PATH).header(HOST, "llm").header(AUTHORIZATION, BEARER);
    request.header(CONTENT_TYPE, "application/json; charset=utf-8").body(body).unwrap()
}

/// An exchange whose request and response name `model`.
fn fixture(number: usize, model: &str) -> Fixture {
    let mut fixture = Fixture::load("openai-chat/unary");
    let answer = json!({
        "id": format!("answer-{number}"), "object": "chat.completion", "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    });
    fixture.id = format!("made/{number}");
    fixture.request.body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]}).to_string().into();
    fixture.response.body = answer.to_string().into();
    fixture.response.events = vec![fixture.response.body.clone()];
    fixture
}
