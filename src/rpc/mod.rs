//! Calls of tools and agents over HTTP: the Model Context Protocol (MCP), and Agent2Agent (A2A). Recognises them, and reads their operations from
//! the bodies.
//!
//! An operation is one request of JSON-RPC 2.0 with its answer, or one request of A2A's binding to HTTP and JSON. Notifications, and answers of a
//! client to requests of a server, are no operations. An operation has no tokens and no cost, so it is no
//! [`Observation`](crate::observation::Observation): it has a type of its own, [`RpcOperation`], and the sinks have tables of their own for it.
//!
//! Specifications: modelcontextprotocol.io, "Streamable HTTP", versions 2025-03-26 to 2026-07-28; a2a-protocol.org, versions 0.3 and 1.0.
//!
//! Bound: one JSON scanner, a few strings for each operation, and at most [`OPERATIONS`] operations in a request.

#[cfg(test)]
mod a2a_tests;
mod body;
mod exchange;
mod head;
mod message;
mod operation;
mod protocol;
mod rules;
mod task;
#[cfg(test)]
mod tests;

pub use exchange::RpcExchange;
pub use head::{A2A_VERSION, FIRST_BYTES, MCP_SESSION, RpcHint, accepts_events, begins_like_rpc, blanks, rpc_hint};
pub use message::OPERATIONS;
pub use operation::{RpcAnswer, RpcOperation, RpcTransport};
pub use protocol::{Protocol, a2a_method, mcp_method, rest_base};
pub use rules::RpcPrograms;
pub use task::TaskState;
