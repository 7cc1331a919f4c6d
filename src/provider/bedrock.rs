//! Amazon Bedrock: Converse, and InvokeModel, whose bodies have the format of the model's family.
//!
//! Specification: botocore's service model. Streams are AWS event-stream frames. The frames of InvokeModel have the JSON of the
//! family in base64. The path has the model, percent-encoded. Token counts may be in response headers, see
//! [`headers`](super::headers).

use super::common::{result, said};
use super::openai::{self, prompted, stop};
use super::{Api, Endpoint, anthropic};
use crate::draft::Draft;
use crate::json::{Group, Rule, Scalar, close, deferred, identity, open, raw, scalar, supersedes, text};

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

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/converse", &CONVERSE).model_after("/model/"),
    Endpoint::new("/converse-stream", &CONVERSE).model_after("/model/").streaming(),
    Endpoint::new("/invoke", &EMBED).model_after("/model/").within("embed"),
    Endpoint::new("/invoke", &INVOKE).model_after("/model/"),
    Endpoint::new("/invoke-with-response-stream", &INVOKE).model_after("/model/").streaming().enveloped(),
];

/// The envelope of the documents in a stream of InvokeModel.
pub const ENVELOPE: &[Group<Draft>] = &[("", &[text("bytes", |d, piece| d.nested.decode(piece))])];

const CONVERSATION: &[Rule<Draft>] = &[
    supersedes("messages[]", |d, _| d.message()),
    close("messages[]", Draft::message_closed),
    scalar("messages[].role", |d, v| d.history.role(v)),
    deferred("messages[].content[].text", said),
    open("messages[].content[].toolUse", Draft::part_opened),
    close("messages[].content[].toolUse", |d| d.history.call_block(d.open.part.name.take())),
    scalar("messages[].content[].toolUse.name", |d, v| d.open.part.name = v.text()),
    scalar("messages[].content[].toolUse.toolUseId", |d, v| d.history.call_id(v)),
    raw("messages[].content[].toolUse.input", |d, piece| d.history.call_arguments(piece)),
    open("messages[].content[].toolResult", |d, _| d.history.result_opened()),
    close("messages[].content[].toolResult", |d| d.history.result_block()),
    scalar("messages[].content[].toolResult.toolUseId", |d, v| d.history.result_id(v)),
    scalar("messages[].content[].toolResult.status", |d, v| d.history.result_failed(v)),
    deferred("messages[].content[].toolResult.content[].text", result),
    open("toolConfig.tools[]", |d, _| d.history.tool_offered()),
];

const CONFIG: &[Rule<Draft>] = &[
    scalar("maxTokens", |d, v| d.seen.request.max_tokens = v.count()),
    scalar("max_new_tokens", |d, v| d.seen.request.max_tokens = v.count()),
    scalar("maxTokenCount", |d, v| d.seen.request.max_tokens = v.count()),
    scalar("temperature", |d, v| d.seen.request.temperature = v.float()),
    scalar("topP", |d, v| d.seen.request.top_p = v.float()),
    scalar("top_p", |d, v| d.seen.request.top_p = v.float()),
    scalar("topK", |d, v| d.seen.request.top_k = v.float()),
    scalar("top_k", |d, v| d.seen.request.top_k = v.float()),
    scalar("stopSequences[]", stop),
];

const ANSWER: &[Rule<Draft>] = &[
    scalar("stopReason", Draft::finished),
    open("output.message.content[]", Draft::part_opened),
    close("output.message.content[]", |d| call(d, u64::from(d.open.part.index))),
    scalar("output.message.content[].toolUse.type", |d, v| d.open.part.kind.set(v)),
    text("output.message.content[].text", Draft::answer),
    scalar("output.message.content[].toolUse.name", |d, v| d.open.part.name = v.text()),
    scalar("output.message.content[].toolUse.toolUseId", |d, v| d.open.part.id = identity(v)),
];

