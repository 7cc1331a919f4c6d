//! OpenAI Assistants: runs of a thread. A stream has the whole run in several events; the last one has its usage.
//!
//! Specification: OpenAI's SDK types. Without a stream the answer is a run that has only begun: its usage comes later, in the
//! answer of another request.

use super::openai::{COST, ERROR, SAMPLING, TOKENS};
use super::{Api, Endpoint};
use crate::draft::Draft;
use crate::json::{Rule, Scalar, open, scalar, text};

/// `POST .../threads/runs` and `.../threads/{id}/runs`, and the results of tools
pub const RUNS: Api = Api {
    name: "openai-assistants",
    operation: "invoke_agent",
    request: &[("", SAMPLING), ("", REQUEST)],
    // A run's object replaces the rule for `object` of errors.
    response: &[("", ERROR), ("", RUN), ("usage", TOKENS), ("usage", COST)],
    document,
    usage_expected: false,
    remembers: true,
    ..Api::DEFAULT
};

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/runs", &RUNS).within("/threads/"),
    Endpoint::new("/submit_tool_outputs", &RUNS).within("/threads/"),
];

const REQUEST: &[Rule<Draft>] =
    &[scalar("max_completion_tokens", Draft::max_tokens), open("tools[]", |d, _| d.tool_offered())];

/// Rules for a run, and for the other objects of a stream.
pub const RUN: &[Rule<Draft>] = &[
    scalar("object", Draft::document_kind),
    scalar("id", |d, v| {
        if matches!(v, Scalar::Text(id) if id.starts_with("run_")) {
            d.fetched_by(v);
        }
    }),
    scalar("model", Draft::response_model),
    scalar("status", Draft::choice_finish_reason),
    scalar("incomplete_details.reason", Draft::choice_finish_detail),
    text("delta.content[].text.value", Draft::answer_text),
    open("last_error", |d, _| d.failed()),
    scalar("last_error.code", Draft::error_code),
];

/// Evaluates a run or another object.
pub fn document(d: &mut Draft) {
    if d.open.kind() != "thread.run" {
        d.choice_dropped();
        return;
    }
    d.shows_api = true;
    d.fetchable(true);
    if let Some(status) = d.open.take_finish_reason() {
        let is_late = matches!(&*status, "queued" | "in_progress" | "cancelling");
        d.set_deferred(is_late);
        if !is_late {
            d.set_only_finish_reason(Some(status));
            d.complete();
        }
    }
}
