//! Rules that several APIs share: system prompts outside the messages, items of the input, tools, the schema of an answer, counts
//! by modality.
//!
//! Specifications: those of the APIs, which the files of the APIs name.

use crate::draft::Draft;
use crate::json::{Deferred, Rule, Scalar, deferred, digest, digest_parts, open, raw, scalar, supersedes, text};

/// System prompts outside the list of messages: of Anthropic and Bedrock, Responses, Gemini, Cohere.
pub const SYSTEM: &[Rule<Draft>] = &[
    text("system", Draft::system_text),
    text("system[].text", Draft::system_text),
    text("instructions", Draft::system_text),
    text("systemInstruction.parts[].text", Draft::system_text),
    text("request.systemInstruction.parts[].text", Draft::system_text),
    text("system_instruction", Draft::system_text),
    text("system_instruction.parts[].text", Draft::system_text),
    text("preamble", Draft::system_text),
    text("system_prompt", Draft::system_text),
];

/// The parts that providers cache beside the messages, and the parameters that a cached prefix depends on.
///
/// Specifications: OpenAI's guides to prompt caching and to reasoning; Anthropic's documentation of prompt caching ("What invalidates
/// the cache") and of structured outputs; Bedrock's user guide, prompt caching; Gemini's `cachedContent`.
pub const PREFIX: &[Rule<Draft>] = &[
    digest_parts("tools", Draft::tools_hashed),
    digest_parts("functions", Draft::tools_hashed),
    digest_parts("toolConfig.tools", Draft::tools_hashed),
    digest_parts("request.tools", Draft::tools_hashed),
    digest("system", Draft::system_hashed),
    digest("system[].text", Draft::system_hashed),
    digest("instructions", Draft::system_hashed),
    digest("systemInstruction.parts[].text", Draft::system_hashed),
    digest("request.systemInstruction.parts[].text", Draft::system_hashed),
    digest("system_instruction", Draft::system_hashed),
    digest("system_instruction.parts[].text", Draft::system_hashed),
    digest("preamble", Draft::system_hashed),
    digest("system_prompt", Draft::system_hashed),
    digest_parts("response_format", Draft::parameter_hashed),
    digest_parts("text.format", Draft::parameter_hashed),
    digest("reasoning_effort", Draft::parameter_hashed),
    digest("reasoning.effort", Draft::parameter_hashed),
    digest("prompt_cache_key", Draft::parameter_hashed),
    digest("thinking", Draft::parameter_hashed),
    digest("speed", Draft::parameter_hashed),
    digest("output_config.effort", Draft::parameter_hashed),
    digest_parts("output_config.format", Draft::parameter_hashed),
    digest_parts("output_format", Draft::parameter_hashed),
    digest_parts("toolConfig.toolChoice", Draft::parameter_hashed),
    digest("cachedContent", Draft::parameter_hashed),
    digest("cached_content", Draft::parameter_hashed),
    digest("request.cachedContent", Draft::parameter_hashed),
    // Marks move from message to message, and do not change what is cached.
    digest("tools[].cache_control", |_, _| {}),
    open("tools[].cache_control", |d, _| d.prefix_marked()),
    open("system[].cache_control", |d, _| d.prefix_marked()),
    open("messages[].content[].cache_control", |d, _| d.prefix_marked()),
    open("cache_control", |d, _| d.prefix_marked()),
    open("system[].cachePoint", |d, _| d.prefix_marked()),
    open("messages[].content[].cachePoint", |d, _| d.prefix_marked()),
    open("toolConfig.tools[].cachePoint", |d, _| d.prefix_marked()),
    scalar("tools[].cache_control.ttl", Draft::prefix_kept_for),
    scalar("system[].cache_control.ttl", Draft::prefix_kept_for),
    scalar("messages[].content[].cache_control.ttl", Draft::prefix_kept_for),
    scalar("cache_control.ttl", Draft::prefix_kept_for),
    scalar("system[].cachePoint.ttl", Draft::prefix_kept_for),
    scalar("messages[].content[].cachePoint.ttl", Draft::prefix_kept_for),
    scalar("prompt_cache_retention", Draft::prefix_kept_for),
    scalar("prompt_cache_options.ttl", Draft::prefix_kept_for),
];

/// The offered tools, as the JSON of the request has them. With these rules no other rule below `tools` is applied.
pub const TOOLS: &[Rule<Draft>] =
    &[raw("tools", Draft::tools_json), raw("functions", Draft::tools_json), raw("toolConfig.tools", Draft::tools_json)];

