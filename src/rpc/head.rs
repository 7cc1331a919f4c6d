//! Recognises MCP and A2A by the head of a request and by the first bytes of its body.
//!
//! Other traffic must pay little for it. A look-up of a header costs as much as a twentieth of what Envoy does for a small request. So the path of a
//! request decides if its headers are read at once. If the path says nothing, the first bytes of the body decide: a request of JSON-RPC begins
//! with one of four keys.

use super::RpcOperation;
use super::operation::RpcEvidence;
use super::protocol::{Protocol, a2a_method, mcp_method};
use crate::provider::Head;

/// The header with the version of A2A.
pub const A2A_VERSION: &str = "a2a-version";
/// The header with the session of MCP.
pub const MCP_SESSION: &str = "mcp-session-id";
/// The header with the version of MCP.
pub(super) const MCP_VERSION: &str = "mcp-protocol-version";

/// The protocol that a path suggests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RpcHint {
    /// The path has `mcp`, as in `/mcp` and `/files/mcp`.
    Mcp,
    /// The path has `a2a`, or only A2A has such a path.
    A2a,
    /// The path has `/tasks`, as those of A2A and of many other services.
    Tasks,
}

/// Returns the protocol that a path suggests. Returns None if it suggests none.
pub fn rpc_hint(path: &[u8]) -> Option<RpcHint> {
    if has(path, b"mcp") {
        Some(RpcHint::Mcp)
    } else if has(path, b"a2a") || has(path, b"/message:s") || has(path, b"/extendedAgentCard") {
        Some(RpcHint::A2a)
    } else if has(path, b"/tasks") {
        Some(RpcHint::Tasks)
    } else {
        None
    }
}

/// Returns true if a body with these first bytes may be JSON-RPC: a batch, or an object with one of the members of a request as its first. Bodies of
/// many services begin with `id`: then another member must be among the first [`FIRST_BYTES`] bytes. Returns None if the bytes are too few to
/// tell. A body may begin with blanks: see [`blanks`].
pub fn begins_like_rpc(bytes: &[u8]) -> Option<bool> {
    const ID: &[u8] = b"\"id\"";
    const KEYS: [&[u8]; 4] = [b"\"jsonrpc\"", b"\"method\"", b"\"params\"", ID];
    let rest = bytes.get(blanks(bytes)..)?;
    let rest = rest.strip_prefix(b"[").map_or(rest, <[u8]>::trim_ascii_start);
    let (&first, rest) = rest.split_first()?;
    let rest = rest.trim_ascii_start();
    if first != b'{' || !KEYS.iter().any(|key| rest.starts_with(key) || key.starts_with(rest)) {
        return Some(false);
    }
    if let Some(after) = rest.strip_prefix(ID) {
        let has_other = KEYS.iter().any(|key| *key != ID && has(after, key));
        return has_other.then_some(true).or((bytes.len() >= FIRST_BYTES).then_some(false));
    }
    KEYS.iter().any(|key| rest.starts_with(key)).then_some(true)
}

/// Number of bytes before the first one of a document of JSON: white space, or a byte order mark.
pub fn blanks(bytes: &[u8]) -> usize {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
    bytes.iter().take_while(|byte| is_blank(byte)).count()
}

/// Number of bytes after the blanks that [`begins_like_rpc`] needs at most. A body with more white space between its first tokens is not recognised.
pub const FIRST_BYTES: usize = 96;

/// Returns true if this `accept` header has `text/event-stream`. Every client of MCP must accept it.
pub fn accepts_events(accept: &[u8]) -> bool {
    has(accept, b"text/event-stream")
}

/// The signs of a protocol in the head of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Signs {
    /// It has a header of MCP.
    pub mcp_header: bool,
    /// It has a header of A2A.
    pub a2a_header: bool,
    /// Its path has `a2a`.
    pub a2a_path: bool,
    /// It accepts JSON and events, as MCP requires.
    pub accepts_both: bool,
}

impl Signs {
    pub fn of(head: Head<'_>) -> Self {
        // A client may write a list in several headers.
        let accepts = |word: &[u8]| head.0.iter().any(|(name, value)| *name == b"accept" && has(value, word));
        Signs {
            mcp_header: [MCP_VERSION, "mcp-method", MCP_SESSION].iter().any(|name| head.bytes(name).is_some()),
            a2a_header: head.bytes(A2A_VERSION).is_some(),
            a2a_path: has(head.bytes(":path").unwrap_or_default(), b"a2a"),
            accepts_both: accepts(b"text/event-stream") && accepts(b"application/json"),
        }
    }
}

