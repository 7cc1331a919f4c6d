//! OpenAI Responses. The first and the last event of a stream have the response object, so a stream can have a call, a text or the
//! usage up to three times. Each is counted once.
//!
//! Specification: OpenAI's SDK types.

use super::common::{ITEM, result, state};
use super::openai::{COST, ERROR, SAMPLING, TOKENS, output_type, prompted};
use super::{Api, Endpoint};
use crate::draft::{Draft, ProviderTool};
use crate::json::{Rule, Scalar, close, deferred, digest, open, raw, scalar, text};

/// `POST .../responses`
pub const RESPONSES: Api = Api {
    name: "openai-responses",
    operation: "chat",
    kind: Some("responses"),
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

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] =
    &[Endpoint::new("/responses", &RESPONSES), Endpoint::new("/responses/compact", &COMPACT)];

/// Rules for the members of the request that chat completions do not have.
pub const INPUT: &[Rule<Draft>] = &[
    scalar("max_output_tokens", Draft::max_tokens),
    scalar("text.format.type", output_type),
    scalar("conversation", Draft::conversation_id),
    scalar("conversation.id", Draft::conversation_id),
    deferred("input", prompted),
    open("tools[]", |d, _| d.tool_offered()),
    scalar("tools[].name", Draft::offered_name),
    // Codex offers its tools in an item of the input.
    open("input[].tools[]", |d, _| d.tool_offered()),
    scalar("tool_choice", Draft::tool_choice),
    scalar("tool_choice.type", Draft::tool_choice_kind),
    scalar("tool_choice.name", Draft::tool_choice_name),
    scalar("previous_response_id", Draft::previous_response),
    close("input[]", item),
    // Codex: a message between agents. Their names are paths, and the one above is the beginning of those below.
    scalar("input[].author", |d, v| d.message_level(v, -1)),
    scalar("input[].recipient", |d, v| d.message_level(v, 1)),
    scalar("input[].id", Draft::part_item_id),
    scalar("input[].call_id", |d, v| {
        d.past_call_id(v);
        d.result_id(v);
    }),
    scalar("input[].approval_request_id", Draft::result_id),
    text("input[].input", Draft::past_call_arguments),
    raw("input[].action", Draft::past_call_arguments),
    raw("input[].actions", Draft::past_call_arguments),
    raw("input[].operation", Draft::past_call_arguments),
    scalar("input[].status", Draft::result_failed),
    digest("prompt", Draft::system_hashed),
    digest("input[].input", Draft::text_hashed),
    digest("input[].action", Draft::text_hashed),
    digest("input[].operation", Draft::text_hashed),
    deferred("input[].output", result),
    deferred("input[].output[].text", result),
    digest("input[].output[].image_url", Draft::result_hashed),
    digest("input[].output[].file_data", Draft::result_hashed),
    digest("input[].output[].file_id", Draft::result_hashed),
    digest("input[].output.image_url", Draft::result_hashed),
    digest("input[].output.file_id", Draft::result_hashed),
    deferred("input[].output[].stdout", result),
    deferred("input[].output[].stderr", result),
    scalar("input[].output[].outcome.type", |d, v| {
        d.result_detail(v);
        d.result_failed(v);
    }),
    scalar("input[].output[].outcome.exit_code", Draft::result_detail),
    digest("input[].content[].image_url", Draft::text_hashed),
    digest("input[].content[].file_data", Draft::text_hashed),
];

const APPLY_PATCH: &str = "apply_patch";

/// The name of a built-in tool that the client runs, by the type of its call.
///
/// Specification: OpenAI's SDK types of the items.
fn client_tool(kind: &str) -> Option<&'static str> {
    let tools = ["shell", "local_shell", APPLY_PATCH, "computer"];
    tools.into_iter().find(|tool| kind.strip_suffix("_call") == Some(tool))
}

/// An item that asks the client whether a remote tool may be called. The client answers it like a call.
const APPROVAL: &str = "mcp_approval_request";

/// Ends an item of the input, according to its type. The calls of one turn are consecutive items.
fn item(d: &mut Draft) {
    match d.open.part_kind() {
        "function_call" | "custom_tool_call" => d.past_call_item_closed(),
        "agent_message" => d.agent_message_closed(),
        APPROVAL => {
            d.past_call_id_is_item_id();
            d.past_call_item_closed();
        }
        kind if client_tool(kind).is_some() => {
            d.part_name_unless_set(client_tool(d.open.part_kind()));
            d.past_call_item_closed();
        }
        // The type has only an `id`, which is that of the call. Some clients send a `call_id`.
        "local_shell_call_output" => {
            d.result_id_is_item_id();
            d.result_item_closed();
        }
        // It may have no text: the status is the result.
        "apply_patch_call_output" => {
            d.result_detail(Scalar::Text(APPLY_PATCH));
            d.result_item_closed();
        }
        "function_call_output"
        | "custom_tool_call_output"
        | "shell_call_output"
        | "computer_call_output"
        // The result of an approved call is elsewhere, so it is not known whether it is the same.
        | "mcp_approval_response" => d.result_item_closed(),
        "reasoning" => d.reasoning_item_closed(),
        _ => d.message_closed(),
    }
}

