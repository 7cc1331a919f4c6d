//! The spans and log records that the plugin itself sends from a real Envoy: one span per call however it ends, the decision
//! which traces are sent, and a log record for each failed call.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::collector::{Collector, text};
use crate::support::client::{self, Http, Raw};
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_has_one_span_and_each_failed_one_a_log_record_with_its_identifiers() {
    let site = Site::start(json!({"exceptions": true})).await;
    let mut expected = BTreeMap::new();
    for (fixture, route, travel, error) in [
        ("openai-chat/unary", "", "", None),
        ("openai-chat/unary", "/retry", "first=503", None),
        ("openai-chat/error-429-to-a-stream-request", "", "", Some("error")),
        ("openai-chat/stream-error-inside", "", "", Some("error")),
        ("openai-chat/unary", "/slow", "hang", Some("timeout")),
        ("openai-chat/unary", "/direct", "", Some("local_reply")),
        ("openai-chat/stream-unicode", "", "reset-after=400", Some("upstream_reset")),
        ("openai-chat/truncated-stream", "", "", Some("truncated")),
        ("openai-embeddings/error", "", "", Some("error")),
    ] {
        let id = site.call(fixture, route, travel, &[]).await;
        expected.insert(id.replace('-', ""), error);
    }
    // The client disconnects in the middle of a stream.
    let (id, fixture) = (client::request_id(), Fixture::load("openai-chat/stream-unicode"));
    let bytes = client::raw_request(&fixture, &[("x-request-id", id.as_bytes()), ("x-upstream", b"gap=300")]);
    let mut raw = Raw::send(site.envoy.addr, &bytes).await.unwrap();
    assert!(raw.read_until(b"data:").await.unwrap());
    drop(raw);
    expected.insert(id.replace('-', ""), Some("client_disconnect"));

    let failures = expected.values().flatten().count();
    let spans = site.collector.spans_when(expected.len(), PATIENCE).await;
    let logs = site.collector.logs_when(failures, PATIENCE).await;
    assert_eq!((spans.len(), logs.len()), (expected.len(), failures));
    for span in &spans {
        let trace = hex(&span.trace_id);
        let error = expected.remove(&trace).unwrap_or_else(|| panic!("a second span of a call: {span:?}"));
        let outcome = text(&span.attributes, "gaugeway.outcome");
        assert_eq!(outcome.as_deref(), Some(error.unwrap_or("completed")), "{span:?}");
        let status = span.status.as_ref().map_or(0, |status| status.code);
        let kind = text(&span.attributes, "error.type");
        assert_eq!((status == 2, kind.is_some()), (error.is_some(), error.is_some()), "{span:?}");
        let of_call: Vec<_> = logs.iter().filter(|record| record.trace_id == span.trace_id).collect();
        assert_eq!(of_call.len(), usize::from(error.is_some()), "{outcome:?}");
        for record in of_call {
            assert_eq!((&record.span_id, record.flags, record.severity_number), (&span.span_id, 1, 13));
            let is_chat = span.name.starts_with("chat");
            let name = if is_chat { "gen_ai.client.inference.exception" } else { "gen_ai.client.operation.exception" };
            assert_eq!(record.event_name, name);
            assert_eq!(text(&record.attributes, "error.type"), kind);
            for key in ["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"] {
                assert_eq!(text(&record.attributes, key), text(&span.attributes, key), "{key}");
            }
        }
    }
    let results = |samples: &[_]| {
        let count = |name: &str| total(samples, name, &[("result", "sent")]);
        (count("gaugeway_spans_total"), count("gaugeway_otlp_logs_total"))
    };
    assert_eq!(results(&site.envoy.samples().await), (spans.len() as f64, logs.len() as f64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_decide_about_sampling_and_without_them_the_setting_does() {
    let traceparent = |flags: &str| format!("00-{TRACE}-{SPAN}-{flags}");
    let b3 = |sampled: &str| format!("{TRACE}-{SPAN}-{sampled}");
    let ok = "openai-chat/unary";
    let failed = "openai-chat/error-429-to-a-stream-request";
    for (share, errors) in [(1.0, false), (0.0, false), (0.0, true)] {
        let site = Site::start(json!({"sample": share, "errors": errors})).await;
        for (header, sampled) in [
            (("traceparent", traceparent("01")), true),
            (("traceparent", traceparent("00")), false),
            (("b3", b3("1")), true),
            (("b3", b3("0")), false),
            (("x-none", String::new()), share > 0.0),
        ] {
            for (fixture, is_sent) in [(ok, sampled), (failed, sampled || errors)] {
                let before = site.collector.spans().len();
                site.call(fixture, "", "", &[(header.0, &header.1)]).await;
                // Shows that the spans of the call before have come, or never will.
                site.call(ok, "", "", &[("traceparent", &traceparent("01").replace("0a", "ff"))]).await;
                let count = before + 1 + usize::from(is_sent);
                let spans = site.collector.spans_when(count, PATIENCE).await;
                assert_eq!(spans.len(), count, "{header:?} {share} {errors} {fixture}");
                let span = spans[before..].iter().find(|span| !hex(&span.trace_id).starts_with("ff"));
                if let Some(span) = span.filter(|_| header.0 != "x-none") {
                    assert_eq!((&*hex(&span.trace_id), &*hex(&span.parent_span_id)), (TRACE, SPAN));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configured_share_of_traces_is_sent() {
    let site = Site::start(json!({"sample": 0.3})).await;
    let mut sampled = 0;
    for _ in 0..100 {
        let id = site.call("openai-chat/unary", "", "", &[]).await.replace('-', "");
        sampled += usize::from(u64::from_str_radix(&id[18..], 16).unwrap() < (0.3 * (1_u64 << 56) as f64) as u64);
    }
    let spans = site.collector.spans_when(sampled, PATIENCE).await;
    assert_eq!(spans.len(), sampled);
    assert!((10..60).contains(&sampled), "{sampled}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_any_identifier_has_a_trace_of_its_own() {
    let removes = "          generate_request_id: false\n          http_filters:\n".to_owned();
    let site = Site::with(json!({}), vec![("          http_filters:\n".to_owned(), removes)]).await;
    for _ in 0..5 {
        let request = Request::post("/v1/chat/completions").header("host", "api.openai.com");
        let request = request.header("content-type", "application/json").header("x-upstream", "echo");
        let body = json!({"model": "gpt-4o", "messages": []}).to_string();
        let reply = client::send(site.envoy.addr, request.body(Full::from(body)).unwrap(), Http::One).await.unwrap();
        assert_eq!(reply.status, 200);
    }
    let spans = site.collector.spans_when(5, PATIENCE).await;
    let traces: BTreeSet<_> = spans.iter().map(|span| span.trace_id.clone()).collect();
    assert_eq!((spans.len(), traces.len()), (5, 5));
    assert!(spans.iter().all(|span| span.parent_span_id.is_empty() && span.trace_id.len() == 16));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_with_an_empty_path_is_off() {
    let site = Site::start(json!({"path": "", "exceptions": true})).await;
    site.call("openai-chat/unary", "", "", &[]).await;
    site.call("openai-chat/error-401", "", "", &[]).await;
    assert_eq!(site.collector.logs_when(1, PATIENCE).await.len(), 1);
    assert!(site.collector.received().iter().all(|export| export.path == "/v1/logs"));
}

struct Site {
    _upstream: Upstream,
    collector: Collector,
    envoy: Envoy,
}

impl Site {
    async fn start(otlp: Value) -> Self {
        Self::with(otlp, Vec::new()).await
    }

    async fn with(mut otlp: Value, replace: Vec<(String, String)>) -> Self {
        let (upstream, collector) = (Upstream::start(Fixture::all()).await, Collector::start().await);
        otlp["cluster"] = "otlp".into();
        otlp["metrics_path"] = "".into();
        let config = json!({"otlp": otlp});
        let options = Options { tracing: false, otlp: Some(collector.addr), config, ..Options::to(upstream.addr) };
        let mut options = options.with(
            &[
                "{name: retry, match: {prefix: /retry/}, route: {cluster: llm, retry_policy: {retry_on: 5xx, num_retries: 2}}}",
                "{name: slow, match: {prefix: /slow/}, route: {cluster: llm, timeout: 0.7s}}",
                "{name: direct, match: {prefix: /direct/}, direct_response: {status: 403, body: {inline_string: denied}}}",
            ],
            &[],
        );
        options.replace.extend(replace);
        Self { _upstream: upstream, collector, envoy: Envoy::start(&options).await }
    }

    /// Makes a call and returns its request id.
    async fn call(&self, fixture: &str, route: &str, travel: &str, headers: &[(&str, &str)]) -> String {
        let (id, fixture) = (client::request_id(), Fixture::load(fixture));
        let extra = [&[("x-request-id", id.as_str()), ("x-upstream", travel)], headers].concat();
        let mut request: Request<Full<Bytes>> = client::request(&fixture, &extra);
        *request.uri_mut() = format!("{route}{}", fixture.request.path).parse().unwrap();
        drop(client::send(self.envoy.addr, request, Http::One).await);
        self.envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
        id
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
