//! What many APIs say in the same words: instructions beside the messages, items of the input, tools, the schema of an answer,
//! counts by modality.

use crate::draft::Draft;
use crate::json::{Late, Rule, anew, late, raw, scalar, text};

/// What the system says where it is no message, in the order of the APIs: Anthropic and Bedrock, Responses, Gemini, Cohere.
pub const SYSTEM: &[Rule<Draft>] = &[
    text("system", Draft::system_text),
    text("system[].text", Draft::system_text),
    text("instructions", Draft::system_text),
    text("systemInstruction.parts[].text", Draft::system_text),
    text("system_instruction", Draft::system_text),
    text("system_instruction.parts[].text", Draft::system_text),
    text("preamble", Draft::system_text),
];

/// The tools offered, as they are written. They are looked at no further then.
pub const TOOLS: &[Rule<Draft>] =
    &[raw("tools", Draft::tools_json), raw("functions", Draft::tools_json), raw("toolConfig.tools", Draft::tools_json)];

/// The keys that an answer in JSON has to have: OpenAI and those who imitate it, Responses, Anthropic, Gemini, Ollama.
pub const REQUIRED: &[Rule<Draft>] = &[
    scalar("response_format.json_schema.schema.required[]", Draft::required_key),
    scalar("response_format.schema.required[]", Draft::required_key),
    scalar("text.format.schema.required[]", Draft::required_key),
    scalar("output_config.format.schema.required[]", Draft::required_key),
    scalar("output_format.schema.required[]", Draft::required_key),
    scalar("generationConfig.responseSchema.required[]", Draft::required_key),
    scalar("generationConfig.responseJsonSchema.required[]", Draft::required_key),
    scalar("generation_config.response_schema.required[]", Draft::required_key),
    scalar("generation_config.response_json_schema.required[]", Draft::required_key),
    scalar("format.required[]", Draft::required_key),
];

/// An item of the input, where messages, calls and results stand in one list: Responses, Interactions, Mistral's conversations.
pub const ITEM: &[Rule<Draft>] = &[
    anew("", |d, _| {
        d.message_opened();
        d.part_opened(0);
    }),
    scalar("type", Draft::part_kind),
    scalar("role", Draft::message_role),
    scalar("name", Draft::part_name),
    text("arguments", Draft::past_call_arguments),
    late("content", said),
    late("content[].text", said),
];

/// What a message says: only the last one's is wanted.
pub fn said() -> Late<Draft> {
    Late { waits: Draft::wants_every_message, now: Draft::message_text, glimpse: None, then: Draft::message_text }
}

/// The text of a tool's result: of one that is not in the last message only the beginning is looked at.
pub fn result() -> Late<Draft> {
    Late {
        waits: Draft::wants_every_message,
        now: Draft::result_text,
        glimpse: Some(Draft::result_passed),
        then: Draft::message_text,
    }
}

/// Rules for lists of counts by modality: what the API calls a number, and where each list counts.
macro_rules! by_modality {
    ($tokens:literal: $($list:literal => $slots:ident),+ $(,)?) => {
        &[$(
            open(concat!($list, "[]"), Draft::part_opened),
            close(concat!($list, "[]"), |d| d.modality_closed($slots)),
            scalar(concat!($list, "[].modality"), Draft::part_kind),
            scalar(concat!($list, "[].", $tokens), Draft::part_tokens),
        )+]
    };
}
pub(super) use by_modality;
