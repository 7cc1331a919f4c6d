//! The program that sends a request, and its session: from the request headers in one pass, and from the body with rules.
//!
//! Nothing is verified. The values are only reported, except that the name is a label, from a fixed list. Of what identifies a
//! person, an account or a device nothing is read. Bounds: an identifier has at most 128 bytes, a version 64; of `user-agent`
//! 32 words are read, of `baggage` 64 members; other values are ignored.
//!
//! Sources: those of `products`; LiteLLM 1.110 (`x-...-session-id`); the documentation of Helicone, Portkey and OpenRouter; W3C
//! Baggage.

mod body;
mod identifier;
mod products;

use std::borrow::Cow;

use self::identifier::{fit, member, percent_decoded};
use self::products::{CLIENTS, index, named_in};
use super::Head;
use crate::draft::{Draft, SessionSource};
use crate::observation::RequestKind;

pub(super) use body::CLIENT;

/// Maximum number of members of `baggage` that are read.
const MEMBERS: usize = 64;
/// Maximum length of a header's value that is searched, in bytes.
const SEARCHED: usize = 4096;
/// Minimum length of a session in a header that any program may send, as in LiteLLM.
const SHORTEST: usize = 8;
/// Largest number of retries that is believed.
const RETRIES: u64 = 1000;

