//! A call of a real server of MCP, and the gateway's span of it, which must be below that of the tool call of the model.

use std::time::Duration;

use super::gateway::seconds;
use super::model::Model;
use super::tools::Served;
use crate::support::otlp::{Attribute, Span};

/// The span of a call ends when its answer has passed Envoy, and the server's clock runs only while it has the request.
pub const LATE: Duration = Duration::from_millis(1500);

/// The span of a call of the server.
pub fn span_of<'s>(served: &Served, spans: &'s [Span]) -> &'s Span {
    let name = format!("tools/call {}", served.tool);
    let session = |span: &Span| span.text("mcp.session.id").unwrap_or_default() == served.session;
    let is_it =
        |span: &&Span| span.name == name && span.text("jsonrpc.request.id") == Some(&served.id) && session(span);
    let found: Vec<_> = spans.iter().filter(is_it).collect();
    let [span] = found[..] else { panic!("{} spans for {served:#?}: {spans:#?}", found.len()) };

    let all = format!("{served:#?} {span:#?}");
    let failure = served.failed.then_some("tool_error");
    assert_eq!((span.text("error.type"), span.status == "ERROR"), (failure, served.failed), "{all}");
    let took = Duration::from_secs_f64(served.milliseconds / 1e3);
    let range = took.saturating_sub(Duration::from_millis(5))..took + LATE;
    assert!(range.contains(&span.duration), "the server says {took:?}: {all}");
    span
}

/// The parent of a span.
pub fn above<'s>(span: &Span, spans: &'s [Span]) -> &'s Span {
    let parent = spans.iter().find(|parent| parent.span_id == span.parent_id && parent.trace_id == span.trace_id);
    parent.unwrap_or_else(|| panic!("{span:#?} has no parent in {spans:#?}"))
}

/// Finds the span of a call of the server, and checks that it was joined in this way with the model's call `id` of `tool`. Returns it.
pub fn below<'s>(served: &Served, id: &str, tool: &str, join: &str, model: &Model, spans: &'s [Span]) -> &'s Span {
    let results = model.results();
    // The agent gave the model the result of this call, so `id` is that of the model's call.
    let result = results.get(id).unwrap_or_else(|| panic!("the model has no result for {id}: {results:#?}"));
    assert!(result.contains(&served.result), "{result} is not {served:#?}");

    let span = span_of(served, spans);
    let (wanted, asked) = (format!("execute_tool {tool}"), above(span, spans));
    let run = above(asked, spans);
    let all = format!("{served:#?} {span:#?} {asked:#?} {run:#?}");
    assert_eq!(span.text("gaugeway.mcp.join"), Some(join), "{all}");
    assert_eq!((&asked.name, run.name.starts_with("invoke_agent")), (&wanted, true), "{all}");
    // The gateway read this size with the identifier in the model's next request. Equal calls have results of different sizes.
    let size = Attribute::Int(result.len() as i64);
    let has_size = |span: &&Span| span.attributes.get("gaugeway.tool.result.bytes") == Some(&size);
    assert!(has_size(&asked) && spans.iter().filter(has_size).count() == 1, "{result} {all}");

    if span.end > asked.start {
        assert_eq!(asked.status == "ERROR", served.failed, "{all}");
    }
    let calls = spans.iter().filter(|span| span.name.starts_with("tools/call") && span.parent_id == asked.span_id);
    let open = open_seconds(calls, asked.start);
    if open == 0.0 {
        // All of its calls had ended before the answer of the model.
        assert!(asked.attributes.keys().all(|name| !name.ends_with("_time")), "{all}");
        return span;
    }
    let (on_server, on_client) =
        (seconds(asked, "gaugeway.tool.server_time"), seconds(asked, "gaugeway.tool.client_time"));
    assert!((on_server - open).abs() < 1e-6, "{all}");
    assert!(on_client > 0.0 && (on_server + on_client - asked.duration.as_secs_f64()).abs() < 1e-6, "{all}");
    span
}

/// How long at least one of these was open from this time on, in seconds.
fn open_seconds<'s>(spans: impl Iterator<Item = &'s Span>, from: u64) -> f64 {
    let mut times: Vec<_> = spans.map(|span| (span.start, span.end)).collect();
    times.sort_unstable();
    let (mut open, mut until) = (0, from);
    for (start, end) in times {
        open += end.max(until) - start.max(until);
        until = until.max(end);
    }
    open as f64 / 1e9
}
