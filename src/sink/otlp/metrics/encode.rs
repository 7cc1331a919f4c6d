//! Encodes a metric with its series.

use super::series::{Distribution, Series, SeriesValue};
use crate::config::Temporality;
use crate::sink::otlp::wire::{bytes, fixed, message, number, varint};
use crate::sink::stats::{Metric, MetricKind};

/// Values of `AggregationTemporality`.
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

/// Appends a field `metrics` with these series. Returns the number of data points. With delta temporality a new period begins for each
/// of them.
pub fn metric(out: &mut Vec<u8>, metric: &Metric, series: &mut [Series], temporality: Temporality, now: u64) -> u64 {
    let is_delta = temporality == Temporality::Delta && metric.kind != MetricKind::Gauge;
    let before = out.len();
    let mut points = 0;
    message(out, 2, |out| {
        bytes(out, 1, metric.otlp.as_bytes());
        bytes(out, 3, metric.otlp_unit().as_bytes());
        message(out, data_field(metric.kind), |data| {
            for series in series.iter_mut().filter(|series| series.has_samples || !is_delta) {
                message(data, 1, |point| data_point(point, metric, series, now));
                points += 1;
                if is_delta {
                    series.restart(now);
                }
            }
            if metric.kind != MetricKind::Gauge {
                number(data, 2, if is_delta { DELTA } else { CUMULATIVE });
            }
            if metric.kind == MetricKind::Counter {
                // It is monotonic.
                number(data, 3, 1);
            }
        });
    });
    if points == 0 {
        out.truncate(before);
    }
    points
}

/// The number of the field of `Metric` that has the data points.
const fn data_field(kind: MetricKind) -> u64 {
    match kind {
        MetricKind::Gauge => 5,
        MetricKind::Counter => 7,
        MetricKind::Histogram => 9,
    }
}

/// The number of the field `attributes` of a data point.
pub const fn attributes_field(kind: MetricKind) -> u64 {
    match kind {
        MetricKind::Gauge | MetricKind::Counter => 7,
        MetricKind::Histogram => 9,
    }
}

/// Appends the fields of a `NumberDataPoint` or a `HistogramDataPoint`.
fn data_point(out: &mut Vec<u8>, metric: &Metric, series: &mut Series, now: u64) {
    if metric.kind != MetricKind::Gauge {
        fixed(out, 2, series.start);
    }
    fixed(out, 3, now);
    match &mut series.value {
        SeriesValue::Number(value) => match metric.scale.divisor() {
            Some(divisor) => fixed(out, 4, (*value as f64 / divisor).to_bits()),
            None => fixed(out, 6, *value),
        },
        SeriesValue::Distribution(distribution) => distribution_fields(out, metric, distribution),
    }
    out.extend_from_slice(&series.attributes);
}

fn distribution_fields(out: &mut Vec<u8>, metric: &Metric, distribution: &mut Distribution) {
    let divisor = metric.scale.divisor().unwrap_or(1.0);
    let bits = |value: u64| (value as f64 / divisor).to_bits();
    fixed(out, 4, distribution.count);
    fixed(out, 5, bits(distribution.sum));
    packed(out, 6, distribution.buckets.iter().copied());
    packed(out, 7, metric.bounds.iter().map(|bound| bits(*bound)));
    for exemplar in distribution.exemplars.drain(..) {
        message(out, 8, |out| {
            fixed(out, 2, exemplar.time);
            fixed(out, 3, bits(exemplar.sample));
            bytes(out, 4, &exemplar.span.span);
            bytes(out, 5, &exemplar.span.trace);
        });
    }
}

/// Appends a packed field of values of eight bytes.
fn packed(out: &mut Vec<u8>, field: u64, values: impl ExactSizeIterator<Item = u64>) {
    varint(out, field << 3 | 2);
    varint(out, values.len() as u64 * 8);
    values.for_each(|value| out.extend(value.to_le_bytes()));
}
