//! What one caller sends changes nothing of another caller's runs: in a real Envoy with two workers, with equal conversations,
//! equal identifiers, and with far more runs than there are slots.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::agent::{Api, Conversation, Line, to_both_workers};
use crate::support::client;
use crate::support::envoy::{self, Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const APIS: [Api; 3] = [Api::Completions, Api::Messages, Api::Responses];
const RUNS: &str = "gaugeway_agent_runs_total";
const DURATIONS: &str = "gaugeway_tool_duration_microseconds_count";
/// A histogram with one value per call. Envoy shows the values of all histograms later than those of counters.
const REQUESTS: &str = "gen_ai_client_inference_duration_microseconds_count";

/// The credentials of two callers, whose names begin with `prefix`: of the first, of the second, and of the first when it has
/// renewed them.
fn credentials(prefix: &str) -> Vec<[(&'static str, String); 3]> {
    let token = |claims: Value| format!("Bearer eyJhbGciOiJSUzI1NiJ9.{}.c2ln", base64(&claims.to_string()));
    let signed = |id: &str, signature: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential={id}{prefix}/20261129/eu-west-1/bedrock/aws4_request, SignedHeaders=host, Signature={signature}"
        )
    };
    let claims = |subject: &str, end: u64| {
        token(json!({"iss": "https://id.example", "sub": format!("{prefix}-{subject}"), "exp": end}))
    };
    vec![
        ["a", "b", "a"].map(|key| ("authorization", format!("Bearer sk-{prefix}-{key}"))),
        ["a", "b", "a"].map(|key| ("x-api-key", format!("{prefix}-{key}"))),
        [claims("alice", 1), claims("bob", 1), claims("alice", 2)].map(|value| ("authorization", value)),
        [signed("AKIDA", "1"), signed("AKIDB", "2"), signed("AKIDA", "3")].map(|value| ("authorization", value)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_with_equal_conversations_and_equal_identifiers_do_not_share_runs() {
    let site = Site::start(json!({})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    let (mut waiting, mut sent) = (Vec::new(), 0.0);
    let of = |api: Api| credentials(&format!("{api:?}")).into_iter().map(move |three| (api, three));
    for (api, [alice, bob, renewed]) in APIS.into_iter().flat_map(of) {
        let mut own = Conversation::new(api, false);
        own.headers = vec![alice];
        let calls = own.turn(&mut lines[0], "agent=1 same-ids").await.calls;
        own.add_results(&calls);
        // Bob sends what Alice would send next, on both workers.
        let mut copied = own.clone();
        copied.headers = vec![bob];
        for line in &mut lines {
            let turn = copied.clone().turn(line, "agent=1").await;
            let entry = site.envoy.entry(&turn.request_id, PATIENCE).await.unwrap();
            // In the Responses API only the remembered calls show the iteration.
            let iteration = entry["gaugeway.agent.iteration"].as_str();
            assert_eq!(iteration, (api != Api::Responses).then_some("2"), "{api:?} {:?}", copied.headers);
        }
        own.headers = vec![renewed];
        waiting.push(own);
        sent += 3.0;
    }
    let samples = site.when(REQUESTS, sent).await;
    assert_eq!(total(&samples, DURATIONS, &[]), 0.0, "a caller has taken the tool calls of another");
    for (number, own) in waiting.iter_mut().enumerate() {
        let turn = own.turn(&mut lines[number % 2], "agent=1").await;
        let entry = site.envoy.entry(&turn.request_id, PATIENCE).await.unwrap();
        assert_eq!(entry["gaugeway.agent.iteration"].as_str(), Some("2"), "{:?}", own.headers);
    }
    let samples = site.when(REQUESTS, sent + waiting.len() as f64).await;
    assert_eq!(total(&samples, DURATIONS, &[]), waiting.len() as f64);
    let log = site.envoy.log();
    let outputs = [log.clone(), site.envoy.admin("/stats").await, json!(site.envoy.entries()).to_string()].concat();
    for secret in ["sk-Completions", "AKIDAMessages", "id.example", "-alice"] {
        assert!(!outputs.contains(secret), "{secret} is reported");
    }
    assert!(!log.contains("[wasm]"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_whose_first_4096_bytes_are_equal_have_hashes_and_runs_of_their_own() {
    let site = Site::start(json!({})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    let (mut hashes, mut conversations) = (Vec::new(), Vec::new());
    for tail in ["one", "other"] {
        let system = format!("{} {tail}", "You answer in few words. ".repeat(400));
        let mut conversation = Conversation::new(Api::Completions, false).with_system(&system);
        let turn = conversation.turn(&mut lines[0], "agent=1 same-ids").await;
        conversation.add_results(&turn.calls);
        conversations.push(conversation);
        let entry = site.envoy.entry(&turn.request_id, PATIENCE).await.unwrap();
        hashes.push(entry["gaugeway.conversation.hash"].as_str().unwrap().to_owned());
    }
    assert_ne!(hashes[0], hashes[1]);
    // Each takes its own call, and the second does not replace that of the first.
    for (number, conversation) in conversations.iter_mut().enumerate() {
        conversation.turn(&mut lines[1], "agent=1").await;
        let samples = site.when(REQUESTS, 3.0 + number as f64).await;
        assert_eq!(total(&samples, DURATIONS, &[]), 1.0 + number as f64);
    }
}

/// What a simulated caller does.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// Runs to the end.
    Continues,
    /// Asks, and never brings a result.
    Leaves,
    /// Brings results that it was never asked for.
    Forges,
}

fn part(number: usize) -> Part {
    match number % 4 {
        1 => Part::Leaves,
        2 => Part::Forges,
        _ => Part::Continues,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_crosses_between_a_thousand_callers_with_equal_messages_and_colliding_identifiers() {
    // GAUGEWAY_CALLERS sets the number of callers.
    let count: usize = std::env::var("GAUGEWAY_CALLERS").map_or(1_000, |count| count.parse().unwrap());
    let site = Site::start(json!({"agent": {"abandoned_after": 20}})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    let mut bringing = Vec::new();
    for api in APIS {
        let mut conversation = Conversation::new(api, false);
        conversation.headers = vec![("x-api-key", format!("sk-pattern-{api:?}"))];
        let calls = conversation.turn(&mut lines[0], "agent=1 same-ids").await.calls;
        conversation.add_results(&calls);
        bringing.push(conversation);
    }
    let mut callers: Vec<_> = (0..count)
        .map(|number| {
            let forged = part(number) == Part::Forges;
            let mut own =
                if forged { bringing[number % 3].clone() } else { Conversation::new(APIS[number % 3], false) };
            own.headers = vec![("authorization", format!("Bearer sk-{number}"))];
            own
        })
        .collect();
    let of = |wanted: Part| (0..count).filter(|number| part(*number) == wanted).count() as f64;
    let mut sent = bringing.len() as f64;
    // All ask before anybody brings a result. Then the forgers bring theirs before the others.
    for (number, own) in callers.iter_mut().enumerate().filter(|(number, _)| part(*number) != Part::Forges) {
        let calls = own.turn(&mut lines[number % 2], "agent=2 same-ids").await.calls;
        own.add_results(&calls);
    }
    for (number, own) in callers.iter_mut().enumerate().filter(|(number, _)| part(*number) == Part::Forges) {
        own.turn(&mut lines[number % 2], "agent=1").await;
    }
    sent += count as f64;
    let samples = site.when(REQUESTS, sent).await;
    assert_eq!(total(&samples, DURATIONS, &[]), 0.0, "a caller has taken the tool calls of another");
    for (step, travel) in ["agent=2 same-ids", "agent=2"].iter().enumerate() {
        for (number, own) in callers.iter_mut().enumerate().filter(|(number, _)| part(*number) == Part::Continues) {
            let calls = own.turn(&mut lines[(number + step + 1) % 2], travel).await.calls;
            own.add_results(&calls);
        }
        sent += of(Part::Continues);
        let samples = site.when(REQUESTS, sent).await;
        assert_eq!(total(&samples, DURATIONS, &[]), of(Part::Continues) * (step + 1) as f64, "step {step}");
    }
    // Each run is counted once, with its own end. The result of a forger shows that there was a run, except in the Responses API.
    let shown = (0..count).filter(|number| part(*number) == Part::Forges && number % 3 != 2).count() as f64;
    let expected = BTreeMap::from([
        ("abandoned", (of(Part::Leaves) + bringing.len() as f64) as u64),
        ("completed", (of(Part::Continues) + shown) as u64),
    ]);
    let all = |samples: &[Sample]| runs(samples).values().sum::<u64>() >= expected.values().sum();
    let samples = site.envoy.samples_when(all, PATIENCE).await;
    assert_eq!(runs(&samples), expected);
}

/// Begins a run of a caller, and continues it if `continues`.
async fn run(lines: &mut [Line; 2], caller: &str, continues: bool) {
    let mut conversation = Conversation::new(Api::Completions, false);
    conversation.headers = vec![("x-api-key", caller.to_owned())];
    let calls = conversation.turn(&mut lines[0], "agent=1").await.calls;
    conversation.add_results(&calls);
    if continues {
        conversation.turn(&mut lines[1], "agent=1").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runs_of_other_clients_do_not_end_a_run_that_waits() {
    let site = Site::start(json!({"agent": {"slots": 64}})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    let mut waiting = Conversation::new(Api::Completions, false);
    waiting.headers = vec![("x-api-key", "waits".to_owned())];
    let calls = waiting.turn(&mut lines[0], "agent=1").await.calls;
    waiting.add_results(&calls);
    let began = Instant::now();
    for number in 0..400 {
        run(&mut lines, &format!("moves on {number}"), true).await;
    }
    // One client with more runs than there are slots forgets its own.
    for _ in 0..400 {
        run(&mut lines, "leaves", false).await;
    }
    println!("{:.0} runs per second", 800.0 / began.elapsed().as_secs_f64());
    let samples = site.when(REQUESTS, 1201.0).await;
    assert_eq!(runs(&samples), [("completed", 400)].into());
    waiting.turn(&mut lines[1], "agent=1").await;
    let samples = site.when(REQUESTS, 1202.0).await;
    assert_eq!(total(&samples, DURATIONS, &[]), 401.0, "the waiting run was forgotten");
    assert_eq!(runs(&samples), [("completed", 401)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_for_which_there_is_no_slot_is_forgotten_and_not_counted() {
    let site = Site::start(json!({"agent": {"slots": 64, "abandoned_after": 10}})).await;
    let mut lines = to_both_workers(&site.envoy).await;
    for number in 0..300 {
        run(&mut lines, &format!("leaves {number}"), false).await;
    }
    let abandoned = |samples: &[Sample]| total(samples, RUNS, &[("status", "abandoned")]);
    site.envoy.samples_when(|samples| abandoned(samples) >= 64.0, PATIENCE).await;
    // The slots hold the last runs. The time of all others is over too.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let samples = site.envoy.samples().await;
    assert_eq!(runs(&samples), [("abandoned", 64)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feedback_on_an_identifier_that_two_callers_got_counts_for_neither() {
    let body = |id: &str| {
        json!({"id": id, "object": "chat.completion", "model": "gpt-4o", "choices": [{"index": 0,
            "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]})
        .to_string()
    };
    let ask = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    let at = ("api.openai.com", "/v1/chat/completions");
    let fixtures = ["own", "both"].map(|id| Fixture::made(id, at, &ask, "application/json", body(id)));
    let upstream = Upstream::start(fixtures.to_vec()).await;
    let replace = vec![envoy::holding_requests()];
    let config = json!({"feedback": {"path": "/feedback", "secret": "correct-horse-battery"}});
    let envoy = Envoy::start(&Options { concurrency: 2, config, replace, ..Options::to(upstream.addr) }).await;
    let mut lines = to_both_workers(&envoy).await;
    for (number, (fixture, key)) in [(0, "a"), (0, "a"), (1, "a"), (1, "b"), (1, "a")].into_iter().enumerate() {
        let id = fixtures[fixture].id.clone();
        let call = client::request(&fixtures[fixture], &[("x-api-key", key), ("x-fixture", &id)]);
        assert_eq!(lines[number % 2].send(call).await.0, 200);
    }
    for (id, status) in [("own", 204), ("both", 404)] {
        let score = json!({"response_id": id, "score": 1}).to_string();
        let request = Request::post("/feedback").header("host", "llm").header("content-type", "application/json");
        let request = request.header("authorization", "Bearer correct-horse-battery");
        let request = request.body(Full::from(Bytes::from(score))).unwrap();
        assert_eq!(lines[0].send(request).await.0, status, "{id}");
    }
}

struct Site {
    _upstream: Upstream,
    envoy: Envoy,
}

impl Site {
    async fn start(config: Value) -> Self {
        let upstream = Upstream::start(Vec::new()).await;
        let envoy = Envoy::start(&Options { concurrency: 2, config, ..Options::to(upstream.addr) }).await;
        Self { _upstream: upstream, envoy }
    }

    /// Returns all samples once a metric has reached a value, or when the timeout expires.
    async fn when(&self, name: &str, reached: f64) -> Vec<Sample> {
        self.envoy.samples_when(|samples| total(samples, name, &[]) >= reached, PATIENCE).await
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

/// Base64 for URLs, without padding.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut digits = String::new();
    for bytes in text.as_bytes().chunks(3) {
        let bits = bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - bytes.len()));
        (0..=bytes.len()).for_each(|at| digits.push(DIGITS[(bits >> (18 - 6 * at)) as usize & 63] as char));
    }
    digits
}
