//! What a metric is, and the interface to the host's metrics.

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
    /// Its name in Prometheus.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Unit in the notation of UCUM, as OpenTelemetry uses it. Documentation only.
    pub unit: &'static str,
    /// Which common labels it has, if it is a metric of exchanges. It then also has those of `labels.headers`.
    pub scope: Scope,
    /// Its own labels.
    pub labels: &'static [&'static Label],
    /// What it counts. Documentation only.
    pub doc: &'static str,
    /// Passes on the samples of an exchange that has ended.
    pub collect: Collect,
}

impl Metric {
    /// The same with other common labels.
    pub(super) const fn by(self, scope: Scope) -> Self {
        Metric { scope, ..self }
    }
}

/// Passes on the samples of one metric for an exchange that has ended.
pub type Collect = fn(&Observation, Samples<'_>);

/// Takes samples: the values of the metric's own labels, in the order of its row, and the value to add or record.
pub type Samples<'a> = &'a mut dyn FnMut(&[&str], u64);

/// The metrics of the host.
pub trait Registry {
    /// Creates a series, or finds it, by the name of its metric and its labels. No label is empty, is longer than
    /// [`LABEL_LIMIT`](super::LABEL_LIMIT) or has control characters. Returns None if the host has no metrics.
    fn define(&mut self, kind: MetricKind, name: &str, labels: &[(&str, &str)]) -> Option<u32>;
    /// Adds to a counter, sets a gauge or records in a histogram.
    fn emit(&mut self, kind: MetricKind, series: u32, value: u64);
}

pub(super) type OwnLabels = &'static [&'static Label];

/// A counter with all common labels.
pub(super) const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: OwnLabels,
    doc: &'static str,
    collect: Collect,
) -> Metric {
    let (unit, doc) = (documentation(unit), documentation(doc));
    Metric { name, kind: MetricKind::Counter, unit, scope: Scope::Exchange, labels, doc, collect }
}

/// A histogram by model.
pub(super) const fn histogram(
    name: &'static str,
    unit: &'static str,
    labels: OwnLabels,
    doc: &'static str,
    collect: Collect,
) -> Metric {
    Metric { kind: MetricKind::Histogram, scope: Scope::Model, ..counter(name, unit, labels, doc, collect) }
}

/// A gauge by model.
pub(super) const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: OwnLabels,
    doc: &'static str,
    collect: Collect,
) -> Metric {
    Metric { kind: MetricKind::Gauge, scope: Scope::Model, ..counter(name, unit, labels, doc, collect) }
}
