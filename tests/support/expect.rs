//! The access log line, span and metrics that an exchange must produce, derived from its `observation.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use gaugeway::config::Config;
use gaugeway::exchange::{End, Exchange, Observer};
use gaugeway::observation::{CostPart, FinishClass, Observation};
use gaugeway::provider;
use gaugeway::sink::stats::{METRICS, MetricKind};
use gaugeway::text::hash::Key;
use serde_json::{Map, Value};

use super::core::{self, GAP, TIMING};
use super::envoy::{self, Spans};
use super::fixtures::Fixture;
use super::otlp::{Attribute, Span};
use super::prometheus::Sample;

/// Values by metric name and labels. For a histogram the value is its count.
pub type Series = BTreeMap<(String, BTreeMap<String, String>), u64>;

/// Returns true for an attribute of the plugin in an access log line or a span.
pub fn is_ours(key: &str) -> bool {
    ["gen_ai.", "gaugeway.", "openai.", "server."].iter().any(|begin| key.starts_with(begin)) || key == "error.type"
}

/// Lists the differences of an access log line, where every value is a string. `timed` are the clock-dependent keys
/// that must be present.
pub fn log_faults(expected: &Map<String, Value>, timed: &[&str], entry: &Value) -> Vec<String> {
    let entry = entry.as_object().expect("the access log line is not a JSON object");
    // Before 1.37 Envoy writes null for absent values, whatever `omit_empty_values` says.
    let ours = entry.iter().filter(|(key, value)| is_ours(key) && !value.is_null());
    let seen = ours.map(|(key, value)| (key.clone(), value.as_str().unwrap_or("(not a string)").to_owned()));
    faults(expected, timed, seen.collect(), |key, value, seen| is_written(key, value, seen))
}

/// Returns true if the string represents the value.
fn is_written(key: &str, value: &Value, seen: &str) -> bool {
    match value {
        _ if is_time(key) => seen.parse::<f64>().is_ok_and(|seconds| seconds > 0.0 && seconds < 60.0),
        Value::Number(number) => seen.parse::<f64>().ok() == number.as_f64(),
        Value::String(text) => seen == text,
        other => serde_json::from_str::<Value>(seen).is_ok_and(|seen| seen == *other),
    }
}

/// Lists the differences of a span: every attribute must have its value, with its own type if this Envoy version
/// supports types.
pub fn span_faults(expected: &Map<String, Value>, timed: &[&str], span: &Span) -> Vec<String> {
    let seen = span.attributes.iter().filter(|(key, _)| is_ours(key)).map(|(key, value)| (key.clone(), value.clone()));
    let seen = seen.collect();
    match envoy::spans() {
        Spans::Typed => faults(expected, timed, seen, is_typed),
        Spans::Strings => faults(
            expected,
            timed,
            seen,
            |key, value, seen| matches!(seen, Attribute::String(seen) if is_written(key, value, seen)),
        ),
        Spans::Plain => faults(&Map::new(), &[], seen, |_, _, _| false),
    }
}

fn is_typed(key: &str, value: &Value, seen: &Attribute) -> bool {
    match (value, seen) {
        _ if is_time(key) => matches!(seen, Attribute::Double(seconds) if *seconds > 0.0 && *seconds < 60.0),
        (Value::Number(number), Attribute::Double(seen)) => is_real(key) && number.as_f64() == Some(*seen),
        (Value::Number(number), Attribute::Int(seen)) => !is_real(key) && number.as_i64() == Some(*seen),
        (Value::Bool(value), Attribute::Bool(seen)) => value == seen,
        (Value::String(value), Attribute::String(seen)) => value == seen,
        // Envoy has no array attributes.
        (Value::Array(_), Attribute::String(seen)) => {
            serde_json::from_str::<Value>(seen).is_ok_and(|seen| seen == *value)
        }
        _ => false,
    }
}

fn is_time(key: &str) -> bool {
    TIMING.contains(&key) || key == GAP
}

/// Returns true if OpenTelemetry's type of the number is double.
fn is_real(key: &str) -> bool {
    [
        "temperature",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "time_to_first_chunk",
        "time_to_first_token",
        "chunk_gap.max",
        "response.age",
        "usd",
        "usage.cost",
    ]
    .iter()
    .any(|end| key.ends_with(end))
}

