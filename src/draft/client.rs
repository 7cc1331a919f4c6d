//! The program that sent the request, and its session.

use super::{BLOCK, Draft};
use crate::json::Scalar;
use crate::observation::{ClientDetails, RequestKind, Text};

/// The source of a session's identifier, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum SessionSource {
    /// The key of a prompt cache, which some clients set to the session.
    CacheKey,
    /// The baggage of a distributed trace.
    Baggage,
    /// Another member of the body.
    Body,
    /// A header with a name that many programs use.
    GeneralHeader,
    /// A header of the client.
    ClientHeader,
    /// A header that a gateway defines for the identifier of a trace.
    GatewayTrace,
    /// A header that a gateway defines for the identifier of a session.
    GatewayHeader,
}

/// The state of the client's details while they are read.
#[derive(Default)]
pub struct ClientState {
    /// The source of the session's identifier.
    source: Option<SessionSource>,
    /// The text that is being collected, at most [`HELD`] bytes.
    held: Vec<u8>,
}

/// Maximum number of bytes of a text that [`Draft::hold_client_text`] collects.
const HELD: usize = 512;

impl Draft {
    /// The client's details. None without memory for them.
    fn client(&mut self) -> Option<&mut ClientDetails> {
        if self.observation.client.is_none() && !self.keeps(size_of::<ClientDetails>() + BLOCK) {
            return None;
        }
        Some(self.observation.client.get_or_insert_default())
    }

    /// Sets a text of the client's details, unless it is set or empty.
    fn client_text(&mut self, slot: fn(&mut ClientDetails) -> &mut Option<Text>, text: &str) {
        let is_set = self.observation.client.as_deref_mut().is_some_and(|client| slot(client).is_some());
        if is_set || text.is_empty() || !self.keeps(text.len() + BLOCK) {
            return;
        }
        if let Some(client) = self.client() {
            *slot(client) = Some(text.into());
        }
    }

    /// Sets the client's name and version. An empty version is ignored.
    pub fn client_program(&mut self, name: &'static str, version: &str) {
        if let Some(client) = self.client() {
            client.name = Some(name);
        }
        self.client_text(|client| &mut client.version, version);
    }

    /// Sets the session, unless it is known from the same or a stronger source. `id` is fit to be reported.
    pub fn client_session(&mut self, source: SessionSource, id: &str) {
        if id.is_empty() || self.client_state.source.is_some_and(|known| known >= source) {
            return;
        }
        if let Some(known) = self.observation.client.as_deref_mut().and_then(|client| client.session.take()) {
            self.room.give(known.len() + BLOCK);
        }
        self.client_state.source = Some(source);
        self.client_text(|client| &mut client.session, id);
    }

    /// Sets the identifier of the agent, unless it is set. `id` is fit to be reported.
    pub fn client_agent(&mut self, id: &str) {
        self.client_text(|client| &mut client.agent, id);
    }

    /// Sets the identifier of the agent that started this one, unless it is set. `id` is fit to be reported.
    pub fn client_parent_agent(&mut self, id: &str) {
        self.client_text(|client| &mut client.parent_agent, id);
    }

    /// Sets the name of the agent's type, unless it is set. `name` is fit to be reported.
    pub fn client_agent_name(&mut self, name: &str) {
        self.client_text(|client| &mut client.agent_name, name);
    }

    /// Sets the kind of the request, unless it is set.
    pub fn client_kind(&mut self, kind: RequestKind) {
        if let Some(client) = self.client() {
            client.kind = client.kind.or(Some(kind));
        }
    }

    /// The request only prepares a later one.
    pub fn client_prewarms(&mut self) {
        if let Some(client) = self.client() {
            client.kind = Some(RequestKind::Prewarm);
        }
    }

    /// Sets the `traceparent` of a request that has no headers of its own, unless it is set.
    pub fn client_traceparent(&mut self, value: Scalar<'_>) {
        if let Scalar::Text(value) = value {
            self.client_text(|client| &mut client.traceparent, value);
        }
    }

    /// Adds what the headers of the connection say, `known`, to what the request itself says. `before`: the request has not been
    /// read, so only the program is added. After it, a session in the request hides all that the connection says.
    pub fn inherit_client(&mut self, known: &ClientDetails, before: bool) {
        if let Some(name) = known.name.filter(|_| before) {
            self.client_program(name, known.version.as_deref().unwrap_or_default());
        }
        if before || self.client_state.source >= Some(SessionSource::Body) {
            return;
        }
        self.client_session(SessionSource::ClientHeader, known.session.as_deref().unwrap_or_default());
        self.client_agent(known.agent.as_deref().unwrap_or_default());
        self.client_parent_agent(known.parent_agent.as_deref().unwrap_or_default());
        self.client_agent_name(known.agent_name.as_deref().unwrap_or_default());
        if let Some(kind) = known.kind {
            self.client_kind(kind);
        }
    }

    /// Sets the number of the attempt, from 1.
    pub fn client_attempt(&mut self, attempt: u64) {
        if let Some(client) = self.client() {
            client.attempt = Some(attempt);
        }
    }

    /// Removes identifiers that stand for the main agent: those that are equal to the session's. A sub-agent with a session of its
    /// own keeps it.
    pub fn settle_client(&mut self) {
        self.client_state.held = Vec::new();
        if let Some(client) = &mut self.observation.client {
            let session = client.session.as_deref();
            let is_main = client.parent_agent.is_none();
            client.agent.take_if(|agent| is_main && Some(&**agent) == session);
            client.parent_agent.take_if(|parent| Some(&**parent) == session);
        }
    }

    /// Adds a piece of a text that is too long for a scalar. An empty piece starts the text. Returns the text so far, which is cut
    /// after 512 bytes.
    pub fn hold_client_text(&mut self, piece: &[u8]) -> &str {
        if piece.is_empty() {
            self.client_state.held.clear();
            if self.client_state.held.capacity() == 0 && self.keeps(HELD + BLOCK) {
                self.client_state.held.reserve_exact(HELD);
            }
        }
        let held = &mut self.client_state.held;
        // The text never grows beyond the memory that was reserved.
        let room = held.capacity().min(HELD).saturating_sub(held.len());
        held.extend_from_slice(piece.get(..piece.len().min(room)).unwrap_or_default());
        match core::str::from_utf8(held) {
            Ok(text) => text,
            Err(error) => {
                held.get(..error.valid_up_to()).and_then(|v| core::str::from_utf8(v).ok()).unwrap_or_default()
            }
        }
    }
}
