//! Ollama's own API: a stream has one JSON document per line. A request asks for a stream unless it says otherwise.
//!
//! Specification: `api/types.go` of Ollama. A response has no counts that are 0.

use super::openai::{self, prompted};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Group, Rule, Scalar, close, deferred, open, raw, scalar, text};

/// `POST /api/chat`
pub const CHAT: Api = Api {
    name: "ollama-chat",
    operation: "chat",
    request: REQUEST,
    response: &[("", ANSWER)],
    terminated: true,
    by_shape: true,
    only_api_of_vendor: true,
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
            scalar("model", Draft::request_model),
            scalar("stream", Draft::request_stream),
            scalar("format", |d, v| {
                if v == Scalar::Text("json") {
                    d.set_output_type("json");
                }
            }),
            open("format", |d, _| d.set_output_type("json")),
            deferred("prompt", prompted),
            deferred("input", prompted),
            deferred("input[]", prompted),
        ],
    ),
    (
        "options",
        &[
            scalar("num_predict", Draft::max_tokens),
            scalar("temperature", Draft::temperature),
            scalar("top_k", Draft::top_k),
            scalar("top_p", Draft::top_p),
            scalar("seed", Draft::seed),
            scalar("frequency_penalty", Draft::frequency_penalty),
            scalar("presence_penalty", Draft::presence_penalty),
            scalar("stop", Draft::stop_sequence),
            scalar("stop[]", Draft::stop_sequence),
        ],
    ),
];

const ANSWER: &[Rule<Draft>] = &[
    scalar("model", Draft::response_model),
    // The older form of embeddings has nothing else.
    scalar("embedding", |d, _| d.shows_api = true),
    text("message.content", Draft::answer_text),
    text("message.thinking", Draft::other_text),
    text("response", Draft::answer_text),
    text("thinking", Draft::other_text),
    open("message.tool_calls[]", Draft::part_opened),
    close("message.tool_calls[]", |d| {
        // Each call arrives complete and once, so it is a new one.
        let place = d.tool_call_count();
        d.tool_call(place);
    }),
    scalar("message.tool_calls[].id", Draft::part_id),
    scalar("message.tool_calls[].function.name", Draft::part_name),
    raw("message.tool_calls[].function.arguments", Draft::structured_arguments),
    scalar("done", |d, v| d.complete_if(v.is_true())),
    scalar("done_reason", |d, v| {
        // A request without a prompt only loads a model, or unloads it.
        if matches!(v, Scalar::Text("load" | "unload")) {
            d.unwanted();
        }
        d.finish_reason(v);
    }),
    scalar("prompt_eval_count", |d, v| d.count(v, |c| &mut c.input)),
    scalar("eval_count", |d, v| d.count(v, |c| &mut c.output)),
    text("error", |d, _| d.failed()),
];
