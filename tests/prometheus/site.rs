//! The Envoys and the traffic of `events.rs`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::alerts::full_gateway;
use crate::events::{EVENTS, Event, FASTER, HEALTHY, PATIENCE, PLAIN};
use crate::server::{Prometheus, faster};
use crate::support::agent::{Api, Conversation, Line};
use crate::support::client::{self, Http};
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::upstream::Upstream;
use crate::tools;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;

pub struct Site {
    pub upstream: Upstream,
    /// All events except those of the other three Envoys.
    pub gateway: Envoy,
    /// Gets calls to more models than it may have series for.
    pub crowded: Envoy,
    /// Gets traffic that is not LLM traffic.
    pub silent: Envoy,
    /// Ends.
    pub gone: Envoy,
    /// Has no memory for more calls.
    pub full: Envoy,
    pub prometheus: Prometheus,
}

impl Site {
    pub async fn start() -> Self {
        let upstream = Upstream::start(Fixture::all()).await;
        // Envoy answers calls with these headers itself.
        let denied = "{name: denied, match: {prefix: \"/\", headers: [{name: x-upstream, string_match: {exact: deny}}]}, direct_response: {status: 503}}";
        let lost = "{name: lost, match: {prefix: \"/\", headers: [{name: x-upstream, string_match: {exact: lose}}]}, route: {cluster: empty}}";
        let empty = "{name: empty, type: STATIC}".to_owned();
        let routes: Vec<_> = [denied, lost].map(str::to_owned)
            .into_iter()
            .chain(EVENTS.iter().map(|event| {
                let timeout = if event.name == "failing" { "1s" } else { "0s" };
                let name = event.name;
                format!("{{name: {name}, match: {{prefix: \"/\", headers: [{{name: x-event, string_match: {{exact: {name}}}}}]}}, route: {{cluster: llm, timeout: {timeout}}}}}")
            }))
            .collect();
        let routes: Vec<_> = routes.iter().map(String::as_str).collect();
        let cheap = json!({"input": 0.01, "output": 0.01});
        let mut prices: serde_json::Map<_, _> = EVENTS
            .iter()
            .filter(|event| event.name != "unpriced")
            .map(|event| (format!("model-{}", event.name), cheap.clone()))
            .collect();
        for model in ["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"] {
            prices.insert(model.to_owned(), cheap.clone());
        }
        prices.insert("model-forgotten".to_owned(), json!({"input": 50, "cached_input": 5, "output": 50}));
        prices.insert("model-spending".to_owned(), json!({"input": 2000, "output": 2000}));
        prices.insert("model-costly".to_owned(), json!({"input": 20_000_000, "output": 20_000_000}));
        let config = json!({
            "agent": {"max_iterations": 8}, "prices": prices, "labels": {"max_series": 5000}, "streams": {"stalled_after": 3},
        });
        let gateway = Envoy::start(&Options { config, ..Options::to(upstream.addr).with(&routes, &[empty]) }).await;
        let models: serde_json::Map<_, _> =
            (0..MODELS).map(|number| (format!("crowd-{number}"), cheap.clone())).collect();
        let config = json!({"prices": models, "labels": {"max_series": 50}});
        let crowded = Envoy::start(&Options { config, ..Options::to(upstream.addr) }).await;
        let silent = Envoy::start(&Options::to(upstream.addr)).await;
        let gone = Envoy::start(&Options::to(upstream.addr)).await;
        let full = full_gateway(upstream.addr, None).await;
        let targets = [gateway.admin, crowded.admin, silent.admin, gone.admin, full.admin];
        let prometheus = Prometheus::start_with(&targets, "1s", |rules| faster(rules, FASTER)).await;
        Site { upstream, gateway, crowded, silent, gone, full, prometheus }
    }

