//! The items that the live page shows: spans of the plugin, and requests that are not LLM traffic. When there are more than [`KEPT`], the
//! oldest are dropped.

use std::collections::{HashSet, VecDeque};

use serde_json::{Map, Value, json};

use crate::otlp::{Attribute, Span};

/// The maximum number of calls, tool calls, runs and other requests together.
pub const KEPT: usize = 3_000;

#[derive(Default)]
pub(super) struct Kept {
    items: VecDeque<Value>,
    /// The identifiers of the spans among them. OTLP may send a span twice.
    span_ids: HashSet<String>,
    /// The number of items that were dropped, which is the number of the first one that is left.
    dropped: usize,
}

impl Kept {
    pub(super) fn spans(&mut self, spans: &[Span]) {
        // Envoy's own spans have another scope.
        self.add(spans.iter().filter(|span| span.scope == "gaugeway").map(of_span));
    }

    /// Adds the lines of the access log that are not LLM traffic: other requests have spans.
    pub(super) fn lines(&mut self, log: &[Value]) {
        let other = |line: &&Value| line.is_object() && line["gen_ai.operation.name"].is_null();
        self.add(log.iter().filter(other).map(|line| {
            let mut item = json!({"kind": "other"});
            for key in ["start_time", "duration_ms", "method", "path", "response_code"] {
                item[key] = line[key].clone();
            }
            item
        }));
    }

    /// The items from this number on, and the numbers of the first one that is kept and of the next one to come.
    pub(super) fn since(&self, number: usize) -> Value {
        let skipped = number.saturating_sub(self.dropped);
        let items: Vec<&Value> = self.items.iter().skip(skipped).collect();
        json!({"first": self.dropped, "next": self.dropped + self.items.len(), "items": items})
    }

    fn add(&mut self, new: impl Iterator<Item = Value>) {
        for mut item in new {
            if item["span"].as_str().is_some_and(|id| !self.span_ids.insert(id.to_owned())) {
                continue;
            }
            item["number"] = (self.dropped + self.items.len()).into();
            self.items.push_back(item);
            if self.items.len() > KEPT {
                let oldest = self.items.pop_front().unwrap_or_default();
                self.span_ids.remove(oldest["span"].as_str().unwrap_or_default());
                self.dropped += 1;
            }
        }
    }
}

fn of_span(span: &Span) -> Value {
    let kind = match span.text("gen_ai.operation.name") {
        Some("invoke_agent") => "run",
        Some("execute_tool") => "tool",
        _ => "call",
    };
    // A number of JSON has the resolution of less than a microsecond then.
    let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
    let attributes: Map<String, Value> =
        span.attributes.iter().map(|(name, value)| (name.clone(), of_attribute(value))).collect();
    json!({
        "kind": kind, "name": span.name, "trace": span.trace_id, "span": span.span_id, "parent": span.parent_id,
        "start": milliseconds(span.start), "end": milliseconds(span.end), "failed": span.status == "ERROR",
        "links": span.links, "attributes": attributes,
    })
}

fn of_attribute(value: &Attribute) -> Value {
    match value {
        Attribute::String(text) | Attribute::Other(text) => text.as_str().into(),
        Attribute::Int(number) => (*number).into(),
        Attribute::Double(number) => (*number).into(),
        Attribute::Bool(is) => (*is).into(),
        Attribute::Strings(texts) => texts.as_slice().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str) -> Span {
        Span { scope: "gaugeway".to_owned(), span_id: id.to_owned(), ..Span::default() }
    }

    #[test]
    fn the_oldest_items_are_dropped_and_the_rest_keep_their_numbers() {
        let mut kept = Kept::default();
        let spans: Vec<Span> = (0..KEPT + 5).map(|number| span(&number.to_string())).collect();
        kept.spans(&spans);
        kept.spans(&[Span::default()]);
        let all = kept.since(0);
        assert_eq!((&all["first"], &all["next"]), (&json!(5), &json!(KEPT + 5)));
        assert_eq!(all["items"].as_array().map(Vec::len), Some(KEPT));
        assert_eq!(all["items"][0]["number"], 5);
        let last = kept.since(KEPT + 4);
        assert_eq!(last["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(last["items"][0]["number"], KEPT + 4);
        assert_eq!(kept.since(KEPT + 5)["items"], json!([]));
    }

    #[test]
    fn a_span_that_is_sent_twice_is_kept_once() {
        let mut kept = Kept::default();
        kept.spans(&[span("a"), span("b"), span("a")]);
        kept.spans(&[span("b")]);
        assert_eq!(kept.since(0)["next"], 2);
    }

    #[test]
    fn only_requests_without_a_span_are_taken_from_the_access_log() {
        let mut kept = Kept::default();
        let line =
            json!({"path": "/favicon.ico", "method": "GET", "response_code": 404, "gen_ai.operation.name": null});
        kept.lines(&[json!({"path": "/v1/messages", "gen_ai.operation.name": "chat"}), line, json!("not JSON")]);
        let all = kept.since(0);
        assert_eq!(all["next"], 1);
        assert_eq!(all["items"][0]["path"], "/favicon.ico");
    }
}
