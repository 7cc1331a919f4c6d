use std::collections::BTreeMap;

use super::*;
use crate::observation::{FinishClass, FinishReason, Outcome, Usage};

/// A registry that adds up the values of each series. Its name is that of the metric with its labels as `,NAME=VALUE`.
#[derive(Default)]
struct Host {
    names: Vec<String>,
    sums: BTreeMap<String, u64>,
}

impl Registry for Host {
    fn define(&mut self, _: MetricKind, name: &str, labels: &[(&str, &str)]) -> Option<u32> {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!(",{name}={value}")).collect();
        let name = format!("{name}{}", labels.concat());
        assert!(!self.names.contains(&name), "{name} is defined twice");
        self.names.push(name);
        u32::try_from(self.names.len() - 1).ok()
    }

    fn emit(&mut self, _: MetricKind, series: u32, value: u64) {
        *self.sums.entry(self.names[series as usize].clone()).or_default() += value;
    }
}

fn exchange(requested: &str, answered: &str) -> Observation {
    let mut seen = Observation {
        operation: "chat",
        provider: "openai".into(),
        usage: Usage { input: Some(3), output: Some(2), ..Usage::default() },
        outcome: Some(Outcome::Completed),
        ..Observation::default()
    };
    seen.request.model = Some(requested.into()).filter(|m: &Text| !m.is_empty());
    seen.response.model = Some(answered.into()).filter(|m: &Text| !m.is_empty());
    seen
}

const INPUT: &str = "gaugeway_input_tokens_total,gen_ai_operation_name=chat,gen_ai_provider_name=openai";

#[test]
fn a_series_is_defined_once_by_its_labels() {
    let (mut stats, mut host) = (Stats::default(), Host::default());
    let config = Config::parse("").unwrap();
    for _ in 0..3 {
        stats.record(&exchange("gpt-4o", "gpt-4o-2024-08-06"), &config, &mut host);
    }
    let name = format!("{INPUT},gen_ai_request_model=gpt-4o,gen_ai_response_model=gpt-4o-2024-08-06");
    assert_eq!(host.sums.get(&name), Some(&9));
}

