//! Log records of failed calls, as OpenTelemetry's events for exceptions of clients describe them. They have no content.
//!
//! Spec: `opentelemetry/proto/logs/v1/logs.proto`; semantic conventions for generative AI 0.1.0, the event
//! `gen_ai.client.inference.exception`. For other operations the name of the conventions before is used. Memory: [`LOGS`] bytes.

use std::rc::Rc;

use super::delivery::{Batch, Source};
use super::envelope::Envelope;
use super::wire::{attribute, bytes, fixed, message, number, varint};
use crate::observation::Observation;
use crate::sink::attributes::AttributeValue::{self, Integer, Text};
use crate::sink::stats::INFERENCE;
use crate::trace_context::TraceContext;

/// Maximum number of bytes of log records that wait to be sent. Further records are dropped.
const LOGS: usize = 64 * 1024;

/// `SEVERITY_NUMBER_WARN`
const WARN: u64 = 13;

/// Encoded log records that wait to be sent.
pub struct LogQueue {
    envelope: Rc<Envelope>,
    /// The fields `log_records` of a `ScopeLogs` message.
    records: Vec<u8>,
    count: u64,
    dropped: u64,
}

impl LogQueue {
    /// An empty queue of records with this resource and scope.
    pub fn new(envelope: Rc<Envelope>) -> Self {
        LogQueue { envelope, records: Vec::new(), count: 0, dropped: 0 }
    }

    /// Adds the record of a call that has failed. `span` is that of the call.
    pub fn failure(&mut self, seen: &Observation, span: TraceContext) {
        let before = self.records.len();
        message(&mut self.records, 2, |out| record(out, seen, span));
        if self.records.len() > LOGS {
            self.records.truncate(before);
            self.dropped += 1;
        } else {
            self.count += 1;
        }
    }
}

impl Source for LogQueue {
    fn take(&mut self, _: u64) -> Option<Batch> {
        let items = core::mem::take(&mut self.count);
        if items == 0 {
            return None;
        }
        let body = self.envelope.wrap(&self.records);
        self.records.clear();
        Some(Batch { body, items })
    }

    fn take_dropped(&mut self) -> u64 {
        core::mem::take(&mut self.dropped)
    }
}

/// Appends the fields of a `LogRecord`.
fn record(out: &mut Vec<u8>, seen: &Observation, span: TraceContext) {
    let time = seen.timing.end.unwrap_or(seen.timing.start);
    fixed(out, 1, time);
    number(out, 2, WARN);
    bytes(out, 3, b"WARN");
    let error = seen.error.as_deref().or(seen.outcome.map(|outcome| outcome.as_str())).unwrap_or_default();
    write(out, "gen_ai.operation.name", Text(seen.operation));
    write(out, "gen_ai.provider.name", Text(&seen.provider));
    if let Some(model) = &seen.request.model {
        write(out, "gen_ai.request.model", Text(model));
    }
    write(out, "error.type", Text(error));
    // The conventions ask for this name in events.
    write(out, "exception.type", Text(error));
    if let Some(status) = seen.response.status {
        write(out, "http.response.status_code", Integer(i64::from(status)));
    }
    // `flags`, of the wire type I32: those of the W3C trace context.
    varint(out, 8 << 3 | 5);
    out.extend(u32::from(span.sampled).to_le_bytes());
    bytes(out, 9, &span.trace);
    bytes(out, 10, &span.span);
    fixed(out, 11, time);
    let is_inference = INFERENCE.contains(&seen.operation);
    bytes(
        out,
        12,
        if is_inference { b"gen_ai.client.inference.exception" } else { b"gen_ai.client.operation.exception" },
    );
}

fn write(out: &mut Vec<u8>, key: &str, value: AttributeValue<'_>) {
    attribute(out, 6, key, &value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Outcome;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use prost::Message;

    const SPAN: TraceContext = TraceContext { trace: [1; 16], span: [2; 8], sampled: true };

    fn queue() -> LogQueue {
        LogQueue::new(Rc::new(Envelope::new(&[("service.name", "gateway")])))
    }

    fn failed(operation: &'static str) -> Observation {
        let mut seen = Observation { operation, provider: "house".into(), ..Observation::default() };
        seen.request.model = Some("large".into());
        seen.response.status = Some(429);
        seen.error = Some("rate_limit".into());
        seen.outcome = Some(Outcome::Error);
        seen.timing.start = 1_000;
        seen.timing.end = Some(3_000);
        seen
    }

    fn exported(queue: &mut LogQueue) -> Vec<LogRecord> {
        let Batch { body, items } = queue.take(0).unwrap();
        let request = ExportLogsServiceRequest::decode(&*body).unwrap();
        assert_eq!(request.resource_logs[0].resource.as_ref().unwrap().attributes[0].key, "service.name");
        let records = request.resource_logs[0].scope_logs[0].log_records.clone();
        assert_eq!(records.len() as u64, items);
        records
    }

    #[test]
    fn a_failed_call_is_a_warning_with_the_span_of_the_call_and_no_content() {
        let mut queue = queue();
        queue.failure(&failed("chat"), SPAN);
        queue.failure(&failed("embeddings"), TraceContext { sampled: false, ..SPAN });
        let records = exported(&mut queue);
        assert!(queue.take(0).is_none());
        let names: Vec<_> = records.iter().map(|record| record.event_name.as_str()).collect();
        assert_eq!(names, ["gen_ai.client.inference.exception", "gen_ai.client.operation.exception"]);
        assert_eq!(records.iter().map(|record| record.flags).collect::<Vec<_>>(), [1, 0]);
        for record in &records {
            assert_eq!((record.severity_number, record.severity_text.as_str()), (13, "WARN"));
            assert_eq!((record.time_unix_nano, record.observed_time_unix_nano), (3_000, 3_000));
            assert_eq!((&record.trace_id[..], &record.span_id[..]), (&[1; 16][..], &[2; 8][..]));
            assert_eq!(record.body, None);
        }
        let pair = |key: &str| {
            let found = records[0].attributes.iter().find(|pair| pair.key == key);
            found.and_then(|pair| pair.value.clone()?.value).unwrap_or_else(|| panic!("{key}"))
        };
        assert_eq!(records[0].attributes.len(), 6);
        assert_eq!(pair("gen_ai.operation.name"), Value::StringValue("chat".into()));
        assert_eq!(pair("gen_ai.provider.name"), Value::StringValue("house".into()));
        assert_eq!(pair("gen_ai.request.model"), Value::StringValue("large".into()));
        assert_eq!(pair("http.response.status_code"), Value::IntValue(429));
        for key in ["error.type", "exception.type"] {
            assert_eq!(pair(key), Value::StringValue("rate_limit".into()));
        }
    }

    #[test]
    fn the_queue_of_records_is_bounded_and_dropped_ones_are_counted() {
        let mut queue = queue();
        for _ in 0..1_000 {
            queue.failure(&failed("chat"), SPAN);
        }
        let dropped = queue.take_dropped();
        assert!(dropped > 0 && queue.records.len() <= LOGS);
        assert_eq!(exported(&mut queue).len() as u64 + dropped, 1_000);
    }
}
