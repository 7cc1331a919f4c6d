//! Cohere chat, generate, embed and rerank, versions 1 and 2.
//!
//! Specification: Cohere's SDK types. Counts are floating-point numbers. If a response has both billed and processed tokens, the
//! billed ones are used.

use super::common::result;
use super::openai::{self, output_type, prompted};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Deferred, Rule, Scalar, close, deferred, open, raw, scalar, text};

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
pub const GENERATE: Api =
    Api { name: "cohere-generate", operation: "text_completion", by_shape: true, only_api_of_vendor: true, ..CHAT };

/// `POST /v2/embed`, `/v1/embed`
pub const EMBED: Api = Api {
    name: "cohere-embed",
    operation: "embeddings",
    request: &[("", openai::MESSAGES), ("", REQUEST)],
    response: &[("", ANSWER), ("meta", TOKENS)],
    by_shape: true,
    only_api_of_vendor: true,
    ..Api::DEFAULT
};

/// `POST .../rerank`, also of vendors that serve the same API
pub const RERANK: Api = Api {
    name: "cohere-rerank",
    operation: "rerank",
    request: &[("", &[scalar("model", Draft::request_model), deferred("query", prompted)])],
    response: &[
        ("", ANSWER),
        ("", RANKS),
        ("usage", openai::TOKENS),
        ("usage", openai::TOTAL),
        ("usage", openai::COST),
        ("meta", TOKENS),
    ],
    usage_expected: false,
    by_shape: true,
    only_api_of_vendor: true,
    ..Api::DEFAULT
};

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/v2/chat", &CHAT).host("cohere.com"),
    Endpoint::new("/v1/chat", &CHAT).host("cohere.com"),
    Endpoint::new("/v2/chat", &CHAT).host("cohere.ai"),
    Endpoint::new("/v1/chat", &CHAT).host("cohere.ai"),
    Endpoint::new("/v1/generate", &GENERATE),
    Endpoint::new("/v2/embed", &EMBED),
    Endpoint::new("/v1/embed", &EMBED),
    Endpoint::new("/rerank", &RERANK),
];

/// The ranks of documents: of Cohere and vLLM, Voyage, Pinecone, Text Embeddings Inference.
const RANKS: &[Rule<Draft>] = &[
    scalar("model", Draft::response_model),
    scalar("results[].relevance_score", |d, _| d.shows_api = true),
    scalar("data[].relevance_score", |d, _| d.shows_api = true),
    scalar("data[].score", |d, _| d.shows_api = true),
    scalar("[].score", |d, _| d.provider_by_shape("hugging_face")),
];

/// Rules for the request.
pub const REQUEST: &[Rule<Draft>] = &[
    scalar("model", Draft::request_model),
    scalar("stream", Draft::request_stream),
    scalar("max_tokens", Draft::max_tokens),
    scalar("temperature", Draft::temperature),
    scalar("p", Draft::top_p),
    scalar("k", Draft::top_k),
    scalar("num_generations", Draft::choice_count),
    scalar("seed", Draft::seed),
    scalar("frequency_penalty", Draft::frequency_penalty),
    scalar("presence_penalty", Draft::presence_penalty),
    scalar("stop_sequences[]", Draft::stop_sequence),
    scalar("response_format.type", output_type),
    // The content of a result may be documents.
    deferred("messages[].content[].document.data", result),
    raw("messages[].content[].document.data", Draft::result_json),
    // In version 1 the last message is outside the list of the earlier ones, before or after it.
    open("chat_history[]", |d, _| d.count_message()),
    deferred("message", message),
    deferred("prompt", prompted),
    deferred("texts[]", prompted),
    deferred("query", prompted),
];

fn message() -> Deferred<Draft> {
    let say: fn(&mut Draft, &[u8]) = |d, piece| match piece {
        [] => {
            d.count_message();
            d.message_role(Scalar::Text("user"));
            d.message_text(piece);
        }
        _ => d.message_text(piece),
    };
    Deferred { is_awaited: |_| true, now: say, preview: None, later: say, digest: Some(Draft::text_hashed) }
}

/// Rules for an answer, and for the last event of a stream of version 1.
pub const ANSWER: &[Rule<Draft>] = &[
    scalar("id", Draft::response_id),
    scalar("generation_id", Draft::response_id),
    scalar("finish_reason", Draft::finish_reason),
    open("generations[]", Draft::choice_opened),
    close("generations[]", Draft::choice_closed),
    scalar("generations[].finish_reason", Draft::choice_finish_reason),
    open("tool_calls[]", Draft::part_opened),
    close("tool_calls[]", |d| d.tool_call(u64::from(d.open.part_index()))),
    scalar("tool_calls[].name", Draft::part_name),
    scalar("error_type", Draft::outer_error),
    open("message.tool_calls[]", Draft::part_opened),
    close("message.tool_calls[]", |d| d.tool_call(u64::from(d.open.part_index()))),
    scalar("message.tool_calls[].id", Draft::part_id),
    scalar("message.tool_calls[].function.name", Draft::part_name),
];

/// Rules for the text of an answer.
pub const TEXT: &[Rule<Draft>] = &[
    text("text", Draft::answer_text),
    text("generations[].text", Draft::answer_text),
    text("message.content[].text", Draft::answer_text),
];

/// Rules for the events of a stream.
pub const EVENT: &[Rule<Draft>] = &[
    scalar("type", Draft::document_kind),
    scalar("event_type", Draft::document_kind),
    scalar("index", Draft::choice_index_or_zero),
    text("delta.message.content.text", Draft::answer_text),
    text("delta.message.content.thinking", Draft::other_text),
    text("delta.message.tool_plan", Draft::other_text),
    open("delta.message.tool_calls", Draft::part_opened),
    scalar("delta.message.tool_calls.id", Draft::part_id),
    scalar("delta.message.tool_calls.function.name", Draft::part_name),
    text("delta.message.tool_calls.function.arguments", Draft::other_text),
    scalar("delta.finish_reason", Draft::finish_reason),
    text("delta.error", |d, _| d.failed()),
];

/// Rules for the counts.
pub const TOKENS: &[Rule<Draft>] = &[
    scalar("billed_units.input_tokens", |d, v| {
        d.provider_by_shape("cohere");
        d.count(v, |c| &mut c.input);
    }),
    scalar("billed_units.output_tokens", |d, v| d.count(v, |c| &mut c.output)),
    scalar("billed_units.search_units", |d, v| d.detail(v, |q| &mut q.search_units)),
    scalar("billed_units.images", |d, v| d.detail(v, |q| &mut q.images)),
    scalar("billed_units.image_tokens", |d, v| d.detail(v, |q| &mut q.input_image)),
    scalar("tokens.input_tokens", |d, v| d.count(v, |c| &mut c.spare_input)),
    scalar("tokens.output_tokens", |d, v| d.count(v, |c| &mut c.spare_output)),
    scalar("cached_tokens", |d, v| d.count(v, |c| &mut c.cache_read)),
];

/// Evaluates an event.
pub fn document(d: &mut Draft) {
    match d.open.kind() {
        "tool-call-start" => d.tool_call(u64::from(d.open.choice_index())),
        "message-end" | "stream-end" => d.complete(),
        _ => {}
    }
}