/// The client as the request headers describe it. Of several headers with the same name the first one counts.
#[derive(Default)]
struct Headers<'a> {
    /// The client's index in [`CLIENTS`] and its version.
    program: Option<(usize, &'a str)>,
    /// The strongest session, and where it comes from.
    session: Option<(SessionSource, Cow<'a, str>)>,
    /// The thread's session and the thread, if the client is one whose main agent has the session's identifier.
    thread_session: Option<&'a str>,
    thread: Option<&'a str>,
    agent: Option<Cow<'a, str>>,
    parent_agent: Option<Cow<'a, str>>,
    /// The session that started this one.
    parent_session: Option<&'a str>,
    agent_name: Option<Cow<'a, str>>,
    /// The kind by a word that names it.
    class: Option<RequestKind>,
    /// The kind by a word that does not tell main agents from sub-agents.
    turn: Option<RequestKind>,
    is_subagent: bool,
    attempt: Option<u64>,
}

/// A header and how to read it.
type Row = (&'static str, for<'a> fn(&mut Headers<'a>, &'a str));

/// The headers, in the order of their names.
const HEADERS: &[Row] = &[
    ("baggage", |h, v| {
        let members = v.split(',').take(MEMBERS).filter_map(|member| member.split_once('='));
        let session = members.map(|(key, value)| (key.trim(), value)).find(|(key, _)| *key == "session.id");
        let id = session.and_then(|(_, value)| percent_decoded(value.split(';').next()?.trim()));
        h.session(SessionSource::Baggage, id);
    }),
    ("conversation_id", |h, v| h.thread_session(v)),
    ("copilot-integration-id", |h, _| h.program("github-copilot")),
    ("editor-plugin-version", |h, v| h.products(v)),
    ("helicone-session-id", |h, v| h.session(SessionSource::GatewayHeader, Some(v.into()))),
    ("originator", |h, v| {
        if v.starts_with("codex") {
            h.program("codex");
        }
    }),
    ("session-id", |h, v| h.thread_session(v)),
    ("session_id", |h, v| h.thread_session(v)),
    ("thread-id", |h, v| h.thread = h.thread.or(fit(v))),
    ("user-agent", |h, v| h.products(v)),
    ("vscode-sessionid", |h, v| h.session(SessionSource::ClientHeader, Some(v.into()))),
    ("x-claude-code-agent-id", |h, v| {
        h.agent = h.agent.take().or(decoded(v));
        h.is_subagent |= h.agent.is_some();
    }),
    ("x-claude-code-agent-type", |h, v| h.agent_name = h.agent_name.take().or(decoded(v))),
    ("x-claude-code-auxiliary-type", |h, _| h.turn = h.turn.or(Some(RequestKind::Auxiliary))),
    ("x-claude-code-parent-agent-id", |h, v| h.parent_agent = h.parent_agent.take().or(decoded(v))),
    ("x-claude-code-request-class", |h, v| {
        h.class = h.class.or(match v {
            "main" => Some(RequestKind::Main),
            "subagent" | "workflow" => Some(RequestKind::Subagent),
            "compaction" => Some(RequestKind::Compaction),
            "auxiliary" | "side_reply" => Some(RequestKind::Auxiliary),
            _ => None,
        });
    }),
    ("x-claude-code-session-id", |h, v| {
        h.program("claude-code");
        h.session(SessionSource::ClientHeader, Some(v.into()));
    }),
    ("x-codex-parent-thread-id", |h, v| {
        h.program("codex");
        h.parent_agent = h.parent_agent.take().or(fit(v).map(Cow::from));
        h.is_subagent |= h.parent_agent.is_some();
    }),
    ("x-codex-turn-metadata", |h, v| {
        h.program("codex");
        h.turn = h.turn.or(v.get(..v.len().min(SEARCHED)).and_then(turn_kind));
    }),
    ("x-goog-api-client", |h, v| h.products(v)),
    ("x-interaction-type", |h, v| {
        h.turn = h.turn.or(match v {
            "conversation-subagent" => Some(RequestKind::Subagent),
            "conversation-agent" | "conversation-panel" => Some(RequestKind::Main),
            _ => None,
        });
    }),
    ("x-litellm-session-id", |h, v| h.session(SessionSource::GatewayHeader, Some(v.into()))),
    ("x-litellm-trace-id", |h, v| h.session(SessionSource::GatewayTrace, Some(v.into()))),
    ("x-openai-subagent", |h, v| {
        let Some(name) = fit(v) else { return };
        match subagent_kind(name) {
            RequestKind::Subagent => h.is_subagent = true,
            kind => h.class = h.class.or(Some(kind)),
        }
        h.agent_name = h.agent_name.take().or(Some(name.into()));
    }),
    ("x-opencode-session", |h, v| {
        h.program("opencode");
        h.session(SessionSource::ClientHeader, Some(v.into()));
    }),
    ("x-parent-session-id", |h, v| h.parent_session = h.parent_session.or(fit(v))),
    ("x-portkey-trace-id", |h, v| h.session(SessionSource::GatewayTrace, Some(v.into()))),
    ("x-stainless-retry-count", |h, v| {
        h.attempt = h.attempt.or(v.trim().parse().ok().filter(|n| *n <= RETRIES).map(|n: u64| n + 1));
    }),
];

/// The kind of a request by Codex's JSON about the turn, of which `text` may be the beginning.
fn turn_kind(text: &str) -> Option<RequestKind> {
    match member(text, "\"request_kind\":\"")? {
        "turn" => Some(RequestKind::Main),
        "prewarm" => Some(RequestKind::Prewarm),
        "compaction" => Some(RequestKind::Compaction),
        "memory" => Some(RequestKind::Auxiliary),
        _ => None,
    }
}

/// The kind of a request by Codex's word for the sub-agent.
fn subagent_kind(name: &str) -> RequestKind {
    match name {
        "compact" => RequestKind::Compaction,
        "memory_consolidation" => RequestKind::Auxiliary,
        _ => RequestKind::Subagent,
    }
}

fn decoded(value: &str) -> Option<Cow<'_, str>> {
    percent_decoded(value).filter(|id| fit(id).is_some())
}

impl<'a> Headers<'a> {
    /// The client is at least this one.
    fn program(&mut self, name: &str) {
        if let Some(index) = index(name).filter(|index| self.program.is_none_or(|(known, _)| *index < known)) {
            self.program = Some((index, ""));
        }
    }

    /// The client is at least one that these words name. Of two names of the same client the one with a version counts.
    fn products(&mut self, words: &'a str) {
        let found = named_in(words);
        let is_better = |(index, _): &(usize, &str)| {
            self.program.is_none_or(|(known, version)| *index < known || *index == known && version.is_empty())
        };
        if let Some(found) = found.filter(is_better) {
            self.program = Some(found);
        }
    }

