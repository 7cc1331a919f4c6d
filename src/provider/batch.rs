//! The results of batches. A file has one result per line, in any order. A file with other lines is no LLM traffic.
//!
//! Specifications: the types of the SDKs of OpenAI, Mistral, Anthropic and Google; platform.openai.com/docs/guides/batch,
//! platform.claude.com/docs, batch processing, ai.google.dev/gemini-api/docs/batch-mode.

use super::openai::{COST, TOKENS};
use super::{Api, Endpoint, Results, anthropic, gemini};
use crate::draft::{Draft, ProviderTool};
use crate::json::{Rule, Scalar, close, open, scalar};

/// OpenAI, Azure and Mistral, `GET .../files/{id}/content`
pub const FILE: Api = Api {
    name: "openai-batch-results",
    response: &[("", NAMED), ("response.body", BODY), ("response.body.usage", TOKENS), ("response.body.usage", COST)],
    ..RESULTS
};

/// Anthropic, `GET .../messages/batches/{id}/results`
pub const MESSAGES: Api = Api {
    name: "anthropic-batch-results",
    response: &[
        ("", NAMED),
        ("result.message", BODY),
        ("result.message", anthropic::COUNTS),
        ("result.message", anthropic::USAGE),
        ("result.message.usage", COST),
    ],
    ..RESULTS
};

/// Gemini, `GET .../files/{id}:download`
pub const GENERATED: Api = Api {
    name: "gemini-batch-results",
    response: &[
        ("", KEYED),
        ("", gemini::COUNTS),
        ("usageMetadata", gemini::MODALITIES),
        ("response", gemini::COUNTS),
        ("response.usageMetadata", gemini::MODALITIES),
    ],
    ..RESULTS
};

/// Gemini, `GET .../batches/{name}`. Two members of the answer may have the list: the first one counts.
pub const INLINE: Api = Api {
    name: "gemini-batch-inline",
    response: &[
        ("metadata", &[scalar("state", |d, v| d.batch_state(v, &["BATCH_STATE_PENDING", "BATCH_STATE_RUNNING"]))]),
        ("response.inlinedResponses", INLINED_FIRST),
        ("response.inlinedResponses.inlinedResponses[].response", INLINED),
        ("response.inlinedResponses.inlinedResponses[].response", gemini::COUNTS),
        ("response.inlinedResponses.inlinedResponses[].response.usageMetadata", gemini::MODALITIES),
        ("metadata.output.inlinedResponses", INLINED_SECOND),
        ("metadata.output.inlinedResponses.inlinedResponses[].response", INLINED),
        ("metadata.output.inlinedResponses.inlinedResponses[].response", gemini::COUNTS),
        ("metadata.output.inlinedResponses.inlinedResponses[].response.usageMetadata", gemini::MODALITIES),
    ],
    ..LIST
};

/// Mistral, `GET /v1/batch/jobs/{id}?inline=true`
pub const JOB: Api = Api {
    name: "mistral-batch-inline",
    response: &[
        ("", &[close("outputs[]", Draft::batch_result_ended)]),
        ("", &[scalar("status", |d, v| d.batch_state(v, &["QUEUED", "RUNNING", "CANCELLATION_REQUESTED"]))]),
        ("outputs[]", NAMED),
        ("outputs[].response.body", BODY),
        ("outputs[].response.body.usage", TOKENS),
        ("outputs[].response.body.usage", COST),
    ],
    ..LIST
};

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::fetch("/files/", "/content", &FILE),
    Endpoint::fetch("/messages/batches/", "/results", &MESSAGES),
    Endpoint::fetch("/files/", ":download", &GENERATED),
    Endpoint::fetch("/batches/", "", &INLINE),
    Endpoint::fetch("/batch/jobs/", "", &JOB),
];

const RESULTS: Api = Api {
    operation: "fetch_batch",
    document: Draft::batch_result_ended,
    results: Results::Lines,
    usage_expected: false,
    ..Api::DEFAULT
};

const LIST: Api = Api { document: |_| {}, results: Results::List, ..RESULTS };

const INLINED_FIRST: &[Rule<Draft>] =
    &[open("inlinedResponses[]", |d, _| d.batch_result_of(1)), close("inlinedResponses[]", Draft::batch_result_ended)];

const INLINED_SECOND: &[Rule<Draft>] =
    &[open("inlinedResponses[]", |d, _| d.batch_result_of(2)), close("inlinedResponses[]", Draft::batch_result_ended)];

const INLINED: &[Rule<Draft>] = &[scalar("modelVersion", Draft::response_model)];

/// The request that the result answers, and the outcome: a response, an error, or a result that is one of them.
const NAMED: &[Rule<Draft>] = &[
    scalar("custom_id", Draft::batch_result_named),
    open("response", Draft::batch_result_decided),
    open("error", Draft::batch_result_decided),
    open("result", Draft::batch_result_decided),
];

/// The same of Gemini. A line can also be the response itself.
const KEYED: &[Rule<Draft>] = &[
    scalar("key", Draft::batch_result_named),
    open("response", Draft::batch_result_decided),
    open("error", Draft::batch_result_decided),
    open("usageMetadata", |d, at| {
        d.batch_result_named(Scalar::Null);
        d.batch_result_decided(at);
    }),
    scalar("modelVersion", Draft::response_model),
    scalar("response.modelVersion", Draft::response_model),
];

/// A response, without its content.
const BODY: &[Rule<Draft>] = &[
    scalar("model", Draft::response_model),
    scalar("tool_usage.web_search.num_requests", |d, v| d.provider_calls(v, ProviderTool::WebSearch)),
];
