//! The OTLP receiver of the demo and the tests must read what the published protobuf schema encodes.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, status};
use prost::Message;

use crate::support::client::{self, Http, Reply};
use crate::support::otlp::{Answer, Attribute, PointKind, PointTemporality, PointValue, Receiver};

const SPANS: &str = "/v1/traces";
const METRICS: &str = "/v1/metrics";
const LOGS: &str = "/v1/logs";

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}

fn resource() -> Option<Resource> {
    let attributes = vec![
        pair("service.name", Value::StringValue("gateway".into())),
        pair("service.instance.id", Value::StringValue("node-1".into())),
    ];
    Some(Resource { attributes, ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "gaugeway".into(), version: "1".into(), ..InstrumentationScope::default() })
}

async fn post(receiver: &Receiver, path: &str, message: &impl Message) -> Option<Reply> {
    send(receiver, path, message.encode_to_vec()).await
}

/// None if the connection was closed without a response.
async fn send(receiver: &Receiver, path: &str, body: Vec<u8>) -> Option<Reply> {
    let request = Request::post(path).body(Full::new(Bytes::from(body))).unwrap();
    client::send(receiver.addr, request, Http::One).await.ok()
}

#[tokio::test]
async fn every_field_of_a_span_is_decoded_as_the_schema_encodes_it() {
    let strings = vec![any(Value::StringValue("a".into())), any(Value::StringValue("b".into()))];
    let sent = Span {
        trace_id: vec![0xab; 16],
        span_id: vec![1; 8],
        parent_span_id: vec![2; 8],
        trace_state: "vendor=1".into(),
        flags: 0x101,
        name: "chat gpt-4o".into(),
        kind: span::SpanKind::Client.into(),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_250_000_000,
        attributes: vec![
            pair("text", Value::StringValue("välue".into())),
            pair("int", Value::IntValue(-7)),
            pair("double", Value::DoubleValue(0.125)),
            pair("bool", Value::BoolValue(true)),
            pair("list", Value::ArrayValue(ArrayValue { values: strings })),
            pair("mixed", Value::ArrayValue(ArrayValue { values: vec![any(Value::IntValue(1))] })),
        ],
        events: vec![span::Event { name: "event".into(), ..span::Event::default() }],
        links: vec![span::Link { trace_id: vec![3; 16], span_id: vec![4; 8], ..span::Link::default() }],
        status: Some(Status { message: "why".into(), code: status::StatusCode::Error.into() }),
        ..Span::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![pair("service.name", Value::StringValue("gateway".into()))],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans { spans: vec![sent, Span::default()], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    };
    let receiver = Receiver::start().await;
    assert_eq!(post(&receiver, SPANS, &request).await.unwrap().status, 200);

    let spans = receiver.spans();
    assert_eq!(spans.len(), 2);
    let read = &spans[0];
    assert_eq!((read.name.as_str(), read.service.as_str()), ("chat gpt-4o", "gateway"));
    assert_eq!((read.kind.as_str(), read.status.as_str()), ("CLIENT", "ERROR"));
    assert_eq!((read.trace_id.as_str(), read.span_id.as_str()), ("ab".repeat(16).as_str(), "01".repeat(8).as_str()));
    assert_eq!(read.parent_id, "02".repeat(8));
    assert_eq!((read.start, read.duration), (1_700_000_000_000_000_000, Duration::from_millis(250)));
    assert_eq!(read.links, [("03".repeat(16), "04".repeat(8))]);
    let wanted = [
        ("text", Attribute::String("välue".into())),
        ("int", Attribute::Int(-7)),
        ("double", Attribute::Double(0.125)),
        ("bool", Attribute::Bool(true)),
        ("list", Attribute::Strings(vec!["a".into(), "b".into()])),
    ];
    for (key, value) in wanted {
        assert_eq!(read.attributes[key], value, "{key}");
    }
    assert_eq!(read.attributes["mixed"].kind(), "other");
    assert_eq!((spans[1].kind.as_str(), spans[1].status.as_str()), ("UNSPECIFIED", "UNSET"));
    assert_eq!(read.events, ["event"]);
    assert_eq!(read.resource["service.name"], Attribute::String("gateway".into()));

    let cut = request.encode_to_vec()[..40].to_vec();
    assert_eq!(send(&receiver, SPANS, cut).await.unwrap().status, 400);
}

fn metrics(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..ScopeMetrics::default() }];
    let of_the_resource = ResourceMetrics { resource: resource(), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![of_the_resource] }
}

