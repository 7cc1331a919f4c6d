//! Sends every fixture through a real Envoy with the shipped configuration. The bytes must arrive unchanged, and the
//! access log, the span and the metrics must match the fixture's `observation.json`.

use std::sync::Arc;
use std::time::Duration;

use crate::support::client::{self, Http, Reply};
use crate::support::core::TIMING;
use crate::support::envoy::{self, Envoy, Options, Spans};
use crate::support::expect::{self, Series};
use crate::support::fixtures::Fixture;
use crate::support::otlp::Receiver;
use crate::support::prometheus::total;
use crate::support::upstream::{Received, Upstream};
use gaugeway::config::Config;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fixture_gives_its_observation_over_http_1_event_by_event() {
    replay(Http::One, |_| "events chunked", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fixture_gives_its_observation_over_http_2_in_small_pieces_concurrently() {
    replay(Http::Two, |fixture| if fixture.response.body.len() < 1000 { "cut=1" } else { "cut=3" }, 24).await;
}

/// A call as the client and the upstream saw it.
struct Call {
    fixture: Fixture,
    id: String,
    reply: Reply,
    received: Received,
}

async fn replay(http: Http, travel: fn(&Fixture) -> &'static str, together: usize) {
    let fixtures = Fixture::all();
    assert!(fixtures.len() > 100, "only {} fixtures were found", fixtures.len());
    let upstream = Arc::new(Upstream::start(fixtures.clone()).await);
    let spans = Receiver::start().await;
    let options = Options {
        otlp: Some(spans.addr),
        config: json!({"labels": {"max_series": 100_000}}),
        http2_upstream: http == Http::Two,
        concurrency: if together > 1 { 2 } else { 1 },
        ..Options::to(upstream.addr)
    };
    let envoy = Envoy::start(&options).await; // each worker has its own plugin; the metrics are shared

    let mut calls = JoinSet::new();
    let places = Arc::new(Semaphore::new(together));
    for fixture in fixtures {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (addr, upstream, travel) = (envoy.addr, Arc::clone(&upstream), travel(&fixture));
        calls.spawn(async move {
            let call = call(addr, &upstream, fixture, http, travel).await;
            drop(place);
            call
        });
    }
    let calls = calls.join_all().await;

    let (mut faults, mut expected, config) = (Vec::new(), Series::new(), Config::parse("").unwrap());
    for call in &calls {
        let exchange = expect::in_the_core(&call.fixture);
        let timed = timed(exchange.as_ref());
        let mut found = changes(call);
        match envoy.entry(&call.id, PATIENCE).await {
            Some(entry) => found.extend(expect::log_faults(&call.fixture.observation, &timed, &entry)),
            None => found.push("no line in the access log".to_owned()),
        }
        match spans.wait_for_request(&call.id, PATIENCE).await {
            Some(span) => {
                found.extend(expect::span_faults(&call.fixture.observation, &timed, &span));
                let (kind, status) = ("CLIENT", if call.fixture.response.status < 400 { "UNSET" } else { "ERROR" });
                let name = if envoy::spans() == Spans::Plain {
                    format!("egress {}", call.fixture.request.header("host").unwrap_or_default())
                } else {
                    name(&call.fixture)
                };
                let described = (span.name.as_str(), span.kind.as_str(), span.status.as_str());
                if described != (name.as_str(), kind, status) {
                    found.push(format!("the span has an unexpected name or kind: {described:?}"));
                }
            }
            None => found.push("no span".to_owned()),
        }
        expect::add_series(
            &mut expected,
            &call.fixture.observation,
            &timed,
            exchange.as_ref().map(gaugeway::exchange::Exchange::observation),
            &config,
        );
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", call.fixture.id)));
    }
    let told = |samples: &[_]| expect::series(samples) == expected;
    let samples = envoy.samples_when(told, Duration::from_secs(3)).await;
    faults.extend(expect::series_faults(&expected, &expect::series(&samples)));
    faults.extend(expect::gauge_faults(calls.iter().map(|call| &call.fixture), &config, &samples));
    faults.extend(
        samples
            .iter()
            .filter(|one| !expect::is_intended(&one.name))
            .map(|one| format!("tests/support/expect.rs does not list the metric of {one:?}")),
    );
    assert!(faults.is_empty(), "{} faults:\n{}\nEnvoy's log:\n{}", faults.len(), faults.join("\n"), envoy.log());

    // The buckets of envoy.yaml are in use instead of Envoy's defaults.
    for (metric, bound) in [
        ("gen_ai_client_inference_operation_input_tokens_bucket", "67108864"),
        ("gen_ai_client_inference_operation_output_tokens_bucket", "67108864"),
        ("gen_ai_client_embeddings_operation_input_tokens_bucket", "67108864"),
        ("gen_ai_client_inference_duration_microseconds_bucket", "600000000"),
        ("gen_ai_client_embeddings_duration_microseconds_bucket", "600000000"),
        ("gen_ai_client_operation_duration_microseconds_bucket", "600000000"),
        ("gen_ai_client_inference_time_to_first_chunk_microseconds_bucket", "81920000"),
        ("gen_ai_server_time_to_first_token_microseconds_bucket", "60000000"),
        ("gen_ai_server_time_per_output_token_microseconds_bucket", "2500000"),
    ] {
        assert!(total(&samples, metric, &[("le", bound)]) > 0.0, "{metric} has no bucket {bound}");
    }
}

async fn call(
    addr: std::net::SocketAddr,
    upstream: &Upstream,
    fixture: Fixture,
    http: Http,
    travel: &'static str,
) -> Call {
    let id = client::request_id();
    let request = client::request(&fixture, &[("x-request-id", &id), ("x-upstream", travel)]);
    let reply = client::send(addr, request, http).await.unwrap_or_else(|error| panic!("{}: {error}", fixture.id));
    let received = upstream.take_request(&id, PATIENCE).await;
    let received = received.unwrap_or_else(|| panic!("{}: the request did not reach the upstream", fixture.id));
    Call { fixture, id, reply, received }
}

/// Lists the parts of the request and the response that did not arrive as they were sent.
fn changes(call: &Call) -> Vec<String> {
    let (sent, received) = (&call.fixture.request, &call.received);
    let (answered, reply) = (&call.fixture.response, &call.reply);
    let mut changes = Vec::new();
    let mut same = |what: &str, is: bool| {
        if !is {
            changes.push(format!("{what} changed on the way"));
        }
    };
    same("the request line", (sent.method.as_str(), &sent.path) == (received.method.as_str(), &received.path));
    same("the request's body", sent.body == received.body);
    same("the status", answered.status == reply.status);
    same("the response's body", answered.body == reply.body && reply.broken.is_none());
    let arrived =
        |headers: &hyper::HeaderMap, name: &str, value: &str| headers.get_all(name).iter().any(|v| v == value);
    // In HTTP/2 the host is a pseudo-header. Envoy sets the header `server` itself.
    for (name, value) in sent.headers.iter().filter(|(name, _)| !matches!(name.as_str(), "host" | "content-length")) {
        same(&format!("the request's {name}"), arrived(&received.headers, name, value));
    }
    for (name, value) in answered.headers.iter().filter(|(name, _)| name != "server") {
        same(&format!("the response's {name}"), arrived(&reply.headers, name, value));
    }
    changes
}

/// The span name that OpenTelemetry requires: `{operation} {model}`. Other traffic has the method and the route.
fn name(fixture: &Fixture) -> String {
    let text = |key: &str| fixture.observation.get(key).and_then(|value| value.as_str());
    let operation = text("gen_ai.operation.name").unwrap_or(&fixture.request.method);
    let model = text("gen_ai.request.model").or_else(|| text("gen_ai.response.model")).unwrap_or("llm");
    format!("{operation} {model}")
}

/// The clock-dependent attributes that the exchange must have.
pub fn timed(exchange: Option<&gaugeway::exchange::Exchange>) -> Vec<&'static str> {
    let seen = exchange.map(|exchange| crate::support::core::attributes(exchange.observation())).unwrap_or_default();
    TIMING.iter().copied().filter(|key| seen.contains_key(*key)).collect()
}
