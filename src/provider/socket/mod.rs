//! The APIs that are served over a WebSocket: one connection carries many responses.
//!
//! A message belongs to a response before its rules can be applied. So the rules of a [`Dialect`] read the beginning of each
//! message first, and note in a [`Notice`] which part the message has and which response it names.
//!
//! Specification of the handshake: RFC 6455, section 4.

mod live;
mod realtime;
mod responses;

use super::{Endpoint, Head};
use crate::json::{Rule, Scalar, identity};
use crate::observation::Text;

/// The endpoints.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/responses", &responses::RESPONSES_SOCKET),
    Endpoint::new("/realtime", &realtime::REALTIME),
    Endpoint::new("BidiGenerateContent", &live::LIVE),
    Endpoint::new("BidiGenerateContentConstrained", &live::LIVE),
];

/// The meaning of the messages of an API over a WebSocket.
pub struct Dialect {
    /// Rules for the beginning of the client's messages.
    pub client: &'static [Rule<Notice>],
    /// Rules for the beginning of the server's messages.
    pub server: &'static [Rule<Notice>],
    /// The part of a client's message whose beginning does not tell it.
    pub client_part: MessagePart,
    /// The part of a server's message, likewise.
    pub server_part: MessagePart,
    /// True if responses have identifiers. Else only one is open at a time.
    pub names_responses: bool,
    /// True if a failure may be about a message that asks for no response.
    pub has_other_failures: bool,
    /// The finish reason of a response that another one follows without a request. Empty if there is none.
    pub goes_on_after: &'static str,
}

/// The purpose of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MessagePart {
    /// Nothing that is reported.
    Nothing,
    /// The settings of later responses.
    Settings,
    /// The end of what the user says. The response comes next.
    Prompt,
    /// The client adds to the request of the next response.
    Addition,
    /// The client asks for a response: the message is its request.
    Request,
    /// The server begins a response. The client may have asked for none.
    Begin,
    /// An event of a response.
    Event,
    /// The last event of a response.
    End,
    /// A failure: the end of the response that it names or that has not begun, else nothing.
    Failure,
    /// A result of its own, from another model.
    Aside,
}

/// The statements of the beginning of a message. An identifier is a hash, or 0 if the message has none.
#[derive(Clone, Debug, Default)]
pub struct Notice {
    /// The part of the message. None until it is known.
    pub part: Option<MessagePart>,
    /// The lane of the response: those of one lane are answered one after the other.
    pub lane: u64,
    /// The response.
    pub response: u64,
    /// An item of the response.
    pub item: u64,
    /// The client's message: its own identifier, or the one that a failure is about.
    pub event: u64,
    /// The client waits for a response, now that it has added to the request. May become true at the end of the message.
    pub asks: bool,
    /// The model of the session.
    pub model: Option<Text>,
    /// The model that transcribes what the user says.
    pub transcriber: Option<Text>,
    /// Number of tools that the session offers. 0 also if the message says nothing of them.
    pub tools: u16,
}

impl Notice {
    /// Sets the part, unless it is known.
    fn is(&mut self, part: MessagePart) {
        self.part.get_or_insert(part);
    }
}

/// Returns true if the request asks for a WebSocket. Envoy shows the form of HTTP/2 and HTTP/3 (RFC 8441, RFC 9220) in this way too.
pub fn is_upgrade(head: Head<'_>) -> bool {
    let protocols = head.whole("upgrade").split(',');
    head.bytes(":method") == Some(b"GET") && protocols.map(str::trim).any(|word| word.eq_ignore_ascii_case("websocket"))
}

/// The session offers a tool.
fn tool(n: &mut Notice, _: u32) {
    n.tools = n.tools.saturating_add(1);
}

/// Sets an identifier.
fn id(slot: &mut u64, value: Scalar<'_>) {
    *slot = identity(value);
}
