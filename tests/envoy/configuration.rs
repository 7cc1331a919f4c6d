//! The plugin's configuration in a real Envoy: an invalid configuration prevents the start and is logged, a valid one
//! takes effect.

use std::time::Duration;

use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_configuration_stops_envoy_at_start_and_the_log_names_the_key() {
    let upstream = Upstream::start(Vec::new()).await;
    for (config, words) in [
        (json!({"labels": {"max_series": "many"}}), "gaugeway: labels.max_series: must be a whole number"),
        (json!({"label": {}}), "gaugeway: label: unknown key"),
        (json!({"prices": {"gpt-9": {"input": -1}}}), "gaugeway: prices.gpt-9.input: must be a price"),
        (json!([]), "gaugeway: must be an object"),
        (json!({"feedback": {"path": "/f"}}), "gaugeway: feedback.secret: is required with feedback.path"),
        (
            json!({"feedback": {"path": "/v1/messages", "secret": "correct-horse-battery"}}),
            "gaugeway: feedback.path: is the path of an API",
        ),
        (
            json!({"feedback": {"path": "/f?a=b", "secret": "correct-horse-battery"}}),
            "gaugeway: feedback.path: must be a path without ? and #",
        ),
    ] {
        let started = Envoy::try_start(&Options { config: config.clone(), ..Options::to(upstream.addr) }).await;
        let log = started.err().unwrap_or_else(|| panic!("Envoy started with the invalid configuration {config}"));
        assert!(log.starts_with("Envoy ended while starting"), "{config}: {log}");
        assert!(log.contains(words), "{config}: the log does not contain {words:?}:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configured_prices_models_and_label_headers_take_effect() {
    let fixture = Fixture::load("openai-chat/unary");
    let upstream = Upstream::start(vec![fixture.clone()]).await;
    let tag = "  - {tag_name: team, regex: '^wasmcustom\\..*?(team=\\.=(.*?);\\.;)'}\n";
    let options = Options {
        config: json!({
            "prices": {"gpt-4o-2024-08-06": {"input": 100, "cached_input": 10, "output": 1000}},
            "labels": {"headers": {"x-team": "team"}, "models": ["house-model"]},
        }),
        replace: vec![("  stats_tags:\n".to_owned(), format!("  stats_tags:\n{tag}"))],
        ..Options::to(upstream.addr)
    };
    let envoy = Envoy::start(&options).await;
    let mut house = fixture.clone();
    house.request.body = r#"{"model":"house-model","messages":[]}"#.into();
    for (fixture, team) in [(&fixture, "blue"), (&house, "a;.;route=.=b")] {
        let id = client::request_id();
        client::replay(envoy.addr, fixture, &[("x-request-id", &id), ("x-team", team)]).await;
        let entry = envoy.entry(&id, Duration::from_secs(10)).await.expect("no access log line for the request");
        assert_eq!(
            entry["gaugeway.cost.usd"], "0.0187",
            "the cost must be 27 * 100 + 16 * 1000 millionths of a dollar: {entry}"
        );
    }
    let samples = envoy.samples().await;
    let requests = |labels: &[(&str, &str)]| total(&samples, "gaugeway_requests_total", labels);
    assert_eq!(requests(&[("team", "blue"), ("gen_ai_request_model", "gpt-4o"), ("route", "llm")]), 1.0, "{samples:?}");
    let labels = [("team", "a_._route_._b"), ("gen_ai_request_model", "house-model"), ("route", "llm")];
    assert_eq!(requests(&labels), 1.0, "{samples:?}");
    assert_eq!(total(&samples, "gaugeway_cost_nanousd_total", &[]), 2.0 * 18_700_000.0);
}
