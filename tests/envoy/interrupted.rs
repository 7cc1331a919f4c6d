//! Spans of calls that are cut: Envoy ends the span of a reset stream before it calls the plugin, so the span has the outcome
//! `interrupted` and the cost of the known usage. The access log and the metrics name the cause. No call that ends shows
//! `interrupted`.

use std::time::Duration;

use crate::support::client::{self, Http, Made, Open, Raw};
use crate::support::envoy::{self, Envoy, Options, Spans};
use crate::support::fixtures::Fixture;
use crate::support::otlp::{Attribute, Receiver};
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper::{HeaderMap, Request};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);
/// A stream whose first event has the input tokens and one output token.
const STREAM: &str = "anthropic-messages/stream-thinking-text-tool-use";
const UNARY: &str = "openai-chat/unary";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_span_of_a_cut_call_is_interrupted_and_has_the_cost_of_the_known_usage() {
    let site = Site::start().await;
    let (stream, unary) = (Fixture::load(STREAM), Fixture::load(UNARY));
    let mut cut = Vec::new();

    for http in [Http::One, Http::Two] {
        let id = client::request_id();
        let mut open =
            client::open(site.envoy.addr, request(&stream, "", &id, "gap=400"), http).await.expect("no response");
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains("thinking_delta") {
            read.extend(open.response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap());
        }
        let Open { response, connection } = open;
        drop(response); // Over HTTP/2 this resets the stream only.
        if http == Http::One {
            drop(connection);
            cut.push((id, "client_disconnect", true));
        } else {
            site.entry(&id).await;
            drop(connection);
            cut.push((id, "client_disconnect", true));
        }
    }
    let first = stream.response.events.iter().take(6).map(Bytes::len).sum::<usize>();
    for route in ["", "/h2"] {
        let id = client::request_id();
        let request = request(&stream, route, &id, &format!("reset-after={first}"));
        drop(client::send(site.envoy.addr, request, Http::Two).await);
        cut.push((id, "upstream_reset", true));
    }
    let id = client::request_id();
    drop(client::send(site.envoy.addr, request(&stream, "/slow", &id, "gap=300"), Http::One).await);
    cut.push((id, "timeout", true));

    // The client leaves before the response: usage is unknown.
    let id = client::request_id();
    let bytes = client::raw_request(&unary, &[("x-request-id", id.as_bytes()), ("x-upstream", b"hang")]);
    let raw = Raw::send(site.envoy.addr, &bytes).await.unwrap();
    site.upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
    drop(raw);
    cut.push((id, "client_disconnect", false));

    for (id, cause, has_cost) in &cut {
        let entry = site.entry(id).await;
        assert_eq!((text(&entry, "gaugeway.outcome"), text(&entry, "error.type")), (*cause, *cause), "{entry}");
        assert_eq!(text(&entry, "gaugeway.cost.status"), "hidden", "{entry}");
        assert_eq!(entry["gaugeway.cost.usd"].is_null(), !has_cost, "{entry}");
        let span = site.spans.wait_for_request(id, PATIENCE).await.expect("no span for the request");
        if envoy::spans() != Spans::Plain {
            assert_eq!(span.text("gaugeway.outcome"), Some("interrupted"), "{cause}: {span:?}");
            assert_eq!(span.text("error.type"), None, "{cause}: {span:?}");
            let cost = span.attributes.get("gaugeway.cost.usd").map(Attribute::to_string);
            assert_eq!(cost, has_cost.then(|| text(&entry, "gaugeway.cost.usd").to_owned()), "{cause}: {span:?}");
            assert_eq!(span.text("gaugeway.cost.status"), has_cost.then_some("hidden"), "{cause}: {span:?}");
        }
        // Envoy itself names the cause in the span.
        let flags = text(&entry, "response_flags");
        assert!(flags != "-" && span.text("response_flags") == Some(flags), "{entry}: {span:?}");
    }

    // The provider answers only whole requests. The provider's whole answer hides nothing.
    let id = client::request_id();
    let bytes = client::raw_request(&unary, &[("x-request-id", id.as_bytes())]);
    let raw = Raw::send(site.envoy.addr, &bytes[..bytes.len() - 50]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(raw);
    let entry = site.entry(&id).await;
    assert_eq!(text(&entry, "gaugeway.outcome"), "client_disconnect", "{entry}");
    assert!(entry["gaugeway.cost.status"].is_null(), "{entry}");
    client::send(site.envoy.addr, request(&stream, "", &client::request_id(), ""), Http::One).await.unwrap();

    let samples = site.envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_usage_hidden_total", &[]), cut.len() as f64);
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), cut.len() as f64 + 2.0);
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("outcome", "interrupted")]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_that_ends_shows_that_it_was_interrupted() {
    let site = Site::start().await;
    let (stream, unary) = (Fixture::load(STREAM), Fixture::load(UNARY));
    let mut empty = Fixture::load(UNARY);
    (empty.id, empty.response.status, empty.response.body) = ("empty".to_owned(), 204, Bytes::new());
    let mut calls = Vec::new();
    for http in [Http::One, Http::Two] {
        for (fixture, route, travel, outcome) in [
            (&unary, "", "", "completed"),
            (&unary, "", "cut=7", "completed"),
            (&unary, "", "chunked", "completed"),
            (&unary, "/h2", "", "completed"),
            (&unary, "/h2", "trailers", "completed"),
            (&unary, "/h2", "cut=7 trailers", "completed"),
            (&stream, "", "events", "completed"),
            (&stream, "", "linger=200", "completed"),
            (&stream, "/h2", "events trailers", "completed"),
            (&empty, "", "chunked", "completed"),
            (&Fixture::load("openai-chat/error-401"), "", "", "error"),
            (&Fixture::load("openai-chat/truncated-stream"), "", "", "truncated"),
            (&unary, "", "first=503", "error"),
            (&unary, "/direct", "", "local_reply"),
            (&unary, "/slow", "hang", "timeout"),
        ] {
            let id = client::request_id();
            client::send(site.envoy.addr, request(fixture, route, &id, travel), http).await.unwrap();
            calls.push((id, format!("{} {route} {travel}", fixture.id), outcome));
        }
    }
    // A request that ends with trailers.
    let id = client::request_id();
    let (head, body) = request(&unary, "", &id, "").into_parts();
    let data = Frame::data(body.collect().await.unwrap().to_bytes());
    let trailers = Frame::trailers(HeaderMap::from_iter([("x-end".parse().unwrap(), "yes".parse().unwrap())]));
    let request = Request::from_parts(head, Made([data, trailers].into_iter()));
    client::send(site.envoy.addr, request, Http::Two).await.unwrap();
    calls.push((id, "trailers".to_owned(), "completed"));

    for (id, call, outcome) in &calls {
        let entry = site.entry(id).await;
        assert_eq!(text(&entry, "gaugeway.outcome"), *outcome, "{call}: {entry}");
        let span = site.spans.wait_for_request(id, PATIENCE).await.expect("no span for the request");
        if envoy::spans() != Spans::Plain {
            assert_eq!(span.text("gaugeway.outcome"), Some(*outcome), "{call}: {span:?}");
            for key in ["error.type", "gaugeway.cost.usd", "gaugeway.cost.status"] {
                let in_span = span.attributes.get(key).map(Attribute::to_string);
                assert_eq!(in_span.as_deref(), entry[key].as_str(), "{call}: {key} in {span:?} and {entry}");
            }
        }
    }
    let samples = site.envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), calls.len() as f64);
    // The truncated answers and those that did not come in time.
    assert_eq!(total(&samples, "gaugeway_usage_hidden_total", &[]), 4.0);
}

