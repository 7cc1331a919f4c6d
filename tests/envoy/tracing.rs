//! Trace context from the client through Envoy to the provider: the client's trace is continued, and the span has the
//! attribute names that tracing backends read.

use std::time::Duration;

use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::otlp::{Attribute, Receiver};
use crate::support::upstream::{Received, Upstream};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(10);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_traceparent_is_continued_in_the_span_and_to_the_provider() {
    let fixture = Fixture::load("openai-chat/unary");
    let upstream = Upstream::start(vec![fixture.clone()]).await;
    let spans = Receiver::start().await;
    let envoy = Envoy::start(&Options { otlp: Some(spans.addr), ..Options::to(upstream.addr) }).await;
    let id = client::request_id();
    let parent = format!("00-{TRACE}-{SPAN}-01");
    client::replay(envoy.addr, &fixture, &[("x-request-id", &id), ("traceparent", &parent), ("tracestate", "a=b")])
        .await;

    let span = spans.wait_for_request(&id, PATIENCE).await.expect("no span for the request");
    assert_eq!((span.trace_id.as_str(), span.parent_id.as_str()), (TRACE, SPAN), "{span:?}");
    assert_eq!(span.text("gen_ai.request.model"), Some("gpt-4o"), "{span:?}");
    let received = upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
    assert_eq!(
        header(&received, "traceparent"),
        format!("00-{TRACE}-{}-01", span.span_id),
        "Envoy's span must be the parent"
    );
    assert_eq!(header(&received, "tracestate"), "a=b");
    let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
    assert_eq!(entry["trace_id"], TRACE, "{entry}");

    // A client's decision not to sample is respected.
    let id = client::request_id();
    let parent = format!("00-{TRACE}-{SPAN}-00");
    client::replay(envoy.addr, &fixture, &[("x-request-id", &id), ("traceparent", &parent)]).await;
    let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
    assert_eq!(
        entry["gen_ai.request.model"], "gpt-4o",
        "the access log must have the call although it is not sampled: {entry}"
    );
    let after = client::request_id();
    client::replay(envoy.addr, &fixture, &[("x-request-id", &after)]).await;
    spans.wait_for_request(&after, PATIENCE).await.expect("no span for the next request");
    assert!(spans.spans().iter().all(|span| span.text("guid:x-request-id") != Some(&id)), "{:?}", spans.spans());
}

/// The configuration of the manual: Envoy's OpenTelemetry tracer does not read B3, its Zipkin tracer reads B3 and
/// traceparent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_zipkin_tracer_of_the_manual_continues_b3_and_traceparent() {
    let (_, zipkin) = include_str!("../../envoy/README.md")
        .split_once("```yaml\nprovider:\n")
        .expect("envoy/README.md has no YAML example of a tracing provider");
    let zipkin: String =
        zipkin.lines().take_while(|line| *line != "```").map(|line| format!("            {line}\n")).collect();
    let yaml = Options::to("127.0.0.1:9".parse().unwrap()).yaml().unwrap();
    let start = yaml.find("            provider:\n").unwrap() + "            provider:\n".len();
    let end = yaml.find("            custom_tags:\n").unwrap();
    let fixture = Fixture::load("openai-chat/unary");
    let upstream = Upstream::start(vec![fixture.clone()]).await;
    let options = Options { replace: vec![(yaml[start..end].to_owned(), zipkin)], ..Options::to(upstream.addr) };
    let envoy = Envoy::start(&options).await;

    let single = format!("{TRACE}-{SPAN}-1");
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let several = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")];
    for headers in [&[("b3", single.as_str())][..], &several, &[("traceparent", &parent)]] {
        let id = client::request_id();
        let headers = [&[("x-request-id", id.as_str())], headers].concat();
        client::replay(envoy.addr, &fixture, &headers).await;
        let received = upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
        // The trace continues in the format it arrived in, or in B3, with Envoy's span as the parent.
        let b3 = header(&received, "b3");
        let (trace, sampled, under) = match b3.split('-').collect::<Vec<_>>()[..] {
            [trace, _, sampled, under] => (trace, sampled, under),
            _ => {
                let of = |name| header(&received, name);
                (of("x-b3-traceid"), of("x-b3-sampled"), of("x-b3-parentspanid"))
            }
        };
        assert_eq!((trace, sampled, under), (TRACE, "1", SPAN), "{headers:?}: {received:?}");
        let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
        assert_eq!((&entry["trace_id"], &entry["gaugeway.outcome"]), (&TRACE.into(), &"completed".into()), "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cache_write_tokens_have_the_attribute_name_that_the_backend_reads() {
    let fixtures = Fixture::all();
    let written = "gen_ai.usage.cache_creation.input_tokens";
    let some =
        |fixture: &&Fixture| fixture.observation.get(written).and_then(|count| count.as_i64()).is_some_and(|n| n > 0);
    let fixture = fixtures.iter().find(some).expect("no fixture has tokens written to a cache").clone();
    let count = fixture.observation[written].as_i64().unwrap();
    let upstream = Upstream::start(fixtures).await;
    let spans = Receiver::start().await;
    for (choice, creation, write) in [
        (None, true, true),
        (Some("cache_creation"), true, false),
        (Some("cache_write"), false, true),
        (Some("both"), true, true),
    ] {
        let config = choice.map_or(json!({}), |choice| json!({"compat": {"cache_attribute": choice}}));
        let options = Options { otlp: Some(spans.addr), config, ..Options::to(upstream.addr) };
        let envoy = Envoy::start(&options).await;
        let id = client::request_id();
        client::replay(envoy.addr, &fixture, &[("x-request-id", &id)]).await;
        let span = spans.wait_for_request(&id, PATIENCE).await.expect("no span for the request");
        for (name, there) in [(written, creation), ("gen_ai.usage.cache_write.input_tokens", write)] {
            assert_eq!(span.attributes.get(name), there.then_some(&Attribute::Int(count)), "{choice:?}: {name}");
        }
    }
}

fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    received.headers.get(name).map_or("(none)", |value| value.to_str().unwrap())
}
