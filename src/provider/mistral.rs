//! Mistral's own APIs: fill-in-the-middle, agents, conversations, OCR. Its chat completions are those of OpenAI.
//!
//! Specification: the types of the mistralai SDK.

use super::common::{ITEM, result};
use super::openai::{self, CHAT, ERROR, SAMPLING, TOKENS, prompted};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Rule, close, deferred, identity, open, raw, scalar, text};

/// `POST /v1/fim/completions`
pub const FIM: Api = Api {
    name: "mistral-fim",
    operation: "text_completion",
    request: &[("", SAMPLING), ("", &[text("prompt", openai::prompt)])],
    takes_stream_options: false,
    ..CHAT
};

/// `POST /v1/agents/completions`
pub const AGENTS: Api = Api {
    name: "mistral-agents",
    request: &[
        ("", SAMPLING),
        ("", openai::MESSAGES),
        ("", &[scalar("agent_id", |d, v| d.seen.request.model = v.text())]),
    ],
    takes_stream_options: false,
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
    response: &[("", &[scalar("model", Draft::response_model)]), ("", ERROR)],
    usage_expected: false,
    ..Api::DEFAULT
};

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/fim/completions", &FIM),
    Endpoint::new("/agents/completions", &AGENTS),
    Endpoint::new("/v1/conversations", &CONVERSATIONS).host("mistral.ai"),
    // A later turn: the path ends with the identifier of the conversation.
    Endpoint::new("", &CONVERSATIONS).within("/v1/conversations/").host("mistral.ai"),
    Endpoint::new("/v1/ocr", &OCR),
];

const INPUTS: &[Rule<Draft>] = &[
    scalar("agent_id", |d, v| d.seen.request.model = v.text()),
    open("tools[]", |d, _| d.history.tool_offered()),
    deferred("inputs", prompted),
    close("inputs[]", input),
    scalar("inputs[].tool_call_id", |d, v| {
        d.history.call_id(v);
        d.history.result_id(v);
    }),
    raw("inputs[].arguments", |d, piece| d.history.call_arguments(piece)),
    deferred("inputs[].result", result),
];

/// Ends an entry of the input, according to its type.
fn input(d: &mut Draft) {
    match d.open.part.kind.as_str() {
        "function.call" => d.history.call_item(d.open.part.name.take()),
        "function.result" => d.history.result_item(),
        _ => d.message_closed(),
    }
}

const ANSWER: &[Rule<Draft>] = &[
    scalar("type", |d, v| d.open.kind.set(v)),
    scalar("model", Draft::response_model),
    scalar("conversation_id", Draft::conversation),
    open("outputs[]", Draft::part_opened),
    close("outputs[]", |d| {
        if d.open.part.kind.as_str() == "function.call" {
            d.call(u64::from(d.open.part.index));
        }
    }),
    scalar("outputs[].type", |d, v| d.open.part.kind.set(v)),
    scalar("outputs[].name", |d, v| d.open.part.name = v.text()),
    scalar("outputs[].tool_call_id", |d, v| d.open.part.id = identity(v)),
    scalar("outputs[].model", Draft::response_model),
    text("outputs[].content", Draft::answer),
    text("outputs[].content[].text", Draft::answer),
    text("content", Draft::answer),
    text("content.text", Draft::answer),
    scalar("output_index", |d, v| d.open.part.index = v.count().map_or(0, |n| n as u32)),
    scalar("name", |d, v| d.open.part.name = v.text()),
    scalar("tool_call_id", |d, v| d.open.part.id = identity(v)),
    text("arguments", Draft::aside),
];

fn document(d: &mut Draft) {
    match d.open.kind.as_str() {
        "function.call.delta" => d.call(u64::from(d.open.part.index)),
        "conversation.response.done" => d.complete = true,
        "conversation.response.error" => {
            d.failed();
            d.complete = true;
        }
        _ => {}
    }
}
