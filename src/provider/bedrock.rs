//! Amazon Bedrock: Converse, and InvokeModel, whose bodies have the format of the model's family.
//!
//! Specification: botocore's service model. Streams are AWS event-stream frames. The frames of InvokeModel have the JSON of the
//! family in base64. The path has the model, percent-encoded. Token counts may be in response headers, see
//! [`headers`](super::headers).

use super::common::{result, said};
use super::openai::{self, output_type, prompted};
use super::{Api, Endpoint, anthropic};
use crate::draft::Draft;
use crate::json::{Group, Rule, Scalar, close, deferred, digest, open, raw, scalar, supersedes, text};

/// `POST /model/{id}/converse` and `/converse-stream`
pub const CONVERSE: Api = Api {
    name: "bedrock-converse",
    operation: "chat",
    request: &[("", CONVERSATION), ("inferenceConfig", CONFIG), ("additionalModelRequestFields", CONFIG)],
    response: &[("", ANSWER), ("", EVENT), ("usage", TOKENS)],
    terminated: true,
    ..Api::DEFAULT
};

/// `POST /model/{id}/invoke` and `/invoke-with-response-stream`
pub const INVOKE: Api = Api {
    name: "bedrock-invoke",
    operation: "chat",
    request: INVOKE_REQUEST,
    response: INVOKE_RESPONSE,
    document,
    ..Api::DEFAULT
};

/// `POST /model/{id}/invoke` of embedding models
pub const EMBED: Api = Api {
    name: "bedrock-embed",
    operation: "embeddings",
    response: &[("", &[scalar("inputTextTokenCount", |d, v| d.count(v, |c| &mut c.input))])],
    ..INVOKE
};

/// `POST /model/{id}/invoke` of models that make images. The answer has no counts.
pub const IMAGES: Api = Api {
    name: "bedrock-images",
    operation: "image_generation",
    request: &[("", &[deferred("prompt", prompted), deferred("textToImageParams.text", prompted)])],
    response: &[(
        "",
        &[text("images[]", |d, piece| {
            if piece.is_empty() {
                d.add_detail(1, |q| &mut q.images)
            }
        })],
    )],
    usage_expected: false,
    ..INVOKE
};

/// `POST /agents/{id}/agentAliases/{id}/sessions/{id}/text` of Bedrock's agents. Frames of the stream trace the calls of models.
///
/// Specification: botocore's service model of `bedrock-agent-runtime`.
pub const AGENT: Api = Api {
    name: "bedrock-agent",
    operation: "invoke_agent",
    request: &[("", &[deferred("inputText", prompted)])],
    response: &[
        ("trace.orchestrationTrace.modelInvocationOutput.metadata.usage", AGENT_TOKENS),
        ("trace.preProcessingTrace.modelInvocationOutput.metadata.usage", AGENT_TOKENS),
        ("trace.postProcessingTrace.modelInvocationOutput.metadata.usage", AGENT_TOKENS),
        ("", &[scalar("trace.orchestrationTrace.modelInvocationInput.foundationModel", Draft::response_model)]),
        ("", &[text("bytes", agent_text)]),
    ],
    document: agent_text_ended,
    usage_expected: false,
    remembers: true,
    ..Api::DEFAULT
};

/// A piece of the answer's text, in base64.
fn agent_text(d: &mut Draft, piece: &[u8]) {
    d.nested.decode(piece);
    let decoded = d.nested.take_decoded();
    d.answer_text(&decoded);
}

fn agent_text_ended(d: &mut Draft) {
    d.nested.finish();
    let decoded = d.nested.take_decoded();
    d.answer_text(&decoded);
}

