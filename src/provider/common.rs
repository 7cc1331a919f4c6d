//! Rules that several APIs share: system prompts outside the messages, items of the input, tools, the schema of an answer, counts
//! by modality.
//!
//! Specifications: those of the APIs, which the files of the APIs name.

use crate::draft::Draft;
use crate::json::{Deferred, Rule, deferred, raw, scalar, supersedes, text};

/// System prompts outside the list of messages: of Anthropic and Bedrock, Responses, Gemini, Cohere.
pub const SYSTEM: &[Rule<Draft>] = &[
    text("system", Draft::told),
    text("system[].text", Draft::told),
    text("instructions", Draft::told),
    text("systemInstruction.parts[].text", Draft::told),
    text("system_instruction", Draft::told),
    text("system_instruction.parts[].text", Draft::told),
    text("preamble", Draft::told),
];

/// The offered tools, as the JSON of the request has them. With these rules no other rule below `tools` is applied.
pub const TOOLS: &[Rule<Draft>] =
    &[raw("tools", Draft::tools), raw("functions", Draft::tools), raw("toolConfig.tools", Draft::tools)];

/// The keys that the schema of a JSON answer requires: of OpenAI and compatible vendors, Responses, Anthropic, Gemini, Ollama.
pub const REQUIRED: &[Rule<Draft>] = &[
    scalar("response_format.json_schema.schema.required[]", Draft::required),
    scalar("response_format.schema.required[]", Draft::required),
    scalar("text.format.schema.required[]", Draft::required),
    scalar("output_config.format.schema.required[]", Draft::required),
    scalar("output_format.schema.required[]", Draft::required),
    scalar("generationConfig.responseSchema.required[]", Draft::required),
    scalar("generationConfig.responseJsonSchema.required[]", Draft::required),
    scalar("generation_config.response_schema.required[]", Draft::required),
    scalar("generation_config.response_json_schema.required[]", Draft::required),
    scalar("format.required[]", Draft::required),
];

/// An item of the input, for APIs with one list of messages, calls and results: Responses, Interactions, Mistral's
/// conversations.
pub const ITEM: &[Rule<Draft>] = &[
    supersedes("", |d, _| {
        d.message();
        d.open.part = Default::default();
    }),
    scalar("type", |d, v| d.open.part.kind.set(v)),
    scalar("role", |d, v| d.history.role(v)),
    scalar("name", |d, v| d.open.part.name = v.text()),
    text("arguments", |d, piece| d.history.call_arguments(piece)),
    deferred("content", said),
    deferred("content[].text", said),
];

/// The text of a message. If the texts of earlier messages are not needed, only that of the last one is read.
pub fn said() -> Deferred<Draft> {
    Deferred { is_awaited: Draft::listens, now: Draft::said, preview: None, later: Draft::said }
}

/// The text of a tool result. If it is not in the last message, only its beginning is read.
pub fn result() -> Deferred<Draft> {
    Deferred { is_awaited: Draft::listens, now: Draft::result, preview: Some(Draft::glimpse), later: Draft::input }
}

/// Rules for lists of counts by modality: the API's name for a number, and for each list the counts that it sets.
macro_rules! by_modality {
    ($tokens:literal: $($list:literal => $slots:ident),+ $(,)?) => {
        &[$(
            open(concat!($list, "[]"), Draft::part_opened),
            close(concat!($list, "[]"), |d| d.modality($slots)),
            scalar(concat!($list, "[].modality"), |d, v| d.open.part.kind.set(v)),
            scalar(concat!($list, "[].", $tokens), Draft::part_tokens),
        )+]
    };
}
pub(super) use by_modality;
