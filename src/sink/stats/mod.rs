//! The statistics of exchanges. The table [`METRICS`] has one row for each metric.
//!
//! Envoy never forgets a series, so their number is bounded: after `labels.max_series` series, labels without a bound are
//! reported as `other`. Memory: one number per series.

mod metric;
mod table;

use std::borrow::Cow;
use std::collections::HashMap;

use crate::bytes::mix::{BuildNumbers, Mix};
use crate::config::Config;
use crate::labels::COMMON;
use crate::observation::{COST_LIMIT, Observation, Text, clipped};

pub use metric::{Collect, Metric, MetricKind, Registry, Samples};
pub use table::{INJECTIONS, METRICS, OVERFLOW, PLUGIN_METRICS, PRICE_TABLE, SPANS, UNREAD};

/// The longest value of a label, in bytes. Longer values are cut.
pub const LABEL_LIMIT: usize = 128;

/// Largest value passed to the host at once, so that a few of them cannot overflow a counter of 64 bits. The largest value
/// of an observation is a cost.
const SAMPLE_LIMIT: u64 = COST_LIMIT;

/// The value of a label without a bound, after the limit of series; and of a model that only the client names.
const OTHER: &str = "other";

/// The series that the host knows.
#[derive(Default)]
pub struct Stats {
    seed: u64,
    /// By a hash of the metric and the values of its labels.
    series: HashMap<u64, u32, BuildNumbers>,
    overflow: Option<u32>,
}

/// The labels that every metric of an exchange has.
struct CommonLabels<'a> {
    /// Values of [`COMMON`].
    values: [&'a str; COMMON.len()],
    /// Label names from `labels.headers`.
    headers: &'a [(String, String)],
    /// The values of these headers.
    header_values: &'a [Text],
}

impl Stats {
    /// No series yet. Label values come from clients: without the seed a client cannot make two series collide.
    pub fn new(seed: u64) -> Self {
        Stats { seed, ..Stats::default() }
    }

    /// Passes the samples of an exchange that has ended to the host.
    pub fn record(&mut self, seen: &Observation, config: &Config, host: &mut impl Registry) {
        let common = CommonLabels::of(seen, config);
        let mix = common.mix(self.seed);
        for (at, metric) in METRICS.iter().enumerate() {
            (metric.collect)(seen, &mut |values, value| {
                if value == 0 && metric.kind == MetricKind::Counter {
                    return;
                }
                if let Some(series) = self.find((at, metric), (&common, mix), values, config.labels.max_series, host) {
                    host.emit(metric.kind, series, value.min(SAMPLE_LIMIT));
                }
            });
        }
    }

    /// The series of a metric with these values of its own labels, defined if it is new.
    fn find(
        &mut self,
        (at, metric): (usize, &Metric),
        (common, mix): (&CommonLabels<'_>, Mix),
        values: &[&str],
        limit: usize,
        host: &mut impl Registry,
    ) -> Option<u32> {
        let key = key(mix, at, values.iter().copied());
        if let Some(series) = self.series.get(&key) {
            return Some(*series);
        }
        let own = metric.labels.iter().zip(values);
        if self.series.len() < limit {
            return self.define(key, metric, common, &mut own.map(|(label, value)| (label.name, *value)), host);
        }
        let common = common.bounded();
        let mut own = own.map(|(label, value)| (label.name, if label.unbounded { other(value) } else { value }));
        self.overflow = self.overflow.or_else(|| host.define(OVERFLOW.kind, OVERFLOW.name, &[]));
        if let Some(overflow) = self.overflow {
            host.emit(OVERFLOW.kind, overflow, 1);
        }
        let key = self::key(common.mix(self.seed), at, own.clone().map(|(_, value)| value));
        self.series.get(&key).copied().or_else(|| self.define(key, metric, &common, &mut own, host))
    }

    fn define<'a>(
        &mut self,
        key: u64,
        metric: &Metric,
        common: &CommonLabels<'a>,
        own: &mut dyn Iterator<Item = (&'a str, &'a str)>,
        host: &mut impl Registry,
    ) -> Option<u32> {
        let labels: Vec<_> = common.pairs().chain(own).map(|(name, value)| (name, cleaned(value))).collect();
        let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, &**value)).collect();
        let labels: Vec<_> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let series = host.define(metric.kind, metric.name, &labels)?;
        self.series.insert(key, series);
        Some(series)
    }
}

impl<'a> CommonLabels<'a> {
    /// The common labels of an exchange. The requested model is a label only if the price table, the configuration or the
    /// answer knows it: a client can invent any number of names.
    fn of(seen: &'a Observation, config: &'a Config) -> Self {
        let requested = seen.request.model.as_deref().unwrap_or_default();
        let answered = seen.response.model.as_deref().unwrap_or_default();
        let known = requested.is_empty()
            // The name of an alias begins the name of the model that answers: `m-4`, `m-4-2024-08-06`.
            || answered.starts_with(requested)
            || config.labels.models.contains(requested)
            || config.prices.find(&seen.provider, requested).is_some();
        let requested = if known { requested } else { OTHER };
        CommonLabels {
            values: [seen.operation, &seen.provider, requested, answered, &seen.route],
            headers: &config.labels.headers,
            header_values: &seen.labels,
        }
    }

    /// The same with `other` for each value that has no bound, and without the labels of headers.
    fn bounded(&self) -> Self {
        let mut values = self.values;
        for (_, value) in COMMON.iter().zip(&mut values).filter(|(label, _)| label.unbounded) {
            *value = other(value);
        }
        CommonLabels { values, header_values: &[], ..*self }
    }

    /// Names and values. Values may be empty.
    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let headers = self.headers.iter().zip(self.header_values);
        let headers = headers.map(|((_, name), value)| (name.as_str(), &**value));
        COMMON.iter().map(|label| label.name).zip(self.values).chain(headers)
    }

    fn mix(&self, seed: u64) -> Mix {
        let mix = self.values.iter().fold(Mix::new(seed), |mix, value| mix.text(value));
        // The configuration before a reload may have had other headers.
        let headers = self.headers.iter().zip(self.header_values);
        headers.fold(mix, |mix, ((_, name), value)| mix.text(name).text(value))
    }
}

fn key<'v>(common: Mix, metric: usize, values: impl Iterator<Item = &'v str>) -> u64 {
    values.fold(common.number(metric as u64), Mix::text).finish()
}

/// The value of a label without a bound after the limit of series. An empty value stays empty: there is no label.
fn other(value: &str) -> &str {
    if value.is_empty() { "" } else { OTHER }
}

/// A label's value within [`LABEL_LIMIT`], without spaces around it, with `_` for each control character.
fn cleaned(value: &str) -> Cow<'_, str> {
    let value = clipped(value, LABEL_LIMIT).trim_matches(' ');
    match value.contains(char::is_control) {
        true => value.chars().map(|c| if c.is_control() { '_' } else { c }).collect(),
        false => value.into(),
    }
}

#[cfg(test)]
mod tests;
