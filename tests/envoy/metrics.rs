//! The metrics that the plugin sends as OTLP from real Envoys: exact sums, exemplars that lead to spans, workers and proxies that do
//! not share a series, a collector that is down, and changes of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::agent::{Conversation, Line, to_both_workers};
use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Point, PointKind, PointTemporality, PointValue, Receiver};
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
const REQUESTS: &str = "gaugeway.requests";
const INPUT: &str = "gen_ai.client.inference.usage.input_tokens";
const DURATION: &str = "gen_ai.client.inference.duration";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sums_are_those_of_envoys_statistics_and_durations_are_exact() {
    let site = Site::start(json!({})).await;
    site.calls(50).await;
    site.assert_counted(50.0).await;
    let samples = site.envoys[0].samples().await;
    for (name, statistic, divisor) in [
        (INPUT, "gen_ai_client_inference_usage_input_tokens_total", 1.0),
        ("gaugeway.input.tokens", "gaugeway_input_tokens_total", 1.0),
        ("gaugeway.output.tokens", "gaugeway_output_tokens_total", 1.0),
        ("gaugeway.cost.usd", "gaugeway_cost_nanousd_total", 1e9),
    ] {
        let points = site.collector.latest(name);
        let sum: f64 = points.iter().map(|point| point.value.number()).sum();
        let expected = total(&samples, statistic, &[]);
        assert!(expected > 0.0 && (sum * divisor).round() == expected, "{name}: {sum}, not {expected} / {divisor}");
        for point in &points {
            assert_eq!((point.kind, point.monotonic), (PointKind::Sum, true), "{name}");
            assert_eq!(point.temporality, PointTemporality::Cumulative, "{name}");
            assert!(0 < point.start && point.start < point.time, "{name}: {point:?}");
        }
    }
    let spans = site.collector.spans_of(50, PATIENCE).await;
    let spent: u64 = spans.iter().map(|span| span.end - span.start).sum();
    let durations = site.collector.latest(DURATION);
    let sum: f64 = durations.iter().map(|point| point.value.number()).sum();
    assert!(
        (sum - spent as f64 / 1e9).abs() < 1e-9,
        "the durations add up to {sum} s, those of the spans to {spent} ns"
    );
    assert!(durations.iter().all(|point| point.unit == "s" && point.kind == PointKind::Histogram));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_exemplar_leads_to_a_span_whose_duration_is_in_its_bucket() {
    let site = Site::start(json!({"otlp": {"interval": 1}})).await;
    let mut lines = to_both_workers(&site.envoys[0]).await;
    for round in 0..60 {
        for (line, wait) in lines.iter_mut().zip([round % 7 * 9, round % 5 * 15]) {
            Conversation::plain().turn(line, &format!("echo wait={wait}")).await;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    site.assert_counted(120.0).await;
    let spans = site.collector.spans_of(120, PATIENCE).await;
    let mut seen = 0;
    for point in site.collector.points().iter().filter(|point| point.name == DURATION) {
        let PointValue::Histogram { explicit_bounds, bucket_counts, .. } = &point.value else { panic!("{point:?}") };
        for exemplar in &point.exemplars {
            let of = |span: &&_| -> bool {
                let span: &crate::support::otlp::Span = span;
                (&span.trace_id, &span.span_id) == (&exemplar.trace_id, &exemplar.span_id)
            };
            let span = spans.iter().find(of).unwrap_or_else(|| panic!("no span belongs to {exemplar:?}"));
            let duration = (span.end - span.start) as f64 / 1e9;
            let bucket = |value: f64| explicit_bounds.iter().filter(|bound| **bound < value).count();
            assert_eq!(bucket(duration), bucket(exemplar.value.number()), "{exemplar:?} {duration}");
            assert!(bucket_counts[bucket(duration)] > 0, "{point:?}");
            assert!((span.start..=span.end).contains(&exemplar.time), "{exemplar:?} {span:?}");
            seen += 1;
        }
    }
    assert!(seen >= 40, "only {seen} exemplars");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_with_two_workers_each_are_four_instances() {
    let site = Site::with(json!({}), 2).await;
    for envoy in &site.envoys {
        let mut lines = to_both_workers(envoy).await;
        calls(&mut lines, 10).await;
    }
    site.assert_counted(20.0).await;
    let points = site.collector.latest(REQUESTS);
    let instances: BTreeSet<_> = points.iter().map(|point| point.instance().to_owned()).collect();
    assert_eq!(instances.len(), 4, "{instances:?}");
    let proxies: BTreeSet<_> = instances.iter().map(|instance| instance.rsplit_once('/').unwrap().0).collect();
    let workers: BTreeSet<_> = instances.iter().map(|instance| instance.rsplit_once('/').unwrap().1).collect();
    assert_eq!((proxies.len(), workers), (2, BTreeSet::from(["0", "1"])), "{instances:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_identifier_of_the_proxy_is_that_of_its_node_or_the_setting() {
    for (node, setting, expected) in [("node-7", "", "node-7/"), ("node-7", "mine", "mine/")] {
        let replace =
            ("static_resources:\n".to_owned(), format!("node: {{id: {node}, cluster: c}}\nstatic_resources:\n"));
        let mut site = Site::none(json!({"otlp": {"instance": setting}})).await;
        site.add(|options| options.replace.push(replace.clone())).await;
        site.calls(4).await;
        site.assert_counted(4.0).await;
        let points = site.collector.latest(REQUESTS);
        assert!(points.iter().all(|point| point.instance().starts_with(expected)), "{points:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_for_a_while_loses_no_value() {
    let site = Site::start(json!({"otlp": {"interval": 1}})).await;
    site.calls(10).await;
    site.assert_counted(10.0).await;
    site.collector.down(true);
    for _ in 0..6 {
        site.calls(10).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    site.collector.down(false);
    site.calls(10).await;
    site.assert_counted(80.0).await;
    let starts: BTreeSet<_> = site
        .collector
        .points()
        .iter()
        .filter(|point| point.name == INPUT)
        .map(|point| (point.instance().to_owned(), point.start))
        .collect();
    assert_eq!(starts.len(), 2, "each worker has one start: {starts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_add_up_to_the_sum_and_their_periods_touch() {
    let site = Site::start(json!({"otlp": {"interval": 1, "temporality": "delta"}})).await;
    // The number of a worker is known a few seconds after its first call.
    for pause in [7000, 1200, 1200, 1200, 1200] {
        site.calls(10).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let sum = |points: &mut dyn Iterator<Item = &Point>| -> f64 {
        points.filter(|point| point.name == REQUESTS).map(|point| point.value.number()).sum()
    };
    let points = site.collector.points_when(|points| sum(&mut points.iter()) >= 50.0, PATIENCE).await;
    assert_eq!(sum(&mut points.iter()), 50.0);
    let mut own: Vec<_> = points.iter().filter(|point| point.name == REQUESTS).collect();
    assert!(own.iter().all(|point| point.temporality == PointTemporality::Delta));
    own.sort_by_key(|point| (point.instance().to_owned(), point.time));
    for pair in own.windows(2).filter(|pair| pair[0].instance() == pair[1].instance()) {
        assert_eq!(pair[0].time, pair[1].start, "{pair:?}");
    }
    assert!(own.len() > 4, "{own:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_configuration_loses_no_value() {
    for (interval, change, starts) in [
        (1, json!({"agent": {"max_iterations": 9}, "otlp": {"interval": 1}}), 2),
        (300, json!({"otlp": {"service": "renamed", "interval": 1}}), 4),
    ] {
        let mut site = Site::none(json!({"otlp": {"interval": interval}})).await;
        site.add(|options| options.dynamic = true).await;
        site.calls(10).await;
        // The number of a worker is known a few seconds after its first call.
        tokio::time::sleep(Duration::from_secs(8)).await;
        site.calls(10).await;
        let updated = |samples: &[Sample]| total(samples, "envoy_listener_manager_lds_update_success", &[]);
        let before = updated(&site.envoys[0].samples().await);
        let config = with_collector(change, json!({}));
        site.envoys[0].deliver(&Options { config, dynamic: true, ..site.options() });
        site.envoys[0].samples_when(|samples| updated(samples) > before, PATIENCE).await;
        site.calls(10).await;
        site.assert_counted(30.0).await;
        let series: BTreeSet<_> =
            last(&site.collector).into_iter().map(|point| (point.instance().to_owned(), point.start)).collect();
        assert_eq!(series.len(), starts, "{series:?}");
        assert!(!site.envoys[0].log().contains("[wasm]"), "{}", site.envoys[0].log());
    }
}

struct Site {
    upstream: Upstream,
    collector: Receiver,
    config: Value,
    envoys: Vec<Envoy>,
}

impl Site {
    /// One Envoy with two workers, which sends to the collector.
    async fn start(config: Value) -> Self {
        Self::with(config, 1).await
    }

    async fn with(config: Value, envoys: usize) -> Self {
        let mut site = Self::none(config).await;
        for _ in 0..envoys {
            site.add(|_| ()).await;
        }
        site
    }

    async fn none(config: Value) -> Self {
        let config = with_collector(config, json!({"interval": 2}));
        Self {
            upstream: Upstream::start(Vec::new()).await,
            collector: Receiver::start().await,
            config,
            envoys: Vec::new(),
        }
    }

    async fn add(&mut self, change: impl Fn(&mut Options)) {
        let mut options = self.options();
        change(&mut options);
        self.envoys.push(Envoy::start(&options).await);
    }

    fn options(&self) -> Options {
        Options {
            concurrency: 2,
            tracing: false,
            drain: Duration::from_secs(1),
            config: self.config.clone(),
            otlp: Some(self.collector.addr),
            ..Options::to(self.upstream.addr)
        }
    }

    /// Sends calls over both workers of the first Envoy.
    async fn calls(&self, count: usize) {
        calls(&mut to_both_workers(&self.envoys[0]).await, count).await;
    }

    /// Waits until the metrics count as many requests, and checks that they never count more.
    async fn assert_counted(&self, requests: f64) {
        let counted = || last(&self.collector).iter().map(|point| point.value.number()).sum::<f64>();
        let end = std::time::Instant::now() + PATIENCE;
        while counted() < requests && std::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(counted(), requests, "{:?}\n{}", last(&self.collector), self.envoys[0].log());
    }
}

/// The last point of each series of requests. A series that starts again is another one.
fn last(collector: &Receiver) -> Vec<Point> {
    let mut last: BTreeMap<_, Point> = BTreeMap::new();
    for point in collector.points().into_iter().filter(|point| point.name == REQUESTS) {
        last.insert((point.instance().to_owned(), format!("{:?}", point.attributes), point.start), point);
    }
    last.into_values().collect()
}

/// The configuration with the collector, and with these settings of `otlp` unless it has others.
fn with_collector(mut config: Value, defaults: Value) -> Value {
    let otlp = config.as_object_mut().unwrap().entry("otlp").or_insert_with(|| json!({})).as_object_mut().unwrap();
    otlp.insert("cluster".to_owned(), json!("otlp"));
    for (key, value) in defaults.as_object().unwrap() {
        otlp.entry(key).or_insert_with(|| value.clone());
    }
    config
}

async fn calls(lines: &mut [Line; 2], count: usize) {
    for number in 0..count {
        Conversation::plain().turn(&mut lines[number % 2], "echo").await;
    }
}
