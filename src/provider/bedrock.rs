//! Amazon Bedrock: Converse, and InvokeModel with whatever API the model's family has.
//!
//! Streams are AWS event-stream frames; InvokeModel's hold the family's own JSON in base64. The model is in the path,
//! percent-encoded; token counts may stand in headers. Spec: botocore's service model.

use super::common::{result, said};
use super::openai::{self, prompted};
use super::{Api, Endpoint, anthropic};
use crate::draft::Draft;
use crate::json::{Group, Rule, Scalar, anew, close, late, open, raw, scalar, text};

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

/// The same for embedding models.
pub const EMBED: Api = Api {
    name: "bedrock-embed",
    operation: "embeddings",
    response: &[("", &[scalar("inputTextTokenCount", |d, v| d.count(v, |c| &mut c.input))])],
    ..INVOKE
};

/// Where they are served.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/converse", &CONVERSE).model_after("/model/"),
    Endpoint::new("/converse-stream", &CONVERSE).model_after("/model/").streaming(),
    Endpoint::new("/invoke", &EMBED).model_after("/model/").within("embed"),
    Endpoint::new("/invoke", &INVOKE).model_after("/model/"),
    Endpoint::new("/invoke-with-response-stream", &INVOKE).model_after("/model/").streaming().enveloped(),
];

/// What an InvokeModel stream wraps its documents in.
pub const ENVELOPE: &[Group<Draft>] = &[("", &[text("bytes", |d, piece| d.nested.decode(piece))])];

const CONVERSATION: &[Rule<Draft>] = &[
    anew("messages[]", |d, _| d.message_opened()),
    close("messages[]", Draft::message_closed),
    scalar("messages[].role", Draft::message_role),
    late("messages[].content[].text", said),
    open("messages[].content[].toolUse", Draft::part_opened),
    close("messages[].content[].toolUse", Draft::past_call_part_closed),
    scalar("messages[].content[].toolUse.name", Draft::part_name),
    scalar("messages[].content[].toolUse.toolUseId", Draft::past_call_id),
    raw("messages[].content[].toolUse.input", Draft::past_call_arguments),
    open("messages[].content[].toolResult", |d, _| d.result_opened()),
    close("messages[].content[].toolResult", Draft::result_part_closed),
    scalar("messages[].content[].toolResult.toolUseId", Draft::result_id),
    scalar("messages[].content[].toolResult.status", Draft::result_failed),
    late("messages[].content[].toolResult.content[].text", result),
    open("toolConfig.tools[]", |d, _| d.tool_offered()),
];

const CONFIG: &[Rule<Draft>] = &[
    scalar("maxTokens", Draft::max_tokens),
    scalar("max_new_tokens", Draft::max_tokens),
    scalar("maxTokenCount", Draft::max_tokens),
    scalar("temperature", Draft::temperature),
    scalar("topP", Draft::top_p),
    scalar("top_p", Draft::top_p),
    scalar("topK", Draft::top_k),
    scalar("top_k", Draft::top_k),
    scalar("stopSequences[]", Draft::stop_sequence),
];

const ANSWER: &[Rule<Draft>] = &[
    scalar("stopReason", Draft::finish_reason),
    open("output.message.content[]", Draft::part_opened),
    close("output.message.content[]", |d| call(d, u64::from(d.open.part_index()))),
    scalar("output.message.content[].toolUse.type", Draft::part_kind),
    text("output.message.content[].text", Draft::answer_text),
    scalar("output.message.content[].toolUse.name", Draft::part_name),
    scalar("output.message.content[].toolUse.toolUseId", Draft::part_id),
];

/// The members of ConverseStream's events, which are the same below their names in Nova's own streams.
const EVENT: &[Rule<Draft>] = &[
    scalar("contentBlockIndex", Draft::part_index_or_zero),
    open("start.toolUse", |d, _| d.clear_part_name()),
    close("start.toolUse", |d| call(d, d.open.part_id())),
    scalar("start.toolUse.type", Draft::part_kind),
    scalar("start.toolUse.name", Draft::part_name),
    scalar("start.toolUse.toolUseId", Draft::part_id),
    // The last event of a stream.
    close("usage", |d| d.complete()),
    text("delta.text", Draft::answer_text),
    text("delta.toolUse.input", Draft::other_text),
    text("delta.reasoningContent.text", Draft::other_text),
];

/// Converse's usage; Nova's own has other names for what was cached.
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

/// Tools that Bedrock runs itself say so.
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

/// All families' requests: no two give one path two meanings.
const INVOKE_REQUEST: &[Group<Draft>] = &[
    ("", openai::SAMPLING),
    ("", anthropic::REQUEST),
    ("", CONVERSATION),
    ("inferenceConfig", CONFIG),
    ("textGenerationConfig", CONFIG),
    (
        "",
        &[
            scalar("max_gen_len", Draft::max_tokens),
            scalar("p", Draft::top_p),
            scalar("k", Draft::top_k),
            late("prompt", prompted),
            late("inputText", prompted),
            late("message", prompted),
            late("texts[]", prompted),
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

/// Titan, Llama, Mistral's and Cohere's older models.
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
    scalar("generations[].finish_reason", Draft::finish_reason),
    open("generations[]", |d, _| d.part_kind(Scalar::Text(COHERE))),
    text("generations[].text", Draft::answer_text),
    scalar("finish_reason", Draft::finish_reason),
    text("text", Draft::answer_text),
    text("choices[].text", Draft::answer_text),
];

/// Marks a document in the form of Cohere's older models.
const COHERE: &str = "generations";

fn document(d: &mut Draft) {
    anthropic::document(d);
    // Cohere's identifier is there the request's, not the completion's.
    if d.open.part_kind() == COHERE {
        d.clear_response_id();
    }
}

/// A second copy of the usage, for families whose own body has none.
const METRICS: &[Rule<Draft>] = &[
    scalar("inputTokenCount", |d, v| d.count(v, |c| &mut c.spare_input)),
    scalar("outputTokenCount", |d, v| d.count(v, |c| &mut c.spare_output)),
    scalar("cacheReadInputTokenCount", |d, v| d.count(v, |c| &mut c.spare_cache_read)),
    scalar("cacheWriteInputTokenCount", |d, v| d.count(v, |c| &mut c.spare_cache_write)),
];
