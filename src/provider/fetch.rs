//! Answers that a request with GET fetches after another request has created them.
//!
//! Specifications: the types of the SDKs of the vendors.

use super::openai::{COST, ERROR, TOKENS};
use super::{Api, Endpoint, responses};
use crate::draft::Draft;
use crate::json::{Rule, Scalar, scalar};

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

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[Endpoint::fetch("/responses/", "", &RESPONSE)];

/// The type of the object that is fetched.
const OBJECT: &[Rule<Draft>] = &[scalar("object", |d, v| d.shows_api |= v == Scalar::Text("response"))];
