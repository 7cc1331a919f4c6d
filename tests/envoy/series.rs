//! One client invents names of every kind, through a real Envoy with the default limit of series. Honest names that are
//! seen for the first time afterwards still get their own series.
//!
//! `GAUGEWAY_EXCHANGES=100000` sets the number of exchanges. The default is enough to fill the shares.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::envoy::{Envoy, Options};
use crate::support::prometheus::{Sample, total};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(20);
/// Enough exchanges to fill every share of the default limit. `FLOODS` repeat.
const EXCHANGES: usize = 6000;
/// Concurrent calls. They share one connection, so that one worker of two gets all of them.
const TOGETHER: usize = 16;
/// Number of tools in one exchange.
const TOOLS: usize = 16;

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_names_get_their_own_series_after_one_client_invented_names_of_every_kind() {
    let exchanges = std::env::var("GAUGEWAY_EXCHANGES").map_or(EXCHANGES, |number| number.parse().unwrap());
    let team = "  - {tag_name: team, regex: '^wasmcustom\\..*?(team=\\.=(.*?);\\.;)'}\n  - {tag_name: route,";
    let envoy = Envoy::start(&Options {
        config: json!({"labels": {"headers": {"x-team": "team"}, "models": ["house-model"]}}),
        concurrency: 2,
        replace: vec![("  - {tag_name: route,".to_owned(), team.to_owned())],
        ..Options::to(obedient().await)
    })
    .await;
    let site = Site::to(envoy).await;
    site.call(CHAT, "honest", chat("gpt-4o", "gpt-4o-2024-08-06", &[])).await;
    let (began, before) = (Instant::now(), site.memory());
    site.flood(exchanges, |number| FLOODS[number % FLOODS.len()](number)).await;
    let took = began.elapsed().as_secs_f64();

    // A model of the price table, a model of the configuration, and a tool that an answer names.
    site.call(CHAT, "honest", chat("gpt-4.1", "gpt-4.1-2025-04-14", &["tide_table"])).await;
    site.call(CHAT, "honest", chat("house-model", "house-model", &[])).await;
    site.call(MESSAGES, "honest", failing("claude-opus-4-1", &["tide_table".to_owned()])).await;
    let calls = exchanges + 4;
    let samples = site.counted(calls).await;
    for model in ["gpt-4.1", "house-model", "claude-opus-4-1"] {
        site.has_its_own_series(&samples, model);
    }
    for metric in ["gaugeway_tool_calls_total", "gaugeway_tool_errors_total"] {
        assert_eq!(total(&samples, metric, &[("gen_ai_tool_name", "tide_table")]), 1.0, "{metric}");
    }
    let tools: BTreeSet<_> = samples.iter().map(|sample| sample.label("gen_ai_tool_name")).collect();
    assert_eq!(tools, BTreeSet::from(["", "other", "tide_table"]), "only answers may name tools");
    let models: BTreeSet<_> = samples.iter().map(|sample| sample.label("gen_ai_request_model")).collect();
    let spelled: Vec<_> = models.iter().filter(|name| name.to_ascii_lowercase().starts_with("gpt-4o")).collect();
    assert_eq!(spelled, [&"gpt-4o", &"gpt-4o-mini-transcribe"], "the client's spelling is a label");
    let invented = models.iter().filter(|name| name.starts_with("claude-3-5-sonnet-"));
    assert_eq!(invented.count(), 0, "{models:?}");
    for (kind, is_lost) in [
        ("header", true),
        ("error_type", true),
        ("response_model", true),
        ("tool_name", false),
        ("request_model", false),
    ] {
        let lost = total(&samples, "gaugeway_series_overflow_total", &[("kind", kind)]);
        assert_eq!(lost > 0.0, is_lost, "{lost} samples lost a name of the kind {kind}");
    }
    let after = site.memory();
    println!("counted after {:.1} s", began.elapsed().as_secs_f64());
    println!(
        "{exchanges} exchanges in {took:.1} s; {} counters and gauges, {} histograms; Envoy grew from {before:.1} to {after:.1} MiB",
        samples.iter().filter(|sample| is_counter(sample)).count(),
        samples.iter().filter(|sample| is_histogram(sample)).count(),
    );

    // A model that calls invented tools fills the share of tools, and no other.
    site.flood(exchanges / 10, |number| {
        let tools: Vec<_> = (0..TOOLS).map(|tool| format!("invented-{number}-{tool}")).collect();
        let tools: Vec<_> = tools.iter().map(String::as_str).collect();
        (CHAT, "honest".to_owned(), chat("gpt-4o", "gpt-4o-2024-08-06", &tools))
    })
    .await;
    site.call(CHAT, "honest", chat("gpt-5-mini", "gpt-5-mini-2025-08-07", &[])).await;
    let samples = site.counted(calls + exchanges / 10 + 1).await;
    site.has_its_own_series(&samples, "gpt-5-mini");
    assert!(total(&samples, "gaugeway_series_overflow_total", &[("kind", "tool_name")]) > 0.0);
    assert_eq!(total(&samples, "gaugeway_series_overflow_total", &[("kind", "request_model")]), 0.0);
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

/// An exchange: the path, the team, and the body, which says how to answer.
type Call = (&'static str, String, Value);

/// What the attacker sends, by the number of the exchange.
const FLOODS: [fn(usize) -> Call; 8] = [
    // Failing tools that only the request names.
    |n| {
        (
            MESSAGES,
            String::new(),
            failing("claude-3-haiku", &(0..TOOLS).map(|at| format!("tool-{n}-{at}")).collect::<Vec<_>>()),
        )
    },
    // A name that begins like a model of the price table, echoed by the upstream.
    |n| {
        (
            MESSAGES,
            String::new(),
            chat(&format!("claude-3-5-sonnet-invented-{n}"), &format!("claude-3-5-sonnet-invented-{n}"), &[]),
        )
    },
    |n| (MESSAGES, String::new(), chat(&format!("claude-3-5-sonnet-invented-{n}"), "", &[])),
    // Spellings of a model of the price table.
    |n| {
        (
            CHAT,
            String::new(),
            chat(&spelled("gpt-4o-mini-transcribe", n / 8), &spelled("gpt-4o-mini-transcribe", n / 8), &[]),
        )
    },
    |n| (CHAT, String::new(), chat(&spelled("gpt-4o", n / 8), "", &[])),
    // A model that nobody knows, echoed by the upstream.
    |n| (CHAT, String::new(), chat(&format!("invented-{n}"), &format!("invented-{n}"), &[])),
    |n| (CHAT, String::new(), error("gpt-4o", &format!("invented_{n}"))),
    // Everything at once.
    |n| {
        let name = if n % 16 < 8 { format!("invented-{n}") } else { "gpt-4o".to_owned() };
        (CHAT, format!("invented-{n}"), if n % 32 < 16 { error(&name, &name) } else { chat(&name, &name, &[]) })
    },
];

/// A request for a model, and an answer that names a model and calls tools.
fn chat(requested: &str, answered: &str, tools: &[&str]) -> Value {
    let calls: Vec<_> = tools
        .iter()
        .map(|name| json!({"id": format!("call-{name}"), "type": "function", "function": {"name": name, "arguments": "{}"}}))
        .collect();
    let message = json!({"role": "assistant", "content": "ok", "tool_calls": calls});
    json!({"model": requested, "messages": [{"role": "user", "content": "hi"}], "status": 200, "answer": {
        "model": answered,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "content": [{"type": "text", "text": "ok"}], "type": "message", "stop_reason": "end_turn",
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "input_tokens": 5, "output_tokens": 2},
    }})
}

/// A request with failed results of tools.
fn failing(model: &str, tools: &[String]) -> Value {
    let calls: Vec<_> =
        tools.iter().map(|name| json!({"type": "tool_use", "id": name, "name": name, "input": {}})).collect();
    let results: Vec<_> = tools
        .iter()
        .map(|name| json!({"type": "tool_result", "tool_use_id": name, "is_error": true, "content": "no"}))
        .collect();
    let mut call = chat(model, model, &[]);
    call["messages"] = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]);
    call
}

