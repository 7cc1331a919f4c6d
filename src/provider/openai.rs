//! OpenAI chat completions, completions and embeddings, also as other vendors serve them.
//!
//! Specification: OpenAI's OpenAPI document and SDK types. Additions of compatible vendors follow recorded traffic.

use super::common::state;
use super::{Api, Endpoint};
use crate::draft::{Draft, ProviderTool};
use crate::json::{Deferred, Rule, Scalar, close, deferred, digest, digest_parts, open, raw, scalar, supersedes, text};

/// `POST .../chat/completions`
pub const CHAT: Api = Api {
    name: "openai-chat",
    operation: "chat",
    kind: Some("chat_completions"),
    request: &[("", SAMPLING), ("", MESSAGES)],
    response: &[
        ("", CHAT_ANSWER),
        ("", &[scalar("status", state), scalar("task_status", state), scalar("request_id", promised)]),
        ("", ERROR),
        ("usage", TOKENS),
        ("usage", COST),
        ("usage", RELAYED),
        ("x_groq.usage", TOKENS),
        ("choices[].usage", TOKENS),
    ],
    terminated: true,
    takes_stream_options: true,
    ..Api::DEFAULT
};

/// `POST .../completions`
pub const COMPLETIONS: Api = Api {
    name: "openai-completions",
    operation: "text_completion",
    request: &[("", SAMPLING), ("", PROMPT)],
    response: &[
        ("", CHAT_ANSWER),
        ("", &[text("choices[].text", Draft::answer_text)]),
        ("", ERROR),
        ("usage", TOKENS),
        ("usage", COST),
    ],
    terminated: true,
    takes_stream_options: true,
    ..Api::DEFAULT
};

/// `POST .../embeddings`
pub const EMBEDDINGS: Api = Api {
    name: "openai-embeddings",
    operation: "embeddings",
    request: &[("", SAMPLING), ("", INPUT)],
    response: &[
        ("", &[scalar("id", Draft::response_id), scalar("model", Draft::response_model)]),
        ("", ERROR),
        ("usage", TOKENS),
        ("usage", TOTAL),
        ("usage", COST),
    ],
    ..Api::DEFAULT
};

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/chat/completions", &CHAT),
    Endpoint::new("/completions", &COMPLETIONS),
    Endpoint::new("/embeddings", &EMBEDDINGS),
];

/// Parameters that the endpoints of OpenAI share.
pub const SAMPLING: &[Rule<Draft>] = &[
    scalar("model", Draft::request_model),
    scalar("stream", Draft::request_stream),
    scalar("stream_options.include_usage", Draft::request_stream_usage),
    scalar("service_tier", Draft::requested_tier),
    scalar("reasoning_effort", Draft::reasoning_level),
    scalar("reasoning.effort", Draft::reasoning_level),
    scalar("max_tokens", Draft::max_tokens_unless_set),
    scalar("max_completion_tokens", Draft::max_tokens_if_count),
    scalar("temperature", Draft::temperature),
    scalar("top_p", Draft::top_p),
    scalar("top_k", Draft::top_k),
    scalar("seed", Draft::seed),
    scalar("random_seed", Draft::seed),
    scalar("frequency_penalty", Draft::frequency_penalty),
    scalar("presence_penalty", Draft::presence_penalty),
    scalar("stop", Draft::stop_sequence),
    scalar("stop[]", Draft::stop_sequence),
    scalar("n", Draft::choice_count),
    scalar("response_format.type", output_type),
    // xAI: the answer can be fetched later.
    scalar("deferred", |d, v| d.set_deferred(v.is_true())),
    scalar("modalities[]", |d, v| match v {
        Scalar::Text("audio") => d.set_output_type("speech"),
        Scalar::Text("image") => d.set_output_type("image"),
        _ => {}
    }),
];