/// The keys that the schema of a JSON answer requires: of OpenAI and compatible vendors, Responses, Anthropic, Gemini, Ollama.
pub const REQUIRED: &[Rule<Draft>] = &[
    scalar("response_format.json_schema.schema.required[]", Draft::required_key),
    scalar("response_format.schema.required[]", Draft::required_key),
    scalar("text.format.schema.required[]", Draft::required_key),
    scalar("output_config.format.schema.required[]", Draft::required_key),
    scalar("output_format.schema.required[]", Draft::required_key),
    scalar("generationConfig.responseSchema.required[]", Draft::required_key),
    scalar("generationConfig.responseJsonSchema.required[]", Draft::required_key),
    scalar("generation_config.response_schema.required[]", Draft::required_key),
    scalar("generation_config.response_json_schema.required[]", Draft::required_key),
    scalar("format.required[]", Draft::required_key),
    // The arguments of tools.
    scalar("tools[].function.parameters.required[]", Draft::tool_required_key),
    scalar("tools[].parameters.required[]", Draft::tool_required_key),
    scalar("tools[].input_schema.required[]", Draft::tool_required_key),
    scalar("tools[].functionDeclarations[].parameters.required[]", Draft::tool_required_key),
    scalar("tools[].functionDeclarations[].parametersJsonSchema.required[]", Draft::tool_required_key),
    scalar("toolConfig.tools[].toolSpec.inputSchema.json.required[]", Draft::tool_required_key),
];

/// Images, sounds and files of messages: their data, URLs or identifiers.
pub const MEDIA: &[Rule<Draft>] = &[
    // Chat completions, also as compatible vendors serve them, and Cohere.
    text("messages[].content[].image_url", Draft::message_media),
    text("messages[].content[].image_url.url", Draft::message_media),
    text("messages[].content[].video_url.url", Draft::message_media),
    text("messages[].content[].document_url", Draft::message_media),
    text("messages[].content[].input_audio", Draft::message_media),
    text("messages[].content[].input_audio.data", Draft::message_media),
    text("messages[].content[].file.file_data", Draft::message_media),
    text("messages[].content[].file.file_id", Draft::message_media),
    // Anthropic, also in tool results.
    text("messages[].content[].source.data", Draft::message_media),
    text("messages[].content[].source.url", Draft::message_media),
    text("messages[].content[].source.file_id", Draft::message_media),
    text("messages[].content[].content[].source.data", Draft::message_media),
    text("messages[].content[].content[].source.url", Draft::message_media),
    text("messages[].content[].content[].source.file_id", Draft::message_media),
    // Bedrock, also in tool results.
    text("messages[].content[].image.source.bytes", Draft::message_media),
    text("messages[].content[].image.source.s3Location.uri", Draft::message_media),
    text("messages[].content[].document.source.bytes", Draft::message_media),
    text("messages[].content[].document.source.s3Location.uri", Draft::message_media),
    text("messages[].content[].video.source.bytes", Draft::message_media),
    text("messages[].content[].video.source.s3Location.uri", Draft::message_media),
    text("messages[].content[].toolResult.content[].image.source.bytes", Draft::message_media),
    text("messages[].content[].toolResult.content[].document.source.bytes", Draft::message_media),
    // Ollama, in its API of messages and in that of prompts.
    text("messages[].images[]", Draft::message_media),
    text("images[]", Draft::message_media),
    // DashScope.
    text("input.messages[].content[].image", Draft::message_media),
    text("input.messages[].content[].audio", Draft::message_media),
    text("input.messages[].content[].video", Draft::message_media),
    text("input.messages[].content[].video[]", Draft::message_media),
    // Responses and Interactions.
    text("input[].content[].image_url", Draft::message_media),
    text("input[].content[].file_id", Draft::message_media),
    text("input[].content[].file_url", Draft::message_media),
    text("input[].content[].file_data", Draft::message_media),
    text("input[].content[].input_audio.data", Draft::message_media),
    text("input[].output[].image_url", Draft::message_media),
    text("input[].output[].file_data", Draft::message_media),
    text("input[].output.image_url", Draft::message_media),
    text("input[].content[].data", Draft::message_media),
    text("input[].content[].uri", Draft::message_media),
    text("input[].data", Draft::message_media),
    text("input[].uri", Draft::message_media),
    // Mistral's conversations.
    text("inputs[].content[].image_url", Draft::message_media),
    text("inputs[].content[].image_url.url", Draft::message_media),
    text("inputs[].content[].document_url", Draft::message_media),
    text("inputs[].content[].file_id", Draft::message_media),
    // Gemini.
    text("contents[].parts[].inlineData.data", Draft::message_media),
    text("contents[].parts[].inline_data.data", Draft::message_media),
    text("contents[].parts[].fileData.fileUri", Draft::message_media),
    text("contents[].parts[].file_data.file_uri", Draft::message_media),
    text("contents.parts[].inlineData.data", Draft::message_media),
    text("contents.parts[].fileData.fileUri", Draft::message_media),
];

