//! The alert for a cost anomaly compares an hour with the same hour of earlier days. Here a day takes 24 seconds.
//!
//! All durations of the shipped rules are divided by [`FASTER`], as in `events.rs`. An hour is one second, and Prometheus scrapes every 200
//! milliseconds. There is one day of history. `envoy/prometheus/tests/drift.yml` has a week.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::panels::{Names, WEEK, filled_queries};
use crate::server::{Prometheus, faster};
use crate::support::client::{self, Http};
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::upstream::Upstream;
use serde_json::json;
use tokio::task::JoinSet;

const FASTER: u64 = 3600;
const DAY: Duration = Duration::from_secs(24);
const FIRING: &str = "present_over_time(ALERTS{alertname=\"LLMCostAnomaly\",alertstate=\"firing\"}[1h])";

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_that_costs_far_more_than_the_same_hour_of_the_day_before_is_an_anomaly() {
    let upstream = Upstream::start(vec![Fixture::load("openai-chat/unary")]).await;
    let routes = ["steady", "odd"].map(|name| {
        format!("{{name: {name}, match: {{prefix: /{name}/}}, route: {{cluster: llm, prefix_rewrite: /}}}}")
    });
    let config = json!({"prices": {"ours": {"input": 50_000, "output": 50_000}}});
    let routes: Vec<_> = routes.iter().map(String::as_str).collect();
    let envoy = Envoy::start(&Options { config, ..Options::to(upstream.addr).with(&routes, &[]) }).await;
    let rules = |rules: &str| faster(rules, FASTER);
    let prometheus = Prometheus::start_with(&[envoy.admin], "200ms", rules).await;

    // Both routes cost about a dollar per call. After more than a day one of them makes ten times as many calls.
    let pauses = ["steady", "odd"].map(|name| (name, Arc::new(AtomicU64::new(200))));
    let mut tasks = JoinSet::new();
    for (name, pause) in pauses.clone() {
        let addr = envoy.addr;
        tasks.spawn(async move {
            let mut fixture = Fixture::load("openai-chat/unary");
            fixture.request.body = json!({"model": "ours", "messages": []}).to_string().into();
            loop {
                let mut request = client::request(&fixture, &[("x-upstream", "echo")]);
                *request.uri_mut() = format!("/{name}{}", fixture.request.path).parse().unwrap();
                drop(client::send(addr, request, Http::One).await);
                tokio::time::sleep(Duration::from_millis(pause.load(Ordering::Relaxed))).await;
            }
        });
    }
    tokio::time::sleep(DAY + Duration::from_secs(6)).await;
    let usual = prometheus.numbers("llm:cost_usd:median_7d").await;
    assert!(usual.len() == 2 && usual.iter().all(|value| *value > 0.0), "{usual:?}");
    assert_eq!(prometheus.query(FIRING).await, json!([]), "no alert may fire before the event");

    pauses[1].1.store(10, Ordering::Relaxed);
    let end = Instant::now() + Duration::from_secs(20);
    let routes = async || {
        let result = prometheus.query(FIRING).await;
        let routes = result.as_array().unwrap().iter().map(|one| one["metric"]["route"].as_str().unwrap().to_owned());
        routes.collect::<BTreeSet<_>>()
    };
    while routes().await.is_empty() {
        let now = prometheus.query("llm:cost_usd:increase_1h").await;
        assert!(Instant::now() < end, "the alert does not fire: {now}, usual {usual:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(routes().await, BTreeSet::from(["odd".to_owned()]));
    for (_, promql) in filled_queries("1m", Names::Envoy).into_iter().filter(|(panel, _)| panel == WEEK) {
        assert_eq!(prometheus.numbers(&promql).await.len(), 2, "{promql}");
    }
}
