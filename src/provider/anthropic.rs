//! Anthropic Messages, also as other vendors serve it.
//!
//! Specification: Anthropic's SDK types. The counts of a stream are cumulative. Some servers send an input count of 0 in the last
//! event.

use super::common::{result, said};
use super::openai::{self, CHAT, COST, output_type, prompted};
use super::{Api, Endpoint};
use crate::draft::{AttemptKind, Draft, ProviderTool};
use crate::json::{Rule, Scalar, close, deferred, digest, digest_parts, open, raw, scalar, supersedes, text};

/// `POST .../v1/messages`
pub const MESSAGES: Api = Api {
    name: "anthropic-messages",
    operation: "chat",
    request: &[("", REQUEST)],
    response: &[
        ("", EVENT),
        ("", ANSWER),
        ("", COUNTS),
        ("", USAGE),
        ("message", ANSWER),
        ("message", COUNTS),
        ("message", FIRST_USAGE),
        ("usage", COST),
    ],
    document,
    terminated: true,
    ..Api::DEFAULT
};

/// `POST /v1/complete`, the older text completions. They have no counts.
pub const COMPLETE: Api = Api {
    name: "anthropic-complete",
    operation: "text_completion",
    request: &[
        ("", openai::SAMPLING),
        (
            "",
            &[
                deferred("prompt", prompted),
                scalar("max_tokens_to_sample", Draft::max_tokens),
                scalar("stop_sequences[]", Draft::stop_sequence),
            ],
        ),
    ],
    response: &[
        ("", openai::ERROR),
        (
            "",
            &[
                scalar("id", Draft::response_id),
                scalar("model", Draft::response_model),
                text("completion", Draft::answer_text),
                scalar("stop_reason", Draft::finish_reason),
            ],
        ),
    ],
    usage_expected: false,
    ..Api::DEFAULT
};

/// The endpoints. Vertex AI serves Mistral's models with the same path endings, in the format of chat completions.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/v1/messages", &MESSAGES),
    Endpoint::new("/v1/complete", &COMPLETE),
    Endpoint::new(":rawPredict", &MESSAGES).within("/publishers/anthropic/"),
    Endpoint::new(":streamRawPredict", &MESSAGES).within("/publishers/anthropic/").streaming(),
    Endpoint::new(":rawPredict", &CHAT).within("/publishers/mistralai/"),
    Endpoint::new(":streamRawPredict", &CHAT).within("/publishers/mistralai/").streaming(),
];

/// Rules for the request.
pub const REQUEST: &[Rule<Draft>] = &[
    scalar("model", Draft::request_model),
    scalar("stream", Draft::request_stream),
    scalar("max_tokens", Draft::max_tokens),
    scalar("temperature", Draft::temperature),
    scalar("top_p", Draft::top_p),
    scalar("top_k", Draft::top_k),
    scalar("stop_sequences[]", Draft::stop_sequence),
    scalar("output_config.format.type", output_type),
    scalar("output_config.effort", Draft::reasoning_level),
    scalar("output_format.type", output_type),
    supersedes("messages[]", |d, _| d.message_opened()),
    close("messages[]", Draft::message_closed),
    scalar("messages[].role", Draft::message_role),
    deferred("messages[].content", said),
    deferred("messages[].content[].text", said),
    open("messages[].content[]", Draft::part_opened),
    close("messages[].content[]", |d| match d.open.part_kind() {
        "tool_use" => d.past_call_part_closed(),
        "tool_result" => d.result_part_closed(),
        _ => {}
    }),
    scalar("messages[].content[].type", Draft::part_kind),
    scalar("messages[].content[].id", Draft::past_call_id),
    scalar("messages[].content[].name", Draft::part_name),
    raw("messages[].content[].input", Draft::past_call_arguments),
    scalar("messages[].content[].tool_use_id", Draft::result_id),
    scalar("messages[].content[].is_error", Draft::result_failed),
    digest("messages[].content[].source.data", Draft::text_hashed),
    digest("messages[].content[].source.url", Draft::text_hashed),
    digest("messages[].content[].content[].source.data", Draft::result_hashed),
    digest("messages[].content[].content[].source.url", Draft::result_hashed),
    digest("messages[].content[].content[].source.file_id", Draft::result_hashed),
    // A search result.
    digest("messages[].content[].content[].source", Draft::result_hashed),
    digest("messages[].content[].content[].content[].text", Draft::result_hashed),
    digest("messages[].content[].name", Draft::text_hashed),
    digest("messages[].content[].input", Draft::text_hashed),
    deferred("messages[].content[].content", result),
    deferred("messages[].content[].content[].text", result),
    digest_parts("tool_choice", Draft::parameter_hashed),
    open("tools[]", |d, _| d.tool_offered()),
    scalar("tools[].name", Draft::offered_name),
    scalar("tool_choice.type", Draft::tool_choice_kind),
    scalar("tool_choice.name", Draft::tool_choice_name),
    scalar("thread.previous_message_id", Draft::previous_response),
];

/// Rules for the message, and for the events that have members of a message.
pub const ANSWER: &[Rule<Draft>] = &[
    scalar("id", Draft::response_id),
    scalar("model", Draft::response_model),
    scalar("stop_reason", finish),
    open("content[]", Draft::part_opened),
    close("content[]", |d| call(d, d.open.part_index())),
    scalar("content[].type", Draft::part_kind),
    scalar("content[].id", Draft::part_id),
    scalar("content[].name", Draft::part_name),
    raw("content[].input", |d, piece| {
        d.part_arguments(piece);
        d.structured_arguments(piece);
    }),
    text("content[].text", Draft::answer_text),
    scalar("stop_details.category", charged_refusal),
];

