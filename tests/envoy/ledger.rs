//! The plugin's totals against the record of the upstream: mixed calls of every kind, at the same time, through two instances
//! of the plugin. Requests, tokens and cost by outcome agree exactly.
//!
//! `GAUGEWAY_LEDGER_CALLS` sets the number of calls.

use std::collections::{BTreeMap, HashMap};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use crate::instances::with_second_instance;
use crate::support::acting::{ActingUpstream, TOKENS};
use crate::support::client::{self, Http};
use crate::support::envoy::{Envoy, Options};
use crate::support::prometheus::{Sample, total};
use http_body_util::Full;
use hyper::Request;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);
/// The number of calls, unless the environment sets another.
const CALLS: usize = 1100;
/// The number of calls at the same time.
const CLIENTS: usize = 12;
/// Cost of an answer in nano-USD: 2.50 USD for a million tokens of the prompt, 10 USD for a million of the completion.
const COST: u64 = TOKENS.0 * 2500 + TOKENS.1 * 10_000;

/// A kind of call: the route, what the upstream does, whether the client asks for a stream, and the outcome.
const KINDS: &[(&str, &str, bool, &str)] = &[
    ("", "ok", false, "completed"),
    ("", "ok", true, "completed"),
    ("/retry", "503 ok", false, "completed"),
    ("/retry", "reset ok", true, "completed"),
    ("", "to=/fallback/v1/chat/completions ok", true, "completed"),
    ("/hedge", "hang ok", false, "completed"),
    ("", "503", false, "error"),
    ("", "cut", true, "upstream_reset"),
    ("/refused", "ok", false, "upstream_reset"),
    ("/short", "hang", false, "timeout"),
    ("/direct", "ok", false, "local_reply"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_tokens_and_cost_by_outcome_agree_with_what_the_upstream_served() {
    let calls = std::env::var("GAUGEWAY_LEDGER_CALLS").map_or(CALLS, |calls| calls.parse().unwrap());
    let upstream = ActingUpstream::start().await;
    let envoy = Arc::new(start(&upstream).await);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let envoy = Arc::clone(&envoy);
            tokio::spawn(async move {
                for number in (client..calls).step_by(CLIENTS) {
                    call(&envoy, number).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }

    let mut outcomes = BTreeMap::new();
    for number in 0..calls {
        *outcomes.entry(KINDS[number % KINDS.len()].3).or_insert(0_u64) += 1;
    }
    // What the client got is what the upstream did last for its call.
    let last: HashMap<_, _> = upstream.served().into_iter().map(|one| (one.request_id, one.act)).collect();
    let answered = last.values().filter(|act| *act == "ok").count() as u64;
    assert_eq!(answered, outcomes["completed"], "the upstream's record");

    let done = |samples: &[Sample]| total(samples, "gaugeway_requests_total", &[]) >= calls as f64;
    let samples = envoy.samples_when(done, PATIENCE).await;
    let sum = |metric: &str, labels: &[(&str, &str)]| total(&samples, metric, labels) as u64;
    for (outcome, count) in &outcomes {
        assert_eq!(sum("gaugeway_requests_total", &[("outcome", outcome)]), *count, "{outcome}");
    }
    assert_eq!(sum("gaugeway_requests_total", &[]), calls as u64);
    assert_eq!(sum("gaugeway_input_tokens_total", &[]), answered * TOKENS.0);
    assert_eq!(sum("gaugeway_output_tokens_total", &[]), answered * TOKENS.1);
    assert_eq!(sum("gaugeway_cost_nanousd_total", &[]), answered * COST);
}

/// `envoy/envoy.yaml` with two instances of the plugin and a route for each kind of call.
async fn start(upstream: &ActingUpstream) -> Envoy {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = format!(
        "{{name: refused, type: STATIC, load_assignment: {{cluster_name: refused, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {closed}}}}}}}}}]}}]}}}}"
    );
    let redirects = "internal_redirect_policy: {max_internal_redirects: 1, redirect_response_codes: [302]}";
    let route = "route: {cluster: llm, timeout: 0s";
    let mut options =
        Options { text: Some(with_second_instance("another")), concurrency: 2, ..Options::to(upstream.addr) };
    let llm = "\n    load_assignment:\n      cluster_name: llm\n";
    let retries = "\n    circuit_breakers: {thresholds: [{max_retries: 1000}]}";
    options.replace.push((llm.to_owned(), format!("{retries}{llm}")));
    options.replace.push((format!("{route}}}   # 0s"), format!("{route}, {redirects}}}   # 0s")));
    let options = options.with(
        &[
            "{name: fallback, match: {prefix: /fallback/}, route: {cluster: llm, timeout: 0s}}",
            "{name: retry, match: {prefix: /retry/}, route: {cluster: llm, timeout: 0s, retry_policy: {retry_on: 'reset,5xx', num_retries: 1}}}",
            "{name: hedge, match: {prefix: /hedge/}, route: {cluster: llm, timeout: 20s, hedge_policy: {hedge_on_per_try_timeout: true}, retry_policy: {retry_on: 5xx, num_retries: 1, per_try_timeout: 0.1s}}}",
            "{name: refused, match: {prefix: /refused/}, route: {cluster: refused, timeout: 0s}}",
            "{name: short, match: {prefix: /short/}, route: {cluster: llm, timeout: 0.2s}}",
            "{name: direct, match: {prefix: /direct/}, direct_response: {status: 403}}",
        ],
        &[refused],
    );
    Envoy::start(&options).await
}

async fn call(envoy: &Envoy, number: usize) {
    let (route, acts, stream, outcome) = KINDS[number % KINDS.len()];
    let mut body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Is it?"}]});
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
    }
    let request = Request::post(format!("{route}/v1/chat/completions")).header("host", "api.openai.com");
    let request = request.header("x-request-id", client::request_id()).header("x-acts", acts);
    let request = request.header("content-type", "application/json").body(Full::from(body.to_string())).unwrap();
    let reply = client::send(envoy.addr, request, Http::One).await;
    let is_whole = reply.is_ok_and(|reply| reply.status == 200 && reply.broken.is_none());
    assert_eq!(is_whole, outcome == "completed", "{route} {acts}");
}