/// Rules for the events of a stream.
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
    raw("item.action", Draft::part_action),
    raw("item.actions", Draft::part_arguments),
    raw("item.operation", Draft::part_arguments),
    text("item.arguments", Draft::part_arguments),
    text("item.input", Draft::part_arguments),
    scalar("item.name", Draft::part_name),
    scalar("item.id", Draft::part_item_id),
    scalar("item.call_id", Draft::part_id),
];

/// Rules for the response object.
pub const RESPONSE: &[Rule<Draft>] = &[
    // Some gateways give the response another identifier in each event. A client can retrieve the response by the last one.
    scalar("id", Draft::last_response_id),
    scalar("model", Draft::response_model),
    scalar("status", Draft::choice_finish_reason),
    scalar("background", |d, v| d.fetchable(v.is_true())),
    scalar("incomplete_details.reason", Draft::choice_finish_detail),
    scalar("service_tier", Draft::served_tier),
    scalar("tool_usage.web_search.num_requests", |d, v| d.provider_calls(v, ProviderTool::WebSearch)),
    close("tool_usage.image_gen", |d| d.tool_usage_closed(IMAGE_MODEL)),
    scalar("tool_usage.image_gen.input_tokens", |d, v| d.attempt_count(v, |s| &mut s.input)),
    scalar("tool_usage.image_gen.output_tokens", |d, v| d.attempt_count(v, |s| &mut s.output)),
    scalar("tool_usage.image_gen.input_tokens_details.image_tokens", |d, v| {
        d.attempt_detail(v, |attempt| &mut attempt.input_image);
    }),
    scalar("tool_usage.image_gen.output_tokens_details.image_tokens", |d, v| {
        d.attempt_detail(v, |attempt| &mut attempt.output_image);
    }),
    scalar("tools[].model", Draft::tool_model),
    scalar("conversation.id", Draft::conversation_id),
    open("output[]", |d, index| {
        if index == 0 {
            d.provider_list_opened();
        }
        d.part_marked(index);
    }),
    close("output[]", |d| {
        provider_call(d, false);
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
    raw("output[].action", Draft::part_action),
    raw("output[].actions", Draft::part_arguments),
    raw("output[].operation", Draft::part_arguments),
    text("output[].arguments", |d, piece| {
        d.part_arguments(piece);
        d.structured_arguments(piece);
    }),
    text("output[].input", Draft::part_arguments),
    // A compaction repeats the text of the user.
    scalar("output[].role", |d, v| mark_as_input(d, v, "user")),
    scalar("output[].content[].type", |d, v| mark_as_input(d, v, "input_text")),
    scalar("output[].name", Draft::part_name),
    scalar("output[].id", Draft::part_item_id),
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

/// Counts the call of a tool that the provider runs. A web search is billed only if its action is `search`.
///
/// Specification: OpenAI's pricing page, built-in tools.
fn provider_call(d: &mut Draft, is_event: bool) {
    let tool = match d.open.part_kind() {
        "web_search_call" if !d.open.part_only_opens() => ProviderTool::WebSearch,
        "file_search_call" => ProviderTool::FileSearch,
        "code_interpreter_call" => ProviderTool::CodeRun,
        _ => return,
    };
    d.provider_call(tool, is_event);
}

/// The model of the image tool if the request names none.
///
/// Specification: OpenAI's SDK types, `ImageGeneration.model`.
const IMAGE_MODEL: &str = "gpt-image-1";

fn call(d: &mut Draft, place: u64) {
    match d.open.part_kind() {
        "function_call" | "custom_tool_call" => {}
        APPROVAL => d.part_id_is_item_id(),
        kind => {
            let Some(tool) = client_tool(kind) else { return };
            d.part_name_unless_set(Some(tool));
        }
    }
    d.whole_tool_call(place);
}

/// Evaluates an event, or the response object.
pub fn document(d: &mut Draft) {
    let kind = d.open.kind_word();
    match kind.as_str() {
        "response.output_text.delta" => d.set_text_comes_in_deltas(true),
        _ => d.choice_dropped(),
    }
    match kind.as_str() {
        "response.output_item.added" | "response.output_item.done" => {
            if kind.as_str() == "response.output_item.done" {
                provider_call(d, true);
            }
            let place = u64::from(d.open.choice_index());
            call(d, place);
        }
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" | "" => {
            let status = d.open.take_finish_reason();
            state(d, status.as_deref().map_or(Scalar::Null, Scalar::Text));
            if status.as_deref() == Some("cancelled") {
                d.unwanted();
            }
            if kind.as_str() == "response.failed" || status.as_deref() == Some("failed") {
                d.failed();
            }
            // The type of the event ends the stream, even without a status.
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
    // The response object is not the first token: its content was generated earlier.
    if !kind.as_str().ends_with(".delta") && !kind.as_str().ends_with(".partial_image") {
        d.generated_before();
    }
}
