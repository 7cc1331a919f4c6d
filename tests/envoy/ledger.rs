//! The plugin's totals against the record of the upstream: mixed calls of every kind, at the same time, through two instances
//! of the plugin. Requests, tokens and cost by outcome agree exactly.
//!
//! `GAUGEWAY_LEDGER_CALLS` sets the number of calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::instances::with_second_instance;
use crate::support::acting::{ActingUpstream, TOKENS};
use crate::support::client::{self, Http};
use crate::support::closed::Closed;
use crate::support::envoy::{Envoy, Options};
use crate::support::prometheus::{Sample, total};
use crate::support::responder::Responder;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::Request;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);
/// The number of calls, unless the environment sets another.
const CALLS: usize = 1120;
/// The number of calls at the same time.
const CLIENTS: usize = 12;
/// Cost of an answer in nano-USD: 2.50 USD for a million tokens of the prompt, 10 USD for a million of the completion.
const COST: u64 = TOKENS.0 * 2500 + TOKENS.1 * 10_000;

/// A kind of call: the route, what the upstream does, whether the client asks for a stream, a header that `respond.wat` behind
/// the plugin obeys, and the outcome.
const KINDS: &[(&str, &str, bool, &str, &str)] = &[
    ("", "ok", false, "", "completed"),
    ("", "ok", true, "", "completed"),
    ("/retry", "503 ok", false, "", "completed"),
    ("/retry", "reset ok", true, "", "completed"),
    ("", "to=/fallback/v1/chat/completions ok", true, "", "completed"),
    ("/hedge", "hang ok", false, "", "completed"),
    ("", "503", false, "", "error"),
    ("", "cut", true, "", "upstream_reset"),
    ("", "stall", true, "", "client_disconnect"),
    ("/refused", "", false, "", "upstream_reset"),
    ("/short", "hang", false, "", "timeout"),
    ("/direct", "", false, "", "local_reply"),
    ("", "", false, CACHE, "local_reply"),
    ("", "ok", false, GUARD, "local_reply"),
];
/// The filter answers with an earlier answer, which has usage.
const CACHE: &str = "x-cached";
/// The filter replaces the provider's answer.
const GUARD: &str = "x-guard";

/// The outcome of a leg that an internal redirect replaces.
const REDIRECTED: &str = "redirected";

