//! Calls of several kinds and an agent's run, whose spans the plugin itself sends to a backend, and the figures that the
//! upstream serves for them.

use crate::support::agent::{Api, Conversation, Line};
use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::upstream::Upstream;
use serde_json::{Value, json};

/// A call whose trace has no other span, and the figures in its answer.
pub struct Call {
    pub fixture: &'static str,
    pub operation: &'static str,
    pub requested: &'static str,
    pub answered: Option<&'static str>,
    /// The tokens of the prompt, of the completion, read from a cache and written to it. Those of the prompt include
    /// both of the cache.
    pub tokens: [Option<u64>; 4],
}

pub const CALLS: [Call; 4] = [
    Call {
        fixture: "openai-chat/stream-include-usage",
        operation: "chat",
        requested: "gpt-4o-mini",
        answered: Some("gpt-4o-mini-2024-07-18"),
        tokens: [Some(19), Some(8), Some(0), None],
    },
    Call {
        fixture: "anthropic-messages/unary-cache-read-and-creation",
        operation: "chat",
        requested: "claude-sonnet-4-20250514",
        answered: Some("claude-sonnet-4-20250514"),
        tokens: [Some(21 + 1800 + 240), Some(17), Some(1800), Some(240)],
    },
    Call {
        fixture: "openai-embeddings/array-of-inputs",
        operation: "embeddings",
        requested: "text-embedding-3-small",
        answered: Some("text-embedding-3-small"),
        tokens: [Some(6), None, None, None],
    },
    Call {
        fixture: "anthropic-messages/error-529",
        operation: "chat",
        requested: "claude-sonnet-4-20250514",
        answered: None,
        tokens: [None; 4],
    },
];

/// The conversation of every call.
pub const CONVERSATION: &str = "kitchen-7";

/// The tokens of each answer in the agent's run.
pub const TURN: [u64; 2] = [50, 10];

/// The identifiers of the traces: those of [`CALLS`], and that of the agent's run with three calls and two tools.
pub struct Traces {
    pub calls: [String; CALLS.len()],
    pub run: String,
}

/// Sends all calls through an Envoy that does not trace. `otlp` is the plugin's setting of this name, and `adapt` adds the
/// address of the backend to Envoy's configuration.
pub async fn send(otlp: Value, adapt: impl FnOnce(&mut Options)) -> (Envoy, Traces) {
    let upstream = Upstream::start(Fixture::all()).await;
    let config = json!({"otlp": otlp, "conversation": {"header": "x-conversation"}});
    let mut options = Options { tracing: false, config, ..Options::to(upstream.addr) };
    adapt(&mut options);
    let envoy = Envoy::start(&options).await;

    let mut traces = Traces { calls: CALLS.map(|_| client::request_id()), run: String::new() };
    for (call, id) in CALLS.iter().zip(&traces.calls) {
        let headers = [("x-request-id", id.as_str()), ("x-conversation", CONVERSATION)];
        client::replay(envoy.addr, &Fixture::load(call.fixture), &headers).await;
    }
    let mut line = Line::open(envoy.addr).await.unwrap();
    let mut conversation = Conversation::new(Api::Completions, true);
    conversation.headers.push(("x-conversation", CONVERSATION.to_owned()));
    for number in 0..3 {
        let turn = conversation.turn(&mut line, "agent=2").await;
        conversation.add_results(&turn.calls);
        if number == 0 {
            traces.run = turn.request_id;
        }
    }
    // Without a parent, the identifier of a trace is that of the first request.
    let hex = |id: &String| id.replace('-', "");
    (envoy, Traces { calls: traces.calls.each_ref().map(hex), run: hex(&traces.run) })
}
