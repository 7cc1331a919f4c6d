//! The statistics of exchanges: which series there are, with names and labels as Envoy's tag regexes take them apart.
//!
//! Envoy never forgets a series, so their number is bounded here: past the limit models are called `other`.
//! Bound: one number kept per series. Encoding: `NAME.key=.=value;.;key2=.=value2;.;`.

mod metrics;

use std::collections::HashMap;

use crate::bytes::mix::{BuildNumbers, Mix};
use crate::config::Config;
use crate::observation::{COST_LIMIT, Observation, Text, clipped};

pub use crate::labels::LABELS;
pub use metrics::{Collect, Kind, METRICS, Metric, OVERFLOW, PRICE_TABLE, SPANS, Sample};

/// The host's side of statistics.
pub trait Registry {
    /// Creates a series, or finds it, by its full name.
    fn define(&mut self, kind: Kind, name: &str) -> Option<u32>;
    /// Adds to a counter or records in a histogram.
    fn emit(&mut self, kind: Kind, series: u32, value: u64);
}

/// The series known to the host.
#[derive(Default)]
pub struct Stats {
    seed: u64,
    /// By the hash of metric and labels.
    series: HashMap<u64, u32, BuildNumbers>,
    overflow: Option<u32>,
    name: String,
}

/// Labels every metric has.
struct Common<'a> {
    operation: &'a str,
    provider: &'a str,
    request_model: &'a str,
    response_model: &'a str,
    route: &'a str,
    /// Label names and values from the request's headers.
    headers: &'a [(String, String)],
    values: &'a [Text],
}

impl Stats {
    /// Of no series yet. Labels' values come from clients: who does not know the seed cannot make two series one.
    pub fn new(seed: u64) -> Self {
        Stats { seed, ..Stats::default() }
    }

    /// Passes the numbers of an exchange that is over to the host.
    pub fn record(&mut self, seen: &Observation, config: &Config, host: &mut impl Registry) {
        let common = common(seen, config);
        let mix = common.mix(self.seed);
        for (at, metric) in METRICS.iter().enumerate() {
            (metric.collect)(seen, &mut |sample| {
                if sample.value == 0 && metric.kind == Kind::Counter {
                    return;
                }
                if let Some(series) = self.find(at, metric, (&common, mix), &sample, config.labels.max_series, host) {
                    host.emit(metric.kind, series, sample.value.min(SAMPLE_LIMIT));
                }
            });
        }
    }