/// Each call of a model adds to the counts.
const AGENT_TOKENS: &[Rule<Draft>] =
    &[scalar("inputTokens", Draft::add_input), scalar("outputTokens", Draft::add_output)];

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/converse", &CONVERSE).model_after("/model/"),
    Endpoint::new("/converse-stream", &CONVERSE).model_after("/model/").streaming(),
    Endpoint::new("/invoke", &EMBED).model_after("/model/").within("embed"),
    Endpoint::new("/invoke", &IMAGES).model_after("/model/").within("titan-image"),
    Endpoint::new("/invoke", &IMAGES).model_after("/model/").within("nova-canvas"),
    Endpoint::new("/invoke", &IMAGES).model_after("/model/").within("stability."),
    Endpoint::new("/text", &AGENT).within("/agentAliases/").streaming(),
    Endpoint::new("/invoke", &INVOKE).model_after("/model/"),
    Endpoint::new("/invoke-with-response-stream", &INVOKE).model_after("/model/").streaming().enveloped(),
];

/// The envelope of the documents in a stream of InvokeModel.
pub const ENVELOPE: &[Group<Draft>] = &[("", &[text("bytes", |d, piece| d.nested.decode(piece))])];

const CONVERSATION: &[Rule<Draft>] = &[
    supersedes("messages[]", |d, _| d.message_opened()),
    close("messages[]", Draft::message_closed),
    scalar("messages[].role", Draft::message_role),
    deferred("messages[].content[].text", said),
    open("messages[].content[].toolUse", Draft::part_opened),
    close("messages[].content[].toolUse", Draft::past_call_part_closed),
    scalar("messages[].content[].toolUse.name", Draft::part_name),
    scalar("messages[].content[].toolUse.toolUseId", Draft::past_call_id),
    raw("messages[].content[].toolUse.input", Draft::past_call_arguments),
    open("messages[].content[].toolResult", |d, _| d.result_opened()),
    close("messages[].content[].toolResult", Draft::result_part_closed),
    scalar("messages[].content[].toolResult.toolUseId", Draft::result_id),
    scalar("messages[].content[].toolResult.status", Draft::result_failed),
    deferred("messages[].content[].toolResult.content[].text", result),
    raw("messages[].content[].toolResult.content[].json", Draft::result_json),
    digest("messages[].content[].toolResult.content[].image.source.bytes", Draft::result_hashed),
    digest("messages[].content[].toolResult.content[].document.source.bytes", Draft::result_hashed),
    digest("messages[].content[].toolResult.content[].video.source.bytes", Draft::result_hashed),
    digest("messages[].content[].toolResult.content[].image.source.s3Location.uri", Draft::result_hashed),
    digest("messages[].content[].toolResult.content[].document.source.s3Location.uri", Draft::result_hashed),
    digest("messages[].content[].toolResult.content[].video.source.s3Location.uri", Draft::result_hashed),
    digest("messages[].content[].image.source.bytes", Draft::text_hashed),
    digest("messages[].content[].document.source.bytes", Draft::text_hashed),
    digest("messages[].content[].toolUse.name", Draft::text_hashed),
    digest("messages[].content[].toolUse.input", Draft::text_hashed),
    digest("messages[].content[].toolResult.content[].json", Draft::text_hashed),
    open("toolConfig.tools[]", |d, _| d.tool_offered()),
    scalar("toolConfig.tools[].toolSpec.name", Draft::offered_name),
    open("toolConfig.toolChoice.any", |d, _| d.tool_choice_any()),
    open("toolConfig.toolChoice.tool", |d, _| d.tool_choice_named()),
    scalar("toolConfig.toolChoice.tool.name", Draft::tool_choice_name),
    scalar("outputConfig.textFormat.type", output_type),
    scalar("serviceTier.type", Draft::service_tier),
];

/// Rules for the parameters of a generation.
pub const CONFIG: &[Rule<Draft>] = &[
    scalar("maxTokens", Draft::max_tokens),
    scalar("max_new_tokens", Draft::max_tokens),
    scalar("maxTokenCount", Draft::max_tokens),
    scalar("max_tokens_to_sample", Draft::max_tokens),
    scalar("temperature", Draft::temperature),
    scalar("topP", Draft::top_p),
    scalar("top_p", Draft::top_p),
    scalar("topK", Draft::top_k),
    scalar("top_k", Draft::top_k),
    scalar("stopSequences[]", Draft::stop_sequence),
];

