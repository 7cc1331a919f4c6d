//! The answers that a test sets for the receiver, and the requests that it got.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// The answer to one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A response. The receiver keeps the items of the request if the status is a success.
    Reply { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// Closes the connection without a response, and keeps nothing.
    Close,
    /// Keeps the connection open and never responds, and keeps nothing.
    Never,
}

/// A request to one of the receiver's paths.
#[derive(Clone, Debug)]
pub struct Export {
    pub path: String,
    /// The length of its body.
    pub bytes: usize,
    /// The status of the response. 0 if there was none.
    pub status: u16,
    /// The time at which the request was complete.
    pub at: Instant,
}

impl Answer {
    /// An empty response with this status. 0 means that no response is ever sent.
    pub fn status(status: u16) -> Self {
        if status == 0 { Self::Never } else { Self::Reply { status, headers: Vec::new(), body: Vec::new() } }
    }

    /// A response with this status and `Retry-After` header.
    pub fn retry_after(status: u16, value: &str) -> Self {
        Self::Reply { status, headers: vec![("retry-after", value.to_owned())], body: Vec::new() }
    }

    /// A success that rejects a part of the request. If `rejected` is 0, the message is a warning.
    pub fn partial(rejected: u64, message: &str) -> Self {
        // All signals use the same numbers: `partial_success` is 1, and in it the number of rejected items is 1 and the message 2.
        let mut partial = Vec::new();
        if rejected > 0 {
            partial.push(0x08);
            varint(&mut partial, rejected);
        }
        if !message.is_empty() {
            bytes(&mut partial, 0x12, message.as_bytes());
        }
        let mut body = Vec::new();
        bytes(&mut body, 0x0a, &partial);
        Self::Reply { status: 200, headers: vec![("content-type", "application/x-protobuf".to_owned())], body }
    }

    pub(super) fn keeps(&self) -> bool {
        matches!(self, Self::Reply { status: 200..300, .. })
    }
}

/// The answers to come.
pub(super) struct Script {
    pub(super) default: Answer,
    /// By path, the next one first.
    pub(super) queued: BTreeMap<String, VecDeque<Answer>>,
    pub(super) down: bool,
}

impl Script {
    pub(super) fn new() -> Self {
        Self { default: Answer::status(200), queued: BTreeMap::new(), down: false }
    }

    pub(super) fn next(&mut self, path: &str) -> Answer {
        if self.down {
            return Answer::Close;
        }
        let queued = self.queued.get_mut(path).and_then(VecDeque::pop_front);
        queued.unwrap_or_else(|| self.default.clone())
    }
}

fn bytes(message: &mut Vec<u8>, key: u8, value: &[u8]) {
    message.push(key);
    varint(message, value.len() as u64);
    message.extend(value);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}
