//! Spans. The field numbers are those of opentelemetry-proto 1.x.

use std::time::Duration;

use super::attribute::{Attributes, attribute, each, hex, messages, string, string_field, text};
use crate::protobuf::{Fields, Malformed, Value};

#[derive(Clone, Debug, Default)]
pub struct Span {
    pub name: String,
    /// The `service.name` of the resource.
    pub service: String,
    pub resource: Attributes,
    /// The name of the scope.
    pub scope: String,
    /// `CLIENT`, `SERVER`, ...
    pub kind: String,
    /// `UNSET`, `OK` or `ERROR`.
    pub status: String,
    pub trace_id: String,
    pub span_id: String,
    /// Empty for a root span.
    pub parent_id: String,
    pub duration: Duration,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    /// Trace id and span id of each link.
    pub links: Vec<(String, String)>,
    /// The names of the events.
    pub events: Vec<String>,
    pub attributes: Attributes,
}

impl Span {
    pub fn text(&self, key: &str) -> Option<&str> {
        string(&self.attributes, key)
    }

    fn read(span: &[u8]) -> Result<Self, Malformed> {
        let mut read = Self { kind: kind(0), status: status_code(0), ..Self::default() };
        for field in Fields::of(span) {
            match field? {
                (1, Value::Bytes(id)) => read.trace_id = hex(id),
                (2, Value::Bytes(id)) => read.span_id = hex(id),
                (4, Value::Bytes(id)) => read.parent_id = hex(id),
                (5, Value::Bytes(name)) => read.name = text(name),
                (6, Value::Number(number)) => read.kind = kind(number),
                (7, Value::Number(time)) => read.start = time,
                (8, Value::Number(time)) => read.end = time,
                (9, Value::Bytes(pair)) => read.attributes.extend([attribute(pair)?]),
                (11, Value::Bytes(event)) => read.events.push(string_field(event, 2)?),
                (13, Value::Bytes(link)) => {
                    let id = |number| Ok(messages(link, number)?.first().map(|id| hex(id)).unwrap_or_default());
                    read.links.push((id(1)?, id(2)?));
                }
                (15, Value::Bytes(status)) => {
                    for field in Fields::of(status) {
                        if let (3, Value::Number(code)) = field? {
                            read.status = status_code(code);
                        }
                    }
                }
                _ => {}
            }
        }
        read.duration = Duration::from_nanos(read.end.saturating_sub(read.start));
        Ok(read)
    }
}

/// Decodes the spans of an `ExportTraceServiceRequest`.
pub(super) fn spans_of(request: &[u8]) -> Result<Vec<Span>, Malformed> {
    let mut spans = Vec::new();
    each(request, |resource, scope, span| {
        let service = string(resource, "service.name").unwrap_or_default().to_owned();
        spans.push(Span { service, resource: resource.clone(), scope: scope.to_owned(), ..Span::read(span)? });
        Ok(())
    })?;
    Ok(spans)
}

fn kind(number: u64) -> String {
    let names = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
    usize::try_from(number)
        .ok()
        .and_then(|place| names.get(place))
        .map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

fn status_code(number: u64) -> String {
    match number {
        0 => "UNSET".to_owned(),
        1 => "OK".to_owned(),
        2 => "ERROR".to_owned(),
        _ => number.to_string(),
    }
}
