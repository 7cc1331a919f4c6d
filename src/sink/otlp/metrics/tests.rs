use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{self as proto, number_data_point};
use prost::Message;

use super::*;
use crate::observation::{Outcome, Usage};

const SECOND: u64 = 1_000_000_000;
const SPAN: SpanReference = SpanReference { trace: [1; 16], span: [2; 8] };

fn call(model: &str, tokens: u64, duration: u64) -> Observation {
    let mut seen = Observation {
        operation: "chat",
        provider: "openai".into(),
        usage: Usage { input: Some(tokens), ..Usage::default() },
        outcome: Some(Outcome::Completed),
        ..Observation::default()
    };
    seen.response.model = Some(model.into());
    seen.cost.nanousd = Some(1_500_000_000);
    seen.timing.start = SECOND;
    seen.timing.end = Some(SECOND + duration);
    seen
}

fn store(temporality: Temporality) -> (MetricStore, Config) {
    (MetricStore::new(0, temporality), Config::parse("").unwrap())
}

/// The metrics of the next export, by name.
fn exported(store: &mut MetricStore, now: u64) -> HashMap<String, proto::Metric> {
    let resource = Envelope::new(&[("service.name", "gateway"), ("service.instance.id", "node/1")]);
    let Some(request) = store.export(&resource, now, 3600 * SECOND) else { return HashMap::new() };
    let message = ExportMetricsServiceRequest::decode(&*request.body).unwrap();
    let [resource] = &message.resource_metrics[..] else { panic!("one resource") };
    let keys: Vec<_> = resource.resource.as_ref().unwrap().attributes.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(keys, ["service.name", "service.instance.id"]);
    let [scope] = &resource.scope_metrics[..] else { panic!("one scope") };
    assert_eq!(scope.scope.as_ref().unwrap().name, "gaugeway");
    let metrics: HashMap<_, _> = scope.metrics.iter().map(|metric| (metric.name.clone(), metric.clone())).collect();
    let points: usize = metrics
        .values()
        .map(|metric| match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => sum.data_points.len(),
            Data::Gauge(gauge) => gauge.data_points.len(),
            Data::Histogram(histogram) => histogram.data_points.len(),
            _ => panic!("no such kind"),
        })
        .sum();
    assert_eq!(points as u64, request.points);
    metrics
}

fn sum(metrics: &HashMap<String, proto::Metric>, name: &str) -> proto::Sum {
    let Some(Data::Sum(sum)) = metrics[name].data.clone() else { panic!("{name} is a sum") };
    sum
}

fn histogram(metrics: &HashMap<String, proto::Metric>, name: &str) -> proto::Histogram {
    let Some(Data::Histogram(histogram)) = metrics[name].data.clone() else { panic!("{name} is a histogram") };
    histogram
}

fn input_tokens(metrics: &HashMap<String, proto::Metric>) -> Vec<(Option<number_data_point::Value>, u64, u64)> {
    let points = sum(metrics, "gen_ai.client.inference.usage.input_tokens").data_points;
    points.into_iter().map(|point| (point.value, point.start_time_unix_nano, point.time_unix_nano)).collect()
}

#[test]
fn a_counter_of_tokens_is_a_monotonic_cumulative_sum_of_whole_numbers() {
    let (mut store, config) = store(Temporality::Cumulative);
    store.record(&call("gpt-4o", 7, SECOND), &config, 2 * SECOND, None);
    store.record(&call("gpt-4o", 5, SECOND), &config, 3 * SECOND, None);
    let metrics = exported(&mut store, 9 * SECOND);
    let sum = sum(&metrics, "gen_ai.client.inference.usage.input_tokens");
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality, 2);
    assert_eq!(metrics["gen_ai.client.inference.usage.input_tokens"].unit, "{token}");
    assert_eq!(input_tokens(&metrics), [(Some(number_data_point::Value::AsInt(12)), 2 * SECOND, 9 * SECOND)]);
    let attributes: HashMap<_, _> = sum.data_points[0]
        .attributes
        .iter()
        .map(|pair| (pair.key.as_str(), pair.value.clone().unwrap().value.unwrap()))
        .collect();
    for (key, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.response.model", "gpt-4o"),
        ("gen_ai.token.modality", "unknown"),
    ] {
        assert_eq!(attributes.get(key), Some(&Value::StringValue(value.to_owned())), "{key}");
    }
}

#[test]
fn cost_is_a_number_of_dollars() {
    let (mut store, config) = store(Temporality::Cumulative);
    store.record(&call("gpt-4o", 7, SECOND), &config, 2 * SECOND, None);
    let metrics = exported(&mut store, 9 * SECOND);
    assert_eq!(metrics["gaugeway.cost.usd"].unit, "{USD}");
    assert_eq!(sum(&metrics, "gaugeway.cost.usd").data_points[0].value, Some(number_data_point::Value::AsDouble(1.5)));
}

