//! APIs with formats of their own: Alibaba Cloud DashScope, IBM watsonx, Aleph Alpha. The rules of Text Generation Inference are
//! here too, as they resemble those of watsonx.
//!
//! Specifications: the API references of the vendors.

use super::openai::{self, CHAT_ANSWER, ERROR, SAMPLING, TOKENS, prompted};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Rule, Scalar, close, deferred, open, scalar, text};

/// DashScope, `POST /api/v1/services/aigc/.../generation`
pub const DASHSCOPE: Api = Api {
    name: "dashscope",
    operation: "chat",
    request: &[("", SAMPLING), ("parameters", SAMPLING), ("input", openai::MESSAGES), ("", DASHSCOPE_INPUT)],
    response: &[("", DASHSCOPE_OUTPUT), ("", ERROR), ("usage", TOKENS)],
    terminated: true,
    ..Api::DEFAULT
};

/// DashScope, `POST /api/v1/services/embeddings/...`
pub const DASHSCOPE_EMBEDDINGS: Api = Api {
    name: "dashscope-embeddings",
    operation: "embeddings",
    response: &[
        ("", DASHSCOPE_OUTPUT),
        ("", ERROR),
        // There is no output, so the total is the input.
        ("usage", &[scalar("total_tokens", |d, v| d.count(v, |c| &mut c.input))]),
    ],
    ..DASHSCOPE
};

/// watsonx, `POST /ml/v1/text/chat` and `/chat_stream`
pub const WATSONX_CHAT: Api = Api {
    name: "watsonx-chat",
    operation: "chat",
    request: &[("", SAMPLING), ("", &[scalar("model_id", Draft::request_model)]), ("", openai::MESSAGES)],
    response: &[("", CHAT_ANSWER), ("", &[scalar("model_id", Draft::response_model)]), ("", ERROR), ("usage", TOKENS)],
    terminated: true,
    ..Api::DEFAULT
};

/// watsonx, `POST /ml/v1/text/generation` and `/generation_stream`
pub const WATSONX_GENERATION: Api = Api {
    name: "watsonx-generation",
    operation: "text_completion",
    request: &[("", WATSONX_INPUT), ("parameters", WATSONX_PARAMETERS)],
    response: &[("", WATSONX_RESULT)],
    terminated: true,
    ..Api::DEFAULT
};

/// DashScope, `POST /api/v1/services/rerank/...`
pub const DASHSCOPE_RERANK: Api =
    Api { name: "dashscope-rerank", operation: "rerank", usage_expected: false, ..DASHSCOPE_EMBEDDINGS };

/// DashScope, `POST /api/v1/services/aigc/.../image-synthesis`: the answer is a task, whose result comes later.
pub const DASHSCOPE_IMAGES: Api = Api {
    name: "dashscope-images",
    operation: "image_generation",
    usage_expected: false,
    terminated: false,
    ..DASHSCOPE_EMBEDDINGS
};

/// DashScope, `POST /api/v1/services/aigc/.../video-synthesis`, likewise
pub const DASHSCOPE_VIDEO: Api = Api { name: "dashscope-video", operation: "video_generation", ..DASHSCOPE_IMAGES };

/// Aleph Alpha, `POST /complete`
pub const ALEPH_ALPHA: Api = Api {
    name: "aleph-alpha-complete",
    operation: "text_completion",
    request: &[("", SAMPLING), ("", ALEPH_ALPHA_REQUEST)],
    response: &[("", ALEPH_ALPHA_ANSWER), ("", ERROR)],
    ..Api::DEFAULT
};

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/generation", &DASHSCOPE).within("/services/aigc/"),
    Endpoint::new("/text-embedding", &DASHSCOPE_EMBEDDINGS).within("/services/embeddings/"),
    Endpoint::new("/text/chat", &WATSONX_CHAT).within("/ml/v1/"),
    Endpoint::new("/text/chat_stream", &WATSONX_CHAT).within("/ml/v1/").streaming_by_default(),
    Endpoint::new("/text/generation", &WATSONX_GENERATION).within("/ml/v1/"),
    Endpoint::new("/text/generation_stream", &WATSONX_GENERATION).within("/ml/v1/").streaming_by_default(),
    Endpoint::new("/generation/text", &WATSONX_GENERATION).within("/ml/v1-beta/"),
    Endpoint::new("/text-rerank", &DASHSCOPE_RERANK).within("/services/rerank/"),
    Endpoint::new("/image-synthesis", &DASHSCOPE_IMAGES).within("/services/aigc/"),
    Endpoint::new("/video-synthesis", &DASHSCOPE_VIDEO).within("/services/aigc/"),
    Endpoint::new("/complete", &ALEPH_ALPHA).host("aleph-alpha.com"),
];

