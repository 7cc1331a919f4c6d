//! OpenAI chat completions, completions and embeddings, also as other vendors serve them.
//!
//! Specification: OpenAI's OpenAPI document and SDK types. Additions of compatible vendors follow recorded traffic.

use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Deferred, Rule, Scalar, close, deferred, identity, open, raw, scalar, supersedes, text};
use crate::observation::LIST;

/// `POST .../chat/completions`
pub const CHAT: Api = Api {
    name: "openai-chat",
    operation: "chat",
    request: &[("", SAMPLING), ("", MESSAGES)],
    response: &[
        ("", CHAT_ANSWER),
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
        ("", &[text("choices[].text", Draft::answer)]),
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
    scalar("model", |d, v| d.seen.request.model = v.text()),
    scalar("stream", |d, v| d.seen.request.stream = Some(v.is_true())),
    scalar("max_tokens", |d, v| d.seen.request.max_tokens = d.seen.request.max_tokens.or(v.count())),
    scalar("max_completion_tokens", |d, v| d.seen.request.max_tokens = v.count().or(d.seen.request.max_tokens)),
    scalar("temperature", |d, v| d.seen.request.temperature = v.float()),
    scalar("top_p", |d, v| d.seen.request.top_p = v.float()),
    scalar("top_k", |d, v| d.seen.request.top_k = v.float()),
    scalar("seed", |d, v| d.seen.request.seed = v.integer()),
    scalar("random_seed", |d, v| d.seen.request.seed = v.integer()),
    scalar("frequency_penalty", |d, v| d.seen.request.frequency_penalty = v.float()),
    scalar("presence_penalty", |d, v| d.seen.request.presence_penalty = v.float()),
    scalar("stop", stop),
    scalar("stop[]", stop),
    scalar("n", |d, v| d.seen.request.choice_count = v.count()),
    scalar("response_format.type", output_type),
    scalar("modalities[]", |d, v| {
        if v == Scalar::Text("audio") {
            d.seen.request.output_type = Some("speech");
        }
    }),
];

/// Messages and tools of the request.
pub const MESSAGES: &[Rule<Draft>] = &[
    supersedes("messages[]", |d, _| d.message()),
    close("messages[]", Draft::message_closed),
    scalar("messages[].role", |d, v| d.history.role(v)),
    deferred("messages[].content", said_or_result),
    deferred("messages[].content[].text", said_or_result),
    scalar("messages[].tool_call_id", |d, v| d.history.result_id(v)),
    scalar("messages[].name", |d, v| d.history.result_name(v)),
    open("messages[].tool_calls[]", |d, _| d.history.call_opened()),
    close("messages[].tool_calls[]", |d| d.history.call_closed()),
    scalar("messages[].tool_calls[].id", |d, v| d.history.call_id(v)),
    scalar("messages[].tool_calls[].function.name", |d, v| d.history.call_name(v)),
    text("messages[].tool_calls[].function.arguments", |d, piece| d.history.call_arguments(piece)),
    // In Ollama's API the arguments are an object.
    raw("messages[].tool_calls[].function.arguments", |d, piece| d.history.call_arguments(piece)),
    open("messages[].function_call", |d, _| d.history.call_opened()),
    close("messages[].function_call", |d| d.history.call_closed()),
    scalar("messages[].function_call.name", |d, v| d.history.call_name(v)),
    text("messages[].function_call.arguments", |d, piece| d.history.call_arguments(piece)),
    open("tools[]", |d, _| d.history.tool_offered()),
    open("functions[]", |d, _| d.history.tool_offered()),
];

/// The text of a message. A message with the role of a tool is a tool result, but the role may follow the text, so the text is
/// read as both.
fn said_or_result() -> Deferred<Draft> {
    Deferred {
        is_awaited: Draft::listens,
        now: |d, piece| {
            d.history.result_text(piece);
            d.said(piece);
        },
        preview: Some(|d, text| {
            if d.history.may_be_result() {
                d.glimpse(text);
            }
        }),
        later: Draft::said,
    }
}

/// A prompt outside the list of messages. It counts as the last message.
pub fn prompted() -> Deferred<Draft> {
    Deferred { is_awaited: |_| true, now: prompt, preview: None, later: prompt }
}

const PROMPT: &[Rule<Draft>] = &[text("prompt", prompt), text("prompt[]", prompt)];
const INPUT: &[Rule<Draft>] = &[text("input", prompt), text("input[]", prompt)];

/// Choices: complete messages, or the deltas of a stream.
pub const CHAT_ANSWER: &[Rule<Draft>] = &[
    scalar("id", Draft::response_id),
    scalar("model", Draft::response_model),
    open("choices[]", Draft::choice_opened),
    close("choices[]", Draft::choice_closed),
    scalar("choices[].index", |d, v| d.open.choice.index = v.count().map_or(d.open.choice.index, |n| n as u32)),
    scalar("service_tier", Draft::tier),
    scalar("choices[].finish_reason", |d, v| d.open.choice.finish = v.text()),
    // In Perplexity's streams each chunk also has the whole message so far.
    text("choices[].message.content", Draft::whole_answer),
    text("choices[].message.content[].text", Draft::whole_answer),
    open("choices[].message.tool_calls[]", Draft::part_opened),
    close("choices[].message.tool_calls[]", call),
    scalar("choices[].message.tool_calls[].id", |d, v| d.open.part.id = identity(v)),
    scalar("choices[].message.tool_calls[].function.name", |d, v| d.open.part.name = v.text()),
    scalar("choices[].message.tool_calls[].custom.name", |d, v| d.open.part.name = v.text()),
    open("choices[].message.function_call", Draft::part_opened),
    close("choices[].message.function_call", call),
    scalar("choices[].message.function_call.name", |d, v| d.open.part.name = v.text()),
    text("choices[].delta.content", Draft::answer),
    text("choices[].delta.content[].text", Draft::answer),
    text("choices[].message.refusal", Draft::refused),
    text("choices[].message.audio.data", Draft::other),
    text("choices[].delta.refusal", Draft::refused),
    text("choices[].delta.reasoning_content", Draft::aside),
    text("choices[].delta.reasoning", Draft::aside),
    text("choices[].delta.content[].thinking[].text", Draft::aside),
    text("choices[].delta.audio.data", Draft::other),
    text("choices[].delta.audio.transcript", Draft::aside),
    open("choices[].delta.tool_calls[]", Draft::part_opened),
    close("choices[].delta.tool_calls[]", call),
    scalar("choices[].delta.tool_calls[].index", |d, v| {
        d.open.part.index = v.count().map_or(d.open.part.index, |n| n as u32)
    }),
    scalar("choices[].delta.tool_calls[].id", |d, v| d.open.part.id = identity(v)),
    scalar("choices[].delta.tool_calls[].function.name", |d, v| d.open.part.name = v.text()),
    scalar("choices[].delta.tool_calls[].custom.name", |d, v| d.open.part.name = v.text()),
    text("choices[].delta.tool_calls[].function.arguments", Draft::aside),
    open("choices[].delta.function_call", Draft::part_opened),
    close("choices[].delta.function_call", call),
    scalar("choices[].delta.function_call.name", |d, v| d.open.part.name = v.text()),
];

/// Errors: an object; in xAI's API a string with the code outside of it; in the APIs of vLLM and Mistral a document with `object`
/// set to `error`.
pub const ERROR: &[Rule<Draft>] = &[
    open("error", |d, _| d.failed()),
    text("error", |d, _| d.failed()),
    scalar("error.code", Draft::error_code),
    scalar("error.type", |d, v| d.error.kind = v.text()),
    scalar("code", |d, v| d.error.outer = v.text()),
    scalar("object", |d, v| {
        if v == Scalar::Text("error") {
            d.failed();
        }
    }),
];

/// The usage object, with the names of chat completions and of Responses.
pub const TOKENS: &[Rule<Draft>] = &[
    scalar("prompt_tokens", |d, v| d.count(v, |c| &mut c.input)),
    scalar("input_tokens", |d, v| d.count(v, |c| &mut c.input)),
    scalar("completion_tokens", |d, v| d.count(v, |c| &mut c.output)),
    scalar("output_tokens", |d, v| d.count(v, |c| &mut c.output)),
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
    scalar("prompt_tokens_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.input_audio)),
    scalar("prompt_tokens_details.image_tokens", |d, v| d.detail(v, |q| &mut q.input_image)),
    scalar("input_tokens_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.input_audio)),
    scalar("input_tokens_details.image_tokens", |d, v| d.detail(v, |q| &mut q.input_image)),
    scalar("completion_tokens_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.output_audio)),
    scalar("completion_tokens_details.image_tokens", |d, v| d.detail(v, |q| &mut q.output_image)),
    scalar("output_tokens_details.audio_tokens", |d, v| d.detail(v, |q| &mut q.output_audio)),
    scalar("output_tokens_details.image_tokens", |d, v| d.detail(v, |q| &mut q.output_image)),
    // The name that Mistral uses.
    scalar("prompt_audio_seconds", Draft::seconds),
];

/// The cost in the usage object. OpenRouter, Perplexity and xAI report it, in all of their APIs.
pub const COST: &[Rule<Draft>] = &[
    scalar("cost", |d, v| d.cost(v, |c| &mut c.cost)),
    scalar("cost.total_cost", |d, v| d.cost(v, |c| &mut c.cost)),
    scalar("cost_details.upstream_inference_cost", |d, v| d.cost(v, |c| &mut c.upstream_cost)),
    scalar("is_byok", |d, v| d.counts.own_key = v.is_true()),
    scalar("cost_in_usd_ticks", Draft::ticks),
];

/// The total of an API without output tokens, where it equals the input. Voyage and Jina report only the total.
pub const TOTAL: &[Rule<Draft>] = &[scalar("total_tokens", |d, v| d.count(v, |c| &mut c.spare_input))];

/// Cache counts with Anthropic's names in OpenAI's usage object, from relays of Anthropic's models (LiteLLM, Databricks,
/// Doubleword, Venice). They are included in the prompt tokens.
const RELAYED: &[Rule<Draft>] = &[
    scalar("cache_read_input_tokens", |d, v| d.count_up(v, |c| &mut c.cache_read)),
    scalar("cache_creation_input_tokens", |d, v| d.count_up(v, |c| &mut c.cache_write)),
    scalar("cache_creation.ephemeral_1h_input_tokens", |d, v| d.detail(v, |q| &mut q.cache_write_1h)),
    scalar("prompt_tokens_details.cache_creation_tokens", |d, v| d.count_up(v, |c| &mut c.cache_write)),
];

/// A piece of a prompt that is a string, or of one in a list of strings. An empty piece begins a prompt.
pub fn prompt(d: &mut Draft, piece: &[u8]) {
    match piece {
        [] => {
            d.message();
            d.history.asked();
        }
        _ => d.said(piece),
    }
}

/// Adds a stop sequence.
pub fn stop(d: &mut Draft, value: Scalar<'_>) {
    let list = &mut d.seen.request.stop_sequences;
    if let Some(text) = value.text().filter(|_| list.len() < LIST) {
        list.push(text);
    }
}

/// Sets the requested output type from a `type` with OpenAI's values.
pub fn output_type(d: &mut Draft, value: Scalar<'_>) {
    d.seen.request.output_type = match value {
        Scalar::Text("text") => Some("text"),
        Scalar::Text("json_object" | "json_schema") => Some("json"),
        _ => d.seen.request.output_type,
    };
}

fn call(d: &mut Draft) {
    d.call(u64::from(d.open.choice.index) << 32 | u64::from(d.open.part.index));
}
