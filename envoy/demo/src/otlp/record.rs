//! Log records. The field numbers are those of opentelemetry-proto 1.x.

use super::attribute::{Attributes, attribute, each, hex, string, text};
use crate::protobuf::{Fields, Malformed, Value};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRecord {
    pub resource: Attributes,
    /// The name of the scope.
    pub scope: String,
    pub event: String,
    /// The number of the severity: 13 is `WARN`, 17 is `ERROR`.
    pub severity: u64,
    /// Nanoseconds since 1970.
    pub time: u64,
    pub trace_id: String,
    pub span_id: String,
    /// The record has a body.
    pub has_body: bool,
    pub attributes: Attributes,
}

impl LogRecord {
    pub fn text(&self, key: &str) -> Option<&str> {
        string(&self.attributes, key)
    }

    fn read(record: &[u8]) -> Result<Self, Malformed> {
        let mut read = Self::default();
        for field in Fields::of(record) {
            match field? {
                (1, Value::Number(time)) => read.time = time,
                (2, Value::Number(severity)) => read.severity = severity,
                (5, Value::Bytes(_)) => read.has_body = true,
                (6, Value::Bytes(pair)) => read.attributes.extend([attribute(pair)?]),
                (9, Value::Bytes(id)) => read.trace_id = hex(id),
                (10, Value::Bytes(id)) => read.span_id = hex(id),
                (12, Value::Bytes(name)) => read.event = text(name),
                _ => {}
            }
        }
        Ok(read)
    }
}

/// Decodes the records of an `ExportLogsServiceRequest`.
pub(super) fn logs_of(request: &[u8]) -> Result<Vec<LogRecord>, Malformed> {
    let mut records = Vec::new();
    each(request, |resource, scope, record| {
        records.push(LogRecord { resource: resource.clone(), scope: scope.to_owned(), ..LogRecord::read(record)? });
        Ok(())
    })?;
    Ok(records)
}
