//! The OTLP receiver of the demo and the tests must read what the published protobuf schema encodes.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, status};
use prost::Message;

use crate::support::client::{self, Http};
use crate::support::otlp::{Attribute, Receiver};

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
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
    let post = |body: Vec<u8>| Request::post("/v1/traces").body(Full::new(Bytes::from(body))).unwrap();
    let reply = client::send(receiver.addr, post(request.encode_to_vec()), Http::One).await.unwrap();
    assert_eq!(reply.status, 200);

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

    let cut = &request.encode_to_vec()[..40];
    assert_eq!(client::send(receiver.addr, post(cut.to_vec()), Http::One).await.unwrap().status, 400);
}
