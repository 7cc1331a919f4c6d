//! What a metric is, and the interface to the host's metrics.

use crate::config::Conventions;
use crate::documentation::documentation;
use crate::labels::{Label, Scope};
use crate::observation::Observation;

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricKind {
    /// A sum that only grows; exact.
    Counter,
    /// A distribution of whole numbers.
    Histogram,
    /// The last value.
    Gauge,
}

/// A metric: one row of [`METRICS`](super::METRICS) or of [`PLUGIN_METRICS`](super::PLUGIN_METRICS).
pub struct Metric {
    /// Its name in Envoy's statistics and in Prometheus.
    pub name: &'static str,
    /// Its name in OTLP.
    pub otlp: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Unit in Envoy's statistics, in the notation of UCUM.
    pub unit: &'static str,
    /// The meaning of its samples.
    pub scale: Scale,
    /// The upper bounds of a histogram's buckets, in the unit of its samples.
    pub bounds: &'static [u64],
    /// The version of the conventions that has this metric. None if the metric does not depend on it.
    pub conventions: Option<Conventions>,
    /// Which common labels it has, if it is a metric of exchanges. It then also has those of `labels.headers`.
    pub scope: Scope,
    /// Its own labels.
    pub labels: &'static [&'static Label],
    /// What it counts. Documentation only.
    pub doc: &'static str,
    /// Passes on the samples of an exchange that has ended.
    pub collect: Collect,
}

/// The meaning of a sample. Envoy's statistics have whole numbers only, OTLP has the units of OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// A whole number in both.
    Whole,
    /// Nanoseconds. Microseconds in Envoy's statistics, seconds in OTLP.
    Nanoseconds,
    /// Billionths of a US dollar. The same in Envoy's statistics, dollars in OTLP.
    Nanousd,
    /// Thousandths. The same in Envoy's statistics, a number in OTLP.
    Thousandths,
}

impl Scale {
    /// A sample as Envoy's statistics have it.
    pub const fn for_envoy(self, sample: u64) -> u64 {
        match self {
            Scale::Nanoseconds => sample / 1000,
            Scale::Whole | Scale::Nanousd | Scale::Thousandths => sample,
        }
    }

    /// The divisor of a sample for OTLP. None if its values are whole numbers.
    pub const fn divisor(self) -> Option<f64> {
        match self {
            Scale::Whole => None,
            Scale::Nanoseconds | Scale::Nanousd => Some(1e9),
            Scale::Thousandths => Some(1e3),
        }
    }
}

impl Metric {
    /// The same with other common labels.
    pub(super) const fn by(self, scope: Scope) -> Self {
        Metric { scope, ..self }
    }

    /// The same with these buckets.
    pub(super) const fn with_bounds(self, bounds: &'static [u64]) -> Self {
        Metric { bounds, ..self }
    }

    /// The same, but only in one version of the conventions.
    pub(super) const fn of(self, conventions: Conventions) -> Self {
        Metric { conventions: Some(conventions), ..self }
    }

    /// Unit in OTLP, in the notation of UCUM.
    pub const fn otlp_unit(&self) -> &'static str {
        match self.scale {
            Scale::Whole => self.unit,
            Scale::Nanoseconds => "s",
            Scale::Nanousd => "{USD}",
            Scale::Thousandths => "1",
        }
    }

    /// Returns true if the metric is reported under these conventions.
    pub fn is_in(&self, conventions: Conventions) -> bool {
        self.conventions.is_none_or(|own| own == conventions)
    }
}

/// Passes on the samples of one metric for an exchange that has ended.
pub type Collect = fn(&Observation, Samples<'_>);

/// Takes samples: the values of the metric's own labels, in the order of its row, and the value to add or record.
pub type Samples<'a> = &'a mut dyn FnMut(&[&str], u64);

/// An output of metrics.
pub trait Registry {
    /// Creates a series, or finds it, by its metric and the names and values of its labels. No value is empty, is longer than
    /// [`LABEL_LIMIT`](super::LABEL_LIMIT) or has control characters. Returns None if the output has no metrics.
    fn define(&mut self, metric: &Metric, labels: &[(&str, &str)]) -> Option<u32>;
    /// Adds a sample to a counter, sets a gauge to it or records it in a histogram.
    fn emit(&mut self, metric: &Metric, series: u32, sample: u64);
}

pub(super) type OwnLabels = &'static [&'static Label];

/// A counter with all common labels.
pub(super) const fn counter(
    name: &'static str,
    otlp: &'static str,
    unit: &'static str,
    labels: OwnLabels,
    doc: &'static str,
    collect: Collect,
) -> Metric {
    Metric {
        name,
        otlp,
        kind: MetricKind::Counter,
        unit,
        scale: Scale::Whole,
        bounds: &[],
        conventions: None,
        scope: Scope::Exchange,
        labels,
        doc: documentation(doc),
        collect,
    }
}

/// A counter of money, in billionths of a US dollar.
pub(super) const fn money(
    name: &'static str,
    otlp: &'static str,
    labels: OwnLabels,
    doc: &'static str,
    collect: Collect,
) -> Metric {
    Metric { scale: Scale::Nanousd, ..counter(name, otlp, "{nanoUSD}", labels, doc, collect) }
}

/// A histogram by model.
pub(super) const fn histogram(
    name: &'static str,
    otlp: &'static str,
    unit: &'static str,
    labels: OwnLabels,
    doc: &'static str,
    collect: Collect,
) -> Metric {
    Metric { kind: MetricKind::Histogram, scope: Scope::Model, ..counter(name, otlp, unit, labels, doc, collect) }
}

/// A histogram of durations by model. Its samples are in nanoseconds.
pub(super) const fn duration(
    name: &'static str,
    otlp: &'static str,
    labels: OwnLabels,
    doc: &'static str,
    collect: Collect,
) -> Metric {
    Metric { scale: Scale::Nanoseconds, ..histogram(name, otlp, "us", labels, doc, collect) }
}

/// A gauge by model.
pub(super) const fn gauge(
    name: &'static str,
    otlp: &'static str,
    unit: &'static str,
    labels: OwnLabels,
    doc: &'static str,
    collect: Collect,
) -> Metric {
    Metric { kind: MetricKind::Gauge, scope: Scope::Model, ..counter(name, otlp, unit, labels, doc, collect) }
}
