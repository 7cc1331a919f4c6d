//! The processes of envoy/docker-compose.yaml without containers, and with the files that it mounts: the plugin sends spans and metrics
//! to the Collector, which passes them to Jaeger and Prometheus 3. What both have is what the fixtures say.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::programs::{Collector, Jaeger, Prometheus, program};
use crate::support::backend::free;
use crate::support::client::{self, Http};
use crate::support::compose::{command, mounts, service};
use crate::support::core;
use crate::support::envoy::{Envoy, Options};
use crate::support::expect::{self, Series};
use crate::support::fixtures::Fixture;
use crate::support::manifests::path;
use crate::support::prometheus::Sample;
use gaugeway::config::{Config, Conventions};
use gaugeway::labels::LABELS;
use gaugeway::sink::attributes::{ATTRIBUTES, AttributeType};
use gaugeway::sink::stats::{METRICS, Metric, MetricKind};
use gaugeway_demo::recorded;
use serde_json::{Map, Value};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(90);
/// The number of calls that are made at the same time.
const TOGETHER: usize = 16;
const SCRAPED: &str = "\"127.0.0.1:9901\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_of_every_fixture_arrive_through_the_collector_in_prometheus_3_by_otlp_and_by_scrape() {
    let site = Site::start(unused()).await;
    let calls = site.send().await;
    let expected = expected(&calls);
    assert!(expected.len() > 500, "only {} series are expected", expected.len());
    let scraping = Prometheus::start(|yaml| scrapes_the_collector(&yaml, site.collector.scraped)).await;
    for (how, prometheus) in [("OTLP", &site.prometheus), ("scrape", &scraping)] {
        let end = Instant::now() + PATIENCE;
        let mut seen = series(prometheus).await;
        while seen != expected && Instant::now() < end {
            tokio::time::sleep(Duration::from_secs(1)).await;
            seen = series(prometheus).await;
        }
        let faults = expect::series_faults(&expected, &seen);
        let log = site.collector.backend.log();
        assert!(faults.is_empty(), "{how}: {} faults:\n{}\n{log}", faults.len(), faults.join("\n"));
        // Exact sums of seconds, which Envoy's statistics do not have.
        let sums = prometheus.query("sum(gen_ai_client_inference_duration_seconds_sum)").await;
        assert!(sums[0].value > 0.0 && sums[0].value < 3600.0, "{how}: {sums:?}");
    }
    // A scrape sees only the exemplars of the export before it.
    let path = "/api/v1/query_exemplars?query=gen_ai_client_inference_duration_seconds_bucket&start=0&end=9999999999";
    let exemplars = site.prometheus.api(path).await;
    let of_a_trace = &exemplars[0]["exemplars"][0]["labels"]["trace_id"];
    assert!(of_a_trace.as_str().is_some_and(|id| id.len() == 32), "no exemplar names a trace: {exemplars}");
    site.assert_rules().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spans_of_every_fixture_arrive_through_the_collector_in_jaeger_with_types() {
    let jaeger = Jaeger::start().await;
    let site = Site::start(jaeger.otlp).await;
    let calls = site.send().await;
    site.assert_spans(&jaeger, &calls).await;
}

#[tokio::test]
async fn promtool_of_prometheus_3_accepts_the_configuration_and_every_rule_passes_its_tests() {
    let mut tests: Vec<_> =
        fs::read_dir(path("envoy/prometheus/tests")).unwrap().map(|file| file.unwrap().path()).collect();
    tests.sort();
    assert!(tests.len() > 1, "{tests:?}");
    let tests: Vec<_> = tests.iter().map(|file| file.to_str().unwrap()).collect();
    for arguments in [
        &["check", "config", "envoy/prometheus/prometheus.yml"][..],
        &["check", "rules", "--lint-fatal", "envoy/prometheus/recording.yml", "envoy/prometheus/alerts.yml"],
        &[&["test", "rules"], &tests[..]].concat(),
    ] {
        let promtool = Command::new(program("prometheus", "promtool")).args(arguments).current_dir(path("")).output();
        let output = promtool.await.unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
    }
}

struct Site {
    /// Gets the metrics by OTLP.
    prometheus: Prometheus,
    collector: Collector,
    envoy: Envoy,
}

