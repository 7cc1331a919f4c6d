use std::collections::{BTreeMap, BTreeSet};

use super::rpc_tests::{at, tool_call};
use super::*;
use crate::config::Conventions;
use crate::observation::{ClientDetails, FinishClass, FinishReason, Outcome, RequestKind, Text, ToolResult, Usage};

/// A registry that adds up the values of each series. Its name is that of the metric with its labels as `,NAME=VALUE`.
#[derive(Default)]
pub struct Host {
    pub names: Vec<String>,
    unique: BTreeSet<String>,
    pub sums: BTreeMap<String, u64>,
}

impl Registry for Host {
    fn define(&mut self, metric: &Metric, labels: &[(&str, &str)]) -> Option<u32> {
        let name = metric.name;
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!(",{name}={value}")).collect();
        let name = format!("{name}{}", labels.concat());
        assert!(self.unique.insert(name.clone()), "{name} is defined twice");
        self.names.push(name);
        u32::try_from(self.names.len() - 1).ok()
    }

    fn emit(&mut self, metric: &Metric, series: u32, sample: u64) {
        let value = metric.scale.for_envoy(sample);
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
fn a_request_that_prepares_another_one_has_tokens_and_no_duration() {
    let config = Config::parse("").unwrap();
    let durations = |kind| {
        let (mut stats, mut host) = (Stats::default(), Host::default());
        let mut seen = exchange("gpt-4o", "gpt-4o");
        (seen.timing.start, seen.timing.first_token, seen.timing.end) = (1, Some(1_000_001), Some(2_000_001));
        seen.client = Some(Box::new(ClientDetails { kind, ..ClientDetails::default() }));
        stats.record(&seen, &config, &mut host);
        let tokens: u64 = host.sums.iter().filter(|(name, _)| name.starts_with(INPUT)).map(|(_, sum)| *sum).sum();
        assert_eq!(tokens, 3);
        host.sums.keys().filter(|name| name.contains("_microseconds")).count()
    };
    assert_eq!((durations(Some(RequestKind::Main)), durations(Some(RequestKind::Prewarm))), (3, 0));
}

#[test]
fn a_client_cannot_spell_a_models_label() {
    let config = Config::parse(r#"{"labels": {"models": ["ours"]}}"#).unwrap();
    for (provider, requested, answered, label) in [
        ("openai", "gpt-4o", "", "gpt-4o"),
        ("openai", "GPT-4O", "", "gpt-4o"),
        ("openai", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06", "gpt-4o"),
        ("anthropic", "claude-3-5-sonnet-invented-7", "", "claude-3-5-sonnet"),
        ("openai", "invented", "", "other"),
        ("openai", "invented", "gpt-4o", "other"),
        ("openai", "ours", "", "ours"),
        ("openai", "OURS", "", "other"),
        // The beginning of the answer's name, as far as the client wants to give it.
        ("openai", "m-4", "m-4-2024-08-06", "m-4-2024-08-06"),
        ("openai", "m", "m-4-2024-08-06", "m-4-2024-08-06"),
        ("openai", "echoed", "echoed", "echoed"),
    ] {
        let (mut stats, mut host) = (Stats::default(), Host::default());
        let seen = Observation { provider: provider.into(), ..exchange(requested, answered) };
        stats.record(&seen, &config, &mut host);
        let name = host.names.iter().find(|name| name.starts_with("gaugeway_input")).unwrap();
        let found = name.split(',').find_map(|pair| pair.strip_prefix("gen_ai_request_model="));
        assert_eq!(found, Some(label), "{requested} answered by {answered}");
    }
}

#[test]
fn a_tool_is_a_label_once_an_answer_has_named_it() {
    let (mut stats, mut host) = (Stats::default(), Host::default());
    let config = Config::parse("").unwrap();
    let result = |name: &str, called_at| ToolResult {
        name: Some(name.into()),
        failed: true,
        called_at,
        ..ToolResult::default()
    };
    let mut asking = exchange("gpt-4o", "gpt-4o");
    asking.agent.results = vec![result("search", None), result("invented", None)];
    stats.record(&asking, &config, &mut host);
    let mut answering = exchange("gpt-4o", "gpt-4o");
    answering.output.tools = vec!["search".into()];
    stats.record(&answering, &config, &mut host);
    stats.record(&asking, &config, &mut host);
    // The memory of calls, which workers share, has names of answers.
    asking.agent.results = vec![result("remembered", Some(1))];
    stats.record(&asking, &config, &mut host);
    let errors = "gaugeway_tool_errors_total,gen_ai_operation_name=chat,gen_ai_provider_name=openai,gen_ai_tool_name=";
    let seen: Vec<_> = host.sums.iter().filter_map(|(name, sum)| Some((name.strip_prefix(errors)?, *sum))).collect();
    assert_eq!(seen, [("other", 3), ("remembered", 1), ("search", 1)]);
}

/// Invents a name of one kind. Each of them takes room of other shares.
type Invent = fn(&mut Observation, usize);

const FLOODS: [(NameKind, Invent); 5] = [
    (NameKind::ResponseModel, |seen, n| {
        let name = format!("echoed-{n}");
        (seen.request.model, seen.response.model) = (Some((&*name).into()), Some(name.into()));
    }),
    (NameKind::ResponseModel, |seen, n| {
        let name = format!("gpt-4o-audio-preview-{n}");
        (seen.request.model, seen.response.model) = (Some((&*name).into()), Some(name.into()));
    }),
    (NameKind::ToolName, |seen, n| seen.output.tools = (0..16).map(|tool| format!("tool-{n}-{tool}").into()).collect()),
    (NameKind::ErrorType, |seen, n| {
        (seen.outcome, seen.error) = (Some(Outcome::Error), Some(format!("error-{n}").into()));
    }),
    (NameKind::Header, |seen, n| seen.labels = vec![format!("team-{n}").into()]),
];

#[test]
fn no_flood_of_invented_names_takes_the_series_of_honest_ones_and_no_sample_is_lost() {
    let config = Config::parse(r#"{"labels": {"max_series": 1000, "headers": {"x-team": "team"}}}"#).unwrap();
    let (mut stats, mut host) = (Stats::default(), Host::default());
    for n in 0..500 {
        // One kind alone, and several at once.
        for floods in 1..1 << FLOODS.len() {
            let mut seen = exchange("gpt-4o-mini", "gpt-4o-mini-2024-07-18");
            seen.labels = vec!["honest".into()];
            let invent = FLOODS.iter().enumerate().filter(|(at, _)| floods >> at & 1 == 1);
            invent.for_each(|(_, (_, invent))| invent(&mut seen, n));
            stats.record(&seen, &config, &mut host);
        }
    }
    // The limit twice, because there are labels of headers, and what has no names.
    assert!(host.names.len() < 2100, "{} series", host.names.len());
    let inputs = host.sums.iter().filter(|(name, _)| name.starts_with(INPUT));
    assert_eq!(inputs.map(|(_, sum)| sum).sum::<u64>(), 500 * 31 * 3);
    for (kind, _) in FLOODS {
        let overflow = format!("{},kind={}", OVERFLOW.name, kind.as_str());
        assert!(host.sums.get(&overflow).is_some_and(|samples| *samples > 500), "{overflow}");
    }
    assert!(!host.sums.contains_key(&format!("{},kind=request_model", OVERFLOW.name)));

    let mut honest = full();
    (honest.request.model, honest.response.model) = (Some("gpt-4.1".into()), Some("gpt-4.1-2025-04-14".into()));
    honest.error = Some("rate_limit_exceeded".into());
    let before = host.names.len();
    stats.record(&honest, &config, &mut host);
    for (metric, new) in METRICS.iter().filter(|metric| is_of_chats(metric)).map(|metric| {
        let of = |name: &&String| name.split(',').next() == Some(metric.name);
        (metric, host.names.iter().skip(before).filter(of).collect::<Vec<_>>())
    }) {
        let has_model = metric.scope.labels().any(|label| label == &crate::labels::REQUEST_MODEL);
        let own = new.iter().all(|name| name.contains(",gen_ai_request_model=gpt-4.1"));
        assert!(
            !has_model || metric.name.contains("unpriced_requests") || (own && !new.is_empty()),
            "{}: {new:?}",
            metric.name
        );
    }
    // The share of answers' names is full, so the label is the price table's name.
    assert!(host.sums.contains_key(&format!("{INPUT},gen_ai_request_model=gpt-4.1,gen_ai_response_model=gpt-4.1")));
}

#[test]
fn models_of_the_configuration_take_no_room() {
    let config = Config::parse(r#"{"labels": {"max_series": 1, "models": ["ours", "ours-1"]}}"#).unwrap();
    let (mut stats, mut host) = (Stats::default(), Host::default());
    stats.record(&exchange("ours", "ours-1"), &config, &mut host);
    assert!(host.sums.contains_key(&format!("{INPUT},gen_ai_request_model=ours,gen_ai_response_model=ours-1")));
    assert!(!host.names.iter().any(|name| name.starts_with(OVERFLOW.name)));
}

#[test]
fn without_room_exactly_the_labels_with_a_kind_become_other() {
    let config = Config::parse(r#"{"labels": {"max_series": 1}}"#).unwrap();
    let (mut stats, mut host) = (Stats::default(), Host::default());
    stats.record(&full(), &config, &mut host);
    stats.record_rpc(&at("tools.example.com"), &tool_call("search", None), &config, &mut host);
    for name in host.names.iter().filter(|name| !name.starts_with(OVERFLOW.name)) {
        for (label, value) in name.split(',').skip(1).filter_map(|label| label.split_once('=')) {
            let row = crate::labels::LABELS.iter().find(|row| row.name == label).unwrap();
            assert_eq!(value == OTHER, row.kind.is_some(), "{name}");
        }
    }
    let with_kind = crate::labels::LABELS.iter().filter(|row| row.kind.is_some());
    for label in with_kind.map(|row| format!(",{}=other", row.name)) {
        assert!(host.names.iter().any(|name| name.contains(&label)), "no series has {label}");
    }
}

#[test]
fn without_room_an_empty_label_stays_empty_and_a_common_error_stays() {
    let (mut stats, mut host) = (Stats::default(), Host::default());
    let config = Config::parse(r#"{"labels": {"max_series": 1}}"#).unwrap();
    stats.record(&exchange("", "gpt-4o"), &config, &mut host);
    for error in ["rate_limit_exceeded", "invented"] {
        let mut failed = exchange("gpt-4o", "");
        (failed.outcome, failed.error) = (Some(Outcome::Error), Some(error.into()));
        stats.record(&failed, &config, &mut host);
    }
    let requests: Vec<_> = host.names.iter().filter_map(|name| name.strip_prefix("gaugeway_requests_total,")).collect();
    let common = "gen_ai_operation_name=chat,gen_ai_provider_name=openai";
    let (requested, answered) = ("gen_ai_request_model=", "gen_ai_response_model=");
    assert_eq!(
        requests,
        [
            format!("{common},{answered}other,outcome=completed"),
            format!("{common},{requested}other,outcome=error,error_type=rate_limit_exceeded"),
            format!("{common},{requested}other,outcome=error,error_type=other"),
        ]
    );
}

#[test]
fn fifty_models_on_twenty_routes_have_all_their_series_with_the_default_limit() {
    let config = Config::parse("").unwrap();
    let models = "gpt-3.5-turbo gpt-4 gpt-4-turbo gpt-4.1 gpt-4.1-mini gpt-4.1-nano gpt-4o gpt-4o-mini gpt-5 gpt-5-chat gpt-5-mini \
        gpt-5-nano gpt-5-codex gpt-5.1 gpt-5.1-codex gpt-5.2 gpt-5.2-pro gpt-5.3 gpt-5.4 gpt-5.4-mini gpt-5.4-nano gpt-5.5 o1 o3 \
        davinci";
    let models: Vec<_> =
        models.split_whitespace().flat_map(|model| [("openai", model), ("azure.ai.openai", model)]).collect();
    assert!(models.len() == 50 && models.iter().all(|(at, model)| config.prices.name(at, model) == Some(model)));
    // Answers with the price table's own names, and with dated names: their series take room of two shares.
    for ending in ["", "-2025-04-14"] {
        let (mut stats, mut host) = (Stats::default(), Host::default());
        for route in 0..20 {
            for (provider, model) in &models {
                let mut seen = full();
                (seen.provider, seen.route) = ((*provider).into(), format!("route-{route}").into());
                seen.request.model = Some((*model).into());
                seen.response.model = Some(format!("{model}{ending}").into());
                seen.error = None;
                seen.output.tools =
                    vec![format!("tool-{}", route * 5).into(), format!("tool-{}", route * 5 + 1).into()];
                stats.record(&seen, &config, &mut host);
                for error in ["429", "rate_limit_exceeded"] {
                    let mut failed = exchange(model, "");
                    (failed.provider, failed.route) = ((*provider).into(), format!("route-{route}").into());
                    (failed.outcome, failed.error, failed.usage) =
                        (Some(Outcome::Error), Some(error.into()), Usage::default());
                    failed.timing.end = Some(9);
                    stats.record(&failed, &config, &mut host);
                }
            }
        }
        let lost: Vec<_> = host.names.iter().filter(|name| name.starts_with(OVERFLOW.name)).collect();
        assert!(lost.is_empty() && host.names.len() > 10_000, "{ending}: {lost:?}, {} series", host.names.len());
    }
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
    assert_eq!(starts("gen_ai_client_inference_duration_microseconds,"), Some(5000));
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
    let mut open = Observation { outcome: None, ..full() };
    open.timing.stalls = 1;
    for metric in METRICS {
        let mut samples = 0;
        for operation in ["chat", "embeddings", "rerank"] {
            // Stalls are counted while a stream is open.
            let seen = if metric.name == "gaugeway_streams_stalled_total" { open.clone() } else { full() };
            (metric.collect)(&Observation { operation, ..seen }, &mut |_, _| samples += 1);
        }
        let fails = ["gaugeway_unpriced_requests_total", "gaugeway_usage_hidden_total"].contains(&metric.name);
        assert!(samples > 0 || fails, "the observation has no sample of {}", metric.name);
    }
}

/// Returns true if a chat has samples of the metric, under the default conventions.
fn is_of_chats(metric: &Metric) -> bool {
    let of_others = ["gen_ai_client_embeddings_", "gen_ai_client_operation_duration_"];
    metric.is_in(Conventions::default()) && !of_others.iter().any(|beginning| metric.name.starts_with(beginning))
}

/// An observation with a sample of every metric of its operation, but for those that exclude another.
fn full() -> Observation {
    use crate::observation::{
        CacheBreak, CacheBreakCause, ChunkGaps, CostPart, CostStatus, Loop, OtherQuantities, ParseError, Parsed,
        RunEnd, Unpriced,
    };
    let mut seen = exchange("gpt-4o", "gpt-4o");
    seen.usage.cache_read = Some(1);
    seen.usage.cache_creation = Some(1);
    seen.usage.reasoning = Some(1);
    let (cause, message) = (CacheBreakCause::Message, Some(2));
    seen.cache_break = Some(Box::new(CacheBreak { cause, message, lost_tokens: 1, lost_nanousd: Some(1) }));
    seen.cost.nanousd = Some(1);
    seen.cost.status = Some(CostStatus::NoUsage);
    (seen.cost.bill.parts, seen.cost.bill.cache_savings) = ([1; CostPart::ALL.len()], 1);
    seen.cost.bill.unpriced.add(Unpriced::USAGE);
    let others = OtherQuantities { input_audio: 1, web_searches: 1, ..OtherQuantities::default() };
    seen.quantities = Some(Box::new(others));
    seen.error = Some("code".into());
    seen.response.finish_reasons = vec![Some(FinishReason { word: "stop".into(), class: FinishClass::Stop })];
    seen.parse_errors.add(ParseError::Json);
    (seen.timing.start, seen.timing.first_chunk, seen.timing.first_token) = (1000, Some(2000), Some(3000));
    seen.timing.end = Some(9_000_000);
    let mut gaps = ChunkGaps::new(2000);
    gaps.chunk(5_000_000);
    seen.timing.gaps = Some(Box::new(gaps));
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
