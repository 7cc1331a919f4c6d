//! The metrics of exchanges for OTLP: exact sums and histograms of one worker, and their encoding.
//!
//! A series that gets no sample for a while is forgotten, and starts again from zero with a new start time. [`Stats`] bounds the number of
//! series. A series takes 200 to 900 bytes. Work: one export encodes at most [`SERIES`] series; the next continues.
//!
//! Spec: OTLP 1, `opentelemetry/proto/metrics/v1/metrics.proto`; OpenTelemetry's metrics data model.

mod encode;
mod series;

use std::collections::HashMap;

use self::series::Series;
use super::envelope::Envelope;
use super::wire::attribute;
use crate::bytes::mix::BuildNumbers;
use crate::config::{Config, Temporality};
use crate::labels::LABELS;
use crate::observation::{ChunkGaps, Observation};
use crate::rpc::{RpcOperation, RpcTransport};
use crate::sink::attributes::AttributeValue;
use crate::sink::stats::{GAP_METRICS, METRICS, Metric, PLUGIN_METRICS, RPC_METRICS, Registry, Stats};

/// Maximum number of series in one request. Bounds the duration of a callback.
const SERIES: usize = 2000;

/// The span that a sample belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpanReference {
    /// The trace identifier.
    pub trace: [u8; 16],
    /// The span identifier.
    pub span: [u8; 8],
}

/// The metrics of one worker.
pub struct MetricStore {
    stats: Stats,
    table: SeriesTable,
    /// The row and the series in it that the next export begins with. None if no export has begun.
    next: Option<(usize, usize)>,
}

/// The series of the store.
struct SeriesTable {
    /// By the position of the metric in [`rows`].
    rows: Vec<Vec<Series>>,
    /// Number of series that were ever created: the identifier of the next one.
    created: u32,
    /// The place of each series by its identifier: row and position.
    places: HashMap<u32, (usize, usize), BuildNumbers>,
    temporality: Temporality,
    /// Nanoseconds since 1970.
    now: u64,
    span: Option<SpanReference>,
}

/// An encoded `ExportMetricsServiceRequest`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsRequest {
    /// The message.
    pub body: Vec<u8>,
    /// Number of data points in it.
    pub points: u64,
    /// True if series are left for the next request of the same export.
    pub has_more: bool,
}

impl MetricStore {
    /// No series yet. Label values come from clients: without the seed a client cannot make two series collide.
    pub fn new(seed: u64, temporality: Temporality) -> Self {
        let rows = rows().map(|_| Vec::new()).collect();
        let places = HashMap::default();
        let table = SeriesTable { rows, created: 0, places, temporality, now: 0, span: None };
        MetricStore { stats: Stats::new(seed), table, next: None }
    }

    /// Counts an exchange that has ended. `now` is in nanoseconds since 1970. `span` is the exchange's span if it is sent.
    pub fn record(&mut self, seen: &Observation, config: &Config, now: u64, span: Option<SpanReference>) {
        self.table.now = now;
        self.table.span = span;
        self.stats.record(seen, config, &mut self.table);
    }

    /// Counts an operation of MCP or A2A that has ended.
    pub fn record_rpc(
        &mut self,
        transport: &RpcTransport,
        operation: &RpcOperation,
        config: &Config,
        now: u64,
        span: Option<SpanReference>,
    ) {
        self.table.now = now;
        self.table.span = span;
        self.stats.record_rpc(transport, operation, config, &mut self.table);
    }

    /// Counts a session of MCP that has ended after this number of nanoseconds.
    pub fn record_session(&mut self, transport: &RpcTransport, nanos: u64, config: &Config, now: u64) {
        self.table.now = now;
        self.table.span = None;
        self.stats.record_session(transport, nanos, config, &mut self.table);
    }

    /// Adds to a metric of the plugin itself, or sets it.
    pub fn add(&mut self, metric: &Metric, labels: &[(&str, &str)], value: u64, now: u64) {
        self.table.now = now;
        self.table.span = None;
        let attributes = attributes(metric, labels);
        let row = row_of(metric).and_then(|row| self.table.rows.get(row));
        let found = row.and_then(|row| row.iter().find(|series| *series.attributes == *attributes));
        if let Some(series) = found.map(|series| series.id).or_else(|| self.table.define(metric, labels)) {
            self.table.emit(metric, series, value);
        }
    }

