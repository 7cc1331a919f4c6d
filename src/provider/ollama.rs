//! Ollama's own API: a stream has one JSON document per line. A request asks for a stream unless it says otherwise.
//!
//! Specification: `api/types.go` of Ollama. A response has no counts that are 0.

use super::openai::{self, prompted, stop};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Group, Rule, Scalar, close, deferred, identity, open, scalar, text};

/// `POST /api/chat`
pub const CHAT: Api = Api {
    name: "ollama-chat",
    operation: "chat",
    request: REQUEST,
    response: &[("", ANSWER)],
    terminated: true,
    ..Api::DEFAULT
};

/// `POST /api/generate`
pub const GENERATE: Api = Api { name: "ollama-generate", operation: "text_completion", ..CHAT };

/// `POST /api/embed` and `/api/embeddings`
pub const EMBED: Api = Api { name: "ollama-embed", operation: "embeddings", terminated: false, ..CHAT };

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/api/chat", &CHAT).streaming_by_default(),
    Endpoint::new("/api/generate", &GENERATE).streaming_by_default(),
    Endpoint::new("/api/embed", &EMBED),
    Endpoint::new("/api/embeddings", &EMBED),
];

const REQUEST: &[Group<Draft>] = &[
    ("", openai::MESSAGES),
    (
        "",
        &[
            scalar("model", |d, v| d.seen.request.model = v.text()),
            scalar("stream", |d, v| d.seen.request.stream = Some(v.is_true())),
            scalar("format", |d, v| {
                if v == Scalar::Text("json") {
                    d.seen.request.output_type = Some("json");
                }
            }),
            open("format", |d, _| d.seen.request.output_type = Some("json")),
            deferred("prompt", prompted),
            deferred("input", prompted),
            deferred("input[]", prompted),
        ],
    ),
    (
        "options",
        &[
            scalar("num_predict", |d, v| d.seen.request.max_tokens = v.count()),
            scalar("temperature", |d, v| d.seen.request.temperature = v.float()),
            scalar("top_k", |d, v| d.seen.request.top_k = v.float()),
            scalar("top_p", |d, v| d.seen.request.top_p = v.float()),
            scalar("seed", |d, v| d.seen.request.seed = v.integer()),
            scalar("frequency_penalty", |d, v| d.seen.request.frequency_penalty = v.float()),
            scalar("presence_penalty", |d, v| d.seen.request.presence_penalty = v.float()),
            scalar("stop", stop),
            scalar("stop[]", stop),
        ],
    ),
];

const ANSWER: &[Rule<Draft>] = &[
    scalar("model", Draft::response_model),
    text("message.content", Draft::answer),
    text("message.thinking", Draft::aside),
    text("response", Draft::answer),
    text("thinking", Draft::aside),
    open("message.tool_calls[]", Draft::part_opened),
    close("message.tool_calls[]", |d| {
        // Each call arrives complete and once, so it is a new one.
        let place = d.seen.output.tools.len() as u64;
        d.call(place);
    }),
    scalar("message.tool_calls[].id", |d, v| d.open.part.id = identity(v)),
    scalar("message.tool_calls[].function.name", |d, v| d.open.part.name = v.text()),
    scalar("done", |d, v| d.complete |= v.is_true()),
    scalar("done_reason", |d, v| d.finished(v)),
    scalar("prompt_eval_count", |d, v| d.count(v, |c| &mut c.input)),
    scalar("eval_count", |d, v| d.count(v, |c| &mut c.output)),
    text("error", |d, _| d.failed()),
];
