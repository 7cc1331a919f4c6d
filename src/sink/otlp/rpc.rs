//! The span of an operation of MCP or A2A.

use super::spans::{CLIENT, Span, SpanQueue, failed, link, write};
use crate::rpc::{RpcOperation, RpcTransport};
use crate::sink::attributes::RPC_ATTRIBUTES;
use crate::trace_context::TraceContext;

impl SpanQueue {
    /// Adds the span of an operation that has ended. `own` is its trace and its identifier, `parent` the identifier of its parent, all
    /// zero if there is none. The span links to `other`. Returns true if there was room.
    pub fn operation(
        &mut self,
        transport: &RpcTransport,
        operation: &RpcOperation,
        own: TraceContext,
        parent: [u8; 8],
        other: Option<TraceContext>,
    ) -> bool {
        let target = operation.tool().or(operation.prompt()).unwrap_or_default();
        let span = Span {
            trace: own.trace,
            span: own.span,
            parent,
            name: [&operation.method, target],
            kind: CLIENT,
            times: [transport.start, operation.end.unwrap_or(transport.start)],
        };
        self.push(&span, |out| {
            for row in RPC_ATTRIBUTES {
                if let Some(value) = row.value(transport, operation) {
                    write(out, row.name, value);
                }
            }
            if let Some(other) = other {
                link(out, other);
            }
            if operation.error.is_some() {
                failed(out);
            }
        })
    }
}