    /// Successful calls on every route, until the end of the test.
    pub fn healthy_traffic(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (gateway, silent) = (self.gateway.addr, self.silent.addr);
        for event in EVENTS.iter().filter(|event| !["unpriced", "spending"].contains(&event.name)) {
            if tools::is_of_tools(event) {
                tasks.spawn(tools::healthy(gateway, event));
                continue;
            }
            let json = json!({"response_format": {"type": "json_object"}});
            let (travel, fixture, extra) = match event.name {
                "slow" | "uncounted" => ("whole", Some(PLAIN), json!({"stream": true})),
                "broken" => ("whole", Some("openai-chat/unary-json-schema"), json),
                "shorter" => ("big=20000", None, json!({})),
                _ => ("echo", None, json!({})),
            };
            // Answers as long as before would hide the shorter ones.
            let start = Instant::now();
            let end = start + if event.name == "shorter" { HEALTHY } else { 10 * PATIENCE };
            tasks.spawn(async move {
                for number in 0.. {
                    let now = Instant::now();
                    if now > end {
                        return;
                    }
                    // After the healthy time, one call in twelve fails here, however busy the machine is.
                    let fails =
                        event.name == "flaky" && number % 12 == 11 && now > start + HEALTHY + Duration::from_secs(2);
                    let (travel, fixture) =
                        if fails { ("whole", Some("openai-chat/error-500-code-null")) } else { (travel, fixture) };
                    send(gateway, call(event, travel, fixture, extra.clone())).await;
                    let pause = if event.name == "flaky" { 85 } else { 1000 };
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            });
        }
        tasks.spawn(async move {
            let end = Instant::now() + HEALTHY;
            while Instant::now() < end {
                send(silent, client::request(&Fixture::load("openai-chat/unary"), &[])).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        tasks
    }

    pub fn events(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (gateway, crowded, silent) = (self.gateway.addr, self.crowded.addr, self.silent.addr);
        EVENTS
            .iter()
            .filter(|event| tools::is_of_tools(event))
            .for_each(|event| tools::bad(gateway, event, &mut tasks));
        for event in EVENTS {
            let bad: &'static [(&str, Option<&str>)] = match event.name {
                "failing" => &[
                    ("whole", Some("openai-chat/error-500-code-null")),
                    ("whole", Some("openai-chat/error-429-to-a-stream-request")),
                    ("reset-after=20", Some("openai-chat/unary")),
                    ("hang", Some("openai-chat/unary")),
                    ("whole", Some("openai-chat/truncated-stream")),
                ],
                "shorter" => &[("big=100", None)],
                "broken" => &[("whole", Some("openai-chat/json-asked-for-and-not-given"))],
                "uncounted" => &[("whole", Some("openai-chat/stream-without-usage"))],
                "unreadable" => &[("whole", Some("openai-chat/absurd-usage-stream-keeps-the-last-sane-value"))],
                "spending" => &[("echo", None)],
                "denied" => &[("deny", None)],
                "lost" => &[("lose", None)],
                _ => &[],
            };
            let extra = match event.name {
                "broken" => json!({"response_format": {"type": "json_object"}}),
                "uncounted" | "unreadable" => json!({"stream": true}),
                _ => json!({}),
            };
            if !bad.is_empty() {
                tasks.spawn(async move {
                    for (travel, fixture) in bad.iter().cycle() {
                        send(gateway, call(event, travel, *fixture, extra.clone())).await;
                        tokio::time::sleep(Duration::from_millis(1000)).await;
                    }
                });
            }
        }
        // Each of the next three happens once, within one interval of the scrapes.
        tasks.spawn(async move { send(gateway, call(&EVENTS[8], "echo", None, json!({}))).await });
        for _ in 0..5 {
            tasks.spawn(async move { run(gateway, "looping", "agent=6 again").await });
        }
        tasks.spawn(async move {
            for model in (0..MODELS).map(|number| format!("crowd-{number}")) {
                send(crowded, call(&EVENTS[0], "echo", None, json!({"model": model}))).await;
            }
        });
        tasks.spawn(async move {
            for number in 0.. {
                for request in conversation(&EVENTS[15], number) {
                    send(gateway, request).await;
                }
                tokio::time::sleep(Duration::from_millis(1000)).await;
            }
        });
        tasks.spawn(async move {
            loop {
                run(gateway, "endless", "agent=99").await;
                tokio::time::sleep(Duration::from_millis(1000)).await;
            }
        });
        tasks.spawn(async move {
            loop {
                let request = call(&EVENTS[2], "gap=500", Some(PLAIN), json!({"stream": true}));
                drop(client::open(gateway, request, Http::One).await);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        // Twelve streams at a time stop in the middle.
        for _ in 0..12 {
            tasks.spawn(async move {
                loop {
                    send(gateway, call(&EVENTS[14], "pause=6000", Some(PLAIN), json!({"stream": true}))).await;
                }
            });
        }
        // The first token is late for every second stream.
        for number in 0..12 {
            tasks.spawn(async move {
                tokio::time::sleep(Duration::from_millis(number * 1000)).await;
                loop {
                    send(gateway, call(&EVENTS[3], "wait=11000", Some(PLAIN), json!({"stream": true}))).await;
                }
            });
        }
        tasks.spawn(async move {
            loop {
                drop(client::get(silent, "/health").await);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        tasks
    }
}

/// Number of models whose calls exceed the series of [`Site::crowded`].
const MODELS: usize = 60;

/// A call on the route of an event. `extra` has further members of its body.
pub fn call(event: &Event, travel: &str, fixture: Option<&str>, extra: Value) -> Request<Full<Bytes>> {
    let mut body =
        json!({"model": format!("model-{}", event.name), "messages": [{"role": "user", "content": "Well?"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap());
    let mut request = Request::post("/v1/chat/completions").header("host", event.host);
    request = request.header("content-type", "application/json").header("x-event", event.name);
    if let Some(fixture) = fixture {
        request = request.header("x-fixture", fixture);
    }
    request.header("x-upstream", travel).body(Full::from(body.to_string())).unwrap()
}

/// Two calls of one conversation. The second has another system prompt, and reads nothing from the cache.
fn conversation(event: &Event, number: u32) -> [Request<Full<Bytes>>; 2] {
    let said = |role: &str, text: &str| json!({"role": role, "content": text});
    let question = said("user", &format!("question {number}"));
    let further = [question.clone(), said("assistant", "ok"), said("user", "go on")];
    let model = format!("model-{}", event.name);
    let answer = json!({"id": "c", "object": "chat.completion", "model": model,
        "choices": [{"index": 0, "message": said("assistant", "ok"), "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3000, "completion_tokens": 3, "total_tokens": 3003, "prompt_tokens_details": {"cached_tokens": 0}}});
    [[&[said("system", "a")], &[question][..]].concat(), [&[said("system", "b")], &further[..]].concat()].map(
        |messages| {
            let mut request = call(event, "given", None, json!({"messages": messages}));
            request.headers_mut().insert("x-answer", answer.to_string().parse().unwrap());
            request
        },
    )
}

/// Sends a request that may fail, and reads the answer.
async fn send(addr: SocketAddr, request: Request<Full<Bytes>>) {
    drop(client::send(addr, request, Http::One).await);
}

/// An agent that runs until its final answer or for ten calls.
async fn run(addr: SocketAddr, event: &str, travel: &str) {
    let mut lines = [Line::open(addr).await.unwrap(), Line::open(addr).await.unwrap()];
    let mut agent = Conversation::new(Api::Completions, false);
    agent.headers.push(("x-event", event.to_owned()));
    agent.run(&mut lines, travel).await;
}
