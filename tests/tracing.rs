//! A call stays in its trace: what the client says of it goes on to the provider, and the span hangs below it.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::client;
use support::envoy::{Envoy, Options};
use support::fixtures::Fixture;
use support::otlp::Receiver;
use support::upstream::Upstream;

const PATIENCE: Duration = Duration::from_secs(20);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_traceparent_is_continued_and_its_sampling_decision_kept() {
    let (upstream, receiver) = (Upstream::start(Fixture::all()).await, Receiver::start().await);
    let envoy = Envoy::start(&Options { otlp: Some(receiver.addr), ..Options::to(upstream.addr) }).await;
    let fixture = Fixture::load("openai-chat/stream-include-usage");
    for (flags, sampled) in [("00", false), ("01", true)] {
        let (id, parent) = (client::request_id(), format!("00-{TRACE}-{PARENT}-{flags}"));
        client::replay(envoy.addr, &fixture, &[("x-request-id", &id), ("traceparent", &parent)]).await;
        let received = upstream.take_request(&id, PATIENCE).await.expect("the call arrives");
        let onward = received.headers["traceparent"].to_str().unwrap();
        assert!(onward.starts_with(&format!("00-{TRACE}-")) && onward.ends_with(flags), "{onward}");
        if sampled {
            let span = receiver.wait_for_request(&id, PATIENCE).await.expect("a span");
            assert_eq!((span.trace_id.as_str(), span.parent_id.as_str()), (TRACE, PARENT));
            assert!(onward.contains(&span.span_id), "{onward} does not name the span {}", span.span_id);
        }
    }
    assert_eq!(receiver.spans().len(), 1, "a call that is not sampled has no span");
}

/// As the manual says it: Envoy's OpenTelemetry tracer does not know B3, its Zipkin tracer knows both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_is_continued_with_the_tracer_that_the_manual_names() {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/README.md")).unwrap();
    let (_, zipkin) = manual.split_once("```yaml\nprovider:\n").expect("the manual shows a provider");
    let zipkin: String =
        zipkin.lines().take_while(|line| *line != "```").map(|line| format!("            {line}\n")).collect();
    let yaml = Options::to("127.0.0.1:9".parse().unwrap()).yaml().unwrap();
    let start = yaml.find("            provider:\n").unwrap() + "            provider:\n".len();
    let end = yaml.find("            custom_tags:\n").unwrap();
    let upstream = Upstream::start(Fixture::all()).await;
    let options = Options { replace: vec![(yaml[start..end].to_owned(), zipkin)], ..Options::to(upstream.addr) };
    let envoy = Envoy::start(&options).await;
    let fixture = Fixture::load("openai-chat/stream-include-usage");

    let id = client::request_id();
    let b3 = [("x-b3-traceid", TRACE), ("x-b3-spanid", PARENT), ("x-b3-sampled", "1"), ("x-request-id", &id)];
    client::replay(envoy.addr, &fixture, &b3).await;
    let received = upstream.take_request(&id, PATIENCE).await.expect("the call arrives");
    assert_eq!(received.headers["x-b3-traceid"], TRACE);
    assert_eq!(received.headers["x-b3-parentspanid"], PARENT);

    let (id, parent) = (client::request_id(), format!("00-{TRACE}-{PARENT}-01"));
    client::replay(envoy.addr, &fixture, &[("x-request-id", &id), ("traceparent", &parent)]).await;
    let received = upstream.take_request(&id, PATIENCE).await.expect("the call arrives");
    assert_eq!(received.headers["x-b3-traceid"], TRACE);
}
