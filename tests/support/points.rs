//! Data points as a collector got them, compared with the table of metrics and with the series that [`expect`](super::expect)
//! describes.

use std::collections::BTreeMap;

use gaugeway::config::Conventions;
use gaugeway::labels::LABELS;
use gaugeway::sink::stats::{GAP_METRICS, METRICS, Metric, MetricKind, PLUGIN_METRICS, RPC_METRICS};

use super::otlp::{Attribute, Exemplar, Point, PointKind, PointTemporality, PointValue, Receiver, Span};
use super::prometheus::Sample;

/// The last value of each series of exchanges, as Prometheus would show it if the values came from Envoy's statistics. Each instance
/// of the service has samples of its own.
pub fn samples(receiver: &Receiver) -> Vec<Sample> {
    let metrics = METRICS.iter().filter(|metric| metric.is_in(Conventions::V0_1));
    let latest = metrics.flat_map(|metric| receiver.latest(metric.otlp).into_iter().map(move |point| (metric, point)));
    latest.map(|(metric, point)| sample(metric, &point)).collect()
}

fn sample(metric: &Metric, point: &Point) -> Sample {
    let name =
        |key: &str| LABELS.iter().find(|label| label.attribute == key).map_or(key, |label| label.name).to_owned();
    let labels = point.attributes.iter().map(|(key, value)| (name(key), value.to_string())).collect();
    match &point.value {
        PointValue::Histogram { count, .. } => {
            Sample { name: format!("{}_count", metric.name), labels, value: *count as f64 }
        }
        value => {
            let value = (value.number() * metric.scale.divisor().unwrap_or(1.0)).round();
            Sample { name: metric.name.to_owned(), labels, value }
        }
    }
}

/// Lists the points that are not as the table of metrics says, with cumulative temporality.
pub fn faults(points: &[Point]) -> Vec<String> {
    points.iter().filter_map(|point| Some(format!("{}: {} in {point:?}", point.name, fault(point)?))).collect()
}

fn fault(point: &Point) -> Option<&'static str> {
    let all = METRICS.iter().chain(GAP_METRICS).chain(RPC_METRICS).chain(PLUGIN_METRICS);
    let Some(row) = all.into_iter().find(|row| row.otlp == point.name && row.is_in(Conventions::V0_1)) else {
        return Some("no such metric");
    };
    let (kind, temporality, monotonic) = match row.kind {
        MetricKind::Counter => (PointKind::Sum, PointTemporality::Cumulative, true),
        MetricKind::Histogram => (PointKind::Histogram, PointTemporality::Cumulative, false),
        MetricKind::Gauge => (PointKind::Gauge, PointTemporality::Unspecified, false),
    };
    let is_whole = row.scale.divisor().is_none();
    let fits = match &point.value {
        PointValue::Int(_) => is_whole,
        PointValue::Double(_) => !is_whole,
        PointValue::Histogram { count, sum, bucket_counts, explicit_bounds } => {
            let bounds = row.bounds.iter().map(|bound| *bound as f64 / row.scale.divisor().unwrap_or(1.0));
            sum.is_some() && bucket_counts.iter().sum::<u64>() == *count && bounds.eq(explicit_bounds.iter().copied())
        }
        PointValue::None => false,
    };
    let known = |key: &String| LABELS.iter().any(|label| label.attribute == *key);
    match () {
        () if (point.kind, point.temporality, point.monotonic) != (kind, temporality, monotonic) => {
            Some("another kind")
        }
        () if point.unit != row.otlp_unit() => Some("another unit"),
        () if !fits => Some("a value of another form"),
        () if point.time < point.start || point.start == 0 && kind != PointKind::Gauge => Some("no period"),
        () if point.instance().is_empty() => Some("no instance"),
        () if !point.attributes.keys().all(known) => Some("an unknown attribute"),
        () => None,
    }
}

/// Lists the exemplars without a span, without a bucket that counts them, or with a value that is not that of the span. Also returns
/// the number of exemplars.
pub fn exemplar_faults(points: &[Point], spans: &[Span]) -> (usize, Vec<String>) {
    let spans: BTreeMap<_, _> = spans.iter().map(|span| ((&span.trace_id, &span.span_id), span)).collect();
    let (mut count, mut faults) = (0, Vec::new());
    for (point, exemplar) in points.iter().flat_map(|point| point.exemplars.iter().map(move |one| (point, one))) {
        count += 1;
        let why = match spans.get(&(&exemplar.trace_id, &exemplar.span_id)) {
            None => Some("there is no span for"),
            Some(_) if !is_in_a_bucket(point, exemplar) => Some("no bucket counts"),
            Some(span) => {
                let value = exemplar.value.number();
                let differs = of_the_span(&point.name, span).is_some_and(|own| (own - value).abs() > 1e-9);
                differs.then_some("the span has another value than")
            }
        };
        faults.extend(why.map(|why| format!("{}: {why} {exemplar:?}", point.name)));
    }
    (count, faults)
}

fn is_in_a_bucket(point: &Point, exemplar: &Exemplar) -> bool {
    let PointValue::Histogram { bucket_counts, explicit_bounds, .. } = &point.value else { return false };
    // An upper bound belongs to its bucket.
    let at = explicit_bounds.partition_point(|bound| *bound < exemplar.value.number());
    bucket_counts.get(at).is_some_and(|count| *count > 0)
}

/// The value of a histogram's sample in the span of its call, if the span has it.
fn of_the_span(metric: &str, span: &Span) -> Option<f64> {
    let key = match metric {
        "gen_ai.client.inference.duration"
        | "gen_ai.client.embeddings.duration"
        | "gen_ai.client.operation.duration" => {
            return Some(span.duration.as_secs_f64());
        }
        "gen_ai.client.inference.time_to_first_chunk" => "gen_ai.response.time_to_first_chunk",
        "gen_ai.server.time_to_first_token" => "gaugeway.time_to_first_token",
        "gen_ai.client.inference.operation.input_tokens" | "gen_ai.client.embeddings.operation.input_tokens" => {
            "gen_ai.usage.input_tokens"
        }
        "gen_ai.client.inference.operation.output_tokens" => "gen_ai.usage.output_tokens",
        "gaugeway.response.characters" => "gaugeway.response.characters",
        _ => return None,
    };
    match span.attributes.get(key) {
        Some(Attribute::Int(number)) => Some(*number as f64),
        Some(Attribute::Double(number)) => Some(*number),
        _ => None,
    }
}