/// Messages and tools of the request.
pub const MESSAGES: &[Rule<Draft>] = &[
    supersedes("messages[]", |d, _| d.message_opened()),
    close("messages[]", Draft::message_closed),
    scalar("messages[].role", Draft::message_role),
    deferred("messages[].content", said_or_result),
    deferred("messages[].content[].text", said_or_result),
    digest("messages[].content[].image_url", Draft::result_hashed),
    digest("messages[].content[].image_url.url", Draft::result_hashed),
    digest("messages[].content[].input_audio.data", Draft::result_hashed),
    digest("messages[].content[].file.file_data", Draft::result_hashed),
    digest("messages[].content[].file.file_id", Draft::result_hashed),
    // Ollama.
    digest("messages[].images[]", Draft::result_hashed),
    scalar("messages[].tool_call_id", Draft::result_id),
    scalar("messages[].name", Draft::result_name),
    // Ollama.
    scalar("messages[].tool_name", Draft::result_name),
    open("messages[].tool_calls[]", |d, _| d.past_call_opened()),
    close("messages[].tool_calls[]", Draft::past_call_closed),
    scalar("messages[].tool_calls[].id", Draft::past_call_id),
    scalar("messages[].tool_calls[].function.name", Draft::past_call_name),
    text("messages[].tool_calls[].function.arguments", Draft::past_call_arguments),
    // In Ollama's API the arguments are an object.
    raw("messages[].tool_calls[].function.arguments", Draft::past_call_arguments),
    scalar("messages[].tool_calls[].custom.name", Draft::past_call_name),
    text("messages[].tool_calls[].custom.input", Draft::past_call_arguments),
    digest("messages[].tool_calls[].function.name", Draft::text_hashed),
    digest("messages[].tool_calls[].function.arguments", Draft::text_hashed),
    digest_parts("messages[].tool_calls[].custom", Draft::text_hashed),
    open("messages[].function_call", |d, _| d.past_call_opened()),
    close("messages[].function_call", Draft::past_call_closed),
    scalar("messages[].function_call.name", Draft::past_call_name),
    text("messages[].function_call.arguments", Draft::past_call_arguments),
    digest("messages[].function_call.name", Draft::text_hashed),
    digest("messages[].function_call.arguments", Draft::text_hashed),
    open("tools[]", |d, _| d.tool_offered()),
    scalar("tools[].function.name", Draft::offered_name),
    scalar("tools[].name", Draft::offered_name),
    open("functions[]", |d, _| d.tool_offered()),
    scalar("functions[].name", Draft::offered_name),
    scalar("tool_choice", Draft::tool_choice),
    scalar("tool_choice.type", Draft::tool_choice_kind),
    scalar("tool_choice.function.name", Draft::tool_choice_name),
    open("function_call", |d, _| d.tool_choice_named()),
    scalar("function_call.name", Draft::tool_choice_name),
];

/// The text of a message. A message with the role of a tool is a tool result, but the role may follow the text, so the text is
/// read as both.
fn said_or_result() -> Deferred<Draft> {
    Deferred {
        is_awaited: Draft::wants_every_message,
        now: Draft::possible_result_text,
        preview: Some(Draft::possible_result_passed),
        later: Draft::message_text,
        digest: Some(Draft::result_hashed),
    }
}

/// A prompt outside the list of messages. It counts as the last message.
pub fn prompted() -> Deferred<Draft> {
    Deferred { is_awaited: |_| true, now: prompt, preview: None, later: prompt, digest: Some(Draft::text_hashed) }
}

const PROMPT: &[Rule<Draft>] = &[text("prompt", prompt), text("prompt[]", prompt)];
const INPUT: &[Rule<Draft>] = &[text("input", prompt), text("input[]", prompt)];