impl Signs {
    /// The protocol of a request of JSON-RPC. Returns None if it is neither MCP nor A2A.
    pub fn protocol(self, operation: &RpcOperation) -> Option<Protocol> {
        let RpcEvidence { is_json_rpc, names_subject, is_old } = operation.evidence;
        let is_known = a2a_method(&operation.method).is_some();
        // Without a header, the method must be one that no other protocol has.
        let is_a2a = is_known && is_json_rpc && names_subject && (is_old || self.a2a_path);
        if (self.a2a_header || is_a2a) && !self.mcp_header {
            return Some(Protocol::A2a);
        }
        let is_mcp = is_json_rpc && self.accepts_both && mcp_method(&operation.method).is_some();
        (self.mcp_header || is_mcp).then_some(Protocol::Mcp)
    }
}

/// Returns true if the text has this word, in any case.
fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ACCEPT, start};
    use super::*;

    #[test]
    fn a_request_is_read_if_its_head_or_the_first_bytes_of_its_body_show_a_protocol() {
        let session = ("mcp-session-id", "s");
        for headers in [
            &[ACCEPT][..],
            &[("accept", "TEXT/Event-Stream;q=1,application/JSON")],
            &[("accept", "application/json"), ("accept", "text/event-stream")],
            &[("mcp-method", "ping")],
            &[("mcp-protocol-version", "2025-06-18")],
            &[session],
            &[("a2a-version", "1.0")],
            &[(":path", "/A2A/agent")],
            &[(":path", "/agents/one/message:send")],
            &[(":method", "GET"), (":path", "/tasks/7"), ("a2a-version", "1.0")],
            &[(":method", "GET"), session, ("accept", "text/event-stream")],
            &[(":method", "DELETE"), session],
        ] {
            assert!(start(headers).is_some(), "{headers:?}");
        }
        for headers in [
            &[][..],
            &[("accept", "application/json")],
            &[("accept", "text/event-stream")],
            &[(":method", "GET"), ACCEPT],
            &[(":method", "GET"), session],
            &[(":method", "GET"), (":path", "/tasks/7")],
            &[(":method", "GET"), (":path", "/message:send")],
            &[(":method", "PUT"), session],
            &[(":method", "DELETE")],
        ] {
            assert!(start(headers).is_none(), "{headers:?}");
        }
        for body in [
            r#"{"jsonrpc":"2.0""#,
            "\r\n { \"method\" :",
            r#"[{"id":1,"jsonrpc""#,
            r#"[ {"params":{"name"#,
            r#"{"id":"0af7651916cd43dd8448eb211c80319c","method""#,
        ] {
            let body = &body.as_bytes()[..body.len().min(FIRST_BYTES)];
            assert_eq!(begins_like_rpc(body), Some(true), "{body:?}");
            let answers: Vec<_> = (0..body.len()).map(|size| begins_like_rpc(&body[..size])).collect();
            assert!(answers.is_sorted() && !answers.contains(&Some(false)), "{body:?} {answers:?}");
        }
        for body in ["{}", r#"{"model":"m"}"#, r#"{"ids":[1]}"#, r#"[1,2]"#, "id=1&method=x", r#""jsonrpc""#] {
            assert_eq!(begins_like_rpc(body.as_bytes()), Some(false), "{body}");
        }
        let resource = format!(r#"{{"id":7,"name":"{}"}}"#, "x".repeat(FIRST_BYTES));
        assert_eq!(begins_like_rpc(resource.as_bytes()), Some(false));
        assert!(
            ["", " \n", "[", "{", " [ {", "\u{feff}", r#"{"i"#, r#"{"id":7}"#]
                .iter()
                .all(|body| begins_like_rpc(body.as_bytes()).is_none())
        );
    }

    #[test]
    fn paths_suggest_a_protocol() {
        for (path, hint) in [
            ("/mcp", Some(RpcHint::Mcp)),
            ("/files/MCP?x", Some(RpcHint::Mcp)),
            ("/a2a/agent", Some(RpcHint::A2a)),
            ("/v1/message:stream", Some(RpcHint::A2a)),
            ("/agent/extendedAgentCard", Some(RpcHint::A2a)),
            ("/v1/tasks/7:cancel", Some(RpcHint::Tasks)),
            ("/", None),
            ("/v1/orders", None),
        ] {
            assert_eq!(rpc_hint(path.as_bytes()), hint, "{path}");
        }
    }
}