/// A request that the provider answers with an error.
fn error(model: &str, code: &str) -> Value {
    json!({"model": model, "messages": [], "status": 400, "answer": {"error": {"code": code, "message": "no"}}})
}

/// A spelling with capital letters, by the bits of a number.
fn spelled(name: &str, number: usize) -> String {
    let letters = name.chars().enumerate();
    letters.map(|(at, c)| if number >> (at % 16) & 1 == 1 { c.to_ascii_uppercase() } else { c }).collect()
}

/// An upstream that answers as the request says.
async fn obedient() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let answer = async |request: Request<Incoming>| {
                let body = request.into_body().collect().await?.to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap();
                let response = Response::builder().status(body["status"].as_u64().unwrap() as u16);
                let response = response.header("content-type", "application/json");
                Ok::<_, hyper::Error>(response.body(Full::new(Bytes::from(body["answer"].to_string()))).unwrap())
            };
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)),
            );
        }
    });
    addr
}

struct Site {
    envoy: Envoy,
    connection: SendRequest<Full<Bytes>>,
}

impl Site {
    async fn to(envoy: Envoy) -> Self {
        let stream = TcpStream::connect(envoy.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (connection, task) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(task);
        Site { envoy, connection }
    }

    async fn call(&self, path: &str, team: &str, body: Value) {
        send(self.connection.clone(), path, team, body).await;
    }

    async fn flood(&self, exchanges: usize, invent: impl Fn(usize) -> Call + Copy + Send + 'static) {
        let mut clients = JoinSet::new();
        for first in 0..TOGETHER {
            let connection = self.connection.clone();
            clients.spawn(async move {
                for number in (first..exchanges).step_by(TOGETHER) {
                    let (path, team, body) = invent(number);
                    send(connection.clone(), path, &team, body).await;
                }
            });
        }
        clients.join_all().await;
    }

    /// All samples, once the histograms include all calls.
    async fn counted(&self, calls: usize) -> Vec<Sample> {
        let flushed = |samples: &[Sample]| {
            total(samples, "gen_ai_client_inference_duration_microseconds_count", &[]) == calls as f64
        };
        let samples = self.envoy.samples_when(flushed, PATIENCE).await;
        assert!(flushed(&samples), "not every call is counted");
        assert_eq!(total(&samples, "gaugeway_requests_total", &[]), calls as f64);
        samples
    }

    /// Checks that the only call to a model is counted under its name.
    fn has_its_own_series(&self, samples: &[Sample], model: &str) {
        let own = [("gen_ai_request_model", model)];
        for (metric, value) in [
            ("gaugeway_requests_total", 1.0),
            ("gaugeway_input_tokens_total", 5.0),
            ("gen_ai_client_inference_duration_microseconds_count", 1.0),
            ("gen_ai_client_inference_operation_input_tokens_count", 1.0),
        ] {
            assert_eq!(total(samples, metric, &own), value, "{metric} of {model}");
        }
        let answered =
            samples.iter().find(|sample| sample.name == "gaugeway_requests_total" && sample.label(own[0].0) == model);
        assert!(answered.unwrap().label("gen_ai_response_model").starts_with(model), "{answered:?}");
    }

    /// Envoy's resident memory in MiB.
    fn memory(&self) -> f64 {
        self.envoy.resident() as f64 / 1024.0 / 1024.0
    }
}

async fn send(mut connection: SendRequest<Full<Bytes>>, path: &str, team: &str, body: Value) {
    let host = if path == MESSAGES { "api.anthropic.com" } else { "api.openai.com" };
    let status = body["status"].as_u64().unwrap() as u16;
    let request = Request::post(format!("http://{host}{path}")).header("content-type", "application/json");
    let request = if team.is_empty() { request } else { request.header("x-team", team) };
    connection.ready().await.unwrap();
    let response =
        connection.send_request(request.body(Full::new(Bytes::from(body.to_string()))).unwrap()).await.unwrap();
    assert_eq!(response.status(), status);
    response.into_body().collect().await.unwrap();
}

fn is_histogram(sample: &Sample) -> bool {
    is_ours(sample) && sample.name.ends_with("_count")
}

fn is_counter(sample: &Sample) -> bool {
    is_ours(sample) && !["_count", "_sum", "_bucket"].iter().any(|end| sample.name.ends_with(end))
}

fn is_ours(sample: &Sample) -> bool {
    sample.name.starts_with("gaugeway_") || sample.name.starts_with("gen_ai_")
}