/// Choices: complete messages, or the deltas of a stream.
pub const CHAT_ANSWER: &[Rule<Draft>] = &[
    scalar("id", Draft::response_id),
    scalar("model", Draft::response_model),
    open("choices[]", Draft::choice_opened),
    close("choices[]", Draft::choice_closed),
    scalar("choices[].index", Draft::choice_index),
    scalar("service_tier", Draft::served_tier),
    scalar("system_fingerprint", Draft::system_fingerprint),
    scalar("choices[].finish_reason", Draft::choice_finish_reason),
    // In Perplexity's streams each chunk also has the whole message so far.
    text("choices[].message.content", Draft::answer_text_unless_stream),
    text("choices[].message.content[].text", Draft::answer_text_unless_stream),
    open("choices[].message.tool_calls[]", Draft::part_opened),
    close("choices[].message.tool_calls[]", call),
    scalar("choices[].message.tool_calls[].id", Draft::part_id),
    scalar("choices[].message.tool_calls[].function.name", Draft::part_name),
    scalar("choices[].message.tool_calls[].custom.name", Draft::part_name),
    open("choices[].message.function_call", Draft::part_opened),
    close("choices[].message.function_call", call),
    scalar("choices[].message.function_call.name", Draft::part_name),
    text("choices[].delta.content", Draft::answer_text),
    text("choices[].delta.content[].text", Draft::answer_text),
    text("choices[].message.refusal", Draft::refusal_text),
    text("choices[].message.audio.data", Draft::other_content),
    text("choices[].delta.refusal", Draft::refusal_text),
    text("choices[].delta.reasoning_content", Draft::other_text),
    text("choices[].delta.reasoning", Draft::other_text),
    text("choices[].delta.reasoning_text", Draft::other_text),
    text("choices[].delta.reasoning_details[].text", Draft::other_text),
    text("choices[].delta.reasoning_details[].summary", Draft::other_text),
    open("choices[].message.images[]", |d, _| d.add_other_content(true)),
    open("choices[].delta.images[]", |d, _| d.add_other_content(true)),
    text("choices[].delta.content[].thinking[].text", Draft::other_text),
    text("choices[].delta.audio.data", Draft::other_content),
    text("choices[].delta.audio.transcript", Draft::other_text),
    open("choices[].delta.tool_calls[]", Draft::part_opened),
    close("choices[].delta.tool_calls[]", call),
    scalar("choices[].delta.tool_calls[].index", Draft::part_index),
    scalar("choices[].delta.tool_calls[].id", Draft::part_id),
    scalar("choices[].delta.tool_calls[].function.name", Draft::part_name),
    scalar("choices[].delta.tool_calls[].custom.name", Draft::part_name),
    text("choices[].delta.tool_calls[].function.arguments", |d, piece| d.fragment_at(call_position(d), piece)),
    text("choices[].message.tool_calls[].function.arguments", |d, piece| {
        d.part_arguments(piece);
        d.structured_arguments(piece);
    }),
    open("choices[].delta.function_call", Draft::part_opened),
    close("choices[].delta.function_call", call),
    scalar("choices[].delta.function_call.name", Draft::part_name),
];

/// Errors: an object; in xAI's API a string with the code outside of it; in the APIs of vLLM and Mistral a document with `object`
/// set to `error`.
pub const ERROR: &[Rule<Draft>] = &[
    open("error", |d, _| d.failed()),
    text("error", |d, _| d.failed()),
    scalar("error.code", Draft::error_code),
    scalar("error.type", Draft::error_type),
    scalar("code", Draft::outer_error),
    // MiniMax: an answer without choices.
    scalar("base_resp.status_code", |d, v| {
        if let Scalar::Number(code) = v
            && code != "0"
        {
            d.failed();
            d.set_outer_error(Some(code));
        }
    }),
    // OpenRouter: the error of one choice.
    open("choices[].error", |d, _| d.failed()),
    scalar("choices[].error.code", Draft::error_code),
    scalar("object", |d, v| {
        if v == Scalar::Text("error") {
            d.failed();
        }
    }),
];

/// The identifier by which a deferred chat is fetched.
///
/// Specification: docs.x.ai, deferred chat completions.
fn promised(d: &mut Draft, value: Scalar<'_>) {
    if d.answer.is_deferred() {
        d.fetched_by(value);
    }
}

