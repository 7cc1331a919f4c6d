//! Gemini and Vertex AI: generateContent and streamGenerateContent. A response is one object, server-sent events, or one array of
//! objects.
//!
//! Specification: the types of the google-genai SDK. Requests may have names in snake_case, which JSON of proto3 accepts. The path
//! has the model and the verb.

use super::common::{by_modality, said};
use super::{Api, Endpoint};
use crate::draft::{Draft, ProviderTool, UsageDetails};
use crate::json::{Rule, Scalar, close, deferred, digest, open, raw, scalar, supersedes, text};

/// `POST .../models/{model}:generateContent` and `:streamGenerateContent`
pub const GENERATE: Api = Api {
    name: "gemini-generate",
    operation: "generate_content",
    request: &[
        ("", REQUEST),
        ("", OWN_TOOLS),
        ("generationConfig", CONFIG),
        ("generation_config", CONFIG),
        // Gemini Code Assist: the request is inside another one, which names the model.
        ("", &[scalar("model", Draft::request_model)]),
        ("request", REQUEST),
        ("request", OWN_TOOLS),
        ("request.generationConfig", CONFIG),
    ],
    response: &[
        ("", ANSWER),
        ("", COUNTS),
        ("usageMetadata", MODALITIES),
        ("response", ANSWER),
        ("response", COUNTS),
        ("response.usageMetadata", MODALITIES),
        ("", ERROR),
    ],
    document,
    terminated: true,
    ..Api::DEFAULT
};

/// `POST .../models/{model}:embedContent` and `:batchEmbedContents`
pub const EMBED: Api = Api {
    name: "gemini-embed",
    operation: "embeddings",
    request: &[("", EMBED_REQUEST)],
    response: &[("", ANSWER), ("", COUNTS), ("usageMetadata", MODALITIES), ("", ERROR)],
    ..Api::DEFAULT
};

/// `POST .../publishers/google/models/{model}:predict`, for embedding models
pub const PREDICT: Api = Api {
    name: "vertex-predict",
    operation: "embeddings",
    request: &[(
        "",
        &[open("instances[]", |d, _| d.message_opened()), text("instances[].content", Draft::message_text)],
    )],
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
    supersedes("contents[]", |d, _| d.message_opened()),
    close("contents[]", Draft::message_closed),
    scalar("contents[].role", Draft::message_role),
    deferred("contents[].parts[].text", said),
    digest("contents[].parts[].inlineData.data", Draft::text_hashed),
    digest("contents[].parts[].inline_data.data", Draft::text_hashed),
    digest("contents[].parts[].functionResponse.parts[].inlineData.data", Draft::result_hashed),
    digest("contents[].parts[].functionResponse.parts[].fileData.fileUri", Draft::result_hashed),
    digest("contents[].parts[].function_response.parts[].inline_data.data", Draft::result_hashed),
    digest("contents[].parts[].function_response.parts[].file_data.file_uri", Draft::result_hashed),
    open("contents[].parts[].functionCall", Draft::part_opened),
    close("contents[].parts[].functionCall", Draft::past_call_part_closed),
    scalar("contents[].parts[].functionCall.id", Draft::past_call_id),
    scalar("contents[].parts[].functionCall.name", Draft::part_name),
    raw("contents[].parts[].functionCall.args", Draft::past_call_arguments),
    open("contents[].parts[].functionResponse", |d, _| d.result_opened()),
    close("contents[].parts[].functionResponse", Draft::result_part_closed),
    digest("contents[].parts[].functionCall.name", Draft::text_hashed),
    digest("contents[].parts[].functionCall.args", Draft::text_hashed),
    digest("contents[].parts[].functionResponse.response", Draft::text_hashed),
    scalar("contents[].parts[].functionResponse.id", Draft::result_id),
    scalar("contents[].parts[].functionResponse.name", Draft::result_name),
    raw("contents[].parts[].functionResponse.response", Draft::result_json),
    open("contents[].parts[].function_call", Draft::part_opened),
    close("contents[].parts[].function_call", Draft::past_call_part_closed),
    scalar("contents[].parts[].function_call.id", Draft::past_call_id),
    scalar("contents[].parts[].function_call.name", Draft::part_name),
    raw("contents[].parts[].function_call.args", Draft::past_call_arguments),
    open("contents[].parts[].function_response", |d, _| d.result_opened()),
    close("contents[].parts[].function_response", Draft::result_part_closed),
    scalar("contents[].parts[].function_response.id", Draft::result_id),
    scalar("contents[].parts[].function_response.name", Draft::result_name),
    raw("contents[].parts[].function_response.response", Draft::result_json),
    digest("contents[].parts[].function_call.name", Draft::text_hashed),
    digest("contents[].parts[].function_call.args", Draft::text_hashed),
    digest("contents[].parts[].function_response.response", Draft::text_hashed),
    digest("contents[].parts[].fileData.fileUri", Draft::text_hashed),
    supersedes("contents", |d, _| d.message_opened()),
    scalar("contents.role", Draft::message_role),
    deferred("contents.parts[].text", said),
    open("tools[]", |d, _| d.tools_offered()),
    open("tools[].functionDeclarations[]", |d, _| d.tool_offered()),
    scalar("tools[].functionDeclarations[].name", Draft::offered_name),
    open("tools[].function_declarations[]", |d, _| d.tool_offered()),
    scalar("tools[].function_declarations[].name", Draft::offered_name),
    scalar("toolConfig.functionCallingConfig.mode", Draft::tool_choice),
    scalar("toolConfig.functionCallingConfig.allowedFunctionNames[]", Draft::tool_choice_allowed),
    scalar("tool_config.function_calling_config.mode", Draft::tool_choice),
    scalar("tool_config.function_calling_config.allowed_function_names[]", Draft::tool_choice_allowed),
];