fn counter(time: u64, value: i64, model: &str) -> ExportMetricsServiceRequest {
    let data_points = vec![NumberDataPoint {
        attributes: vec![pair("model", Value::StringValue(model.into()))],
        start_time_unix_nano: 1_000,
        time_unix_nano: time,
        value: Some(number_data_point::Value::AsInt(value)),
        ..NumberDataPoint::default()
    }];
    let sum =
        Sum { data_points, aggregation_temporality: AggregationTemporality::Cumulative.into(), is_monotonic: true };
    metrics(vec![Metric { name: "calls".into(), data: Some(metric::Data::Sum(sum)), ..Metric::default() }])
}

#[tokio::test]
async fn every_field_of_a_data_point_is_decoded_as_the_schema_encodes_it() {
    let exemplar = Exemplar {
        filtered_attributes: vec![pair("id", Value::IntValue(7))],
        time_unix_nano: 1_500,
        span_id: vec![1; 8],
        trace_id: vec![2; 16],
        value: Some(exemplar::Value::AsDouble(0.75)),
    };
    let number = NumberDataPoint {
        attributes: vec![pair("port", Value::IntValue(443))],
        start_time_unix_nano: 1_000,
        time_unix_nano: 2_000,
        exemplars: vec![Exemplar { value: Some(exemplar::Value::AsInt(-3)), ..exemplar.clone() }],
        value: Some(number_data_point::Value::AsInt(-2)),
        ..NumberDataPoint::default()
    };
    let double = NumberDataPoint { value: Some(number_data_point::Value::AsDouble(0.25)), ..number.clone() };
    let buckets = HistogramDataPoint {
        attributes: vec![pair("model", Value::StringValue("gpt-4o".into()))],
        start_time_unix_nano: 1_000,
        time_unix_nano: 2_000,
        count: 3,
        sum: Some(0.0),
        bucket_counts: vec![1, 0, 2],
        explicit_bounds: vec![0.5, 1.0],
        exemplars: vec![exemplar],
        min: Some(0.0),
        ..HistogramDataPoint::default()
    };
    let describe = |name: &str, data: metric::Data| Metric {
        name: name.into(),
        description: "what it counts".into(),
        unit: "s".into(),
        data: Some(data),
        ..Metric::default()
    };
    let request = metrics(vec![
        describe(
            "a.sum",
            metric::Data::Sum(Sum {
                data_points: vec![number],
                aggregation_temporality: AggregationTemporality::Delta.into(),
                is_monotonic: true,
            }),
        ),
        describe("a.gauge", metric::Data::Gauge(Gauge { data_points: vec![double] })),
        describe(
            "a.histogram",
            metric::Data::Histogram(Histogram {
                data_points: vec![buckets, HistogramDataPoint::default()],
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            }),
        ),
    ]);
    let receiver = Receiver::start().await;
    assert_eq!(post(&receiver, METRICS, &request).await.unwrap().status, 200);

    let points = receiver.points();
    let [sum, gauge, histogram, empty] = &points[..] else { panic!("there must be four points: {points:?}") };
    for (point, name) in [(sum, "a.sum"), (gauge, "a.gauge"), (histogram, "a.histogram")] {
        let described = (point.name.as_str(), point.description.as_str(), point.unit.as_str(), point.scope.as_str());
        assert_eq!(described, (name, "what it counts", "s", "gaugeway"));
        assert_eq!((point.start, point.time, point.instance()), (1_000, 2_000, "node-1"), "{name}");
    }
    assert_eq!((sum.kind, sum.temporality, sum.monotonic), (PointKind::Sum, PointTemporality::Delta, true));
    assert_eq!((gauge.kind, gauge.temporality), (PointKind::Gauge, PointTemporality::Unspecified));
    assert_eq!((histogram.kind, histogram.temporality), (PointKind::Histogram, PointTemporality::Cumulative));
    assert_eq!((&sum.value, &gauge.value), (&PointValue::Int(-2), &PointValue::Double(0.25)));
    assert_eq!(sum.attributes["port"], Attribute::Int(443));
    assert_eq!(sum.exemplars[0].value, PointValue::Int(-3));
    let (bucket_counts, explicit_bounds) = (vec![1, 0, 2], vec![0.5, 1.0]);
    let value = PointValue::Histogram { count: 3, sum: Some(0.0), bucket_counts, explicit_bounds };
    assert_eq!(histogram.value, value);
    assert_eq!(histogram.text("model"), Some("gpt-4o"));
    let read = &histogram.exemplars[0];
    assert_eq!((&read.value, read.time), (&PointValue::Double(0.75), 1_500));
    assert_eq!((read.span_id.as_str(), read.trace_id.as_str()), ("01".repeat(8).as_str(), "02".repeat(16).as_str()));
    assert_eq!(read.filtered["id"], Attribute::Int(7));
    let (bucket_counts, explicit_bounds) = (vec![], vec![]);
    assert_eq!(empty.value, PointValue::Histogram { count: 0, sum: None, bucket_counts, explicit_bounds });
}

