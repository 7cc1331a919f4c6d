//! Labels past the limit of series, through a real Envoy.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::client;
use support::envoy::{Envoy, Options};
use support::expect;
use support::fixtures::Fixture;
use support::prometheus::{Sample, total};
use support::upstream::Upstream;

const PATIENCE: Duration = Duration::from_secs(20);
const UNARY: &str = "openai-chat/unary";
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
