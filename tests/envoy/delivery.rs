//! The delivery of spans and log records from a real Envoy: a collector that wants a pause, refuses, rejects a part, is
//! down for a while, or answers while the configuration changes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::collector::{Collector, Reply};
use crate::support::agent::{Conversation, Line, to_both_workers};
use crate::support::envoy::{Envoy, Options};
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const SPANS: &str = "gaugeway_spans_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_wants_a_pause_gets_the_same_request_after_it() {
    let site = Site::start(json!({})).await;
    let mut sent = 0;
    for status in [429, 503] {
        for is_date in [false, true] {
            // A date has whole seconds, so it may be almost one second nearer.
            let retry_after = if is_date { date(5) } else { "4".to_owned() };
            site.collector.answer(&[Reply { retry_after: Some(retry_after), ..Reply::status(status) }]);
            let before = site.collector.received().len();
            site.calls(5).await;
            sent += 5;
            let received = site.collector.received_when(before + 2, PATIENCE).await;
            let [first, second, ..] = &received[before..] else { panic!("{} requests", received.len() - before) };
            assert_eq!(first.status, status);
            assert_eq!(first.body, second.body, "status {status}: another request was sent after the pause");
            let pause = (second.at - first.at).as_secs_f64();
            assert!((3.9..7.0).contains(&pause), "status {status}: {pause} s instead of 4 s");
            assert_eq!(site.results_when(|results| results[0] == sent).await, [sent, 0, 0]);
        }
    }
    assert_eq!(site.distinct_spans(), sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_is_not_sent_again_and_is_logged_once_a_minute() {
    let site = Site::with(json!({}), |options| Options { concurrency: 1, ..options }).await;
    let mut failed = 0;
    for status in [400, 413, 500] {
        site.collector.answer(&[Reply::status(status)]);
        site.calls(1).await;
        failed += 1;
        assert_eq!(site.results_when(|results| results[1] == failed).await, [0, failed, 0], "status {status}");
    }
    site.calls(4).await;
    assert_eq!(site.results_when(|results| results[0] == 4).await, [4, failed, 0]);
    assert_eq!(site.distinct_spans(), 4);
    let log = site.envoy.log();
    let told = "gaugeway: otlp: the collector of cluster 'otlp' refused 1 with the status 400 (spans)";
    assert!(log.contains(told) && log.matches("refused").count() == 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_a_partial_success_rejects_are_counted_as_failed_and_the_reason_is_logged() {
    let site = Site::start(json!({})).await;
    let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: "quota\nexceeded".to_owned() };
    let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    site.collector.answer(&[Reply { body, ..Reply::status(200) }]);
    site.calls(5).await;
    assert_eq!(site.results_when(|results| results.iter().sum::<usize>() == 5).await, [4, 1, 0]);
    assert!(site.envoy.log().contains("quota exceeded (spans)"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_span_is_lost_while_the_collector_is_down_for_a_while() {
    let mut site = Site::start(json!({})).await;
    let addr = site.collector.addr;
    site.calls(3).await;
    assert_eq!(site.results_when(|results| results[0] == 3).await, [3, 0, 0]);
    drop(site.collector);
    // Some calls fall before the first failure of a request, some into the wait after it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut lines = to_both_workers(&site.envoy).await;
    for _ in 0..5 {
        calls(&mut lines, 20).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    site.collector = Collector::start_at(addr).await;
    assert_eq!(site.results_when(|results| results[0] == 103).await, [103, 0, 0]);
    assert_eq!(site.distinct_spans(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_span_is_lost_when_the_configuration_is_replaced() {
    for change in [Change::OfTheFilterChain, Change::OfTheListener] {
        let site = Site::dynamic(json!({"otlp": {"service": "old"}})).await;
        // The first request of each worker fails and waits for longer than the test. Other spans queue up behind it.
        let refused = Reply { retry_after: Some("300".to_owned()), ..Reply::status(503) };
        site.collector.answer(&[refused.clone(), refused]);
        let mut lines = to_both_workers(&site.envoy).await;
        calls(&mut lines, 10).await;
        assert_eq!(site.collector.received_when(2, PATIENCE).await.len(), 2);
        calls(&mut lines, 10).await;
        assert_eq!(site.results().await, [0, 0, 0], "{change:?}");
        drop(lines);
        site.change(json!({"otlp": {"service": "new"}}), change).await;
        assert_eq!(site.results_when(|results| results[0] == 20).await, [20, 0, 0], "{change:?}: {}", site.envoy.log());
        calls(&mut to_both_workers(&site.envoy).await, 4).await;
        assert_eq!(site.results_when(|results| results[0] == 24).await, [24, 0, 0], "{change:?}");
        assert_eq!(site.distinct_spans(), 24);
        let new = site.collector.spans().iter().filter(|(service, _)| service == "new").count();
        assert_eq!(new, 4, "{change:?}");
        assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_does_not_answer_does_not_keep_a_replaced_configuration() {
    let site = Site::dynamic(json!({"otlp": {"service": "old"}})).await;
    let silent = Reply { after: Duration::from_secs(60), ..Reply::status(200) };
    site.collector.answer(&[silent.clone(), silent]);
    let mut lines = to_both_workers(&site.envoy).await;
    calls(&mut lines, 10).await;
    assert_eq!(site.collector.received_when(2, PATIENCE).await.len(), 2);
    calls(&mut lines, 6).await;
    drop(lines);
    site.change(json!({"otlp": {"service": "new"}}), Change::OfTheFilterChain).await;
    // Those of the unanswered requests have failed, those behind them were not sent.
    let results = site.results_when(|results| results.iter().sum::<usize>() == 16).await;
    assert_eq!(results, [0, 10, 6], "{}", site.envoy.log());
    site.calls(3).await;
    assert_eq!(site.results_when(|results| results[0] == 3).await, [3, 10, 6]);
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_ends_at_once_and_without_a_crash_although_spans_wait() {
    let mut site = Site::start(json!({})).await;
    site.collector.answer(&[Reply { after: Duration::from_secs(60), ..Reply::status(200) }]);
    site.calls(3).await;
    assert_eq!(site.collector.received_when(1, PATIENCE).await.len(), 1);
    calls(&mut to_both_workers(&site.envoy).await, 6).await;
    site.terminate().await;
    let log = site.envoy.log();
    assert!(!log.contains("[critical]") && !log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sigterm_loses_at_most_the_spans_of_the_last_second() {
    let mut site = Site::start(json!({})).await;
    let mut line = Line::open(site.envoy.addr).await.unwrap();
    let (begin, mut ends) = (Instant::now(), Vec::new());
    while begin.elapsed() < Duration::from_secs(4) {
        assert_eq!(Conversation::plain().turn(&mut line, "echo").await.status, 200);
        ends.push(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let end = begin.elapsed();
    site.terminate().await;
    let (made, kept) = (ends.len(), site.distinct_spans());
    // The spans are sent in the order of the calls, so those that are lost are the last.
    let lost = ends.get(kept).map_or(0.0, |first| (end - *first).as_secs_f64());
    println!("{made} calls, {} lost: those of the last {lost:.2} s", made - kept);
    assert!(lost < 1.5, "{} of {made} calls are lost: those of the last {lost} s", made - kept);
}

/// An upstream, an Envoy with two workers, and the collector of the plugin.
struct Site {
    _upstream: Upstream,
    collector: Collector,
    envoy: Envoy,
    options: Options,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    /// Envoy replaces the filter chain and keeps the listener.
    OfTheFilterChain,
    /// Envoy replaces the listener.
    OfTheListener,
}

impl Site {
    async fn start(config: Value) -> Self {
        Self::with(config, |options| options).await
    }

    async fn dynamic(config: Value) -> Self {
        Self::with(config, |options| Options { dynamic: true, drain: Duration::from_secs(1), ..options }).await
    }

    async fn with(config: Value, change: impl Fn(Options) -> Options) -> Self {
        let (upstream, collector) = (Upstream::start(Vec::new()).await, Collector::start().await);
        let options =
            Options { concurrency: 2, tracing: false, otlp: Some(collector.addr), ..Options::to(upstream.addr) };
        let options = change(Options { config: to_collector(config), ..options });
        Self { _upstream: upstream, collector, envoy: Envoy::start(&options).await, options }
    }

    /// Sends SIGTERM to Envoy, and waits until it has ended.
    async fn terminate(&mut self) {
        let pid = self.envoy.pid().to_string();
        assert!(tokio::process::Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        let begin = Instant::now();
        while !self.envoy.has_ended() {
            assert!(begin.elapsed() < Duration::from_secs(10), "Envoy still runs: {}", self.envoy.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes calls on one connection: all by one worker.
    async fn calls(&self, count: usize) {
        let mut line = Line::open(self.envoy.addr).await.unwrap();
        for _ in 0..count {
            assert_eq!(Conversation::plain().turn(&mut line, "echo").await.status, 200);
        }
    }

    /// Replaces the configuration, and waits until the old one has ended.
    async fn change(&self, config: Value, change: Change) {
        let mut options = Options { config: to_collector(config), ..self.options.clone() };
        if let Change::OfTheListener = change {
            let replaced = "    traffic_direction: OUTBOUND".to_owned();
            options
                .replace
                .push((replaced.clone(), format!("    per_connection_buffer_limit_bytes: 999999\n{replaced}")));
        }
        let listeners = |samples: &[Sample], name: &str| {
            let name = format!("envoy_listener_manager_{name}");
            samples.iter().find(|sample| sample.name == name).map_or(0.0, |sample| sample.value)
        };
        let updates = listeners(&self.envoy.samples().await, "lds_update_success");
        self.envoy.deliver(&options);
        let is_over = |samples: &[Sample]| {
            listeners(samples, "lds_update_success") > updates
                && listeners(samples, "total_listeners_draining") + listeners(samples, "total_filter_chains_draining")
                    == 0.0
        };
        let samples = self.envoy.samples_when(is_over, PATIENCE).await;
        assert!(is_over(&samples), "{}", self.envoy.log());
    }

    /// Number of spans that were sent, failed, and dropped.
    async fn results(&self) -> [usize; 3] {
        by_result(&self.envoy.samples().await)
    }

    async fn results_when(&self, enough: impl Fn([usize; 3]) -> bool) -> [usize; 3] {
        by_result(&self.envoy.samples_when(|samples| enough(by_result(samples)), PATIENCE).await)
    }

    /// Number of spans that the collector has accepted. Each must have come once.
    fn distinct_spans(&self) -> usize {
        let spans = self.collector.spans();
        let ids: BTreeSet<_> = spans.iter().map(|(_, span)| span.span_id.clone()).collect();
        assert_eq!(ids.len(), spans.len(), "a span came twice");
        ids.len()
    }
}

fn to_collector(mut config: Value) -> Value {
    let otlp = config.as_object_mut().unwrap().entry("otlp").or_insert_with(|| json!({}));
    otlp["cluster"] = "otlp".into();
    otlp["metrics_path"] = "".into();
    config
}

fn by_result(samples: &[Sample]) -> [usize; 3] {
    ["sent", "failed", "dropped"].map(|result| total(samples, SPANS, &[("result", result)]) as usize)
}

async fn calls(lines: &mut [Line; 2], count: usize) {
    for number in 0..count {
        assert_eq!(Conversation::plain().turn(&mut lines[number % 2], "echo").await.status, 200);
    }
}

/// The date some seconds from now, as HTTP writes it.
fn date(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds;
    let (days, time) = (now / 86_400, now % 86_400);
    let (mut year, mut day) = (1970, days);
    let length = |year: u64| if year.is_multiple_of(4) { 366 } else { 365 };
    while day >= length(year) {
        day -= length(year);
        year += 1;
    }
    let lengths = [31, length(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (weekday, month) = (weekdays[(days % 7) as usize], months[month]);
    format!("{weekday}, {:02} {month} {year} {:02}:{:02}:{:02} GMT", day + 1, time / 3600, time / 60 % 60, time % 60)
}
