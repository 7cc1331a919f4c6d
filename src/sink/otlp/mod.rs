//! OpenTelemetry's protocol OTLP 1 in protobuf: the spans of exchanges and of agents' runs.

mod spans;
mod wire;

pub use spans::{QUEUE, SpanQueue};