/// What calls of one outcome amount to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sum {
    calls: u64,
    input: u64,
    output: u64,
    nanousd: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_tokens_and_cost_by_outcome_agree_with_what_the_upstream_served() {
    let calls = std::env::var("GAUGEWAY_LEDGER_CALLS").map_or(CALLS, |calls| calls.parse().unwrap());
    let upstream = ActingUpstream::start().await;
    let (responder, closed) = (Responder::new(), Closed::new());
    let envoy = Arc::new(start(&upstream, &responder, &closed).await);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let envoy = Arc::clone(&envoy);
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for number in (client..calls).step_by(CLIENTS) {
                    ids.push((number, call(&envoy, number).await));
                }
                ids
            })
        })
        .collect();
    let mut ids = Vec::new();
    for client in clients {
        ids.extend(client.await.unwrap());
    }
    assert_eq!(ids.len(), calls);

    let mut record: HashMap<String, Vec<String>> = HashMap::new();
    for one in upstream.served() {
        record.entry(one.request_id).or_default().push(one.act);
    }
    let (mut expected, mut hidden) = (BTreeMap::<_, Sum>::new(), 0);
    for (number, id) in &ids {
        let (route, acts, _, filter, outcome) = KINDS[number % KINDS.len()];
        let served = record.remove(id).unwrap_or_default();
        assert_eq!(served.join(" "), acts, "what the upstream did for {route} {filter}");
        let sum = expected.entry(outcome.to_owned()).or_default();
        sum.calls += 1;
        match served.last().map(String::as_str) {
            Some("ok") if filter.is_empty() => {
                (sum.input, sum.output) = (sum.input + TOKENS.0, sum.output + TOKENS.1);
                sum.nanousd += COST;
            }
            // The provider worked on an answer that the client did not get in full.
            Some("ok" | "cut" | "stall" | "hang") => hidden += 1,
            _ => {}
        }
    }
    assert!(record.is_empty(), "the upstream served other calls: {record:?}");
    // The access log also has a line for each redirected leg, which no metric counts.
    let legs = upstream.served().iter().filter(|one| one.act.starts_with("to=")).count();
    let mut lines = expected.clone();
    lines.insert(REDIRECTED.to_owned(), Sum { calls: legs as u64, ..Sum::default() });

    let mut logged = BTreeMap::<_, Sum>::new();
    for entry in envoy.entries_of(calls + legs, PATIENCE).await {
        let sum = logged.entry(entry["gaugeway.outcome"].as_str().unwrap_or_default().to_owned()).or_default();
        let number = |key: &str| -> f64 { entry[key].as_str().map_or(0.0, |value| value.parse().unwrap()) };
        sum.calls += 1;
        sum.input += number("gen_ai.usage.input_tokens") as u64;
        sum.output += number("gen_ai.usage.output_tokens") as u64;
        sum.nanousd += (number("gaugeway.cost.usd") * 1e9).round() as u64;
    }
    assert_eq!(logged, lines, "the access log (left) and the upstream's record (right)");

    let done = |samples: &[Sample]| total(samples, "gaugeway_requests_total", &[]) >= calls as f64;
    let samples = envoy.samples_when(done, PATIENCE).await;
    let counted = |metric: &str, labels: &[(&str, &str)]| total(&samples, metric, labels) as u64;
    for (outcome, sum) in &expected {
        assert_eq!(counted("gaugeway_requests_total", &[("outcome", outcome)]), sum.calls, "{outcome}");
    }
    let whole = Sum {
        calls: counted("gaugeway_requests_total", &[]),
        input: counted("gaugeway_input_tokens_total", &[]),
        output: counted("gaugeway_output_tokens_total", &[]),
        nanousd: counted("gaugeway_cost_nanousd_total", &[]),
    };
    let completed = &expected["completed"];
    assert_eq!(counted("gaugeway_requests_total", &[("outcome", REDIRECTED)]), 0);
    assert_eq!(whole, Sum { calls: calls as u64, ..*completed });
    assert_eq!(counted("gaugeway_usage_hidden_total", &[]), hidden);
    println!("the upstream's record: {expected:#?}\nthe access log: {logged:#?}\nmetrics: {whole:?}, hidden: {hidden}");
}

/// `envoy/envoy.yaml` with two instances of the plugin, `respond.wat` behind them, and a route for each kind of call.
async fn start(upstream: &ActingUpstream, responder: &Responder, closed: &Closed) -> Envoy {
    let refused = format!(
        "{{name: refused, type: STATIC, load_assignment: {{cluster_name: refused, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}}}]}}]}}}}",
        closed.addr.port()
    );
    let redirects = "internal_redirect_policy: {max_internal_redirects: 1, redirect_response_codes: [302]}";
    let route = "route: {cluster: llm, timeout: 0s";
    let mut options =
        Options { text: Some(with_second_instance("another")), concurrency: 2, ..Options::to(upstream.addr) };
    let llm = "\n    load_assignment:\n      cluster_name: llm\n";
    let retries = "\n    circuit_breakers: {thresholds: [{max_retries: 1000}]}";
    let router = "          - name: envoy.filters.http.router\n";
    options.replace.push((router.to_owned(), format!("          - {}\n{router}", responder.filter())));
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

/// Sends a call and checks what the client gets. Returns the call's identifier.
async fn call(envoy: &Envoy, number: usize) -> String {
    let (route, acts, stream, filter, outcome) = KINDS[number % KINDS.len()];
    let mut body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Is it?"}]});
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
    }
    let id = client::request_id();
    let mut request = Request::post(format!("{route}/v1/chat/completions")).header("host", "api.openai.com");
    if !filter.is_empty() {
        request = request.header(filter, "yes");
    }
    let request = request.header("x-request-id", &id).header("x-acts", acts);
    let request = request.header("content-type", "application/json").body(Full::from(body.to_string())).unwrap();
    if outcome == "client_disconnect" {
        let mut open = client::open(envoy.addr, request, Http::One).await.unwrap();
        assert!(open.response.body_mut().frame().await.unwrap().is_ok());
        return id;
    }
    let reply = client::send(envoy.addr, request, Http::One).await;
    let is_whole = reply.is_ok_and(|reply| reply.status == 200 && reply.broken.is_none());
    assert_eq!(is_whole, outcome == "completed" || filter == CACHE, "{route} {acts} {filter}");
    id
}
