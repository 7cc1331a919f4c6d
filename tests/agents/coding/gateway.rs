//! The gateway between a coding agent and its model: a real Envoy with the plugin, and a receiver of all spans.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Attribute, Receiver, Span};
use crate::support::prometheus::total;
use serde_json::json;

use super::records::{Agent, Tokens, Tool};

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Gateway {
    pub envoy: Envoy,
    spans: Receiver,
}

/// The gateway's report of one session.
#[derive(Debug, Default)]
pub struct Session {
    /// By identifier; that of the main agent is empty.
    pub agents: BTreeMap<String, Agent>,
    /// The parent of each sub-agent that names one.
    pub parents: BTreeMap<String, String>,
    /// The runs of each agent, in order: status and number of iterations.
    pub runs: BTreeMap<String, Vec<(String, i64)>>,
    /// Tokens and nano-dollars of each model.
    pub models: BTreeMap<String, (Tokens, i64)>,
    /// Name and version of the clients.
    pub clients: BTreeSet<(String, String)>,
    pub loops: usize,
    /// Number of calls without an answer of the model.
    pub refused: usize,
}

impl Gateway {
    pub async fn start(model: SocketAddr, abandoned_after: Duration) -> Self {
        Self::with(Options::to(model), abandoned_after).await
    }

    /// The same with a server of MCP at `/mcp`. Clients may speak to the model over WebSockets.
    pub async fn with_tools(model: SocketAddr, tools: SocketAddr, abandoned_after: Duration) -> Self {
        let sockets = "{name: sockets, match: {prefix: /v1/responses}, route: {cluster: llm, timeout: 0s, upgrade_configs: [{upgrade_type: websocket}]}}";
        let route = "{name: tools, match: {prefix: /mcp}, route: {cluster: tools, timeout: 0s}}";
        let address = format!("{{socket_address: {{address: 127.0.0.1, port_value: {}}}}}", tools.port());
        let endpoints = format!("[{{lb_endpoints: [{{endpoint: {{address: {address}}}}}]}}]");
        let assignment = format!("{{cluster_name: tools, endpoints: {endpoints}}}");
        let cluster = format!("{{name: tools, type: STATIC, load_assignment: {assignment}}}");
        Self::with(Options::to(model).with(&[sockets, route], &[cluster]), abandoned_after).await
    }

    async fn with(options: Options, abandoned_after: Duration) -> Self {
        let spans = Receiver::start().await;
        let config = json!({"otlp": {"cluster": "otlp"}, "agent": {"abandoned_after": abandoned_after.as_secs()}});
        let envoy = Envoy::start(&Options { otlp: Some(spans.addr), concurrency: 2, config, ..options }).await;
        Self { envoy, spans }
    }

    /// Everything reported about a session. The caller is done with all its calls.
    pub async fn session(&self, id: &str) -> Session {
        let calls = self.calls().await;
        assert!(!calls.is_empty(), "the coding agent made no call");
        let mut session = Session::default();
        // The agent of each trace of the plugin, by the spans of calls in it.
        let mut agents = BTreeMap::new();
        let text = |span: &Span, key: &str| span.text(key).unwrap_or_default().to_owned();
        let own = self.own(calls.len()).await;
        for call in calls.iter().chain(&own) {
            if text(call, "gen_ai.conversation.id") == id {
                agents.insert(call.trace_id.clone(), text(call, "gaugeway.agent.id"));
            }
        }
        for call in calls.iter().filter(|call| text(call, "gen_ai.conversation.id") == id) {
            assert_eq!(call.text("gaugeway.parse_error"), None, "{call:?}");
            if call.text("gaugeway.outcome") != Some("completed") {
                session.refused += 1;
                continue;
            }
            let (agent, parent) = (text(call, "gaugeway.agent.id"), text(call, "gaugeway.agent.parent_id"));
            if !parent.is_empty() {
                session.parents.insert(agent.clone(), parent);
            }
            let tokens = tokens(call);
            session.agents.entry(agent).or_default().tokens += tokens;
            let model = session.models.entry(text(call, "gen_ai.response.model")).or_default();
            model.0 += tokens;
            model.1 += nano_dollars(call);
            session.clients.insert((text(call, "gaugeway.client.name"), text(call, "gaugeway.client.version")));
            session.loops += usize::from(call.text("gaugeway.agent.loop").is_some());
        }
        for span in &own {
            let Some(agent) = agents.get(&span.trace_id) else { continue };
            match span.name.split_once(' ') {
                None if span.name == "invoke_agent" => {
                    let run = (text(span, "gaugeway.agent.status"), number(span, "gaugeway.agent.iterations"));
                    session.runs.entry(agent.clone()).or_default().push(run);
                }
                Some(("execute_tool", name)) => {
                    let tool = Tool { name: name.to_owned(), took: span.duration, failed: span.status == "ERROR" };
                    session.agents.entry(agent.clone()).or_default().tools.push(tool);
                }
                _ => {}
            }
        }
        session
    }

