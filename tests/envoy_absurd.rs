//! Texts of any length, and labels past the limit of series, through a real Envoy.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::client::{self, Raw};
use support::envoy::{Envoy, Options};
use support::expect;
use support::fixtures::Fixture;
use support::prometheus::{Sample, total};
use support::upstream::Upstream;

const PATIENCE: Duration = Duration::from_secs(20);
const UNARY: &str = "openai-chat/unary";
/// Longest text of a header or a property that is reported, in bytes.
const TEXT: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_headers_and_properties_are_reported_up_to_256_bytes() {
    let long = "a".repeat(9_000);
    let error = format!("Error{}:http://internal", "E".repeat(40_000));
    let headers = |fixture: &mut Fixture, headers: &[(&str, &str)]| {
        fixture.response.headers.retain(|(name, _)| headers.iter().all(|(other, _)| name != other));
        let added = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        fixture.response.headers.extend(added);
    };
    let digits = "1".repeat(9_000);
    let mut failed = Fixture::load("bedrock-invoke/error-403");
    headers(&mut failed, &[("x-amzn-errortype", &error)]);
    let mut unary = Fixture::load(UNARY);
    headers(
        &mut unary,
        &[
            ("x-gemini-service-tier", long.as_str()),
            ("x-amzn-bedrock-input-token-count", &digits),
            ("x-ratelimit-remaining-tokens", &digits),
            ("retry-after", &digits),
            ("content-type", &format!("application/json; note={long}")),
        ],
    );
    let upstream = Upstream::start(vec![failed.clone(), unary.clone()]).await;
    let envoy = Envoy::start(&Options {
        config: json!({"conversation": {"header": "x-conversation"}, "labels": {"headers": {"x-team": "team"}}}),
        replace: vec![
            (
                "              - name: llm                  #".to_owned(),
                format!("              - name: {}  #", "r".repeat(5_000)),
            ),
            (
                "  - {tag_name: route,".to_owned(),
                "  - {tag_name: team, regex: '^wasmcustom\\..*?(team=\\.=(.*?);\\.;)'}\n  - {tag_name: route,"
                    .to_owned(),
            ),
        ],
        ..Options::to(upstream.addr)
    })
    .await;

    // A conversation's name that has a character of two bytes at the limit.
    let wide = format!("x{}", "é".repeat(2_000));
    let kind = format!("application/json; note={long}");
    let mut entries = Vec::new();
    for fixture in [&failed, &unary] {
        let mut fixture = fixture.clone();
        fixture.request.headers.retain(|(name, _)| name != "content-type");
        let id = client::request_id();
        let own: [(&str, &[u8]); 8] = [
            ("x-request-id", id.as_bytes()),
            ("x-conversation", wide.as_bytes()),
            ("x-team", long.as_bytes()),
            ("content-type", kind.as_bytes()),
            ("traceparent", long.as_bytes()),
            ("tracestate", &long.as_bytes()[..4_000]),
            ("x-dashscope-sse", &long.as_bytes()[..4_000]),
            ("connection", b"close"),
        ];
        let mut raw = Raw::send(envoy.addr, &client::raw_request(&fixture, &own)).await.unwrap();
        raw.read_to_end().await.unwrap();
        assert!(raw.read.ends_with(&fixture.response.body), "{}", raw.read.escape_ascii());
        entries.push(envoy.entry(&id, PATIENCE).await.expect("a line in the access log"));
    }
    let expected = format!("x{}", "é".repeat(127));
    for entry in &entries {
        assert_eq!(entry["gen_ai.conversation.id"], expected.as_str(), "{entry}");
        let ours = entry.as_object().unwrap().iter().filter(|(key, _)| expect::is_ours(key));
        for (key, value) in ours.filter_map(|(key, value)| Some((key, value.as_str()?))) {
            assert!(value.len() <= TEXT, "{key} has {} bytes", value.len());
        }
    }
    assert_eq!(entries[0]["error.type"], &error[..TEXT], "{}", entries[0]);
    assert_eq!(entries[1]["gen_ai.usage.input_tokens"], "27", "{}", entries[1]);
    assert_eq!(entries[1]["gaugeway.outcome"], "completed", "{}", entries[1]);

    let samples = envoy.samples().await;
    let ours: Vec<_> = samples.iter().filter(|sample| sample.name == "gaugeway_requests_total").collect();
    assert_eq!(ours.len(), 2, "{ours:?}");
    for sample in ours {
        assert_eq!((sample.label("team"), sample.label("route")), (&long[..128], "r".repeat(128).as_str()));
        assert!(sample.labels.values().all(|value| value.len() <= 128), "{sample:?}");
    }
    let reloads = samples.iter().filter(|sample| sample.name.contains("vm_reload"));
    assert_eq!(reloads.map(|sample| sample.value).sum::<f64>(), 0.0, "{}", envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_limit_of_series_a_successful_call_has_no_error_type() {
    let ids =
        [UNARY, "anthropic-messages/unary-stop-sequence", "ollama-chat/stream-by-default", "bedrock-invoke/error-403"];
    let fixtures: Vec<_> = ids.map(Fixture::load).to_vec();
    let upstream = Upstream::start(fixtures.clone()).await;
    let config = json!({"labels": {"max_series": 1}});
    let envoy = Envoy::start(&Options { config, ..Options::to(upstream.addr) }).await;
    for fixture in fixtures.iter().cycle().take(8) {
        replay(&envoy, fixture).await;
    }
    let timed = |samples: &[Sample]| total(samples, "gen_ai_client_operation_duration_microseconds_count", &[]) >= 8.0;
    let samples = envoy.samples_when(timed, PATIENCE).await;
    assert!(timed(&samples) && total(&samples, "gaugeway_series_overflow_total", &[]) > 0.0);
    for name in ["gaugeway_requests_total", "gen_ai_client_operation_duration_microseconds_count"] {
        let errors = |value: &str| -> f64 {
            let ours = samples.iter().filter(|sample| sample.name == name && sample.label("error_type") == value);
            ours.map(|sample| sample.value).sum()
        };
        assert_eq!((errors(""), errors("other")), (6.0, 2.0), "{name}");
    }
    let completed = [("outcome", "completed"), ("error_type", "other")];
    assert_eq!(total(&samples, "gaugeway_requests_total", &completed), 0.0);
    is_well(&envoy).await;
}

/// Sends a fixture's request, compares the answer, and returns the line of the access log.
async fn replay(envoy: &Envoy, fixture: &Fixture) -> Value {
    let id = client::request_id();
    let reply = client::replay(envoy.addr, fixture, &[("x-request-id", &id)]).await;
    assert_eq!(reply.body, fixture.response.body);
    envoy.entry(&id, PATIENCE).await.expect("a line in the access log")
}

/// The plugin has not crashed.
async fn is_well(envoy: &Envoy) {
    let samples = envoy.samples().await;
    assert!(samples.iter().all(|sample| expect::is_intended(&sample.name)), "{samples:?}");
    let mut reloads = samples.iter().filter(|sample| sample.name.contains("vm_reload"));
    assert!(reloads.all(|sample| sample.value == 0.0), "the plugin crashed:\n{}", envoy.log());
    // A crash shows with the next request.
    let missing = client::get(envoy.addr, "/v1/models").await.unwrap();
    assert_ne!(missing.status, 503, "{}", envoy.log());
    assert!(!envoy.log().contains("[wasm]"), "{}", envoy.log());
}
