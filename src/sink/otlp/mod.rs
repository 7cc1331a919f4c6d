//! OpenTelemetry's protocol OTLP 1 in protobuf: spans of exchanges and of agents' runs, and of operations of MCP; metrics of both; log records of failed
//! calls, and their delivery to a collector.

mod answer;
mod delivery;
mod envelope;
mod lease;
mod logs;
mod metrics;
mod rpc;
mod spans;
mod tool;
mod wire;

pub use answer::{ANSWER_LIMIT, CollectorAnswer};
pub use delivery::{Batch, Delivery, REQUEST_LIMIT, Retention, Source, Tally};
pub use envelope::Envelope;
pub use lease::{LEASE, Lease};
pub use logs::LogQueue;
pub use metrics::{MetricStore, MetricsRequest, SpanReference};
pub use spans::{QUEUE, SpanQueue, call_span};