    /// Number of runs of all sessions by status, as counted.
    pub async fn runs(&self) -> BTreeMap<String, usize> {
        let samples = self.envoy.samples().await;
        let counts = samples.iter().filter(|sample| sample.name == "gaugeway_agent_runs_total");
        let mut runs = BTreeMap::new();
        for sample in counts {
            *runs.entry(sample.label("status").to_owned()).or_default() += sample.value as usize;
        }
        runs
    }

    /// The sum of a counter over all its series.
    pub async fn count(&self, name: &str) -> u64 {
        total(&self.envoy.samples().await, name, &[]) as u64
    }

    /// The plugin's spans since the last time, once it has sent at least these numbers of spans whose names begin so.
    pub async fn own_spans(&self, wanted: &[(&str, usize)]) -> Vec<Span> {
        let own = || self.spans.spans().into_iter().filter(|span| span.service != "llm-gateway").collect::<Vec<_>>();
        let has = |spans: &[Span], (name, count): (&str, usize)| {
            spans.iter().filter(|span| span.name.starts_with(name)).count() >= count
        };
        let end = Instant::now() + PATIENCE;
        loop {
            let spans = own();
            if wanted.iter().all(|wanted| has(&spans, *wanted)) {
                self.spans.take_spans();
                return spans;
            }
            assert!(Instant::now() < end, "there are not yet {wanted:?}: {spans:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Envoy's spans, one per call, in the order of their starts.
    async fn calls(&self) -> Vec<Span> {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut calls = Vec::new();
        for entry in self.envoy.entries() {
            let id = entry["request_id"].as_str().expect("an access log line without a request");
            calls.push(self.spans.wait_for_request(id, PATIENCE).await.expect("Envoy sent no span for a call"));
        }
        calls.sort_by_key(|call| call.start);
        calls
    }

    /// The plugin's spans in the order of their starts, once it has sent one for each call. Those of a tool or a run come with
    /// the span of a call.
    async fn own(&self, calls: usize) -> Vec<Span> {
        let own = || self.spans.spans().into_iter().filter(|span| span.service != "llm-gateway");
        let end = Instant::now() + PATIENCE;
        while own().filter(|span| span.name.starts_with("chat ")).count() < calls && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut spans: Vec<_> = own().collect();
        spans.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
        spans
    }
}

fn number(span: &Span, key: &str) -> i64 {
    match span.attributes.get(key) {
        Some(Attribute::Int(number)) => *number,
        None => 0,
        Some(other) => panic!("{key} is {other:?}"),
    }
}

/// A time of a span in seconds.
pub fn seconds(span: &Span, key: &str) -> f64 {
    match span.attributes.get(key) {
        Some(Attribute::Double(seconds)) => *seconds,
        other => panic!("{key} is {other:?} in {span:#?}"),
    }
}

fn tokens(call: &Span) -> Tokens {
    Tokens {
        input: number(call, "gen_ai.usage.input_tokens"),
        cache_read: number(call, "gen_ai.usage.cache_read.input_tokens"),
        cache_write: number(call, "gen_ai.usage.cache_creation.input_tokens"),
        output: number(call, "gen_ai.usage.output_tokens"),
    }
}

fn nano_dollars(call: &Span) -> i64 {
    match call.attributes.get("gaugeway.cost.usd") {
        Some(Attribute::Double(usd)) => (usd * 1e9).round() as i64,
        other => panic!("gaugeway.cost.usd is {other:?} in {call:?}"),
    }
}