/// Gemini's own tools: each is a member with an object, such as `googleSearch`.
const OWN_TOOLS: &[Rule<Draft>] = &[open("tools[].*", |d, _| d.tool_offered())];

const EMBED_REQUEST: &[Rule<Draft>] = &[
    open("content", |d, _| d.message_opened()),
    text("content.parts[].text", Draft::message_text),
    open("requests[]", |d, _| d.message_opened()),
    text("requests[].content.parts[].text", Draft::message_text),
];

/// Rules for the parameters of the request.
pub const CONFIG: &[Rule<Draft>] = &[
    scalar("temperature", Draft::temperature),
    scalar("topP", Draft::top_p),
    scalar("top_p", Draft::top_p),
    scalar("topK", Draft::top_k),
    scalar("top_k", Draft::top_k),
    scalar("seed", Draft::seed),
    scalar("candidateCount", Draft::choice_count),
    scalar("candidate_count", Draft::choice_count),
    scalar("maxOutputTokens", Draft::max_tokens),
    scalar("max_output_tokens", Draft::max_tokens),
    scalar("frequencyPenalty", Draft::frequency_penalty),
    scalar("frequency_penalty", Draft::frequency_penalty),
    scalar("presencePenalty", Draft::presence_penalty),
    scalar("presence_penalty", Draft::presence_penalty),
    scalar("stopSequences[]", Draft::stop_sequence),
    scalar("stop_sequences[]", Draft::stop_sequence),
    scalar("thinkingConfig.thinkingLevel", Draft::reasoning_level),
    scalar("thinking_config.thinking_level", Draft::reasoning_level),
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
    scalar("candidates[].index", Draft::choice_index),
    scalar("candidates[].finishReason", |d, v| {
        // A client can ask for enumerations as numbers.
        match v {
            Scalar::Number(number) => d.choice_finish_reason(Scalar::Text(number)),
            word => d.choice_finish_reason(word),
        }
    }),
    open("candidates[].content.parts[]", Draft::part_marked),
    close("candidates[].content.parts[]", part),
    scalar("candidates[].content.parts[].thought", Draft::part_is_thought),
    text("candidates[].content.parts[].text", Draft::answer_text),
    scalar("candidates[].content.parts[].functionCall.name", Draft::part_name),
    scalar("candidates[].content.parts[].functionCall.id", Draft::part_id),
    raw("candidates[].content.parts[].functionCall.args", Draft::structured_arguments),
    text("candidates[].content.parts[].inlineData.data", Draft::other_content),
    scalar("promptFeedback.blockReason", |d, v| {
        if let Some(reason) = v.text() {
            d.set_finish_reason(0, Some(reason));
            d.complete();
        }
    }),
    scalar("candidates[].groundingMetadata.webSearchQueries[]", |d, v| d.provider_query(v, ProviderTool::WebSearch)),
    open("candidates[].groundingMetadata.groundingChunks[].maps", |d, _| {
        d.provider_query(Scalar::Text("maps"), ProviderTool::MapsSearch);
    }),
];

