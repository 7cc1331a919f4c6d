//! The program that sent a request, by what its own headers and body say. Nothing of it is verified.

use super::{Observation, Text};

/// The program that sent a request, and the session that it belongs to. A text has at most 128 bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientDetails {
    /// Name of the program, from a fixed list.
    pub name: Option<&'static str>,
    /// Its version.
    pub version: Option<Text>,
    /// Identifier of the session.
    pub session: Option<Text>,
    /// Identifier of the sub-agent within the session; None for the main agent.
    pub agent: Option<Text>,
    /// Identifier of the sub-agent that started this one; None if the main agent did.
    pub parent_agent: Option<Text>,
    /// Name of the sub-agent's type.
    pub agent_name: Option<Text>,
    /// The part of the client's work that the request is for.
    pub kind: Option<RequestKind>,
    /// Number of this attempt at one logical request, from 1; None if the client does not count.
    pub attempt: Option<u64>,
    /// Trace context of the request in the form of the header `traceparent`, if its body has it.
    pub traceparent: Option<Text>,
}

/// The part of a client's work that a request is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RequestKind {
    /// A turn of the main agent.
    Main,
    /// A turn of a sub-agent.
    Subagent,
    /// A summary of the conversation, which replaces its beginning.
    Compaction,
    /// Work beside the conversation, such as a title for it.
    Auxiliary,
    /// Preparation of a later request.
    Prewarm,
}

impl RequestKind {
    /// Its name in attributes.
    pub const fn as_str(self) -> &'static str {
        match self {
            RequestKind::Main => "main",
            RequestKind::Subagent => "subagent",
            RequestKind::Compaction => "compaction",
            RequestKind::Auxiliary => "auxiliary",
            RequestKind::Prewarm => "prewarm",
        }
    }
}

impl Observation {
    /// The conversation's identifier: that of a configured header or of the API, else the client's session.
    pub fn conversation(&self) -> Option<&str> {
        let session = || self.client.as_ref()?.session.as_deref();
        self.request.conversation.as_deref().or_else(session)
    }

    /// Returns true if the request only prepares a later one. It has tokens, but neither a run nor a latency that matters.
    pub fn is_prewarm(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.kind == Some(RequestKind::Prewarm))
    }

    /// The name of the client from the fixed list.
    pub fn client_name(&self) -> Option<&'static str> {
        self.client.as_ref()?.name
    }
}
