//! The API `detect`, for hosts and paths that do not show the API. It applies the rules of OpenAI, Anthropic and Gemini at once.
//!
//! Specifications: those of the three APIs. No member of a body selects an API for the rest of the exchange, so documents such as
//! `{"type":"message"}` and `{"candidates":[]}` cannot hide later ones. Whether the exchange is LLM traffic is decided at the end,
//! by what was read.

use super::common::ITEM;
use super::{Api, Endpoint, anthropic, cohere, gemini, openai, responses};
use crate::draft::Draft;
use crate::json::{Rule, close, open, scalar, text};

/// The rules of all three APIs.
pub const SHAPE: Api = Api {
    name: "detect",
    operation: "chat",
    request: &[
        ("", openai::SAMPLING),
        ("input[]", ITEM),
        ("", responses::INPUT),
        ("", anthropic::REQUEST),
        ("", gemini::REQUEST),
        ("generationConfig", gemini::CONFIG),
    ],
    response: &[
        ("", gemini::ANSWER),
        ("", gemini::COUNTS),
        ("usageMetadata", gemini::MODALITIES),
        ("", gemini::ERROR),
        ("", openai::ERROR),
        ("", responses::EVENT),
        ("", responses::RESPONSE),
        ("usage", openai::TOKENS),
        ("usage", openai::COST),
        ("response", responses::RESPONSE),
        ("response", openai::ERROR),
        ("response.usage", openai::TOKENS),
        ("response.usage", openai::COST),
        ("", anthropic::EVENT),
        ("", anthropic::ANSWER),
        ("", anthropic::COUNTS),
        ("", anthropic::USAGE),
        ("message", anthropic::ANSWER),
        ("message", anthropic::COUNTS),
        ("message", anthropic::FIRST_USAGE),
        ("", openai::CHAT_ANSWER),
    ],
    document,
    by_shape: true,
    ..Api::DEFAULT
};

/// Chats at path endings that several vendors use: Cohere, Writer, LM Studio, and gateways in front of them.
pub const CHAT: Api = Api {
    name: "detect-chat",
    request: &[
        ("", openai::SAMPLING),
        ("input[]", ITEM),
        ("", responses::INPUT),
        ("", anthropic::REQUEST),
        ("", openai::MESSAGES),
        ("", cohere::REQUEST),
        ("", &[scalar("stop[]", Draft::stop_sequence), scalar("stop", Draft::stop_sequence)]),
    ],
    response: &[
        ("", openai::ERROR),
        ("", anthropic::EVENT),
        ("", anthropic::ANSWER),
        ("", anthropic::COUNTS),
        ("", anthropic::USAGE),
        ("message", anthropic::ANSWER),
        ("message", anthropic::COUNTS),
        ("message", anthropic::FIRST_USAGE),
        ("", cohere::ANSWER),
        ("response", cohere::ANSWER),
        ("", cohere::TEXT),
        ("", cohere::EVENT),
        ("usage", cohere::TOKENS),
        ("meta", cohere::TOKENS),
        ("response.meta", cohere::TOKENS),
        ("delta.usage", cohere::TOKENS),
        ("", openai::CHAT_ANSWER),
        ("usage", openai::TOKENS),
        ("usage", openai::COST),
        ("", LM_STUDIO),
        ("result", LM_STUDIO),
        ("", &[text("content", lm_studio_text)]),
    ],
    document: |d| {
        lm_studio_event(d);
        cohere::document(d);
        document(d);
    },
    ..SHAPE
};

/// The answer of LM Studio's own chat API. The last event of a stream has it too.
///
/// Specification: lmstudio.ai/docs/developer/rest, chat and streaming events.
const LM_STUDIO: &[Rule<Draft>] = &[
    scalar("model_instance_id", |d, v| {
        d.provider_by_shape("lm_studio");
        d.response_model(v);
    }),
    scalar("response_id", Draft::response_id),
    scalar("stats.input_tokens", |d, v| d.count(v, |c| &mut c.input)),
    scalar("stats.total_output_tokens", |d, v| d.count(v, |c| &mut c.output)),
    scalar("stats.reasoning_output_tokens", |d, v| d.count(v, |c| &mut c.reasoning)),
    open("output[]", Draft::part_marked),
    close("output[]", |d| {
        if d.open.part_kind() != "message" || d.answer.text_comes_in_deltas() {
            d.part_dropped();
        }
    }),
    scalar("output[].type", Draft::part_kind),
    text("output[].content", Draft::answer_text),
];

/// A piece of the text of an event, whose type may follow it.
fn lm_studio_text(d: &mut Draft, piece: &[u8]) {
    match piece {
        [] => d.choice_marked(),
        _ => d.answer_text(piece),
    }
}

fn lm_studio_event(d: &mut Draft) {
    match d.open.kind() {
        "message.delta" => d.set_text_comes_in_deltas(true),
        "chat.end" => d.complete(),
        _ => d.choice_dropped(),
    }
}

/// The first endpoint is one that no path matches: only the configuration selects it.
pub const ENDPOINTS: &[Endpoint] =
    &[Endpoint::exact("\0", &SHAPE), Endpoint::new("/v1/chat", &CHAT), Endpoint::new("/v2/chat", &CHAT)];

fn document(d: &mut Draft) {
    if d.open.kind().starts_with("response.") || d.open.has_finish_reason() {
        responses::document(d);
    } else {
        anthropic::document(d);
    }
}
