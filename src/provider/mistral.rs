//! Mistral's own APIs: fill-in-the-middle, agents, conversations, OCR. Its chat completions are those of OpenAI.
//!
//! Specification: the types of the mistralai SDK.

use super::common::{ITEM, result};
use super::openai::{self, CHAT, ERROR, SAMPLING, TOKENS, prompted};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Rule, close, deferred, open, raw, scalar, text};

/// `POST /v1/fim/completions`
pub const FIM: Api = Api {
    name: "mistral-fim",
    operation: "text_completion",
    takes_stream_options: false,
    request: &[("", SAMPLING), ("", &[text("prompt", openai::prompt)])],
    ..CHAT
};

/// `POST /v1/agents/completions`
pub const AGENTS: Api = Api {
    name: "mistral-agents",
    takes_stream_options: false,
    request: &[("", SAMPLING), ("", openai::MESSAGES), ("", &[scalar("agent_id", Draft::request_model)])],
    ..CHAT
};

/// `POST /v1/conversations`, and `POST /v1/conversations/{id}` for later turns
pub const CONVERSATIONS: Api = Api {
    name: "mistral-conversations",
    operation: "chat",
    request: &[("", SAMPLING), ("completion_args", SAMPLING), ("inputs[]", ITEM), ("", INPUTS)],
    response: &[("", ANSWER), ("", ERROR), ("usage", TOKENS)],
    document,
    terminated: true,
    remembers: true,
    ..Api::DEFAULT
};

/// `POST /v1/ocr`
pub const OCR: Api = Api {
    name: "mistral-ocr",
    operation: "ocr",
    request: &[("", SAMPLING)],
    response: &[
        ("", &[scalar("model", Draft::response_model)]),
        ("", ERROR),
        ("usage_info", &[scalar("pages_processed", |d, v| d.detail(v, |q| &mut q.pages))]),
    ],
    usage_expected: false,
    ..Api::DEFAULT
};

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/fim/completions", &FIM),
    Endpoint::new("/agents/completions", &AGENTS),
    Endpoint::new("/v1/conversations", &CONVERSATIONS).host("mistral.ai"),
    Endpoint::new("/restart", &CONVERSATIONS).within("/v1/conversations/").host("mistral.ai"),
    // A later turn: the path ends with the identifier of the conversation.
    Endpoint::new("", &CONVERSATIONS).within("/v1/conversations/").host("mistral.ai"),
    Endpoint::new("/v1/ocr", &OCR),
];

const INPUTS: &[Rule<Draft>] = &[
    scalar("agent_id", Draft::request_model),
    open("tools[]", |d, _| d.tool_offered()),
    deferred("inputs", prompted),
    close("inputs[]", input),
    scalar("inputs[].tool_call_id", |d, v| {
        d.past_call_id(v);
        d.result_id(v);
    }),
    raw("inputs[].arguments", Draft::past_call_arguments),
    deferred("inputs[].result", result),
];

/// Ends an entry of the input, according to its type.
fn input(d: &mut Draft) {
    match d.open.part_kind() {
        "function.call" => d.past_call_item_closed(),
        "function.result" => {
            d.result_name_is_part_name();
            d.result_item_closed();
        }
        _ => d.message_closed(),
    }
}

const ANSWER: &[Rule<Draft>] = &[
    scalar("type", Draft::document_kind),
    scalar("model", Draft::response_model),
    scalar("conversation_id", Draft::conversation_id),
    open("outputs[]", Draft::part_opened),
    close("outputs[]", |d| {
        if d.open.part_kind() == "function.call" {
            d.tool_call(u64::from(d.open.part_index()));
        }
    }),
    scalar("outputs[].type", Draft::part_kind),
    scalar("outputs[].name", Draft::part_name),
    scalar("outputs[].tool_call_id", Draft::part_id),
    text("outputs[].arguments", Draft::part_arguments),
    raw("outputs[].arguments", Draft::part_arguments),
    scalar("outputs[].model", Draft::response_model),
    text("outputs[].content", Draft::answer_text),
    text("outputs[].content[].text", Draft::answer_text),
    text("content", Draft::answer_text),
    text("content.text", Draft::answer_text),
    scalar("output_index", Draft::part_index_or_zero),
    scalar("name", Draft::part_name),
    scalar("tool_call_id", Draft::part_id),
    text("arguments", |d, piece| {
        d.other_text(piece);
        d.part_arguments(piece);
    }),
];

fn document(d: &mut Draft) {
    match d.open.kind() {
        "function.call.delta" => d.tool_call(u64::from(d.open.part_index())),
        "conversation.response.done" => d.complete(),
        "conversation.response.error" => {
            d.failed();
            d.complete();
        }
        _ => {}
    }
}