fn faults<T: std::fmt::Debug>(
    expected: &Map<String, Value>,
    timed: &[&str],
    mut seen: BTreeMap<String, T>,
    agrees: impl Fn(&str, &Value, &T) -> bool,
) -> Vec<String> {
    let clock = Value::from("some seconds");
    let timed = timed.iter().map(|key| (*key, &clock));
    let mut faults = Vec::new();
    for (key, value) in expected.iter().map(|(key, value)| (key.as_str(), value)).chain(timed) {
        match seen.remove(key) {
            Some(seen) if agrees(key, value, &seen) => {}
            seen => faults.push(format!("{key}: expected {value}, saw {seen:?}")),
        }
    }
    seen.retain(|key, seen| key != GAP || !agrees(key, &clock, seen));
    faults.extend(seen.into_iter().map(|(key, seen)| format!("{key}: expected nothing, saw {seen:?}")));
    faults
}

/// Reads from Envoy's samples every series of the metrics that [`add_series`] handles.
pub fn series(samples: &[Sample]) -> Series {
    let plain = |name: &str| COUNTERS.contains(&name);
    let counted = |name: &str| name.strip_suffix("_count").is_some_and(|name| DISTRIBUTIONS.contains(&name));
    let mut series = Series::new();
    for sample in samples.iter().filter(|sample| plain(&sample.name) || counted(&sample.name)) {
        let mut labels = sample.labels.clone();
        if sample.name == TOOL_ERRORS {
            labels.remove(TOOL_NAME);
        }
        *series.entry((sample.name.clone(), labels)).or_default() += sample.value as u64;
    }
    series
}

/// Failed tools have their name as a label only if an answer named it before in the same worker, so the order of the exchanges
/// decides. [`series`] and [`add_series`] leave the label out.
const TOOL_ERRORS: &str = "gaugeway_tool_errors_total";
const TOOL_NAME: &str = "gen_ai_tool_name";

const COUNTERS: &[&str] = &[
    "gaugeway_requests_total",
    "gaugeway_input_tokens_total",
    "gaugeway_output_tokens_total",
    "gaugeway_cache_read_tokens_total",
    "gaugeway_cache_creation_tokens_total",
    "gaugeway_reasoning_tokens_total",
    "gen_ai_client_inference_usage_input_tokens_total",
    "gen_ai_client_inference_usage_output_tokens_total",
    "gen_ai_client_inference_usage_cache_read_input_tokens_total",
    "gen_ai_client_inference_usage_cache_write_input_tokens_total",
    "gen_ai_client_inference_usage_reasoning_output_tokens_total",
    "gaugeway_cost_nanousd_total",
    "gaugeway_cost_parts_nanousd_total",
    "gaugeway_cost_unpriced_total",
    "gaugeway_cache_savings_nanousd_total",
    "gaugeway_modality_tokens_total",
    "gaugeway_provider_tool_calls_total",
    "gaugeway_unpriced_requests_total",
    "gaugeway_usage_missing_total",
    "gaugeway_usage_hidden_total",
    "gaugeway_finish_reasons_total",
    "gaugeway_parse_errors_total",
    "gaugeway_tool_calls_total",
    "gaugeway_tool_errors_total",
    "gaugeway_agent_runs_total",
    "gaugeway_agent_loops_total",
    "gaugeway_structured_output_total",
    "gaugeway_refusals_total",
    "gaugeway_empty_answers_total",
    "gaugeway_series_overflow_total",
    "gaugeway_unread_requests_total",
];

const DISTRIBUTIONS: &[&str] = &[
    "gen_ai_client_inference_operation_input_tokens",
    "gen_ai_client_inference_operation_output_tokens",
    "gen_ai_client_embeddings_operation_input_tokens",
    "gen_ai_client_inference_duration_microseconds",
    "gen_ai_client_embeddings_duration_microseconds",
    "gen_ai_client_operation_duration_microseconds",
    "gen_ai_client_inference_time_to_first_chunk_microseconds",
    "gen_ai_server_time_to_first_token_microseconds",
    "gen_ai_server_time_per_output_token_microseconds",
    "gaugeway_agent_iterations",
    "gaugeway_response_characters",
    "gaugeway_tokens_per_kilocharacter",
];

/// Metrics that depend on how a stream arrives, so they have no expected values.
const BY_PACE: &[&str] = &["gaugeway_stream_chunk_gap_max_microseconds", "gaugeway_streams_stalled_total"];

/// Metrics about several calls of one conversation. Which fixtures belong together depends on the order of the calls, so they have
/// no expected values.
const BETWEEN_CALLS: &[&str] =
    &["gaugeway_tool_duration_microseconds", "gaugeway_cache_lost_tokens_total", "gaugeway_cache_lost_nanousd_total"];

/// Metrics of agent runs. They are not attributes, so the expected values come from the core.
pub const BY_THE_CORE: &[&str] = &[
    "gaugeway_tool_errors_total",
    "gaugeway_agent_runs_total",
    "gaugeway_agent_loops_total",
    "gaugeway_structured_output_total",
    "gaugeway_refusals_total",
    "gaugeway_empty_answers_total",
    "gaugeway_agent_iterations",
];