#[tokio::test]
async fn the_latest_points_of_a_metric_are_the_last_ones_of_each_series() {
    let receiver = Receiver::start().await;
    for (time, value, model) in [(2_000, 1, "a"), (2_000, 5, "b"), (3_000, 4, "a")] {
        assert_eq!(post(&receiver, METRICS, &counter(time, value, model)).await.unwrap().status, 200);
    }
    let latest = receiver.latest("calls");
    let latest: Vec<_> = latest.iter().map(|point| (point.text("model").unwrap(), point.value.number())).collect();
    assert_eq!(latest, [("a", 4.0), ("b", 5.0)]);
    assert_eq!(receiver.latest("other"), []);
}

#[tokio::test]
async fn every_field_of_a_log_record_is_decoded_as_the_schema_encodes_it() {
    let sent = LogRecord {
        time_unix_nano: 2_000,
        observed_time_unix_nano: 3_000,
        severity_number: SeverityNumber::Warn.into(),
        severity_text: "WARN".into(),
        body: Some(any(Value::StringValue("text".into()))),
        attributes: vec![pair("exception.type", Value::StringValue("429".into()))],
        flags: 1,
        trace_id: vec![2; 16],
        span_id: vec![1; 8],
        event_name: "gen_ai.client.inference.exception".into(),
        ..LogRecord::default()
    };
    let scope_logs =
        vec![ScopeLogs { scope: scope(), log_records: vec![sent, LogRecord::default()], ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource: resource(), scope_logs, ..ResourceLogs::default() }];
    let receiver = Receiver::start().await;
    assert_eq!(post(&receiver, LOGS, &ExportLogsServiceRequest { resource_logs }).await.unwrap().status, 200);

    let logs = receiver.logs();
    let read = &logs[0];
    assert_eq!((read.event.as_str(), read.severity, read.time), ("gen_ai.client.inference.exception", 13, 2_000));
    assert_eq!((read.span_id.as_str(), read.trace_id.as_str()), ("01".repeat(8).as_str(), "02".repeat(16).as_str()));
    assert_eq!((read.text("exception.type"), read.scope.as_str()), (Some("429"), "gaugeway"));
    assert_eq!(read.resource["service.instance.id"], Attribute::String("node-1".into()));
    assert_eq!((read.has_body, logs[1].has_body), (true, false));
}

#[tokio::test]
async fn the_receiver_gives_the_scripted_answers_in_order_and_keeps_only_what_it_accepted() {
    let receiver = Receiver::start().await;
    receiver.script(
        METRICS,
        [Answer::retry_after(503, "2"), Answer::Close, Answer::partial(300, "too old"), Answer::status(400)],
    );
    let export = async |time| post(&receiver, METRICS, &counter(time, 1, "a")).await;
    let busy = export(1).await.unwrap();
    assert_eq!((busy.status, &busy.headers["retry-after"]), (503, &"2".parse().unwrap()));
    assert!(export(2).await.is_none(), "the connection must be closed");
    let partial = ExportMetricsServiceResponse::decode(export(3).await.unwrap().body).unwrap();
    let rejected = ExportMetricsPartialSuccess { rejected_data_points: 300, error_message: "too old".into() };
    assert_eq!(partial.partial_success, Some(rejected));
    assert_eq!(export(4).await.unwrap().status, 400);
    assert_eq!(export(5).await.unwrap().status, 200);

    // The script is that of one path. The status of all others is that of `answer`.
    receiver.script(LOGS, [Answer::partial(0, "slow down")]);
    receiver.answer(500);
    assert_eq!(export(6).await.unwrap().status, 500);
    let warned = post(&receiver, LOGS, &ExportLogsServiceRequest::default()).await.unwrap();
    let warned = ExportLogsServiceResponse::decode(warned.body).unwrap();
    let warning = ExportLogsPartialSuccess { rejected_log_records: 0, error_message: "slow down".into() };
    assert_eq!(warned.partial_success, Some(warning));

    receiver.answer(200);
    receiver.down(true);
    assert!(export(7).await.is_none(), "a receiver that is down must not answer");
    receiver.down(false);
    assert_eq!(export(8).await.unwrap().status, 200);

    let times: Vec<_> = receiver.points().iter().map(|point| point.time).collect();
    assert_eq!(times, [3, 5, 8]);
    let statuses: Vec<_> = receiver.exports().iter().map(|export| (export.path.clone(), export.status)).collect();
    let to = |path: &str, status| (path.to_owned(), status);
    let metrics = [503, 0, 200, 400, 200, 500].map(|status| to(METRICS, status));
    assert_eq!(statuses, [&metrics[..], &[to(LOGS, 200), to(METRICS, 200)]].concat());
}
