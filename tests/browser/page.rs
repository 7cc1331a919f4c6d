//! The live page of `./build.sh run` in a real browser: the document must show the calls and agent runs that the plugin has
//! sent as spans, and what Envoy has counted.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::client::{self, Http};
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::otlp::{Attribute, Receiver, Span};
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use gaugeway_demo::page::{Live, Subject};
use gaugeway_demo::replay::Replay;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(20);
const HOSTILE: &str = "<img src=x onerror=alert(1)>&quot;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_the_calls_and_their_sums_and_says_when_there_are_none() {
    let (_upstream, spans, envoy, live) = start().await;

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
    client::send(
        envoy.addr,
        Request::get("/page").header("host", "127.0.0.1").body(Full::new(Bytes::new())).unwrap(),
        Http::One,
    )
    .await
    .unwrap();
    let log = envoy.entries_of(calls.len() + 1, PATIENCE).await;
    let counted = |all: &[Sample]| total(all, "gaugeway_requests_total", &[]) == calls.len() as f64;
    let samples = envoy.samples_when(counted, PATIENCE).await;
    let own = own(&spans, calls.len()).await;
    live.show(&own, &log);

    let dom = open(&live).await;
    assert!(is_hidden(&dom, "empty") && !is_hidden(&dom, "numbers") && is_hidden(&dom, "problem"), "{dom}");
    assert!(!dom.contains("<img"), "a model name was inserted as HTML");
    totals_agree(part(&dom, "id=\"totals\"", "</section>"), &samples, &[]);
    for model in ["gpt-4o", "gpt-5-mini", "claude-sonnet-4"] {
        let named =
            own.iter().filter_map(|span| span.text("gen_ai.request.model")).find(|name| name.starts_with(model));
        let row = part(&dom, &format!("<tr data-key=\"{}\"", named.unwrap()), "</tr>");
        totals_agree(row, &samples, &[("gen_ai_request_model", model)]);
    }
    durations_agree(part(&dom, "id=\"totals\"", "</section>"), &own);
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
    for outcome in ["completed", "error"] {
        let bar = part(part(&dom, "id=\"outcome-bars\"", "</ul>"), &format!("data-key=\"{outcome}\""), "</li>");
        assert_eq!(figure(bar, "amount"), total(&samples, "gaugeway_requests_total", &[("outcome", outcome)]));
    }
    let parts: f64 = figures(part(&dom, "id=\"part-bars\"", "</ul>"), "amount").into_iter().sum();
    let cost = total(&samples, "gaugeway_cost_nanousd_total", &[]);
    // Each part of each call is rounded on its own.
    assert!((parts - cost).abs() < 100.0, "the parts cost {parts}, all {cost}");
    assert!(part(&dom, "id=\"error-bars\"", "</ul>").contains("not readable: json"), "{dom}");
    assert!(dom.contains("class=\"box\" hidden=\"\"><h2>Tools</h2>"), "a box has nothing to say: {dom}");

    let rows: Vec<&str> = part(&dom, "id=\"calls\"", "</tbody>").split("<tr ").skip(1).collect();
    assert_eq!(rows.len(), calls.len() + 1);
    assert!(rows[0].contains("GET /page") && rows[0].contains("not LLM traffic"), "{}", rows[0]);
    for (row, span) in rows[1..].iter().zip(own.iter().rev()) {
        row_agrees(row, span);
    }
    assert_eq!(words(rows[1], "model"), HOSTILE.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
    assert_eq!(words(rows[3], "tools"), "tide_table");

    drop(envoy);
    let alone = open(&live).await;
    assert!(!is_hidden(&alone, "problem") && alone.contains("Envoy is not reachable"), "{alone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_shows_its_failed_tool_and_a_call_opens_with_all_that_is_known_of_it() {
    let (_upstream, spans, envoy, live) = start().await;
    let own_site = format!("http://{}", live.addr);
    // The second button is the agent.
    assert_eq!(status(&live, "POST", "/send/1", &live.addr.to_string(), Some(&own_site)).await, 200);
    let mut fixture = Fixture::load("openai-chat/stream-include-usage");
    fixture.request.headers.push(("x-upstream".to_owned(), "gap=200".to_owned()));
    let mut cut = client::open(envoy.addr, client::request(&fixture, &[]), Http::One).await.unwrap();
    http_body_util::BodyExt::frame(cut.response.body_mut()).await.unwrap().unwrap();
    drop(cut);
    // Two runs with three calls each, three tools of the agent and three of its sub-agent; and the cut call.
    let own = own(&spans, 15).await;
    live.show(&own, &[]);

    let call = own.iter().find(|span| span.name.starts_with("chat claude-haiku")).unwrap();
    let known: serde_json::Map<String, Value> =
        call.attributes.iter().map(|(name, value)| (name.clone(), value.to_string().into())).collect();
    let cost: f64 = own.iter().filter_map(|span| double(span, "gaugeway.cost.usd")).sum();
    let run_cost = cost
        - own
            .iter()
            .filter(|span| span.text("gen_ai.request.model") == Some("gpt-4o-mini"))
            .filter_map(|span| double(span, "gaugeway.cost.usd"))
            .sum::<f64>();
    node(
        &live,
        &json!({"call": known, "trace": call.trace_id, "span": call.span_id, "cost": (run_cost * 1e9).round()}),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_button_sends_its_call_through_envoy_but_other_sites_cannot() {
    let (_upstream, _spans, envoy, live) = start().await;
    let own = format!("http://{}", live.addr);
    let host = live.addr.to_string();

    assert_eq!(status(&live, "POST", "/send/0", &host, Some("http://elsewhere.example")).await, 403);
    assert_eq!(status(&live, "POST", "/send/0", "elsewhere.example", None).await, 403);
    assert_eq!(status(&live, "GET", "/data", "elsewhere.example:80", None).await, 403);
    assert_eq!(status(&live, "POST", "/send/2", &host, Some(&own)).await, 404);
    assert_eq!(status(&live, "GET", "/send/0", &host, None).await, 405);
    assert_eq!(status(&live, "POST", "/send/0", &host, Some(&own)).await, 200);

    let log = envoy.entries_of(1, PATIENCE).await;
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(log[0]["gen_ai.request.model"], "gpt-4o-mini");
}

async fn start() -> (Upstream, Receiver, Envoy, Live) {
    let upstream = Upstream::start(Fixture::all()).await;
    let spans = Receiver::start().await;
    let config = json!({"otlp": {"cluster": "otlp", "metrics_path": "", "logs_path": ""}});
    let envoy = Envoy::start(&Options { otlp: Some(spans.addr), config, ..Options::to(upstream.addr) }).await;
    let fixture = Fixture::load("openai-chat/stream-include-usage");
    let subject = Subject {
        envoy: envoy.addr,
        admin: envoy.admin,
        title: "a test".to_owned(),
        by_hand: "curl".to_owned(),
        replays: vec![
            Replay::of_call("A stream", move || client::request(&fixture, &[])),
            Replay::of_agent("An agent"),
        ],
    };
    let live = Live::start(subject, 0).await.unwrap();
    (upstream, spans, envoy, live)
}

/// The plugin's spans once there are so many. Envoy sends spans too.
pub async fn own(spans: &Receiver, count: usize) -> Vec<Span> {
    let is_own = |span: &Span| span.scope == "gaugeway";
    for _ in 0..200 {
        let own: Vec<_> = spans.spans().into_iter().filter(is_own).collect();
        if own.len() >= count {
            assert_eq!(own.len(), count, "{:#?}", own.iter().map(|span| &span.name).collect::<Vec<_>>());
            return own;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("there are fewer than {count} spans of the plugin: {:#?}", spans.spans());
}

/// Uses the page in a browser, with a mouse and with the keyboard.
async fn node(live: &Live, expected: &Value) {
    let program = std::env::var("GAUGEWAY_NODE").expect("GAUGEWAY_NODE is not set: run ./build.sh test browser");
    let run = Command::new(program)
        .args(["--test", "--test-reporter=spec"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/live.mjs"))
        .env("GAUGEWAY_PAGE", format!("http://{}/", live.addr))
        .env("GAUGEWAY_EXPECTED", expected.to_string())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(180), run).await.expect("the browser did not end").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
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
        ("input", total(samples, "gaugeway_input_tokens_total", labels)),
        ("output", total(samples, "gaugeway_output_tokens_total", labels)),
        ("spend", total(samples, "gaugeway_cost_nanousd_total", labels)),
    ];
    assert!(calls > 0.0, "there are no calls with {labels:?}");
    for (name, value) in expected {
        assert_eq!(figure(part, name), value, "{name} of {labels:?}");
    }
    let failed = calls - total(samples, "gaugeway_requests_total", &completed);
    if labels.is_empty() {
        assert!(words(part, "failed-of").starts_with(&format!("{failed} failed")), "{part}");
    } else {
        assert_eq!(figure(part, "failed"), failed, "failed of {labels:?}");
    }
}

/// Median and slowest must be times of calls, in milliseconds, and no call can have its first token after its end.
fn durations_agree(part: &str, spans: &[Span]) {
    let mut whole: Vec<f64> = spans.iter().map(|span| span.duration.as_secs_f64() * 1e3).collect();
    let mut first: Vec<f64> =
        spans.iter().filter_map(|span| Some(double(span, "gaugeway.time_to_first_token")? * 1e3)).collect();
    for (name, values) in [("duration", &mut whole), ("first", &mut first)] {
        values.sort_by(f64::total_cmp);
        let median = values[values.len().div_ceil(2) - 1];
        for (suffix, value) in [("50", median), ("95", *values.last().unwrap())] {
            let shown = figure(part, &format!("{name}-{suffix}"));
            assert!((shown - value).abs() < 0.01, "{name} {suffix} is {shown} instead of {value}");
        }
    }
}

fn row_agrees(row: &str, span: &Span) {
    let outcome = span.text("gaugeway.outcome").unwrap();
    assert_eq!(words(row, "outcome"), outcome);
    for (name, key) in [("input", "gen_ai.usage.input_tokens"), ("output", "gen_ai.usage.output_tokens")] {
        let said = span.attributes.get(key).map(ToString::to_string).unwrap_or_default();
        assert_eq!(words(row, name).replace(',', ""), said, "{name} in {span:#?}");
    }
    if let Some(cost) = double(span, "gaugeway.cost.usd") {
        let shown: f64 = words(row, "cost").trim_start_matches('$').parse().unwrap();
        // Two significant digits.
        assert!((shown - cost).abs() <= cost * 0.05, "{shown} instead of {cost}");
    }
    let first = double(span, "gaugeway.time_to_first_token");
    assert_eq!(words(row, "first").is_empty(), first.is_none(), "first token in {span:#?}");
}

fn double(span: &Span, key: &str) -> Option<f64> {
    match span.attributes.get(key) {
        Some(Attribute::Double(value)) => Some(*value),
        _ => None,
    }
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

/// The values of all elements with this name.
fn figures(part: &str, name: &str) -> Vec<f64> {
    let marked = format!("data-f=\"{name}\"");
    part.match_indices(&marked).map(|(at, _)| figure(&part[at..], name)).collect()
}

fn words<'a>(part: &'a str, name: &str) -> &'a str {
    let element = self::part(part, &format!("data-f=\"{name}\""), "</");
    element.split_once('>').unwrap().1
}

fn is_hidden(dom: &str, id: &str) -> bool {
    part(dom, &format!("id=\"{id}\""), ">").contains("hidden")
}