/// Adds the values that one exchange on the route `llm` must add to the metrics. `core` is the exchange in the core.
pub fn add_series(
    series: &mut Series,
    seen: &Map<String, Value>,
    timed: &[&str],
    core: Option<&Observation>,
    config: &Config,
) {
    let text = |key: &str| seen.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("gaugeway.outcome").is_empty() {
        return;
    }
    if let Some(parts) = core.and_then(Observation::parts_of_batch) {
        return parts.iter().for_each(|part| add_part_of_batch(series, part, config));
    }
    let common = common(seen, config);
    let mut add = |name: &str, own: &[(&str, &str)], value: u64| {
        if value > 0 {
            let own = if name == TOOL_ERRORS { &[] } else { own };
            *series.entry((name.to_owned(), labels(name, &common, own))).or_default() += value;
        }
    };
    let (outcome, error) = (text("gaugeway.outcome"), text("error.type"));
    add("gaugeway_requests_total", &[("outcome", outcome), ("error_type", error)], 1);
    let count = |key: &str| seen.get(key).and_then(Value::as_u64);
    for (metric, key) in [
        ("gaugeway_input_tokens_total", "gen_ai.usage.input_tokens"),
        ("gaugeway_output_tokens_total", "gen_ai.usage.output_tokens"),
        ("gaugeway_cache_read_tokens_total", "gen_ai.usage.cache_read.input_tokens"),
        ("gaugeway_cache_creation_tokens_total", "gen_ai.usage.cache_creation.input_tokens"),
        ("gaugeway_reasoning_tokens_total", "gen_ai.usage.reasoning.output_tokens"),
    ] {
        add(metric, &[], count(key).unwrap_or(0));
    }
    let operation = text("gen_ai.operation.name");
    let is_inference = ["chat", "generate_content", "text_completion"].contains(&operation);
    if is_inference {
        for (metric, key) in [
            ("input_tokens", "input_tokens"),
            ("output_tokens", "output_tokens"),
            ("cache_read_input_tokens", "cache_read.input_tokens"),
            ("cache_write_input_tokens", "cache_write.input_tokens"),
            ("reasoning_output_tokens", "reasoning.output_tokens"),
        ] {
            let metric = format!("gen_ai_client_inference_usage_{metric}_total");
            let mut rest = count(&format!("gen_ai.usage.{key}")).unwrap_or(0);
            for modality in ["audio", "image", "text"] {
                let tokens = count(&format!("gen_ai.usage.{modality}.{key}")).unwrap_or(0);
                rest -= tokens;
                add(&metric, &[("gen_ai_token_modality", modality)], tokens);
            }
            add(&metric, &[("gen_ai_token_modality", "unknown")], rest);
        }
    }
    let nanousd = |key: &str| (seen.get(key).and_then(Value::as_f64).unwrap_or(0.0) * 1e9).round() as u64;
    add("gaugeway_cost_nanousd_total", &[], nanousd("gaugeway.cost.usd"));
    add("gaugeway_cache_savings_nanousd_total", &[], nanousd("gaugeway.cost.cache_savings.usd"));
    for part in CostPart::ALL.map(CostPart::as_str) {
        let key = format!("gaugeway.cost.{part}.usd");
        add("gaugeway_cost_parts_nanousd_total", &[("part", part)], nanousd(&key));
    }
    let unpriced = seen.get("gaugeway.cost.unpriced").and_then(Value::as_array);
    for name in unpriced.into_iter().flatten().filter_map(Value::as_str) {
        add("gaugeway_cost_unpriced_total", &[("part", name)], 1);
    }
    for (kind, modality) in [("input", "audio"), ("input", "image"), ("output", "audio"), ("output", "image")] {
        let tokens = count(&format!("gen_ai.usage.{modality}.{kind}_tokens")).unwrap_or(0);
        add(
            "gaugeway_modality_tokens_total",
            &[("gen_ai_token_type", kind), ("gen_ai_token_modality", modality)],
            tokens,
        );
    }
    for (kind, key) in [
        ("web_search", "web_searches"),
        ("web_fetch", "web_fetches"),
        ("file_search", "file_searches"),
        ("maps_search", "maps_searches"),
        ("code_run", "code_runs"),
    ] {
        let calls = count(&format!("gaugeway.provider_tools.{key}")).unwrap_or(0);
        add("gaugeway_provider_tool_calls_total", &[("kind", kind)], calls);
    }
    add("gaugeway_unpriced_requests_total", &[], u64::from(text("gaugeway.cost.status") == "unpriced"));
    add("gaugeway_usage_missing_total", &[], u64::from(text("gaugeway.cost.status") == "no_usage"));
    add("gaugeway_usage_hidden_total", &[], u64::from(text("gaugeway.cost.status") == "hidden"));
    let reasons = seen.get("gen_ai.response.finish_reasons").and_then(Value::as_array);
    for reason in reasons.into_iter().flatten().filter_map(Value::as_str) {
        let calls_tools = seen.contains_key("gaugeway.tool_call.names");
        let class = match provider::finish_class(reason) {
            FinishClass::Stop | FinishClass::Other if calls_tools => FinishClass::ToolCall,
            class => class,
        };
        add("gaugeway_finish_reasons_total", &[("finish_reason", class.as_str())], 1);
    }
    let tools = seen.get("gaugeway.tool_call.names").and_then(Value::as_array);
    for tool in tools.into_iter().flatten().filter_map(Value::as_str) {
        add("gaugeway_tool_calls_total", &[("gen_ai_tool_name", tool)], 1);
    }
    for metric in METRICS.iter().filter(|metric| BY_THE_CORE.contains(&metric.name)) {
        let counter = metric.kind == MetricKind::Counter;
        let name = if counter { metric.name.to_owned() } else { format!("{}_count", metric.name) };
        let core = core.expect("the core did not recognise an exchange that has an observation");
        (metric.collect)(core, &mut |values, value| {
            let labels: Vec<_> = metric.labels.iter().map(|label| label.name).zip(values.iter().copied()).collect();
            add(&name, &labels, if counter { value } else { 1 });
        });
    }
    for parse_errors in text("gaugeway.parse_error").split(',').filter(|word| !word.is_empty()) {
        add("gaugeway_parse_errors_total", &[("parse_error", parse_errors)], 1);
    }

    let kind = match operation {
        _ if is_inference => "inference",
        "embeddings" => "embeddings",
        _ => "operation",
    };
    if !operation.starts_with("fetch_") {
        add(&format!("gen_ai_client_{kind}_duration_microseconds_count"), &[("error_type", error)], 1);
    }
    if timed.contains(&TIMING[0]) && is_inference {
        add("gen_ai_client_inference_time_to_first_chunk_microseconds_count", &[], 1);
    }
    if outcome != "completed" {
        return;
    }
    for direction in ["input", "output"] {
        let is_known = count(&format!("gen_ai.usage.{direction}_tokens")).is_some();
        if is_inference || kind == "embeddings" && direction == "input" {
            add(&format!("gen_ai_client_{kind}_operation_{direction}_tokens_count"), &[], u64::from(is_known));
        }
    }
    let characters = count("gaugeway.response.characters");
    add("gaugeway_response_characters_count", &[], u64::from(characters.is_some()));
    let rated = characters.is_some_and(|characters| characters > 0) && count("gen_ai.usage.output_tokens").is_some();
    add("gaugeway_tokens_per_kilocharacter_count", &[], u64::from(rated));
    if timed.contains(&TIMING[1]) {
        add("gen_ai_server_time_to_first_token_microseconds_count", &[], 1);
        let several = count("gen_ai.usage.output_tokens").is_some_and(|tokens| tokens > 1);
        add("gen_ai_server_time_per_output_token_microseconds_count", &[], u64::from(several));
    }
}

