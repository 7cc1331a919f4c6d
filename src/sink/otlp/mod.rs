//! OpenTelemetry's protocol OTLP 1 in protobuf: spans of exchanges and of agents' runs, log records of failed calls, and
//! their delivery to a collector.

mod answer;
mod delivery;
mod envelope;
mod logs;
mod spans;
mod wire;

pub use answer::{ANSWER_LIMIT, CollectorAnswer};
pub use delivery::{Batch, Delivery, REQUEST_LIMIT, Retention, Source, Tally};
pub use envelope::Envelope;
pub use logs::LogQueue;
pub use spans::{QUEUE, SpanQueue, call_span};
