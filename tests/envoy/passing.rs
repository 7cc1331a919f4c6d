//! What passes a real Envoy beside calls to models: TLS to the upstream, protocol upgrades, gRPC, and a plugin that crashes.

use std::time::{Duration, Instant};

use crate::support::client::{self, Http, Made, Raw};
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
async fn an_upgraded_connection_carries_any_bytes_and_is_no_call() {
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
    let upgrades = "          stream_idle_timeout: 900s";
    let options = Options {
        replace: vec![(
            upgrades.to_owned(),
            format!("          upgrade_configs: [{{upgrade_type: websocket}}]\n{upgrades}"),
        )],
        ..Options::to(addr)
    };
    let envoy = Envoy::start(&options).await;
    let head = "GET /v1/realtime?model=gpt-4o HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-request-id: up\r\n\r\n";
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
    let entry = entry.await.expect("a line in the access log");
    assert!(entry.as_object().unwrap().keys().all(|key| !expect::is_ours(key)), "{entry}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_and_its_trailers_pass() {
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
    assert_eq!(reply.trailers.expect("trailers")["x-upstream-end"], "yes");
    let received = upstream.take_request(&id, PATIENCE).await.expect("it reaches the upstream");
    assert_eq!(received.body, fixture.request.body);
    let entry = envoy.entry(&id, PATIENCE).await.unwrap();
    assert!(entry.as_object().unwrap().keys().all(|key| !expect::is_ours(key)), "{entry}");
}

/// What Envoy counts of a plugin's crashes: `vm_reload`, `vm_reload_success`, `vm_reload_failure`, `vm_reload_backoff`.
async fn reloads(envoy: &Envoy) -> [f64; 4] {
    let samples = envoy.samples().await;
    ["", "_success", "_failure", "_backoff"].map(|end| {
        let name = format!("envoy_wasm_gaugeway_vm_reload{end}");
        assert!(samples.iter().any(|sample| sample.name == name), "Envoy exports {name} from the start");
        total(&samples, &name, &[])
    })
}

/// Envoy starts no plugin sooner than this after the last start: `reload_config.backoff.base_interval`.
const PAUSE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_envoy_counts_refused_requests_then_the_reload_and_never_vm_reload() {
    let upstream = Upstream::start(vec![Fixture::load(UNARY)]).await;
    let crashing = Crashing::start(Options::to(upstream.addr), "FAIL_RELOAD").await;
    let mut refused = 0.0;
    for crashes in [1.0, 2.0, 3.0] {
        assert_eq!(crashing.call(&[]).await, 200);
        let before = reloads(&crashing.envoy).await;
        // The call that meets the crash fails, and moves nothing.
        assert_eq!(crashing.call(CRASH).await, 503);
        assert_eq!(reloads(&crashing.envoy).await, before);
        // If the last start is too short ago, each call fails, and is counted.
        let end = Instant::now() + PATIENCE;
        while crashing.call(&[]).await != 200 {
            assert!(Instant::now() < end, "{}", crashing.envoy.log());
            refused += 1.0;
            tokio::time::sleep(PAUSE / 10).await;
        }
        assert_eq!(reloads(&crashing.envoy).await, [0.0, crashes, 0.0, refused]);
    }
    assert!(refused > 0.0, "three crashes in a row have calls refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_cannot_start_again_counts_as_failure() {
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
async fn without_fail_reload_a_crash_moves_no_series_and_the_plugin_stays_away() {
    let upstream = Upstream::start(vec![Fixture::load(UNARY)]).await;
    for (policy, after) in [("FAIL_OPEN", 200), ("FAIL_CLOSED", 503)] {
        let crashing = Crashing::start(Options::to(upstream.addr), policy).await;
        assert_eq!(crashing.call(&[]).await, 200, "{policy}");
        // Whatever the policy: the call that meets the crash fails.
        assert_eq!(crashing.call(CRASH).await, 503, "{policy}");
        for pause in [Duration::ZERO, 2 * PAUSE] {
            tokio::time::sleep(pause).await;
            assert_eq!(crashing.call(&[]).await, after, "{policy}");
            assert_eq!(crashing.call(CRASH).await, after, "{policy}: only a plugin that runs can crash again");
        }
        assert_eq!(reloads(&crashing.envoy).await, [0.0; 4], "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_behind_tls_is_read_like_any_other() {
    // A second Envoy stands before the upstream and speaks TLS.
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
        let timed = if fixture.is_stream() { expect::TIMING } else { &[] };
        let faults = expect::log_faults(&fixture.observation, timed, &envoy.entry(&id, PATIENCE).await.unwrap());
        assert!(faults.is_empty(), "{}: {faults:#?}", fixture.id);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Made for this test and nothing else.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgd2uDlr/uhVKg3/rf
dJy65X0Sidco/RnKwksWfX9+U4yhRANCAAQCBfAGwHRdWC+Uemv7wl7pXSEZIfj5
IveH6oDJndgh5HTyUUyr95gTBAjZxwtWa71lOQbfU86PeDKwC2WV1wMN
-----END PRIVATE KEY-----";

/// Of llm.test, signed by itself, for a hundred years.
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
