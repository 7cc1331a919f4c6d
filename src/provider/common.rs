//! What many APIs say in the same words: instructions beside the messages, items of the input, tools, the schema of an answer,
//! counts by modality.

use crate::draft::Draft;
use crate::json::{Deferred, Rule, deferred, raw, scalar, supersedes, text};

/// What the system says where it is no message, in the order of the APIs: Anthropic and Bedrock, Responses, Gemini, Cohere.
pub const SYSTEM: &[Rule<Draft>] = &[
    text("system", Draft::told),
    text("system[].text", Draft::told),
    text("instructions", Draft::told),
    text("systemInstruction.parts[].text", Draft::told),
    text("system_instruction", Draft::told),
    text("system_instruction.parts[].text", Draft::told),
    text("preamble", Draft::told),
];

/// The tools offered, as they are written. They are looked at no further then.
pub const TOOLS: &[Rule<Draft>] =
    &[raw("tools", Draft::tools), raw("functions", Draft::tools), raw("toolConfig.tools", Draft::tools)];

/// The keys that an answer in JSON has to have: OpenAI and those who imitate it, Responses, Anthropic, Gemini, Ollama.
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

/// An item of the input, where messages, calls and results stand in one list: Responses, Interactions, Mistral's conversations.
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

/// What a message says: only the last one's is wanted.
pub fn said() -> Deferred<Draft> {
    Deferred { is_awaited: Draft::listens, now: Draft::said, preview: None, later: Draft::said }
}

/// The text of a tool's result: of one that is not in the last message only the beginning is looked at.
pub fn result() -> Deferred<Draft> {
    Deferred { is_awaited: Draft::listens, now: Draft::result, preview: Some(Draft::glimpse), later: Draft::input }
}

/// Rules for lists of counts by modality: what the API calls a number, and where each list counts.
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
