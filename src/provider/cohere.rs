//! Cohere chat, generate, embed and rerank, versions 1 and 2.
//!
//! Specification: Cohere's SDK types. Counts are floating-point numbers. If a response has both billed and processed tokens, the
//! billed ones are used.

use super::openai::{self, output_type, prompted, stop};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Deferred, Rule, close, deferred, identity, open, scalar, text};

/// `POST /v2/chat`, `/v1/chat`
pub const CHAT: Api = Api {
    name: "cohere-chat",
    operation: "chat",
    request: &[("", openai::MESSAGES), ("", REQUEST)],
    response: &[
        ("", ANSWER),
        ("response", ANSWER),
        ("", TEXT),
        ("", EVENT),
        ("usage", TOKENS),
        ("meta", TOKENS),
        ("response.meta", TOKENS),
        ("delta.usage", TOKENS),
    ],
    document,
    terminated: true,
    ..Api::DEFAULT
};

/// `POST /v1/generate`
pub const GENERATE: Api = Api { name: "cohere-generate", operation: "text_completion", ..CHAT };

/// `POST /v2/embed`, `/v1/embed`
pub const EMBED: Api = Api {
    name: "cohere-embed",
    operation: "embeddings",
    request: &[("", openai::MESSAGES), ("", REQUEST)],
    response: &[("", ANSWER), ("meta", TOKENS)],
    ..Api::DEFAULT
};

/// `POST .../rerank`, also of vendors that serve the same API
pub const RERANK: Api = Api {
    name: "cohere-rerank",
    operation: "rerank",
    request: &[("", openai::MESSAGES), ("", REQUEST)],
    response: &[
        ("", ANSWER),
        ("", &[scalar("model", Draft::response_model)]),
        ("usage", openai::TOKENS),
        ("usage", openai::TOTAL),
        ("usage", openai::COST),
    ],
    usage_expected: false,
    ..Api::DEFAULT
};

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/v2/chat", &CHAT),
    Endpoint::new("/v1/chat", &CHAT),
    Endpoint::new("/v1/generate", &GENERATE),
    Endpoint::new("/v2/embed", &EMBED),
    Endpoint::new("/v1/embed", &EMBED),
    Endpoint::new("/rerank", &RERANK),
];

const REQUEST: &[Rule<Draft>] = &[
    scalar("model", |d, v| d.seen.request.model = v.text()),
    scalar("stream", |d, v| d.seen.request.stream = Some(v.is_true())),
    scalar("max_tokens", |d, v| d.seen.request.max_tokens = v.count()),
    scalar("temperature", |d, v| d.seen.request.temperature = v.float()),
    scalar("p", |d, v| d.seen.request.top_p = v.float()),
    scalar("k", |d, v| d.seen.request.top_k = v.float()),
    scalar("num_generations", |d, v| d.seen.request.choice_count = v.count()),
    scalar("seed", |d, v| d.seen.request.seed = v.integer()),
    scalar("frequency_penalty", |d, v| d.seen.request.frequency_penalty = v.float()),
    scalar("presence_penalty", |d, v| d.seen.request.presence_penalty = v.float()),
    scalar("stop_sequences[]", stop),
    scalar("response_format.type", output_type),
    // In version 1 the last message is outside the list of the earlier ones, before or after it.
    open("chat_history[]", |d, _| d.counted_message()),
    deferred("message", message),
    deferred("prompt", prompted),
    deferred("texts[]", prompted),
    deferred("query", prompted),
];

fn message() -> Deferred<Draft> {
    let say: fn(&mut Draft, &[u8]) = |d, piece| match piece {
        [] => d.counted_message(),
        _ => d.said(piece),
    };
    Deferred { is_awaited: |_| true, now: say, preview: None, later: say }
}

const ANSWER: &[Rule<Draft>] = &[
    scalar("id", Draft::response_id),
    scalar("generation_id", Draft::response_id),
    scalar("finish_reason", Draft::finished),
    open("generations[]", Draft::choice_opened),
    close("generations[]", Draft::choice_closed),
    scalar("generations[].finish_reason", |d, v| d.open.choice.finish = v.text()),
    open("tool_calls[]", Draft::part_opened),
    close("tool_calls[]", |d| d.call(u64::from(d.open.part.index))),
    scalar("tool_calls[].name", |d, v| d.open.part.name = v.text()),
    scalar("error_type", |d, v| d.error.outer = v.text()),
    open("message.tool_calls[]", Draft::part_opened),
    close("message.tool_calls[]", |d| d.call(u64::from(d.open.part.index))),
    scalar("message.tool_calls[].id", |d, v| d.open.part.id = identity(v)),
    scalar("message.tool_calls[].function.name", |d, v| d.open.part.name = v.text()),
];

const TEXT: &[Rule<Draft>] = &[
    text("text", Draft::answer),
    text("generations[].text", Draft::answer),
    text("message.content[].text", Draft::answer),
];

const EVENT: &[Rule<Draft>] = &[
    scalar("type", |d, v| d.open.kind.set(v)),
    scalar("event_type", |d, v| d.open.kind.set(v)),
    scalar("index", |d, v| d.open.choice.index = v.count().map_or(0, |n| n as u32)),
    text("delta.message.content.text", Draft::answer),
    text("delta.message.content.thinking", Draft::aside),
    text("delta.message.tool_plan", Draft::aside),
    open("delta.message.tool_calls", Draft::part_opened),
    scalar("delta.message.tool_calls.id", |d, v| d.open.part.id = identity(v)),
    scalar("delta.message.tool_calls.function.name", |d, v| d.open.part.name = v.text()),
    text("delta.message.tool_calls.function.arguments", Draft::aside),
    scalar("delta.finish_reason", Draft::finished),
    text("delta.error", |d, _| d.failed()),
];

const TOKENS: &[Rule<Draft>] = &[
    scalar("billed_units.input_tokens", |d, v| d.count(v, |c| &mut c.input)),
    scalar("billed_units.output_tokens", |d, v| d.count(v, |c| &mut c.output)),
    scalar("tokens.input_tokens", |d, v| d.count(v, |c| &mut c.spare_input)),
    scalar("tokens.output_tokens", |d, v| d.count(v, |c| &mut c.spare_output)),
    scalar("cached_tokens", |d, v| d.count(v, |c| &mut c.cache_read)),
];

fn document(d: &mut Draft) {
    match d.open.kind.as_str() {
        "tool-call-start" => d.call(u64::from(d.open.choice.index)),
        "message-end" | "stream-end" => d.complete = true,
        _ => {}
    }
}
