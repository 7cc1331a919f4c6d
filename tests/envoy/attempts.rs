//! The plugin in a cluster's filter chain (`envoy/upstream-filter.yaml`): how each attempt of a call is reported. The table
//! of the cases is in `envoy/README.md`; `tests/versions.rs` runs this in every supported Envoy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::collector::{Collector, text};
use crate::outputs;
use crate::support::acting::{ActingUpstream, TOKENS};
use crate::support::client::{self, Http, Raw};
use crate::support::closed::Closed;
use crate::support::envoy::{Envoy, Options};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

/// One row of the table in `envoy/README.md`.
struct Case {
    what: &'static str,
    route: &'static str,
    acts: &'static str,
    /// The outcome of each attempt, in the metrics.
    counted: &'static [&'static str],
    /// `gaugeway.outcome` and `error.type` in the access log.
    logged: (&'static str, Option<&'static str>),
}

const fn case(
    what: &'static str,
    route: &'static str,
    acts: &'static str,
    counted: &'static [&'static str],
    logged: (&'static str, Option<&'static str>),
) -> Case {
    Case { what, route, acts, counted, logged }
}

const CASES: &[Case] = &[
    case("a complete answer", "", "ok", &["completed"], ("completed", None)),
    case("refused connection", "/refused", "ok", &["upstream_reset"], ("upstream_reset", None)),
    case("reset before the head of the response", "", "reset", &["attempt_failed"], ("attempt_failed", None)),
    case("reset after the head", "", "cut", &["upstream_reset"], ("upstream_reset", Some("upstream_reset"))),
    case("route timeout before the head", "/short", "hang", &["timeout"], ("timeout", None)),
    case("route timeout after the head", "/short", "stall", &["timeout"], ("timeout", Some("timeout"))),
    case("per-try timeout", "/try", "hang", &["timeout", "timeout"], ("timeout", None)),
    case("stream idle timeout", "/idle", "hang", &["timeout"], ("timeout", Some("timeout"))),
    case("maximum stream duration", "/duration", "hang", &["timeout"], ("timeout", Some("timeout"))),
    case("error status", "", "503", &["error"], ("error", Some("503"))),
    case("retry after an error status", "/retry", "503 ok", &["error", "completed"], ("completed", None)),
    case("retry after a reset", "/retry", "reset ok", &["attempt_failed", "completed"], ("completed", None)),
    case("retry after a per-try timeout", "/try", "hang ok", &["timeout", "completed"], ("completed", None)),
    case("error status after a retry", "/retry", "reset 503", &["attempt_failed", "error"], ("error", Some("503"))),
    case("loser of a hedge", "/hedge", "hang ok", &["attempt_failed", "completed"], ("completed", None)),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attempt_is_reported_as_far_as_envoy_shows_its_end() {
    let gateway = Gateway::start().await;
    let mut faults = Vec::new();
    for case in CASES {
        let before = gateway.counted().await;
        let entry = gateway.call(case.route, case.acts).await;
        let seen = gateway.counted_since(&before, case.counted.len() as i64).await;
        let mut expected = BTreeMap::new();
        for outcome in case.counted {
            *expected.entry((*outcome).to_owned()).or_insert(0) += 1;
        }
        let logged = (entry["gaugeway.outcome"].as_str(), entry["error.type"].as_str());
        if seen != expected || logged != (Some(case.logged.0), case.logged.1) || entry["error.type"] == "" {
            faults.push(format!("{}: counted {seen:?}, logged {logged:?}", case.what));
        }
        assert_eq!(entry["gen_ai.request.model"], "gpt-4o", "{}: {entry}", case.what);
        let tokens = entry["gen_ai.usage.input_tokens"].as_str().map(str::to_owned);
        let answered = case.logged.0 == "completed";
        assert_eq!(tokens, answered.then(|| TOKENS.0.to_string()), "{}: {entry}", case.what);
    }
    for (what, acts) in [("client disconnect before the head", "hang"), ("client disconnect after the head", "stall")] {
        let before = gateway.counted().await;
        let entry = gateway.disconnect(acts).await;
        let seen = gateway.counted_since(&before, 1).await;
        let logged = (entry["gaugeway.outcome"].as_str(), entry["error.type"].as_str());
        // Envoy writes the access log before it destroys the attempt.
        let is_logged = !matches!(logged, (None | Some("interrupted"), None));
        if is_logged || seen != BTreeMap::from([("client_disconnect".to_owned(), 1)]) {
            faults.push(format!("{what}: counted {seen:?}, logged {logged:?}"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}\n{}", gateway.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_last_attempt_of_a_call_packs_its_attributes() {
    let gateway = Gateway::start_with(r#""role": "upstream", "attributes": "packed""#).await;
    let tokens = Some(TOKENS.0);
    for (acts, outcome, error, tokens) in
        [("503 ok", "completed", None, tokens), ("reset 503", "error", Some("503"), None)]
    {
        let entry = gateway.call("/retry", acts).await;
        let packed = outputs::packed(&entry).unwrap_or_else(|| panic!("{acts}: {entry}"));
        let text = |key: &str| packed.get(key).and_then(Value::as_str);
        let counted = packed.get("gen_ai.usage.input_tokens").and_then(Value::as_u64);
        assert_eq!((text("gaugeway.outcome"), text("error.type"), counted), (Some(outcome), error, tokens), "{acts}");
    }
    // Envoy does not show that no attempt follows this one.
    let entry = gateway.call("", "reset").await;
    assert_eq!(outputs::packed(&entry), None, "{entry}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attempt_has_a_span_in_the_trace_of_the_call() {
    let collector = Collector::start().await;
    let settings = r#""role": "upstream", "otlp": {"cluster": "otlp", "metrics_path": ""}"#;
    let gateway = Gateway::exporting(settings, Some(collector.addr)).await;
    let calls = [
        ("ok", vec!["completed"]),
        ("503 ok", vec!["error", "completed"]),
        ("reset ok", vec!["attempt_failed", "completed"]),
        ("reset 503", vec!["attempt_failed", "error"]),
    ];
    for (acts, _) in &calls {
        gateway.call("/retry", acts).await;
    }
    let expected: Vec<_> = calls.into_iter().map(|(_, outcomes)| outcomes).collect();
    let mut spans = collector.spans_when(expected.iter().flatten().count(), PATIENCE).await;
    spans.sort_by_key(|span| span.start_time_unix_nano);
    let mut found: Vec<(&[u8], Vec<String>)> = Vec::new();
    for span in &spans {
        let outcome = text(&span.attributes, "gaugeway.outcome").unwrap();
        let (tokens, status) = (text(&span.attributes, "gen_ai.usage.input_tokens"), span.status.as_ref());
        assert_eq!(tokens, (outcome == "completed").then(|| TOKENS.0.to_string()), "{span:?}");
        assert_eq!(status.is_some_and(|status| status.code == 2), outcome != "completed", "{span:?}");
        match found.iter_mut().find(|(trace, _)| *trace == span.trace_id) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => found.push((&span.trace_id, vec![outcome])),
        }
    }
    let found: Vec<_> = found.into_iter().map(|(_, outcomes)| outcomes).collect();
    assert_eq!(found, expected);
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), spans.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirrored_request_is_counted_with_a_route_of_its_own() {
    let gateway = Gateway::start().await;
    // Reading the client's address would crash Envoy. The plugin reads it for encoded bodies of other requests.
    for (encoding, calls) in [(None, 1), (Some("gzip"), 2)] {
        let id = client::request_id();
        let mut request = request("/mirror", "ok", &id);
        if let Some(encoding) = encoding {
            request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        }
        let reply = client::send(gateway.envoy.addr, request, Http::One).await.unwrap();
        assert_eq!(reply.status, 200);
        let before = BTreeMap::from([(String::new(), 2 * calls - 2)]);
        gateway.counted_since(&before, 2).await;
        for metric in ["gaugeway_requests_total", "gaugeway_input_tokens_total"] {
            let counted = gateway.by_label(metric, "route").await;
            let each = if metric == "gaugeway_requests_total" { calls } else { calls * TOKENS.0 as i64 };
            let expected = [("mirror", each), ("(mirrored)", each)].map(|(route, count)| (route.to_owned(), count));
            assert_eq!(counted, BTreeMap::from(expected), "{metric}");
        }
        let hosts: Vec<_> = gateway.upstream.served().into_iter().filter(|one| one.request_id == id).collect();
        assert_eq!(hosts.len(), 2, "{hosts:?}");
        assert!(hosts.iter().any(|one| one.host == "api.openai.com-shadow"), "{hosts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_of_a_cluster_without_the_role_survives_a_mirrored_request() {
    let gateway = Gateway::start_as("listener").await;
    for _ in 0..2 {
        // Without a credential the caller is the client's address. Envoy crashes if that of a mirrored request is read.
        let request = request("/mirror", "ok", &client::request_id());
        assert_eq!(client::send(gateway.envoy.addr, request, Http::One).await.unwrap().status, 200);
    }
    let counted = gateway.counted_since(&BTreeMap::new(), 4).await;
    assert_eq!(counted, BTreeMap::from([("completed".to_owned(), 4)]), "{}", gateway.envoy.log());
}

struct Gateway {
    upstream: ActingUpstream,
    envoy: Envoy,
    _closed: Closed,
}

impl Gateway {
    /// `envoy/envoy.yaml` with `envoy/upstream-filter.yaml` in every cluster of the provider, and a route for each kind of end.
    async fn start() -> Self {
        Self::start_as("upstream").await
    }

    /// The same with another `role` of the plugin.
    async fn start_as(role: &str) -> Self {
        Self::start_with(&format!("\"role\": \"{role}\"")).await
    }

    /// The same with these settings of the plugin. The access log has the packed attributes, if there are any.
    async fn start_with(settings: &str) -> Self {
        Self::exporting(settings, None).await
    }

    /// The same with the collector of the cluster `otlp`.
    async fn exporting(settings: &str, otlp: Option<SocketAddr>) -> Self {
        let upstream = ActingUpstream::start().await;
        let closed = Closed::new();
        let path = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let plugin = std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test envoy");
        let filter = fs::read_to_string(path("envoy/upstream-filter.yaml")).unwrap();
        let filter = filter.replace("\"role\": \"upstream\"", settings);
        let filter: String =
            filter.replace("dist/gaugeway.wasm", &plugin).lines().map(|line| format!("\n    {line}")).collect();
        let cluster = |name: &str, port: u16| {
            format!(
                "name: {name}\n    type: STATIC{filter}\n    load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}"
            )
        };
        let route = |name: &str, rest: &str| {
            let cluster = if name == "refused" { "refused" } else { "llm" };
            format!(
                "{{name: {name}, match: {{prefix: /{name}/}}, route: {{cluster: {cluster}, prefix_rewrite: /, {rest}}}}}"
            )
        };
        let routes = [
            route("refused", "timeout: 0s"),
            route("short", "timeout: 0.4s"),
            route("try", "timeout: 10s, retry_policy: {retry_on: 'reset,5xx', num_retries: 1, per_try_timeout: 0.4s}"),
            route("retry", "timeout: 10s, retry_policy: {retry_on: 'reset,5xx', num_retries: 1}"),
            route("idle", "timeout: 0s, idle_timeout: 0.4s"),
            route("duration", "timeout: 0s, max_stream_duration: {max_stream_duration: 0.4s}"),
            route(
                "hedge",
                "timeout: 10s, hedge_policy: {hedge_on_per_try_timeout: true}, retry_policy: {retry_on: 5xx, num_retries: 1, per_try_timeout: 0.4s}",
            ),
            route("mirror", "timeout: 0s, request_mirror_policies: [{cluster: mirror}]"),
        ];
        let routes: Vec<_> = routes.iter().map(String::as_str).collect();
        let llm = "\n    load_assignment:\n      cluster_name: llm\n";
        let replace = vec![(llm.to_owned(), format!("{filter}{llm}")), outputs::logging_packed()];
        let clusters = [cluster("refused", closed.addr.port()), cluster("mirror", upstream.addr.port())];
        let options = Options { plugin: false, replace, otlp, ..Options::to(upstream.addr) }.with(&routes, &clusters);
        Self { envoy: Envoy::start(&options).await, upstream, _closed: closed }
    }

    /// Makes a call to a route, of which each attempt has its word in `acts`. Returns its line in the access log.
    async fn call(&self, route: &str, acts: &str) -> Value {
        let id = client::request_id();
        // The answer of some calls breaks off.
        let _ = client::send(self.envoy.addr, request(route, acts, &id), Http::One).await;
        self.entry(&id).await
    }

    /// Makes a call and disconnects after the head of the answer, or at once if `acts` gives none.
    async fn disconnect(&self, acts: &str) -> Value {
        let id = client::request_id();
        let body = body();
        let bytes = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\nx-request-id: {id}\r\nx-acts: {acts}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut raw = Raw::send(self.envoy.addr, bytes.as_bytes()).await.unwrap();
        if acts == "stall" {
            assert!(raw.read_until(b"\r\n\r\n{").await.unwrap());
        }
        let end = Instant::now() + PATIENCE;
        while !self.upstream.served().iter().any(|one| one.request_id == id) {
            assert!(Instant::now() < end, "the request did not reach the upstream");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(raw);
        self.entry(&id).await
    }

    async fn entry(&self, id: &str) -> Value {
        let entry = self.envoy.entry(id, PATIENCE).await;
        entry.unwrap_or_else(|| panic!("the access log has no line for {id}:\n{}", self.envoy.log()))
    }

    /// Number of attempts by outcome.
    async fn counted(&self) -> BTreeMap<String, i64> {
        self.by_label("gaugeway_requests_total", "outcome").await
    }

    /// The same since `before`, once there are `count`.
    async fn counted_since(&self, before: &BTreeMap<String, i64>, count: i64) -> BTreeMap<String, i64> {
        let sum = |counted: &BTreeMap<String, i64>| counted.values().sum::<i64>();
        let end = Instant::now() + Duration::from_secs(3);
        let mut since = self.counted().await;
        while sum(&since) < sum(before) + count && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
            since = self.counted().await;
        }
        for (outcome, count) in before {
            *since.entry(outcome.clone()).or_default() -= count;
        }
        since.retain(|_, count| *count != 0);
        since
    }

    /// The sums of a counter by a label. They are read from Envoy's own names: before 1.39 these begin with the name of a
    /// cluster, and Prometheus shows no labels.
    async fn by_label(&self, metric: &str, label: &str) -> BTreeMap<String, i64> {
        let mut sums = BTreeMap::new();
        for line in self.envoy.admin(&format!("/stats?filter={metric}")).await.lines() {
            let (name, count) = line.rsplit_once(": ").expect("a line of /stats has a value");
            let value = name.split_once(&format!("{label}=.=")).expect("the series has no such label").1;
            let value = value.split(";.;").next().unwrap_or_default();
            *sums.entry(value.to_owned()).or_default() += count.parse::<i64>().unwrap();
        }
        sums
    }
}

fn body() -> String {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Is it?"}]}).to_string()
}

fn request(route: &str, acts: &str, id: &str) -> Request<Full<bytes::Bytes>> {
    let request = Request::post(format!("{route}/v1/chat/completions")).header("host", "api.openai.com");
    let request = request.header("x-request-id", id).header("x-acts", acts).header("content-type", "application/json");
    request.body(Full::from(body())).unwrap()
}