    fn find(
        &mut self,
        at: usize,
        metric: &Metric,
        (common, mix): (&Common<'_>, Mix),
        sample: &Sample<'_>,
        limit: usize,
        host: &mut impl Registry,
    ) -> Option<u32> {
        let key = key(mix, at, sample);
        if let Some(series) = self.series.get(&key) {
            return Some(*series);
        }
        if self.series.len() < limit {
            return self.define(key, metric, common, sample, host);
        }
        let other = Common {
            request_model: other(common.request_model),
            response_model: other(common.response_model),
            values: &[],
            ..*common
        };
        let labels = sample.labels.iter().map(|(name, value)| match *name {
            "error_type" | "gen_ai_tool_name" => (*name, self::other(value)),
            _ => (*name, *value),
        });
        let labels: Vec<_> = labels.collect();
        let sample = Sample { labels: &labels, value: sample.value };
        let overflow = self.overflow.or_else(|| host.define(Kind::Counter, OVERFLOW));
        self.overflow = overflow;
        if let Some(overflow) = overflow {
            host.emit(Kind::Counter, overflow, 1);
        }
        let key = self::key(other.mix(self.seed), at, &sample);
        self.series.get(&key).copied().or_else(|| self.define(key, metric, &other, &sample, host))
    }

    fn define(
        &mut self,
        key: u64,
        metric: &Metric,
        common: &Common<'_>,
        sample: &Sample<'_>,
        host: &mut impl Registry,
    ) -> Option<u32> {
        self.name.clear();
        self.name.push_str(metric.name);
        self.name.push('.');
        let labels = [
            ("gen_ai_operation_name", common.operation),
            ("gen_ai_provider_name", common.provider),
            ("gen_ai_request_model", common.request_model),
            ("gen_ai_response_model", common.response_model),
            ("route", common.route),
        ];
        let headers = common.headers.iter().zip(common.values).map(|((_, name), value)| (name.as_str(), &**value));
        for (name, value) in labels.into_iter().chain(headers).chain(sample.labels.iter().copied()) {
            label(&mut self.name, name, value);
        }
        let series = host.define(metric.kind, &self.name)?;
        self.series.insert(key, series);
        Some(series)
    }
}

/// Largest value passed to the host at once, so that no counter of 64 bits wraps with a few of them. The largest that an
/// observation has is a cost.
const SAMPLE_LIMIT: u64 = COST_LIMIT;

/// What a model is called that nobody vouches for, or that came after the limit of series.
const OTHER: &str = "other";

/// The value of a label past the limit of series: an empty one stays empty, which is no label.
fn other(value: &str) -> &str {
    if value.is_empty() { "" } else { OTHER }
}

/// The labels common to all metrics. A model's name is a label only if the price table, the configuration or the upstream
/// knows it: a client can invent any number of names.
fn common<'a>(seen: &'a Observation, config: &'a Config) -> Common<'a> {
    let requested = seen.request.model.as_deref().unwrap_or_default();
    let answered = seen.response.model.as_deref().unwrap_or_default();
    let known = requested.is_empty()
        // The alias of a model is the beginning of its full name: `m-4` is answered by `m-4-2024-08-06`.
        || answered.starts_with(requested)
        || config.labels.models.contains(requested)
        || config.prices.find(&seen.provider, requested).is_some();
    Common {
        operation: seen.operation,
        provider: &seen.provider,
        request_model: if known { requested } else { OTHER },
        response_model: answered,
        route: &seen.route,
        headers: &config.labels.headers,
        values: &seen.labels,
    }
}

impl Common<'_> {
    fn mix(&self, seed: u64) -> Mix {
        let labels = [self.operation, self.provider, self.request_model, self.response_model, self.route];
        let mix = labels.iter().fold(Mix::new(seed), |mix, label| mix.text(label));
        // A configuration that is replaced may have named other headers.
        let headers = self.headers.iter().zip(self.values);
        headers.fold(mix, |mix, ((_, name), value)| mix.text(name).text(value))
    }
}

fn key(common: Mix, metric: usize, sample: &Sample<'_>) -> u64 {
    let mix = common.number(metric as u64);
    sample.labels.iter().fold(mix, |mix, (_, value)| mix.text(value)).finish()
}

/// Longest label value, in bytes.
const LABEL: usize = 128;

