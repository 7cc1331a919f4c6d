//! Agents' runs through a real Envoy with two workers: what one call leaves for the next is there, whichever worker has it.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::agent::{Api, Conversation, Line};
use support::envoy::{Envoy, Options};
use support::prometheus::{Sample, total};
use support::upstream::Upstream;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_three_calls_tells_its_iterations_and_how_long_its_tools_took() {
    let upstream = Upstream::start(Vec::new()).await;
    for (api, stream) in
        [Api::Completions, Api::Messages, Api::Responses].into_iter().flat_map(|api| [(api, false), (api, true)])
    {
        let envoy = Envoy::start(&Options { concurrency: 2, ..Options::to(upstream.addr) }).await;
        let mut line = Line::open(envoy.addr).await.unwrap();
        let mut conversation = Conversation::new(api, stream);
        let mut seen = Vec::new();
        for _ in 0..3 {
            let turn = conversation.turn(&mut line, "agent=2").await;
            assert_eq!(turn.status, 200);
            let entry = envoy.entry(&turn.request_id, PATIENCE).await.expect("a line in the access log");
            seen.push((entry["gaugeway.agent.iteration"].clone(), turn.calls.len()));
            tokio::time::sleep(Duration::from_millis(100)).await;
            conversation.bring(&turn.calls);
        }
        eprintln!("{api:?} {stream} {seen:?}");
        let samples =
            envoy.samples_when(|samples| total(samples, "gaugeway_agent_iterations_count", &[]) == 1.0, PATIENCE).await;
        for sample in samples.iter().filter(|s| s.name.starts_with("gaugeway") && !s.name.contains("bucket")) {
            eprintln!("{} {:?} {}", sample.name, sample.labels, sample.value);
        }
    }
}
