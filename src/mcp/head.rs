//! Recognises MCP by the head of a request.

use crate::provider::Head;

/// Headers that only MCP has. A client sends them from the second request of a session on, or since 2026-07-28 with each request.
const HEADERS: [&str; 3] = ["mcp-protocol-version", "mcp-method", "mcp-session-id"];

/// What shows that a request is MCP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Evidence {
    /// A header of MCP.
    Header,
    /// Only the accepted media types. The body must then be JSON-RPC with a method of MCP.
    Accept,
}

/// Returns false if a request with this `accept` header is not MCP. Every client of MCP must accept `text/event-stream`.
pub fn may_be_mcp(accept: &[u8]) -> bool {
    has(accept, b"text/event-stream")
}

/// What shows that a request is MCP. Returns None if nothing does.
pub(super) fn evidence(head: Head<'_>) -> Option<Evidence> {
    let accept = head.bytes("accept").unwrap_or_default();
    if !may_be_mcp(accept) {
        return None;
    }
    if HEADERS.iter().any(|name| head.bytes(name).is_some()) {
        return Some(Evidence::Header);
    }
    let is_both = head.bytes(":method") == Some(b"POST") && has(accept, b"application/json");
    is_both.then_some(Evidence::Accept)
}

/// Returns true if the list has this media type. Their names have no case.
fn has(accept: &[u8], media_type: &[u8]) -> bool {
    accept.windows(media_type.len()).any(|part| part.eq_ignore_ascii_case(media_type))
}