/// Adds what a part of the results of a batch adds to counters. Only the core knows the parts.
fn add_part_of_batch(series: &mut Series, part: &Observation, config: &Config) {
    let common = common(&core::attributes(part), config);
    let counters = METRICS.iter().filter(|metric| metric.kind == MetricKind::Counter);
    for metric in counters.filter(|metric| metric.is_in(config.conventions)) {
        (metric.collect)(part, &mut |values, value| {
            if value > 0 {
                let own: Vec<_> = metric.labels.iter().map(|label| label.name).zip(values.iter().copied()).collect();
                *series.entry((metric.name.to_owned(), labels(metric.name, &common, &own))).or_default() += value;
            }
        });
    }
}

fn common(seen: &Map<String, Value>, config: &Config) -> [(&'static str, String); 5] {
    let text = |key: &str| seen.get(key).and_then(Value::as_str).unwrap_or_default();
    let (asked, answered) = (text("gen_ai.request.model"), text("gen_ai.response.model"));
    let provider = text("gen_ai.provider.name");
    let asked = match config.prices.name(provider, asked) {
        Some(name) => name,
        None if asked.is_empty() || config.labels.models.contains(asked) => asked,
        None if answered.starts_with(asked) => answered,
        None => "other",
    };
    [
        ("gen_ai_operation_name", text("gen_ai.operation.name")),
        ("gen_ai_provider_name", provider),
        ("gen_ai_request_model", asked),
        ("gen_ai_response_model", answered),
        ("route", "llm"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
}

fn labels(metric: &str, common: &[(&str, String)], own: &[(&str, &str)]) -> BTreeMap<String, String> {
    let metric = metric.strip_suffix("_count").unwrap_or(metric);
    let row = METRICS.iter().find(|row| row.name == metric).expect("METRICS lacks the metric");
    let common = common.iter().zip(row.scope.has()).filter(|(_, has)| *has);
    let common = common.map(|((name, value), _)| (*name, value.as_str()));
    let labels = common.chain(own.iter().copied()).filter(|(_, value)| !value.is_empty());
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Lists the wrong gauges after these exchanges: each gauge must have the value of one exchange with its labels.
pub fn gauge_faults<'a>(
    fixtures: impl Iterator<Item = &'a Fixture>,
    config: &Config,
    samples: &[Sample],
) -> Vec<String> {
    let (remaining, retry) = (GAUGES[0], GAUGES[1]);
    let mut expected = BTreeMap::<_, BTreeSet<u64>>::new();
    for fixture in fixtures.filter(|fixture| !fixture.observation.is_empty()) {
        for (name, value) in &fixture.response.headers {
            let (metric, kind) = match name.as_str() {
                "x-ratelimit-remaining-requests" | "anthropic-ratelimit-requests-remaining" => (remaining, "requests"),
                "x-ratelimit-remaining-tokens" | "anthropic-ratelimit-tokens-remaining" => (remaining, "tokens"),
                "anthropic-ratelimit-input-tokens-remaining" => (remaining, "input_tokens"),
                "anthropic-ratelimit-output-tokens-remaining" => (remaining, "output_tokens"),
                "retry-after" => (retry, ""),
                _ => continue,
            };
            let labels = labels(metric, &common(&fixture.observation, config), &[("kind", kind)]);
            expected.entry((metric, labels)).or_default().extend(value.parse::<u64>());
        }
    }
    let mut faults = Vec::new();
    for sample in samples.iter().filter(|sample| GAUGES.contains(&sample.name.as_str())) {
        let values = expected.remove(&(sample.name.as_str(), sample.labels.clone()));
        if !values.as_ref().is_some_and(|values| values.contains(&(sample.value as u64))) {
            faults.push(format!("{sample:?}: expected one of {values:?}"));
        }
    }
    faults.extend(expected.into_iter().map(|gauge| format!("missing: {gauge:?}")));
    faults
}

const GAUGES: &[&str] = &["gaugeway_ratelimit_remaining", "gaugeway_retry_after_seconds"];

/// Lists the series that differ, one per line.
pub fn series_faults(expected: &Series, seen: &Series) -> Vec<String> {
    let mut keys: Vec<_> = expected.keys().chain(seen.keys()).collect();
    keys.sort();
    keys.dedup();
    let differ = keys.into_iter().filter(|key| expected.get(key) != seen.get(key));
    differ.map(|key| format!("{key:?}: expected {:?}, saw {:?}", expected.get(key), seen.get(key))).collect()
}

/// Returns true for a series about the plugin itself rather than an exchange.
pub fn is_own(name: &str) -> bool {
    ["gaugeway_series_overflow_total", "gaugeway_price_table_timestamp_seconds"].contains(&name)
}

/// Returns true if the name is one of Envoy's own Prometheus metrics or a documented metric of the plugin.
pub fn is_intended(name: &str) -> bool {
    let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    name.starts_with("envoy_")
        || is_own(name)
        || [BETWEEN_CALLS, BY_PACE].concat().contains(&stem)
        || [COUNTERS, GAUGES].concat().contains(&name)
        || DISTRIBUTIONS.contains(&stem)
}

/// Runs the exchange of a fixture through the core without Envoy.
pub fn in_the_core(fixture: &Fixture) -> Option<Exchange> {
    let wire = core::Wire {
        response: fixture.response.events.iter().map(|event| &event[..]).collect(),
        ..core::Wire::of(fixture)
    };
    thread_local! {
        // Made once, because that takes some 40 ms. As in Envoy, a run whose call has failed waits for the call's repetition.
        static OBSERVER: Rc<Observer> =
            Rc::new(Observer::new(Config::parse("").unwrap()).sharing(Rc::new(Key::new(b"secret"))));
    }
    OBSERVER.with(|observer| core::pass(observer, &wire, End::Whole)).filter(Exchange::is_recognised)
}