/// Appends a label, unless it is empty. What would end the value early, or break the line, becomes `_`.
fn label(out: &mut String, name: &str, value: &str) {
    let value = clipped(value, LABEL).trim_matches(['.', ' ']);
    if value.is_empty() {
        return;
    }
    out.push_str(name);
    out.push_str("=.=");
    out.extend(value.chars().map(|c| if matches!(c, ';' | '=') || c.is_control() { '_' } else { c }));
    out.push_str(";.;");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Outcome, Usage};
    use std::collections::BTreeMap;

    /// A registry that adds up.
    #[derive(Default)]
    struct Host {
        names: Vec<String>,
        sums: BTreeMap<String, u64>,
    }

    impl Registry for Host {
        fn define(&mut self, _: Kind, name: &str) -> Option<u32> {
            assert!(!self.names.iter().any(|n| n == name), "{name} is defined twice");
            self.names.push(name.to_owned());
            u32::try_from(self.names.len() - 1).ok()
        }

        fn emit(&mut self, _: Kind, series: u32, value: u64) {
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

    const INPUT: &str = "gaugeway_input_tokens_total.gen_ai_operation_name=.=chat;.;gen_ai_provider_name=.=openai;.;";

    #[test]
    fn a_series_is_defined_once_and_named_by_its_labels() {
        let (mut stats, mut host) = (Stats::default(), Host::default());
        let config = Config::parse("").unwrap();
        for _ in 0..3 {
            stats.record(&exchange("gpt-4o", "gpt-4o-2024-08-06"), &config, &mut host);
        }
        let name = format!("{INPUT}gen_ai_request_model=.=gpt-4o;.;gen_ai_response_model=.=gpt-4o-2024-08-06;.;");
        assert_eq!(host.sums.get(&name), Some(&9));
    }

    #[test]
    fn a_model_only_the_client_names_is_called_other() {
        let (mut stats, mut host) = (Stats::default(), Host::default());
        let config = Config::parse(r#"{"labels": {"models": ["ours"]}}"#).unwrap();
        for (requested, label) in [("invented", "other"), ("ours", "ours"), ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06")]
        {
            stats.record(&exchange(requested, ""), &config, &mut host);
            assert!(host.sums.contains_key(&format!("{INPUT}gen_ai_request_model=.={label};.;")), "{requested}");
        }
        stats.record(&exchange("echoed", "echoed"), &config, &mut host);
        let echoed = format!("{INPUT}gen_ai_request_model=.=echoed;.;gen_ai_response_model=.=echoed;.;");
        assert!(host.sums.contains_key(&echoed));
    }

    #[test]
    fn past_the_limit_models_are_called_other_and_nothing_is_lost() {
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
        assert!(host.sums.get(OVERFLOW).is_some_and(|n| *n > 900));
    }

    #[test]
    fn past_the_limit_an_empty_label_stays_empty() {
        let (mut stats, mut host) = (Stats::default(), Host::default());
        let config = Config::parse(r#"{"labels": {"max_series": 1}}"#).unwrap();
        stats.record(&exchange("gpt-4o", "gpt-4o"), &config, &mut host);
        stats.record(&exchange("", "gpt-4o"), &config, &mut host);
        let mut failed = exchange("gpt-4o", "");
        (failed.outcome, failed.error) = (Some(Outcome::Error), Some("rate_limit_exceeded".into()));
        stats.record(&failed, &config, &mut host);
        let requests: Vec<_> =
            host.names.iter().filter_map(|name| name.strip_prefix("gaugeway_requests_total.")).collect();
        let common = "gen_ai_operation_name=.=chat;.;gen_ai_provider_name=.=openai;.;";
        let (asked, answered) = ("gen_ai_request_model=.=", "gen_ai_response_model=.=");
        assert_eq!(
            requests,
            [
                format!("{common}{asked}gpt-4o;.;{answered}gpt-4o;.;outcome=.=completed;.;"),
                format!("{common}{answered}other;.;outcome=.=completed;.;"),
                format!("{common}{asked}other;.;outcome=.=error;.;error_type=.=other;.;"),
            ]
        );
    }

    #[test]
    fn no_sample_is_above_the_limit() {
        let (mut stats, mut host) = (Stats::default(), Host::default());
        let mut seen = exchange("gpt-4o", "");
        (seen.usage.input, seen.cost.nanousd) = (Some(u64::MAX), Some(u64::MAX));
        stats.record(&seen, &Config::parse("").unwrap(), &mut host);
        assert_eq!(host.sums.values().max(), Some(&COST_LIMIT));
    }

    #[test]
    fn a_label_cannot_end_early_nor_break_the_line() {
        let (mut stats, mut host) = (Stats::default(), Host::default());
        let evil = "evil;.;status=.=x;.;\n\u{7f}.";
        stats.record(&exchange(evil, evil), &Config::parse("").unwrap(), &mut host);
        let name = format!("{INPUT}gen_ai_request_model=.=evil_._status_._x_.___;.;");
        assert!(host.names.iter().any(|n| n.starts_with(&name)), "{:?}", host.names);
        assert!(host.names.iter().all(|n| !n.contains(char::is_control)));
        assert!(host.names.iter().all(|n| n.matches(";.;").count() == n.matches("=.=").count()));
        let long = "é".repeat(4000);
        stats.record(&exchange(&long, &long), &Config::parse("").unwrap(), &mut host);
        assert!(host.names.iter().all(|n| n.len() < 700));
    }

    #[test]
    fn no_label_ends_in_another() {
        for (at, label) in LABELS.iter().enumerate() {
            for other in LABELS.iter().skip(at + 1) {
                assert!(!label.ends_with(other) && !other.ends_with(label), "{label} and {other}");
            }
        }
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
        assert_eq!(starts("gaugeway_requests_total."), Some(1));
        assert_eq!(starts("gen_ai_client_operation_duration_microseconds."), Some(5000));
        assert_eq!(starts("gaugeway_input_tokens_total."), None);
    }
}
