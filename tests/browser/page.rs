//! The live page of `./build.sh run` in a real browser: the document must show the values that Envoy counts and logs.

use std::process::Stdio;
use std::time::Duration;

use crate::support::client::{self, Http};
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use gaugeway_demo::page::{Live, Replay, Subject};
use http_body_util::Full;
use hyper::Request;
use serde_json::Value;
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(20);
const HOSTILE: &str = "<img src=x onerror=alert(1)>&quot;";
const DURATION: &str = "gen_ai_client_inference_duration_microseconds";
const FIRST_TOKEN: &str = "gen_ai_server_time_to_first_token_microseconds";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_envoys_counts_and_calls_and_says_when_there_are_none() {
    let (_upstream, envoy, live) = start().await;

    let empty = open(&live).await;
    assert!(!is_hidden(&empty, "empty") && is_hidden(&empty, "numbers") && is_hidden(&empty, "problem"), "{empty}");

    let mut refused = Fixture::load("openai-chat/error-429-to-a-stream-request");
    refused.request.body = String::from_utf8_lossy(&refused.request.body).replace("gpt-4o", HOSTILE).into();
    let calls = [
        (Fixture::load("openai-chat/unary-tool-result-cached-prompt"), "wait=200"),
        (Fixture::load("openai-chat/stream-include-usage"), "gap=20"),
        (Fixture::load("openai-responses/stream-function-call-said-three-times"), "wait=500 gap=10"),
        (Fixture::load("anthropic-messages/stream-thinking-text-tool-use"), "gap=5"),
        (Fixture::load("openai-chat/malformed-json"), "whole"),
        (refused, "whole"),
    ];
    for (at, (fixture, travel)) in calls.iter().enumerate() {
        client::replay(envoy.addr, fixture, &[("x-upstream", travel)]).await;
        assert_eq!(envoy.entries_of(at + 1, PATIENCE).await.len(), at + 1, "{}", fixture.id);
    }
    let flushed = |all: &[Sample]| total(all, &format!("{DURATION}_count"), &[]) == calls.len() as f64;
    let samples = envoy.samples_when(flushed, PATIENCE).await;
    let log = envoy.entries();
    live.show(&log);

    let dom = open(&live).await;
    assert!(is_hidden(&dom, "empty") && !is_hidden(&dom, "numbers") && is_hidden(&dom, "problem"), "{dom}");
    assert!(!dom.contains("<img"), "a model name was inserted as HTML");
    totals_agree(part(&dom, "id=\"totals\"", "</section>"), &samples, &[]);
    for model in ["gpt-4o", "gpt-5-mini", "claude-sonnet-4"] {
        let row = part(&dom, &format!("<tr data-key=\"{model}\""), "</tr>");
        totals_agree(row, &samples, &[("gen_ai_request_model", model)]);
    }
    for (kind, metric) in [
        ("input", "gaugeway_input_tokens_total"),
        ("cached input", "gaugeway_cache_read_tokens_total"),
        ("output", "gaugeway_output_tokens_total"),
        ("reasoning output", "gaugeway_reasoning_tokens_total"),
    ] {
        let bar = part(part(&dom, "id=\"token-bars\"", "</ul>"), &format!("data-key=\"{kind}\""), "</li>");
        assert_eq!(figure(bar, "amount"), total(&samples, metric, &[]), "tokens: {kind}");
        assert!(figure(bar, "amount") > 0.0, "the page shows no tokens of the kind {kind}");
    }
    for (list, metric, label) in [
        ("spend-bars", "gaugeway_cost_nanousd_total", "gen_ai_response_model"),
        ("outcome-bars", "gaugeway_requests_total", "outcome"),
        ("finish-bars", "gaugeway_finish_reasons_total", "finish_reason"),
        ("parse-error-bars", "gaugeway_parse_errors_total", "parse_error"),
    ] {
        let bars = part(&dom, &format!("id=\"{list}\""), "</ul>");
        let own: Vec<&Sample> = samples.iter().filter(|one| one.name == metric && one.value > 0.0).collect();
        assert!(!own.is_empty(), "there are no series to compare with {list}");
        for value in own.iter().map(|one| one.label(label)) {
            let bar = part(bars, &format!("data-key=\"{value}\""), "</li>");
            assert_eq!(figure(bar, "amount"), total(&samples, metric, &[(label, value)]), "{list}: {value}");
        }
    }

    let rows: Vec<&str> = part(&dom, "id=\"calls\"", "</tbody>").split("<tr ").skip(1).collect();
    assert_eq!(rows.len(), log.len());
    for (row, entry) in rows.iter().zip(log.iter().rev()) {
        row_agrees(row, entry);
    }
    assert_eq!(words(rows[0], "model"), HOSTILE.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
    assert_eq!(words(rows[3], "tools"), "tide_table");

    drop(envoy);
    let alone = open(&live).await;
    assert!(!is_hidden(&alone, "problem") && alone.contains("Envoy is not reachable"), "{alone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_button_sends_its_call_through_envoy_but_other_sites_cannot() {
    let (_upstream, envoy, live) = start().await;
    let own = format!("http://{}", live.addr);
    let host = live.addr.to_string();

    assert_eq!(status(&live, "POST", "/send/0", &host, Some("http://elsewhere.example")).await, 403);
    assert_eq!(status(&live, "POST", "/send/0", "elsewhere.example", None).await, 403);
    assert_eq!(status(&live, "GET", "/data", "elsewhere.example:80", None).await, 403);
    assert_eq!(status(&live, "POST", "/send/1", &host, Some(&own)).await, 404);
    assert_eq!(status(&live, "GET", "/send/0", &host, None).await, 405);
    assert_eq!(status(&live, "POST", "/send/0", &host, Some(&own)).await, 200);

    let log = envoy.entries_of(1, PATIENCE).await;
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(log[0]["gen_ai.request.model"], "gpt-4o-mini");
}

async fn start() -> (Upstream, Envoy, Live) {
    let upstream = Upstream::start(Fixture::all()).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    let fixture = Fixture::load("openai-chat/stream-include-usage");
    let subject = Subject {
        envoy: envoy.addr,
        admin: envoy.admin,
        title: "a test".to_owned(),
        by_hand: "curl".to_owned(),
        replays: vec![Replay { title: fixture.id.clone(), request: Box::new(move || client::request(&fixture, &[])) }],
    };
    let live = Live::start(subject, 0).await.unwrap();
    (upstream, envoy, live)
}

/// The document in a browser after the page was drawn. Panics if the browser reports an error.
async fn open(live: &Live) -> String {
    let program =
        std::env::var("GAUGEWAY_CHROMIUM").expect("GAUGEWAY_CHROMIUM is not set: run ./build.sh test browser");
    let folder = std::env::temp_dir().join(format!("gaugeway-browser-{}-{}", std::process::id(), live.addr.port()));
    let browser = Command::new(program)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", folder.display()))
        .args(["--virtual-time-budget=5000", "--dump-dom", &format!("http://{}/", live.addr)])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), browser)
        .await
        .expect("the browser did not exit in time")
        .unwrap();
    drop(std::fs::remove_dir_all(folder));
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(dom.contains("</html>"), "the browser printed no document: {log}");
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains(":CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    dom.into_owned()
}

async fn status(live: &Live, method: &str, path: &str, host: &str, origin: Option<&str>) -> u16 {
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    client::send(live.addr, request.body(Full::new(Bytes::new())).unwrap(), Http::One).await.unwrap().status
}

fn totals_agree(part: &str, samples: &[Sample], labels: &[(&str, &str)]) {
    let completed = [labels, &[("outcome", "completed")]].concat();
    let calls = total(samples, "gaugeway_requests_total", labels);
    let expected = [
        ("calls", calls),
        ("failed", calls - total(samples, "gaugeway_requests_total", &completed)),
        ("input", total(samples, "gaugeway_input_tokens_total", labels)),
        ("output", total(samples, "gaugeway_output_tokens_total", labels)),
        ("spend", total(samples, "gaugeway_cost_nanousd_total", labels)),
    ];
    assert!(calls > 0.0, "there are no calls with {labels:?}");
    for (name, value) in expected {
        assert_eq!(figure(part, name), value, "{name} of {labels:?}");
    }
    for (share, suffix) in [(0.5, "50"), (0.99, "99")] {
        for (name, metric) in [("duration", DURATION), ("first", FIRST_TOKEN)] {
            let Some((lower, upper)) = bucket(samples, metric, labels, share) else { continue };
            let shown = figure(part, &format!("{name}-{suffix}"));
            assert!(
                lower < shown && shown <= upper,
                "{name} p{suffix} of {labels:?} is {shown}, not in {lower}..{upper}"
            );
        }
    }
}

/// The bounds of the bucket that contains this quantile.
fn bucket(samples: &[Sample], metric: &str, labels: &[(&str, &str)], share: f64) -> Option<(f64, f64)> {
    let name = format!("{metric}_bucket");
    let own = samples.iter().filter(|one| one.name == name && one.has(labels));
    let mut bounds: Vec<(f64, String)> =
        own.map(|one| (one.label("le").parse().unwrap(), one.label("le").to_owned())).collect();
    bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    bounds.dedup();
    let below = |le: &str| total(samples, &name, &[labels, &[("le", le)]].concat());
    let wanted = share * below("+Inf");
    let at = bounds.iter().position(|(_, le)| wanted > 0.0 && below(le) >= wanted)?;
    Some((at.checked_sub(1).map_or(0.0, |before| bounds[before].0), bounds[at].0))
}

fn row_agrees(row: &str, entry: &Value) {
    let said = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(words(row, "outcome"), said("gaugeway.outcome"));
    for (name, key) in [("input", "gen_ai.usage.input_tokens"), ("output", "gen_ai.usage.output_tokens")] {
        assert_eq!(words(row, name).replace(',', ""), said(key), "{name} in {entry}");
    }
    if let Ok(cost) = said("gaugeway.cost.usd").parse::<f64>() {
        assert_eq!(words(row, "cost"), format!("${cost:.6}"));
    }
    assert_eq!(
        words(row, "first").is_empty(),
        entry["gaugeway.time_to_first_token"].is_null(),
        "first token in {entry}"
    );
}

fn part<'a>(dom: &'a str, from: &str, to: &str) -> &'a str {
    let start = dom.find(from).unwrap_or_else(|| panic!("the document does not contain {from}: {dom}"));
    &dom[start..][..dom[start..].find(to).unwrap()]
}

/// The `value` attribute of a `<data>` element.
fn figure(part: &str, name: &str) -> f64 {
    let element = self::part(part, &format!("data-f=\"{name}\""), ">");
    let value = element.split("value=\"").nth(1).unwrap_or_else(|| panic!("{name} has no value in {part}"));
    value.split('"').next().unwrap().parse().unwrap_or_else(|_| panic!("{name} is not a number in {part}"))
}

fn words<'a>(part: &'a str, name: &str) -> &'a str {
    let element = self::part(part, &format!("data-f=\"{name}\""), "</");
    element.split_once('>').unwrap().1
}

fn is_hidden(dom: &str, id: &str) -> bool {
    part(dom, &format!("id=\"{id}\""), ">").contains("hidden")
}
