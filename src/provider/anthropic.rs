//! Anthropic Messages, also as other vendors serve it.
//!
//! Specification: Anthropic's SDK types. The counts of a stream are cumulative. Some servers send an input count of 0 in the last
//! event.

use super::common::{result, said};
use super::openai::{CHAT, COST, output_type};
use super::{Api, Endpoint};
use crate::draft::{Draft, Steps};
use crate::json::{Rule, Scalar, close, deferred, identity, open, raw, scalar, supersedes, text};
use crate::observation::Usage;

/// `POST .../v1/messages`
pub const MESSAGES: Api = Api {
    name: "anthropic-messages",
    operation: "chat",
    request: &[("", REQUEST)],
    response: &[("", EVENT), ("", ANSWER), ("message", ANSWER), ("usage", COST)],
    document,
    terminated: true,
    ..Api::DEFAULT
};

/// The endpoints. Vertex AI serves Mistral's models with the same path endings, in the format of chat completions.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/v1/messages", &MESSAGES),
    Endpoint::new(":rawPredict", &MESSAGES).within("/publishers/anthropic/"),
    Endpoint::new(":streamRawPredict", &MESSAGES).within("/publishers/anthropic/").streaming(),
    Endpoint::new(":rawPredict", &CHAT).within("/publishers/mistralai/"),
    Endpoint::new(":streamRawPredict", &CHAT).within("/publishers/mistralai/").streaming(),
];

/// Rules for the request.
pub const REQUEST: &[Rule<Draft>] = &[
    scalar("model", |d, v| d.seen.request.model = v.text()),
    scalar("stream", |d, v| d.seen.request.stream = Some(v.is_true())),
    scalar("max_tokens", |d, v| d.seen.request.max_tokens = v.count()),
    scalar("temperature", |d, v| d.seen.request.temperature = v.float()),
    scalar("top_p", |d, v| d.seen.request.top_p = v.float()),
    scalar("top_k", |d, v| d.seen.request.top_k = v.float()),
    scalar("stop_sequences[]", super::openai::stop),
    scalar("output_config.format.type", output_type),
    scalar("output_format.type", output_type),
    supersedes("messages[]", |d, _| d.message()),
    close("messages[]", Draft::message_closed),
    scalar("messages[].role", |d, v| d.history.role(v)),
    deferred("messages[].content", said),
    deferred("messages[].content[].text", said),
    open("messages[].content[]", Draft::part_opened),
    close("messages[].content[]", |d| match d.open.part.kind.as_str() {
        "tool_use" => d.history.call_block(d.open.part.name.take()),
        "tool_result" => d.history.result_block(),
        _ => {}
    }),
    scalar("messages[].content[].type", |d, v| d.open.part.kind.set(v)),
    scalar("messages[].content[].id", |d, v| d.history.call_id(v)),
    scalar("messages[].content[].name", |d, v| d.open.part.name = v.text()),
    raw("messages[].content[].input", |d, piece| d.history.call_arguments(piece)),
    scalar("messages[].content[].tool_use_id", |d, v| d.history.result_id(v)),
    scalar("messages[].content[].is_error", |d, v| d.history.result_failed(v)),
    deferred("messages[].content[].content", result),
    deferred("messages[].content[].content[].text", result),
    open("tools[]", |d, _| d.history.tool_offered()),
];

