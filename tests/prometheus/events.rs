//! Each alert fires for a real event in a real Envoy, and only for that event.
//!
//! Prometheus evaluates the shipped alerts with one change: all durations (windows, offsets and `for`) are divided by [`FASTER`], so
//! that an hour takes half a minute. Thresholds, labels and expressions are the shipped ones. Every event has its own provider,
//! route and model, or its own Envoy, so an alert that fires for the wrong event has the wrong labels, whichever labels its
//! expression keeps. `GaugewayCrashed` has no long `for` and is tested in `alerts.rs` with the shipped durations. `LLMCostAnomaly`
//! compares days and is tested in `anomaly.rs`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::alerts::unread_traffic;
use crate::panels::{DRIFT, Names, filled_queries, read};
use crate::server::Prometheus;
use crate::site::{Site, call};
use crate::support::client::{self, Http};
use serde_json::{Value, json};

/// The divisor of all durations in the alerts.
pub const FASTER: u64 = 120;
/// The traffic without events. It is longer than every `for` but that of the drift, and longer than the short windows.
pub const HEALTHY: Duration = Duration::from_secs(11);
/// The time for all alerts to fire after the events have begun. They take about 50 seconds on a fast machine.
pub const PATIENCE: Duration = Duration::from_secs(100);

/// What happens on one route: its name, which also names the model, the provider's host, and the provider's name in labels.
pub struct Event {
    pub name: &'static str,
    pub host: &'static str,
    provider: &'static str,
    /// Alerts that must fire for the event.
    alerts: &'static [&'static str],
    /// Alerts that may fire too, because the event has two effects.
    perhaps: &'static [&'static str],
}

const fn event(
    name: &'static str,
    host: &'static str,
    provider: &'static str,
    alerts: &'static [&'static str],
    perhaps: &'static [&'static str],
) -> Event {
    Event { name, host, provider, alerts, perhaps }
}

pub const EVENTS: &[Event] = &[
    // Half of the calls fail, each in another way. A failure that lasts also spends the budget of six hours.
    event("failing", "api.groq.com", "groq", &["LLMErrorBudgetBurnFast"], &["LLMErrorBudgetBurnSlow"]),
    event("flaky", "api.mistral.ai", "mistral_ai", &["LLMErrorBudgetBurnSlow"], &[]),
    event("cancelled", "api.x.ai", "x_ai", &[], &[]),
    event("slow", "api.deepseek.com", "deepseek", &["LLMTimeToFirstTokenHigh"], &[]),
    event("shorter", "api.perplexity.ai", "perplexity", &["LLMResponseLengthDrift"], &[]),
    event("broken", "api.moonshot.ai", "moonshot_ai", &["LLMParseFailureRate"], &[]),
    event("uncounted", "api.cerebras.ai", "cerebras", &["GaugewayUsageMissing"], &[]),
    event("unreadable", "api.venice.ai", "venice", &["GaugewayParseErrors"], &[]),
    event("unpriced", "api.doubleword.ai", "doubleword", &["LLMUnpricedModel"], &[]),
    event("spending", "openrouter.ai", "openrouter", &[], &[]),
    event("denied", "api.together.xyz", "together_ai", &[], &[]),
    event("lost", "api.deepinfra.com", "deepinfra", &["LLMGatewayFailing"], &[]),
    event("looping", OPENAI, "openai", &["LLMAgentLoop"], &[]),
    event("endless", OPENAI, "openai", &["LLMAgentMaxIterations"], &[]),
    event("stalled", "api.fireworks.ai", "fireworks", &["LLMStreamsStall"], &[]),
    event("forgotten", "api.novita.ai", "novita", &["LLMCacheBreakCost"], &[]),
    event("failing-tool", "failing.example.com", "", &["LLMToolFailing"], &[]),
    event("lost-server", "lost.example.com", "", &["LLMToolFailing"], &[]),
    // One call in eleven is of a tool that does not exist. The server answers the others.
    event("inventing", "inventing.example.com", "", &[], &[]),
    event("twice-failing", "twice.example.com", "", &[], &[]),
    event("slow-tool", "slow.example.com", "", &["LLMToolDurationHigh"], &[]),
    // The agent answers, and its tasks fail later.
    event("failing-agent", "failing-agent.example.com", "", &["LLMAgentFailing"], &[]),
    event("lost-agent", "lost-agent.example.com", "", &["LLMAgentFailing"], &[]),
];

/// [`Conversation`] calls this host.
const OPENAI: &str = "api.openai.com";
/// Alerts without labels, for the route `spending`.
const OF_ALL_CALLS: &[&str] = &["LLMSpendRate", "LLMBudgetSpent"];
pub const PLAIN: &str = "openai-chat/stream-include-usage";

