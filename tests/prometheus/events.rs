//! Each alert fires for a real event in a real Envoy, and only for that event.
//!
//! Prometheus evaluates the shipped alerts with one change: all durations (windows, offsets and `for`) are divided by [`FASTER`], so
//! that an hour takes half a minute. Thresholds, labels and expressions are the shipped ones. Every event has its own provider,
//! route and model, or its own Envoy, so an alert that fires for the wrong event has the wrong labels, whichever labels its
//! expression keeps. `GaugewayCrashed` has no long `for` and is tested in `alerts.rs` with the shipped durations.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::panels::{DRIFT, filled_queries, read};
use crate::server::{Prometheus, faster};
use crate::support::agent::{Api, Conversation, Line};
use crate::support::client::{self, Http};
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// The divisor of all durations in the alerts.
const FASTER: u64 = 120;
/// The traffic without events. It is longer than every `for` but that of the drift, and longer than the short windows.
const HEALTHY: Duration = Duration::from_secs(11);
/// The time for all alerts to fire after the events have begun. They take about 50 seconds on a fast machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// What happens on one route: its name, which also names the model, the provider's host, and the provider's name in labels.
struct Event {
    name: &'static str,
    host: &'static str,
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

const EVENTS: &[Event] = &[
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
];

/// [`Conversation`] calls this host.
const OPENAI: &str = "api.openai.com";
/// Alerts without labels, for the route `spending`.
const OF_ALL_CALLS: &[&str] = &["LLMSpendRate", "LLMBudgetSpent"];
const PLAIN: &str = "openai-chat/stream-include-usage";

#[tokio::test(flavor = "multi_thread")]
async fn every_alert_fires_for_its_event_and_for_no_other() {
    let site = Site::start().await;
    let traffic = site.healthy_traffic();
    tokio::time::sleep(HEALTHY).await;
    assert_eq!(fired(&site.prometheus).await, BTreeSet::new(), "no alert may fire before the events");

    let spent = ("LLMBudgetSpent".to_owned(), String::new());
    let mut events = site.events();
    let Site { prometheus, gateway, crowded, silent, gone, upstream, .. } = site;
    let (gone_at, silent_at, crowded_at) = (gone.admin, silent.admin, crowded.admin);
    drop(gone);
    let mut expected: BTreeSet<_> = EVENTS
        .iter()
        .flat_map(|event| event.alerts.iter().map(|alert| ((*alert).to_owned(), event.name.to_owned())))
        .chain([
            ("GaugewaySilent".to_owned(), silent_at.to_string()),
            ("GaugewaySeriesOverflow".to_owned(), crowded_at.to_string()),
            ("GaugewayTargetDown".to_owned(), gone_at.to_string()),
            ("LLMSpendRate".to_owned(), String::new()),
        ])
        .collect();
    wait(&prometheus, &expected).await;
    let drift = filled_queries("1m").into_iter().find(|(panel, _)| panel == DRIFT).expect("there is no such panel").1;
    let values = prometheus.numbers(&drift).await;
    assert!(values.iter().any(|value| *value > 0.5), "the panel must show the drift: {values:?}");

    // So far a dollar was spent, at a high rate. Each of these calls costs more than the budget of a day. Prometheus does not see
    // the first one, because Envoy creates the series with it.
    assert!(!fired(&prometheus).await.contains(&spent), "the budget of a day is not spent yet");
    for _ in 0..2 {
        let costly = call(&EVENTS[9], "echo", None, json!({"model": "model-costly"}));
        assert_eq!(client::send(gateway.addr, costly, Http::One).await.unwrap().status, 200);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    expected.insert(spent);
    wait(&prometheus, &expected).await;
    events.abort_all();
    drop((traffic, upstream));

    let perhaps =
        EVENTS.iter().flat_map(|event| event.perhaps.iter().map(|alert| ((*alert).to_owned(), event.name.to_owned())));
    let allowed: BTreeSet<_> = expected.iter().cloned().chain(perhaps).collect();
    let wrong: Vec<_> = fired(&prometheus).await.into_iter().filter(|one| !allowed.contains(one)).collect();
    let scrapes = prometheus.query("max_over_time(scrape_duration_seconds[5m])").await;
    assert!(wrong.is_empty(), "these alerts fired without their event: {wrong:?}\n{scrapes}");

    let alerts = read("envoy/prometheus/alerts.yml");
    let alerts = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let untested: Vec<_> = alerts
        .filter(|alert| *alert != "GaugewayCrashed" && !expected.iter().any(|(tested, _)| tested == alert))
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

struct Site {
    upstream: Upstream,
    /// All events except those of the other three Envoys.
    gateway: Envoy,
    /// Gets calls to more models than it may have series for.
    crowded: Envoy,
    /// Gets traffic that is not LLM traffic.
    silent: Envoy,
    /// Ends.
    gone: Envoy,
    prometheus: Prometheus,
}

impl Site {
    async fn start() -> Self {
        let upstream = Upstream::start(Fixture::all()).await;
        // Envoy answers calls with these headers itself.
        let denied = "{name: denied, match: {prefix: \"/\", headers: [{name: x-upstream, string_match: {exact: deny}}]}, direct_response: {status: 503}}";
        let lost = "{name: lost, match: {prefix: \"/\", headers: [{name: x-upstream, string_match: {exact: lose}}]}, route: {cluster: empty}}";
        let empty = "{name: empty, type: STATIC}".to_owned();
        let routes: Vec<_> = [denied, lost].map(str::to_owned)
            .into_iter()
            .chain(EVENTS.iter().map(|event| {
                let timeout = if event.name == "failing" { "1s" } else { "0s" };
                let name = event.name;
                format!("{{name: {name}, match: {{prefix: \"/\", headers: [{{name: x-event, string_match: {{exact: {name}}}}}]}}, route: {{cluster: llm, timeout: {timeout}}}}}")
            }))
            .collect();
        let routes: Vec<_> = routes.iter().map(String::as_str).collect();
        let cheap = json!({"input": 0.01, "output": 0.01});
        let mut prices: serde_json::Map<_, _> = EVENTS
            .iter()
            .filter(|event| event.name != "unpriced")
            .map(|event| (format!("model-{}", event.name), cheap.clone()))
            .collect();
        for model in ["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"] {
            prices.insert(model.to_owned(), cheap.clone());
        }
        prices.insert("model-spending".to_owned(), json!({"input": 2000, "output": 2000}));
        prices.insert("model-costly".to_owned(), json!({"input": 20_000_000, "output": 20_000_000}));
        let config = json!({
            "agent": {"max_iterations": 8}, "prices": prices, "labels": {"max_series": 5000}, "streams": {"stalled_after": 3},
        });
        let gateway = Envoy::start(&Options { config, ..Options::to(upstream.addr).with(&routes, &[empty]) }).await;
        let models: serde_json::Map<_, _> =
            (0..MODELS).map(|number| (format!("crowd-{number}"), cheap.clone())).collect();
        let config = json!({"prices": models, "labels": {"max_series": 50}});
        let crowded = Envoy::start(&Options { config, ..Options::to(upstream.addr) }).await;
        let silent = Envoy::start(&Options::to(upstream.addr)).await;
        let gone = Envoy::start(&Options::to(upstream.addr)).await;
        let targets = [gateway.admin, crowded.admin, silent.admin, gone.admin];
        let prometheus = Prometheus::start_with(&targets, "1s", |rules| faster(rules, FASTER)).await;
        Site { upstream, gateway, crowded, silent, gone, prometheus }
    }

    /// Successful calls on every route, until the end of the test.
    fn healthy_traffic(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (gateway, silent) = (self.gateway.addr, self.silent.addr);
        for event in EVENTS.iter().filter(|event| !["unpriced", "spending"].contains(&event.name)) {
            let json = json!({"response_format": {"type": "json_object"}});
            let (travel, fixture, extra) = match event.name {
                "slow" | "uncounted" => ("whole", Some(PLAIN), json!({"stream": true})),
                "broken" => ("whole", Some("openai-chat/unary-json-schema"), json),
                "shorter" => ("big=20000", None, json!({})),
                _ => ("echo", None, json!({})),
            };
            // Answers as long as before would hide the shorter ones.
            let end = Instant::now() + if event.name == "shorter" { HEALTHY } else { 10 * PATIENCE };
            tasks.spawn(async move {
                while Instant::now() < end {
                    send(gateway, call(event, travel, fixture, extra.clone())).await;
                    let pause = if event.name == "flaky" { 110 } else { 1000 };
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            });
        }
        tasks.spawn(async move {
            let end = Instant::now() + HEALTHY;
            while Instant::now() < end {
                send(silent, client::request(&Fixture::load("openai-chat/unary"), &[])).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        tasks
    }

    fn events(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (gateway, crowded, silent) = (self.gateway.addr, self.crowded.addr, self.silent.addr);
        for event in EVENTS {
            let bad: &'static [(&str, Option<&str>)] = match event.name {
                "failing" => &[
                    ("whole", Some("openai-chat/error-500-code-null")),
                    ("whole", Some("openai-chat/error-429-to-a-stream-request")),
                    ("reset-after=20", Some("openai-chat/unary")),
                    ("hang", Some("openai-chat/unary")),
                    ("whole", Some("openai-chat/truncated-stream")),
                ],
                "flaky" => &[("whole", Some("openai-chat/error-500-code-null"))],
                "shorter" => &[("big=100", None)],
                "broken" => &[("whole", Some("openai-chat/json-asked-for-and-not-given"))],
                "uncounted" => &[("whole", Some("openai-chat/stream-without-usage"))],
                "unreadable" => &[("whole", Some("openai-chat/absurd-usage-stream-keeps-the-last-sane-value"))],
                "spending" => &[("echo", None)],
                "denied" => &[("deny", None)],
                "lost" => &[("lose", None)],
                _ => &[],
            };
            let extra = match event.name {
                "broken" => json!({"response_format": {"type": "json_object"}}),
                "uncounted" | "unreadable" => json!({"stream": true}),
                _ => json!({}),
            };
            if !bad.is_empty() {
                tasks.spawn(async move {
                    for (travel, fixture) in bad.iter().cycle() {
                        send(gateway, call(event, travel, *fixture, extra.clone())).await;
                        tokio::time::sleep(Duration::from_millis(1000)).await;
                    }
                });
            }
        }
        // Each of the next three happens once, within one interval of the scrapes.
        tasks.spawn(async move { send(gateway, call(&EVENTS[8], "echo", None, json!({}))).await });
        for _ in 0..5 {
            tasks.spawn(async move { run(gateway, "looping", "agent=6 again").await });
        }
        tasks.spawn(async move {
            for model in (0..MODELS).map(|number| format!("crowd-{number}")) {
                send(crowded, call(&EVENTS[0], "echo", None, json!({"model": model}))).await;
            }
        });
        tasks.spawn(async move {
            loop {
                run(gateway, "endless", "agent=99").await;
                tokio::time::sleep(Duration::from_millis(1000)).await;
            }
        });
        tasks.spawn(async move {
            loop {
                let request = call(&EVENTS[2], "gap=500", Some(PLAIN), json!({"stream": true}));
                drop(client::open(gateway, request, Http::One).await);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        // Twelve streams at a time stop in the middle.
        for _ in 0..12 {
            tasks.spawn(async move {
                loop {
                    send(gateway, call(&EVENTS[14], "pause=6000", Some(PLAIN), json!({"stream": true}))).await;
                }
            });
        }
        // The first token is late for every second stream.
        for number in 0..12 {
            tasks.spawn(async move {
                tokio::time::sleep(Duration::from_millis(number * 1000)).await;
                loop {
                    send(gateway, call(&EVENTS[3], "wait=11000", Some(PLAIN), json!({"stream": true}))).await;
                }
            });
        }
        tasks.spawn(async move {
            loop {
                drop(client::get(silent, "/health").await);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        tasks
    }
}

/// Number of models whose calls exceed the series of [`Site::crowded`].
const MODELS: usize = 60;

/// A call on the route of an event. `extra` has further members of its body.
fn call(event: &Event, travel: &str, fixture: Option<&str>, extra: Value) -> Request<Full<Bytes>> {
    let mut body =
        json!({"model": format!("model-{}", event.name), "messages": [{"role": "user", "content": "Well?"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap());
    let mut request = Request::post("/v1/chat/completions").header("host", event.host);
    request = request.header("content-type", "application/json").header("x-event", event.name);
    if let Some(fixture) = fixture {
        request = request.header("x-fixture", fixture);
    }
    request.header("x-upstream", travel).body(Full::from(body.to_string())).unwrap()
}

/// Sends a request that may fail, and reads the answer.
async fn send(addr: SocketAddr, request: Request<Full<Bytes>>) {
    drop(client::send(addr, request, Http::One).await);
}

/// An agent that runs until its final answer or for ten calls.
async fn run(addr: SocketAddr, event: &str, travel: &str) {
    let mut lines = [Line::open(addr).await.unwrap(), Line::open(addr).await.unwrap()];
    let mut agent = Conversation::new(Api::Completions, false);
    agent.headers.push(("x-event", event.to_owned()));
    agent.run(&mut lines, travel).await;
}