struct Site {
    upstream: Upstream,
    spans: Receiver,
    envoy: Envoy,
}

impl Site {
    async fn start() -> Self {
        let mut fixtures = Fixture::all();
        let mut empty = Fixture::load(UNARY);
        (empty.id, empty.response.status, empty.response.body) = ("empty".to_owned(), 204, Bytes::new());
        empty.response.events = vec![Bytes::new()];
        fixtures.push(empty);
        let upstream = Upstream::start(fixtures).await;
        let spans = Receiver::start().await;
        let http2 = "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}";
        let port = upstream.addr.port();
        let endpoint =
            format!("{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}");
        let cluster = format!(
            "{{name: h2, type: STATIC, load_assignment: {{cluster_name: h2, endpoints: [{{lb_endpoints: [{endpoint}]}}]}}, {http2}}}"
        );
        let routes = [
            "{name: h2, match: {prefix: /h2/}, route: {cluster: h2, timeout: 0s}}",
            "{name: slow, match: {prefix: /slow/}, route: {cluster: llm, timeout: 0.7s}}",
            "{name: direct, match: {prefix: /direct/}, direct_response: {status: 403, body: {inline_string: denied}}}",
        ];
        let options = Options { otlp: Some(spans.addr), ..Options::to(upstream.addr) }.with(&routes, &[cluster]);
        let envoy = Envoy::start(&options).await;
        Self { upstream, spans, envoy }
    }

    async fn entry(&self, id: &str) -> Value {
        let entry = self.envoy.entry(id, PATIENCE).await;
        entry.unwrap_or_else(|| panic!("the access log has no line for {id}:\n{}", self.envoy.log()))
    }
}

fn request(fixture: &Fixture, route: &str, id: &str, travel: &str) -> Request<Full<Bytes>> {
    let mut request = client::request(fixture, &[("x-request-id", id), ("x-upstream", travel)]);
    *request.uri_mut() = format!("{route}{}", fixture.request.path).parse().unwrap();
    request
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_default()
}
