//! Gemini Interactions: a response has steps instead of candidates, in one object or in events.
//!
//! Specification: the interactions types of the google-genai SDK. As in generateContent, the output count does not include
//! thoughts.

use super::common::{ITEM, by_modality, result, said};
use super::gemini::{ERROR, cached_modes, input_modes, output_modes};
use super::openai::{prompted, stop};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Rule, close, deferred, identity, open, raw, scalar, text};

/// `POST .../interactions`
pub const INTERACTIONS: Api = Api {
    name: "gemini-interactions",
    operation: "chat",
    request: &[("input[]", ITEM), ("", REQUEST), ("generation_config", CONFIG)],
    response: &[
        ("", EVENT),
        ("", ERROR),
        ("", INTERACTION),
        ("usage", MODALITIES),
        ("interaction", INTERACTION),
        ("interaction.usage", MODALITIES),
        ("metadata.total_usage", TOKENS),
    ],
    document,
    terminated: true,
    remembers: true,
    ..Api::DEFAULT
};

/// The endpoint.
pub const ENDPOINTS: &[Endpoint] = &[Endpoint::new("/interactions", &INTERACTIONS)];

const REQUEST: &[Rule<Draft>] = &[
    scalar("model", |d, v| d.seen.request.model = v.text()),
    scalar("agent", |d, v| {
        d.seen.request.model = v.text();
        d.seen.operation = "invoke_agent";
    }),
    scalar("stream", |d, v| d.seen.request.stream = Some(v.is_true())),
    scalar("response_mime_type", |d, v| {
        if v == crate::json::Scalar::Text("application/json") {
            d.seen.request.output_type = Some("json");
        }
    }),
    deferred("input", prompted),
    open("tools[]", |d, _| d.history.tool_offered()),
    close("input[]", input),
    scalar("input[].id", |d, v| d.history.call_id(v)),
    scalar("input[].call_id", |d, v| d.history.result_id(v)),
    scalar("input[].is_error", |d, v| d.history.result_failed(v)),
    raw("input[].arguments", |d, piece| d.history.call_arguments(piece)),
    deferred("input[].text", said),
    deferred("input[].result", result),
    raw("input[].result", |d, piece| d.history.result_text(piece)),
];

/// Ends an item of the input, according to its type.
fn input(d: &mut Draft) {
    match d.open.part.kind.as_str() {
        "function_call" => d.history.call_item(d.open.part.name.take()),
        "function_result" => d.history.result_item(),
        _ => d.message_closed(),
    }
}

const CONFIG: &[Rule<Draft>] = &[
    scalar("temperature", |d, v| d.seen.request.temperature = v.float()),
    scalar("top_p", |d, v| d.seen.request.top_p = v.float()),
    scalar("top_k", |d, v| d.seen.request.top_k = v.float()),
    scalar("seed", |d, v| d.seen.request.seed = v.integer()),
    scalar("max_output_tokens", |d, v| d.seen.request.max_tokens = v.count()),
    scalar("stop_sequences[]", stop),
];

const EVENT: &[Rule<Draft>] = &[
    scalar("event_type", |d, v| d.open.kind.set(v)),
    scalar("index", |d, v| d.open.choice.index = v.count().map_or(0, |n| n as u32)),
    open("step", Draft::part_opened),
    scalar("step.type", |d, v| d.open.part.kind.set(v)),
    scalar("step.name", |d, v| d.open.part.name = v.text()),
    scalar("step.id", |d, v| d.open.part.id = identity(v)),
    text("delta.text", Draft::answer),
    text("delta.content.text", Draft::aside),
    text("delta.arguments", Draft::aside),
    text("delta.partial_arguments", Draft::aside),
];

/// Rules for the interaction object.
const INTERACTION: &[Rule<Draft>] = &[
    scalar("id", Draft::response_id),
    scalar("model", Draft::response_model),
    scalar("status", |d, v| d.open.choice.finish = v.text()),
    open("steps[]", Draft::part_marked),
    close("steps[]", step),
    scalar("steps[].type", |d, v| d.open.part.kind.set(v)),
    scalar("steps[].name", |d, v| d.open.part.name = v.text()),
    scalar("steps[].id", |d, v| d.open.part.id = identity(v)),
    text("steps[].content[].text", Draft::answer),
    open("outputs[]", Draft::part_marked),
    close("outputs[]", step),
    scalar("outputs[].type", |d, v| d.open.part.kind.set(v)),
    scalar("outputs[].name", |d, v| d.open.part.name = v.text()),
    scalar("outputs[].id", |d, v| d.open.part.id = identity(v)),
    text("outputs[].text", Draft::answer),
    scalar("usage.total_input_tokens", |d, v| d.count(v, |c| &mut c.input)),
    scalar("usage.total_output_tokens", |d, v| d.count(v, |c| &mut c.output)),
    scalar("usage.total_cached_tokens", |d, v| d.count(v, |c| &mut c.cache_read)),
    scalar("usage.total_thought_tokens", thoughts),
    scalar("usage.total_tool_use_tokens", |d, v| d.count(v, |c| &mut c.tool_input)),
    scalar("usage.total_tokens", |d, v| d.count(v, |c| &mut c.total)),
    scalar("service_tier", Draft::tier),
];

const MODALITIES: &[Rule<Draft>] = by_modality!("tokens":
    "input_tokens_by_modality" => input_modes,
    "cached_tokens_by_modality" => cached_modes,
    "output_tokens_by_modality" => output_modes,
);

const TOKENS: &[Rule<Draft>] = &[
    scalar("total_input_tokens", |d, v| d.count(v, |c| &mut c.input)),
    scalar("total_output_tokens", |d, v| d.count(v, |c| &mut c.output)),
    scalar("total_thought_tokens", thoughts),
];

fn thoughts(d: &mut Draft, value: crate::json::Scalar<'_>) {
    d.counts.thoughts_beside = true;
    d.count(value, |c| &mut c.reasoning);
}

fn step(d: &mut Draft) {
    d.other_content |= !matches!(d.open.part.kind.as_str(), "model_output" | "text" | "thought");
    if !matches!(d.open.part.kind.as_str(), "model_output" | "text") || d.streamed_text {
        d.part_dropped();
    }
    let place = u64::from(d.open.part.index);
    call(d, place);
}

fn call(d: &mut Draft, place: u64) {
    if d.open.part.kind.as_str() == "function_call" {
        d.call(place);
    }
}

fn document(d: &mut Draft) {
    match d.open.kind.as_str() {
        "step.delta" => d.streamed_text = true,
        "step.start" => {
            let place = u64::from(d.open.choice.index);
            call(d, place);
        }
        "interaction.completed" | "" => {
            if let Some(status) = d.open.choice.finish.take() {
                if &*status == "failed" {
                    d.failed();
                }
                d.finish(0, Some(status));
            }
            d.complete = true;
        }
        "error" => {
            d.failed();
            d.complete = true;
        }
        _ => {}
    }
    if d.open.kind.as_str() != "step.delta" {
        d.open.generated = None;
    }
}
