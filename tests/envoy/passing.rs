//! Traffic other than plain LLM calls in a real Envoy: protocol upgrades, gRPC, TLS to the upstream, and a plugin that
//! crashes.

use std::time::{Duration, Instant};

use crate::support::client::{self, Http, Made, Raw};
use crate::support::core::TIMING;
use crate::support::crash::{CRASH, CRASH_FOR_GOOD, Crashing};
use crate::support::envoy::{Envoy, Options};
use crate::support::expect;
use crate::support::fixtures::Fixture;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper::{HeaderMap, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(20);
const UNARY: &str = "openai-chat/unary";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_that_is_no_llm_traffic_passes_any_bytes_and_is_not_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        let mut head = Vec::new();
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            let size = stream.read(&mut buffer).await.unwrap();
            head.extend_from_slice(&buffer[..size]);
        }
        let reply = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(reply.as_bytes()).await.unwrap();
        while let Ok(size @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..size]).await.unwrap();
        }
    });
    let envoy = Envoy::start(&Options::to(addr)).await;
    let head = "GET /realtime/room?model=gpt-4o HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-request-id: up\r\n\r\n";
    let mut raw = Raw::send(envoy.addr, head.as_bytes()).await.unwrap();
    assert!(raw.read_until(b"\r\n\r\n").await.unwrap());
    assert!(raw.read.starts_with(b"HTTP/1.1 101"), "{}", raw.read.escape_ascii());
    for frame in [b"\x82\x03\xff\0{".as_slice(), b"data: {\"usage\":{\"prompt_tokens\":1}}\n\n", b"\x88\0"] {
        raw.read.clear();
        raw.write(frame).await.unwrap();
        assert!(raw.read_until(frame).await.unwrap());
    }
    drop(raw);
    let entry = envoy.entry_where(|entry| entry["response_code"] == "101" || entry["response_code"] == 101, PATIENCE);
    let entry = entry.await.expect("no access log line for the request");
    assert!(entry.as_object().unwrap().keys().all(|key| !expect::is_ours(key)), "{entry}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_calls_and_their_trailers_pass_unchanged() {
    let mut fixture = Fixture::load(UNARY);
    fixture.request.path = "/inference.GRPCInferenceService/ModelInfer".to_owned();
    fixture.request.headers.push(("te".to_owned(), "trailers".to_owned()));
    fixture.request.headers.retain(|(name, _)| name != "content-type");
    fixture.request.headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
    fixture.request.body = Bytes::from_static(b"\0\0\0\0\x03\x0a\x01\xff");
    fixture.response.headers = vec![("content-type".to_owned(), "application/grpc".to_owned())];
    fixture.response.body = Bytes::from_static(b"\0\0\0\0\x02\x08\x01");
    fixture.response.events = vec![fixture.response.body.clone()];
    let upstream = Upstream::start(vec![fixture.clone()]).await;
    let envoy = Envoy::start(&Options { http2_upstream: true, ..Options::to(upstream.addr) }).await;
    let id = client::request_id();
    let (head, body) = client::request(&fixture, &[("x-request-id", &id), ("x-upstream", "trailers")]).into_parts();
    let data = Frame::data(body.collect().await.unwrap().to_bytes());
    let trailers = Frame::trailers(HeaderMap::from_iter([("x-end".parse().unwrap(), "yes".parse().unwrap())]));
    let request = Request::from_parts(head, Made([data, trailers].into_iter()));
    let reply = client::send(envoy.addr, request, Http::Two).await.unwrap();
    assert_eq!((reply.status, &reply.body), (200, &fixture.response.body));
    assert_eq!(reply.trailers.expect("the response has no trailers")["x-upstream-end"], "yes");
    let received = upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
    assert_eq!(received.body, fixture.request.body);
    let entry = envoy.entry(&id, PATIENCE).await.unwrap();
    assert!(entry.as_object().unwrap().keys().all(|key| !expect::is_ours(key)), "{entry}");
}

/// Envoy's counters of plugin crashes: `vm_reload`, `vm_reload_success`, `vm_reload_failure`, `vm_reload_backoff`.
async fn reloads(envoy: &Envoy) -> [f64; 4] {
    let samples = envoy.samples().await;
    ["", "_success", "_failure", "_backoff"].map(|end| {
        let name = format!("envoy_wasm_gaugeway_vm_reload{end}");
        assert!(samples.iter().any(|sample| sample.name == name), "Envoy does not export {name} at start");
        total(&samples, &name, &[])
    })
}

