//! The metrics of the host. A series is a metric whose name has the labels, see [`series_name`].

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

use super::series_name::series_name;
use super::{host, series_list};
use crate::sink::stats::{Metric, MetricKind, Registry};

/// The metrics of the host. A host without metrics defines none, so nothing is emitted to it.
pub struct HostMetrics;

impl Registry for HostMetrics {
    fn define(&mut self, metric: &Metric, labels: &[(&str, &str)]) -> Option<u32> {
        let name = series_name(metric.name, labels);
        let series = host::define_metric(metric_type(metric.kind), &name)?;
        series_list::add(metric.kind, &name);
        Some(series)
    }

    fn emit(&mut self, metric: &Metric, series: u32, sample: u64) {
        let value = metric.scale.for_envoy(sample);
        // An error means that the host does not know the series: there is nothing to count.
        let _ = match metric.kind {
            // Envoy refuses to add 0.
            MetricKind::Counter => hostcalls::increment_metric(series, i64::try_from(value).unwrap_or(i64::MAX)),
            MetricKind::Gauge | MetricKind::Histogram => hostcalls::record_metric(series, value),
        };
    }
}

/// The same kind for the host.
pub fn metric_type(kind: MetricKind) -> MetricType {
    match kind {
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Gauge => MetricType::Gauge,
        MetricKind::Histogram => MetricType::Histogram,
    }
}