/// Rules for the counts of a message, without the output count.
pub const COUNTS: &[Rule<Draft>] = &[
    scalar("usage.input_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.input)),
    scalar("usage.cache_read_input_tokens", |d, v| {
        d.input_excludes_cache();
        d.count_unless_zero(v, |c| &mut c.cache_read);
    }),
    scalar("usage.cache_creation_input_tokens", |d, v| {
        d.input_excludes_cache();
        d.count_unless_zero(v, |c| &mut c.cache_write);
    }),
    scalar("usage.output_tokens_details.thinking_tokens", |d, v| d.count(v, |c| &mut c.reasoning)),
    scalar("usage.cache_creation.ephemeral_1h_input_tokens", |d, v| d.detail(v, |q| &mut q.cache_write_1h)),
    scalar("usage.server_tool_use.web_search_requests", |d, v| d.provider_calls(v, ProviderTool::WebSearch)),
    scalar("usage.server_tool_use.web_fetch_requests", |d, v| d.provider_calls(v, ProviderTool::WebFetch)),
    scalar("usage.server_tool_use.code_execution_requests", |d, v| d.provider_calls(v, ProviderTool::CodeRun)),
    open("usage.iterations[]", Draft::part_opened),
    close("usage.iterations[]", attempt_closed),
    scalar("usage.iterations[].type", Draft::part_kind),
    scalar("usage.iterations[].model", Draft::attempt_model),
    scalar("usage.iterations[].input_tokens", |d, v| d.attempt_count(v, |s| &mut s.input)),
    scalar("usage.iterations[].output_tokens", |d, v| d.attempt_count(v, |s| &mut s.output)),
    scalar("usage.iterations[].cache_read_input_tokens", |d, v| d.attempt_count(v, |s| &mut s.cache_read)),
    scalar("usage.iterations[].cache_creation_input_tokens", |d, v| d.attempt_count(v, |s| &mut s.cache_creation)),
    scalar("usage.iterations[].cache_creation.ephemeral_1h_input_tokens", |d, v| {
        d.attempt_detail(v, |attempt| &mut attempt.cache_write_1h);
    }),
    scalar("usage.service_tier", tier),
    scalar("usage.speed", tier),
    scalar("usage.inference_geo", Draft::place),
    close("usage", Draft::usage_closed),
];

/// The output count of a message, or of the last event of a stream.
pub const USAGE: &[Rule<Draft>] = &[scalar("usage.output_tokens", Draft::final_output)];

/// The output count of the first event of a stream: it is only the count so far.
pub const FIRST_USAGE: &[Rule<Draft>] = &[scalar("usage.output_tokens", Draft::preliminary_output)];

/// Rules for the events of a stream.
pub const EVENT: &[Rule<Draft>] = &[
    scalar("type", Draft::document_kind),
    scalar("index", Draft::choice_index_or_zero),
    open("content_block", Draft::part_opened),
    scalar("content_block.type", Draft::part_kind),
    scalar("content_block.id", Draft::part_id),
    scalar("content_block.name", Draft::part_name),
    raw("content_block.input", Draft::part_arguments),
    text("content_block.text", Draft::answer_text),
    text("delta.text", Draft::answer_text),
    text("delta.thinking", Draft::other_text),
    text("delta.partial_json", Draft::arguments_fragment),
    scalar("delta.stop_reason", finish),
    scalar("delta.stop_details.category", charged_refusal),
    open("error", |d, _| d.failed()),
    scalar("error.type", Draft::error_type),
];

/// Sets the service tier from `service_tier` or `speed`. Values that mean the standard tier are ignored, because the other member
/// may have set the tier.
fn tier(d: &mut Draft, value: Scalar<'_>) {
    if matches!(value, Scalar::Text("batch" | "fast")) {
        d.service_tier(value);
    }
}

/// Ends an entry of the list of attempts. The list of a later event replaces the list of an earlier one.
///
/// Specification: platform.claude.com/docs/en/build-with-claude/compaction, .../agents-and-tools/tool-use/advisor-tool and
/// .../refusals-and-fallback.
fn attempt_closed(d: &mut Draft) {
    d.attempt_closed(match d.open.part_kind() {
        "compaction" | "advisor_message" => AttemptKind::Auxiliary,
        "fallback_message" => AttemptKind::Answered,
        _ => AttemptKind::Asked,
    });
}

fn finish(d: &mut Draft, value: Scalar<'_>) {
    if let Some(reason) = value.text() {
        d.free_if_empty(&*reason == "refusal");
        d.set_finish_reason(0, Some(reason));
    }
}

/// A refusal before any output is not charged, unless it has one of these categories.
///
/// Specification: platform.claude.com/docs, refusals and fallback.
fn charged_refusal(d: &mut Draft, value: Scalar<'_>) {
    if let Scalar::Text("bio" | "frontier_llm" | "reasoning_extraction") = value {
        d.refusal_is_charged();
    }
}

fn call(d: &mut Draft, place: u32) {
    if d.open.part_kind() == "tool_use" {
        d.tool_call(u64::from(place));
    }
}

/// Evaluates a message or an event.
pub fn document(d: &mut Draft) {
    match d.open.kind() {
        "content_block_start" => {
            let is_call = d.open.part_kind() == "tool_use";
            call(d, d.open.choice_index());
            d.fragments_opened(is_call);
        }
        "message_stop" | "message" => d.complete(),
        "error" => {
            d.failed();
            d.complete();
        }
        _ => {}
    }
}