/// The members of ConverseStream's events. The events of Nova's own streams have the same members, below the name of the event.
const EVENT: &[Rule<Draft>] = &[
    scalar("contentBlockIndex", |d, v| d.open.part.index = v.count().map_or(0, |n| n as u32)),
    open("start.toolUse", |d, _| d.open.part.name = None),
    close("start.toolUse", |d| call(d, d.open.part.id)),
    scalar("start.toolUse.type", |d, v| d.open.part.kind.set(v)),
    scalar("start.toolUse.name", |d, v| d.open.part.name = v.text()),
    scalar("start.toolUse.toolUseId", |d, v| d.open.part.id = identity(v)),
    // The last event of a stream has the usage.
    close("usage", |d| d.complete = true),
    text("delta.text", Draft::answer),
    text("delta.toolUse.input", Draft::aside),
    text("delta.reasoningContent.text", Draft::aside),
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
        if d.open.part.kind.as_str() == "1h" {
            d.used.cache_write_1h = d.open.part.tokens;
        }
        d.open.part = Default::default();
    }),
    scalar("cacheDetails[].ttl", |d, v| d.open.part.kind.set(v)),
    scalar("cacheDetails[].inputTokens", Draft::part_tokens),
];

/// Counts a tool call, unless Bedrock runs the tool itself.
fn call(d: &mut Draft, place: u64) {
    if d.open.part.kind.as_str() != "server_tool_use" {
        d.call(place);
    }
}

fn cache_read(d: &mut Draft, value: Scalar<'_>) {
    d.counts.cache_beside = true;
    d.count(value, |c| &mut c.cache_read);
}

fn cache_write(d: &mut Draft, value: Scalar<'_>) {
    d.counts.cache_beside = true;
    d.count(value, |c| &mut c.cache_write);
}

/// The requests of all families. No path has different meanings in two families.
const INVOKE_REQUEST: &[Group<Draft>] = &[
    ("", openai::SAMPLING),
    ("", anthropic::REQUEST),
    ("", CONVERSATION),
    ("inferenceConfig", CONFIG),
    ("textGenerationConfig", CONFIG),
    (
        "",
        &[
            scalar("max_gen_len", |d, v| d.seen.request.max_tokens = v.count()),
            scalar("p", |d, v| d.seen.request.top_p = v.float()),
            scalar("k", |d, v| d.seen.request.top_k = v.float()),
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
    ("message", anthropic::ANSWER),
    ("", ANSWER),
    ("usage", TOKENS),
    ("metadata.usage", TOKENS),
    ("contentBlockStart", EVENT),
    ("contentBlockDelta", EVENT),
    ("messageStop", ANSWER),
    ("", FAMILIES),
    ("amazon-bedrock-invocationMetrics", METRICS),
];

/// The formats of Titan, Llama and the older models of Mistral and Cohere.
const FAMILIES: &[Rule<Draft>] = &[
    scalar("inputTextTokenCount", |d, v| d.count(v, |c| &mut c.input)),
    scalar("results[].tokenCount", |d, v| d.count(v, |c| &mut c.output)),
    scalar("results[].completionReason", Draft::finished),
    text("results[].outputText", Draft::answer),
    scalar("totalOutputTextTokenCount", |d, v| d.count(v, |c| &mut c.output)),
    scalar("completionReason", Draft::finished),
    text("outputText", Draft::answer),
    scalar("prompt_token_count", |d, v| d.count(v, |c| &mut c.input)),
    scalar("generation_token_count", |d, v| d.count(v, |c| &mut c.output)),
    text("generation", Draft::answer),
    scalar("outputs[].stop_reason", Draft::finished),
    text("outputs[].text", Draft::answer),
    scalar("generations[].finish_reason", Draft::finished),
    open("generations[]", |d, _| d.open.part.kind.set(Scalar::Text(COHERE))),
    text("generations[].text", Draft::answer),
    scalar("finish_reason", Draft::finished),
    text("text", Draft::answer),
    text("choices[].text", Draft::answer),
];

/// Marks a document in the format of Cohere's older models.
const COHERE: &str = "generations";

fn document(d: &mut Draft) {
    anthropic::document(d);
    // In this format `id` is the identifier of the request, not of the response.
    if d.open.part.kind.as_str() == COHERE {
        d.seen.response.id = None;
    }
}

/// A second copy of the usage. Some families have none in their own format.
const METRICS: &[Rule<Draft>] = &[
    scalar("inputTokenCount", |d, v| d.count(v, |c| &mut c.spare_input)),
    scalar("outputTokenCount", |d, v| d.count(v, |c| &mut c.spare_output)),
    scalar("cacheReadInputTokenCount", |d, v| d.count(v, |c| &mut c.spare_cache_read)),
    scalar("cacheWriteInputTokenCount", |d, v| d.count(v, |c| &mut c.spare_cache_write)),
];
