//! The metrics of the plugin itself.

use super::metric::{Metric, Samples, counter, gauge};
use crate::labels::{KIND, RESULT};
use crate::observation::Observation;

/// Counts the samples that lost a name because its share of the series was full.
pub const OVERFLOW: Metric = counter(
    "gaugeway_series_overflow_total",
    "gaugeway.series.overflow",
    "{sample}",
    &[&KIND],
    "samples that lost a name because the share of its kind is full: request_model, response_model, server_address, tool_name, \
     error_type, header",
    nothing,
);

/// Counts the spans that the plugin exports itself.
pub const SPANS: Metric = counter(
    "gaugeway_spans_total",
    "gaugeway.spans",
    "{span}",
    &[&RESULT],
    "spans that the plugin exports itself, by result: sent, failed (refused, without an answer at the end of a configuration, or there is no such \
     cluster), dropped (never sent: no room, or the configuration ended)",
    nothing,
);

/// Counts the data points of metrics that the plugin exports itself.
pub const POINTS: Metric = counter(
    "gaugeway_otlp_points_total",
    "gaugeway.otlp.points",
    "{point}",
    &[&RESULT],
    "data points of metrics that the plugin exports itself, by result: sent, failed, dropped, as for spans; if a request with \
     cumulative points fails and may succeed later, its points are not counted, because the next request has newer values",
    nothing,
);

/// Counts the log records that the plugin exports itself.
pub const LOG_RECORDS: Metric = counter(
    "gaugeway_otlp_logs_total",
    "gaugeway.otlp.logs",
    "{record}",
    &[&RESULT],
    "log records that the plugin exports itself, by result: sent, failed, dropped, as for spans",
    nothing,
);

/// Counts the exchanges that are not read. They are not in any other metric.
pub const UNREAD: Metric = counter(
    "gaugeway_unread_requests_total",
    "gaugeway.unread_requests",
    "{request}",
    &[&KIND],
    "exchanges that passed unread: budget (`limits.stream_memory_bytes` is used up, or a WebSocket has too many open responses), vm (the VM's memory is \
     nearly full), websocket (a WebSocket whose frames cannot be read, from there on)",
    nothing,
);

/// The open WebSockets that are read.
pub const SESSIONS: Metric = gauge(
    "gaugeway_websocket_sessions",
    "gaugeway.websocket.sessions",
    "{session}",
    &[],
    "open WebSockets of LLM APIs that are read; a worker that crashes leaves its own in Envoy's statistics",
    nothing,
);

/// Counts what became of streams whose clients did not ask for usage, if `stream_usage.inject` is set.
pub const INJECTIONS: Metric = counter(
    "gaugeway_usage_injections_total",
    "gaugeway.usage_injections",
    "{request}",
    &[&RESULT],
    "streams whose client did not ask for usage, by what the plugin did: injected, or why not",
    nothing,
);

/// The date of the price table. Set at start.
pub const PRICE_TABLE: Metric = gauge(
    "gaugeway_price_table_timestamp_seconds",
    "gaugeway.price_table.timestamp",
    "s",
    &[],
    "date of the price table in seconds since 1970; only in Envoy's statistics",
    nothing,
);

/// Every metric of the plugin itself. They have no common labels, and exchanges have no samples for them.
pub const PLUGIN_METRICS: &[Metric] =
    &[OVERFLOW, SPANS, POINTS, LOG_RECORDS, INJECTIONS, UNREAD, SESSIONS, PRICE_TABLE];

/// Exchanges have no samples.
pub(super) fn nothing(_: &Observation, _: Samples<'_>) {}