const ANSWER: &[Rule<Draft>] = &[
    scalar("stopReason", Draft::finish_reason),
    scalar("serviceTier.type", Draft::service_tier),
    // Guardrails are billed by units of their policies, for which there are no rates here.
    scalar("trace.guardrail.inputAssessment.*.invocationMetrics.usage.contentPolicyUnits", Draft::unknown_usage),
    scalar("trace.guardrail.outputAssessments.*[].invocationMetrics.usage.contentPolicyUnits", Draft::unknown_usage),
    // A prompt router names the model that it chose.
    scalar("trace.promptRouter.invokedModelId", chosen_model),
    open("output.message.content[]", Draft::part_opened),
    close("output.message.content[]", |d| call(d, u64::from(d.open.part_index()))),
    scalar("output.message.content[].toolUse.type", Draft::part_kind),
    text("output.message.content[].text", Draft::answer_text),
    scalar("output.message.content[].toolUse.name", Draft::part_name),
    scalar("output.message.content[].toolUse.toolUseId", Draft::part_id),
    raw("output.message.content[].toolUse.input", Draft::structured_arguments),
];

/// The members of ConverseStream's events. The events of Nova's own streams have the same members, below the name of the event.
const EVENT: &[Rule<Draft>] = &[
    scalar("contentBlockIndex", Draft::part_index_or_zero),
    scalar("trace.promptRouter.invokedModelId", chosen_model),
    open("start.toolUse", |d, _| d.clear_part_name()),
    close("start.toolUse", |d| call(d, d.open.part_id())),
    scalar("start.toolUse.type", Draft::part_kind),
    scalar("start.toolUse.name", Draft::part_name),
    scalar("start.toolUse.toolUseId", Draft::part_id),
    // The last event of a stream has the usage.
    close("usage", |d| d.complete()),
    text("delta.text", Draft::answer_text),
    text("delta.toolUse.input", Draft::call_text),
    text("delta.reasoningContent.text", Draft::other_text),
];

/// The usage of Converse. The usage of Nova's own format has other names for the cache counts.
const TOKENS: &[Rule<Draft>] = &[
    scalar("inputTokens", |d, v| d.count(v, |c| &mut c.input)),
    scalar("outputTokens", |d, v| d.count(v, |c| &mut c.output)),
    scalar("cacheReadInputTokens", cache_read),
    scalar("cacheReadInputTokenCount", cache_read),
    scalar("cacheWriteInputTokens", cache_write),
    scalar("cacheWriteInputTokenCount", cache_write),
    open("cacheDetails[]", Draft::part_opened),
    close("cacheDetails[]", |d| {
        if d.open.part_kind() == "1h" {
            d.detail_from_part(|q| &mut q.cache_write_1h);
        }
        d.part_opened(0);
    }),
    scalar("cacheDetails[].ttl", Draft::part_kind),
    scalar("cacheDetails[].inputTokens", Draft::part_tokens),
];

/// The model that a prompt router chose, as an identifier or as the ARN of an inference profile or model.
fn chosen_model(d: &mut Draft, value: Scalar<'_>) {
    if let Scalar::Text(model) = value {
        d.response_model(Scalar::Text(model.rsplit('/').next().unwrap_or(model)));
    }
}

/// Counts a tool call, unless Bedrock runs the tool itself.
fn call(d: &mut Draft, place: u64) {
    if d.open.part_kind() != "server_tool_use" {
        d.tool_call(place);
    }
}

fn cache_read(d: &mut Draft, value: Scalar<'_>) {
    d.input_excludes_cache();
    d.count(value, |c| &mut c.cache_read);
}

fn cache_write(d: &mut Draft, value: Scalar<'_>) {
    d.input_excludes_cache();
    d.count(value, |c| &mut c.cache_write);
}

