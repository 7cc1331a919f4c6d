//! The metrics of operations of MCP and A2A.
//!
//! Spec: OpenTelemetry's semantic-conventions-genai v0.1.0, `docs/gen-ai/mcp.md`. A gateway reports what the caller of the server sees: the metrics
//! of clients. The conventions have none for A2A.

use super::metric::{Metric, Registry, Scale, counter, duration};
use super::names::Names;
use super::plugin::nothing;
use super::{GAP_METRICS, METRICS, OTHER, SAMPLE_LIMIT, SERVERS, Sample, Stats, TOOLS, name_hash};
use crate::config::Config;
use crate::labels::{
    ERROR_TYPE, MCP_METHOD, MCP_VERSION, PART, RPC_METHOD, SERVER_ADDRESS, Scope, TASK_STATE, TOOL_NAME,
};
use crate::observation::Observation;
use crate::rpc::{Protocol, RpcOperation, RpcTransport, TaskState, a2a_method, mcp_method};

/// Bounds of the durations of MCP in the conventions, in nanoseconds.
const BOUNDS: &[u64] = &[
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
];

const MCP_DURATION: Metric = duration(
    "mcp_client_operation_duration_microseconds",
    "mcp.client.operation.duration",
    &[&MCP_METHOD, &TOOL_NAME, &SERVER_ADDRESS, &ERROR_TYPE],
    "time from the HTTP request's headers to the answer of the operation, of MCP",
    nothing,
)
.by(Scope::Route)
.with_bounds(BOUNDS);

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

const SESSION_DURATION: Metric = duration(
    "mcp_client_session_duration_microseconds",
    "mcp.client.session.duration",
    &[&MCP_VERSION, &SERVER_ADDRESS],
    "time from the request that opens a session of MCP to the answer to the one that ends it; a session that nobody ends has none",
    nothing,
)
.by(Scope::Route)
.with_bounds(BOUNDS);

const A2A_DURATION: Metric = duration(
    "gaugeway_a2a_operation_duration_microseconds",
    "gaugeway.a2a.operation.duration",
    &[&RPC_METHOD, &SERVER_ADDRESS, &ERROR_TYPE],
    "time from the HTTP request's headers to the answer of the operation, of A2A; of a stream to its end",
    nothing,
)
.by(Scope::Route)
.with_bounds(BOUNDS);

const TASK_DURATION: Metric = duration(
    "gaugeway_task_duration_microseconds",
    "gaugeway.task.duration",
    &[&TASK_STATE, &SERVER_ADDRESS],
    "time from the request that begins a task of A2A or MCP to the first answer that shows its end; once for each task",
    nothing,
)
.by(Scope::Route)
.with_bounds(&[
    100_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    120_000_000_000,
    300_000_000_000,
    600_000_000_000,
    1_800_000_000_000,
    3_600_000_000_000,
    7_200_000_000_000,
]);

/// Every metric of operations of MCP and A2A. Their samples come from [`Stats::record_rpc`], [`Stats::record_session`] and the results of tools
/// that a call to a model brings.
pub const RPC_METRICS: &[Metric] = &[MCP_DURATION, TOOL_TIME, SESSION_DURATION, A2A_DURATION, TASK_DURATION];

/// The versions of MCP with sessions.
const VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

impl Stats {
    /// Passes the samples of an operation that has ended to the host. A client can invent tools and servers. So a tool is a label once a call of it
    /// has succeeded, or a model has called it, and a server once an operation has succeeded there.
    pub fn record_rpc<R: Registry>(
        &mut self,
        transport: &RpcTransport,
        operation: &RpcOperation,
        config: &Config,
        host: &mut R,
    ) {
        let Some(end) = operation.end else { return };
        let (server, tool) = (server(transport), operation.tool().unwrap_or_default());
        if operation.error.is_none() {
            self.learn(&server, tool);
        } else if !operation.join.is_empty() {
            self.learn("", tool);
        }
        let common = common(transport, operation.operation());
        let names = Names::of(&common, config);
        let value = end.saturating_sub(transport.start);
        let error = operation.error.as_deref().unwrap_or_default();
        match operation.protocol {
            Protocol::Mcp => {
                let method = mcp_method(&operation.method).unwrap_or(OTHER);
                self.pass((0, &MCP_DURATION), &[method, tool, &server, error], value, &names, (config, host));
            }
            Protocol::A2a => {
                let method = a2a_method(&operation.method).map_or(OTHER, |(name, _)| name);
                self.pass((3, &A2A_DURATION), &[method, &server, error], value, &names, (config, host));
            }
        }
        if let Some(nanos) = operation.task_nanos {
            let state = operation.state.map_or("", TaskState::as_str);
            self.pass((4, &TASK_DURATION), &[state, &server], nanos, &names, (config, host));
        }
    }

    /// Passes the duration of a session of MCP that has ended to the host, in nanoseconds.
    pub fn record_session<R: Registry>(&mut self, transport: &RpcTransport, nanos: u64, config: &Config, host: &mut R) {
        let version = transport.version.as_deref().unwrap_or_default();
        let version =
            if version.is_empty() { "" } else { VERSIONS.into_iter().find(|known| *known == version).unwrap_or(OTHER) };
        let (server, common) = (server(transport), common(transport, ""));
        self.learn(&server, "");
        self.pass((2, &SESSION_DURATION), &[version, &server], nanos, &Names::of(&common, config), (config, host));
    }

    /// Remembers a server, and a tool unless it is empty.
    fn learn(&mut self, server: &str, tool: &str) {
        for (name, known, limit) in [(server, &mut self.servers, SERVERS), (tool, &mut self.tools, TOOLS)] {
            if !name.is_empty() && known.len() < limit {
                known.insert(name_hash(self.seed, name));
            }
        }
    }

    /// Passes the parts of the time of tools to the host, for those whose results a call to a model brings.
    pub(super) fn record_tool_times<R: Registry>(&mut self, seen: &Observation, config: &Config, host: &mut R) {
        let joined = seen.agent.results.iter().filter_map(|result| Some((result, result.called_at?, result.served?)));
        for (result, called_at, served) in joined {
            let whole = seen.timing.start.saturating_sub(called_at);
            let (tool, names) = (result.name.as_deref().unwrap_or_default(), Names::of(seen, config));
            for (part, value) in [("server", served.min(whole)), ("client", whole.saturating_sub(served))] {
                self.pass((1, &TOOL_TIME), &[tool, part], value, &names, (config, host));
            }
        }
    }

    /// Passes a value of a metric to the host. `at` is its place in [`RPC_METRICS`].
    fn pass<R: Registry>(
        &mut self,
        (at, metric): (usize, &Metric),
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

/// The host of the server, in lower case: a client can write it in any case.
fn server(transport: &RpcTransport) -> String {
    transport.server.as_ref().map_or_else(String::new, |server| server.address.to_ascii_lowercase())
}

/// The values of the labels that all metrics share.
fn common(transport: &RpcTransport, operation: &'static str) -> Observation {
    let (route, labels) = (transport.route.clone(), transport.labels.clone());
    Observation { operation, route, labels, ..Observation::default() }
}