#[test]
fn durations_are_a_histogram_in_seconds_with_exact_sum_and_an_exemplar_for_each_bucket() {
    let (mut store, config) = store(Temporality::Cumulative);
    for (at, duration) in [10_000_000, 10_000_001, 12_000_000, 700 * SECOND].into_iter().enumerate() {
        let span = SpanReference { span: [at as u8 + 1; 8], ..SPAN };
        store.record(&call("gpt-4o", 1, duration), &config, 2 * SECOND, Some(span));
    }
    let metrics = exported(&mut store, 9 * SECOND);
    assert_eq!(metrics["gen_ai.client.inference.duration"].unit, "s");
    let point = &histogram(&metrics, "gen_ai.client.inference.duration").data_points[0];
    assert_eq!((point.count, point.sum), (4, Some(700.032_000_001)));
    assert_eq!(point.explicit_bounds[..3], [0.01, 0.02, 0.04]);
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert_eq!((point.bucket_counts[..2].to_vec(), point.bucket_counts.last()), (vec![1, 2], Some(&1)));
    let exemplars: Vec<_> = point
        .exemplars
        .iter()
        .map(|exemplar| (exemplar.value, exemplar.span_id.clone(), exemplar.trace_id.len(), exemplar.time_unix_nano))
        .collect();
    let double = |value| Some(proto::exemplar::Value::AsDouble(value));
    assert_eq!(
        exemplars,
        [
            (double(0.01), vec![1; 8], 16, 2 * SECOND),
            (double(0.012), vec![3; 8], 16, 2 * SECOND),
            (double(700.0), vec![4; 8], 16, 2 * SECOND)
        ]
    );
    // An exemplar is sent once.
    let again = exported(&mut store, 19 * SECOND);
    assert!(histogram(&again, "gen_ai.client.inference.duration").data_points[0].exemplars.is_empty());
}

#[test]
fn a_cumulative_value_keeps_its_start_and_a_delta_starts_at_the_export_before() {
    for (temporality, expected) in [
        (Temporality::Cumulative, [(12, 2 * SECOND), (15, 2 * SECOND)]),
        (Temporality::Delta, [(12, 2 * SECOND), (3, 9 * SECOND)]),
    ] {
        let (mut store, config) = store(temporality);
        store.record(&call("gpt-4o", 12, SECOND), &config, 2 * SECOND, None);
        let first = input_tokens(&exported(&mut store, 9 * SECOND));
        store.record(&call("gpt-4o", 3, SECOND), &config, 10 * SECOND, None);
        let second = input_tokens(&exported(&mut store, 19 * SECOND));
        let seen = [first[0], second[0]].map(|(value, start, _)| (value, start));
        assert_eq!(seen, expected.map(|(value, start)| (Some(number_data_point::Value::AsInt(value)), start)));
        // Without a sample, a delta has no point.
        assert_eq!(exported(&mut store, 29 * SECOND).is_empty(), temporality == Temporality::Delta);
    }
}

#[test]
fn an_idle_series_is_forgotten_and_starts_again_from_zero() {
    let (mut store, config) = store(Temporality::Cumulative);
    store.record(&call("gpt-4o", 12, SECOND), &config, 2 * SECOND, None);
    store.record(&call("gpt-4o-mini", 5, SECOND), &config, 3000 * SECOND, None);
    let models = |store: &mut MetricStore, now| input_tokens(&exported(store, now)).len();
    assert_eq!(models(&mut store, 3001 * SECOND), 2);
    assert_eq!(models(&mut store, 3603 * SECOND), 1);
    store.record(&call("gpt-4o", 4, SECOND), &config, 3700 * SECOND, None);
    let points = input_tokens(&exported(&mut store, 3701 * SECOND));
    assert!(points.contains(&(Some(number_data_point::Value::AsInt(4)), 3700 * SECOND, 3701 * SECOND)), "{points:?}");
    assert!(points.contains(&(Some(number_data_point::Value::AsInt(5)), 3000 * SECOND, 3701 * SECOND)), "{points:?}");
}

#[test]
fn forgotten_series_leave_room_for_new_ones() {
    let config = Config::parse(r#"{"labels": {"max_series": 100}}"#).unwrap();
    let mut store = MetricStore::new(0, Temporality::Cumulative);
    for period in 0..5 {
        let now = (1 + period * 10_000) * SECOND;
        for model in 0..200 {
            store.record(&call(&format!("model-{period}-{model}"), 1, SECOND), &config, now, None);
        }
        exported(&mut store, now);
        let named = input_tokens(&exported(&mut store, now + SECOND)).len();
        assert!((2..200).contains(&named), "period {period} has {named} series");
        exported(&mut store, now + 4000 * SECOND);
        assert_eq!(store.series(), 0);
    }
}

#[test]
fn an_export_of_many_series_is_cut_into_requests_that_have_each_series_once() {
    let config = Config::parse(r#"{"labels": {"max_series": 1000000}}"#).unwrap();
    let mut store = MetricStore::new(0, Temporality::Cumulative);
    for model in 0..1500 {
        store.record(&call(&format!("model-{model}"), 1, SECOND), &config, SECOND, None);
    }
    let resource = Envelope::new(&[]);
    let (mut points, mut requests) = (0, 0);
    while let Some(request) = store.export(&resource, 2 * SECOND, 3600 * SECOND) {
        assert!(request.points <= SERIES as u64 && request.body.len() < 1 << 20);
        points += request.points as usize;
        requests += 1;
        if !request.has_more {
            break;
        }
    }
    assert_eq!((points, requests), (store.series(), store.series().div_ceil(SERIES)));
    assert!(requests > 2);
}

#[test]
fn the_names_in_otlp_and_in_envoys_statistics_are_the_same_but_for_the_unit() {
    for metric in METRICS.iter().chain(PLUGIN_METRICS) {
        let mut name = metric.otlp.replace('.', "_");
        match (metric.unit, metric.kind) {
            ("us", _) => name.push_str("_microseconds"),
            ("{nanoUSD}", _) => name = name.replace("_usd", "_nanousd"),
            ("[ppth]", _) => name.push_str("_permille"),
            ("s", _) => name.push_str("_seconds"),
            _ => {}
        }
        if metric.kind == crate::sink::stats::MetricKind::Counter {
            name.push_str("_total");
        }
        assert_eq!(metric.name, name);
    }
}