impl Site {
    async fn start(jaeger: SocketAddr) -> Self {
        let [admin, provider] = free();
        let mut serve = command("provider").split_off(1);
        assert_eq!(serve[1], "127.0.0.1:8080");
        serve[1] = provider.to_string();
        tokio::spawn(async move {
            let Err(why) = recorded::run(&serve).await;
            panic!("{why}");
        });
        let prometheus = Prometheus::start(|yaml| replaced(&yaml, &[(SCRAPED, format!("\"{admin}\""))])).await;
        let collector = Collector::start(jaeger, prometheus.addr).await;
        let yaml = envoy_yaml(provider, collector.otlp, admin);
        let options = Options { concurrency: 2, ..Options::to(provider) };
        let envoy = Envoy::try_start_as(yaml, &options).await.unwrap_or_else(|error| panic!("{error}"));
        Self { prometheus, collector, envoy }
    }

    /// Makes a call of each fixture in a trace of its own, and returns the fixtures by trace.
    async fn send(&self) -> BTreeMap<String, Fixture> {
        let (mut calls, places) = (JoinSet::new(), Arc::new(Semaphore::new(TOGETHER)));
        for (number, fixture) in Fixture::all().into_iter().enumerate() {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let addr = self.envoy.addr;
            calls.spawn(async move {
                // Jaeger leaves out the first half of an identifier if it is zero.
                let trace = format!("{0:016x}{0:016x}", number + 1);
                let (id, parent) = (client::request_id(), format!("00-{trace}-{}-01", &trace[16..]));
                // Each call has a caller of its own: none continues the run of another.
                let headers = [("traceparent", parent.as_str()), ("x-request-id", &id), ("x-auth-token", &id)];
                let sent = client::send(addr, client::request(&fixture, &headers), Http::One).await;
                sent.unwrap_or_else(|error| panic!("{}: {error}", fixture.id));
                drop(place);
                (trace, fixture)
            });
        }
        calls.join_all().await.into_iter().collect()
    }

