//! The metrics of operations of MCP.
//!
//! Spec: OpenTelemetry's semantic-conventions-genai v0.1.0, `docs/gen-ai/mcp.md`. A gateway reports what the caller of the server sees: the metric
//! of clients.

use super::metric::{Metric, Registry, Scale, counter, duration};
use super::names::Names;
use super::plugin::nothing;
use super::{GAP_METRICS, METRICS, OTHER, SAMPLE_LIMIT, Sample, Stats, TOOLS};
use crate::config::Config;
use crate::labels::{ERROR_TYPE, MCP_METHOD, PART, Scope, TOOL_NAME};
use crate::observation::Observation;
use crate::rpc::{RpcOperation, RpcTransport, known_method};

const OPERATION_DURATION: Metric = duration(
    "mcp_client_operation_duration_microseconds",
    "mcp.client.operation.duration",
    &[&MCP_METHOD, &TOOL_NAME, &ERROR_TYPE],
    "time from the HTTP request's headers to the answer of the operation, of MCP",
    nothing,
)
.by(Scope::Route)
.with_bounds(&[
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    120_000_000_000,
    300_000_000_000,
]);

const TOOL_TIME: Metric = Metric {
    scale: Scale::Nanoseconds,
    ..counter(
        "gaugeway_tool_time_microseconds_total",
        "gaugeway.tool.time",
        "us",
        &[&TOOL_NAME, &PART],
        "time from the answer that calls a tool to the request that brings the result, if calls of MCP were joined with it: server while they were open, \
         client for the rest",
        nothing,
    )
}
.by(Scope::Route);

/// Every metric of operations of MCP. Their samples come from [`Stats::record_rpc`] and [`Stats::record_tool_times`].
pub const RPC_METRICS: &[Metric] = &[OPERATION_DURATION, TOOL_TIME];

impl Stats {
    /// Passes the samples of an operation that has ended to the host. A client can invent tools, so a tool is a label once a call of it has
    /// succeeded, or a model has called it.
    pub fn record_rpc<R: Registry>(
        &mut self,
        transport: &RpcTransport,
        operation: &RpcOperation,
        config: &Config,
        host: &mut R,
    ) {
        let Some(end) = operation.end else { return };
        let tool = operation.tool().unwrap_or_default();
        if !tool.is_empty() && operation.error.is_none() && self.tools.len() < TOOLS {
            self.tools.insert(self.tool(tool));
        }
        let method = known_method(&operation.method).unwrap_or(OTHER);
        let own = [method, tool, operation.error.as_deref().unwrap_or_default()];
        let common = Observation {
            operation: operation.operation(),
            route: transport.route.clone(),
            labels: transport.labels.clone(),
            ..Observation::default()
        };
        let value = end.saturating_sub(transport.start);
        self.pass(0, &OPERATION_DURATION, &own, value, &Names::of(&common, config), (config, host));
    }

    /// Passes the parts of the time of tools to the host, for those whose results a call to a model brings.
    pub(super) fn record_tool_times<R: Registry>(&mut self, seen: &Observation, config: &Config, host: &mut R) {
        let joined = seen.agent.results.iter().filter_map(|result| Some((result, result.called_at?, result.served?)));
        for (result, called_at, served) in joined {
            let whole = seen.timing.start.saturating_sub(called_at);
            let (tool, names) = (result.name.as_deref().unwrap_or_default(), Names::of(seen, config));
            for (part, value) in [("server", served.min(whole)), ("client", whole.saturating_sub(served))] {
                self.pass(1, &TOOL_TIME, &[tool, part], value, &names, (config, host));
            }
        }
    }

    fn pass<R: Registry>(
        &mut self,
        at: usize,
        metric: &Metric,
        values: &[&str],
        value: u64,
        names: &Names<'_>,
        (config, host): (&Config, &mut R),
    ) {
        let sample = Sample { at: METRICS.len() + GAP_METRICS.len() + at, metric, values };
        if let Some(series) = self.find_or_define(sample, names, config.labels.max_series, host) {
            host.emit(metric, series, value.min(SAMPLE_LIMIT));
        }
    }
}
