//! One trace from the client through Envoy to the provider: what a client says of its trace is honoured, and the names that
//! backends read are in the span.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::json;
use support::client;
use support::envoy::{Envoy, Options};
use support::fixtures::Fixture;
use support::otlp::{Attribute, Receiver};
use support::upstream::{Received, Upstream};

const PATIENCE: Duration = Duration::from_secs(10);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_traceparent_is_continued_to_the_span_and_to_the_provider() {
    let fixture = Fixture::load("openai-chat/unary");
    let upstream = Upstream::start(vec![fixture.clone()]).await;
    let spans = Receiver::start().await;
    let envoy = Envoy::start(&Options { otlp: Some(spans.addr), ..Options::to(upstream.addr) }).await;
    let id = client::request_id();
    let parent = format!("00-{TRACE}-{SPAN}-01");
    client::replay(envoy.addr, &fixture, &[("x-request-id", &id), ("traceparent", &parent), ("tracestate", "a=b")])
        .await;

    let span = spans.wait_for_request(&id, PATIENCE).await.expect("a span");
    assert_eq!((span.trace_id.as_str(), span.parent_id.as_str()), (TRACE, SPAN), "{span:?}");
    assert_eq!(span.text("gen_ai.request.model"), Some("gpt-4o"), "{span:?}");
    let received = upstream.take_request(&id, PATIENCE).await.expect("the request reaches the upstream");
    assert_eq!(header(&received, "traceparent"), format!("00-{TRACE}-{}-01", span.span_id), "the span is the parent");
    assert_eq!(header(&received, "tracestate"), "a=b");
    let entry = envoy.entry(&id, PATIENCE).await.expect("a line in the access log");
    assert_eq!(entry["trace_id"], TRACE, "{entry}");

    // A client that says not to record is obeyed.
    let id = client::request_id();
    let parent = format!("00-{TRACE}-{SPAN}-00");
    client::replay(envoy.addr, &fixture, &[("x-request-id", &id), ("traceparent", &parent)]).await;
    let entry = envoy.entry(&id, PATIENCE).await.expect("a line in the access log");
    assert_eq!(entry["gen_ai.request.model"], "gpt-4o", "it is logged all the same: {entry}");
    let after = client::request_id();
    client::replay(envoy.addr, &fixture, &[("x-request-id", &after)]).await;
    spans.wait_for_request(&after, PATIENCE).await.expect("the next one's span");
    assert!(spans.spans().iter().all(|span| span.text("guid:x-request-id") != Some(&id)), "{:?}", spans.spans());
}

/// Envoy's tracer for OpenTelemetry reads only `traceparent`; the one for Zipkin reads and writes B3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_envoys_zipkin_tracer_b3_is_continued_to_the_provider() {
    let fixture = Fixture::load("openai-chat/unary");
    let upstream = Upstream::start(vec![fixture.clone()]).await;
    let otel = "              name: envoy.tracers.opentelemetry
              typed_config:
                \"@type\": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                service_name: llm-gateway
                http_service:
                  http_uri: {uri: \"http://127.0.0.1:4318/v1/traces\", cluster: otlp, timeout: 10s}
";
    let zipkin = "              name: envoy.tracers.zipkin
              typed_config:
                \"@type\": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig
                collector_cluster: otlp
                collector_endpoint: /api/v2/spans
                collector_endpoint_version: HTTP_JSON
                trace_id_128bit: true
";
    let replace = vec![(otel.to_owned(), zipkin.to_owned())];
    let envoy = Envoy::start(&Options { replace, ..Options::to(upstream.addr) }).await;
    let single = format!("{TRACE}-{SPAN}-1");
    let several = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")];
    for headers in [&[("b3", single.as_str())][..], &several] {
        let id = client::request_id();
        let headers = [&[("x-request-id", id.as_str())], headers].concat();
        client::replay(envoy.addr, &fixture, &headers).await;
        let received = upstream.take_request(&id, PATIENCE).await.expect("the request reaches the upstream");
        // It goes on in the form it came in, under the span that Envoy made.
        let b3 = header(&received, "b3");
        let (trace, sampled) = match b3.split('-').collect::<Vec<_>>()[..] {
            [trace, _, sampled, parent] if parent == SPAN => (trace, sampled),
            _ => (header(&received, "x-b3-traceid"), header(&received, "x-b3-sampled")),
        };
        assert_eq!((trace, sampled), (TRACE, "1"), "{received:?}");
        let entry = envoy.entry(&id, PATIENCE).await.expect("a line in the access log");
        assert_eq!((&entry["trace_id"], &entry["gaugeway.outcome"]), (&TRACE.into(), &"completed".into()), "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_written_to_a_cache_go_by_the_name_a_backend_knows() {
    let fixtures = Fixture::all();
    let written = "gen_ai.usage.cache_creation.input_tokens";
    let some =
        |fixture: &&Fixture| fixture.observation.get(written).and_then(|count| count.as_i64()).is_some_and(|n| n > 0);
    let fixture = fixtures.iter().find(some).expect("a fixture whose tokens are written to a cache").clone();
    let count = fixture.observation[written].as_i64().unwrap();
    let upstream = Upstream::start(fixtures).await;
    let spans = Receiver::start().await;
    for (choice, creation, write) in [
        (None, true, false),
        (Some("cache_creation"), true, false),
        (Some("cache_write"), false, true),
        (Some("both"), true, true),
    ] {
        let config = choice.map_or(json!({}), |choice| json!({"compat": {"cache_attribute": choice}}));
        let options = Options { otlp: Some(spans.addr), config, ..Options::to(upstream.addr) };
        let envoy = Envoy::start(&options).await;
        let id = client::request_id();
        client::replay(envoy.addr, &fixture, &[("x-request-id", &id)]).await;
        let span = spans.wait_for_request(&id, PATIENCE).await.expect("a span");
        for (name, there) in [(written, creation), ("gen_ai.usage.cache_write.input_tokens", write)] {
            assert_eq!(span.attributes.get(name), there.then_some(&Attribute::Int(count)), "{choice:?}: {name}");
        }
    }
}

fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    received.headers.get(name).map_or("(none)", |value| value.to_str().unwrap())
}
