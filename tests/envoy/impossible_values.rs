//! Impossible numbers, very long texts and label values beyond the series limit, sent through a real Envoy.

use std::time::{Duration, Instant};

use crate::support::client::{self, Raw};
use crate::support::envoy::{Envoy, Options};
use crate::support::expect;
use crate::support::fixtures::Fixture;
use crate::support::otlp::{Attribute, Receiver};
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const UNARY: &str = "openai-chat/unary";
/// A Bedrock fixture that reports its usage only in response headers.
const IN_HEADERS: &str = "bedrock-invoke/mistral-unary-usage-in-headers";
/// The largest accepted count, and the largest accepted cost in USD.
const COUNT: u64 = 1 << 32;
const USD: u64 = 1_000_000;

/// A response and the values expected for it: input tokens, output tokens and the cost in nano-dollars.
struct Case {
    fixture: Fixture,
    input: Option<u64>,
    output: Option<u64>,
    nanousd: Option<u64>,
    parse_errors: bool,
}

/// A chat completion of gpt-4o with this usage. One million tokens cost 2.50 USD (input) and 10 USD (output).
fn chat(usage: &str, input: Option<u64>, output: Option<u64>, nanousd: Option<u64>, parse_errors: bool) -> Case {
    let mut fixture = Fixture::load(UNARY);
    let choice = r#"{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}"#;
    let body = format!(r#"{{"id":"x","model":"gpt-4o-2024-08-06","choices":[{choice}],"usage":{usage}}}"#);
    fixture.response.body = Bytes::from(body);
    Case { fixture, input, output, nanousd, parse_errors }
}

/// The same for Anthropic, where cached tokens are not part of `input_tokens`. One million tokens of the model cost
/// 1,000 USD.
fn message(usage: &str, input: Option<u64>, output: Option<u64>, nanousd: Option<u64>) -> Case {
    let mut fixture = Fixture::load("anthropic-messages/unary-stop-sequence");
    let content = r#"[{"type":"text","text":"hi"}]"#;
    let body = format!(
        r#"{{"id":"x","type":"message","role":"assistant","model":"dear-model","content":{content},"stop_reason":"end_turn","usage":{usage}}}"#
    );
    fixture.request.body = Bytes::from(r#"{"model":"dear-model","max_tokens":9,"messages":[]}"#);
    fixture.response.body = Bytes::from(body);
    Case { fixture, input, output, nanousd, parse_errors: true }
}

fn in_headers(input: &str, output: &str) -> Case {
    let mut fixture = Fixture::load(IN_HEADERS);
    for (name, value) in &mut fixture.response.headers {
        match name.as_str() {
            "x-amzn-bedrock-input-token-count" => *value = input.to_owned(),
            "x-amzn-bedrock-output-token-count" => *value = output.to_owned(),
            _ => {}
        }
    }
    Case { fixture, input: None, output: None, nanousd: None, parse_errors: true }
}

fn cases() -> Vec<Case> {
    let mut cases =
        vec![chat(r#"{"prompt_tokens":40,"completion_tokens":10}"#, Some(40), Some(10), Some(200_000), false)];
    for absurd in ["9007199254740991", "4294967297", "1e300", "18446744073709551615", "1e400"] {
        let usage = |rest: &str| rest.replace('#', absurd);
        // An invalid count is not reported. The valid count is still reported and priced.
        cases.push(chat(&usage(r#"{"prompt_tokens":#,"completion_tokens":10}"#), None, Some(10), Some(100_000), true));
        cases.push(chat(&usage(r#"{"prompt_tokens":40,"completion_tokens":#}"#), Some(40), None, Some(100_000), true));
        cases.push(chat(&usage(r#"{"prompt_tokens":#,"completion_tokens":#}"#), None, None, None, true));
        let details = r#"{"prompt_tokens":40,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":#}}"#;
        cases.push(chat(&usage(details), Some(40), Some(10), Some(200_000), true));
        cases.push(in_headers(absurd, absurd));
        cases.push(message(&usage(r#"{"input_tokens":#,"output_tokens":3}"#), None, Some(3), Some(3_000_000)));
    }
    // Each count is valid but their sum is too large, so no cost is computed.
    let parts = format!(r#"{{"input_tokens":{COUNT},"cache_read_input_tokens":1,"output_tokens":3}}"#);
    cases.push(message(&parts, None, Some(3), None));
    // An impossible cost from the provider is ignored, and the price table is used instead.
    for absurd in ["1e300", "1000000.01", "9007199254740991", "1e400"] {
        let usage = format!(r#"{{"prompt_tokens":40,"completion_tokens":10,"cost":{absurd}}}"#);
        cases.push(chat(&usage, Some(40), Some(10), Some(200_000), true));
        let upstream = format!(
            r#"{{"prompt_tokens":40,"completion_tokens":10,"cost_details":{{"upstream_inference_cost":{absurd}}},"is_byok":true,"cost":0.1}}"#
        );
        cases.push(chat(&upstream, Some(40), Some(10), Some(200_000), true));
    }
    let ticks = r#"{"prompt_tokens":40,"completion_tokens":10,"cost_in_usd_ticks":100000000000000000}"#;
    cases.push(chat(ticks, Some(40), Some(10), Some(200_000), true));
    // Both counts are valid but their sum is too large.
    let sum = format!(
        r#"{{"prompt_tokens":40,"completion_tokens":10,"cost":{USD},"is_byok":true,"cost_details":{{"upstream_inference_cost":{USD}}}}}"#
    );
    cases.push(chat(&sum, Some(40), Some(10), None, true));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_numbers_are_counted_as_parse_errors_and_every_counter_stays_exact() {
    let mut cases = cases();
    for (number, case) in cases.iter_mut().enumerate() {
        case.fixture.id = format!("absurd/{number}");
    }
    let upstream = Upstream::start(cases.iter().map(|case| case.fixture.clone()).collect()).await;
    let receiver = Receiver::start().await;
    let config = json!({"prices": {"dear-model": {"input": 1000, "output": 1000}}});
    let envoy = Envoy::start(&Options { config, otlp: Some(receiver.addr), ..Options::to(upstream.addr) }).await;
    let (mut faults, mut input, mut output, mut nanousd, mut parse_errors) = (Vec::new(), 0, 0, 0, 0);
    for _ in 0..3 {
        for case in &cases {
            let entry = replay(&envoy, &case.fixture).await;
            let figure = |key: &str| entry[key].as_str().map(|text| text.parse::<f64>().unwrap());
            let whole = |figure: Option<f64>| figure.map(|figure| figure as u64);
            let seen = (
                whole(figure("gen_ai.usage.input_tokens")),
                whole(figure("gen_ai.usage.output_tokens")),
                whole(figure("gaugeway.cost.usd").map(|usd| (usd * 1e9).round())),
                entry["gaugeway.parse_error"].as_str() == Some("number"),
            );
            if seen != (case.input, case.output, case.nanousd, case.parse_errors) {
                faults.push(format!("{}: {seen:?}", case.fixture.response.body.escape_ascii()));
            }
            input += case.input.unwrap_or(0);
            output += case.output.unwrap_or(0);
            nanousd += case.nanousd.unwrap_or(0);
            parse_errors += u64::from(case.parse_errors);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let samples = envoy.samples().await;
    let sums = [
        ("gaugeway_input_tokens_total", input),
        ("gaugeway_output_tokens_total", output),
        ("gaugeway_cost_nanousd_total", nanousd),
        ("gaugeway_parse_errors_total", parse_errors),
        ("gaugeway_requests_total", 3 * cases.len() as u64),
    ];
    for (name, sum) in sums {
        assert_eq!(total(&samples, name, &[]), sum as f64, "{name}");
    }
    assert_eq!(total(&samples, "gaugeway_parse_errors_total", &[("parse_error", "number")]), parse_errors as f64);
    // The sums over all spans must be the same.
    let end = Instant::now() + PATIENCE;
    while receiver.spans().len() < 3 * cases.len() {
        assert!(Instant::now() < end, "only {} spans arrived", receiver.spans().len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let spans = receiver.spans();
    let sum = |key: &str| -> f64 {
        let figures = spans.iter().filter_map(|span| span.attributes.get(key));
        let figures = figures.map(|figure| match figure {
            Attribute::Int(whole) => *whole as f64,
            Attribute::Double(real) => *real,
            // Envoy versions before 1.40 send strings.
            Attribute::String(text) => text.parse().unwrap(),
            other => panic!("{key} has an unexpected type: {other:?}"),
        });
        figures.sum()
    };
    assert_eq!(sum("gen_ai.usage.input_tokens"), input as f64);
    assert_eq!(sum("gen_ai.usage.output_tokens"), output as f64);
    assert_eq!((sum("gaugeway.cost.usd") * 1e9).round(), nanousd as f64);
    let with_parse_errors = spans.iter().filter(|span| span.text("gaugeway.parse_error") == Some("number"));
    assert_eq!(with_parse_errors.count() as u64, parse_errors);
    is_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_accepted_numbers_are_summed_exactly() {
    const CALLS: u64 = 100;
    let mut tokens = chat(
        &format!(r#"{{"prompt_tokens":{COUNT},"completion_tokens":{COUNT},"cost":{USD}}}"#),
        Some(COUNT),
        Some(COUNT),
        None,
        false,
    )
    .fixture;
    tokens.id = "largest/tokens".to_owned();
    // A price of 1,000 USD per million tokens: 4.3 million USD in all.
    let mut dear =
        chat(&format!(r#"{{"prompt_tokens":{COUNT},"completion_tokens":0}}"#), None, None, None, true).fixture;
    dear.id = "largest/dear".to_owned();
    dear.response.body =
        Bytes::from(String::from_utf8_lossy(&dear.response.body).replace("gpt-4o-2024-08-06", "dear-model"));
    let upstream = Upstream::start(vec![tokens.clone(), dear.clone()]).await;
    let config = json!({"prices": {"dear-model": {"input": 1000, "output": 1000}}});
    let envoy = Envoy::start(&Options { config, ..Options::to(upstream.addr) }).await;
    for _ in 0..CALLS {
        let entry = replay(&envoy, &tokens).await;
        assert_eq!(entry["gaugeway.cost.usd"], "1000000.0", "{entry}");
        assert!(entry["gaugeway.parse_error"].is_null(), "{entry}");
    }
    let entry = replay(&envoy, &dear).await;
    assert!(entry["gaugeway.cost.usd"].is_null() && entry["gaugeway.cost.status"].is_null(), "{entry}");
    assert_eq!(entry["gaugeway.parse_error"], "number", "{entry}");
    let samples = envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_input_tokens_total", &[]), ((CALLS + 1) * COUNT) as f64);
    assert_eq!(total(&samples, "gaugeway_output_tokens_total", &[]), (CALLS * COUNT) as f64);
    assert_eq!(total(&samples, "gaugeway_cost_nanousd_total", &[]), (CALLS * USD) as f64 * 1e9);
    is_well(&envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_rate_limits_are_not_reported() {
    let with = |value: &str, id: &str| {
        let mut fixture = Fixture::load(UNARY);
        fixture.id = id.to_owned();
        let names = ["x-ratelimit-remaining-tokens", "x-ratelimit-remaining-requests", "retry-after"];
        fixture.response.headers.retain(|(name, _)| !names.contains(&name.as_str()));
        fixture.response.headers.extend(names.map(|name| (name.to_owned(), value.to_owned())));
        fixture
    };
    let absurd = ["4294967297", "9007199254740991", "18446744073709551615", "99999999999999999999", "1e300", "-1"];
    let absurd: Vec<_> = absurd.iter().enumerate().map(|(at, value)| with(value, &format!("limits/{at}"))).collect();
    let largest = with("4294967296", "limits/largest");
    let upstream = Upstream::start([absurd.clone(), vec![largest.clone()]].concat()).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    let gauges = |samples: &[Sample]| -> Vec<f64> {
        let names = ["gaugeway_ratelimit_remaining", "gaugeway_retry_after_seconds"];
        samples.iter().filter(|sample| names.contains(&sample.name.as_str())).map(|sample| sample.value).collect()
    };
    for fixture in &absurd {
        replay(&envoy, fixture).await;
        assert_eq!(gauges(&envoy.samples().await), [0.0; 0], "{:?}", fixture.response.headers);
    }
    replay(&envoy, &largest).await;
    assert_eq!(gauges(&envoy.samples().await), [COUNT as f64; 3]);
    is_well(&envoy).await;
}

/// The longest header or property text that is reported, in bytes.
const TEXT: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_from_headers_and_properties_are_cut_to_256_bytes() {
    let long = "a".repeat(9_000);
    let error = format!("Error{}:http://internal", "E".repeat(40_000));
    let headers = |fixture: &mut Fixture, headers: &[(&str, &str)]| {
        fixture.response.headers.retain(|(name, _)| headers.iter().all(|(other, _)| name != other));
        let added = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        fixture.response.headers.extend(added);
    };
    let digits = "1".repeat(9_000);
    let mut failed = Fixture::load("bedrock-invoke/error-403");
    headers(&mut failed, &[("x-amzn-errortype", &error)]);
    let mut unary = Fixture::load(UNARY);
    headers(
        &mut unary,
        &[
            ("x-gemini-service-tier", long.as_str()),
            ("x-amzn-bedrock-input-token-count", &digits),
            ("x-ratelimit-remaining-tokens", &digits),
            ("retry-after", &digits),
            ("content-type", &format!("application/json; note={long}")),
        ],
    );
    let upstream = Upstream::start(vec![failed.clone(), unary.clone()]).await;
    let envoy = Envoy::start(&Options {
        config: json!({"conversation": {"header": "x-conversation"}, "labels": {"headers": {"x-team": "team"}}}),
        replace: vec![
            (
                "              - name: llm                  #".to_owned(),
                format!("              - name: {}  #", "r".repeat(5_000)),
            ),
            (
                "  - {tag_name: route,".to_owned(),
                "  - {tag_name: team, regex: '^wasmcustom\\..*?(team=\\.=(.*?);\\.;)'}\n  - {tag_name: route,"
                    .to_owned(),
            ),
        ],
        ..Options::to(upstream.addr)
    })
    .await;

    // A conversation id with a two-byte character across the length limit.
    let wide = format!("x{}", "é".repeat(2_000));
    let kind = format!("application/json; note={long}");
    let mut entries = Vec::new();
    for fixture in [&failed, &unary] {
        let mut fixture = fixture.clone();
        fixture.request.headers.retain(|(name, _)| name != "content-type");
        let id = client::request_id();
        let own: [(&str, &[u8]); 8] = [
            ("x-request-id", id.as_bytes()),
            ("x-conversation", wide.as_bytes()),
            ("x-team", long.as_bytes()),
            ("content-type", kind.as_bytes()),
            ("traceparent", long.as_bytes()),
            ("tracestate", &long.as_bytes()[..4_000]),
            ("x-dashscope-sse", &long.as_bytes()[..4_000]),
            ("connection", b"close"),
        ];
        let mut raw = Raw::send(envoy.addr, &client::raw_request(&fixture, &own)).await.unwrap();
        raw.read_to_end().await.unwrap();
        assert!(raw.read.ends_with(&fixture.response.body), "{}", raw.read.escape_ascii());
        entries.push(envoy.entry(&id, PATIENCE).await.expect("no access log line for the request"));
    }
    let expected = format!("x{}", "é".repeat(127));
    for entry in &entries {
        assert_eq!(entry["gen_ai.conversation.id"], expected.as_str(), "{entry}");
        let ours = entry.as_object().unwrap().iter().filter(|(key, _)| expect::is_ours(key));
        for (key, value) in ours.filter_map(|(key, value)| Some((key, value.as_str()?))) {
            assert!(value.len() <= TEXT, "{key} has {} bytes, more than {TEXT}", value.len());
        }
    }
    assert_eq!(entries[0]["error.type"], &error[..TEXT], "{}", entries[0]);
    assert_eq!(entries[1]["gen_ai.usage.input_tokens"], "27", "{}", entries[1]);
    assert_eq!(entries[1]["gaugeway.outcome"], "completed", "{}", entries[1]);

    let samples = envoy.samples().await;
    let ours: Vec<_> = samples.iter().filter(|sample| sample.name == "gaugeway_requests_total").collect();
    assert_eq!(ours.len(), 2, "{ours:?}");
    for sample in ours {
        assert_eq!((sample.label("team"), sample.label("route")), (&long[..128], "r".repeat(128).as_str()));
        assert!(sample.labels.values().all(|value| value.len() <= 128), "{sample:?}");
    }
    let reloads = samples.iter().filter(|sample| sample.name.contains("vm_reload"));
    assert_eq!(reloads.map(|sample| sample.value).sum::<f64>(), 0.0, "{}", envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successful_call_beyond_the_series_limit_has_an_empty_error_type() {
    let ids =
        [UNARY, "anthropic-messages/unary-stop-sequence", "ollama-chat/stream-by-default", "bedrock-invoke/error-403"];
    let fixtures: Vec<_> = ids.map(Fixture::load).to_vec();
    let upstream = Upstream::start(fixtures.clone()).await;
    let config = json!({"labels": {"max_series": 1}});
    let envoy = Envoy::start(&Options { config, ..Options::to(upstream.addr) }).await;
    for fixture in fixtures.iter().cycle().take(8) {
        replay(&envoy, fixture).await;
    }
    let timed = |samples: &[Sample]| total(samples, "gen_ai_client_inference_duration_microseconds_count", &[]) >= 8.0;
    let samples = envoy.samples_when(timed, PATIENCE).await;
    assert!(timed(&samples) && total(&samples, "gaugeway_series_overflow_total", &[]) > 0.0);
    for name in ["gaugeway_requests_total", "gen_ai_client_inference_duration_microseconds_count"] {
        let errors = |value: &str| -> f64 {
            let ours = samples.iter().filter(|sample| sample.name == name && sample.label("error_type") == value);
            ours.map(|sample| sample.value).sum()
        };
        assert_eq!((errors(""), errors("AccessDeniedException")), (6.0, 2.0), "{name}");
    }
    let completed = [("outcome", "completed"), ("error_type", "AccessDeniedException")];
    assert_eq!(total(&samples, "gaugeway_requests_total", &completed), 0.0);
    is_well(&envoy).await;
}

/// Sends a fixture's request, compares the response and returns the access log line.
async fn replay(envoy: &Envoy, fixture: &Fixture) -> Value {
    let id = client::request_id();
    let reply = client::replay(envoy.addr, fixture, &[("x-request-id", &id)]).await;
    assert_eq!(reply.body, fixture.response.body);
    envoy.entry(&id, PATIENCE).await.expect("no access log line for the request")
}

/// Checks that the plugin has not crashed.
async fn is_well(envoy: &Envoy) {
    let samples = envoy.samples().await;
    assert!(samples.iter().all(|sample| expect::is_intended(&sample.name)), "{samples:?}");
    let mut reloads = samples.iter().filter(|sample| sample.name.contains("vm_reload"));
    assert!(reloads.all(|sample| sample.value == 0.0), "the plugin crashed:\n{}", envoy.log());
    // Envoy reports a crash with the next request.
    let missing = client::get(envoy.addr, "/v1/models").await.unwrap();
    assert_ne!(missing.status, 503, "{}", envoy.log());
    assert!(!envoy.log().contains("[wasm]"), "{}", envoy.log());
}
