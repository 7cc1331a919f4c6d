//! Thousands of open streams with large state: the plugin's memory stays within `limits.stream_memory_bytes`, exchanges beyond
//! it pass unread and are counted, and other clients are still observed.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::client::{self, Http, Open};
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(60);
const UNARY: &str = "openai-chat/unary";
/// Number of streams that one client has open.
const STREAMS: usize = 2000;
/// Memory that the plugin may take besides its budget, in bytes: series, copies of bodies, gaps in the heap.
const SLACK: u64 = 12 << 20;
/// Circuit breakers for more streams than Envoy's default of 1,024.
const BREAKERS: &str = "\n    circuit_breakers: {thresholds: [{max_connections: 9000, max_requests: 9000, max_pending_requests: 9000}]}\n    load_assignment:\n      cluster_name: llm\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_open_streams_with_large_state_take_bounded_memory_and_other_clients_are_observed() {
    let (large, unary) = (large_state(), Fixture::load(UNARY));
    let upstream = Upstream::start(vec![large.clone(), unary.clone()]).await;
    let anchor = "\n    load_assignment:\n      cluster_name: llm\n".to_owned();
    let options = |plugin: bool, megabytes: u64| {
        Options {
        plugin,
        config: json!({"limits": {"stream_memory_bytes": megabytes << 20}}),
        replace: vec![
            (anchor.clone(), BREAKERS.to_owned()),
            (
                "stream_idle_timeout: 900s ".to_owned(),
                "use_remote_address: true\n          preserve_external_request_id: true\n          stream_idle_timeout: 900s ".to_owned(),
            ),
        ],
        ..Options::to(upstream.addr)
    }
    };
    let without = {
        let envoy = Envoy::start(&options(false, 256)).await;
        client::replay(envoy.addr, &unary, &[]).await;
        let before = envoy.resident();
        let open = flood(&envoy, &large).await;
        let grown = envoy.resident().saturating_sub(before);
        drop(open);
        grown
    };
    for megabytes in [16, 256] {
        let envoy = Envoy::start(&options(true, megabytes)).await;
        client::replay(envoy.addr, &unary, &[]).await;
        let before = envoy.resident();
        let open = flood(&envoy, &large).await;
        for _ in 0..20 {
            observed_from(&envoy, [127, 0, 0, 2], &unary).await;
        }
        let grown = envoy.resident().saturating_sub(before).saturating_sub(without);
        let bound = (megabytes << 20).min(STREAMS as u64 * (48 << 10)) + SLACK;
        println!("{megabytes} MiB: {STREAMS} streams added {grown} bytes to the {without} bytes of Envoy");
        assert!(grown < bound, "{megabytes} MiB: the plugin's memory grew by {grown} bytes");
        drop(open);
        let every = (STREAMS + 21) as f64;
        let counted = |samples: &[Sample]| requests(samples) + unread(samples) == every;
        let samples = envoy.samples_when(counted, PATIENCE).await;
        println!("{} requests, {} unread", requests(&samples), unread(&samples));
        assert!(counted(&samples), "{} calls were read and {} were not", requests(&samples), unread(&samples));
        assert_eq!(unread(&samples) > 0.0, megabytes == 16, "{} calls were not read", unread(&samples));
        let calls = total(&samples, "gaugeway_tool_calls_total", &[]);
        println!("{calls} calls of tools");
        assert!(megabytes == 16 || calls == STREAMS as f64 * 128.0, "{calls} calls of tools were counted");
        // The memory was released: the client's own calls are read again.
        observed_from(&envoy, [127, 0, 0, 1], &unary).await;
        let mut reloads = samples.iter().filter(|sample| sample.name.contains("vm_reload"));
        assert!(reloads.all(|sample| sample.value == 0.0), "the plugin crashed:\n{}", envoy.log());
    }
}

fn requests(samples: &[Sample]) -> f64 {
    total(samples, "gaugeway_requests_total", &[])
}

fn unread(samples: &[Sample]) -> f64 {
    total(samples, "gaugeway_unread_requests_total", &[("kind", "budget")])
}

/// A stream whose first event has 128 choices, each of which calls a tool.
fn large_state() -> Fixture {
    let mut fixture = Fixture::load("openai-chat/stream-include-usage");
    fixture.id = "large/state".to_owned();
    let name = |n: usize| format!("{n:0>64}");
    let call = |n: usize| json!([{"index": 0, "id": name(n), "function": {"name": name(n), "arguments": "{}"}}]);
    let choices: Vec<_> = (0..128)
        .map(|n| json!({"index": n, "delta": {"tool_calls": call(n)}, "finish_reason": "tool_calls"}))
        .collect();
    let event = json!({"id": "c", "model": "gpt-4o-mini", "choices": choices});
    fixture.response.events = vec![format!("data: {event}\n\n").into(), "data: [DONE]\n\n".into()];
    fixture.response.body = fixture.response.events.concat().into();
    fixture
}

/// Opens the streams, each up to its first event.
async fn flood(envoy: &Envoy, fixture: &Fixture) -> Vec<Open> {
    let mut clients = JoinSet::new();
    for client in 0..20 {
        let (addr, fixture) = (envoy.addr, fixture.clone());
        clients.spawn(async move {
            let mut open = Vec::new();
            for n in 0..STREAMS / 20 {
                // Envoy ignores the addresses that the client invents, because of `use_remote_address`.
                open.push(stream(addr, &fixture, &format!("10.{client}.0.{n}")).await);
            }
            open
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

async fn stream(addr: SocketAddr, fixture: &Fixture, forged: &str) -> Open {
    let request = client::request(fixture, &[("x-upstream", "gap=600000"), ("x-forwarded-for", forged)]);
    let mut open = client::open(addr, request, Http::One).await.unwrap();
    assert_eq!(open.response.status(), 200);
    let mut missing = fixture.response.events[0].len();
    while missing > 0 {
        let frame = open.response.body_mut().frame().await.unwrap().unwrap();
        missing -= frame.into_data().unwrap().len();
    }
    open
}

/// Sends a call from this source address, and checks that the plugin reads it.
async fn observed_from(envoy: &Envoy, address: [u8; 4], fixture: &Fixture) {
    let id = client::request_id();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    let mut stream = socket.connect(envoy.addr).await.unwrap();
    let head: [(&str, &[u8]); 2] = [("x-request-id", id.as_bytes()), ("connection", b"close")];
    stream.write_all(&client::raw_request(fixture, &head)).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    assert!(reply.starts_with(b"HTTP/1.1 200"), "{}", reply.escape_ascii());
    let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
    assert_eq!(entry["gen_ai.usage.input_tokens"], "27", "{entry}");
}
