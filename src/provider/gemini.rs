//! Gemini and Vertex AI: generateContent and streamGenerateContent. A response is one object, server-sent events, or one array of
//! objects.
//!
//! Specification: the types of the google-genai SDK. Requests may have names in snake_case, which JSON of proto3 accepts. The path
//! has the model and the verb.

use super::common::{by_modality, said};
use super::{Api, Endpoint};
use crate::draft::{Draft, Used};
use crate::json::{Rule, Scalar, close, deferred, identity, open, raw, scalar, supersedes, text};

/// `POST .../models/{model}:generateContent` and `:streamGenerateContent`
pub const GENERATE: Api = Api {
    name: "gemini-generate",
    operation: "generate_content",
    request: &[("", REQUEST), ("request", REQUEST), ("generationConfig", CONFIG), ("generation_config", CONFIG)],
    response: &[
        ("", ANSWER),
        ("usageMetadata", MODALITIES),
        ("response", ANSWER),
        ("response.usageMetadata", MODALITIES),
        ("", ERROR),
    ],
    terminated: true,
    ..Api::DEFAULT
};

/// `POST .../models/{model}:embedContent` and `:batchEmbedContents`
pub const EMBED: Api = Api {
    name: "gemini-embed",
    operation: "embeddings",
    request: &[("", EMBED_REQUEST)],
    response: &[("", ANSWER), ("usageMetadata", MODALITIES), ("", ERROR)],
    ..Api::DEFAULT
};

/// `POST .../publishers/google/models/{model}:predict`, for embedding models
pub const PREDICT: Api = Api {
    name: "vertex-predict",
    operation: "embeddings",
    request: &[("", &[open("instances[]", |d, _| d.message()), text("instances[].content", Draft::said)])],
    response: &[("", ERROR), ("predictions[].embeddings.statistics", &[scalar("token_count", Draft::add_input)])],
    ..Api::DEFAULT
};

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(":generateContent", &GENERATE),
    Endpoint::new(":streamGenerateContent", &GENERATE).streaming(),
    Endpoint::new(":embedContent", &EMBED),
    Endpoint::new(":batchEmbedContents", &EMBED),
    Endpoint::new(":predict", &PREDICT).within("embedding"),
];

/// Rules for the request.
pub const REQUEST: &[Rule<Draft>] = &[
    supersedes("contents[]", |d, _| d.message()),
    close("contents[]", Draft::message_closed),
    scalar("contents[].role", |d, v| d.history.role(v)),
    deferred("contents[].parts[].text", said),
    open("contents[].parts[].functionCall", Draft::part_opened),
    close("contents[].parts[].functionCall", |d| d.history.call_block(d.open.part.name.take())),
    scalar("contents[].parts[].functionCall.name", |d, v| d.open.part.name = v.text()),
    raw("contents[].parts[].functionCall.args", |d, piece| d.history.call_arguments(piece)),
    open("contents[].parts[].functionResponse", |d, _| d.history.result_opened()),
    close("contents[].parts[].functionResponse", |d| d.history.result_block()),
    scalar("contents[].parts[].functionResponse.name", |d, v| d.history.result_name(v)),
    raw("contents[].parts[].functionResponse.response", |d, piece| d.history.result_text(piece)),
    supersedes("contents", |d, _| d.message()),
    deferred("contents.parts[].text", said),
    open("tools[]", |d, _| d.history.acts()),
    open("tools[].functionDeclarations[]", |d, _| d.history.tool_offered()),
    open("tools[].function_declarations[]", |d, _| d.history.tool_offered()),
];

const EMBED_REQUEST: &[Rule<Draft>] = &[
    open("content", |d, _| d.message()),
    text("content.parts[].text", Draft::said),
    open("requests[]", |d, _| d.message()),
    text("requests[].content.parts[].text", Draft::said),
];

/// Rules for the parameters of the request.
pub const CONFIG: &[Rule<Draft>] = &[
    scalar("temperature", |d, v| d.seen.request.temperature = v.float()),
    scalar("topP", |d, v| d.seen.request.top_p = v.float()),
    scalar("top_p", |d, v| d.seen.request.top_p = v.float()),
    scalar("topK", |d, v| d.seen.request.top_k = v.float()),
    scalar("top_k", |d, v| d.seen.request.top_k = v.float()),
    scalar("seed", |d, v| d.seen.request.seed = v.integer()),
    scalar("candidateCount", |d, v| d.seen.request.choice_count = v.count()),
    scalar("candidate_count", |d, v| d.seen.request.choice_count = v.count()),
    scalar("maxOutputTokens", |d, v| d.seen.request.max_tokens = v.count()),
    scalar("max_output_tokens", |d, v| d.seen.request.max_tokens = v.count()),
    scalar("frequencyPenalty", |d, v| d.seen.request.frequency_penalty = v.float()),
    scalar("frequency_penalty", |d, v| d.seen.request.frequency_penalty = v.float()),
    scalar("presencePenalty", |d, v| d.seen.request.presence_penalty = v.float()),
    scalar("presence_penalty", |d, v| d.seen.request.presence_penalty = v.float()),
    scalar("stopSequences[]", super::openai::stop),
    scalar("stop_sequences[]", super::openai::stop),
    scalar("responseMimeType", mime_type),
    scalar("response_mime_type", mime_type),
    scalar("responseModalities[]", modality),
    scalar("response_modalities[]", modality),
];

