//! The memory of an exchange, which is reserved when it starts.

use super::Exchange;
use crate::budget::Share;
use crate::config::{Capture, Config};
use crate::draft::Draft;
use crate::framing::Body;
use crate::text::content::Content;
use crate::text::fingerprint::Fingerprint;

/// Maximum memory of what a shell keeps of a stream besides its exchange, in bytes.
pub const SHELL: usize = 560;

/// Why an exchange is not read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unread {
    /// It is not LLM traffic.
    OtherTraffic,
    /// The memory budget has no room for it.
    Budget,
    /// The host's limit on the memory of the VM is near.
    Vm,
    /// It is a WebSocket whose frames cannot be read.
    Websocket,
}

impl Unread {
    /// The value of the label of the metric that counts LLM traffic that is not read. Empty for other traffic.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unread::OtherTraffic => "",
            Unread::Budget => "budget",
            Unread::Vm => "vm",
            Unread::Websocket => "websocket",
        }
    }
}

/// Maximum memory of an exchange with this configuration, in bytes, without decoders, and without lists beyond their first
/// 1,024 bytes. An exchange reserves it when it starts.
pub(super) fn charge(config: &Config) -> usize {
    let texts = if config.privacy.capture == Capture::Off { 0 } else { 2 * Content::BOUND };
    let hashes = [config.privacy.hash.prompt, config.privacy.hash.tools].into_iter().filter(|hash| *hash).count();
    let hashes = hashes * (size_of::<Fingerprint>() + Fingerprint::BOUND);
    SHELL + size_of::<Exchange>() + Draft::BOUND + Body::BOUND + texts + hashes
}

impl Exchange {
    /// A share of 0 bytes of the budget, for another part of the stream's state.
    pub fn another_share(&self) -> Option<Share> {
        self.draft.another_share()
    }
}
