//! Losses of the provider's prompt cache, in a real Envoy with two workers: calls of one conversation alternate between the workers, and
//! what breaks the cache is reported with the loss.

use std::time::Duration;

use crate::support::agent::{Line, to_both_workers};
use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const TOKENS: &str = "gaugeway_cache_lost_tokens_total";
const COST: &str = "gaugeway_cache_lost_nanousd_total";

/// A call whose last message is a user's. The provider read this number of tokens from its cache.
fn call(id: &str, system: &str, texts: &[&str], (input, read): (u64, u64), is_stream: bool) -> Fixture {
    let roles = ["user", "assistant"].into_iter().cycle();
    let mut messages = vec![json!({"role": "system", "content": system})];
    messages.extend(texts.iter().zip(roles).map(|(text, role)| json!({"role": role, "content": text})));
    let ask = json!({"model": "gpt-4o", "stream": is_stream, "messages": messages});
    let usage =
        json!({"prompt_tokens": input, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": read}});
    let at = ("api.openai.com", "/v1/chat/completions");
    if is_stream {
        let chunk = |choices: Value, usage: Value| {
            format!("data: {}\n\n", json!({"id": id, "model": "gpt-4o", "choices": choices, "usage": usage}))
        };
        let said = chunk(json!([{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}]), Value::Null);
        let body = [said, chunk(json!([]), usage), "data: [DONE]\n\n".into()].concat();
        return Fixture::made(id, at, &ask, "text/event-stream", body);
    }
    let choices = json!([{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]);
    let body = json!({"id": id, "model": "gpt-4o", "choices": choices, "usage": usage}).to_string();
    Fixture::made(id, at, &ask, "application/json", body)
}

/// Sends a call and returns its line in the access log.
async fn send(envoy: &Envoy, line: &mut Line, fixture: &Fixture, key: &str) -> Value {
    let id = client::request_id();
    let request = client::request(fixture, &[("x-api-key", key), ("x-fixture", &fixture.id), ("x-request-id", &id)]);
    assert_eq!(line.send(request).await.0, 200);
    envoy.entry(&id, PATIENCE).await.unwrap()
}

fn found(entry: &Value) -> [Option<&str>; 4] {
    ["break.cause", "break.message", "lost_tokens.estimate", "lost_usd.estimate"]
        .map(|name| entry[format!("gaugeway.cache.{name}")].as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_part_that_breaks_the_cache_is_reported_whichever_worker_has_the_calls() {
    let texts = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let mut edited = texts;
    edited[3] = "edited";
    let fixtures = [
        call("first", "s", &texts[..1], (4000, 0), false),
        call("second", "s", &texts[..3], (5000, 3968), true),
        call("third", "s", &edited[..5], (6000, 4992), false),
        call("edited", "s", &texts[..7], (7000, 2048), true),
        call("fifth", "t", &texts[..9], (8000, 0), false),
    ];
    let upstream = Upstream::start(fixtures.to_vec()).await;
    let envoy = Envoy::start(&Options { concurrency: 2, ..Options::to(upstream.addr) }).await;
    let mut lines = to_both_workers(&envoy).await;
    let mut entries = Vec::new();
    for (number, fixture) in fixtures.iter().enumerate() {
        entries.push(send(&envoy, &mut lines[number % 2], fixture, "alice").await);
    }
    let nothing = [None; 4];
    assert_eq!([0, 1, 2].map(|at| found(&entries[at])), [nothing; 3]);
    // The system message is the first one of the request. Half of the price of 2.50 dollars per million tokens is lost.
    assert_eq!(found(&entries[3]), [Some("message"), Some("5"), Some("3952"), Some("0.00494")]);
    assert_eq!(found(&entries[4]), [Some("system"), None, Some("7000"), Some("0.00875")]);
    // To another caller the conversation is new.
    let entry = send(&envoy, &mut lines[0], &fixtures[3], "bob").await;
    assert_eq!(found(&entry), nothing);
    let lost = |samples: &[_]| total(samples, TOKENS, &[("cause", "system")]);
    let samples = envoy.samples_when(|samples| lost(samples) > 0.0, PATIENCE).await;
    for (cause, tokens, nanousd) in [("message", 3952.0, 4_940_000.0), ("system", 7000.0, 8_750_000.0)] {
        assert_eq!(total(&samples, TOKENS, &[("cause", cause)]), tokens);
        assert_eq!(total(&samples, COST, &[("cause", cause)]), nanousd);
    }
    assert_eq!(total(&samples, TOKENS, &[]), 10_952.0);
    assert!(!envoy.log().contains("[wasm]"), "{}", envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_reported_if_no_conversations_are_remembered() {
    let fixtures =
        [call("first", "s", &["1"], (4000, 0), false), call("second", "t", &["1", "2", "3"], (5000, 0), false)];
    let upstream = Upstream::start(fixtures.to_vec()).await;
    let config = json!({"agent": {"conversations": 0}});
    let envoy = Envoy::start(&Options { concurrency: 2, config, ..Options::to(upstream.addr) }).await;
    let mut lines = to_both_workers(&envoy).await;
    for fixture in &fixtures {
        let entry = send(&envoy, &mut lines[0], fixture, "alice").await;
        assert_eq!(found(&entry), [None; 4]);
    }
}
