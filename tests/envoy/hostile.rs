//! Hostile clients and upstreams through a real Envoy: every byte arrives unchanged, the plugin does not crash, and
//! nobody else can choose metric names, labels or the number of series.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::client::{self, Http, Raw};
use crate::support::envoy::{Envoy, Options};
use crate::support::expect;
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(10);
const UNARY: &str = "openai-chat/unary";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_and_paths_that_are_not_utf_8_pass_unchanged() {
    let upstream = Upstream::start(vec![Fixture::load(UNARY)]).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    let unary = Fixture::load(UNARY);

    let id = client::request_id();
    let own: [(&str, &[u8]); 4] =
        [("x-request-id", id.as_bytes()), ("x-bin", b"a\xff"), ("x-upstream", b"latin1"), ("connection", b"close")];
    let mut raw = Raw::send(envoy.addr, &client::raw_request(&unary, &own)).await.unwrap();
    raw.read_to_end().await.unwrap();
    assert!(raw.read.starts_with(b"HTTP/1.1 200"), "{:?}", raw.read.escape_ascii().to_string());
    assert!(raw.read.windows(5).any(|window| window == b": a\xff\r"), "the response header did not arrive");
    assert!(raw.read.ends_with(&unary.response.body));
    let received = upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
    assert_eq!(received.headers["x-bin"].as_bytes(), b"a\xff");
    let faults = expect::log_faults(&unary.observation, &[], &envoy.entry(&id, PATIENCE).await.unwrap());
    assert!(faults.is_empty(), "{faults:#?}");

    // Envoy itself rejects some of these paths. The plugin must pass all others.
    let long = [b"/v1beta/models/".as_slice(), &[b'm'; 20_000], b":generateContent"].concat();
    let paths: [&[u8]; 11] = [
        b"/openai/deployments/%ff%fe/chat/completions?api-version=1",
        b"/openai/deployments/%00%0a;.;route=.=x;.;/chat/completions",
        b"/openai/deployments/%/chat/completions",
        b"/openai/deployments//chat/completions",
        b"/v1beta/models/%zz%:generateContent",
        b"/v1beta/models/..%2f..%2f:streamGenerateContent?alt=sse&alt=%ff",
        b"/v1beta/models/:generateContent",
        b"/v1/chat/completions?x=\xff",
        b"/openai/deployments/\xff\xfe/chat/completions",
        b"//chat/completions/?#?",
        &long,
    ];
    let mut passed = 0;
    let heads = paths
        .iter()
        .map(|path| (*path, b"a".as_slice()))
        .chain([(b"/v1/chat/completions".as_slice(), b"a\xff\xfe".as_slice())]);
    for (path, host) in heads {
        let rest = b"\r\nconnection: close\r\nx-fixture: openai-chat/unary\r\ncontent-length: 2\r\n\r\n{}";
        let head = [b"POST ", path, b" HTTP/1.1\r\nhost: ", host, rest].concat();
        let mut raw = Raw::send(envoy.addr, &head).await.unwrap();
        raw.read_to_end().await.unwrap();
        let path = path.escape_ascii().to_string();
        if raw.read.starts_with(b"HTTP/1.1 200") {
            assert!(raw.read.ends_with(&unary.response.body), "{path:.60}");
            passed += 1;
        } else {
            assert!(raw.read.starts_with(b"HTTP/1.1 4"), "{path:.60}: {}", raw.read.escape_ascii());
        }
    }
    assert!(passed >= 7, "only {passed} of these paths passed");
    is_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_bodies_pass_unchanged_and_are_counted_as_parse_errors() {
    let deep = |n: usize| [b"[".repeat(n), b"]".repeat(n)].concat();
    let usage = |usage: &str| format!(r#"{{"id":"x","model":"gpt-4o","choices":[],"usage":{usage}}}"#).into_bytes();
    let (json, sse, aws) = ("application/json", "text/event-stream", "application/vnd.amazon.eventstream");
    let frame = crate::support::event_stream::frame(&[(":event-type", "chunk")], b"{}");
    let damaged = [&frame[..frame.len() - 1], b"\0"].concat();
    let answers: Vec<(&str, Vec<u8>, &str)> = vec![
        (json, usage(r#"{"prompt_tokens":null,"completion_tokens":3}"#), ""),
        (json, usage(r#"{"prompt_tokens":"12","completion_tokens":3}"#), "number"),
        (json, usage(r#"{"prompt_tokens":-1,"completion_tokens":3}"#), "number"),
        (json, usage(r#"{"prompt_tokens":1.5,"completion_tokens":3}"#), "number"),
        (json, usage(r#"{"prompt_tokens":9007199254740992,"completion_tokens":3}"#), "number"),
        (json, usage(r#"{"prompt_tokens":1e400,"completion_tokens":3}"#), "number"),
        (json, usage(r#"{"prompt_tokens":{"a":[1]},"completion_tokens":3}"#), "number"),
        (json, usage(&format!(r#"{{"prompt_tokens":{},"completion_tokens":3}}"#, "9".repeat(5000))), "number"),
        (json, usage(r#"[1,2,3]"#), ""),
        (json, br#"{"a":}"#.to_vec(), "json"),
        (json, b"<html>no".to_vec(), "json"),
        (json, b"\xff\xfe\0\x01".to_vec(), "json"),
        (json, b"{\"model\":\"\xff\xfe\",\"id\":\"\\ud800\\udc\"}".to_vec(), ""), // decoded as U+FFFD
        (json, deep(200_000), ""),
        (json, [b"{\"a\":".repeat(50_000), b"1".to_vec(), b"}".repeat(50_000)].concat(), ""),
        (json, [b"\"".to_vec(), b"\\u0000".repeat(50_000), b"\"".to_vec()].concat(), "json"),
        (sse, b"data: {broken\n\ndata: [DONE]\n\n".to_vec(), "json"),
        (sse, [b"data: ".to_vec(), b"a".repeat(300_000), b"\n\n".to_vec()].concat(), ""), // a marker such as [DONE]
        (sse, [b"data: {".to_vec(), b"\"a".repeat(300_000), b"\n\n".to_vec()].concat(), "json"),
        (sse, [b"data: {\"a\":\"".to_vec(), b"a".repeat(300_000)].concat(), ""), // an unfinished event is truncated
        (sse, b"\r\r\r\n\n\nid\nretry: \xff\n:\n\n".to_vec(), ""),
        (aws, damaged, "framing"),
        (aws, vec![0xff; 5000], "framing"),
        ("", b"what is this".to_vec(), ""),
        ("application/json; charset=\"", b"{}".to_vec(), ""),
    ];
    let requests: Vec<(&[u8], &str)> = vec![
        (b"", ""),
        (b"\xff\xff", "json"),
        (b"{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"a", ""),
        (b"{\"model\":{\"a\":1},\"messages\":7,\"max_tokens\":\"x\",\"temperature\":[],\"stream\":\"yes\"}", ""),
        (b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[{", ""),
    ];

    let unary = Fixture::load(UNARY);
    let mut fixtures = vec![unary.clone()];
    for (number, (kind, body, _)) in answers.iter().enumerate() {
        let mut fixture = unary.clone();
        fixture.id = format!("answer/{number}");
        if kind == &aws {
            fixture.request.path = "/model/mistral.mistral-large-2402-v1:0/invoke-with-response-stream".to_owned();
        }
        fixture.response.headers = vec![("content-type".to_owned(), (*kind).to_owned())];
        fixture.response.headers.retain(|(_, kind)| !kind.is_empty());
        fixture.response.body = Bytes::from(body.clone());
        fixtures.push(fixture);
    }
    let upstream = Upstream::start(fixtures.clone()).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    let mut faults = Vec::new();
    let requests = requests.iter().map(|(body, parse_errors)| {
        let mut fixture = unary.clone();
        fixture.request.body = Bytes::copy_from_slice(body);
        (fixture, *parse_errors)
    });
    let answers = fixtures[1..].iter().cloned().zip(answers.iter().map(|(.., parse_errors)| *parse_errors));
    for (fixture, parse_errors) in answers.chain(requests) {
        for travel in ["whole", "cut=997"] {
            let id = client::request_id();
            let reply = client::replay(envoy.addr, &fixture, &[("x-request-id", &id), ("x-upstream", travel)]).await;
            let received = upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
            let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
            let seen = entry["gaugeway.parse_error"].as_str().unwrap_or_default();
            let unchanged = reply.body == fixture.response.body && received.body == fixture.request.body;
            if reply.status != 200 || !unchanged || seen != parse_errors || entry["gaugeway.outcome"].is_null() {
                let (status, body) = (reply.status, fixture.response.body.escape_ascii().to_string());
                let asked = fixture.request.body.escape_ascii().to_string();
                faults.push(format!("{body:.70} to {asked:.50}, {travel}: {status}, unchanged {unchanged}, parse error {seen:?}, not {parse_errors:?}; {entry}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    is_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_model_name_can_break_out_of_its_label() {
    let upstream = Upstream::start(vec![Fixture::load(UNARY)]).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    let long = "m".repeat(5_000);
    let wide = "模".repeat(80);
    let names = [
        "evil;.;gen_ai_request_model=.=x;.;",
        "evil;.;outcome=.=completed;.;",
        "line\nbreak",
        "tab\tnul\0del\u{7f}nel\u{85}",
        "quote\" back\\slash {a=\"b\"} 1",
        "...",
        ";",
        "=",
        " ",
        "",
        ".dots.",
        "gaugeway_requests_total",
        "\u{2028}\u{202e}right to left",
        "{le=\"+Inf\"}",
        "%FILTER_STATE(x)%",
        &long,
        &wide,
    ];
    for name in names {
        let body = json!({"model": name, "messages": [{"role": "user", "content": "hi"}]}).to_string();
        let reply = echo(&envoy, body, &client::request_id()).await;
        assert_eq!(reply["model"], name);
    }
    // A model name that is not valid JSON text.
    echo(&envoy, r#"{"model":"\ud800\udc\u0000","messages":[]}"#.to_owned(), &client::request_id()).await;

    let entries = envoy.entries_of(names.len() + 1, PATIENCE).await;
    assert!(entries.iter().all(Value::is_object), "not every access log line is JSON: {entries:#?}");
    assert_eq!(entries[0]["gen_ai.request.model"], names[0], "the access log must have the exact model name");
    let samples = all_intended(&envoy).await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), 1.0 + names.len() as f64);
    let models: BTreeSet<_> = of_ours(&samples).map(|sample| sample.label("gen_ai_response_model")).collect();
    for expected in ["evil_._gen_ai_request_model_._x_._", "line_break", "tab_nul_del_nel_", "dots", "{le_\"+Inf\"}"] {
        assert!(models.contains(expected), "no label value {expected:?} in {models:#?}");
    }
    is_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_invented_models_do_not_exceed_the_series_limit() {
    let upstream = Upstream::start(vec![Fixture::load(UNARY)]).await;
    let envoy =
        Envoy::start(&Options { config: json!({"labels": {"max_series": 150}}), ..Options::to(upstream.addr) }).await;
    // If the response does not repeat the model name, the name is not used as a label.
    invent(&envoy, "invented", "whole").await;
    let samples = counted(&envoy, 1500.0).await;
    let models: BTreeSet<_> = of_ours(&samples).map(|sample| sample.label("gen_ai_request_model")).collect();
    assert_eq!(models, BTreeSet::from(["other"]));
    assert_eq!(total(&samples, "gaugeway_series_overflow_total", &[]), 0.0);
    let before = series(&samples);
    assert!(before < 20, "invented models made {before} series");

    // If the response repeats it, the number of series is limited.
    invent(&envoy, "echoed", "echo").await;
    let samples = counted(&envoy, 3000.0).await;
    // The share of names in answers has room for 13 counters.
    let new = series(&samples) - before;
    assert!((5..=25).contains(&new), "{new} new series, not 5 to 25");
    assert!(total(&samples, "gaugeway_series_overflow_total", &[("kind", "response_model")]) > 1000.0);
    let labels = [("gen_ai_request_model", "other"), ("gen_ai_response_model", "other")];
    assert!(total(&samples, "gaugeway_requests_total", &labels) > 1000.0);
    assert_eq!(
        total(&samples, "gaugeway_output_tokens_total", &[]),
        1500.0 * 16.0 + 1500.0 * 2.0,
        "the token counters are not exact"
    );
    is_well(&envoy).await;
}

/// Sends calls for 1,500 models that do not exist.
async fn invent(envoy: &Envoy, name: &'static str, travel: &'static str) {
    let mut clients = JoinSet::new();
    for first in 0..5 {
        let (addr, mut fixture) = (envoy.addr, Fixture::load(UNARY));
        clients.spawn(async move {
            for number in (first..1500).step_by(5) {
                let body =
                    json!({"model": format!("{name}-{number}"), "messages": [{"role": "user", "content": "hi"}]});
                fixture.request.body = Bytes::from(body.to_string());
                assert_eq!(client::replay(addr, &fixture, &[("x-upstream", travel)]).await.status, 200);
            }
        });
    }
    clients.join_all().await;
}

async fn echo(envoy: &Envoy, body: String, id: &str) -> Value {
    let mut fixture = Fixture::load(UNARY);
    fixture.request.body = Bytes::from(body);
    let request: hyper::Request<Full<Bytes>> =
        client::request(&fixture, &[("x-upstream", "echo"), ("x-request-id", id)]);
    let reply = client::send(envoy.addr, request, Http::One).await.unwrap();
    assert_eq!(reply.status, 200);
    serde_json::from_slice(&reply.body).unwrap()
}

fn of_ours(samples: &[Sample]) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(|sample| !sample.name.starts_with("envoy_") && !expect::is_own(&sample.name))
}

/// Number of the plugin's series. A histogram counts as one.
fn series(samples: &[Sample]) -> usize {
    of_ours(samples).filter(|sample| !sample.name.ends_with("_bucket") && !sample.name.ends_with("_sum")).count()
}

/// Returns all samples once the histograms include all requests.
async fn counted(envoy: &Envoy, requests: f64) -> Vec<Sample> {
    let shown =
        |samples: &[Sample]| total(samples, "gen_ai_client_inference_duration_microseconds_count", &[]) >= requests;
    let samples = envoy.samples_when(shown, Duration::from_secs(5)).await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), requests);
    samples
}

/// Checks that all samples have known metric names and intact labels.
async fn all_intended(envoy: &Envoy) -> Vec<Sample> {
    const LABELS: &[&str] = &[
        "gen_ai_operation_name",
        "gen_ai_provider_name",
        "gen_ai_request_model",
        "gen_ai_response_model",
        "route",
        "outcome",
        "error_type",
        "gen_ai_token_type",
        "gen_ai_token_modality",
        "part",
        "finish_reason",
        "parse_error",
        "mcp_method_name",
        "gen_ai_tool_name",
        "kind",
        "result",
        "status",
        "client_name",
        "le",
    ];
    let samples = envoy.samples().await;
    for sample in &samples {
        assert!(expect::is_intended(&sample.name), "tests/support/expect.rs does not list the metric of {sample:?}");
    }
    for (name, value) in of_ours(&samples).flat_map(|sample| &sample.labels) {
        assert!(LABELS.contains(&name.as_str()), "LABELS above does not list the label of {name}={value:?}");
        assert!(
            value.len() <= 128 && !value.contains([';', '=']) && !value.contains(char::is_control),
            "{name}={value:?}"
        );
    }
    samples
}

/// Checks that the plugin has not crashed, logged nothing and still observes calls.
async fn is_well(envoy: &Envoy) {
    let samples = all_intended(envoy).await;
    let reloads: Vec<_> = samples.iter().filter(|sample| sample.name.contains("vm_reload")).collect();
    assert!(!reloads.is_empty(), "Envoy exports no counter of plugin reloads");
    assert!(reloads.iter().all(|sample| sample.value == 0.0), "the plugin crashed:\n{}", envoy.log());
    assert!(!envoy.log().to_lowercase().contains("wasm"), "{}", envoy.log());
    let (fixture, id) = (Fixture::load(UNARY), client::request_id());
    let reply = client::replay(envoy.addr, &fixture, &[("x-request-id", &id)]).await;
    assert_eq!(reply.body, fixture.response.body);
    let faults = expect::log_faults(&fixture.observation, &[], &envoy.entry(&id, PATIENCE).await.unwrap());
    assert!(faults.is_empty(), "{faults:#?}");
}