/// Parameters of embeddings: of OpenAI and compatible vendors, Mistral, Cohere, Amazon Titan, Gemini, Vertex AI and DashScope.
pub const EMBEDDING: &[Rule<Draft>] = &[
    scalar("dimensions", Draft::embedding_dimensions),
    scalar("output_dimension", Draft::embedding_dimensions),
    scalar("outputDimensionality", Draft::embedding_dimensions),
    scalar("output_dimensionality", Draft::embedding_dimensions),
    scalar("requests[].outputDimensionality", Draft::embedding_dimensions),
    scalar("requests[].output_dimensionality", Draft::embedding_dimensions),
    scalar("parameters.outputDimensionality", Draft::embedding_dimensions),
    scalar("parameters.dimension", Draft::embedding_dimensions),
    scalar("encoding_format", Draft::embedding_encoding),
    scalar("embedding_types[]", Draft::embedding_encoding),
    scalar("embeddingTypes[]", Draft::embedding_encoding),
];

/// The members of responses that hold what was used. A number in them that no rule reads makes the cost a partial one.
pub const USAGE_OBJECTS: [&str; 4] = ["usage", "usageMetadata", "usage_metadata", "usage_info"];

/// Members of usage objects, at any depth, that do not change the cost.
pub const WITHOUT_PRICE: &[&str] = &[
    // Durations and rates of Groq, GPUStack, mistral.rs, Azure and llama.cpp.
    "completion_time",
    "prompt_time",
    "queue_time",
    "total_time",
    "prompt_tokens_per_second",
    "tokens_per_second",
    "time_per_output_token_ms",
    "time_to_first_token_ms",
    "avg_compl_tok_per_sec",
    "avg_prompt_tok_per_sec",
    "avg_tok_per_sec",
    "total_completion_time_sec",
    "total_prompt_time_sec",
    "total_time_sec",
    "latency_checkpoint",
    // Parts of a cost whose sum is read: Perplexity, OpenRouter.
    "input_cost",
    "output_cost",
    "input_tokens_cost",
    "output_tokens_cost",
    "reasoning_tokens_cost",
    "citation_tokens_cost",
    "search_queries_cost",
    "request_cost",
    "credits",
    "upstream_inference_completions_cost",
    "upstream_inference_input_cost",
    "upstream_inference_output_cost",
    "upstream_inference_prompt_cost",
    // Text is what is left of a count without its other parts. Predictions are part of the output.
    "text_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
    "prompt_cache_miss_tokens",
    "toolUsePromptTokensDetails",
    "ephemeral_5m_input_tokens",
    // Sums and copies of other counts: xAI's context, Gemini's tokens before they are merged.
    "total_tokens",
    "totalTokens",
    "context_details",
    "raw_prompt_token",
    "num_server_side_tools_used",
    // Free policies of Bedrock's guardrails.
    "wordPolicyUnits",
    "sensitiveInformationPolicyFreeUnits",
    // Size of a document. Mistral bills its pages.
    "doc_size_bytes",
];

/// An item of the input, for APIs with one list of messages, calls and results: Responses, Interactions, Mistral's
/// conversations.
pub const ITEM: &[Rule<Draft>] = &[
    supersedes("", |d, _| {
        d.message_opened();
        d.part_opened(0);
    }),
    scalar("type", Draft::part_kind),
    scalar("role", Draft::message_role),
    scalar("name", Draft::part_name),
    text("arguments", Draft::past_call_arguments),
    digest("name", Draft::text_hashed),
    digest("arguments", Draft::text_hashed),
    deferred("content", said),
    deferred("content[].text", said),
];

/// Sets that the answer comes later if its state is one of these: Responses and Interactions in the background, the asynchronous
/// chats of Perplexity and Zhipu.
pub fn state(d: &mut Draft, value: Scalar<'_>) {
    if let Scalar::Text(word) = value {
        let is = |state: &&str| word.eq_ignore_ascii_case(state);
        d.set_deferred(["created", "queued", "pending", "starting", "in_progress", "processing"].iter().any(is));
    }
}

/// The text of a message. If the texts of earlier messages are not needed, only that of the last one is read.
pub fn said() -> Deferred<Draft> {
    Deferred {
        is_awaited: Draft::wants_every_message,
        now: Draft::message_text,
        preview: None,
        later: Draft::message_text,
        digest: Some(Draft::text_hashed),
    }
}

/// The text of a tool result. If it is not in the last message, only its beginning is read.
pub fn result() -> Deferred<Draft> {
    Deferred {
        is_awaited: Draft::wants_every_message,
        now: Draft::result_text,
        preview: Some(Draft::result_passed),
        later: Draft::message_text,
        digest: Some(Draft::result_hashed),
    }
}

/// Rules for lists of counts by modality: the API's name for a number, and for each list the counts that it sets.
macro_rules! by_modality {
    ($tokens:literal: $($list:literal => $slots:ident),+ $(,)?) => {
        &[$(
            open(concat!($list, "[]"), Draft::part_opened),
            close(concat!($list, "[]"), |d| d.modality_closed($slots)),
            scalar(concat!($list, "[].modality"), Draft::part_kind),
            scalar(concat!($list, "[].", $tokens), Draft::part_tokens),
        )+]
    };
}
pub(super) use by_modality;