/// The requests of all families. No path has different meanings in two families.
const INVOKE_REQUEST: &[Group<Draft>] = &[
    ("", openai::SAMPLING),
    ("", anthropic::REQUEST),
    ("", CONVERSATION),
    ("", CONFIG),
    ("inferenceConfig", CONFIG),
    ("textGenerationConfig", CONFIG),
    (
        "",
        &[
            scalar("max_gen_len", Draft::max_tokens),
            scalar("p", Draft::top_p),
            scalar("k", Draft::top_k),
            deferred("prompt", prompted),
            deferred("inputText", prompted),
            deferred("message", prompted),
            deferred("texts[]", prompted),
        ],
    ),
];

const INVOKE_RESPONSE: &[Group<Draft>] = &[
    ("", openai::CHAT_ANSWER),
    ("usage", openai::TOKENS),
    ("", anthropic::EVENT),
    ("", anthropic::ANSWER),
    ("", anthropic::COUNTS),
    ("", anthropic::USAGE),
    ("message", anthropic::ANSWER),
    ("message", anthropic::COUNTS),
    ("message", anthropic::FIRST_USAGE),
    ("", ANSWER),
    ("usage", TOKENS),
    ("metadata.usage", TOKENS),
    ("contentBlockStart", EVENT),
    ("contentBlockDelta", EVENT),
    ("messageStop", ANSWER),
    ("", FAMILIES),
    ("amazon-bedrock-invocationMetrics", METRICS),
];

/// The formats of Titan, Llama and the older models of Mistral, Cohere and AI21.
const FAMILIES: &[Rule<Draft>] = &[
    scalar("inputTextTokenCount", |d, v| d.count(v, |c| &mut c.input)),
    scalar("results[].tokenCount", |d, v| d.count(v, |c| &mut c.output)),
    scalar("results[].completionReason", Draft::finish_reason),
    text("results[].outputText", Draft::answer_text),
    scalar("totalOutputTextTokenCount", |d, v| d.count(v, |c| &mut c.output)),
    scalar("completionReason", Draft::finish_reason),
    text("outputText", Draft::answer_text),
    scalar("prompt_token_count", |d, v| d.count(v, |c| &mut c.input)),
    scalar("generation_token_count", |d, v| d.count(v, |c| &mut c.output)),
    text("generation", Draft::answer_text),
    scalar("outputs[].stop_reason", Draft::finish_reason),
    text("outputs[].text", Draft::answer_text),
    scalar("generations[].finish_reason", Draft::choice_finish_reason),
    open("generations[]", |d, index| {
        d.choice_opened(index);
        d.part_kind(Scalar::Text(COHERE));
    }),
    close("generations[]", Draft::choice_closed),
    text("generations[].text", Draft::answer_text),
    scalar("finish_reason", Draft::finish_reason),
    text("text", Draft::answer_text),
    text("choices[].text", Draft::answer_text),
    open("completions[]", Draft::choice_opened),
    close("completions[]", Draft::choice_closed),
    text("completions[].data.text", Draft::answer_text),
];

/// Marks a document in the format of Cohere's older models.
const COHERE: &str = "generations";

fn document(d: &mut Draft) {
    anthropic::document(d);
    // In this format `id` is the identifier of the request, not of the response.
    if d.open.part_kind() == COHERE {
        d.clear_response_id();
    }
}

/// A second copy of the usage. Some families have none in their own format.
const METRICS: &[Rule<Draft>] = &[
    scalar("inputTokenCount", |d, v| d.count(v, |c| &mut c.spare_input)),
    scalar("outputTokenCount", |d, v| d.count(v, |c| &mut c.spare_output)),
    scalar("cacheReadInputTokenCount", |d, v| d.count(v, |c| &mut c.spare_cache_read)),
    scalar("cacheWriteInputTokenCount", |d, v| d.count(v, |c| &mut c.spare_cache_write)),
];
