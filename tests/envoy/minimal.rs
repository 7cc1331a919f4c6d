//! `envoy/minimal.yaml` is short, and what the plugin exports with it is complete: each exchange leads to one span with typed
//! attributes, and the metrics are the sums of all exchanges. So it is if clients disconnect and if the collector fails for a while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::replay::timed;
use crate::support::client::{self, Http};
use crate::support::core::{self, TIMING};
use crate::support::envoy::{Envoy, Options};
use crate::support::expect::{self, Series};
use crate::support::fixtures::Fixture;
use crate::support::otlp::{Answer, Attribute, Receiver, Span};
use crate::support::points;
use crate::support::upstream::Upstream;
use gaugeway::config::Config;
use gaugeway::exchange::Exchange;
use gaugeway::observation::Observation;
use gaugeway::sink::attributes::{ATTRIBUTES, AttributeType};
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(20);
/// The number of calls that are made at the same time.
const TOGETHER: usize = 24;

#[test]
fn the_minimal_configuration_has_at_most_60_lines_and_one_key_in_each() {
    let yaml = shipped();
    assert!(yaml.lines().count() <= 60, "envoy/minimal.yaml has {} lines", yaml.lines().count());
    for line in yaml.lines() {
        let code = line.split(" #").next().unwrap();
        // The plugin's configuration is JSON in a string.
        let is_block =
            code.trim_start().starts_with("value: '") || !code.contains(['{', '[']) && code.matches(": ").count() <= 1;
        assert!(is_block, "envoy/minimal.yaml must be in block style: {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_minimal_configuration_exports_the_spans_and_metrics_of_every_fixture() {
    let site = Site::start().await;
    let calls = site.send(Fixture::all(), |_| false).await;
    let spans = site.assert_one_span_for_each(&calls).await;
    site.assert_sums(&calls, &spans).await;

    let (count, faults) = points::exemplar_faults(&site.receiver.points(), &spans);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(count >= 200, "there are only {count} exemplars");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_if_every_fifth_client_disconnects_and_the_collector_fails_for_a_while() {
    let site = Site::start().await;
    site.receiver.script("/v1/metrics", [Answer::Close, Answer::status(503)]);
    let outage = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        site.receiver.down(true);
        tokio::time::sleep(Duration::from_secs(3)).await;
        site.receiver.down(false);
    };
    let fixtures = Fixture::all().into_iter().filter(Fixture::counts_each_time).collect();
    let (calls, ()) = tokio::join!(site.send(fixtures, |number| number % 5 == 4), outage);
    let spans = site.assert_one_span_for_each(&calls).await;
    site.assert_sums(&calls, &spans).await;
}

struct Site {
    upstream: Arc<Upstream>,
    receiver: Receiver,
    envoy: Envoy,
}

/// A call of a fixture.
struct Call {
    fixture: Fixture,
    /// The trace that the client has begun.
    trace: String,
    /// The client has disconnected before the end of the answer.
    cut: bool,
}

impl Site {
    async fn start() -> Self {
        let upstream = Arc::new(Upstream::start(Fixture::all()).await);
        let receiver = Receiver::start().await;
        let options = Options { concurrency: 2, ..Options::to(upstream.addr) };
        let yaml = yaml(upstream.addr, receiver.addr);
        let envoy = Envoy::try_start_as(yaml, &options).await.unwrap_or_else(|error| panic!("{error}"));
        Self { upstream, receiver, envoy }
    }

    /// Makes a call of each fixture. The clients of those for which `cut` holds disconnect.
    async fn send(&self, fixtures: Vec<Fixture>, cut: impl Fn(usize) -> bool) -> Vec<Call> {
        assert!(fixtures.len() > 100, "only {} fixtures were found", fixtures.len());
        let (mut calls, places) = (JoinSet::new(), Arc::new(Semaphore::new(TOGETHER)));
        for (number, fixture) in fixtures.into_iter().enumerate() {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let (addr, upstream) = (self.envoy.addr, Arc::clone(&self.upstream));
            let call = Call { trace: format!("{:032x}", number + 1), cut: cut(number), fixture };
            calls.spawn(async move {
                call.make(addr, &upstream).await;
                drop(place);
                call
            });
        }
        calls.join_all().await
    }

    /// Waits for the spans of these calls and compares them with the fixtures' observations. Returns them.
    async fn assert_one_span_for_each(&self, calls: &[Call]) -> Vec<Span> {
        let expected = calls.iter().filter(|call| !call.fixture.observation.is_empty()).count();
        let arrived = |spans: &[Span]| spans.iter().filter(|span| span.kind == "CLIENT").count();
        let mut spans = Vec::new();
        let end = Instant::now() + PATIENCE;
        while arrived(&spans) < expected && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(100)).await;
            spans = self.receiver.spans();
        }
        let mut faults: Vec<_> = spans.iter().flat_map(type_faults).collect();
        for call in calls {
            let own: Vec<_> = spans.iter().filter(|span| span.kind == "CLIENT" && call.is_of(span)).collect();
            let found = match (call.fixture.observation.is_empty(), &own[..]) {
                (true, []) => Vec::new(),
                (false, [span]) => call.span_faults(span),
                _ => vec![format!("there must be one span, and none if it is no LLM traffic: {own:?}")],
            };
            faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", call.fixture.id)));
        }
        assert!(
            faults.is_empty(),
            "{} faults:\n{}\nEnvoy's log:\n{}",
            faults.len(),
            faults.join("\n"),
            self.envoy.log()
        );
        assert_eq!(arrived(&spans), expected, "spans of calls");
        spans
    }

    /// Waits for the metrics of these calls. Each must be the sum of what the calls' spans or fixtures say.
    async fn assert_sums(&self, calls: &[Call], spans: &[Span]) {
        let is_cut = calls.iter().any(|call| call.cut);
        let expected = comparable(expected(calls, spans), is_cut);
        let seen = || comparable(expect::series(&points::samples(&self.receiver)), is_cut);
        let end = Instant::now() + PATIENCE;
        while seen() != expected && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let mut faults = expect::series_faults(&expected, &seen());
        faults.extend(points::faults(&self.receiver.points()));
        let log = self.envoy.log();
        assert!(faults.is_empty(), "{} faults:\n{}\nEnvoy's log:\n{log}", faults.len(), faults.join("\n"));
        assert!(expected.len() > 500, "only {} series were compared", expected.len());
    }
}

