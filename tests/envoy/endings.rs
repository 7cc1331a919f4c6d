//! How an exchange ends in a real Envoy: whichever side aborts it, the values seen so far are reported and the exchange
//! is counted once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::client::{self, Http, Made, Open, Raw, Reply};
use crate::support::closed::Closed;
use crate::support::core::TIMING;
use crate::support::envoy::{self, Envoy, Options, Spans};
use crate::support::expect;
use crate::support::fixtures::Fixture;
use crate::support::otlp::{Attribute, Receiver};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper::{HeaderMap, Request};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);
/// A stream whose first event has the model and the input tokens.
const STREAM: &str = "anthropic-messages/stream-thinking-text-tool-use";
const UNARY: &str = "openai-chat/unary";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnected_client_is_counted_once_with_the_values_seen_so_far() {
    let gateway = Gateway::start().await;
    let stream = Fixture::load(STREAM);
    let mut cut_streams = Vec::new();

    let (id, slow) = gateway.slow_stream(&stream, "", Http::One).await;
    drop(slow);
    cut_streams.push((id, "downstream_remote_disconnect"));

    let (id, slow) = gateway.slow_stream(&stream, "", Http::Two).await;
    let Open { response, connection } = slow;
    drop(response); // Sends RST_STREAM; the connection stays open.
    gateway.entry(&id).await;
    drop(connection);
    cut_streams.push((id, "http2.remote_reset"));

    let id = client::request_id();
    let bytes = client::raw_request(&stream, &[("x-request-id", id.as_bytes()), ("x-upstream", b"gap=400")]);
    let mut raw = Raw::send(gateway.envoy.addr, &bytes).await.unwrap();
    assert!(raw.read_until(b"thinking_delta").await.unwrap());
    raw.reset().unwrap();
    cut_streams.push((id, "downstream_remote_disconnect"));

    for (id, details) in &cut_streams {
        let entry = gateway.entry(id).await;
        says(
            &entry,
            &[
                ("response_code_details", details),
                ("gaugeway.outcome", "client_disconnect"),
                ("error.type", "client_disconnect"),
                ("gen_ai.request.model", "claude-sonnet-4-20250514"),
                ("gen_ai.response.model", "claude-sonnet-4-20250514"),
                ("gen_ai.usage.input_tokens", "412"),
            ],
        );
        assert!(entry["gen_ai.response.finish_reasons"].is_null(), "{entry}");
        assert!(
            seconds(&entry, "gaugeway.time_to_first_token") >= 1.0,
            "the first token comes after two pauses: {entry}"
        );
        // The span does not contain values written after the stream was destroyed, but it has those known before.
        let span = gateway.spans.wait_for_request(id, PATIENCE).await.expect("no span for the request");
        if envoy::spans() != Spans::Plain {
            let tokens = span.attributes.get("gen_ai.usage.input_tokens").map(Attribute::to_string);
            assert_eq!(tokens.as_deref(), Some("412"), "{span:?}");
            assert_eq!(span.text("gen_ai.response.model"), Some("claude-sonnet-4-20250514"), "{span:?}");
        }
    }

    // The client disconnects before the response starts, and before the request is complete.
    let unary = Fixture::load(UNARY);
    let id = client::request_id();
    let bytes = client::raw_request(&unary, &[("x-request-id", id.as_bytes()), ("x-upstream", b"hang")]);
    let raw = Raw::send(gateway.envoy.addr, &bytes).await.unwrap();
    gateway.upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
    drop(raw);
    let entry = gateway.entry(&id).await;
    says(&entry, &[("gaugeway.outcome", "client_disconnect"), ("gen_ai.request.model", "gpt-4o")]);
    says(&entry, &[("gaugeway.prompt.hash", "59219b6f82700ed8"), ("response_code", "0")]);

    let id = client::request_id();
    let bytes = client::raw_request(&unary, &[("x-request-id", id.as_bytes())]);
    let raw = Raw::send(gateway.envoy.addr, &bytes[..bytes.len() - 50]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(raw);
    let entry = gateway.entry(&id).await;
    says(&entry, &[("gaugeway.outcome", "client_disconnect"), ("gen_ai.request.model", "gpt-4o")]);

    let counted = gateway.counted().await;
    assert_eq!(counted.values().sum::<u64>(), 5, "{counted:?}");
    assert!(counted.keys().all(|(_, outcome)| outcome == "client_disconnect"), "{counted:?}");
    assert_eq!(gateway.total("gaugeway_input_tokens_total").await, 3 * 412);
    assert_eq!(gateway.total("gen_ai_client_inference_duration_microseconds_count").await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_resets_and_timeouts_are_distinguished_from_client_disconnects() {
    let gateway = Gateway::start().await;
    let stream = Fixture::load(STREAM);
    let first_events = stream.response.events.iter().take(6).map(Bytes::len).sum::<usize>();
    let reset = format!("reset-after={first_events}");

    for (route, details) in
        [("", "upstream_reset_after_response_started"), ("/h2", "upstream_reset_after_response_started")]
    {
        for http in [Http::One, Http::Two] {
            let (entry, reply) = gateway.exchange(&stream, route, &reset, http).await;
            assert!(
                reply.is_none_or(|reply| reply.broken.is_some()),
                "the client did not see that the response was cut off"
            );
            assert!(entry["response_code_details"].as_str().unwrap().starts_with(details), "{entry}");
            says(
                &entry,
                &[
                    ("gaugeway.outcome", "upstream_reset"),
                    ("error.type", "upstream_reset"),
                    ("gen_ai.response.model", "claude-sonnet-4-20250514"),
                    ("gen_ai.usage.input_tokens", "412"),
                ],
            );
        }
    }

    let unary = Fixture::load(UNARY);
    let (entry, reply) = gateway.exchange(&unary, "/refused", "", Http::One).await;
    assert_eq!(reply.unwrap().status, 503);
    says(
        &entry,
        &[("gaugeway.outcome", "upstream_reset"), ("gen_ai.request.model", "gpt-4o"), ("response_code", "503")],
    );

    let (entry, reply) = gateway.exchange(&unary, "/slow", "hang", Http::One).await;
    assert_eq!(reply.unwrap().status, 504);
    says(&entry, &[("gaugeway.outcome", "timeout"), ("error.type", "timeout"), ("gen_ai.request.model", "gpt-4o")]);

    let (entry, reply) = gateway.exchange(&stream, "/slow", "gap=200", Http::One).await;
    assert!(reply.is_none_or(|reply| reply.broken.is_some()), "the client did not see that the response was cut off");
    says(&entry, &[("gaugeway.outcome", "timeout"), ("gen_ai.usage.input_tokens", "412")]);

    let counted = gateway.counted().await;
    let by = |route: &str, outcome: &str| counted.get(&(route.to_owned(), outcome.to_owned())).copied().unwrap_or(0);
    assert_eq!(by("llm", "upstream_reset"), 2, "{counted:?}");
    assert_eq!(by("h2", "upstream_reset"), 2, "{counted:?}");
    assert_eq!(by("refused", "upstream_reset"), 1, "{counted:?}");
    assert_eq!(by("slow", "timeout"), 2, "{counted:?}");
    assert_eq!(counted.values().sum::<u64>(), 7, "{counted:?}");
    assert_eq!(gateway.total("gaugeway_input_tokens_total").await, 5 * 412);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_replies_retries_and_trailers_are_reported_correctly() {
    let gateway = Gateway::start().await;
    let unary = Fixture::load(UNARY);

    let (entry, reply) = gateway.exchange(&unary, "/direct", "", Http::One).await;
    assert_eq!(reply.unwrap().status, 403);
    // Envoy answered before it read the body, so the model is unknown.
    says(
        &entry,
        &[("gaugeway.outcome", "local_reply"), ("error.type", "direct_response"), ("gen_ai.operation.name", "chat")],
    );

    let (entry, reply) = gateway.exchange(&unary, "/retry", "first=503", Http::One).await;
    assert_eq!(reply.unwrap().body, unary.response.body);
    let faults = expect::log_faults(&unary.observation, &[], &entry);
    assert!(faults.is_empty(), "{faults:#?}");

    let mut expected = BTreeMap::from([(("direct", "local_reply"), 1), (("retry", "completed"), 1)]);
    for fixture in ["openai-chat/stream-include-usage", UNARY].map(Fixture::load) {
        for http in [Http::One, Http::Two] {
            let (entry, reply) = gateway.exchange(&fixture, "/h2", "trailers", http).await;
            let reply = reply.unwrap();
            assert_eq!(reply.body, fixture.response.body);
            assert_eq!(
                reply.trailers.is_some(),
                http == Http::Two,
                "only HTTP/2 clients get trailers; Envoy drops them for HTTP/1.1"
            );
            let timed = if fixture.is_stream() { TIMING } else { &[] };
            let faults = expect::log_faults(&fixture.observation, timed, &entry);
            assert!(faults.is_empty(), "{} {http:?}: {faults:#?}", fixture.id);
            *expected.entry(("h2", "completed")).or_default() += 1;
        }
    }

    // This request ends with trailers.
    let id = client::request_id();
    let (head, body) = client::request(&unary, &[("x-request-id", &id)]).into_parts();
    let data = Frame::data(body.collect().await.unwrap().to_bytes());
    let trailers = Frame::trailers(HeaderMap::from_iter([("x-end".parse().unwrap(), "yes".parse().unwrap())]));
    let request = Request::from_parts(head, Made([data, trailers].into_iter()));
    let reply = client::send(gateway.envoy.addr, request, Http::Two).await.unwrap();
    assert_eq!(reply.body, unary.response.body);
    let faults = expect::log_faults(&unary.observation, &[], &gateway.entry(&id).await);
    assert!(faults.is_empty(), "{faults:#?}");
    expected.insert(("llm", "completed"), 1);

    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|((route, outcome), n)| ((route.to_owned(), outcome.to_owned()), n)).collect();
    assert_eq!(gateway.counted().await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_not_llm_calls_are_not_reported() {
    let gateway = Gateway::start().await;
    let with = |method: &str, path: &str, body: &str| {
        let mut fixture = Fixture::load(UNARY);
        (fixture.request.method, fixture.request.path) = (method.to_owned(), path.to_owned());
        fixture.request.body = Bytes::copy_from_slice(body.as_bytes());
        fixture
    };
    for fixture in [
        with("GET", "/v1/chat/completions", ""),
        with("HEAD", "/v1/chat/completions", ""),
        with("OPTIONS", "/v1/chat/completions", ""),
        with("DELETE", "/v1/chat/completions/chatcmpl-1", ""),
        with("POST", "/v1/files", "{\"model\":\"gpt-4o\",\"messages\":[]}"),
        with("POST", "/checkout?next=/v1/chat/completions", "{\"model\":\"gpt-4o\"}"),
    ] {
        let (entry, reply) = gateway.exchange(&fixture, "", "", Http::One).await;
        let reply = reply.unwrap();
        assert_eq!(reply.status, 200);
        assert!(fixture.request.method == "HEAD" || reply.body == fixture.response.body);
        let ours: Vec<_> = entry.as_object().unwrap().keys().filter(|key| expect::is_ours(key)).collect();
        assert!(ours.is_empty(), "{} {}: {ours:?}", fixture.request.method, fixture.request.path);
    }
    let samples = gateway.envoy.samples().await;
    let ours: Vec<_> =
        samples.iter().filter(|one| !one.name.starts_with("envoy_") && !expect::is_own(&one.name)).collect();
    assert!(ours.is_empty(), "{ours:?}");

    // A response without a body is counted as a response.
    let mut empty = Fixture::load(UNARY);
    (empty.id, empty.response.status, empty.response.body) = ("empty".to_owned(), 204, Bytes::new());
    let (entry, reply) = gateway.exchange(&empty, "", "chunked", Http::One).await;
    assert_eq!(reply.unwrap().status, 204);
    says(&entry, &[("gaugeway.outcome", "completed"), ("gen_ai.request.model", "gpt-4o")]);
    assert!(entry["gen_ai.usage.input_tokens"].is_null());
}

struct Gateway {
    upstream: Upstream,
    spans: Receiver,
    envoy: Envoy,
    _closed: Closed,
}

impl Gateway {
    /// Starts Envoy with one more route per scenario, selected by a path prefix.
    async fn start() -> Self {
        let mut empty = Fixture::load(UNARY);
        (empty.id, empty.response.status, empty.response.body) = ("empty".to_owned(), 204, Bytes::new());
        empty.response.events = vec![Bytes::new()];
        let mut fixtures = Fixture::all();
        fixtures.push(empty);
        let upstream = Upstream::start(fixtures).await;
        let spans = Receiver::start().await;
        let closed = Closed::new();
        let cluster = |name: &str, port: u16, more: &str| {
            format!(
                "{{name: {name}, type: STATIC, load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}{more}}}"
            )
        };
        let http2 = ", typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}";
        let options = Options { otlp: Some(spans.addr), ..Options::to(upstream.addr) }.with(
            &[
                "{name: h2, match: {prefix: /h2/}, route: {cluster: h2, timeout: 0s}}",
                "{name: refused, match: {prefix: /refused/}, route: {cluster: refused, timeout: 0s}}",
                "{name: slow, match: {prefix: /slow/}, route: {cluster: llm, timeout: 0.7s}}",
                "{name: direct, match: {prefix: /direct/}, direct_response: {status: 403, body: {inline_string: denied}}}",
                "{name: retry, match: {prefix: /retry/}, route: {cluster: llm, timeout: 0s, retry_policy: {retry_on: 5xx, num_retries: 2}}}",
            ],
            &[cluster("h2", upstream.addr.port(), http2), cluster("refused", closed.addr.port(), "")],
        );
        let envoy = Envoy::start(&options).await;
        Self { upstream, spans, envoy, _closed: closed }
    }

    /// Sends a fixture on a route and reads the reply. The reply is None if no response headers arrived.
    async fn exchange(&self, fixture: &Fixture, route: &str, travel: &str, http: Http) -> (Value, Option<Reply>) {
        let id = client::request_id();
        let request = request(fixture, route, &[("x-request-id", &id), ("x-upstream", travel)]);
        let reply = client::send(self.envoy.addr, request, http).await.ok();
        (self.entry(&id).await, reply)
    }

    /// Starts a stream with long pauses, reads it up to the first token and returns it open.
    async fn slow_stream(&self, fixture: &Fixture, route: &str, http: Http) -> (String, Open) {
        let id = client::request_id();
        let request = request(fixture, route, &[("x-request-id", &id), ("x-upstream", "gap=400")]);
        let mut open = client::open(self.envoy.addr, request, http).await.unwrap();
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains("thinking_delta") {
            let frame = open.response.body_mut().frame().await.expect("the stream goes on").unwrap();
            read.extend_from_slice(&frame.into_data().unwrap());
        }
        (id, open)
    }

    async fn entry(&self, id: &str) -> Value {
        let entry = self.envoy.entry(id, PATIENCE).await;
        entry.unwrap_or_else(|| panic!("the access log has no line for {id}:\n{}", self.envoy.log()))
    }

    /// Number of requests by route and outcome.
    async fn counted(&self) -> BTreeMap<(String, String), u64> {
        let mut counted = BTreeMap::new();
        for sample in self.envoy.samples().await.iter().filter(|sample| sample.name == "gaugeway_requests_total") {
            let key = (sample.label("route").to_owned(), sample.label("outcome").to_owned());
            *counted.entry(key).or_default() += sample.value as u64;
        }
        counted
    }

    /// Sum of a metric over all labels, read after the histograms were flushed.
    async fn total(&self, metric: &str) -> u64 {
        let sum = |samples: &[_]| crate::support::prometheus::total(samples, metric, &[]) as u64;
        let all = self.counted().await.values().sum::<u64>();
        let shown = |samples: &[_]| {
            crate::support::prometheus::total(samples, "gen_ai_client_inference_duration_microseconds_count", &[])
                >= all as f64
        };
        sum(&self.envoy.samples_when(shown, Duration::from_secs(2)).await)
    }
}

fn request(fixture: &Fixture, route: &str, extra: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = client::request(fixture, extra);
    *request.uri_mut() = format!("{route}{}", fixture.request.path).parse().unwrap();
    request
}

fn says(entry: &Value, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        let seen = match &entry[key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(seen, *value, "{key} in {entry:#}");
    }
}

fn seconds(entry: &Value, key: &str) -> f64 {
    entry[key].as_str().unwrap_or_else(|| panic!("no {key} in {entry}")).parse().unwrap()
}
