//! Recognises MCP by the head of a request.
//!
//! Other traffic must pay little for it. A look-up of a header that is missing costs half of one that returns a value, so a path without `mcp`
//! must have the header [`VERSION`]. Nearly all paths of servers have `mcp`.

use crate::provider::Head;

/// The header with the version of the protocol. Clients send it since 2025-06-18, from the second request of a session on; since 2026-07-28 with
/// each request.
pub const VERSION: &str = "mcp-protocol-version";
/// Further headers that only MCP has.
const OTHERS: [&str; 2] = ["mcp-method", "mcp-session-id"];

/// The part of a request that shows that it is MCP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Evidence {
    /// A header of MCP.
    Header,
    /// Only the accepted media types. The body must then be JSON-RPC with a method of MCP.
    Accept,
}

/// Returns true if the path has `mcp`, as in `/mcp` and `/mcp/files`.
pub fn names_mcp(path: &[u8]) -> bool {
    has(path, b"mcp")
}

/// Returns false if a request with this `accept` header is not MCP. Every client of MCP must accept `text/event-stream`.
pub fn may_be_mcp(accept: &[u8]) -> bool {
    has(accept, b"text/event-stream")
}

/// Returns the evidence that a request is MCP. Returns None if its head has none.
pub(super) fn evidence(head: Head<'_>) -> Option<Evidence> {
    let accept = head.bytes("accept").unwrap_or_default();
    let has_version = head.bytes(VERSION).is_some();
    if !may_be_mcp(accept) || !has_version && !names_mcp(head.bytes(":path").unwrap_or_default()) {
        return None;
    }
    if has_version || OTHERS.iter().any(|name| head.bytes(name).is_some()) {
        return Some(Evidence::Header);
    }
    let is_both = head.bytes(":method") == Some(b"POST") && has(accept, b"application/json");
    is_both.then_some(Evidence::Accept)
}

/// Returns true if the text has this word, in any case.
fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}
