//! Finds out by the first bytes of a request's body if it is JSON-RPC, where the head says nothing.
//!
//! Envoy passes a body on in pieces of any size, so the first piece may be too small to tell. At most [`FIRST_BYTES`] bytes are kept until then.

use proxy_wasm::types::BufferType;

use super::host;
use super::rpc::RpcStream;
use super::shared::Shared;
use crate::config::Role;
use crate::exchange::{Exchange, Head};
use crate::rpc::{FIRST_BYTES, begins_like_rpc, blanks};

/// Starts a request that is no LLM traffic by its head. Returns the stream if it may be one of MCP or A2A, and what the body decides.
pub fn start(shared: &Shared, head: Head<'_>, end_of_stream: bool) -> (Option<Box<RpcStream>>, Sorting) {
    let by_head = RpcStream::start(shared, head, false, false, end_of_stream);
    if by_head.is_some() || end_of_stream {
        return (by_head, Sorting::default());
    }
    // In a cluster's chain the head cannot be read at the end.
    let is_attempt = shared.observer.config.role == Role::Upstream;
    let guessed = is_attempt.then(|| RpcStream::start(shared, head, false, true, false)).flatten();
    let sorting = Sorting::of(!is_attempt || guessed.is_some());
    (guessed, sorting)
}

/// The request has ended, or its answer begins. If it may have been JSON-RPC or a call to a model, the one that it is not is read no further. A
/// body may be both: then both are read, because otherwise a client could hide a call.
pub fn settle(exchange: &mut Option<Box<Exchange>>, rpc: &mut Option<Box<RpcStream>>) {
    let Some(of_rpc) = rpc else { return };
    if !of_rpc.has_operations() && (exchange.is_some() || !of_rpc.knows_head()) {
        *rpc = None;
    } else if let Some(of_model) = exchange {
        let asked = &of_model.observation().request;
        if asked.model.is_none() && asked.messages.is_none() {
            *exchange = None;
        }
    }
}

/// The first bytes of a body that is to be sorted.
#[derive(Default)]
pub struct Sorting {
    awaits: bool,
    /// The bytes of the pieces before, without blanks before the first one.
    kept: Vec<u8>,
}

impl Sorting {
    /// The first bytes of the body decide if `awaits`.
    pub fn of(awaits: bool) -> Self {
        Sorting { awaits, kept: Vec::new() }
    }

    /// A piece of the request's body has arrived, of `size` bytes. Once the bytes show that the body is no JSON-RPC, `rpc` is not read. If they show
    /// that it is, and the head did not, a stream starts. Costs one host call.
    pub fn sort(&mut self, shared: &Shared, rpc: &mut Option<Box<RpcStream>>, size: usize) {
        if !self.awaits || size == 0 {
            return;
        }
        let mut piece = host::body(BufferType::HttpRequestBody, 0, size.min(FIRST_BYTES));
        if self.kept.is_empty() && size > piece.len() && blanks(&piece) > 0 {
            piece = host::body(BufferType::HttpRequestBody, 0, size);
        }
        let start = if self.kept.is_empty() { blanks(&piece) } else { 0 };
        let before = self.kept.len();
        let room = FIRST_BYTES.saturating_sub(before);
        self.kept.extend(piece.iter().skip(start).take(room));
        match begins_like_rpc(&self.kept) {
            None if self.kept.len() < FIRST_BYTES => return,
            Some(true) if rpc.is_none() && shared.observer.config.role != Role::Upstream => {
                *rpc = RpcStream::start_late(shared);
                if let Some(rpc) = rpc {
                    rpc.read_before(self.kept.get(..before).unwrap_or_default());
                }
            }
            Some(true) => {}
            Some(false) | None => *rpc = None,
        }
        *self = Self::default();
    }
}
