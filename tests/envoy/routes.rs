//! Where the plugin can be placed in Envoy: on some routes only with settings of their own (`envoy/per-route.yaml`),
//! and in a cluster's HTTP filters, where it runs once per attempt.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::client::{self, Http};
use crate::support::envoy::{Envoy, Options};
use crate::support::expect;
use crate::support::fixtures::Fixture;
use crate::support::otlp::Receiver;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use http_body_util::Full;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);
const UNARY: &str = "openai-chat/unary";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_enable_the_plugin_separately_and_with_their_own_settings() {
    let gateway = Gateway::per_route(|yaml| yaml).await;
    let unary = Fixture::load(UNARY);
    for (host, route, name, provider, cost) in [
        ("api.openai.com", "", "llm", Some("openai"), Some("0.0002275")),
        ("api.openai.com", "/search", "search", None, None),
        ("shop.example.com", "", "shop", None, None),
        ("api.openai.com", "/support", "support-agent", Some("acme"), Some("0.0187")),
        ("api.openai.com", "/inhouse", "inhouse", Some("inhouse"), Some("0.000059")),
    ] {
        let entry = gateway.call(&unary, host, route).await;
        assert_eq!((&entry["route"], &entry["response_code"]), (&name.into(), &200.into()), "{entry}");
        assert_eq!(entry["gen_ai.provider.name"].as_str(), provider, "{entry}");
        assert_eq!(entry["gaugeway.cost.usd"].as_str(), cost, "{entry}");
        let mut written = entry.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
        assert_eq!(written.any(|(key, _)| expect::is_ours(key)), provider.is_some(), "{entry}");
    }
    let samples = gateway.envoy.samples().await;
    for (route, count) in [("llm", 1.0), ("support-agent", 1.0), ("inhouse", 1.0), ("search", 0.0), ("shop", 0.0)] {
        assert_eq!(total(&samples, "gaugeway_requests_total", &[("route", route)]), count, "{route}");
    }
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), 3.0, "each call must be counted once");

    // The second iteration is the last one allowed for that route's agents, but not for others.
    let asking = in_its_second_iteration();
    for (route, ended) in [("", 0.0), ("/support", 1.0)] {
        let entry = gateway.call(&asking, "api.openai.com", route).await;
        assert_eq!(entry["gaugeway.agent.iteration"], "2", "{entry}");
        let ends = total(&gateway.envoy.samples().await, "gaugeway_agent_runs_total", &[("status", "max_iterations")]);
        assert_eq!(ends, ended, "wrong number of ended runs after a call to {route}/");
    }

    // There is one VM per thread: the base VM, the main thread and one worker.
    let stats = gateway.envoy.admin("/stats?filter=wasm.*(active|vm_count)").await;
    assert!(stats.contains("active: 3\n") || stats.contains("wasm_vm_count: 3\n"), "{stats}");
    assert!(!gateway.envoy.log().contains("gaugeway: "), "the plugin logged something:\n{}", gateway.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_gateway_with_one_prefix_per_provider_the_prefix_names_the_provider() {
    let gateway = Gateway::per_route(|yaml| yaml).await;
    for (fixture, prefix, provider, host, path) in [
        ("openai-chat/unary", "/groq", Some("groq"), "api.groq.com", "/openai/v1/chat/completions"),
        (
            "anthropic-messages/unary-stop-sequence",
            "/anthropic",
            Some("anthropic"),
            "api.anthropic.com",
            "/v1/messages",
        ),
        ("openai-chat/unary", "/acme", Some("acme"), "llm.acme.example", "/v1/chat/completions"),
        ("openai-embeddings/unary-usage-last", "/acme", None, "llm.acme.example", "/v1/embeddings"),
    ] {
        let (fixture, id) = (Fixture::load(fixture), client::request_id());
        gateway.send(&fixture, "gateway.example.com", prefix, &[("x-request-id", &id)]).await;
        let sent = gateway.upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
        assert_eq!(sent.headers.get("host").unwrap(), host, "Envoy must rewrite the host");
        assert_eq!(sent.path, path, "Envoy must rewrite the path");
        let entry = gateway.entry(&id).await;
        assert_eq!(entry["gen_ai.provider.name"].as_str(), provider, "{entry}");
        let input = fixture.observation["gen_ai.usage.input_tokens"].to_string();
        assert_eq!(entry["gen_ai.usage.input_tokens"].as_str(), provider.map(|_| &*input), "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_route_settings_are_logged_once_and_ignored() {
    for (settings, told) in [
        (r#"{"agent": {"max_iterations": 0}}"#, "agent.max_iterations: must be a whole number from 1 to 1000"),
        (r#"{"labels": {"max_series": 5}}"#, "labels.max_series: is the same for all routes"),
        ("not JSON", "the key 'config' must be one string of JSON"),
    ] {
        let gateway = Gateway::per_route(|yaml| {
            let (start, rest) = yaml.split_once("config: |\n").expect("per-route.yaml has no route with settings");
            let (_, end) = rest
                .split_once("\n              - name: inhouse")
                .expect("per-route.yaml has no route inhouse after it");
            format!("{start}config: {}\n              - name: inhouse{end}", Value::from(settings))
        });
        let gateway = gateway.await;
        for _ in 0..3 {
            let entry = gateway.call(&Fixture::load(UNARY), "api.openai.com", "/support").await;
            assert_eq!(entry["gaugeway.cost.usd"], "0.0002275", "the filter's own configuration must be used: {entry}");
        }
        let log = gateway.envoy.log();
        let line = format!("gaugeway: metadata of route 'support-agent' is ignored: {told}");
        assert_eq!(log.matches(&line).count(), 1, "{line}\n{log}");
    }
}

#[test]
fn per_route_yaml_and_envoy_yaml_have_the_same_stats_tags() {
    let tags = |file: &str| -> Vec<String> {
        let lines = read(file);
        lines.lines().filter(|line| line.trim().starts_with("- {tag_name: ")).map(str::to_owned).collect()
    };
    assert!(tags("envoy/envoy.yaml").len() > 10);
    assert_eq!(
        tags("envoy/per-route.yaml"),
        tags("envoy/envoy.yaml"),
        "stats_tags of per-route.yaml (left) must be those of envoy.yaml (right) in the same order"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_an_upstream_filter_each_attempt_is_counted_and_the_last_one_is_reported() {
    let gateway = Gateway::upstream(false).await;
    let unary = Fixture::load(UNARY);
    let entry = gateway.retried(&unary).await;
    assert_eq!(entry["response_code"], 200, "{entry}");
    // No value of the first attempt is reported.
    assert_eq!(expect::log_faults(&unary.observation, &[], &entry), [""; 0], "{entry}");
    let span = gateway
        .spans
        .wait_for_request(entry["request_id"].as_str().unwrap(), PATIENCE)
        .await
        .expect("no span for the request");
    assert_eq!(expect::span_faults(&unary.observation, &[], &span), [""; 0], "{span:?}");
    gateway.counted(&[("completed", 1.0), ("error", 1.0)]).await;

    let stream = Fixture::load("anthropic-messages/stream-thinking-text-tool-use");
    let entry = gateway.call(&stream, "api.anthropic.com", "").await;
    let timed = ["gaugeway.time_to_first_token", "gen_ai.response.time_to_first_chunk"];
    assert_eq!(expect::log_faults(&stream.observation, &timed, &entry), [""; 0], "{entry}");
    gateway.counted(&[("completed", 2.0), ("error", 1.0)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_the_listener_has_the_plugin_too_only_the_listeners_plugin_reports() {
    let gateway = Gateway::upstream(true).await;
    let unary = Fixture::load(UNARY);
    let entry = gateway.retried(&unary).await;
    assert_eq!(expect::log_faults(&unary.observation, &[], &entry), [""; 0], "{entry}");
    gateway.counted(&[("completed", 1.0)]).await;
}

struct Gateway {
    upstream: Upstream,
    spans: Receiver,
    envoy: Envoy,
}

impl Gateway {
    /// `envoy/per-route.yaml` with test addresses, the path of the plugin and the edits of `change`.
    async fn per_route(change: impl Fn(String) -> String) -> Self {
        let upstream = Upstream::start(Fixture::all()).await;
        let port = |port| format!("port_value: {port}");
        let yaml = change(read("envoy/per-route.yaml"))
            .replace(&port(8080), &port(upstream.addr.port()))
            .replace(&port(10000), &port(0))
            .replace(&port(9901), &port(0))
            .replace("dist/gaugeway.wasm", &plugin());
        let envoy = Envoy::try_start_as(yaml, &Options::to(upstream.addr)).await;
        Self { envoy: envoy.unwrap_or_else(|error| panic!("{error}")), upstream, spans: Receiver::start().await }
    }

    /// `envoy/envoy.yaml` with `envoy/upstream-filter.yaml` in its cluster, with or without the plugin in the listener.
    async fn upstream(listener: bool) -> Self {
        let upstream = Upstream::start(Fixture::all()).await;
        let spans = Receiver::start().await;
        let cluster = "\n    load_assignment:\n      cluster_name: llm\n";
        let filter = read("envoy/upstream-filter.yaml").replace("dist/gaugeway.wasm", &plugin());
        let filter: String = filter.lines().map(|line| format!("\n    {line}")).collect();
        let route = "route: {cluster: llm, timeout: 0s";
        let retrying = format!("{route}, retry_policy: {{retry_on: 5xx, num_retries: 2}}");
        let replace = vec![(route.to_owned(), retrying), (cluster.to_owned(), format!("{filter}{cluster}"))];
        let options = Options { otlp: Some(spans.addr), plugin: listener, replace, ..Options::to(upstream.addr) };
        Self { envoy: Envoy::start(&options).await, upstream, spans }
    }

    /// Sends a fixture's request to a route and returns the access log line.
    async fn call(&self, fixture: &Fixture, host: &str, route: &str) -> Value {
        let id = client::request_id();
        self.send(fixture, host, route, &[("x-request-id", &id)]).await;
        self.entry(&id).await
    }

    /// A call whose first attempt gets a 503 from the upstream.
    async fn retried(&self, fixture: &Fixture) -> Value {
        let id = client::request_id();
        self.send(fixture, "api.openai.com", "", &[("x-request-id", &id), ("x-upstream", "first=503")]).await;
        for attempt in ["first", "second"] {
            assert!(
                self.upstream.take_request(&id, PATIENCE).await.is_some(),
                "the {attempt} attempt did not reach the upstream"
            );
        }
        self.entry(&id).await
    }

    async fn send(&self, fixture: &Fixture, host: &str, route: &str, headers: &[(&str, &str)]) {
        let mut request: hyper::Request<Full<bytes::Bytes>> = client::request(fixture, headers);
        *request.uri_mut() = format!("{route}{}", fixture.request.path).parse().unwrap();
        request.headers_mut().insert("host", host.parse().unwrap());
        let reply = client::send(self.envoy.addr, request, Http::One).await;
        let reply = reply.unwrap_or_else(|error| panic!("{error}:\n{}", self.envoy.log()));
        assert_eq!((reply.status, reply.body), (fixture.response.status, fixture.response.body.clone()));
    }

    async fn entry(&self, id: &str) -> Value {
        let entry = self.envoy.entry(id, PATIENCE).await;
        entry.unwrap_or_else(|| panic!("the access log has no line for {id}:\n{}", self.envoy.log()))
    }

    async fn counted(&self, outcomes: &[(&str, f64)]) {
        let all: f64 = outcomes.iter().map(|(_, count)| count).sum();
        // Older Envoy versions destroy a cluster's filters after they have written the access log.
        let done = |samples: &[Sample]| total(samples, "gaugeway_requests_total", &[]) >= all;
        let samples = self.envoy.samples_when(done, PATIENCE).await;
        for (outcome, count) in outcomes {
            assert_eq!(total(&samples, "gaugeway_requests_total", &[("outcome", outcome)]), *count, "{outcome}");
        }
        assert_eq!(total(&samples, "gaugeway_requests_total", &[]), all, "{samples:?}");
    }
}

/// A call whose request contains a tool result and whose response asks for another tool.
fn in_its_second_iteration() -> Fixture {
    let mut fixture = Fixture::load("openai-chat/unary-parallel-tool-calls");
    let call = json!([{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let messages = json!([
        {"role": "user", "content": "Do it."},
        {"role": "assistant", "content": null, "tool_calls": call},
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    ]);
    fixture.request.body = json!({"model": "gpt-4o", "messages": messages}).to_string().into();
    fixture
}

fn plugin() -> String {
    std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test envoy")
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