/// Rules for the message, and for the events that have members of a message.
pub const ANSWER: &[Rule<Draft>] = &[
    scalar("id", Draft::response_id),
    scalar("model", Draft::response_model),
    scalar("stop_reason", finish),
    open("content[]", Draft::part_opened),
    close("content[]", |d| call(d, d.open.part.index)),
    scalar("content[].type", |d, v| d.open.part.kind.set(v)),
    scalar("content[].id", |d, v| d.open.part.id = identity(v)),
    scalar("content[].name", |d, v| d.open.part.name = v.text()),
    text("content[].text", Draft::answer),
    scalar("usage.input_tokens", |d, v| d.count_up(v, |c| &mut c.input)),
    scalar("usage.output_tokens", |d, v| d.count(v, |c| &mut c.output)),
    scalar("usage.cache_read_input_tokens", |d, v| {
        d.counts.cache_beside = true;
        d.count_up(v, |c| &mut c.cache_read);
    }),
    scalar("usage.cache_creation_input_tokens", |d, v| {
        d.counts.cache_beside = true;
        d.count_up(v, |c| &mut c.cache_write);
    }),
    scalar("usage.output_tokens_details.thinking_tokens", |d, v| d.count(v, |c| &mut c.reasoning)),
    scalar("usage.cache_creation.ephemeral_1h_input_tokens", |d, v| d.detail(v, |q| &mut q.cache_write_1h)),
    scalar("usage.server_tool_use.web_search_requests", |d, v| d.detail(v, |q| &mut q.web_searches)),
    open("usage.iterations[]", Draft::part_opened),
    close("usage.iterations[]", step_closed),
    scalar("usage.iterations[].type", |d, v| d.open.part.kind.set(v)),
    scalar("usage.iterations[].input_tokens", |d, v| d.step(v, |s| &mut s.input)),
    scalar("usage.iterations[].output_tokens", |d, v| d.step(v, |s| &mut s.output)),
    scalar("usage.iterations[].cache_read_input_tokens", |d, v| d.step(v, |s| &mut s.cache_read)),
    scalar("usage.iterations[].cache_creation_input_tokens", |d, v| d.step(v, |s| &mut s.cache_creation)),
    scalar("usage.service_tier", tier),
    scalar("usage.speed", tier),
];

/// Rules for the events of a stream.
pub const EVENT: &[Rule<Draft>] = &[
    scalar("type", |d, v| d.open.kind.set(v)),
    scalar("index", |d, v| d.open.choice.index = v.count().map_or(0, |n| n as u32)),
    open("content_block", Draft::part_opened),
    scalar("content_block.type", |d, v| d.open.part.kind.set(v)),
    scalar("content_block.id", |d, v| d.open.part.id = identity(v)),
    scalar("content_block.name", |d, v| d.open.part.name = v.text()),
    text("content_block.text", Draft::answer),
    text("delta.text", Draft::answer),
    text("delta.thinking", Draft::aside),
    text("delta.partial_json", Draft::aside),
    scalar("delta.stop_reason", finish),
    open("error", |d, _| d.failed()),
    scalar("error.type", |d, v| d.error.kind = v.text()),
];

/// Sets the service tier from `service_tier` or `speed`. Values that mean the standard tier are ignored, because the other member
/// may have set the tier.
fn tier(d: &mut Draft, value: Scalar<'_>) {
    if matches!(value, Scalar::Text("batch" | "fast")) {
        d.tier(value);
    }
}

/// Ends a step of the answer. A step of the type `compaction` is billed like a call and is not included in the counts of the
/// message. The list of a later event replaces the list of an earlier one.
///
/// Specification: platform.claude.com/docs/en/build-with-claude/compaction.
fn step_closed(d: &mut Draft) {
    let (first, counts) = (d.open.part.index == 0, d.open.part.kind.as_str() == "compaction");
    let Steps { open, beside } = &mut **d.steps.get_or_insert_default();
    let open = core::mem::take(open);
    if first {
        *beside = Usage::default();
    }
    if counts {
        let cached = [open.cache_read, open.cache_creation].map(|input| Usage { input, ..Usage::default() });
        *beside = cached.iter().fold(beside.and(&open), Usage::and);
    }
}

fn finish(d: &mut Draft, value: Scalar<'_>) {
    if let Some(reason) = value.text() {
        d.finish(0, Some(reason));
    }
}

fn call(d: &mut Draft, place: u32) {
    if d.open.part.kind.as_str() == "tool_use" {
        d.call(u64::from(place));
    }
}

/// Evaluates a message or an event.
pub fn document(d: &mut Draft) {
    match d.open.kind.as_str() {
        "content_block_start" => call(d, d.open.choice.index),
        "message_stop" | "message" => d.complete = true,
        "error" => {
            d.failed();
            d.complete = true;
        }
        _ => {}
    }
}
