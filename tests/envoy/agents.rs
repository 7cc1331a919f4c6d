//! Agent runs through a real Envoy with two workers: the state that one call stores is available to the next call on
//! either worker, and every run is counted exactly once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::agent::{Api, Conversation, Line, to_both_workers};
use crate::support::envoy::{Envoy, Options};
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use serde_json::json;

/// Timeout of every wait. It is longer than any run waits for its next call in these tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest time that a tool takes in these tests.
const TOOL: Duration = Duration::from_millis(50);
const APIS: [Api; 3] = [Api::Completions, Api::Messages, Api::Responses];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_three_calls_reports_its_iterations_and_tool_durations() {
    let site = Site::start(json!({})).await;
    let (began, mut lines) = (Instant::now(), to_both_workers(&site.envoy).await);
    for (api, stream) in APIS.into_iter().flat_map(|api| [(api, false), (api, true)]) {
        let mut conversation = Conversation::new(api, stream);
        for iteration in 1..=3 {
            let turn = conversation.turn(&mut lines[iteration % 2], "agent=2").await;
            assert_eq!(site.iteration(&turn.request_id).await, iteration.to_string(), "{api:?} stream {stream}");
            tokio::time::sleep(TOOL).await;
            conversation.add_results(&turn.calls);
        }
    }
    let most = began.elapsed().as_micros() as f64;
    let samples = site.when("gaugeway_agent_iterations_count", &[], 6.0).await;
    assert_eq!(runs(&samples), [("completed", 6)].into());
    // The sums of Envoy's histograms are inexact by up to 5 %.
    let iterations = total(&samples, "gaugeway_agent_iterations_sum", &[]);
    assert!((17.0..19.0).contains(&iterations), "6 runs of 3 calls must give about 18 iterations, not {iterations}");
    for tool in ["search", "read"] {
        let labels = [("gen_ai_tool_name", tool)];
        assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &labels), 6.0, "{tool}");
        let sum = total(&samples, "gaugeway_tool_duration_microseconds_sum", &labels);
        let least = 6.0 * TOOL.as_micros() as f64;
        assert!(
            sum > least * 0.94 && sum < most * 1.06,
            "the duration of {tool} is {sum}, not between {least} and {most}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tool_calls_of_one_turn_are_measured_separately_in_one_or_several_requests() {
    let site = Site::start(json!({})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    for api in APIS {
        // Two calls per turn and both results in one request: three requests, four results.
        let mut conversation = Conversation::new(api, api == Api::Messages);
        for iteration in 1..=3 {
            let turn = conversation.turn(&mut lines[iteration % 2], "agent=4 calls=2").await;
            assert_eq!(site.iteration(&turn.request_id).await, iteration.to_string(), "{api:?}");
            conversation.add_results(&turn.calls);
        }
    }
    let samples = site.when("gaugeway_tool_duration_microseconds_count", &[], 12.0).await;
    for tool in ["search", "read"] {
        let labels = [("gen_ai_tool_name", tool)];
        assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &labels), 6.0, "{tool}");
        assert_eq!(total(&samples, "gaugeway_tool_calls_total", &labels), 6.0, "{tool}");
    }
    assert_eq!(runs(&samples), [("completed", 3)].into());

    // The second result is sent first. The first result is sent together with the result that the next answer asked
    // for.
    let mut conversation = Conversation::new(Api::Responses, false);
    let first = conversation.turn(&mut lines[0], "agent=3 calls=2").await;
    assert_eq!(first.calls.len(), 2);
    conversation.add_results(&first.calls[1..]);
    let second = conversation.turn(&mut lines[1], "agent=3 calls=1").await;
    conversation.add_results(&first.calls[..1]);
    conversation.add_results(&second.calls);
    let third = conversation.turn(&mut lines[0], "agent=3 calls=1").await;
    assert_eq!((second.calls.len(), third.calls.len()), (1, 0));
    assert_eq!(site.iteration(&second.request_id).await, "2");
    assert_eq!(site.iteration(&third.request_id).await, "3");
    let samples = site.when("gaugeway_tool_duration_microseconds_count", &[], 15.0).await;
    assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &[]), 15.0);
    assert_eq!(runs(&samples), [("completed", 4)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_not_continued_is_counted_as_abandoned_exactly_once() {
    let site = Site::start(json!({"agent": {"abandoned_after": 2, "max_iterations": 7}})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    for (number, api) in APIS.into_iter().enumerate() {
        // Runs that are not continued before the timeout. One of them asks for two results and gets only the second.
        let (mut left, mut pair) = (Conversation::new(api, false), Conversation::new(api, true));
        let left_calls = left.turn(&mut lines[0], "agent=2").await.calls;
        let pair_calls = pair.turn(&mut lines[1], "agent=3 calls=2").await.calls;
        // Successive calls go to different workers. Runs with `agent=99` are counted as ended before their final answer.
        Conversation::new(api, false).run(&mut lines, "agent=2").await;
        Conversation::new(api, false).run(&mut lines, "agent=99").await;
        Conversation::new(api, true).run(&mut lines, "agent=99 again").await;
        site.when(RUNS, &[("status", "abandoned")], 2.0 * (number + 1) as f64).await;
        left.add_results(&left_calls);
        left.run(&mut lines, "agent=2").await;
        pair.add_results(&pair_calls[1..]);
        assert_eq!(pair.turn(&mut lines[0], "agent=2").await.calls.len(), 1);
    }
    // Waits longer than any timeout of the plugin.
    tokio::time::sleep(Duration::from_secs(6)).await;
    // A run without repeated calls is not a loop.
    let expected = [("abandoned", 6), ("completed", 3), ("loop", 3), ("max_iterations", 3)];
    assert_eq!(runs(&site.envoy.samples().await), expected.into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_with_a_failed_call_ends_as_error_unless_the_call_is_retried() {
    let site = Site::start(json!({"agent": {"abandoned_after": 2}})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    for api in APIS {
        // A request with an equal first message would count as its repetition.
        let mut failing = Conversation::about(&format!("{api:?} fails"), api, false);
        assert_eq!(failing.turn(&mut lines[0], "first=500 agent=2").await.status, 500);
        for tries in [1, 2] {
            let mut conversation = Conversation::new(api, true);
            let turn = conversation.turn(&mut lines[0], "agent=2").await;
            conversation.add_results(&turn.calls);
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
    // The first tool result of both kinds of runs was measured when it first arrived.
    assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &[]), 9.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_continues_if_the_client_leaves_after_the_last_event_of_a_stream() {
    let site = Site::start(json!({"agent": {"abandoned_after": 2}})).await;
    for api in APIS {
        let mut conversation = Conversation::new(api, true);
        for iteration in 1..=3 {
            let mut line = Line::open(site.envoy.addr).await.unwrap();
            let turn = conversation.turn(&mut line, "agent=2 linger=600").await;
            assert_eq!(turn.calls.len(), usize::from(iteration < 3), "{api:?}");
            conversation.add_results(&turn.calls);
        }
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let samples = site.envoy.samples().await;
    assert_eq!(runs(&samples), [("completed", 3)].into());
    assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &[]), 6.0);
}

/// How a simulated run ends.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Completed,
    Abandoned,
    Failed,
    Endless,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_concurrent_runs_are_each_counted_once_in_constant_memory() {
    // GAUGEWAY_AGENT_RUNS sets the number of runs. 10,000 runs take several minutes.
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
    // Waits so that a run counted twice would be visible.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let samples = site.envoy.samples().await;
    assert_eq!(runs(&samples), expected.into());
    assert_eq!(total(&samples, "gaugeway_agent_iterations_count", &[]), count as f64);
    let brought = fates.iter().map(|fate| if *fate == Fate::Abandoned { 1.0 } else { 2.0 }).sum::<f64>();
    assert_eq!(total(&samples, "gaugeway_tool_duration_microseconds_count", &[]), brought);
    let grown = resident[3].saturating_sub(resident[0]);
    eprintln!(
        "resident memory per quarter: {resident:?} bytes; grown by {grown} bytes after the first quarter; {} calls",
        total(&samples, "gaugeway_requests_total", &[])
    );
    assert!(grown < 6 << 20, "resident memory grew by {grown} bytes; after each quarter: {resident:?}");
}

/// Number of concurrent clients. Each client has its own runs, all in progress at the same time.
const CLIENTS: usize = 16;
/// Number of runs that one client interleaves.
const INTERLEAVED: usize = 8;

fn fate(number: usize) -> Fate {
    match number % 10 {
        3 => Fate::Abandoned,
        6 => Fate::Failed,
        9 => Fate::Endless,
        _ => Fate::Completed,
    }
}

/// Sends the three calls of each run. Successive calls of a run use different connections and alternate with calls of
/// other runs.
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
                conversation.add_results(&turn.calls);
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

    /// Returns the iteration in the access log line of a call.
    async fn iteration(&self, request_id: &str) -> String {
        let entry = self.envoy.entry(request_id, PATIENCE).await.expect("no access log line for the request");
        entry["gaugeway.agent.iteration"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns all samples once the sum of a metric has reached a value, or when the timeout expires.
    async fn when(&self, name: &str, labels: &[(&str, &str)], reached: f64) -> Vec<Sample> {
        self.envoy.samples_when(|samples| total(samples, name, labels) >= reached, PATIENCE).await
    }
}

/// Number of ended runs by status.
fn runs(samples: &[Sample]) -> BTreeMap<&str, u64> {
    let mut runs = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.name == RUNS) {
        *runs.entry(sample.label("status")).or_default() += sample.value as u64;
    }
    runs
}
