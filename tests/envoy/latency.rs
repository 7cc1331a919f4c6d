//! Gaps between the chunks of a stream, and streams that stall, in a real Envoy.

use std::time::Duration;

use crate::support::client::{self, Http};
use crate::support::core::GAP;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);
const STREAM: &str = "openai-chat/stream-include-usage";
const STALLED: &str = "gaugeway_streams_stalled_total";
const STALLS: &str = "gaugeway.response.stalls";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_gap_of_a_stream_is_reported_and_a_pause_below_the_limit_is_no_stall() {
    let site = Site::start(json!({})).await;
    let entry = site.call("gap=20 pause=1500").await;
    let gap: f64 = entry[GAP].as_str().unwrap_or_else(|| panic!("no gap in {entry}")).parse().unwrap();
    assert!((1.4..5.0).contains(&gap), "{gap}");
    assert!(entry[STALLS].is_null(), "{entry}");

    let histogram = "gaugeway_stream_chunk_gap_max_microseconds";
    let shown = |samples: &[Sample]| total(samples, &format!("{histogram}_count"), &[]) > 0.0;
    let samples = site.envoy.samples_when(shown, PATIENCE).await;
    let below = |bound| total(&samples, &format!("{histogram}_bucket"), &[("le", bound)]);
    assert_eq!((below("1280000"), below("5120000"), below("81920000")), (0.0, 1.0, 1.0), "the buckets of envoy.yaml");
    assert_eq!(total(&samples, STALLED, &[]), 0.0);

    let whole = site.call("cut=1000000").await;
    assert!(whole[GAP].is_null(), "a stream that arrives at once has no gap: {whole}");
    let waiting = site.call("cut=1000000 wait=1500").await;
    assert!(waiting[GAP].is_null(), "the time to the first chunk is no gap: {waiting}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stream_is_counted_once_while_it_is_open_and_again_when_it_has_resumed() {
    let site = Site::start(json!({"streams": {"stalled_after": 1}})).await;
    // This answer is waited for longer, but it is no stream.
    let unary = client::request(&Fixture::load("openai-chat/unary"), &[("x-upstream", "wait=4000")]);
    let addr = site.envoy.addr;
    let waiting = tokio::spawn(async move { client::send(addr, unary, Http::One).await.unwrap().status });

    let id = client::request_id();
    let silent = client::request(&site.stream, &[("x-request-id", &id), ("x-upstream", "gap=0 pause=600000")]);
    let open = client::open(addr, silent, Http::One).await.unwrap();
    let labels = [("gen_ai_operation_name", "chat"), ("gen_ai_provider_name", "openai"), ("route", "llm")];
    let stalled = |samples: &[Sample]| total(samples, STALLED, &labels) > 0.0;
    let samples = site.envoy.samples_when(stalled, PATIENCE).await;
    assert_eq!((total(&samples, STALLED, &labels), total(&samples, STALLED, &[])), (1.0, 1.0));
    assert!(site.entry(&id, Duration::ZERO).await.is_none(), "the stream is still open");
    assert_eq!(waiting.await.unwrap(), 200);
    let samples = site.envoy.samples().await;
    assert_eq!(
        total(&samples, STALLED, &[]),
        1.0,
        "one silence is one stall, and an answer that is waited for is none"
    );
    drop(open);
    let entry = site.entry(&id, PATIENCE).await.expect("no access log line for the request");
    assert_eq!((&entry[STALLS], &entry["gaugeway.outcome"]), (&"1".into(), &"client_disconnect".into()), "{entry}");
    let requests = |samples: &[Sample]| total(samples, "gaugeway_requests_total", &[]) == 2.0;
    let samples = site.envoy.samples_when(requests, PATIENCE).await;
    assert_eq!(total(&samples, STALLED, &[]), 1.0, "a stall is not counted again at the end of its stream");

    let entry = site.call("gap=3000").await;
    let stalls: f64 = entry[STALLS].as_str().unwrap_or_else(|| panic!("no stalls in {entry}")).parse().unwrap();
    assert!((2.0..=3.0).contains(&stalls), "each of the three gaps is a stall: {entry}");
    assert_eq!(total(&site.envoy.samples().await, STALLED, &[]), 1.0 + stalls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_limit_no_stream_stalls() {
    let site = Site::start(json!({"streams": {"stalled_after": 0}})).await;
    let entry = site.call("pause=3000").await;
    assert!(entry[STALLS].is_null(), "{entry}");
    assert_eq!(total(&site.envoy.samples().await, STALLED, &[]), 0.0);
}

struct Site {
    envoy: Envoy,
    stream: Fixture,
    _upstream: Upstream,
}

impl Site {
    async fn start(config: Value) -> Self {
        let mut stream = Fixture::load(STREAM);
        // Four parts, so that there are three gaps.
        stream.response.events = stream.response.events.chunks(3).map(|events| events.concat().into()).collect();
        let upstream = Upstream::start(vec![stream.clone(), Fixture::load("openai-chat/unary")]).await;
        let envoy = Envoy::start(&Options { config, ..Options::to(upstream.addr) }).await;
        Site { envoy, stream, _upstream: upstream }
    }

    /// Calls with the stream, and returns the line of the access log.
    async fn call(&self, travel: &str) -> Value {
        let id = client::request_id();
        let reply =
            client::replay(self.envoy.addr, &self.stream, &[("x-request-id", &id), ("x-upstream", travel)]).await;
        assert_eq!((reply.status, &reply.body), (200, &self.stream.response.body));
        self.entry(&id, PATIENCE).await.expect("no access log line for the request")
    }

    async fn entry(&self, id: &str, patience: Duration) -> Option<Value> {
        self.envoy.entry(id, patience).await
    }
}
