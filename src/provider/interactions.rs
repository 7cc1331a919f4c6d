//! Gemini Interactions: a response has steps instead of candidates, in one object or in events.
//!
//! Specification: the interactions types of the google-genai SDK. As in generateContent, the output count does not include
//! thoughts.

use super::common::{ITEM, by_modality, result, said, state};
use super::gemini::{ERROR, cached_modes, input_modes, output_modes};
use super::openai::prompted;
use super::{Api, Endpoint};
use crate::draft::{Draft, ProviderTool};
use crate::json::{Rule, close, deferred, digest, open, raw, scalar, text};

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
    scalar("model", Draft::request_model),
    scalar("agent", |d, v| {
        d.request_model(v);
        d.set_operation("invoke_agent");
    }),
    scalar("stream", Draft::request_stream),
    scalar("response_mime_type", |d, v| {
        if v == crate::json::Scalar::Text("application/json") {
            d.set_output_type("json");
        }
    }),
    deferred("input", prompted),
    open("tools[]", |d, _| d.tool_offered()),
    scalar("tools[].name", Draft::offered_name),
    scalar("previous_interaction_id", Draft::previous_response),
    close("input[]", input),
    scalar("input[].id", Draft::past_call_id),
    scalar("input[].call_id", Draft::result_id),
    scalar("input[].is_error", Draft::result_failed),
    raw("input[].arguments", Draft::past_call_arguments),
    deferred("input[].text", said),
    deferred("input[].result", result),
    raw("input[].result", Draft::result_json),
    digest("input[].result", Draft::result_hashed),
];

/// Ends an item of the input, according to its type.
fn input(d: &mut Draft) {
    match d.open.part_kind() {
        "function_call" => d.past_call_item_closed(),
        "function_result" => {
            d.result_name_is_part_name();
            d.result_item_closed();
        }
        "thought" => d.reasoning_item_closed(),
        _ => d.message_closed(),
    }
}

const CONFIG: &[Rule<Draft>] = &[
    scalar("temperature", Draft::temperature),
    scalar("top_p", Draft::top_p),
    scalar("top_k", Draft::top_k),
    scalar("seed", Draft::seed),
    scalar("max_output_tokens", Draft::max_tokens),
    scalar("thinking_level", Draft::reasoning_level),
    scalar("stop_sequences[]", Draft::stop_sequence),
];

const EVENT: &[Rule<Draft>] = &[
    scalar("event_type", Draft::document_kind),
    scalar("index", Draft::choice_index_or_zero),
    open("step", Draft::part_opened),
    scalar("step.type", Draft::part_kind),
    scalar("step.name", Draft::part_name),
    scalar("step.id", Draft::part_id),
    raw("step.arguments", Draft::part_arguments),
    text("delta.text", Draft::answer_text),
    text("delta.content.text", Draft::other_text),
    text("delta.arguments", Draft::arguments_fragment),
    text("delta.partial_arguments", Draft::arguments_fragment),
];

/// Rules for the interaction object.
const INTERACTION: &[Rule<Draft>] = &[
    scalar("id", Draft::response_id),
    scalar("model", Draft::response_model),
    scalar("status", Draft::choice_finish_reason),
    open("steps[]", Draft::part_marked),
    close("steps[]", step),
    scalar("steps[].type", Draft::part_kind),
    scalar("steps[].name", Draft::part_name),
    scalar("steps[].id", Draft::part_id),
    raw("steps[].arguments", Draft::part_arguments),
    text("steps[].content[].text", Draft::answer_text),
    open("outputs[]", Draft::part_marked),
    close("outputs[]", step),
    scalar("outputs[].type", Draft::part_kind),
    scalar("outputs[].name", Draft::part_name),
    scalar("outputs[].id", Draft::part_id),
    raw("outputs[].arguments", Draft::part_arguments),
    text("outputs[].text", Draft::answer_text),
    scalar("usage.total_input_tokens", |d, v| d.count(v, |c| &mut c.input)),
    scalar("usage.total_output_tokens", |d, v| d.count(v, |c| &mut c.output)),
    scalar("usage.total_cached_tokens", |d, v| d.count(v, |c| &mut c.cache_read)),
    scalar("usage.total_thought_tokens", thoughts),
    scalar("usage.total_tool_use_tokens", |d, v| d.count(v, |c| &mut c.tool_input)),
    scalar("usage.total_tokens", |d, v| d.count(v, |c| &mut c.total)),
    open("usage.grounding_tool_count[]", Draft::part_opened),
    close("usage.grounding_tool_count[]", |d| match d.open.part_kind() {
        "google_maps" => d.provider_calls_from_part(ProviderTool::MapsSearch),
        _ => d.provider_calls_from_part(ProviderTool::WebSearch),
    }),
    scalar("usage.grounding_tool_count[].type", Draft::part_kind),
    scalar("usage.grounding_tool_count[].tool", Draft::part_kind),
    scalar("usage.grounding_tool_count[].count", Draft::part_tokens),
    scalar("service_tier", Draft::service_tier),
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
    d.output_excludes_reasoning();
    d.count(value, |c| &mut c.reasoning);
}

fn step(d: &mut Draft) {
    d.add_other_content(!matches!(d.open.part_kind(), "model_output" | "text" | "thought"));
    if !matches!(d.open.part_kind(), "model_output" | "text") || d.answer.text_comes_in_deltas() {
        d.part_dropped();
    }
    let place = u64::from(d.open.part_index());
    call(d, place);
}

fn call(d: &mut Draft, place: u64) {
    if d.open.part_kind() == "function_call" {
        d.whole_tool_call(place);
    }
}

fn document(d: &mut Draft) {
    match d.open.kind() {
        "step.delta" => d.set_text_comes_in_deltas(true),
        "step.start" => {
            let (place, is_call) = (u64::from(d.open.choice_index()), d.open.part_kind() == "function_call");
            call(d, place);
            d.fragments_opened(is_call);
        }
        "interaction.completed" | "" => {
            if let Some(status) = d.open.take_finish_reason() {
                state(d, crate::json::Scalar::Text(&status));
                if &*status == "failed" {
                    d.failed();
                }
                d.set_finish_reason(0, Some(status));
            }
            d.complete();
        }
        "error" => {
            d.failed();
            d.complete();
        }
        _ => {}
    }
    if d.open.kind() != "step.delta" {
        d.generated_before();
    }
}
