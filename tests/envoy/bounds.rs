//! Bodies of any size and any number of calls pass through a real Envoy while the plugin's memory stays constant.

use std::time::Duration;

use crate::support::client::{self, Http, Made};
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use bytes::Bytes;
use hyper::Request;
use hyper::body::Frame;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(20);
const BIG: usize = 64 << 20;
/// Growth that Envoy's own buffers and allocator may cause, in bytes.
const SLACK: u64 = 6 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_responses_of_64_mib_are_read_to_the_end_in_constant_memory() {
    let upstream = Upstream::start(Fixture::all()).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    let calls = async || {
        big_answer(&envoy, "openai-chat/unary").await;
        big_answer(&envoy, "openai-responses/stream-text").await;
        big_request(&envoy, &upstream).await;
    };
    calls().await;
    let before = envoy.resident();
    for _ in 0..3 {
        calls().await;
    }
    let grown = envoy.resident().saturating_sub(before);
    assert!(grown < SLACK, "nine bodies of 64 MiB grew the resident memory of {before} bytes by {grown} bytes");
    let samples = envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("outcome", "completed")]), 12.0);
    assert_eq!(total(&samples, "gaugeway_parse_errors_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_calls_do_not_grow_memory_and_are_each_counted_once() {
    let fixtures: Vec<_> =
        ["openai-chat/stream-tool-calls-in-fragments", "anthropic-messages/stream-thinking-text-tool-use"]
            .map(Fixture::load)
            .into_iter()
            .map(|mut fixture| {
                fixture.response.gap = Duration::ZERO;
                fixture
            })
            .collect();
    let upstream = Upstream::start(fixtures.clone()).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    let calls = async |count: usize| {
        let mut clients = JoinSet::new();
        for _ in 0..5 {
            let (addr, fixtures) = (envoy.addr, fixtures.clone());
            clients.spawn(async move {
                for number in 0..count / 5 {
                    let fixture = &fixtures[number % fixtures.len()];
                    // Every tenth client disconnects in the middle of the response.
                    let request =
                        client::request(fixture, &[("x-upstream", if number % 10 == 0 { "gap=1" } else { "whole" })]);
                    if number % 10 == 0 {
                        drop(client::open(addr, request, Http::One).await.unwrap());
                    } else {
                        assert_eq!(client::send(addr, request, Http::One).await.unwrap().body, fixture.response.body);
                    }
                }
            });
        }
        clients.join_all().await;
    };
    calls(1000).await;
    let before = envoy.resident();
    calls(3000).await;
    let grown = envoy.resident().saturating_sub(before);
    assert!(grown < SLACK, "3,000 calls grew the resident memory of {before} bytes by {grown} bytes");
    let counted = |samples: &[_]| total(samples, "gaugeway_requests_total", &[]) == 4000.0;
    assert!(counted(&envoy.samples_when(counted, PATIENCE).await), "not every call was counted exactly once");
}

/// Sends a call with a large response. The usage of such a response follows its text.
async fn big_answer(envoy: &Envoy, fixture: &str) {
    let (fixture, id) = (Fixture::load(fixture), client::request_id());
    let request = client::request(&fixture, &[("x-request-id", &id), ("x-upstream", &format!("big={BIG}"))]);
    let reply = client::send(envoy.addr, request, Http::One).await.unwrap();
    assert_eq!((reply.status, reply.broken.as_deref()), (200, None));
    let text = reply.body.len() - reply.body.iter().rev().position(|byte| *byte == b'a').unwrap();
    assert!(reply.body.len() > BIG && text > BIG);
    let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
    assert_eq!(entry["gen_ai.usage.input_tokens"], "11", "{entry}");
    assert_eq!(entry["gen_ai.usage.output_tokens"], "22", "{entry}");
    assert_eq!(entry["gen_ai.response.model"], "gpt-4o-2024-08-06", "{entry}");
    assert_eq!(entry["gaugeway.outcome"], "completed", "{entry}");
    if fixture.api() == "openai-chat" {
        assert_eq!(entry["gaugeway.response.characters"], BIG.to_string(), "{entry}");
    }
}

/// Sends the history of a long agent run: very many messages, followed by the model name.
async fn big_request(envoy: &Envoy, upstream: &Upstream) {
    let (fixture, id) = (Fixture::load("openai-chat/unary"), client::request_id());
    let (mut head, _) = client::request(&fixture, &[("x-request-id", &id)]).into_parts();
    head.headers.remove("content-length");
    let message = json!({"role": "user", "content": "b".repeat(60 << 10)}).to_string();
    let message = Bytes::from(format!("{message},"));
    let count = BIG / message.len();
    let start = Bytes::from_static(b"{\"messages\":[");
    let end = Bytes::from(r#"{"role":"user","content":"the last one"}],"model":"gpt-4o"}"#);
    let frames = std::iter::once(start).chain(std::iter::repeat_n(message, count)).chain([end]).map(Frame::data);
    let sent = Request::from_parts(head, Made(frames));
    let reply = client::send(envoy.addr, sent, Http::One).await.unwrap();
    assert_eq!(reply.body, fixture.response.body);
    let received = upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
    let parsed: Value = serde_json::from_slice(&received.body).expect("the request body is not a whole JSON document");
    assert_eq!(parsed["messages"].as_array().unwrap().len(), count + 1);
    let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
    assert_eq!(entry["gaugeway.message_count"], (count + 1).to_string(), "{entry}");
    assert_eq!(entry["gen_ai.request.model"], "gpt-4o", "{entry}");
    let hash: String = Sha256::digest("the last one")[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(entry["gaugeway.prompt.hash"], hash, "{entry}");
}