    /// The next part of the export, or the first of a new one. Returns None if there is nothing to send. `idle_after` is the time in
    /// nanoseconds after which a series without a sample is forgotten.
    pub fn export(&mut self, envelope: &Envelope, now: u64, idle_after: u64) -> Option<MetricsRequest> {
        let start = self.next.take().unwrap_or_else(|| {
            self.forget_idle(now.saturating_sub(idle_after));
            (0, 0)
        });
        let mut items = Vec::new();
        let (points, next) = self.table.encode(&mut items, start, now);
        self.next = next;
        (points > 0).then(|| MetricsRequest { body: envelope.wrap(&items), points, has_more: next.is_some() })
    }

    /// Number of series.
    pub fn series(&self) -> usize {
        self.table.places.len()
    }

    fn forget_idle(&mut self, before: u64) {
        let table = &mut self.table;
        let is_idle = |series: &Series| series.changed < before;
        if !table.rows.iter().flatten().any(is_idle) {
            return;
        }
        table.places.clear();
        for (at, row) in table.rows.iter_mut().enumerate() {
            row.retain(|series| !is_idle(series));
            table.places.extend(row.iter().enumerate().map(|(position, series)| (series.id, (at, position))));
        }
        self.stats.retain(|id| table.places.contains_key(&id));
    }
}

impl Registry for SeriesTable {
    fn define(&mut self, metric: &Metric, labels: &[(&str, &str)]) -> Option<u32> {
        let at = row_of(metric)?;
        let row = self.rows.get_mut(at)?;
        let id = self.created;
        self.created = self.created.wrapping_add(1);
        self.places.insert(id, (at, row.len()));
        row.push(Series::new(id, metric, attributes(metric, labels), self.now));
        Some(id)
    }

    fn emit(&mut self, metric: &Metric, series: u32, sample: u64) {
        let place = self.places.get(&series);
        let series = place.and_then(|(row, at)| self.rows.get_mut(*row)?.get_mut(*at));
        if let Some(series) = series {
            series.add(metric, sample, self.now, self.span);
        }
    }

    const TAKES_GAPS: bool = true;

    fn merge(&mut self, _: &Metric, series: u32, gaps: &ChunkGaps) {
        let place = self.places.get(&series);
        if let Some(series) = place.and_then(|(row, at)| self.rows.get_mut(*row)?.get_mut(*at)) {
            series.merge(gaps, self.now);
        }
    }
}

impl SeriesTable {
    /// Appends the metrics from `start` on. Returns the number of data points, and where to go on.
    fn encode(&mut self, out: &mut Vec<u8>, start: (usize, usize), now: u64) -> (u64, Option<(usize, usize)>) {
        let (mut points, mut left) = (0, SERIES);
        let metrics = rows().enumerate();
        for ((at, metric), row) in metrics.zip(&mut self.rows).skip(start.0) {
            let from = if at == start.0 { start.1 } else { 0 };
            let Some(rest) = row.get_mut(from..).filter(|rest| !rest.is_empty()) else { continue };
            if left == 0 {
                return (points, Some((at, from)));
            }
            let taken = rest.len().min(left);
            points += encode::metric(out, metric, rest.get_mut(..taken).unwrap_or_default(), self.temporality, now);
            left -= taken;
            if taken < rest.len() {
                return (points, Some((at, from + taken)));
            }
        }
        (points, None)
    }
}

/// Every metric.
fn rows() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().chain(GAP_METRICS).chain(RPC_METRICS).chain(PLUGIN_METRICS)
}

/// The position of a metric in [`SeriesTable::rows`]. Two versions of the conventions may give one name to two metrics.
fn row_of(metric: &Metric) -> Option<usize> {
    rows().position(|row| row.name == metric.name && row.conventions == metric.conventions)
}

/// Labels as the encoded attributes of a data point.
fn attributes(metric: &Metric, labels: &[(&str, &str)]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in labels {
        // The names of `labels.headers` are the operator's own.
        let key = LABELS.iter().find(|label| label.name == *name).map_or(*name, |label| label.attribute);
        attribute(&mut encoded, encode::attributes_field(metric.kind), key, &AttributeValue::Text(value));
    }
    encoded
}

#[cfg(test)]
mod tests;
