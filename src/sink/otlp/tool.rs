//! The span of a tool that an agent's run has called.

use super::spans::{INTERNAL, Span, SpanQueue, failed, write};
use crate::observation::ToolResult;
use crate::sink::attributes::AttributeValue;
use crate::trace_context::RunSpan;

impl SpanQueue {
    /// Adds the span of a tool that a run has called.
    pub(super) fn tool(&mut self, result: &ToolResult, run: RunSpan, span: [u8; 8], times: [u64; 2]) {
        let [start, end] = times;
        let name = ["execute_tool", result.name.as_deref().unwrap_or_default()];
        let span = Span { trace: run.trace, span, parent: run.span, name, kind: INTERNAL, times };
        self.push(&span, |out| {
            write(out, "gen_ai.operation.name", AttributeValue::Text("execute_tool"));
            if let Some(name) = &result.name {
                write(out, "gen_ai.tool.name", AttributeValue::Text(name));
            }
            if let Some(bytes) = result.bytes {
                write(out, "gaugeway.tool.result.bytes", AttributeValue::Count(bytes));
            }
            if let Some(served) = result.served {
                let whole = end.saturating_sub(start);
                write(out, "gaugeway.tool.server_time", AttributeValue::Billionths(served.min(whole)));
                write(out, "gaugeway.tool.client_time", AttributeValue::Billionths(whole.saturating_sub(served)));
            }
            if result.failed {
                write(out, "error.type", AttributeValue::Text("tool_error"));
                failed(out);
            }
        });
    }
}
