//! The attributes and metrics agree with OpenTelemetry's conventions for generative AI, v0.1.0.

mod metrics;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use super::{REFERENCE, assert_same, assert_table, lower, observations};
use crate::support::fixtures::Fixture;
use gaugeway::config::Conventions;
use gaugeway::sink::attributes::ATTRIBUTES;
use gaugeway::sink::stats::{GAP_METRICS, METRICS, Metric, MetricKind};
use metrics::{COMMON, Instrument, METRIC_ROWS, MODALITIES, MetricRow};
use serde_json::Value;
use table::{ATTRIBUTE_ROWS, Level, Row};

/// Attributes of the conventions that the plugin does not report, and why.
const NOT_REPORTED: &[(&str, &str)] = &[
    ("gen_ai.prompt.name", "requests name a stored prompt by an identifier, not by its name"),
    ("gen_ai.prompt.version", "belongs to the name of a prompt"),
    (
        "gen_ai.input.messages",
        "content; `privacy.capture` reports the text of the last message as `gaugeway.prompt.text`",
    ),
    ("gen_ai.output.messages", "content; `privacy.capture` reports the text of the answer as `gaugeway.response.text`"),
    ("gen_ai.system_instructions", "content; `gaugeway.system.hash` shows whether it changes"),
    (
        "gen_ai.tool.definitions",
        "content; `gaugeway.tools.hash` shows whether they change, `gaugeway.tools.offered` is their number",
    ),
    ("gen_ai.prompt.variable.<key>", "content"),
    ("gen_ai.request.stream_cursor", "a request that fetches a stored response generates nothing and is not observed"),
    ("gen_ai.response.status", "likewise"),
    ("aws.bedrock.guardrail.id", "the settings of guardrails are not read"),
    ("aws.bedrock.knowledge_base.id", "calls of knowledge bases are not calls of a model and are not observed"),
    ("azure.resource_provider.namespace", "is the same in every call; `gen_ai.provider.name` says as much"),
];

/// Metrics of the conventions that the plugin does not report, and why.
const METRICS_NOT_REPORTED: &[(&str, &str)] =
    &[("gen_ai.server.request.duration", "at a gateway it is the same as `gen_ai.client.inference.duration`")];

/// Attributes under names that are neither the plugin's own nor in the conventions.
const FOR_BACKENDS: &[&str] = &[
    // The name in v1.41 of `gen_ai.usage.cache_write.input_tokens`, which most backends read.
    "gen_ai.usage.cache_creation.input_tokens",
    // The conventions have no cost. Backends read this name.
    "gen_ai.usage.cost",
];

/// Values of the fixtures that the conventions do not list. They allow others if no listed value fits.
const CUSTOM: &[(&str, &[&str])] = &[
    (
        "gen_ai.operation.name",
        &[
            "compact_response",
            "fetch_batch",
            "image_generation",
            "moderation",
            "ocr",
            "rerank",
            "speech",
            "transcription",
            "translation",
            "video_generation",
        ],
    ),
    (
        "gen_ai.provider.name",
        &[
            "aleph_alpha",
            "alibaba_cloud",
            "aws.sagemaker",
            "fireworks",
            "github_copilot",
            "hugging_face",
            "llama_cpp",
            "lm_studio",
            "minimax",
            "ollama",
            "openrouter",
            "replicate",
            "sglang",
            "together_ai",
            "voyageai",
            "writer",
            "zhipuai",
        ],
    ),
    ("openai.request.service_tier", &["flex", "priority"]),
];