    async fn assert_spans(&self, jaeger: &Jaeger, calls: &BTreeMap<String, Fixture>) {
        let reported = calls.values().filter(|call| !call.observation.is_empty()).count();
        let end = Instant::now() + PATIENCE;
        let of_calls = |spans: Vec<Value>| -> BTreeMap<String, Value> {
            let clients = spans.into_iter().filter(|span| tag(span, "span.kind") == Some(&"client".into()));
            clients.map(|span| (trace(&span), span)).collect()
        };
        let mut spans = BTreeMap::new();
        while spans.len() < reported && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(500)).await;
            spans = of_calls(jaeger.spans("gaugeway").await);
        }
        let mut faults = Vec::new();
        for (trace, call) in calls {
            let of_the_call = match (spans.get(trace), call.observation.is_empty()) {
                (None, true) => Vec::new(),
                (Some(span), false) => span_faults(call, span),
                (found, _) => vec![format!("there must be one span, and none if it is no LLM traffic: {found:?}")],
            };
            faults.extend(of_the_call.into_iter().map(|fault| format!("{}: {fault}", call.id)));
        }
        let log = self.collector.backend.log();
        assert!(faults.is_empty(), "{} faults:\n{}\n{log}", faults.len(), faults.join("\n"));
        assert!(reported > 200 && spans.len() == reported, "{} of {reported} spans", spans.len());
    }

    /// The shipped rules have results from OTLP's names.
    async fn assert_rules(&self) {
        let tokens = self.prometheus.query_when("sum(llm_token_usage_tokens_total)", PATIENCE).await[0].value;
        let counted =
            self.prometheus.query("sum(gaugeway_input_tokens_total) + sum(gaugeway_output_tokens_total)").await[0]
                .value;
        assert_eq!(tokens, counted, "llm_token_usage_tokens_total");
        let cost = self.prometheus.query_when("sum(llm_request_cost_USD_total)", PATIENCE).await[0].value;
        let counted = self.prometheus.query("sum(gaugeway_cost_usd_total)").await[0].value;
        assert!((cost - counted).abs() < 1e-6 && cost > 0.0, "llm_request_cost_USD_total is {cost}, not {counted}");
        for recorded in ["llm_request_duration_seconds_bucket", "agent_iterations_bucket", "llm_request_count"] {
            let found = self.prometheus.query_when(recorded, PATIENCE).await;
            assert!(found.iter().any(|series| series.value > 0.0), "{recorded}: {found:?}");
        }
        let groups = self.prometheus.api("/api/v1/rules").await;
        let rules: Vec<_> =
            groups["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
        assert!(rules.len() > 40, "only {} rules", rules.len());
        for rule in rules {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
    }
}

/// An address with a free port: no server listens there.
fn unused() -> SocketAddr {
    free::<1>()[0]
}

/// The configuration that the command of Envoy's container makes, with other addresses.
fn envoy_yaml(provider: SocketAddr, collector: SocketAddr, admin: SocketAddr) -> String {
    let words = command("envoy");
    assert_eq!(&words[..2], ["/bin/sh", "-c"]);
    let (script, start) = words[2].split_once(" && exec ").expect("the script does not end with exec");
    let made = std::env::temp_dir().join(format!("gaugeway-mesh-envoy-{}.yaml", std::process::id()));
    let mut script = script.replace("/tmp/envoy.yaml", made.to_str().unwrap());
    for (from, to) in mounts(&service("envoy")) {
        script = script.replace(to.to_str().unwrap(), from.to_str().unwrap());
    }
    let shell = std::process::Command::new(&words[0]).arg("-c").arg(&script).status().unwrap();
    assert!(shell.success(), "{script}");
    let yaml = fs::read_to_string(&made).unwrap();
    fs::remove_file(&made).unwrap();

    // The rest of the command gives Envoy a name and an admin port.
    let end = start.strip_prefix(
        "envoy --config-path /tmp/envoy.yaml --service-node gateway --service-cluster gateway --config-yaml '",
    );
    let more = end.and_then(|end| end.strip_suffix('\'')).unwrap_or_else(|| panic!("another command: {start}"));
    let wasm = std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test mesh");
    let made = format!("{yaml}\nnode: {{id: gateway, cluster: gateway}}\n{more}\n");
    let local = [
        ("port_value: 4318", format!("port_value: {}", collector.port())),
        ("port_value: 8080", format!("port_value: {}", provider.port())),
        ("0.0.0.0\n        port_value: 10000", "127.0.0.1\n        port_value: 0".to_owned()),
        ("0.0.0.0, port_value: 9901", format!("127.0.0.1, port_value: {}", admin.port())),
        ("filename: dist/gaugeway.wasm", format!("filename: {wasm}")),
    ];
    replaced(&made, &local)
}

/// The shipped configuration with the job that scrapes the Collector in place of the one that scrapes Envoy.
fn scrapes_the_collector(yaml: &str, collector: SocketAddr) -> String {
    let (before, job) =
        yaml.split_once("# - job_name: collector\n").expect("prometheus.yml has no job for the Collector");
    let job: String =
        job.lines().take_while(|line| line.starts_with("#   ")).map(|line| format!("{}\n", &line[2..])).collect();
    let before = before.split_once("- job_name: envoy\n").unwrap().0;
    replaced(&format!("{before}- job_name: collector\n{job}"), &[("127.0.0.1:9464", collector.to_string())])
}

fn replaced(text: &str, replacements: &[(&str, String)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in replacements {
        assert_eq!(text.matches(from).count(), 1, "{from:?} must occur once in {text}");
        text = text.replace(from, to);
    }
    text
}

fn expected(calls: &BTreeMap<String, Fixture>) -> Series {
    let (mut all, config) = (Series::new(), Config::parse("").unwrap());
    for call in calls.values().filter(|call| !call.observation.is_empty()) {
        let exchange = expect::in_the_core(call);
        let seen = exchange.as_ref().map(gaugeway::exchange::Exchange::observation);
        expect::add_series(&mut all, &call.observation, &timed(call), seen, &config);
    }
    without_route(all)
}

/// The attributes that depend on the clock and that the call must have.
fn timed(call: &Fixture) -> Vec<&'static str> {
    let exchange = expect::in_the_core(call);
    let seen = exchange.map(|exchange| core::attributes(exchange.observation())).unwrap_or_default();
    core::TIMING.iter().copied().filter(|key| seen.contains_key(*key)).collect()
}

/// The series in Prometheus, with the names of Envoy's statistics. They have no label `route`, because the route in minimal.yaml has no name.
async fn series(prometheus: &Prometheus) -> Series {
    let samples =
        prometheus.query("{__name__=~\"(gaugeway|gen_ai)_.+\", __name__!~\".+_bucket\", job=\"gaugeway\"}").await;
    without_route(expect::series(&samples.iter().filter_map(as_of_envoy).collect::<Vec<_>>()))
}

fn without_route(all: Series) -> Series {
    let mut without = Series::new();
    for ((name, mut labels), value) in all {
        labels.remove("route");
        *without.entry((name, labels)).or_default() += value;
    }
    without
}

fn as_of_envoy(sample: &Sample) -> Option<Sample> {
    let is = |metric: &&Metric| metric.is_in(Conventions::V0_1) && sample.name == in_prometheus(metric);
    let metric = METRICS.iter().find(is)?;
    let label = |key: &str| LABELS.iter().find(|label| label.attribute.replace('.', "_") == key);
    let labels = sample.labels.iter().filter_map(|(key, value)| Some((label(key)?.name.to_owned(), value.clone())));
    let (name, value) = match metric.kind {
        MetricKind::Histogram => (format!("{}_count", metric.name), sample.value),
        _ => (metric.name.to_owned(), (sample.value * metric.scale.divisor().unwrap_or(1.0)).round()),
    };
    Some(Sample { name, labels: labels.collect(), value })
}

/// The name by the translation in OpenTelemetry's specification "Prometheus and OpenMetrics Compatibility", of the series that counts.
fn in_prometheus(metric: &Metric) -> String {
    let name = metric.otlp.replace('.', "_");
    let unit = if metric.otlp_unit() == "s" { "_seconds" } else { "" };
    match metric.kind {
        MetricKind::Counter => format!("{name}{unit}_total"),
        MetricKind::Histogram => format!("{name}{unit}_count"),
        MetricKind::Gauge => format!("{name}{unit}"),
    }
}

fn tag<'a>(span: &'a Value, key: &str) -> Option<&'a Value> {
    let tags = span["tags"].as_array().unwrap();
    tags.iter().find(|tag| tag["key"] == key).map(|tag| &tag["value"])
}

