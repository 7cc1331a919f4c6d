//! OpenAI Responses over a WebSocket. A request has the members of `POST /responses`, and the events are those of its streams.
//!
//! Specification: OpenAI's SDK types and guide "WebSocket mode". `client_metadata` and wrapped errors follow the traffic of Codex.

use super::{Dialect, MessagePart, Notice, id};
use crate::draft::Draft;
use crate::json::{Rule, Scalar, scalar};
use crate::provider::Api;
use crate::provider::common::ITEM;
use crate::provider::openai::{COST, ERROR, SAMPLING, TOKENS};
use crate::provider::responses::{EVENT, INPUT, RESPONSE, RESPONSES};

/// `GET .../responses`, upgraded
pub const RESPONSES_SOCKET: Api = Api {
    request: &[("", SAMPLING), ("input[]", ITEM), ("", INPUT), ("", CREATE)],
    response: &[
        ("", EVENT),
        ("", ERROR),
        ("", &[scalar("status", Draft::error_code), scalar("status_code", Draft::error_code)]),
        ("response", RESPONSE),
        ("response.usage", TOKENS),
        ("response.usage", COST),
        ("response", ERROR),
    ],
    dialect: Some(&DIALECT),
    ..RESPONSES
};

/// Members that only requests over a WebSocket have.
const CREATE: &[Rule<Draft>] = &[
    scalar("generate", |d, v| {
        if v == Scalar::Bool(false) {
            d.client_prewarms();
        }
    }),
    scalar("prompt_cache_options.prewarm", |d, v| {
        if v.is_true() {
            d.client_prewarms();
        }
    }),
];

const DIALECT: Dialect = Dialect {
    client: &[
        scalar("type", |n: &mut Notice, v| {
            n.is(if v == Scalar::Text("response.create") { MessagePart::Request } else { MessagePart::Nothing });
        }),
        scalar("stream_id", |n, v| id(&mut n.lane, v)),
    ],
    server: &[
        scalar("type", |n, v| {
            n.is(match v {
                Scalar::Text("response.created") => MessagePart::Begin,
                Scalar::Text(
                    "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled",
                ) => MessagePart::End,
                Scalar::Text("error") => MessagePart::Failure,
                Scalar::Text(word) if word.starts_with("response.steer.") || !word.starts_with("response.") => {
                    MessagePart::Nothing
                }
                _ => MessagePart::Event,
            });
        }),
        scalar("stream_id", |n, v| id(&mut n.lane, v)),
        scalar("response.id", |n, v| id(&mut n.response, v)),
        scalar("response_id", |n, v| id(&mut n.response, v)),
        scalar("item.id", |n, v| id(&mut n.item, v)),
        scalar("item_id", |n, v| id(&mut n.item, v)),
    ],
    client_part: MessagePart::Request,
    server_part: MessagePart::Event,
    names_responses: true,
    has_other_failures: false,
    goes_on_after: "steered",
};
