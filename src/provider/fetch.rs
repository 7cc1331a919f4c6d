//! Answers that a request with GET fetches after another request has created them.
//!
//! Specifications: the types of the SDKs of the vendors.

use super::common::state;
use super::openai::{self, COST, ERROR, TOKENS};
use super::{Api, Endpoint, assistants, responses};
use crate::draft::Draft;
use crate::json::{Rule, Scalar, open, scalar};

/// OpenAI, `GET .../responses/{id}`, also as a stream
pub const RESPONSE: Api = Api {
    name: "openai-responses-fetch",
    operation: "fetch_response",
    request: &[],
    response: &[
        ("", responses::EVENT),
        ("", ERROR),
        ("", responses::RESPONSE),
        ("usage", TOKENS),
        ("usage", COST),
        ("response", responses::RESPONSE),
        ("response.usage", TOKENS),
        ("response.usage", COST),
        ("response", ERROR),
        ("", OBJECT),
        ("response", OBJECT),
    ],
    ..responses::RESPONSES
};

/// OpenAI Assistants, `GET .../threads/{id}/runs/{id}`
pub const RUN: Api = Api {
    name: "openai-assistants-fetch",
    operation: "fetch_response",
    request: &[],
    response: &[
        ("", ERROR),
        ("", assistants::RUN),
        ("", &[scalar("status", run_state)]),
        ("usage", TOKENS),
        ("usage", COST),
    ],
    ..assistants::RUNS
};

/// xAI, `GET /v1/chat/deferred-completion/{id}`, and Zhipu, `GET .../async-result/{id}`
pub const CHAT: Api = Api {
    name: "openai-chat-fetch",
    operation: "fetch_response",
    request: &[],
    response: &[
        ("", openai::CHAT_ANSWER),
        ("", ERROR),
        (
            "",
            &[open("usage", |d, _| {
                d.shows_api = true;
                d.fetchable(true);
            })],
        ),
        ("usage", TOKENS),
        ("usage", COST),
    ],
    document: |d| d.complete_if(d.shows_api),
    takes_stream_options: false,
    ..openai::CHAT
};

/// Replicate, `POST .../predictions`. With the header `prefer: wait` the answer may be complete.
pub const PREDICTIONS: Api = Api {
    name: "replicate-predictions",
    operation: "generate_content",
    response: &[("", PREDICTION)],
    document: prediction,
    usage_expected: false,
    ..Api::DEFAULT
};

/// Replicate, `GET .../predictions/{id}`
pub const PREDICTION_FETCH: Api = Api { name: "replicate-fetch", operation: "fetch_response", ..PREDICTIONS };

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::fetch("/responses/", "", &RESPONSE),
    Endpoint::fetch("/runs/", "", &RUN).within("/threads/"),
    Endpoint::fetch("/chat/deferred-completion/", "", &CHAT),
    Endpoint::fetch("/async-result/", "", &CHAT),
    Endpoint::new("/predictions", &PREDICTIONS).model_after("/models/").host("replicate.com"),
    Endpoint::new("/predictions", &PREDICTIONS).host("replicate.com"),
    Endpoint::fetch("/predictions/", "", &PREDICTION_FETCH).host("replicate.com"),
];

/// The state of a run. A run that waits for the results of tools is not complete.
fn run_state(d: &mut Draft, value: Scalar<'_>) {
    let waits = value == Scalar::Text("requires_action");
    d.choice_finish_reason(if waits { Scalar::Text("in_progress") } else { value });
}

/// A prediction. Only language models have counts.
const PREDICTION: &[Rule<Draft>] = &[
    scalar("id", Draft::response_id),
    scalar("model", Draft::response_model),
    scalar("status", Draft::choice_finish_reason),
    scalar("metrics.input_token_count", |d, v| d.count(v, |c| &mut c.input)),
    scalar("metrics.output_token_count", |d, v| d.count(v, |c| &mut c.output)),
];

fn prediction(d: &mut Draft) {
    d.fetchable(true);
    if let Some(status) = d.open.take_finish_reason() {
        d.shows_api = true;
        state(d, Scalar::Text(&status));
        if &*status == "canceled" {
            d.unwanted();
        }
        if &*status == "failed" {
            d.failed();
        }
        if !d.answer.is_deferred() {
            d.set_only_finish_reason(Some(status));
        }
        d.complete();
    }
}

/// The type of the object that is fetched.
const OBJECT: &[Rule<Draft>] = &[scalar("object", |d, v| d.shows_api |= v == Scalar::Text("response"))];