#[tokio::test(flavor = "multi_thread")]
async fn every_alert_fires_for_its_event_and_for_no_other() {
    let site = Site::start().await;
    let traffic = site.healthy_traffic();
    tokio::time::sleep(HEALTHY).await;
    assert_eq!(fired(&site.prometheus).await, BTreeSet::new(), "no alert may fire before the events");

    let spent = ("LLMBudgetSpent".to_owned(), String::new());
    let mut events = site.events();
    let Site { prometheus, gateway, crowded, silent, gone, full, upstream } = site;
    let (gone_at, silent_at, crowded_at, full_at) = (gone.admin, silent.admin, crowded.admin, full.admin);
    let _unread = unread_traffic(full.addr);
    drop(gone);
    let mut expected: BTreeSet<_> = EVENTS
        .iter()
        .flat_map(|event| event.alerts.iter().map(|alert| ((*alert).to_owned(), event.name.to_owned())))
        .chain([
            ("GaugewaySilent".to_owned(), silent_at.to_string()),
            ("GaugewaySeriesOverflow".to_owned(), crowded_at.to_string()),
            ("GaugewayTargetDown".to_owned(), gone_at.to_string()),
            ("GaugewayUnread".to_owned(), full_at.to_string()),
            ("LLMSpendRate".to_owned(), String::new()),
        ])
        .collect();
    wait(&prometheus, &expected).await;
    let drift = filled_queries("1m", Names::Envoy)
        .into_iter()
        .find(|(panel, _)| panel == DRIFT)
        .expect("there is no such panel")
        .1;
    let values = prometheus.numbers(&drift).await;
    assert!(values.iter().any(|value| *value > 0.5), "the panel must show the drift: {values:?}");

    // So far some dollars were spent, at a high rate. This call costs more than the budget of a day. Envoy creates a series with it, so it is
    // the first count of the series.
    assert!(!fired(&prometheus).await.contains(&spent), "the budget of a day is not spent yet");
    let costly = call(&EVENTS[9], "echo", None, json!({"model": "model-costly"}));
    assert_eq!(client::send(gateway.addr, costly, Http::One).await.unwrap().status, 200);
    expected.insert(spent);
    wait(&prometheus, &expected).await;
    events.abort_all();
    drop((traffic, upstream));

    let perhaps =
        EVENTS.iter().flat_map(|event| event.perhaps.iter().map(|alert| ((*alert).to_owned(), event.name.to_owned())));
    // The plugin counts none of the calls that it does not read.
    let unread = ("GaugewaySilent".to_owned(), full_at.to_string());
    let allowed: BTreeSet<_> = expected.iter().cloned().chain(perhaps).chain([unread]).collect();
    let wrong: Vec<_> = fired(&prometheus).await.into_iter().filter(|one| !allowed.contains(one)).collect();
    let scrapes = prometheus.query("max_over_time(scrape_duration_seconds[5m])").await;
    assert!(wrong.is_empty(), "these alerts fired without their event: {wrong:?}\n{scrapes}");

    let alerts = read("envoy/prometheus/alerts.yml");
    let alerts = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let untested: Vec<_> = alerts
        .filter(|alert| !["GaugewayCrashed", "LLMCostAnomaly"].contains(alert))
        .filter(|alert| !expected.iter().any(|(tested, _)| tested == alert))
        .collect();
    assert!(untested.is_empty(), "no event makes these alerts fire: {untested:?}");
}

/// Waits until these alerts have fired.
async fn wait(prometheus: &Prometheus, expected: &BTreeSet<(String, String)>) {
    let end = Instant::now() + PATIENCE;
    loop {
        let fired = fired(prometheus).await;
        let missing: Vec<_> = expected.difference(&fired).collect();
        if missing.is_empty() {
            return;
        }
        if Instant::now() > end {
            let scrapes = prometheus.query("max_over_time(scrape_duration_seconds[5m])").await;
            panic!("did not fire: {missing:?}\nfired: {fired:?}\nlongest scrapes: {scrapes}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The alerts that have fired since the start, each with the event that its labels name.
async fn fired(prometheus: &Prometheus) -> BTreeSet<(String, String)> {
    let result = prometheus.query("present_over_time(ALERTS{alertstate=\"firing\"}[1h])").await;
    result.as_array().unwrap().iter().map(|one| (label(&one["metric"], "alertname"), of(&one["metric"]))).collect()
}

fn label(labels: &Value, name: &str) -> String {
    labels[name].as_str().unwrap_or_default().to_owned()
}

/// The event of an alert: the one that fits all of its labels, else the labels themselves.
fn of(labels: &Value) -> String {
    let alert = label(labels, "alertname");
    if OF_ALL_CALLS.contains(&alert.as_str()) {
        return String::new();
    }
    let instance = label(labels, "instance");
    if !instance.is_empty() {
        return instance;
    }
    let fits = |event: &&Event| {
        let model = format!("model-{}", event.name);
        [
            ("route", event.name),
            ("gen_ai_provider_name", event.provider),
            ("server_address", event.host),
            ("gen_ai_request_model", if event.host == OPENAI { "gpt-4o" } else { &model }),
        ]
        .iter()
        .all(|(name, value)| labels[*name].is_null() || labels[*name] == *value)
    };
    match EVENTS.iter().filter(fits).collect::<Vec<_>>()[..] {
        [event] => event.name.to_owned(),
        _ => labels.to_string(),
    }
}
