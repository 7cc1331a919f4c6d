//! A WebSocket and the responses on it. Each response is an [`Exchange`]: the client's messages that ask for it, and the server's
//! messages that answer.
//!
//! Memory: a session reserves its own at the start, and for a message while it is being read: its beginning is held until it shows to
//! which response it belongs, at most [`HELD`] bytes. Each response reserves its own. At most [`OPEN`] responses are read at a time,
//! and those that one callback may begin are bounded too. Others are counted and not read.

mod message;
mod open;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod voice_tests;

use crate::budget::{Share, Side};
use crate::exchange::{End, Exchange, Template, Unread};
use crate::framing::websocket::{Compression, Frames, Piece};
use crate::observation::{Observation, Outcome};

pub use message::HELD;
use message::{Goal, MessageReader};
pub use open::OPEN;
use open::OpenResponses;

/// A message of a session to its host.
pub enum SessionEvent<'a> {
    /// Something of this exchange became known, or it has ended.
    Changed(&'a mut Exchange),
    /// A response, or the rest of the session, is not read.
    Unread(Unread),
}

/// Receives what a session tells.
pub type Told<'t> = &'t mut dyn FnMut(SessionEvent<'_>);

/// A WebSocket.
pub struct Session {
    /// None once a direction cannot be read.
    frames: Option<[Frames; 2]>,
    core: SessionCore,
}

/// The messages of a WebSocket.
struct SessionCore {
    template: Template,
    readers: [MessageReader; 2],
    responses: OpenResponses,
    /// The side that has begun to close the connection.
    closed_by: Option<Side>,
    share: Share,
}

impl Session {
    /// Starts a session. `extensions` is the value of the answer's header `sec-websocket-extensions`.
    ///
    /// # Errors
    /// The reason why the session is not read.
    pub fn start(template: Template, extensions: &str) -> Result<Self, Unread> {
        let mut share = template.state_share();
        if !share.resize(size_of::<Session>() + OpenResponses::BOUND + template.bound()) {
            return Err(Unread::Budget);
        }
        let compression = Compression::agreed(extensions).map_err(|_| Unread::Websocket)?;
        let [client, server] = compression.map_or([None, None], |both| both.map(Some));
        let of_client = Frames::new(true, client, template.decoder_share(Side::Request));
        let of_server = Frames::new(false, server, template.decoder_share(Side::Response));
        let (Ok(of_client), Ok(of_server)) = (of_client, of_server) else { return Err(Unread::Budget) };
        Ok(Session { frames: Some([of_client, of_server]), core: SessionCore::new(template, share) })
    }

    /// Reads bytes from the client or, if `side` is [`Side::Response`], from the server.
    pub fn push(&mut self, side: Side, bytes: &[u8], now: u64, tell: Told<'_>) {
        let Some([of_client, of_server]) = &mut self.frames else { return };
        let frames = if side == Side::Request { of_client } else { of_server };
        self.core.responses.allow();
        let result = frames.push(bytes, &mut |piece| self.core.piece(side, piece, now, tell));
        if result.is_err() && !self.core.responses.is_lost() {
            self.core.responses.lose(Unread::Websocket, tell);
        }
        if self.core.responses.is_lost() {
            self.frames = None;
            self.core.readers = Default::default();
        }
    }

    /// The connection has ended. Responses that are still open end with it.
    pub fn close(&mut self, end: End, now: u64, tell: Told<'_>) {
        let SessionCore { template, responses, closed_by, .. } = &mut self.core;
        let of_responses = match closed_by {
            Some(Side::Request) => End::ClientDisconnect,
            Some(Side::Response) => End::Whole,
            None => end,
        };
        responses.close(template, of_responses, now, tell);
        let outcome = match end {
            _ if closed_by.is_some() => Outcome::Completed,
            End::Whole | End::Unheard => Outcome::Completed,
            End::Timeout => Outcome::Timeout,
            End::ClientDisconnect => Outcome::ClientDisconnect,
            End::LocalReply(_) => Outcome::LocalReply,
            End::UpstreamReset | End::Unreachable | End::AttemptFailed => Outcome::UpstreamReset,
        };
        template.end(outcome, now);
    }

    /// The connection: the sums of the responses that have ended.
    pub fn sums(&self) -> &Observation {
        &self.core.template.sums
    }

    /// The common part of the responses.
    pub fn template(&self) -> &Template {
        &self.core.template
    }
}

impl SessionCore {
    fn new(template: Template, share: Share) -> Self {
        let responses = OpenResponses::new(template.dialect());
        SessionCore { template, readers: Default::default(), responses, closed_by: None, share }
    }

    /// Reads a piece of a message.
    fn piece(&mut self, side: Side, piece: Piece<'_>, now: u64, tell: Told<'_>) {
        let at = usize::from(side == Side::Response);
        let Some(reader) = self.readers.get_mut(at).filter(|_| !self.responses.is_lost()) else { return };
        match piece {
            Piece::Start { .. } if !self.share.resize(self.share.bytes() + MessageReader::BOUND) => {
                self.responses.lose(Unread::Budget, tell);
            }
            Piece::Start { .. } => reader.start(),
            Piece::Data(bytes) => self.data(side, bytes, now, tell),
            Piece::End => {
                if reader.is_undecided() {
                    let held = self.decide(side, now, tell);
                    self.read(side, &held, now);
                }
                _ = self.share.resize(self.share.bytes().saturating_sub(MessageReader::BOUND));
                if let Some((goal, notice)) = self.readers.get_mut(at).map(MessageReader::end) {
                    self.responses.end_message(&mut self.template, side, goal, notice, now, tell);
                }
            }
            Piece::Close(_) => _ = self.closed_by.get_or_insert(side),
        }
    }

    /// Reads bytes of a message.
    fn data(&mut self, side: Side, bytes: &[u8], now: u64, tell: Told<'_>) {
        let at = usize::from(side == Side::Response);
        let Some(reader) = self.readers.get(at) else { return };
        // If the message begins here and its response is found at once, nothing needs to be put together.
        let begins = reader.has_held_nothing();
        let (mut rest, mut to_read) = (bytes, bytes);
        while let Some(reader) = self.readers.get_mut(at).filter(|reader| reader.is_undecided() && !rest.is_empty()) {
            rest = reader.hold(self.template.notices(), side, rest);
            to_read = rest;
            if reader.is_full() || !self.responses.needs_more(side, reader.current()) {
                let held = self.decide(side, now, tell);
                if begins {
                    to_read = bytes;
                } else {
                    self.read(side, &held, now);
                }
            }
        }
        if let Some(reader) = self.readers.get_mut(at) {
            reader.scan(self.template.notices(), side, rest);
        }
        self.read(side, to_read, now);
    }

    /// Passes bytes of a message to its response, if it has one.
    fn read(&mut self, side: Side, bytes: &[u8], now: u64) {
        let reader = self.readers.get(usize::from(side == Side::Response));
        if let Some(Goal::Response(number)) = reader.map(MessageReader::goal) {
            self.responses.read(number, side, bytes, now);
        }
    }

    /// The notice is known, or the message's beginning does not say more: finds its response. Returns the bytes that were held.
    fn decide(&mut self, side: Side, now: u64, tell: Told<'_>) -> Vec<u8> {
        let Some(reader) = self.readers.get_mut(usize::from(side == Side::Response)) else { return Vec::new() };
        let part = reader.part(self.template.dialect(), side);
        let response = self.responses.find(&self.template, side, reader.current(), now, tell);
        reader.decided(part, response)
    }
}
