//! The API `detect`, for hosts and paths that do not show the API. It applies the rules of OpenAI, Anthropic and Gemini at once.
//!
//! Specifications: those of the three APIs. No member of a body selects an API for the rest of the exchange, so documents such as
//! `{"type":"message"}` and `{"candidates":[]}` cannot hide later ones. Whether the exchange is LLM traffic is decided at the end,
//! by what was read.

use super::common::ITEM;
use super::{Api, Endpoint, anthropic, gemini, openai, responses};
use crate::draft::Draft;

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
        ("", anthropic::USAGE),
        ("message", anthropic::ANSWER),
        ("message", anthropic::FIRST_USAGE),
        ("", openai::CHAT_ANSWER),
    ],
    document,
    by_shape: true,
    ..Api::DEFAULT
};

/// An endpoint that no path matches. Only the configuration selects it.
pub const ENDPOINTS: &[Endpoint] = &[Endpoint::exact("\0", &SHAPE)];

fn document(d: &mut Draft) {
    if d.open.kind().starts_with("response.") || d.open.has_finish_reason() {
        responses::document(d);
    } else {
        anthropic::document(d);
    }
}