/// The usage object, with the names of chat completions and of Responses.
pub const TOKENS: &[Rule<Draft>] = &[
    // Some relays end a stream with zeros in place of the counts.
    scalar("prompt_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.input)),
    scalar("input_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.input)),
    scalar("completion_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.output)),
    scalar("output_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.output)),
    scalar("total_tokens", |d, v| d.count(v, |c| &mut c.total)),
    scalar("prompt_tokens_details.cached_tokens", |d, v| d.count(v, |c| &mut c.cache_read)),
    scalar("input_tokens_details.cached_tokens", |d, v| d.count(v, |c| &mut c.cache_read)),
    // The names that DeepSeek and Moonshot use.
    scalar("prompt_cache_hit_tokens", |d, v| d.count(v, |c| &mut c.cache_read)),
    scalar("cached_tokens", |d, v| d.count(v, |c| &mut c.cache_read)),
    scalar("prompt_tokens_details.cache_write_tokens", |d, v| d.count(v, |c| &mut c.cache_write)),
    scalar("input_tokens_details.cache_write_tokens", |d, v| d.count(v, |c| &mut c.cache_write)),
    scalar("completion_tokens_details.reasoning_tokens", |d, v| d.count(v, |c| &mut c.reasoning)),
    scalar("output_tokens_details.reasoning_tokens", |d, v| d.count(v, |c| &mut c.reasoning)),
    scalar("reasoning_tokens", |d, v| d.count(v, |c| &mut c.reasoning)),
    scalar("prompt_tokens_details.text_tokens", |d, v| d.detail(v, |q| &mut q.input_text)),
    scalar("input_tokens_details.text_tokens", |d, v| d.detail(v, |q| &mut q.input_text)),
    scalar("completion_tokens_details.text_tokens", |d, v| d.detail(v, |q| &mut q.output_text)),
    scalar("output_tokens_details.text_tokens", |d, v| d.detail(v, |q| &mut q.output_text)),
    scalar("prompt_tokens_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.input_audio)),
    scalar("prompt_tokens_details.image_tokens", |d, v| d.detail(v, |q| &mut q.input_image)),
    scalar("input_tokens_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.input_audio)),
    scalar("input_tokens_details.image_tokens", |d, v| d.detail(v, |q| &mut q.input_image)),
    scalar("completion_tokens_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.output_audio)),
    scalar("completion_tokens_details.image_tokens", |d, v| d.detail(v, |q| &mut q.output_image)),
    scalar("output_tokens_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.output_audio)),
    scalar("output_tokens_details.image_tokens", |d, v| d.detail(v, |q| &mut q.output_image)),
    // The name that Mistral uses.
    scalar("prompt_audio_seconds", Draft::audio_seconds),
    // The names that Mistral, DashScope and others use, also outside of the details.
    scalar("num_cached_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.cache_read)),
    scalar("prompt_tokens_details.cache_creation_input_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.cache_write)),
    // Perplexity.
    scalar("citation_tokens", |d, v| d.detail(v, |q| &mut q.citations)),
    scalar("search_context_size", Draft::search_context),
    scalar("num_search_queries", |d, v| d.provider_calls(v, ProviderTool::WebSearch)),
    // xAI.
    scalar("server_side_tool_usage_details.web_search_calls", |d, v| d.provider_calls(v, ProviderTool::WebSearch)),
    scalar("server_side_tool_usage_details.code_interpreter_calls", |d, v| d.provider_calls(v, ProviderTool::CodeRun)),
    scalar("server_side_tool_usage_details.file_search_calls", |d, v| d.provider_calls(v, ProviderTool::FileSearch)),
];

/// The cost in the usage object. OpenRouter, Perplexity and xAI report it, in all of their APIs.
pub const COST: &[Rule<Draft>] = &[
    scalar("cost", |d, v| d.cost(v, |c| &mut c.cost)),
    scalar("cost.total_cost", |d, v| d.cost(v, |c| &mut c.cost)),
    scalar("cost.usd", |d, v| d.cost(v, |c| &mut c.cost)),
    // DeepInfra, and the gateway of pydantic-ai.
    scalar("estimated_cost", |d, v| d.cost(v, |c| &mut c.estimate)),
    scalar("pydantic_ai_gateway.cost_estimate", |d, v| d.cost(v, |c| &mut c.estimate)),
    scalar("cost_details.upstream_inference_cost", |d, v| d.cost(v, |c| &mut c.upstream_cost)),
    scalar("is_byok", Draft::uses_own_key),
    scalar("cost_in_usd_ticks", Draft::cost_in_ticks),
];

/// The total of an API without output tokens, where it equals the input. Voyage and Jina report only the total.
pub const TOTAL: &[Rule<Draft>] = &[scalar("total_tokens", |d, v| d.count(v, |c| &mut c.spare_input))];

/// Cache counts with Anthropic's names in OpenAI's usage object, from relays of Anthropic's models (LiteLLM, Databricks,
/// Doubleword, Venice). They are included in the prompt tokens.
const RELAYED: &[Rule<Draft>] = &[
    scalar("cache_read_input_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.cache_read)),
    scalar("cache_creation_input_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.cache_write)),
    scalar("cache_creation.ephemeral_1h_input_tokens", |d, v| d.detail(v, |q| &mut q.cache_write_1h)),
    scalar("prompt_tokens_details.cache_creation_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.cache_write)),
];

/// A piece of a prompt that is a string, or of one in a list of strings. An empty piece begins a prompt.
pub fn prompt(d: &mut Draft, piece: &[u8]) {
    if piece.is_empty() {
        d.prompt_opened();
    }
    d.message_text(piece);
}

/// Sets the requested output type from a `type` with OpenAI's values.
pub fn output_type(d: &mut Draft, value: Scalar<'_>) {
    match value {
        Scalar::Text("text") => d.set_output_type("text"),
        Scalar::Text("json_object" | "json_schema") => d.set_output_type("json"),
        _ => {}
    }
}

fn call(d: &mut Draft) {
    d.tool_call(call_position(d));
}

/// The position of the open call: its choice and its index.
fn call_position(d: &Draft) -> u64 {
    u64::from(d.open.choice_index()) << 32 | u64::from(d.open.part_index())
}
