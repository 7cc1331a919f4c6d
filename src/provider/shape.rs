//! An API told by its bodies' shape, for hosts and paths that tell nothing: OpenAI's, Anthropic's and Gemini's at once.
//!
//! No shape decides for the rest of the exchange, so `{"type":"message"}` or `{"candidates":[]}` mislead nothing; only what
//! is read in the end shows whether it was LLM traffic at all.

use super::common::ITEM;
use super::{Api, Endpoint, anthropic, gemini, openai, responses};
use crate::draft::Draft;

/// Any of the APIs below, by the members of its bodies.
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
        ("message", anthropic::ANSWER),
        ("", openai::CHAT_ANSWER),
    ],
    document,
    by_shape: true,
    ..Api::DEFAULT
};

/// No path leads here; the configuration does.
pub const ENDPOINTS: &[Endpoint] = &[Endpoint::exact("\0", &SHAPE)];

fn document(d: &mut Draft) {
    if d.open.kind().starts_with("response.") || d.open.has_finish_reason() {
        responses::document(d);
    } else {
        anthropic::document(d);
    }
}