impl Call {
    async fn make(&self, addr: SocketAddr, upstream: &Upstream) {
        let streamed = self.fixture.response.events.len() > 1;
        let travel = match (self.cut, streamed) {
            (false, _) => "",
            (true, true) => "gap=10000",
            (true, false) => "wait=10000",
        };
        let (id, parent) = (client::request_id(), format!("00-{}-{}-01", self.trace, &self.trace[16..]));
        // Each call has a caller of its own: none continues the run of another.
        let headers =
            [("traceparent", parent.as_str()), ("x-upstream", travel), ("x-request-id", &id), ("x-auth-token", &id)];
        let request = client::request(&self.fixture, &headers);
        let what = &self.fixture.id;
        if !self.cut {
            client::send(addr, request, Http::One).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        } else if streamed {
            let mut open =
                client::open(addr, request, Http::One).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            open.response.body_mut().frame().await.expect("a stream has an event").unwrap();
        } else {
            // The future, and with it the connection, is dropped when the upstream has the request.
            tokio::select! {
                _ = client::open(addr, request, Http::One) => panic!("{what}: the answer came before the client disconnected"),
                received = upstream.take_request(&id, PATIENCE) => assert!(received.is_some(), "{what}: no request arrived"),
            }
        }
    }

    /// Returns true for the span of this call. Those of the later calls of an agent's run are in the trace of the first one, and
    /// link to the client's.
    fn is_of(&self, span: &Span) -> bool {
        *span.links.first().map_or(&span.trace_id, |(trace, _)| trace) == self.trace
    }

    fn span_faults(&self, span: &Span) -> Vec<String> {
        let (expected, seen) = (&self.fixture.observation, observation(span));
        let text = |key: &str| expected.get(key).and_then(Value::as_str);
        let name = ["gen_ai.operation.name", "gen_ai.request.model"]
            .into_iter()
            .filter_map(text)
            .collect::<Vec<_>>()
            .join(" ");
        let mut faults = Vec::new();
        if span.name != name {
            faults.push(format!("the span is called {:?}, not {name:?}", span.name));
        }
        if self.cut {
            // The provider can depend on the answer.
            let of_the_request = |key: &str| key.starts_with("gen_ai.operation.") || key.starts_with("gen_ai.request.");
            let part = |all: &Map<String, Value>| -> Map<String, Value> {
                all.clone().into_iter().filter(|(key, _)| of_the_request(key)).collect()
            };
            faults.extend(core::differences(&part(expected), &part(&seen)));
            if span.text("gaugeway.outcome") != Some("client_disconnect") {
                faults.push(format!(
                    "the client has disconnected, but the outcome is {:?}",
                    span.text("gaugeway.outcome")
                ));
            }
            return faults;
        }
        let timed = timed(expect::in_the_core(&self.fixture).as_ref());
        let clocks: Vec<_> = TIMING.iter().filter(|key| seen.contains_key(**key)).copied().collect();
        if clocks != timed {
            faults.push(format!("expected times in {timed:?}, saw them in {clocks:?}"));
        }
        faults.extend(core::differences(expected, &seen));
        faults
    }
}