const ALEPH_ALPHA_REQUEST: &[Rule<Draft>] = &[
    scalar("maximum_tokens", Draft::max_tokens),
    deferred("prompt", prompted),
    scalar("stop_sequences[]", Draft::stop_sequence),
];

const ALEPH_ALPHA_ANSWER: &[Rule<Draft>] = &[
    open("completions[]", Draft::choice_opened),
    close("completions[]", Draft::choice_closed),
    text("completions[].completion", Draft::answer_text),
    scalar("completions[].finish_reason", Draft::choice_finish_reason),
    scalar("num_tokens_prompt_total", |d, v| d.count(v, |c| &mut c.input)),
    scalar("num_tokens_generated", |d, v| d.count(v, |c| &mut c.output)),
];

const DASHSCOPE_INPUT: &[Rule<Draft>] = &[
    scalar("parameters.incremental_output", |d, v| d.set_text_comes_in_deltas(v.is_true())),
    open("parameters.tools[]", |d, _| d.tool_offered()),
    deferred("input.prompt", prompted),
    deferred("input.texts[]", prompted),
    deferred("input.query", prompted),
];

const DASHSCOPE_OUTPUT: &[Rule<Draft>] = &[
    scalar("request_id", Draft::response_id),
    scalar("output.finish_reason", dashscope_finish),
    text("output.text", dashscope_text),
    scalar("output.choices[].finish_reason", dashscope_finish),
    text("output.choices[].message.content", dashscope_text),
    text("output.choices[].message.content[].text", dashscope_text),
    text("output.choices[].message.reasoning_content", Draft::other_text),
    open("output.choices[].message.tool_calls[]", Draft::part_opened),
    close("output.choices[].message.tool_calls[]", |d| d.tool_call(u64::from(d.open.part_index()))),
    scalar("output.choices[].message.tool_calls[].index", Draft::part_index),
    scalar("output.choices[].message.tool_calls[].id", Draft::part_id),
    scalar("output.choices[].message.tool_calls[].function.name", Draft::part_name),
];

/// Sets the finish reason. Until a stream ends, its events have the string "null".
fn dashscope_finish(d: &mut Draft, value: Scalar<'_>) {
    if value != Scalar::Text("null") {
        d.finish_reason(value);
    }
}

/// A piece of the answer's text. Unless the request asks for increments, each event has the whole text so far. The text of the
/// last event may be empty.
fn dashscope_text(d: &mut Draft, piece: &[u8]) {
    let repeats = !d.answer.text_comes_in_deltas() && d.open.is_thought();
    d.set_thought(piece.is_empty());
    if repeats && !piece.is_empty() {
        d.clear_answer_text();
    }
    d.answer_text(piece);
}

const WATSONX_INPUT: &[Rule<Draft>] = &[scalar("model_id", Draft::request_model), deferred("input", prompted)];

/// Rules for the parameters of a generation.
pub const WATSONX_PARAMETERS: &[Rule<Draft>] = &[
    scalar("max_new_tokens", Draft::max_tokens),
    scalar("temperature", Draft::temperature),
    scalar("top_p", Draft::top_p),
    scalar("top_k", Draft::top_k),
    scalar("seed", Draft::seed),
    scalar("random_seed", Draft::seed),
    scalar("stop_sequences[]", Draft::stop_sequence),
    scalar("stop[]", Draft::stop_sequence),
];

const WATSONX_RESULT: &[Rule<Draft>] = &[
    scalar("model_id", Draft::response_model),
    scalar("results[].input_token_count", |d, v| d.count_unless_zero(v, |c| &mut c.input)),
    scalar("results[].generated_token_count", |d, v| d.count(v, |c| &mut c.output)),
    scalar("results[].stop_reason", |d, v| {
        if v != Scalar::Text("not_finished") {
            d.finish_reason(v);
        }
    }),
    text("results[].generated_text", Draft::answer_text),
    open("errors[]", |d, _| d.failed()),
    scalar("errors[].code", Draft::error_code_word),
];

/// Rules for the answer of Text Generation Inference.
pub const TGI_ANSWER: &[Rule<Draft>] = &[
    text("generated_text", |d, piece| {
        d.complete();
        d.provider_by_shape("hugging_face");
        // The last event of a stream repeats the text of the tokens.
        if d.answer.is_first_document() {
            d.answer_text(piece);
        }
    }),
    open("token", Draft::part_marked),
    close("token", |d| {
        if d.open.is_thought() {
            d.part_dropped();
        }
    }),
    scalar("token.special", Draft::part_is_thought),
    text("token.text", Draft::answer_text),
    scalar("details.finish_reason", Draft::finish_reason),
    scalar("details.generated_tokens", |d, v| d.count(v, |c| &mut c.output)),
    scalar("details.input_length", |d, v| d.count(v, |c| &mut c.input)),
    text("error", |d, _| d.failed()),
    scalar("error_type", Draft::outer_error),
];
