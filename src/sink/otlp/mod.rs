//! OpenTelemetry's protocol OTLP 1 in protobuf: the spans of exchanges and of agents' runs, and the metrics of exchanges.

mod lease;
mod metrics;
mod resource;
mod spans;
mod wire;

pub use lease::{LEASE, Lease};
pub use metrics::{MetricStore, MetricsRequest, SpanReference};
pub use resource::Resource;
pub use spans::{QUEUE, SpanQueue};