/// Rules for the counts of a response.
pub const COUNTS: &[Rule<Draft>] = &[
    scalar("usageMetadata.promptTokenCount", |d, v| d.count(v, |c| &mut c.input)),
    scalar("usageMetadata.cachedContentTokenCount", |d, v| d.count(v, |c| &mut c.cache_read)),
    scalar("usageMetadata.candidatesTokenCount", |d, v| d.count(v, |c| &mut c.output)),
    scalar("usageMetadata.thoughtsTokenCount", |d, v| {
        d.output_excludes_reasoning();
        d.count(v, |c| &mut c.reasoning);
    }),
    scalar("usageMetadata.toolUsePromptTokenCount", |d, v| d.count(v, |c| &mut c.tool_input)),
    scalar("usageMetadata.totalTokenCount", |d, v| d.count(v, |c| &mut c.total)),
    scalar("usageMetadata.serviceTier", Draft::service_tier),
    scalar("usageMetadata.trafficType", Draft::service_tier),
];

/// Models before Gemini 3 bill a grounded prompt once, whatever the number of its searches is. Later ones bill each query.
///
/// Specification: ai.google.dev/gemini-api/docs/pricing.
fn document(d: &mut Draft) {
    let model = d.observation.response.model.as_deref().or(d.observation.request.model.as_deref());
    if model.is_some_and(|model| model.contains("gemini-1") || model.contains("gemini-2")) {
        d.provider_calls_once(ProviderTool::WebSearch);
    }
}

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
    scalar("error.status", Draft::error_status),
];

/// The counts of input tokens by modality: audio, images with documents, video, text, documents.
pub fn input_modes(used: &mut UsageDetails) -> [Option<&mut u64>; 5] {
    let UsageDetails { input_audio, input_image, input_video, input_text, input_document, .. } = used;
    [Some(input_audio), Some(input_image), Some(input_video), Some(input_text), Some(input_document)]
}

/// The counts of input tokens that were read from a cache, by modality.
pub fn cached_modes(used: &mut UsageDetails) -> [Option<&mut u64>; 5] {
    let UsageDetails { cached_audio, cached_image, cached_text, cached_document, .. } = used;
    [Some(cached_audio), Some(cached_image), None, Some(cached_text), Some(cached_document)]
}

/// The counts of output tokens by modality.
pub fn output_modes(used: &mut UsageDetails) -> [Option<&mut u64>; 5] {
    let UsageDetails { output_audio, output_image, output_video, output_text, .. } = used;
    [Some(output_audio), Some(output_image), Some(output_video), Some(output_text), None]
}

fn part(d: &mut Draft) {
    if d.open.is_thought() {
        d.part_dropped();
    }
    // Each call arrives complete and once, so it is a new one.
    let place = d.tool_call_count();
    d.tool_call(place);
}

fn mime_type(d: &mut Draft, value: Scalar<'_>) {
    if value == Scalar::Text("application/json") {
        d.set_output_type("json");
    }
}

fn modality(d: &mut Draft, value: Scalar<'_>) {
    match value {
        Scalar::Text("IMAGE") => d.set_output_type("image"),
        Scalar::Text("AUDIO") => d.set_output_type("speech"),
        _ => {}
    }
}