/// The trace that the client has begun. A later call of an agent's run is in the trace of the first one, and follows from the client's.
fn trace(span: &Value) -> String {
    let references = span["references"].as_array().into_iter().flatten();
    let link = references.clone().find(|reference| reference["refType"] == "FOLLOWS_FROM");
    link.unwrap_or(span)["traceID"].as_str().unwrap().to_owned()
}

/// Lists the differences between a call's span in Jaeger and its fixture, also in types.
fn span_faults(call: &Fixture, span: &Value) -> Vec<String> {
    let (mut seen, mut faults) = (Map::new(), Vec::new());
    for row in ATTRIBUTES {
        let tags: Vec<_> = span["tags"].as_array().unwrap().iter().filter(|tag| tag["key"] == row.name).collect();
        let Some(tag) = tags.first() else { continue };
        let kind = match row.kind() {
            AttributeType::String | AttributeType::Strings => "string",
            AttributeType::Int => "int64",
            AttributeType::Double => "float64",
            AttributeType::Bool => "bool",
        };
        if tags.len() != 1 || tag["type"] != kind {
            faults.push(format!("{} must be one {kind}: {tags:?}", row.name));
        }
        // Jaeger shows a list as JSON.
        let list = row.kind() == AttributeType::Strings;
        let value =
            if list { serde_json::from_str(tag["value"].as_str().unwrap()).unwrap() } else { tag["value"].clone() };
        seen.insert(row.name.to_owned(), value);
    }
    let clocks: Vec<_> = core::TIMING.iter().filter(|key| seen.contains_key(**key)).copied().collect();
    if clocks != timed(call) {
        faults.push(format!("times in {clocks:?}"));
    }
    let text = |key: &str| call.observation.get(key).and_then(Value::as_str);
    let name =
        ["gen_ai.operation.name", "gen_ai.request.model"].into_iter().filter_map(text).collect::<Vec<_>>().join(" ");
    if span["operationName"] != name {
        faults.push(format!("the span is called {}, not {name:?}", span["operationName"]));
    }
    faults.extend(core::differences(&call.observation, &seen));
    faults
}
