//! OpenAI Responses: one object when whole; as a stream, events that carry it at the start and again at the end.
//!
//! A call, a text and the usage are said up to three times; each is taken once. Spec: OpenAI's SDK types.

use super::common::{ITEM, result};
use super::openai::{COST, ERROR, SAMPLING, TOKENS, output_type, prompted};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Rule, Scalar, close, late, open, scalar, text};

/// `POST .../responses`
pub const RESPONSES: Api = Api {
    name: "openai-responses",
    operation: "chat",
    request: &[("", SAMPLING), ("input[]", ITEM), ("", INPUT)],
    response: &[
        ("", EVENT),
        ("", ERROR),
        ("", RESPONSE),
        ("usage", TOKENS),
        ("usage", COST),
        ("response", RESPONSE),
        ("response.usage", TOKENS),
        ("response.usage", COST),
        ("response", ERROR),
    ],
    document,
    terminated: true,
    remembers: true,
    ..Api::DEFAULT
};

/// `POST .../responses/compact`
pub const COMPACT: Api = Api { name: "openai-responses-compact", operation: "compact_response", ..RESPONSES };

/// Where it is served.
pub const ENDPOINTS: &[Endpoint] =
    &[Endpoint::new("/responses", &RESPONSES), Endpoint::new("/responses/compact", &COMPACT)];

/// The request, beside what it shares with chat completions.
pub const INPUT: &[Rule<Draft>] = &[
    scalar("max_output_tokens", Draft::max_tokens),
    scalar("text.format.type", output_type),
    scalar("conversation", Draft::conversation_id),
    scalar("conversation.id", Draft::conversation_id),
    late("input", prompted),
    open("tools[]", |d, _| d.tool_offered()),
    close("input[]", item),
    scalar("input[].call_id", |d, v| {
        d.past_call_id(v);
        d.result_id(v);
    }),
    text("input[].input", Draft::past_call_arguments),
    late("input[].output", result),
    late("input[].output[].text", result),
];

/// What an item of the input was. Calls of one turn follow each other as items of their own.
fn item(d: &mut Draft) {
    match d.open.part_kind() {
        "function_call" | "custom_tool_call" => d.past_call_item_closed(),
        "function_call_output" | "custom_tool_call_output" => d.result_item_closed(),
        _ => d.message_closed(),
    }
}

/// The members of events.
pub const EVENT: &[Rule<Draft>] = &[
    scalar("type", Draft::document_kind),
    scalar("output_index", Draft::choice_index_or_zero),
    text("delta", |d, piece| match piece {
        [] => d.choice_marked(),
        _ if matches!(d.open.kind(), "" | "response.output_text.delta") => d.answer_text(piece),
        _ => d.other_text(piece),
    }),
    text("partial_image_b64", Draft::other_content),
    open("item", Draft::part_opened),
    scalar("item.type", Draft::part_kind),
    scalar("item.name", Draft::part_name),
    scalar("item.call_id", Draft::part_id),
];

/// The response object.
pub const RESPONSE: &[Rule<Draft>] = &[
    // Some gateways name the response anew in each event; the last one is what it can be asked for by.
    scalar("id", Draft::last_response_id),
    scalar("model", Draft::response_model),
    scalar("status", Draft::choice_finish_reason),
    scalar("service_tier", Draft::service_tier),
    scalar("tool_usage.web_search.num_requests", |d, v| d.detail(v, |q| &mut q.web_searches)),
    scalar("conversation.id", Draft::conversation_id),
    open("output[]", Draft::part_marked),
    close("output[]", |d| {
        let kind = d.open.part_kind();
        let is_message = kind == "message";
        d.add_other_content(!matches!(kind, "message" | "reasoning"));
        if !is_message || d.open.is_thought() || d.answer.text_comes_in_deltas() {
            d.part_dropped();
        }
        let place = u64::from(d.open.part_index());
        call(d, place);
    }),
    scalar("output[].type", Draft::part_kind),
    // A compaction repeats what the user said.
    scalar("output[].role", |d, v| mark_as_input(d, v, "user")),
    scalar("output[].content[].type", |d, v| mark_as_input(d, v, "input_text")),
    scalar("output[].name", Draft::part_name),
    scalar("output[].call_id", Draft::part_id),
    text("output[].content[].text", Draft::answer_text),
    text("output[].content[].refusal", Draft::refusal_text),
];

/// The item's text is not the answer's if `value` is `input`.
fn mark_as_input(d: &mut Draft, value: Scalar<'_>, input: &str) {
    if value == Scalar::Text(input) {
        d.set_thought(true);
    }
}

fn call(d: &mut Draft, place: u64) {
    // Each is said up to three times, not always with its place.
    let again = d.tool_calls().any(|(id, _)| id != 0 && id == d.open.part_id());
    if matches!(d.open.part_kind(), "function_call" | "custom_tool_call") && !again {
        d.tool_call(place);
    }
}

/// Decides what an event, or the whole response, came to.
pub fn document(d: &mut Draft) {
    let kind = d.open.kind_word();
    match kind.as_str() {
        "response.output_text.delta" => d.set_text_comes_in_deltas(true),
        _ => d.choice_dropped(),
    }
    match kind.as_str() {
        "response.output_item.added" | "response.output_item.done" => {
            let place = u64::from(d.open.choice_index());
            call(d, place);
        }
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" | "" => {
            let status = d.open.take_finish_reason();
            if kind.as_str() == "response.failed" || status.as_deref() == Some("failed") {
                d.failed();
            }
            // The event's name alone ends the stream.
            d.complete_if(status.is_some() || !kind.as_str().is_empty());
            if status.is_some() {
                d.set_only_finish_reason(status);
            }
        }
        "error" => {
            d.failed();
            d.complete();
        }
        _ => {}
    }
    // The response as a whole is no first token: what it holds was generated before.
    if !kind.as_str().ends_with(".delta") && !kind.as_str().ends_with(".partial_image") {
        d.generated_before();
    }
}
