//! OpenAI Responses: one object when whole; as a stream, events that carry it at the start and again at the end.
//!
//! A call, a text and the usage are said up to three times; each is taken once. Spec: OpenAI's SDK types.

use super::common::{ITEM, result};
use super::openai::{COST, ERROR, SAMPLING, TOKENS, output_type, prompted};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Rule, Scalar, close, identity, late, open, scalar, text};
use crate::text::fingerprint::Begins;

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
    scalar("max_output_tokens", |d, v| d.seen.request.max_tokens = v.count()),
    scalar("text.format.type", output_type),
    scalar("conversation", Draft::conversation),
    scalar("conversation.id", Draft::conversation),
    late("input", prompted),
    open("tools[]", |d, _| d.history.tool_offered()),
    close("input[]", item),
    scalar("input[].call_id", |d, v| {
        d.history.call_id(v);
        d.history.result_id(v);
    }),
    text("input[].input", |d, piece| d.history.call_arguments(piece)),
    late("input[].output", result),
    late("input[].output[].text", result),
];

/// What an item of the input was. Calls of one turn follow each other as items of their own.
fn item(d: &mut Draft) {
    match d.open.part.kind.as_str() {
        "function_call" | "custom_tool_call" => d.history.call_item(d.open.part.name.take()),
        "function_call_output" | "custom_tool_call_output" => d.history.result_item(),
        _ => d.message_closed(),
    }
}

/// The members of events.
pub const EVENT: &[Rule<Draft>] = &[
    scalar("type", |d, v| d.open.kind.set(v)),
    scalar("output_index", |d, v| d.open.choice.index = v.count().map_or(0, |n| n as u32)),
    text("delta", |d, piece| match piece {
        [] => d.open.choice.before = Some(d.answer.mark(Begins::Choice)),
        _ if matches!(d.open.kind.as_str(), "" | "response.output_text.delta") => d.answer(piece),
        _ => d.aside(piece),
    }),
    text("partial_image_b64", Draft::other),
    open("item", Draft::part_opened),
    scalar("item.type", |d, v| d.open.part.kind.set(v)),
    scalar("item.name", |d, v| d.open.part.name = v.text()),
    scalar("item.call_id", |d, v| d.open.part.id = identity(v)),
];

/// The response object.
pub const RESPONSE: &[Rule<Draft>] = &[
    // Some gateways name the response anew in each event; the last one is what it can be asked for by.
    scalar("id", |d, v| d.seen.response.id = v.text().or(d.seen.response.id.take())),
    scalar("model", Draft::response_model),
    scalar("status", |d, v| d.open.choice.finish = v.text()),
    scalar("service_tier", Draft::tier),
    scalar("tool_usage.web_search.num_requests", |d, v| d.detail(v, |q| &mut q.web_searches)),
    scalar("conversation.id", Draft::conversation),
    open("output[]", Draft::part_marked),
    close("output[]", |d| {
        let kind = d.open.part.kind.as_str();
        d.other_content |= !matches!(kind, "message" | "reasoning");
        if kind != "message" || d.open.part.thought || d.streamed_text {
            d.part_dropped();
        }
        let place = u64::from(d.open.part.index);
        call(d, place);
    }),
    scalar("output[].type", |d, v| d.open.part.kind.set(v)),
    // A compaction repeats what the user said.
    scalar("output[].role", |d, v| d.open.part.thought |= v == Scalar::Text("user")),
    scalar("output[].content[].type", |d, v| d.open.part.thought |= v == Scalar::Text("input_text")),
    scalar("output[].name", |d, v| d.open.part.name = v.text()),
    scalar("output[].call_id", |d, v| d.open.part.id = identity(v)),
    text("output[].content[].text", Draft::answer),
    text("output[].content[].refusal", Draft::refused),
];

fn call(d: &mut Draft, place: u64) {
    if !matches!(d.open.part.kind.as_str(), "function_call" | "custom_tool_call") {
        return;
    }
    // Each is said up to three times, not always with its place.
    if !d.asked().any(|(id, _)| id != 0 && id == d.open.part.id) {
        d.call(place);
    }
}

/// Decides what an event, or the whole response, came to.
pub fn document(d: &mut Draft) {
    let kind = d.open.kind;
    let delta = d.open.choice.before.take();
    match (kind.as_str(), delta) {
        ("response.output_text.delta", _) => d.streamed_text = true,
        (_, Some(mark)) => d.answer.rewind(mark),
        _ => {}
    }
    match kind.as_str() {
        "response.output_item.added" | "response.output_item.done" => {
            let place = u64::from(d.open.choice.index);
            call(d, place);
        }
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" | "" => {
            let status = d.open.choice.finish.take();
            if kind.as_str() == "response.failed" || status.as_deref() == Some("failed") {
                d.failed();
            }
            // The event's name alone ends the stream.
            d.complete |= status.is_some() || !kind.as_str().is_empty();
            if status.is_some() {
                d.seen.response.finish_reasons = vec![status];
            }
        }
        "error" => {
            d.failed();
            d.complete = true;
        }
        _ => {}
    }
    // The response as a whole is no first token: what it holds was generated before.
    if !kind.as_str().ends_with(".delta") && !kind.as_str().ends_with(".partial_image") {
        d.open.generated = None;
    }
}
