//! The rules and the dashboard's queries in a real Prometheus that scrapes a real Envoy.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::panels::{DRIFT, Names, filled_queries, path, read};
use crate::server::{Prometheus, tool};
use crate::support::agent::{Api, Conversation, Line};
use crate::support::client::{self, Http};
use crate::support::crash::{CRASH, CRASH_FOR_GOOD, Crashing};
use crate::support::envoy::{self, Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::otlp::Receiver;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use crate::tools;
use crate::translated::Translated;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;

/// Queries that dashboards for manual instrumentation use, unchanged.
const FIVE: [&str; 5] = [
    "sum(rate(llm_token_usage_tokens_total[5m])) by (llm_model)",
    "sum(rate(llm_request_cost_USD_total[1h])) * 3600",
    "histogram_quantile(0.99, rate(llm_request_duration_seconds_bucket[5m]))",
    "histogram_quantile(0.95, agent_iterations_bucket)",
    "rate(llm_token_usage_tokens_total[5m]) / rate(llm_request_count[5m])",
];

#[tokio::test]
async fn promtool_accepts_the_configuration_and_its_rules() {
    promtool(&["check", "config", "envoy/prometheus/prometheus.yml"]).await;
    promtool(&["check", "rules", "--lint-fatal", "envoy/prometheus/recording.yml", "envoy/prometheus/alerts.yml"])
        .await;
}

#[tokio::test]
async fn every_alert_passes_its_promtool_tests() {
    let mut files: Vec<_> =
        fs::read_dir(path("envoy/prometheus/tests")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let tests: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let alerts = read("envoy/prometheus/alerts.yml");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let fires = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"");
        assert!(
            tests.contains(&fires) || tests.contains(&format!("alertname: {alert}\n")),
            "envoy/prometheus/tests/alerts.yml has no test of the alert {alert}"
        );
    }
    let files: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    promtool(&[&["test", "rules"], &files[..]].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_and_common_query_has_values_other_than_0_under_traffic_by_the_names_of_envoy_and_of_otlp() {
    let upstream = Upstream::start(Fixture::all()).await;
    let receiver = Arc::new(Receiver::start().await);
    let envoy = Envoy::start(
        &Options {
            config: json!({
                "labels": {"headers": {"x-team": "team"}, "max_series": 20_000},
                "feedback": {"path": FEEDBACK, "secret": "correct-horse-battery"},
                "stream_usage": {"inject": true},
                "streams": {"stalled_after": 1},
                "otlp": {"cluster": "otlp", "exceptions": true},
                "agent": {"max_iterations": 8, "abandoned_after": 8},
            }),
            otlp: Some(receiver.addr),
            replace: vec![
                (
                    "  - {tag_name: route,".to_owned(),
                    "  - {tag_name: team, regex: '^wasmcustom\\..*?(team=\\.=(.*?);\\.;)'}\n  - {tag_name: route,"
                        .to_owned(),
                ),
                envoy::holding_requests(),
            ],
            ..Options::to(upstream.addr)
        }
        .with(&[REFUSED], &[]),
    )
    .await;
    let crashing = Crashing::start(Options::to(upstream.addr), "FAIL_RELOAD").await;
    // Its memory has no room for more than the calls that hang.
    let full = full_gateway(upstream.addr, Some(receiver.addr)).await;
    let prometheus = Prometheus::start(&[envoy.admin, crashing.envoy.admin, full.admin]).await;
    let translated = Translated::start(Arc::clone(&receiver)).await;
    let of_otlp = Prometheus::start_with(&[translated.addr], "5s", str::to_owned).await;
    let mut traffic = traffic(envoy.addr);
    let _unread = unread_traffic(full.addr);

    // Without a week of history these panels compare equal or missing values; see `events.rs` and `anomaly.rs`.
    // A rate needs two counts, and on a busy machine some fixtures come once a minute.
    let of_panels = |names| {
        let shown = move |(panel, promql): &(String, String)| {
            panel != DRIFT && !promql.contains(":median_7d") && (names == Names::Envoy || !promql.contains("envoy_"))
        };
        filled_queries("3m", names).into_iter().filter(shown)
    };
    let common = FIVE.map(|query| ("one of the five".to_owned(), query.to_owned()));
    let of_envoy = of_panels(Names::Envoy).chain(common).map(|query| (&prometheus, query));
    let mut missing: Vec<_> = of_envoy.chain(of_panels(Names::Otlp).map(|query| (&of_otlp, query))).collect();
    let end = Instant::now() + Duration::from_secs(240);
    while !missing.is_empty() && Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(2)).await;
        // The next call starts the plugin again, unless it was started a moment ago.
        assert_eq!(crashing.call(CRASH).await, 503);
        crashing.call(&[]).await;
        let mut still = Vec::new();
        for (server, (panel, promql)) in missing {
            if server.numbers(&promql).await.iter().all(|value| value.abs() < 1e-9) {
                still.push((server, (panel, promql)));
            }
        }
        missing = still;
    }
    let missing: Vec<_> = missing.into_iter().map(|(_, query)| query).collect();
    assert!(missing.is_empty(), "these queries have no data, or only zeros: {missing:#?}");
    the_units_are_the_same(&prometheus, &of_otlp).await;
    let all = ["abandoned", "cancelled", "completed", "error", "loop", "max_iterations"];
    let runs = shown("Agent runs", &prometheus, "status").await;
    assert!(all.iter().all(|status| runs.contains(*status)), "the panel of agent runs shows only {runs:?}");
    let tools = shown("Tool errors", &of_otlp, "gen_ai_tool_name").await;
    assert!(tools.len() > 1, "the panel of tool errors shows only {tools:?}");
    let tools = shown("MCP error rate by tool and server", &of_otlp, "gen_ai_tool_name").await;
    assert_eq!(tools, ["look_up", "save"].map(str::to_owned).into(), "the panel of errors of MCP");

    prometheus.all_rules_are_healthy_and_name_what_exists().await;
    for metric in [
        "gen_ai_client_inference_duration",
        "gen_ai_client_embeddings_duration",
        "gen_ai_client_operation_duration",
        "gen_ai_client_inference_time_to_first_chunk",
        "gen_ai_server_time_to_first_token",
        "gen_ai_server_time_per_output_token",
        "mcp_client_operation_duration",
        "mcp_client_session_duration",
    ] {
        assert_eq!(prometheus.bounds(metric).await, configured_bounds(metric), "{metric}_seconds");
    }

    // After the traffic has stopped, both names of a metric must have the same value.
    traffic.shutdown().await;
    let aliases = [
        ("sum(llm_request_count{llm_token_type=\"input\"})", "gaugeway_requests_total", 1.0),
        ("sum(llm_token_usage_tokens_total{llm_token_type=\"output\"})", "gaugeway_output_tokens_total", 1.0),
        ("sum(llm_request_cost_USD_total)", "gaugeway_cost_nanousd_total", 1e9),
    ];
    let end = Instant::now() + Duration::from_secs(20);
    for (promql, metric, unit) in aliases {
        loop {
            let expected = total(&envoy.samples().await, metric, &[]) / unit;
            let seen = prometheus.numbers(promql).await;
            if expected > 0.0 && seen.len() == 1 && (seen[0] - expected).abs() < expected * 1e-9 {
                break;
            }
            assert!(Instant::now() < end, "Prometheus has {seen:?} for {promql}, but Envoy has {expected}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Compares the same figures by both names. Exports and late scrapes make them differ, but a wrong unit is a factor of a thousand or more.
async fn the_units_are_the_same(envoy: &Prometheus, otlp: &Prometheus) {
    for (panel, at) in [
        ("Spend", 0),
        ("Time to first token", 1),
        ("Calls", 0),
        ("Feedback p10 and p50", 1),
        ("MCP duration p50 and p95", 1),
        ("Tool time by part", 0),
    ] {
        let mut figures = Vec::new();
        for (server, names) in [(envoy, Names::Envoy), (otlp, Names::Otlp)] {
            let mut queries = filled_queries("1m", names).into_iter().filter(|(title, _)| title == panel);
            let values = server.numbers(&queries.nth(at).unwrap().1).await;
            figures.push(values.iter().sum::<f64>() / values.len() as f64);
        }
        assert!(figures[0] < 10.0 * figures[1] && figures[1] < 10.0 * figures[0], "{panel}: {figures:?}");
    }
    // If the names of labels were wrong, every call would count as a failure.
    for server in [envoy, otlp] {
        assert_ne!(server.numbers("llm:errors:ratio_rate1h < 1").await, [] as [f64; 0]);
    }
}

/// The values of a label in a panel.
async fn shown(panel: &str, server: &Prometheus, label: &str) -> BTreeSet<String> {
    let names = if label == "status" { Names::Envoy } else { Names::Otlp };
    let (_, promql) = filled_queries("2m", names).into_iter().find(|(title, _)| title == panel).unwrap();
    let result = server.query(&promql).await;
    result.as_array().unwrap().iter().filter_map(|one| Some(one["metric"][label].as_str()?.to_owned())).collect()
}

/// An Envoy whose plugin has no memory for more calls than those of [`unread_traffic`] that hang.
pub async fn full_gateway(upstream: SocketAddr, otlp: Option<SocketAddr>) -> Envoy {
    let mut config = json!({"limits": {"stream_memory_bytes": 8 << 20}});
    if otlp.is_some() {
        config["otlp"] = json!({"cluster": "otlp"});
    }
    Envoy::start(&Options { config, otlp, ..Options::to(upstream) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crash_alert_fires_whether_or_not_the_plugin_restarts() {
    let upstream = Upstream::start(vec![Fixture::load("openai-chat/unary")]).await;
    let start = async || Crashing::start(Options::to(upstream.addr), "FAIL_RELOAD").await;
    let (well, crashing, broken) = (start().await, start().await, start().await);
    let instances = [&well, &crashing, &broken].map(|site| site.envoy.admin);
    let prometheus = Prometheus::start(&instances).await;
    // `increase()` needs a sample from before the crash.
    let end = Instant::now() + Duration::from_secs(30);
    while prometheus.numbers("count_over_time(envoy_wasm_gaugeway_vm_reload_backoff[1m]) > 1").await.len() < 3 {
        assert!(Instant::now() < end, "Prometheus did not scrape the three Envoys in time");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(prometheus.crashed().await, BTreeSet::new());

    assert_eq!((crashing.call(CRASH).await, broken.call(CRASH_FOR_GOOD).await), (503, 503));
    // Envoy starts a plugin at the earliest one or two seconds after the last start, and refuses calls until then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let wanted = BTreeSet::from([crashing.envoy.admin.to_string(), broken.envoy.admin.to_string()]);
    let end = Instant::now() + Duration::from_secs(30);
    assert_eq!((well.call(&[]).await, crashing.call(&[]).await, broken.call(&[]).await), (200, 200, 503));
    while prometheus.crashed().await != wanted {
        assert!(Instant::now() < end, "the alert fires for {:?} instead of {wanted:?}", prometheus.crashed().await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let series = |end: &str| format!("sum(envoy_wasm_gaugeway_vm_reload{end})");
    assert_eq!(prometheus.numbers(&series("")).await, [0.0], "vm_reload must not count crashes");
    assert_eq!(prometheus.numbers(&series("_success")).await, [1.0]);
    assert_eq!(prometheus.numbers(&series("_failure")).await, [1.0]);
    assert_eq!(prometheus.numbers(&series("_backoff")).await, [0.0]);
}

const FEEDBACK: &str = "/feedback";
/// A route that Envoy answers itself.
const REFUSED: &str = "{name: refused, match: {prefix: /refused/}, direct_response: {status: 403}}";

/// Sends all fixtures repeatedly, some of them streamed slowly, cut off by the provider or aborted by the client, and
/// also agent runs, feedback and calls that Envoy answers.
fn traffic(envoy: SocketAddr) -> JoinSet<()> {
    let mut workers = JoinSet::new();
    for worker in 0..3 {
        workers.spawn(async move {
            let fixtures = Fixture::all();
            let team = ["search", "chat", "search"][worker];
            for (at, fixture) in fixtures.iter().cycle().enumerate().skip(worker * fixtures.len() / 3) {
                let how = match at % 16 {
                    0 => "reset-after=100",
                    1 => "wait=20",
                    _ if fixture.is_stream() => "gap=3",
                    _ => "whole",
                };
                let mut request = client::request(fixture, &[("x-team", team), ("x-upstream", how)]);
                if at % 16 == 3 {
                    *request.uri_mut() = format!("/refused{}", fixture.request.path).parse().unwrap();
                }
                if at % 16 == 2 {
                    drop(client::open(envoy, request, Http::One).await);
                } else if let Ok(reply) = client::send(envoy, request, Http::One).await {
                    let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                    if let Some(id) = answer["id"].as_str() {
                        let score = json!({"response_id": id, "score": (at % 5) as f64 / 4.0}).to_string();
                        let feedback = Request::post(FEEDBACK)
                            .header("host", "llm")
                            .header("authorization", "Bearer correct-horse-battery")
                            .header("content-type", "application/json")
                            .body(Full::from(score))
                            .unwrap();
                        drop(client::send(envoy, feedback, Http::One).await);
                    }
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }
    // Invents models until their share of the series is full.
    workers.spawn(async move {
        let mut fixture = Fixture::load("openai-chat/unary");
        for number in 0.. {
            fixture.request.body = json!({"model": format!("invented-{number}"), "messages": []}).to_string().into();
            drop(client::send(envoy, client::request(&fixture, &[("x-upstream", "echo")]), Http::One).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    // Conversations whose second call reads nothing from the cache, because its system prompt is another one.
    workers.spawn(async move {
        let mut fixture = Fixture::load("openai-chat/unary");
        let said = |role: &str, text: &str| json!({"role": role, "content": text});
        let answer = json!({"id": "c", "object": "chat.completion", "model": "gpt-4o",
            "choices": [{"index": 0, "message": said("assistant", "ok"), "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3000, "completion_tokens": 3, "total_tokens": 3003,
                "prompt_tokens_details": {"cached_tokens": 0}}})
        .to_string();
        for number in 0.. {
            let first = [said("system", "a"), said("user", &format!("question {number}"))];
            let second =
                [&[said("system", "b")], &first[1..], &[said("assistant", "ok"), said("user", "go on")]].concat();
            for messages in [&first[..], &second] {
                fixture.request.body = json!({"model": "gpt-4o", "messages": messages}).to_string().into();
                let request =
                    client::request(&fixture, &[("x-team", "chat"), ("x-upstream", "given"), ("x-answer", &answer)]);
                drop(client::send(envoy, request, Http::One).await);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    // Streams that stop in the middle.
    workers.spawn(async move {
        let fixture = Fixture::load("openai-chat/stream-include-usage");
        loop {
            let request = client::request(&fixture, &[("x-team", "chat"), ("x-upstream", "pause=2500")]);
            drop(client::send(envoy, request, Http::One).await);
        }
    });
    // These are rare among the fixtures, and a rate needs two.
    workers.spawn(async move {
        let names = [
            "malformed-json",
            "unary-empty-answer",
            "unary-refusal",
            "unary-audio-answer",
            "json-asked-for-and-not-given",
            "agent-third-iteration-after-a-failed-tool",
            "error-429-to-a-stream-request",
        ];
        let fixtures = names.map(|name| Fixture::load(&format!("openai-chat/{name}")));
        let run = Fixture::load("openai-chat/stream-tool-calls-in-fragments");
        for fixture in fixtures.iter().cycle() {
            let request = client::request(fixture, &[("x-team", "chat"), ("x-upstream", "whole")]);
            drop(client::send(envoy, request, Http::One).await);
            // The client leaves in the middle of an agent's run.
            let request = client::request(&run, &[("x-team", "chat"), ("x-upstream", "gap=300")]);
            drop(client::open(envoy, request, Http::One).await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    workers.spawn(async move {
        let mut lines = [Line::open(envoy).await.unwrap(), Line::open(envoy).await.unwrap()];
        // The third run repeats itself until the limit of iterations, and the fourth reaches it without a loop.
        for travel in ["agent=2", "agent=2", "agent=99 again", "agent=99"].iter().cycle() {
            let mut agent = Conversation::new(Api::Completions, false);
            agent.headers.push(("x-team", "chat".to_owned()));
            agent.run(&mut lines, travel).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    workers.spawn(tools::traffic(envoy));
    workers
}

/// Sends calls while more calls hang than the memory of the plugin has room for.
pub fn unread_traffic(envoy: SocketAddr) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for number in 0..HANGING + 1 {
        clients.spawn(async move {
            let fixture = Fixture::load("openai-chat/unary");
            let travel = if number < HANGING { "hang" } else { "whole" };
            loop {
                drop(client::send(envoy, client::request(&fixture, &[("x-upstream", travel)]), Http::One).await);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    clients
}

/// Number of calls that hang. Envoy has at most 1,024 connections to the upstream.
const HANGING: usize = 900;

async fn promtool(arguments: &[&str]) {
    let output = Command::new(tool("promtool")).args(arguments).current_dir(path(".")).output().await;
    let output = output.expect("cannot start promtool");
    let words = [output.stdout, output.stderr].map(|words| String::from_utf8_lossy(&words).into_owned()).concat();
    assert!(output.status.success(), "promtool {}\n{words}", arguments.join(" "));
}

/// The upper bounds of a latency's buckets in envoy.yaml, in seconds.
fn configured_bounds(metric: &str) -> BTreeSet<String> {
    let yaml = read("envoy/envoy.yaml");
    let (_, after) = yaml
        .split_once(&format!("prefix: wasmcustom.{metric}_microseconds}}"))
        .expect("envoy.yaml has no buckets for this latency");
    let (_, list) = after.split_once("buckets: [").unwrap();
    let bounds = list.split(']').next().unwrap().split(", ");
    bounds.map(|bound| (bound.parse::<f64>().unwrap() / 1e6).to_string()).chain(["+Inf".to_owned()]).collect()
}
