//! The host as the registry of metrics.

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

use super::host;
use crate::sink::stats::{Kind, Registry};

/// The metrics of the host. A host without metrics defines none, so nothing is emitted to it.
pub struct HostMetrics;

impl Registry for HostMetrics {
    fn define(&mut self, kind: Kind, name: &str) -> Option<u32> {
        let kind = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        host::define_metric(kind, name)
    }

    fn emit(&mut self, kind: Kind, series: u32, value: u64) {
        match kind {
            Kind::Counter => increment(series, value),
            Kind::Gauge | Kind::Histogram => record(series, value),
        }
    }
}

/// Adds to a counter. Envoy refuses 0.
pub fn increment(counter: u32, by: u64) {
    // An error means that the host does not know the counter: there is nothing to count.
    let _ = hostcalls::increment_metric(counter, i64::try_from(by).unwrap_or(i64::MAX));
}

/// Sets a gauge, or records a value in a histogram.
pub fn record(metric: u32, value: u64) {
    // As above.
    let _ = hostcalls::record_metric(metric, value);
}
