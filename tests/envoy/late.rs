//! Answers that are fetched later, in a real Envoy with two workers: whoever fetches them, and however often, they count once.

use std::time::Duration;

use crate::support::agent::{Line, to_both_workers};
use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const AGE: &str = "gaugeway.response.age";
const INPUT: &str = "gen_ai.usage.input_tokens";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_is_made_in_the_background_counts_once_when_it_is_complete() {
    let site = Site::start().await;
    let mut lines = to_both_workers(&site.envoy).await;
    let created = site.call(&mut lines[0], &site.created, &[]).await;
    assert_eq!((&created["gaugeway.cost.status"], &created[INPUT]), (&"deferred".into(), &Value::Null), "{created}");
    for line in &mut lines {
        let poll = site.call(line, &site.polled, &[]).await;
        assert!(poll["gen_ai.operation.name"].is_null(), "a poll is no LLM traffic: {poll}");
    }
    let first = site.call(&mut lines[1], &site.complete, &[]).await;
    let of_first = ["gen_ai.operation.name", INPUT, "gaugeway.cost.usd", "gaugeway.cost.status"].map(|key| &first[key]);
    assert_eq!(of_first, ["fetch_response", "18", "0.000115", "priced"], "{first}");
    let age: f64 = first[AGE].as_str().unwrap_or_else(|| panic!("no age in {first}")).parse().unwrap();
    assert!(age > 0.0 && age < 60.0, "{age}");
    for (number, line) in [0, 1, 1, 0].into_iter().enumerate() {
        let again = site.call(&mut lines[line], &site.complete, &[]).await;
        let of_again = ["gen_ai.operation.name", "gen_ai.response.id", "gaugeway.outcome"].map(|key| &again[key]);
        assert_eq!(of_again, ["fetch_response", site.id.as_str(), "completed"], "{number}: {again}");
        let repeated = [INPUT, "gen_ai.usage.output_tokens", "gaugeway.cost.usd", "gaugeway.response.characters"];
        assert!(repeated.iter().all(|key| again[*key].is_null()), "{number}: {again}");
    }
    let requests = |samples: &[Sample]| total(samples, "gaugeway_requests_total", &[]) == 6.0;
    let samples = site.envoy.samples_when(requests, PATIENCE).await;
    let sum = |name: &str| total(&samples, name, &[]);
    assert_eq!((sum("gaugeway_input_tokens_total"), sum("gaugeway_output_tokens_total")), (18.0, 7.0));
    assert_eq!((sum("gaugeway_cost_nanousd_total"), sum("gaugeway_usage_missing_total")), (115_000.0, 0.0));
    assert_eq!(sum("gen_ai_client_inference_usage_input_tokens_total"), 0.0, "a fetch is not inference");
    assert_eq!(total(&samples, "gaugeway_requests_total", &[("gen_ai_operation_name", "fetch_response")]), 5.0);
    let durations = "gen_ai_client_inference_duration_microseconds_count";
    let timed = site.envoy.samples_when(|samples| total(samples, durations, &[]) > 0.0, PATIENCE).await;
    assert_eq!(total(&timed, durations, &[]), 1.0, "the duration of the request that created the response");
    assert_eq!(total(&timed, "gen_ai_client_operation_duration_microseconds_count", &[]), 0.0);
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_has_answers_of_its_own_and_an_unknown_answer_has_no_age() {
    let site = Site::start().await;
    let mut lines = to_both_workers(&site.envoy).await;
    for caller in ["Bearer a", "Bearer b"] {
        let [first, again] = [0, 1].map(|number| (number, [("authorization", caller)]));
        let first = site.call(&mut lines[first.0], &site.complete, &first.1).await;
        let again = site.call(&mut lines[again.0], &site.complete, &again.1).await;
        assert_eq!((&first[INPUT], &first[AGE], &again[INPUT]), (&"18".into(), &Value::Null, &Value::Null), "{caller}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_background_stream_that_shows_its_usage_leaves_nothing_to_count_for_a_fetch() {
    let site = Site::start().await;
    let mut lines = to_both_workers(&site.envoy).await;
    let mut streamed = site.streamed.clone();
    (streamed.request.method, streamed.request.path) = ("POST".to_owned(), "/v1/responses".to_owned());
    let created = site.call(&mut lines[0], &streamed, &[]).await;
    assert_eq!((&created["gen_ai.operation.name"], &created[INPUT]), (&"chat".into(), &"20".into()), "{created}");
    let fetched = site.call(&mut lines[1], &site.streamed, &[]).await;
    assert_eq!((&fetched["gen_ai.operation.name"], &fetched[INPUT]), (&"fetch_response".into(), &Value::Null));
    assert!(fetched["gen_ai.response.time_to_first_chunk"].is_null(), "{fetched}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tools_that_a_fetched_answer_calls_have_durations() {
    let site = Site::start().await;
    let mut lines = to_both_workers(&site.envoy).await;
    site.call(&mut lines[0], &site.calling, &[]).await;
    site.call(&mut lines[1], &site.calling, &[]).await;
    let mut next = site.created.clone();
    let result = json!({"type": "function_call_output", "call_id": "call_8fQz2LmXc4Vb7Nw1", "output": "4 m"});
    next.request.body =
        json!({"model": "gpt-4o", "previous_response_id": site.id, "input": [result], "background": true})
            .to_string()
            .into();
    site.call(&mut lines[0], &next, &[]).await;
    let durations = "gaugeway_tool_duration_microseconds_count";
    let samples = site.envoy.samples_when(|samples| total(samples, durations, &[]) > 0.0, PATIENCE).await;
    assert_eq!(total(&samples, durations, &[("gen_ai_tool_name", "tide")]), 1.0);
    assert_eq!(total(&samples, "gaugeway_tool_calls_total", &[]), 1.0, "a repeated fetch repeats no call");
    assert_eq!(total(&samples, "gaugeway_agent_runs_total", &[]), 0.0);
}

struct Site {
    envoy: Envoy,
    /// The identifier of the response.
    id: String,
    created: Fixture,
    polled: Fixture,
    complete: Fixture,
    /// A complete answer that calls a tool.
    calling: Fixture,
    streamed: Fixture,
    _upstream: Upstream,
}

impl Site {
    async fn start() -> Self {
        let of = |case: &str| Fixture::load(&format!("openai-responses/{case}"));
        let (complete, streamed) = (of("fetch-background-completed"), of("fetch-background-stream"));
        let id = complete.observation["gen_ai.response.id"].as_str().unwrap().to_owned();
        // The other fixtures have responses of their own.
        let with_id = |mut fixture: Fixture| {
            let mut body: Value = serde_json::from_slice(&fixture.response.body).unwrap();
            body["id"] = json!(id);
            fixture.response.body = body.to_string().into();
            fixture.response.events = vec![fixture.response.body.clone()];
            if fixture.request.method == "GET" {
                fixture.request.path.clone_from(&complete.request.path);
            }
            fixture
        };
        let (created, polled) = (with_id(of("background-queued")), with_id(of("fetch-background-in-progress")));
        let mut calling = with_id(complete.clone());
        let mut body: Value = serde_json::from_slice(&calling.response.body).unwrap();
        body["output"] = json!([{"type": "function_call", "id": "fc_1", "call_id": "call_8fQz2LmXc4Vb7Nw1", "name": "tide", "arguments": "{}", "status": "completed"}]);
        calling.response.body = body.to_string().into();
        calling.response.events = vec![calling.response.body.clone()];
        calling.id = "openai-responses/calling".to_owned();
        let all = [&created, &polled, &complete, &calling, &streamed].map(Fixture::clone);
        let upstream = Upstream::start(all.to_vec()).await;
        let envoy = Envoy::start(&Options { concurrency: 2, ..Options::to(upstream.addr) }).await;
        Site { envoy, id, created, polled, complete, calling, streamed, _upstream: upstream }
    }

    /// Sends the request of a fixture, and returns the line of the access log.
    async fn call(&self, line: &mut Line, fixture: &Fixture, headers: &[(&str, &str)]) -> Value {
        let id = client::request_id();
        let headers = [&[("x-request-id", id.as_str())], headers].concat();
        let (status, _) = line.send(client::request(fixture, &headers)).await;
        assert_eq!(status, 200);
        self.envoy.entry(&id, PATIENCE).await.expect("no access log line for the request")
    }
}
