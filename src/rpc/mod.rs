//! The Model Context Protocol (MCP) over HTTP: how an agent calls its tools. Recognises it, and reads its operations from the bodies.
//!
//! An operation is one request of JSON-RPC 2.0 with its answer. Notifications, and answers of a client to requests of a server, are no
//! operations. An operation has no tokens and no cost, so it is no [`Observation`](crate::observation::Observation): it has a type of its
//! own, [`RpcOperation`], and the sinks have tables of their own for it.
//!
//! Specification: modelcontextprotocol.io, "Streamable HTTP", versions 2025-03-26 to 2026-07-28.
//!
//! Bound: one JSON scanner, a few strings for each operation, and at most [`OPERATIONS`] operations in a request.

mod body;
mod exchange;
mod head;
mod message;
mod method;
mod operation;
#[cfg(test)]
mod tests;

pub use exchange::RpcExchange;
pub use head::{VERSION, may_be_mcp, names_mcp};
pub use message::{OPERATIONS, RpcPrograms};
pub use method::known_method;
pub use operation::{RpcAnswer, RpcOperation, RpcTransport};