    fn session(&mut self, source: SessionSource, id: Option<Cow<'a, str>>) {
        let is_stronger = self.session.as_ref().is_none_or(|(known, _)| *known < source);
        if let Some(id) = id.filter(|id| is_stronger && fit(id).is_some()) {
            self.session = Some((source, id));
        }
    }

    fn thread_session(&mut self, id: &'a str) {
        self.thread_session = self.thread_session.or(fit(id));
    }

    /// A header without a row: any `x-...-session-id`, unless its name says that it is about a login, an account or a device.
    fn other(&mut self, name: &[u8], value: &'a [u8]) {
        if !name.ends_with(b"-session-id") || !name.starts_with(b"x-") {
            return;
        }
        let is_private = |word: &[u8]| PRIVATE_WORDS.iter().any(|private| private.as_bytes() == word);
        let id = core::str::from_utf8(value).ok().filter(|id| id.len() >= SHORTEST);
        if !name.split(|byte| *byte == b'-').any(is_private) {
            self.session(SessionSource::GeneralHeader, id.map(Cow::from));
        }
    }

    /// Resolves what several headers decide together.
    fn settle(&mut self) {
        let client = self.program.and_then(|(index, _)| CLIENTS.get(index)).map(|client| client.name);
        // These names are too general to be believed from any client.
        if client == Some("codex") {
            self.session(SessionSource::ClientHeader, self.thread_session.map(Cow::from));
            let is_main = |id: &str| Some(id) == self.thread_session;
            self.agent = self.agent.take().or(self.thread.filter(|thread| !is_main(thread)).map(Cow::from));
            self.parent_agent.take_if(|parent| is_main(parent));
        }
        // A sub-agent has a session of its own.
        if let (Some(parent), Some((_, own))) = (self.parent_session, &self.session) {
            self.agent = self.agent.take().or(Some(own.clone()));
            self.parent_agent = self.parent_agent.take().or(Some(parent.into()));
            self.is_subagent = true;
        }
        let subagent = self.is_subagent.then_some(RequestKind::Subagent);
        let turn = self.turn.filter(|turn| *turn != RequestKind::Main || !self.is_subagent);
        self.class = self.class.or(turn).or(subagent);
    }
}

/// Words in the name of a header whose value is not the session of a conversation.
const PRIVATE_WORDS: &[&str] =
    &["account", "auth", "browser", "cookie", "device", "login", "secret", "sso", "token", "user", "web"];

/// Reads the request headers.
pub fn request(head: Head<'_>, draft: &mut Draft) {
    let mut headers = Headers::default();
    for (name, value) in head.0 {
        match HEADERS.binary_search_by(|(known, _)| known.as_bytes().cmp(name)) {
            Ok(at) => {
                let value = core::str::from_utf8(value).ok();
                if let (Some((_, read)), Some(value)) = (HEADERS.get(at), value) {
                    read(&mut headers, value);
                }
            }
            Err(_) => headers.other(name, value),
        }
    }
    headers.settle();
    if let Some((client, version)) = headers.program.and_then(|(at, version)| Some((CLIENTS.get(at)?, version))) {
        draft.client_program(client.name, version);
    }
    if let Some((source, id)) = &headers.session {
        draft.client_session(*source, id.trim_matches(' '));
    }
    draft.client_agent(headers.agent.as_deref().unwrap_or_default());
    draft.client_parent_agent(headers.parent_agent.as_deref().unwrap_or_default());
    draft.client_agent_name(headers.agent_name.as_deref().unwrap_or_default());
    if let Some(kind) = headers.class {
        draft.client_kind(kind);
    }
    if let Some(attempt) = headers.attempt {
        draft.client_attempt(attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_in_the_order_of_their_names_so_that_each_is_found() {
        assert!(HEADERS.is_sorted_by(|one, other| one.0 < other.0));
    }

    #[test]
    fn a_client_that_a_header_shows_is_a_row_of_the_table() {
        for name in ["claude-code", "codex", "github-copilot", "opencode"] {
            assert!(index(name).is_some(), "{name}");
        }
    }
}
