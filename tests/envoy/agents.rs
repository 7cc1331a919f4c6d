//! Agents' runs through a real Envoy with two workers: what one call leaves for the next is there, whichever worker has it,
//! and every run is counted once, however it ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::agent::{Api, Conversation, Line, to_both_workers};
use crate::support::envoy::{Envoy, Options};
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use serde_json::json;

/// Longer than any run is waited for here.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the tools of these tests take, at least.
const TOOL: Duration = Duration::from_millis(50);
const APIS: [Api; 3] = [Api::Completions, Api::Messages, Api::Responses];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_three_calls_tells_its_iterations_and_how_long_its_tools_took() {
    let site = Site::start(json!({})).await;
    let (began, mut lines) = (Instant::now(), to_both_workers(&site.envoy).await);
    for (api, stream) in APIS.into_iter().flat_map(|api| [(api, false), (api, true)]) {
        let mut conversation = Conversation::new(api, stream);
        for iteration in 1..=3 {
            let turn = conversation.turn(&mut lines[iteration % 2], "agent=2").await;
            assert_eq!(site.iteration(&turn.request_id).await, iteration.to_string(), "{api:?} stream {stream}");
            tokio::time::sleep(TOOL).await;
            conversation.bring(&turn.calls);
        }
    }
    let most = began.elapsed().as_micros() as f64;
    let samples = site.when("gaugeway_agent_iterations_count", &[], 6.0).await;
    assert_eq!(runs(&samples), [("completed", 6)].into());
    // Sums of Envoy's histograms are off by up to 5 %.
    let iterations = total(&samples, "gaugeway_agent_iterations_sum", &[]);
    assert!((17.0..19.0).contains(&iterations), "{iterations} iterations in 6 runs of 3");
    for tool in ["search", "read"] {
        let labels = [("gen_ai_tool_name", tool)];
        assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &labels), 6.0, "{tool}");
        let sum = total(&samples, "gaugeway_tool_duration_microseconds_sum", &labels);
        let least = 6.0 * TOOL.as_micros() as f64;
        assert!(sum > least * 0.94 && sum < most * 1.06, "{tool}: {sum} is not between {least} and {most}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_one_turn_are_told_apart_whether_their_results_come_together_or_not() {
    let site = Site::start(json!({})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    for api in APIS {
        // Two calls a turn, both results in one request: three requests, four results.
        let mut conversation = Conversation::new(api, api == Api::Messages);
        for iteration in 1..=3 {
            let turn = conversation.turn(&mut lines[iteration % 2], "agent=4 calls=2").await;
            assert_eq!(site.iteration(&turn.request_id).await, iteration.to_string(), "{api:?}");
            conversation.bring(&turn.calls);
        }
    }
    let samples = site.when("gaugeway_tool_duration_microseconds_count", &[], 12.0).await;
    for tool in ["search", "read"] {
        let labels = [("gen_ai_tool_name", tool)];
        assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &labels), 6.0, "{tool}");
        assert_eq!(total(&samples, "gaugeway_tool_calls_total", &labels), 6.0, "{tool}");
    }
    assert_eq!(runs(&samples), [("completed", 3)].into());

    // The second result comes first, and the first one with what the answer to that asked for.
    let mut conversation = Conversation::new(Api::Responses, false);
    let first = conversation.turn(&mut lines[0], "agent=3 calls=2").await;
    assert_eq!(first.calls.len(), 2);
    conversation.bring(&first.calls[1..]);
    let second = conversation.turn(&mut lines[1], "agent=3 calls=1").await;
    conversation.bring(&first.calls[..1]);
    conversation.bring(&second.calls);
    let third = conversation.turn(&mut lines[0], "agent=3 calls=1").await;
    assert_eq!((second.calls.len(), third.calls.len()), (1, 0));
    assert_eq!(site.iteration(&second.request_id).await, "2");
    assert_eq!(site.iteration(&third.request_id).await, "3");
    let samples = site.when("gaugeway_tool_duration_microseconds_count", &[], 15.0).await;
    assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &[]), 15.0);
    assert_eq!(runs(&samples), [("completed", 4)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_abandoned_once_when_nobody_goes_on_with_it_and_stays_so() {
    let site = Site::start(json!({"agent": {"abandoned_after": 2, "max_iterations": 6}})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    for (number, api) in APIS.into_iter().enumerate() {
        // Never continued, until it is too late; one of them asks for two results and gets the second only.
        let (mut left, mut pair) = (Conversation::new(api, false), Conversation::new(api, true));
        let left_calls = left.turn(&mut lines[0], "agent=2").await.calls;
        let pair_calls = pair.turn(&mut lines[1], "agent=3 calls=2").await.calls;
        // Each call by another worker than the one before; counted as ended before they have their last answer.
        Conversation::new(api, false).run(&mut lines, "agent=2").await;
        Conversation::new(api, false).run(&mut lines, "agent=99").await;
        Conversation::new(api, true).run(&mut lines, "agent=99 again").await;
        site.when(RUNS, &[("status", "abandoned")], 2.0 * (number + 1) as f64).await;
        left.bring(&left_calls);
        left.run(&mut lines, "agent=2").await;
        pair.bring(&pair_calls[1..]);
        assert_eq!(pair.turn(&mut lines[0], "agent=2").await.calls.len(), 1);
    }
    // Longer than anything is waited for.
    tokio::time::sleep(Duration::from_secs(6)).await;
    // Who repeats nothing shows no loop.
    let expected = [("abandoned", 6), ("completed", 3), ("loop", 2), ("max_iterations", 4)];
    assert_eq!(runs(&site.envoy.samples().await), expected.into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_call_failed_is_an_error_unless_it_is_tried_again() {
    let site = Site::start(json!({"agent": {"abandoned_after": 2}})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    for api in APIS {
        let mut failing = Conversation::new(api, false);
        assert_eq!(failing.turn(&mut lines[0], "first=500 agent=2").await.status, 500);
        for tries in [1, 2] {
            let mut conversation = Conversation::new(api, true);
            let turn = conversation.turn(&mut lines[0], "agent=2").await;
            conversation.bring(&turn.calls);
            for line in lines.iter_mut().take(tries) {
                assert_eq!(conversation.turn(line, "first=429 agent=2").await.status, 429);
            }
            if tries == 2 {
                conversation.run(&mut lines, "agent=2").await;
            }
        }
    }
    site.when(RUNS, &[("status", "error")], 6.0).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let samples = site.envoy.samples().await;
    assert_eq!(runs(&samples), [("completed", 3), ("error", 6)].into());
    // The first result of both kinds of runs was measured at its first coming.
    assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &[]), 9.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_go_on_at_a_streams_last_event_and_leave_before_its_end() {
    let site = Site::start(json!({"agent": {"abandoned_after": 2}})).await;
    for api in APIS {
        let mut conversation = Conversation::new(api, true);
        for iteration in 1..=3 {
            let mut line = Line::open(site.envoy.addr).await.unwrap();
            let turn = conversation.turn(&mut line, "agent=2 linger=600").await;
            assert_eq!(turn.calls.len(), usize::from(iteration < 3), "{api:?}");
            conversation.bring(&turn.calls);
        }
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let samples = site.envoy.samples().await;
    assert_eq!(runs(&samples), [("completed", 3)].into());
    assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &[]), 6.0);
}

/// How one of many runs goes.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Completed,
    Abandoned,
    Failed,
    Endless,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_runs_at_the_same_time_are_each_counted_once_in_memory_that_does_not_grow() {
    // GAUGEWAY_AGENT_RUNS=10000 takes its time.
    let count: usize = std::env::var("GAUGEWAY_AGENT_RUNS").map_or(2_000, |count| count.parse().unwrap());
    let site = Site::start(json!({"agent": {"abandoned_after": 20, "max_iterations": 3}})).await;
    let mut resident = Vec::new();
    for part in 0..4 {
        let runs = (0..CLIENTS).map(|client| {
            many(
                site.envoy.addr,
                (part * CLIENTS + client..).step_by(4 * CLIENTS).take_while(move |number| *number < count).collect(),
            )
        });
        let runs: Vec<_> = runs.map(tokio::spawn).collect();
        for run in runs {
            run.await.unwrap();
        }
        resident.push(site.envoy.resident());
    }
    let fates: Vec<_> = (0..count).map(fate).collect();
    let of = |fate: Fate| fates.iter().filter(|one| **one == fate).count() as u64;
    let expected = [
        ("completed", of(Fate::Completed)),
        ("abandoned", of(Fate::Abandoned)),
        ("error", of(Fate::Failed)),
        ("max_iterations", of(Fate::Endless)),
    ];
    let samples = site.when(RUNS, &[], count as f64).await;
    assert_eq!(runs(&samples), expected.into());
    // Time for what would be counted twice.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let samples = site.envoy.samples().await;
    assert_eq!(runs(&samples), expected.into());
    assert_eq!(total(&samples, "gaugeway_agent_iterations_count", &[]), count as f64);
    let brought = fates.iter().map(|fate| if *fate == Fate::Abandoned { 1.0 } else { 2.0 }).sum::<f64>();
    assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &[]), brought);
    let grown = resident[3].saturating_sub(resident[0]);
    eprintln!(
        "resident memory: {resident:?} bytes, {grown} more after the first quarter; {} calls",
        total(&samples, "gaugeway_requests_total", &[])
    );
    assert!(grown < 6 << 20, "{resident:?} bytes after each quarter");
}

/// Clients at the same time, each with runs of its own, all of them under way at once.
const CLIENTS: usize = 16;
/// Runs of a client that are under way together.
const INTERLEAVED: usize = 8;

fn fate(number: usize) -> Fate {
    match number % 10 {
        3 => Fate::Abandoned,
        6 => Fate::Failed,
        9 => Fate::Endless,
        _ => Fate::Completed,
    }
}

/// Takes runs three calls far, each call by another connection than the one before, and another run's call between any two.
async fn many(addr: SocketAddr, numbers: Vec<usize>) {
    let mut lines = [Line::open(addr).await.unwrap(), Line::open(addr).await.unwrap(), Line::open(addr).await.unwrap()];
    for numbers in numbers.chunks(INTERLEAVED) {
        let mut runs: Vec<_> =
            numbers.iter().map(|number| (*number, Conversation::new(APIS[number % 3], number % 2 == 0))).collect();
        for step in 0..3 {
            for (number, conversation) in &mut runs {
                let travel = match (fate(*number), step) {
                    (Fate::Abandoned, 2) => continue,
                    (Fate::Failed, 2) => "first=500",
                    (Fate::Endless, _) => "agent=99",
                    _ => "agent=2",
                };
                let turn = conversation.turn(&mut lines[(*number + step) % 3], travel).await;
                conversation.bring(&turn.calls);
            }
        }
    }
}

const RUNS: &str = "gaugeway_agent_runs_total";

struct Site {
    _upstream: Upstream,
    envoy: Envoy,
}

impl Site {
    async fn start(config: serde_json::Value) -> Self {
        let upstream = Upstream::start(Vec::new()).await;
        let envoy = Envoy::start(&Options { concurrency: 2, config, ..Options::to(upstream.addr) }).await;
        Self { _upstream: upstream, envoy }
    }

    /// What the access log says of a call.
    async fn iteration(&self, request_id: &str) -> String {
        let entry = self.envoy.entry(request_id, PATIENCE).await.expect("a line in the access log");
        entry["gaugeway.agent.iteration"].as_str().unwrap_or_default().to_owned()
    }

    /// All samples once a sum is as high, or as they are when patience ends.
    async fn when(&self, name: &str, labels: &[(&str, &str)], reached: f64) -> Vec<Sample> {
        self.envoy.samples_when(|samples| total(samples, name, labels) >= reached, PATIENCE).await
    }
}

/// Runs that ended, by how.
fn runs(samples: &[Sample]) -> BTreeMap<&str, u64> {
    let mut runs = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.name == RUNS) {
        *runs.entry(sample.label("status")).or_default() += sample.value as u64;
    }
    runs
}