/// Rules for a response or a chunk of a stream.
pub const ANSWER: &[Rule<Draft>] = &[
    scalar("modelVersion", Draft::response_model),
    scalar("responseId", Draft::response_id),
    open("candidates[]", Draft::choice_opened),
    close("candidates[]", Draft::choice_closed),
    scalar("candidates[].index", |d, v| d.open.choice.index = v.count().map_or(d.open.choice.index, |n| n as u32)),
    scalar("candidates[].finishReason", |d, v| {
        // A client can ask for enumerations as numbers.
        d.open.choice.finish = match v {
            Scalar::Number(number) => Some(number.into()),
            word => word.text(),
        };
    }),
    open("candidates[].content.parts[]", Draft::part_marked),
    close("candidates[].content.parts[]", part),
    scalar("candidates[].content.parts[].thought", |d, v| d.open.part.thought = v.is_true()),
    text("candidates[].content.parts[].text", Draft::answer),
    scalar("candidates[].content.parts[].functionCall.name", |d, v| d.open.part.name = v.text()),
    scalar("candidates[].content.parts[].functionCall.id", |d, v| d.open.part.id = identity(v)),
    text("candidates[].content.parts[].inlineData.data", Draft::other),
    scalar("promptFeedback.blockReason", |d, v| {
        if let Some(reason) = v.text() {
            d.finish(0, Some(reason));
            d.complete = true;
        }
    }),
    scalar("usageMetadata.promptTokenCount", |d, v| d.count(v, |c| &mut c.input)),
    scalar("usageMetadata.cachedContentTokenCount", |d, v| d.count(v, |c| &mut c.cache_read)),
    scalar("usageMetadata.candidatesTokenCount", |d, v| d.count(v, |c| &mut c.output)),
    scalar("usageMetadata.thoughtsTokenCount", |d, v| {
        d.counts.thoughts_beside = true;
        d.count(v, |c| &mut c.reasoning);
    }),
    scalar("usageMetadata.toolUsePromptTokenCount", |d, v| d.count(v, |c| &mut c.tool_input)),
    scalar("usageMetadata.totalTokenCount", |d, v| d.count(v, |c| &mut c.total)),
    scalar("usageMetadata.serviceTier", Draft::tier),
    scalar("usageMetadata.trafficType", Draft::tier),
];

/// The counts of `usageMetadata` by modality.
pub const MODALITIES: &[Rule<Draft>] = by_modality!("tokenCount":
    "promptTokensDetails" => input_modes,
    "promptTokenDetails" => input_modes,
    "cacheTokensDetails" => cached_modes,
    "candidatesTokensDetails" => output_modes,
);

/// The error object of Google's APIs.
pub const ERROR: &[Rule<Draft>] = &[
    open("error", |d, _| d.failed()),
    scalar("error.code", Draft::error_code),
    scalar("error.status", |d, v| d.error.status = v.text()),
];

/// The counts of input tokens by modality: audio, images, video.
pub fn input_modes(used: &mut Used) -> [Option<&mut u64>; 3] {
    [Some(&mut used.input_audio), Some(&mut used.input_image), Some(&mut used.input_video)]
}

/// The counts of input tokens that were read from a cache, by modality.
pub fn cached_modes(used: &mut Used) -> [Option<&mut u64>; 3] {
    [Some(&mut used.cached_audio), Some(&mut used.cached_image), None]
}

/// The counts of output tokens by modality.
pub fn output_modes(used: &mut Used) -> [Option<&mut u64>; 3] {
    [Some(&mut used.output_audio), Some(&mut used.output_image), Some(&mut used.output_video)]
}

fn part(d: &mut Draft) {
    if d.open.part.thought {
        d.part_dropped();
    }
    // Each call arrives complete and once, so it is a new one.
    let place = d.seen.output.tools.len() as u64;
    d.call(place);
}

fn mime_type(d: &mut Draft, value: Scalar<'_>) {
    if value == Scalar::Text("application/json") {
        d.seen.request.output_type = Some("json");
    }
}

fn modality(d: &mut Draft, value: Scalar<'_>) {
    d.seen.request.output_type = match value {
        Scalar::Text("IMAGE") => Some("image"),
        Scalar::Text("AUDIO") => Some("speech"),
        _ => d.seen.request.output_type,
    };
}