#[test]
fn every_attribute_has_the_name_and_the_type_of_the_conventions_or_is_our_own() {
    let mut faults = Vec::new();
    for attribute in ATTRIBUTES.iter().filter(|attribute| !FOR_BACKENDS.contains(&attribute.name)) {
        match (row(attribute.name), attribute.name.starts_with("gaugeway.")) {
            (None, true) => {}
            (Some(row), false) if row.kind == lower(attribute.kind()) => {}
            (Some(row), false) => faults.push(format!("{} is {}, not {:?}", row.name, row.kind, attribute.kind())),
            _ => faults.push(format!("{} is neither in the conventions nor in our own namespace", attribute.name)),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_attribute_of_the_conventions_is_reported_or_has_a_reason_not_to_be() {
    let wanted: Vec<_> = ATTRIBUTE_ROWS.iter().map(|row| row.name).collect();
    let reported = ATTRIBUTES.iter().map(|attribute| attribute.name).filter(|name| wanted.contains(name));
    let accounted: Vec<_> = reported.chain(NOT_REPORTED.iter().map(|(name, _)| *name)).collect();
    assert_same("ATTRIBUTES with NOT_REPORTED", &accounted, "the table of the conventions", &wanted);
    let rows = NOT_REPORTED.iter().map(|(name, reason)| {
        let level = match row(name).unwrap().level {
            Level::OptIn => "opt-in".to_owned(),
            level => lower(level),
        };
        format!("| `{name}` | {level} | {reason} |")
    });
    assert_table(REFERENCE, "| attribute of the conventions | level | why it is not reported |", rows);
}

#[test]
fn every_row_of_the_conventions_names_its_source() {
    for row in ATTRIBUTE_ROWS {
        let commit = row.source.split_once('@').map_or("", |(_, commit)| commit);
        assert!(commit.len() == 8, "{}: {} has no commit", row.name, row.source);
    }
    let unverified: Vec<_> = ATTRIBUTE_ROWS.iter().filter(|row| !row.verified).map(|row| row.name).collect();
    let reported: Vec<_> = ATTRIBUTES.iter().filter(|one| unverified.contains(&one.name)).map(|one| one.name).collect();
    assert!(reported.is_empty(), "reported, but not verified in the conventions: {reported:?}");
}

#[test]
fn required_attributes_are_in_every_observation_and_content_is_in_none() {
    for fixture in Fixture::all().iter().filter(|fixture| !fixture.observation.is_empty()) {
        for row in ATTRIBUTE_ROWS {
            let has = fixture.observation.contains_key(row.name);
            assert!(has || row.level != Level::Required, "{} lacks {}", fixture.id, row.name);
            assert!(!has || row.level != Level::OptIn, "{} has {}, which is content", fixture.id, row.name);
        }
    }
}

#[test]
fn fixtures_have_only_listed_values_and_those_for_which_the_conventions_have_none() {
    let mut custom = BTreeMap::<_, BTreeSet<String>>::new();
    for fixture in Fixture::all() {
        for row in ATTRIBUTE_ROWS.iter().filter(|row| !row.values.is_empty()) {
            let value = fixture.observation.get(row.name).and_then(Value::as_str);
            if let Some(value) = value.filter(|value| !row.values.contains(value)) {
                custom.entry(row.name).or_default().insert(value.to_owned());
            }
        }
    }
    let found: Vec<_> =
        custom.iter().map(|(name, values)| (*name, values.iter().map(String::as_str).collect())).collect();
    let listed: Vec<(_, Vec<_>)> =
        CUSTOM.iter().filter(|(name, _)| is_reported(name)).map(|(name, values)| (*name, values.to_vec())).collect();
    assert_eq!(found, listed, "values of the fixtures (left) that the conventions do not list, and CUSTOM (right)");
}

#[test]
fn every_metric_has_the_name_unit_and_buckets_of_the_conventions_or_is_our_own() {
    let mut faults = Vec::new();
    for metric in METRICS.iter().filter(|metric| metric.is_in(Conventions::V0_1)) {
        match (METRIC_ROWS.iter().find(|row| row.name == metric.otlp), metric.otlp.starts_with("gaugeway.")) {
            (None, true) => {}
            (Some(row), false) => faults.extend(metric_faults(metric, row)),
            _ => faults.push(format!("{} is neither in the conventions nor in our own namespace", metric.otlp)),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn metric_faults(metric: &Metric, row: &MetricRow) -> Vec<String> {
    let instrument = match metric.kind {
        MetricKind::Counter => Some(Instrument::Counter),
        MetricKind::Histogram => Some(Instrument::Histogram),
        MetricKind::Gauge => None,
    };
    let bounds: Vec<_> =
        metric.bounds.iter().map(|bound| *bound as f64 / metric.scale.divisor().unwrap_or(1.0)).collect();
    let labels: Vec<_> =
        metric.scope.labels().chain(metric.labels.iter().copied()).map(|label| label.attribute).collect();
    let allowed = |name: &&str| COMMON.iter().any(|(common, _)| common == name) || row.attributes.contains(name);
    let needed = COMMON.iter().filter(|(_, level)| *level == Level::Required).map(|(name, _)| name);
    let mut faults = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            faults.push(format!("{}: {what}: {labels:?} {bounds:?}; {}", row.name, row.source));
        }
    };
    check(instrument == Some(row.instrument), "another instrument");
    check(metric.otlp_unit() == row.unit, "another unit");
    // Calls may take longer than the last bound that the conventions advise.
    check(bounds.starts_with(row.bounds) && (bounds.len() == row.bounds.len() || row.unit == "s"), "other bounds");
    check(labels.iter().all(allowed), "an attribute that the conventions do not list");
    check(needed.chain(row.attributes).all(|name| labels.contains(name)), "a required attribute is missing");
    faults
}

#[test]
fn every_metric_of_the_conventions_is_reported_or_has_a_reason_not_to_be() {
    let wanted: Vec<_> = METRIC_ROWS.iter().map(|row| row.name).collect();
    let reported = METRICS.iter().chain(GAP_METRICS).filter(|metric| metric.is_in(Conventions::V0_1));
    let reported = reported.map(|metric| metric.otlp).filter(|name| wanted.contains(name));
    let accounted: Vec<_> = reported.chain(METRICS_NOT_REPORTED.iter().map(|(name, _)| *name)).collect();
    assert_same("METRICS with METRICS_NOT_REPORTED", &accounted, "the table of the conventions", &wanted);
    let rows = METRICS_NOT_REPORTED.iter().map(|(name, reason)| format!("| `{name}` | {reason} |"));
    assert_table(REFERENCE, "| metric of the conventions | why it is not reported |", rows);
}

#[test]
fn the_modalities_of_tokens_are_those_of_the_conventions() {
    let mut found = BTreeSet::new();
    for seen in observations() {
        for metric in METRICS {
            let place = metric.labels.iter().position(|label| label.attribute == "gen_ai.token.modality");
            let Some(place) = place else { continue };
            (metric.collect)(&seen, &mut |values, _| {
                found.insert(values[place].to_owned());
            });
        }
    }
    assert!(found.len() > 1, "the fixtures have only {found:?}");
    assert!(found.iter().all(|modality| MODALITIES.contains(&modality.as_str())), "{found:?}");
}

fn is_reported(name: &str) -> bool {
    ATTRIBUTES.iter().any(|attribute| attribute.name == name)
}

fn row(name: &str) -> Option<&'static Row> {
    ATTRIBUTE_ROWS.iter().find(|row| row.name == name)
}
