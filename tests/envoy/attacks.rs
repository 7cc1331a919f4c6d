//! Malicious input through a real Envoy: decompression bombs in every encoding, endless keys and numbers, hostile
//! headers and hostile settings in route metadata. All bytes pass unchanged, each case is counted under its own error
//! name, and memory does not grow.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use crate::support::client::{self, Raw};
use crate::support::envoy::{Envoy, Options};
use crate::support::expect;
use crate::support::fixtures::Fixture;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const UNARY: &str = "openai-chat/unary";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decompression_bomb_in_any_encoding_is_counted_and_passes_in_constant_memory() {
    let zeros = [b"{\"a\":\"".as_slice(), &vec![b'0'; 16 << 20]].concat();
    let mut bombs: Vec<(&str, Vec<u8>)> = Vec::new();
    macro_rules! packed {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new(), Compression::best());
            encoder.write_all(&zeros).unwrap();
            encoder.finish().unwrap()
        }};
    }
    bombs.push(("gzip", packed!(GzEncoder)));
    bombs.push(("deflate", packed!(ZlibEncoder)));
    bombs.push(("deflate", packed!(DeflateEncoder)));
    bombs.push(("zstd", compress_to_vec(zeros.as_slice(), CompressionLevel::Fastest)));
    bombs.push(("br", brotli_bomb()));

    let unary = Fixture::load(UNARY);
    let mut fixtures = vec![unary.clone()];
    for (number, (encoding, bomb)) in bombs.iter().enumerate() {
        let mut fixture = unary.clone();
        fixture.id = format!("bomb/{number}");
        fixture.response.headers.push(("content-encoding".to_owned(), (*encoding).to_owned()));
        fixture.response.body = bomb.clone().into();
        fixtures.push(fixture);
    }
    let upstream = Upstream::start(fixtures.clone()).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    is_well(&envoy).await;
    let before = envoy.resident();
    let mut sent = 0.0;
    for fixture in &fixtures[1..] {
        let mut upload = unary.clone();
        upload
            .request
            .headers
            .push(("content-encoding".to_owned(), fixture.response.header("content-encoding").unwrap().to_owned()));
        upload.request.body = fixture.response.body.clone();
        for call in [fixture, &upload] {
            for travel in ["whole", "cut=61"] {
                let entry = pass(&envoy, &upstream, call, travel).await;
                assert_eq!(entry["gaugeway.parse_error"], "encoding", "{} {travel}: {entry}", call.id);
                assert_eq!(entry["gaugeway.outcome"], "completed", "{} {travel}: {entry}", call.id);
                sent += 1.0;
            }
        }
    }
    // The bound allows one window per encoding and the largest zstd block.
    let grown = envoy.resident().saturating_sub(before);
    assert!(grown < 48 << 20, "{sent} bombs grew the resident memory of {before} bytes by {grown} bytes");
    is_well(&envoy).await;
    let samples = envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_parse_errors_total", &[("parse_error", "encoding")]), sent);
    assert_eq!(
        total(&samples, "gaugeway_parse_errors_total", &[]),
        sent,
        "there are other parse errors than the expected ones"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_after_keys_of_10_mib_and_numbers_of_a_million_digits_are_still_read() {
    let (key, digits) = ("k".repeat(10 << 20), "9".repeat(1_000_000));
    let usage = r#""usage":{"prompt_tokens":27,"completion_tokens":16,"total_tokens":43}"#;
    let (json, sse) = ("application/json", "text/event-stream");
    let answers = [
        (json, format!(r#"{{"{key}":{{"{key}":0}},"model":"gpt-4o","choices":[],{usage}}}"#), "27", ""),
        (json, format!(r#"{{"model":"gpt-4o","usage":{{"{key}":1,"prompt_tokens":27}}}}"#), "27", ""),
        (
            json,
            format!(r#"{{"model":"gpt-4o","usage":{{"{}":1,"prompt_tokens":27}}}}"#, r"\u006b".repeat(1 << 20)),
            "27",
            "",
        ),
        (json, format!(r#"{{"created":{digits},"model":"gpt-4o",{usage}}}"#), "27", ""),
        (
            json,
            format!(r#"{{"model":"gpt-4o","usage":{{"completion_tokens":{digits},"prompt_tokens":27}}}}"#),
            "27",
            "number",
        ),
        (
            json,
            format!(r#"{{"model":"gpt-4o","usage":{{"completion_tokens":1e{digits},"prompt_tokens":27}}}}"#),
            "27",
            "number",
        ),
        (
            json,
            format!(r#"{{"model":"gpt-4o","usage":{{"completion_tokens":-0.{digits},"prompt_tokens":27}}}}"#),
            "27",
            "number",
        ),
        (json, format!(r#"{{"model":"gpt-4o","usage":{{"prompt_tokens":{digits}"#), "", ""),
        (sse, format!("data: {{\"{key}\":0,\"model\":\"gpt-4o\",{usage}}}\n\ndata: [DONE]\n\n"), "27", ""),
        (
            sse,
            format!("{key}\nevent: {key}\nid: {key}\ndata: {{\"model\":\"gpt-4o\",{usage}}}\n\ndata: [DONE]\n\n"),
            "27",
            "",
        ),
        (
            sse,
            format!("data: {{\"usage\":{{\"completion_tokens\":{digits},\"prompt_tokens\":27}}}}\n\ndata: [DONE]\n\n"),
            "27",
            "number",
        ),
    ];
    let requests = [
        (format!(r#"{{"{key}":[],"model":"gpt-4o","messages":[]}}"#), ""),
        (format!(r#"{{"messages":[{{"{key}":"{key}"}}],"model":"gpt-4o"}}"#), ""),
        (format!(r#"{{"max_tokens":{digits},"seed":{digits},"model":"gpt-4o","messages":[]}}"#), ""),
        (format!(r#"{{"temperature":0.{digits},"n":-{digits},"model":"gpt-4o","messages":[]}}"#), ""),
    ];
    let unary = Fixture::load(UNARY);
    let mut fixtures = vec![unary.clone()];
    for (number, (kind, body, ..)) in answers.iter().enumerate() {
        let mut fixture = unary.clone();
        fixture.id = format!("endless/{number}");
        fixture.response.headers = vec![("content-type".to_owned(), (*kind).to_owned())];
        fixture.response.body = body.clone().into();
        fixtures.push(fixture);
    }
    let upstream = Upstream::start(fixtures.clone()).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    is_well(&envoy).await;
    let (before, mut faults, mut numbers) = (envoy.resident(), Vec::new(), 0.0);
    for travel in ["whole", "cut=65521"] {
        let expected = answers.iter().map(|(.., input, parse_errors)| (*input, *parse_errors));
        for (fixture, (input, parse_errors)) in fixtures[1..].iter().zip(expected) {
            let entry = pass(&envoy, &upstream, fixture, travel).await;
            let seen = [&entry["gen_ai.usage.input_tokens"], &entry["gaugeway.parse_error"]]
                .map(|v| v.as_str().unwrap_or_default());
            if seen != [input, parse_errors] {
                faults.push(format!("{} {travel}: {seen:?}, not {:?}", fixture.id, [input, parse_errors]));
            }
            numbers += f64::from(u8::from(parse_errors == "number"));
        }
        for (number, (body, parse_errors)) in requests.iter().enumerate() {
            let mut call = unary.clone();
            call.request.body = body.clone().into();
            let entry = pass(&envoy, &upstream, &call, travel).await;
            let seen = [&entry["gen_ai.request.model"], &entry["gaugeway.parse_error"]]
                .map(|v| v.as_str().unwrap_or_default());
            if seen != ["gpt-4o", parse_errors] {
                faults.push(format!("request {number} {travel}: {seen:?}"));
            }
            numbers += f64::from(u8::from(*parse_errors == "number"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let grown = envoy.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "the resident memory of {before} bytes grew by {grown} bytes");
    is_well(&envoy).await;
    let samples = envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_parse_errors_total", &[("parse_error", "number")]), numbers);
    assert_eq!(
        total(&samples, "gaugeway_parse_errors_total", &[]),
        numbers,
        "there are other parse errors than the expected ones"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_header_values_pass_unchanged_and_cannot_forge_labels() {
    let unary = Fixture::load(UNARY);
    let mut odd = unary.clone();
    odd.id = "odd/head".to_owned();
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("content-encoding", ""),
        ("content-encoding", "identity"),
        ("x-envoy-upstream-service-time", "99999999999999999999"),
        ("x-request-id", "not;.;yours=.=x"),
    ] {
        odd.response.headers.push((name.to_owned(), value.to_owned()));
    }
    let upstream = Upstream::start(vec![unary.clone(), odd.clone()]).await;
    let tag = "  - {tag_name: team, regex: '^wasmcustom\\..*?(team=\\.=(.*?);\\.;)'}\n";
    let options = Options {
        config: json!({"labels": {"headers": {"x-team": "team"}}, "conversation": {"header": "x-talk"}}),
        replace: vec![("  stats_tags:\n".to_owned(), format!("  stats_tags:\n{tag}"))],
        ..Options::to(upstream.addr)
    };
    let envoy = Envoy::start(&options).await;
    let long = vec![b'x'; 8 << 10];
    let evil: [&[u8]; 8] = [
        b"a;.;outcome=.=error;.;",
        b";.;team=.=b;.;team=.=c;.;",
        b"\xff\xfe\x80;.;",
        b"tab\there",
        b"{le=\"+Inf\"} 1",
        b"%FILTER_STATE(wasm.gaugeway.outcome)%",
        b"",
        &long,
    ];
    let mut calls = 0.0;
    for value in evil {
        let id = client::request_id();
        let mut head: Vec<(&str, &[u8])> = vec![("x-request-id", id.as_bytes()), ("connection", b"close")];
        // The headers that give the trace context, the conversation or a label, each sent twice.
        for name in
            ["x-team", "x-talk", "traceparent", "b3", "x-b3-traceid", "x-dashscope-sse", "wasm.gaugeway.listener"]
        {
            head.extend([(name, value), (name, b"second".as_slice())]);
        }
        let mut raw = Raw::send(envoy.addr, &client::raw_request(&unary, &head)).await.unwrap();
        raw.read_to_end().await.unwrap();
        let shown = value.escape_ascii().to_string();
        assert!(raw.read.starts_with(b"HTTP/1.1 200"), "{shown:.60}: {}", raw.read.escape_ascii());
        assert!(raw.read.ends_with(&unary.response.body), "{shown:.60}");
        let received = upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
        let talk: Vec<_> =
            received.headers.get_all("x-talk").iter().flat_map(|value| value.as_bytes().to_vec()).collect();
        assert!(talk.starts_with(value) && talk.ends_with(b"second"), "{shown:.60}");
        let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
        assert_eq!(entry["gaugeway.outcome"], "completed", "{shown:.60}: {entry}");
        assert_eq!(entry["gen_ai.usage.input_tokens"], "27", "{shown:.60}: {entry}");
        calls += 1.0;
    }
    let entry = pass(&envoy, &upstream, &odd, "whole").await;
    assert_eq!(
        (&entry["gaugeway.outcome"], &entry["gen_ai.usage.input_tokens"]),
        (&"completed".into(), &"27".into()),
        "{entry}"
    );

    let samples = envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("outcome", "completed")]), calls + 1.0);
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), calls + 1.0);
    assert_eq!(total(&samples, "gaugeway_parse_errors_total", &[]), 0.0);
    let counted = samples.iter().filter(|sample| sample.name == "gaugeway_requests_total");
    let teams: BTreeSet<_> = counted.map(|sample| sample.label("team").to_owned()).collect();
    for team in &teams {
        assert!(team.len() <= 128 && !team.contains([';', '=']) && !team.contains(char::is_control), "{team:?}");
    }
    assert!(teams.contains("a_._outcome_._error_._"), "{teams:?}");
    is_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_route_settings_are_ignored_and_logged_once_in_a_short_line() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let models: String = (0..20_000).map(|n| format!("\"model-{n}\":{{\"input\":1,\"output\":1}},")).collect();
    let settings: Vec<(Value, &str)> = vec![
        (json!(""), ""),
        (json!(" "), ""),
        (json!("null"), "must be one string of JSON"),
        (json!("[]"), "must be one string of JSON"),
        (json!("{\"agent\": 1e400}"), "configuration is not JSON"),
        (json!(deep(100_000)), "must be one string of JSON"),
        (json!("{\"agent\":".repeat(50_000)), "configuration is not JSON"),
        (json!(format!("{{\"{}\": 1}}", "k".repeat(1 << 20))), "kkkk"),
        (
            json!(format!("{{\"agent\": {{\"max_iterations\": {}}}}}", "9".repeat(1_000_000))),
            "configuration is not JSON",
        ),
        (
            json!(format!("{{\"agent\": {{\"max_iterations\": \"{}\"}}}}", "9".repeat(1 << 20))),
            "must be a whole number",
        ),
        (json!(format!("{{\"prices\": {{{models}\"gpt-4o\": 7}}}}")), "prices.gpt-4o"),
        (json!("{\"a\\ngaugeway: forged\": 1}"), "unknown key"),
        (json!("{\"\\u0000\\ud800\": 1}"), "configuration is not JSON"),
        (json!("{\"role\": \"upstream\"}"), "is the same for all routes"),
        (json!(5), "must be one string of JSON"),
        (json!(-0.1), "must be one string of JSON"),
        (json!(true), "must be one string of JSON"),
        (json!(null), ""),
        (json!([1, "{}"]), "must be one string of JSON"),
        (json!({"agent": {"max_iterations": 1}}), "must be one string of JSON"),
    ];
    let mut metadata: Vec<_> =
        settings.into_iter().map(|(settings, told)| (json!({"config": settings}), told)).collect();
    metadata
        .push((json!({"agent": {"max_iterations": 1}}), "unknown key 'agent'; put the settings into the key 'config'"));
    metadata.push((json!({"config": "{}", "k".repeat(900): 1}), "unknown key"));
    let unary = Fixture::load(UNARY);
    let upstream = Upstream::start(vec![unary.clone()]).await;
    let routes: Vec<_> = metadata
        .iter()
        .enumerate()
        .map(|(n, (members, _))| {
            let metadata = json!({"filter_metadata": {"gaugeway": members}});
            let route = json!({"cluster": "llm", "prefix_rewrite": "/"});
            json!({"name": format!("hostile-{n}"), "match": {"prefix": format!("/hostile-{n}/")}, "route": route, "metadata": metadata}).to_string()
        })
        .collect();
    let routes: Vec<_> = routes.iter().map(String::as_str).collect();
    let envoy = Envoy::start(&Options::to(upstream.addr).with(&routes, &[])).await;
    for (n, (members, told)) in metadata.iter().enumerate() {
        let mut call = unary.clone();
        call.request.path = format!("/hostile-{n}{}", unary.request.path);
        for _ in 0..2 {
            let entry = pass(&envoy, &upstream, &call, "whole").await;
            assert_eq!(entry["gaugeway.cost.usd"], "0.0002275", "{:.60}: {entry}", members.to_string());
            assert!(entry["gaugeway.parse_error"].is_null(), "{entry}");
        }
        let log = envoy.log();
        let start = format!("gaugeway: metadata of route 'hostile-{n}' is ignored: ");
        let lines: Vec<_> = log.lines().filter_map(|line| line.split_once(&start)).map(|(_, words)| words).collect();
        assert_eq!(lines.len(), usize::from(!told.is_empty()), "{:.60}: {lines:?}", members.to_string());
        assert!(lines.iter().all(|line| line.contains(told)), "{:.60}: {lines:?}", members.to_string());
    }
    let log = envoy.log();
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 1000, "the log has a line of {longest} bytes");
    assert!(!log.lines().any(|line| line.starts_with("gaugeway: forged")), "{log}");
    let samples = envoy.samples().await;
    for n in 0..metadata.len() {
        assert_eq!(
            total(&samples, "gaugeway_requests_total", &[("route", &format!("hostile-{n}"))]),
            2.0,
            "hostile-{n}"
        );
    }
    assert_eq!(total(&samples, "gaugeway_parse_errors_total", &[]), 0.0);
    is_well(&envoy).await;
}

/// A JSON member of 64 MiB of the digit 0, compressed with br and its largest window.
fn brotli_bomb() -> Vec<u8> {
    let hex = "cbffff3ff88dd460cd9863a588ce5ec184c56d81c0d9fbbf15fcffff835f02200e8b0074effff8ffff07bf04401c1600e8defff1ffff0f\
               7e0980382c00d0bdffe3ffff1ffc1200715800a07bffc7ffff3ff82500e2b00040f7fe8fffff7ff04b00c4610180eefd1fffffffe0970088c30200ddfbbf2800c02f0110040400";
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Sends a call, checks that both bodies arrive unchanged and returns the access log line.
async fn pass(envoy: &Envoy, upstream: &Upstream, fixture: &Fixture, travel: &str) -> Value {
    let id = client::request_id();
    let reply = client::replay(envoy.addr, fixture, &[("x-request-id", &id), ("x-upstream", travel)]).await;
    assert_eq!(reply.status, fixture.response.status, "{} {travel}", fixture.id);
    assert!(reply.body == fixture.response.body, "{} {travel}: the answer was changed", fixture.id);
    let received = upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
    assert!(received.body == fixture.request.body, "{} {travel}: the request was changed", fixture.id);
    envoy.entry(&id, PATIENCE).await.expect("no access log line for the request")
}

/// Checks that the plugin has not crashed, that its series have valid names and that it still observes calls.
async fn is_well(envoy: &Envoy) {
    let samples = envoy.samples().await;
    assert!(samples.iter().all(|sample| expect::is_intended(&sample.name)), "{samples:?}");
    let mut reloads = samples.iter().filter(|sample| sample.name.contains("vm_reload"));
    assert!(reloads.all(|sample| sample.value == 0.0), "the plugin crashed:\n{}", envoy.log());
    let (fixture, id) = (Fixture::load(UNARY), client::request_id());
    let reply = client::replay(envoy.addr, &fixture, &[("x-request-id", &id)]).await;
    assert_eq!(reply.body, Bytes::clone(&fixture.response.body));
    let faults = expect::log_faults(&fixture.observation, &[], &envoy.entry(&id, PATIENCE).await.unwrap());
    assert!(faults.is_empty(), "{faults:#?}");
}
