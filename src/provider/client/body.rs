//! Rules for the members of a request's body that name the session and the agent. They apply to the requests of all APIs.

use super::identifier::{fit, session_in_user_id};
use super::{subagent_kind, turn_kind};
use crate::draft::{Draft, SessionSource};
use crate::json::{Rule, Scalar, scalar, text};
use crate::observation::RequestKind;

/// Clients that set `prompt_cache_key` to the session. Others set it to the name of an application or a user.
const CACHE_KEY_IS_SESSION: [&str; 2] = ["codex", "opencode"];

/// The rules.
pub(in crate::provider) const CLIENT: &[Rule<Draft>] = &[
    // Claude Code.
    text("metadata.user_id", |d, piece| {
        let session = session_in_user_id(d.hold_client_text(piece)).and_then(fit).map(str::to_owned);
        if let Some(session) = session {
            d.client_session(SessionSource::Body, &session);
        }
    }),
    // Codex.
    scalar("client_metadata.session_id", session),
    scalar("client_metadata.thread_id", |d, v| d.client_agent(fit_text(v))),
    scalar("client_metadata.x-codex-parent-thread-id", |d, v| {
        if !fit_text(v).is_empty() {
            d.client_parent_agent(fit_text(v));
            d.client_kind(RequestKind::Subagent);
        }
    }),
    scalar("client_metadata.x-openai-subagent", |d, v| {
        if !fit_text(v).is_empty() {
            d.client_agent_name(fit_text(v));
            d.client_kind(subagent_kind(fit_text(v)));
        }
    }),
    text("client_metadata.x-codex-turn-metadata", |d, piece| {
        if let Some(kind) = turn_kind(d.hold_client_text(piece)) {
            d.client_kind(kind);
        }
    }),
    scalar("client_metadata.ws_request_header_traceparent", Draft::client_traceparent),
    scalar("prompt_cache_key", |d, v| {
        if d.observation.client_name().is_some_and(|name| CACHE_KEY_IS_SESSION.contains(&name)) {
            d.client_session(SessionSource::CacheKey, fit_text(v));
        }
    }),
    // Gemini Code Assist.
    scalar("request.session_id", session),
    // OpenRouter and LiteLLM.
    scalar("session_id", session),
    scalar("litellm_session_id", session),
    scalar("metadata.session_id", session),
];

fn session(d: &mut Draft, value: Scalar<'_>) {
    d.client_session(SessionSource::Body, fit_text(value));
}

/// The string if it is fit to be reported, else an empty one.
fn fit_text(value: Scalar<'_>) -> &str {
    match value {
        Scalar::Text(text) => fit(text).unwrap_or_default(),
        _ => "",
    }
}