/// The series that these calls must lead to. What a call has done before its client disconnected is only in its span.
fn expected(calls: &[Call], spans: &[Span]) -> Series {
    let (mut series, config, cut) = (Series::new(), Config::parse("").unwrap(), Observation::default());
    for call in calls.iter().filter(|call| !call.fixture.observation.is_empty()) {
        if call.cut {
            let span = spans.iter().find(|span| span.kind == "CLIENT" && call.is_of(span)).unwrap();
            let seen = observation(span);
            let timed: Vec<_> = TIMING.iter().filter(|key| seen.contains_key(**key)).copied().collect();
            expect::add_series(&mut series, &seen, &timed, Some(&cut), &config);
        } else {
            let exchange = expect::in_the_core(&call.fixture);
            let seen = exchange.as_ref().map(Exchange::observation);
            let timed = timed(exchange.as_ref());
            expect::add_series(&mut series, &call.fixture.observation, &timed, seen, &config);
        }
    }
    series
}

/// The series without the route, which has no name in the minimal configuration. If calls were cut, without the metrics of agents'
/// runs: how a run ends is not in the spans of its calls.
fn comparable(series: Series, is_cut: bool) -> Series {
    let mut comparable = Series::new();
    for ((name, mut labels), value) in series {
        let metric = name.strip_suffix("_count").unwrap_or(&name);
        if !(is_cut && expect::BY_THE_CORE.contains(&metric)) {
            labels.remove("route");
            *comparable.entry((name, labels)).or_default() += value;
        }
    }
    comparable
}

/// The attributes of a span as in an `observation.json`.
fn observation(span: &Span) -> Map<String, Value> {
    let json = |value: &Attribute| match value {
        Attribute::String(text) | Attribute::Other(text) => Value::from(text.as_str()),
        Attribute::Int(number) => Value::from(*number),
        Attribute::Double(number) => Value::from(*number),
        Attribute::Bool(is) => Value::from(*is),
        Attribute::Strings(list) => Value::from(list.as_slice()),
    };
    span.attributes.iter().map(|(key, value)| (key.clone(), json(value))).collect()
}

/// Lists the attributes of a call's span that are not in the table, or have another type there.
fn type_faults(span: &Span) -> Vec<String> {
    let fault = |(key, value): (&String, &Attribute)| {
        let row = ATTRIBUTES.iter().find(|row| row.name == key)?;
        let kind = match row.kind() {
            AttributeType::String => "string",
            AttributeType::Strings => "strings",
            AttributeType::Int => "int",
            AttributeType::Double => "double",
            AttributeType::Bool => "bool",
        };
        (value.kind() != kind).then(|| format!("{}: {key} is {value:?}, not of the type {kind}", span.name))
    };
    let unknown = span.attributes.keys().filter(|key| ATTRIBUTES.iter().all(|row| row.name != *key));
    let unknown = unknown.filter(|_| span.kind == "CLIENT").map(|key| format!("{}: {key} is in no table", span.name));
    span.attributes.iter().filter_map(fault).chain(unknown).collect()
}

fn shipped() -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/minimal.yaml")).unwrap()
}

/// The shipped file with the addresses and the interval of this run, and with the admin port that the tests need.
fn yaml(upstream: SocketAddr, collector: SocketAddr) -> String {
    let wasm = std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test");
    let mut yaml = shipped();
    for (from, to) in [
        ("port_value: 4318", format!("port_value: {}", collector.port())),
        ("port_value: 8080", format!("port_value: {}", upstream.port())),
        ("port_value: 10000", "port_value: 0".to_owned()),
        // Metrics are exported every second instead of every ten.
        ("\"collector\"}", "\"collector\", \"interval\": 1}".to_owned()),
        ("filename: dist/gaugeway.wasm", format!("filename: {wasm}")),
    ] {
        assert_eq!(yaml.matches(from).count(), 1, "envoy/minimal.yaml must contain {from:?} once");
        yaml = yaml.replace(from, &to);
    }
    yaml + "\nadmin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n"
}