#[test]
fn a_model_that_only_the_client_names_is_reported_as_other() {
    let (mut stats, mut host) = (Stats::default(), Host::default());
    let config = Config::parse(r#"{"labels": {"models": ["ours"]}}"#).unwrap();
    for (requested, label) in [("invented", "other"), ("ours", "ours"), ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06")] {
        stats.record(&exchange(requested, ""), &config, &mut host);
        assert!(host.sums.contains_key(&format!("{INPUT},gen_ai_request_model={label}")), "{requested}");
    }
    stats.record(&exchange("echoed", "echoed"), &config, &mut host);
    let echoed = format!("{INPUT},gen_ai_request_model=echoed,gen_ai_response_model=echoed");
    assert!(host.sums.contains_key(&echoed));
}

#[test]
fn after_the_limit_of_series_models_are_reported_as_other_and_no_sample_is_lost() {
    let (mut stats, mut host) = (Stats::default(), Host::default());
    let config = Config::parse(r#"{"labels": {"max_series": 50, "headers": {"x-team": "team"}}}"#).unwrap();
    for n in 0..1000 {
        let model = format!("m{n}");
        let mut seen = exchange(&model, &model);
        seen.labels = vec![format!("team-{n}").into()];
        stats.record(&seen, &config, &mut host);
    }
    assert!(host.names.len() < 70, "{} series", host.names.len());
    let inputs = host.sums.iter().filter(|(name, _)| name.starts_with(INPUT));
    assert_eq!(inputs.map(|(_, sum)| sum).sum::<u64>(), 3000);
    assert!(host.sums.get(OVERFLOW.name).is_some_and(|n| *n > 900));
}

#[test]
fn after_the_limit_of_series_exactly_the_labels_without_a_bound_become_other() {
    let config = Config::parse(r#"{"labels": {"max_series": 1}}"#).unwrap();
    let mut host = Host::default();
    let mut stats = Stats::default();
    let mut seen = full();
    stats.record(&seen, &config, &mut host);
    seen.response.model = Some("another".into());
    stats.record(&seen, &config, &mut host);
    // The first series is below the limit.
    for name in host.names.iter().skip(1) {
        for (label, value) in name.split(',').skip(1).filter_map(|label| label.split_once('=')) {
            let row = crate::labels::LABELS.iter().find(|row| row.name == label).unwrap();
            assert_eq!(value == OTHER, row.unbounded, "{name}");
        }
    }
    let unbounded = crate::labels::LABELS.iter().filter(|row| row.unbounded);
    for label in unbounded.map(|row| format!(",{}=other", row.name)) {
        assert!(host.names.iter().any(|name| name.contains(&label)), "no series has {label}");
    }
}

#[test]
fn after_the_limit_of_series_an_empty_label_stays_empty() {
    let (mut stats, mut host) = (Stats::default(), Host::default());
    let config = Config::parse(r#"{"labels": {"max_series": 1}}"#).unwrap();
    stats.record(&exchange("gpt-4o", "gpt-4o"), &config, &mut host);
    stats.record(&exchange("", "gpt-4o"), &config, &mut host);
    let mut failed = exchange("gpt-4o", "");
    (failed.outcome, failed.error) = (Some(Outcome::Error), Some("rate_limit_exceeded".into()));
    stats.record(&failed, &config, &mut host);
    let requests: Vec<_> = host.names.iter().filter_map(|name| name.strip_prefix("gaugeway_requests_total,")).collect();
    let common = "gen_ai_operation_name=chat,gen_ai_provider_name=openai";
    let (requested, answered) = ("gen_ai_request_model=", "gen_ai_response_model=");
    assert_eq!(
        requests,
        [
            format!("{common},{requested}gpt-4o,{answered}gpt-4o,outcome=completed"),
            format!("{common},{answered}other,outcome=completed"),
            format!("{common},{requested}other,outcome=error,error_type=other"),
        ]
    );
}

#[test]
fn no_value_passed_to_the_host_exceeds_the_limit() {
    let (mut stats, mut host) = (Stats::default(), Host::default());
    let mut seen = exchange("gpt-4o", "");
    (seen.usage.input, seen.cost.nanousd) = (Some(u64::MAX), Some(u64::MAX));
    stats.record(&seen, &Config::parse("").unwrap(), &mut host);
    assert_eq!(host.sums.values().max(), Some(&COST_LIMIT));
}

#[test]
fn a_label_has_no_control_characters_and_at_most_128_bytes() {
    let (mut stats, mut host) = (Stats::default(), Host::default());
    stats.record(&exchange(" a;b=c\n\u{7f}. ", " \u{20} "), &Config::parse("").unwrap(), &mut host);
    let name = format!("{INPUT},gen_ai_request_model=other");
    assert!(host.names.contains(&name), "{:?}", host.names);
    let long = "é".repeat(4000);
    stats.record(&exchange(&long, "x\ny"), &Config::parse("").unwrap(), &mut host);
    let name = format!("{INPUT},gen_ai_request_model=other,gen_ai_response_model=x_y");
    assert!(host.names.contains(&name), "{:?}", host.names);
    stats.record(&exchange("", &long), &Config::parse("").unwrap(), &mut host);
    let name = format!("{INPUT},gen_ai_response_model={}", "é".repeat(LABEL_LIMIT / 2));
    assert!(host.names.contains(&name), "{:?}", host.names);
}

#[test]
fn duration_and_requests_do_not_depend_on_usage() {
    let (mut stats, mut host) = (Stats::default(), Host::default());
    let mut seen = exchange("gpt-4o", "");
    seen.usage = Usage::default();
    seen.outcome = Some(Outcome::ClientDisconnect);
    seen.timing.end = Some(5_000_000);
    stats.record(&seen, &Config::parse("").unwrap(), &mut host);
    let starts = |name: &str| host.sums.iter().find(|(n, _)| n.starts_with(name)).map(|(_, sum)| *sum);
    assert_eq!(starts("gaugeway_requests_total,"), Some(1));
    assert_eq!(starts("gen_ai_client_operation_duration_microseconds,"), Some(5000));
    assert_eq!(starts("gaugeway_input_tokens_total,"), None);
}

#[test]
fn every_sample_has_one_value_for_each_label_of_its_row() {
    for outcome in [Outcome::Completed, Outcome::Error] {
        let seen = Observation { outcome: Some(outcome), ..full() };
        for metric in METRICS {
            (metric.collect)(&seen, &mut |values, _| assert_eq!(values.len(), metric.labels.len(), "{}", metric.name));
        }
    }
    let seen = full();
    for metric in METRICS {
        let mut samples = 0;
        (metric.collect)(&seen, &mut |_, _| samples += 1);
        let fails = ["gaugeway_unpriced_requests_total", "gaugeway_usage_hidden_total"].contains(&metric.name);
        assert!(samples > 0 || fails, "the observation has no sample of {}", metric.name);
    }
}

/// An observation with a sample of every metric, but for those that exclude another.
fn full() -> Observation {
    use crate::observation::{CostStatus, Loop, ParseError, Parsed, RunEnd, ToolResult};
    let mut seen = exchange("gpt-4o", "gpt-4o");
    seen.usage.cache_read = Some(1);
    seen.usage.cache_creation = Some(1);
    seen.usage.reasoning = Some(1);
    seen.cost.nanousd = Some(1);
    seen.cost.status = Some(CostStatus::NoUsage);
    seen.error = Some("code".into());
    seen.response.finish_reasons = vec![Some(FinishReason { word: "stop".into(), class: FinishClass::Stop })];
    seen.parse_errors.add(ParseError::Json);
    (seen.timing.start, seen.timing.first_chunk, seen.timing.first_token) = (1000, Some(2000), Some(3000));
    seen.timing.end = Some(9_000_000);
    seen.output.tools = vec!["search".into()];
    seen.output.parsed = Some(Parsed::Whole);
    (seen.output.refused, seen.output.empty, seen.output.characters) = (true, true, Some(9));
    seen.agent.results =
        vec![ToolResult { name: Some("search".into()), failed: true, called_at: Some(1), ..ToolResult::default() }];
    (seen.agent.ended, seen.agent.iteration) = (Some(RunEnd::Completed), Some(2));
    (seen.agent.looping, seen.agent.loop_began) = (Some(Loop::Retry), true);
    seen.limits.requests = Some(1);
    seen.limits.retry_after = Some(1);
    seen.configured.get_or_insert_default().feedback = Some(700);
    seen
}
