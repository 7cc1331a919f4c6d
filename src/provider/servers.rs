//! Inference servers with formats of their own: SGLang, llama.cpp, and the models that Amazon SageMaker serves. They share path
//! endings, so the bodies show the server.
//!
//! Specifications: the API references of SGLang, llama.cpp and Text Generation Inference; AWS's examples of SageMaker JumpStart.

use super::hosted::{TGI_ANSWER, WATSONX_PARAMETERS};
use super::openai::{self, SAMPLING, prompted};
use super::{Api, Endpoint, bedrock};
use crate::draft::Draft;
use crate::json::{Rule, Scalar, deferred, open, scalar, text};

/// `POST /generate` and `/generate_stream` of Text Generation Inference and SGLang, and `POST /` of the former
pub const GENERATE: Api = Api {
    name: "tgi",
    operation: "text_completion",
    request: &[
        ("", &[deferred("inputs", prompted), deferred("text", prompted), scalar("stream", Draft::request_stream)]),
        ("parameters", WATSONX_PARAMETERS),
        ("sampling_params", WATSONX_PARAMETERS),
    ],
    response: &[("", TGI_ANSWER), ("[]", TGI_ANSWER), ("", SGLANG_ANSWER)],
    terminated: true,
    by_shape: true,
    ..Api::DEFAULT
};

/// `POST /completion` of llama.cpp
pub const LLAMA_CPP: Api = Api {
    name: "llamacpp-completion",
    operation: "text_completion",
    request: &[("", SAMPLING), ("", &[deferred("prompt", prompted), scalar("n_predict", Draft::max_tokens)])],
    response: &[("", openai::ERROR), ("", LLAMA_CPP_ANSWER)],
    terminated: true,
    by_shape: true,
    ..Api::DEFAULT
};

/// `POST /endpoints/{name}/invocations` of Amazon SageMaker, for models with the forms of Text Generation Inference and of chat
/// completions
pub const SAGEMAKER: Api = Api {
    name: "sagemaker-invocations",
    operation: "chat",
    request: &[
        ("", SAMPLING),
        ("", openai::MESSAGES),
        ("", &[deferred("inputs", prompted), deferred("prompt", prompted)]),
        ("", bedrock::CONFIG),
        ("parameters", WATSONX_PARAMETERS),
    ],
    response: &[
        ("", openai::CHAT_ANSWER),
        ("", openai::ERROR),
        ("usage", openai::TOKENS),
        ("", TGI_ANSWER),
        ("[]", TGI_ANSWER),
    ],
    by_shape: true,
    ..Api::DEFAULT
};

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/generate_stream", &GENERATE).streaming_by_default(),
    Endpoint::exact("/generate", &GENERATE),
    Endpoint::exact("", &GENERATE),
    Endpoint::exact("/completion", &LLAMA_CPP),
    Endpoint::new("/invocations", &SAGEMAKER).within("/endpoints/"),
    Endpoint::new("/invocations-response-stream", &SAGEMAKER).within("/endpoints/").streaming(),
];

const SGLANG_ANSWER: &[Rule<Draft>] = &[
    text("text", |d, piece| match piece {
        // Each event of a stream has the whole text so far.
        [] => d.clear_answer_text(),
        _ => d.answer_text(piece),
    }),
    open("meta_info", |d, _| d.provider_by_shape("sglang")),
    scalar("meta_info.id", Draft::response_id),
    scalar("meta_info.prompt_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.input)),
    scalar("meta_info.completion_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.output)),
    scalar("meta_info.cached_tokens", |d, v| d.count_unless_zero(v, |c| &mut c.cache_read)),
    scalar("meta_info.finish_reason.type", Draft::finish_reason),
];

const LLAMA_CPP_ANSWER: &[Rule<Draft>] = &[
    text("content", Draft::answer_text),
    scalar("model", Draft::response_model),
    scalar("tokens_evaluated", |d, v| d.count_unless_zero(v, |c| &mut c.input)),
    scalar("tokens_predicted", |d, v| d.count_unless_zero(v, |c| &mut c.output)),
    scalar("stop_type", |d, v| match v {
        Scalar::Text("eos" | "word") => d.finish_reason(Scalar::Text("stop")),
        Scalar::Text("limit") => d.finish_reason(Scalar::Text("length")),
        _ => {}
    }),
];