/// The minimum time between two starts of a plugin: `reload_config.backoff.base_interval`.
const PAUSE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_envoy_counts_refused_requests_and_the_reload_but_never_vm_reload() {
    let upstream = Upstream::start(vec![Fixture::load(UNARY)]).await;
    let crashing = Crashing::start(Options::to(upstream.addr), "FAIL_RELOAD").await;
    let mut refused = 0.0;
    for crashes in [1.0, 2.0, 3.0] {
        assert_eq!(crashing.call(&[]).await, 200);
        let before = reloads(&crashing.envoy).await;
        // The call that crashes the plugin fails and changes no counter.
        assert_eq!(crashing.call(CRASH).await, 503);
        assert_eq!(reloads(&crashing.envoy).await, before);
        // Until the interval since the last start has passed, each call fails and is counted.
        let end = Instant::now() + PATIENCE;
        while crashing.call(&[]).await != 200 {
            assert!(Instant::now() < end, "{}", crashing.envoy.log());
            refused += 1.0;
            tokio::time::sleep(PAUSE / 10).await;
        }
        assert_eq!(reloads(&crashing.envoy).await, [0.0, crashes, 0.0, refused]);
    }
    assert!(refused > 0.0, "no call was refused after three crashes in a row");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_fails_to_restart_is_counted_in_vm_reload_failure() {
    let upstream = Upstream::start(vec![Fixture::load(UNARY)]).await;
    let crashing = Crashing::start(Options::to(upstream.addr), "FAIL_RELOAD").await;
    assert_eq!(crashing.call(CRASH_FOR_GOOD).await, 503);
    let end = Instant::now() + PATIENCE;
    while reloads(&crashing.envoy).await[2] == 0.0 {
        assert!(Instant::now() < end, "{}", crashing.envoy.log());
        assert_eq!(crashing.call(&[]).await, 503);
        tokio::time::sleep(PAUSE / 10).await;
    }
    let [reload, success, ..] = reloads(&crashing.envoy).await;
    assert_eq!((reload, success), (0.0, 0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_fail_reload_a_crash_changes_no_counter_and_the_plugin_is_not_restarted() {
    let upstream = Upstream::start(vec![Fixture::load(UNARY)]).await;
    for (policy, after) in [("FAIL_OPEN", 200), ("FAIL_CLOSED", 503)] {
        let crashing = Crashing::start(Options::to(upstream.addr), policy).await;
        assert_eq!(crashing.call(&[]).await, 200, "{policy}");
        // The call that crashes the plugin fails under every policy.
        assert_eq!(crashing.call(CRASH).await, 503, "{policy}");
        for pause in [Duration::ZERO, 2 * PAUSE] {
            tokio::time::sleep(pause).await;
            assert_eq!(crashing.call(&[]).await, after, "{policy}");
            assert_eq!(
                crashing.call(CRASH).await,
                after,
                "{policy}: the status shows whether the plugin was started again"
            );
        }
        assert_eq!(reloads(&crashing.envoy).await, [0.0; 4], "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_an_upstream_over_tls_are_observed() {
    // A second Envoy terminates TLS in front of the upstream.
    let fixtures: Vec<_> = [UNARY, "anthropic-messages/stream-thinking-text-tool-use"].map(Fixture::load).into();
    let upstream = Upstream::start(fixtures.clone()).await;
    let folder = std::env::temp_dir().join(format!("gaugeway-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    std::fs::write(&key, KEY).unwrap();
    std::fs::write(&certificate, CERTIFICATE).unwrap();
    let chain = format!(
        "certificate_chain: {{filename: {}}}, private_key: {{filename: {}}}",
        certificate.display(),
        key.display()
    );
    let server = format!(
        "    - transport_socket: {{name: tls, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {{tls_certificates: [{{{chain}}}]}}}}}}\n      filters:\n"
    );
    let first =
        Options { plugin: false, replace: vec![("    - filters:\n".to_owned(), server)], ..Options::to(upstream.addr) };
    let terminating = Envoy::start(&first).await;
    let client = format!(
        "    type: STRICT_DNS\n    transport_socket: {{name: tls, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: llm.test, common_tls_context: {{validation_context: {{trusted_ca: {{filename: {}}}}}}}}}}}\n    load_assignment:\n      cluster_name: llm\n",
        certificate.display()
    );
    let cluster = "    type: STRICT_DNS\n    load_assignment:\n      cluster_name: llm\n";
    let options = Options { replace: vec![(cluster.to_owned(), client)], ..Options::to(terminating.addr) };
    let envoy = Envoy::start(&options).await;
    for fixture in &fixtures {
        let id = client::request_id();
        let reply = client::replay(envoy.addr, fixture, &[("x-request-id", &id), ("x-upstream", "cut=50")]).await;
        assert_eq!((reply.status, &reply.body), (fixture.response.status, &fixture.response.body));
        let timed = if fixture.is_stream() { TIMING } else { &[] };
        let faults = expect::log_faults(&fixture.observation, timed, &envoy.entry(&id, PATIENCE).await.unwrap());
        assert!(faults.is_empty(), "{}: {faults:#?}", fixture.id);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// A private key that is used only by this test.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgd2uDlr/uhVKg3/rf
dJy65X0Sidco/RnKwksWfX9+U4yhRANCAAQCBfAGwHRdWC+Uemv7wl7pXSEZIfj5
IveH6oDJndgh5HTyUUyr95gTBAjZxwtWa71lOQbfU86PeDKwC2WV1wMN
-----END PRIVATE KEY-----";

/// A self-signed certificate for llm.test, valid for a hundred years.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBkzCCATigAwIBAgIUJmDCOfGMa1/KltyBgNe7sJWRCkIwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIbGxtLnRlc3QwIBcNMjYxMTIyMjMyNTAzWhgPMjEyNjEwMjky
MzI1MDNaMBMxETAPBgNVBAMMCGxsbS50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEAgXwBsB0XVgvlHpr+8Je6V0hGSH4+SL3h+qAyZ3YIeR08lFMq/eYEwQI
2ccLVmu9ZTkG31POj3gysAtlldcDDaNoMGYwHQYDVR0OBBYEFCnA3B8QXhTsGvnD
urmzUapxEBq0MB8GA1UdIwQYMBaAFCnA3B8QXhTsGvnDurmzUapxEBq0MA8GA1Ud
EwEB/wQFMAMBAf8wEwYDVR0RBAwwCoIIbGxtLnRlc3QwCgYIKoZIzj0EAwIDSQAw
RgIhANbfBhu9bw3GNZ0BmdD4HxZLS8HrHB31UJk3uV/Xsh58AiEAwaKBUgZdyFdS
0JhlT9P8L7qisgywIZSncC0HSLdSnb8=
-----END CERTIFICATE-----";
