//! PyPI's `mcp`, as client and server, through a real Envoy: what the gateway reports must be the server's own log.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::compare_times;
use crate::support::backend::{Backend, free, setting};
use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Attribute, Receiver, Span};
use crate::support::upstream::Upstream;

const PATIENCE: Duration = Duration::from_secs(20);

/// Durations in milliseconds, ascending, by method, target and failure.
type Operations = BTreeMap<(String, Option<String>, Option<String>), Vec<f64>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operations_of_every_version_and_form_are_those_of_the_servers_log() {
    for form in ["json", "stream"] {
        for (mode, version) in [("legacy", "2025-11-25"), ("2026-07-28", "2026-07-28")] {
            assert_same_operations(form, mode, version).await;
        }
    }
}

/// The scripted model calls the first tool twice at once with equal arguments, then the second tool, and then answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_run_of_an_agent_has_the_calls_of_its_tools_below_those_of_the_model() {
    let (server, tools) = start_server("stream").await;
    let model = Upstream::start(Vec::new()).await;
    let routes = [
        "{name: tools, match: {prefix: /mcp}, route: {cluster: tools, timeout: 0s}}",
        "{name: llm, match: {prefix: /}, route: {cluster: llm, timeout: 0s}, request_headers_to_add: [{header: {key: x-upstream, value: scripted}}]}",
    ];
    let endpoint =
        format!("{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}}}", tools.port());
    let cluster = format!(
        "{{name: tools, type: STATIC, load_assignment: {{cluster_name: tools, endpoints: [{{lb_endpoints: [{endpoint}]}}]}}}}"
    );
    let receiver = Receiver::start().await;
    let config = json!({"otlp": {"cluster": "otlp", "metrics_path": ""}});
    let options = Options { otlp: Some(receiver.addr), tracing: false, config, ..Options::to(model.addr) };
    let envoy = Envoy::start(&options.with(&routes, &[cluster])).await;

    let urls = ["v1", "mcp"].map(|path| format!("http://{}/{path}", envoy.addr));
    let agent = Command::new(python()).arg(script("agent.py")).args(urls).output().await.unwrap();
    assert!(agent.status.success(), "{}", String::from_utf8_lossy(&agent.stderr));
    let called: Vec<_> =
        std::str::from_utf8(&agent.stdout).unwrap().lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(called, ["add", "add", "slow"].repeat(3));

    let log = logged(&fs::read_to_string(server.folder.join("operations")).unwrap());
    let operations: usize = log.values().map(Vec::len).sum();
    // In each run three calls of the model and of tools, and the run.
    let spans = receiver.spans_of(operations + 3 * (3 + 3 + 1), PATIENCE).await;
    let runs: Vec<_> = spans.iter().filter(|span| span.name.starts_with("invoke_agent")).collect();
    let calls: Vec<_> = spans.iter().filter(|span| span.name.starts_with("tools/call")).collect();
    assert_eq!((runs.len(), calls.len()), (3, called.len()), "{spans:#?}");
    for call in calls {
        let run = runs.iter().find(|run| run.trace_id == call.trace_id).unwrap_or_else(|| panic!("{call:#?}"));
        let parent = spans.iter().find(|span| span.span_id == call.parent_id).map(|span| span.name.as_str());
        let (joined, above) = match call.text("gen_ai.tool.name") {
            Some("slow") => ("arguments", "execute_tool slow"),
            _ => ("ambiguous", &*run.name),
        };
        assert_eq!((call.text("gaugeway.mcp.join"), parent), (Some(joined), Some(above)), "{call:#?}");
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/mcp").join(name)
}

fn python() -> PathBuf {
    Path::new(&setting("GAUGEWAY_MCP")).join("bin/python")
}

/// Starts the server, which answers with JSON or with streams.
async fn start_server(form: &str) -> (Backend, SocketAddr) {
    let [addr] = free();
    let server = Backend::start("mcp", addr, "/healthy", |folder| {
        let mut command = Command::new(python());
        command.arg(script("server.py")).arg(addr.port().to_string()).arg(folder.join("operations"));
        command.args((form == "json").then_some("json"));
        command
    });
    (server.await, addr)
}

async fn assert_same_operations(form: &str, mode: &str, version: &str) {
    let (server, addr) = start_server(form).await;
    let receiver = Receiver::start().await;
    let config = json!({"otlp": {"cluster": "otlp", "metrics_path": ""}});
    let envoy = Envoy::start(&Options { otlp: Some(receiver.addr), tracing: false, config, ..Options::to(addr) }).await;

    let url = format!("http://{}/mcp", envoy.addr);
    let mut before = String::new();
    for _ in 0..2 {
        let client = Command::new(python()).arg(script("client.py")).args([&url, mode]).output().await.unwrap();
        assert!(client.status.success(), "{form} {mode}: {}", String::from_utf8_lossy(&client.stderr));
        let log = fs::read_to_string(server.folder.join("operations")).unwrap();
        let served = logged(log.strip_prefix(&before).unwrap());
        before = log;
        let count: usize = served.values().map(Vec::len).sum();
        let spans = receiver.spans_of(count, PATIENCE).await;
        receiver.take_spans();

        let seen = reported(&spans);
        let counts = |all: &Operations| all.iter().map(|(key, times)| (key.clone(), times.len())).collect::<Vec<_>>();
        assert_eq!(counts(&seen), counts(&served), "{form} {mode}");
        assert!(count > 30, "{served:?}");
        // An answer in JSON has no room for progress.
        let progress: i64 = spans.iter().map(progress).sum();
        assert_eq!(progress.to_string(), String::from_utf8_lossy(&client.stdout).trim(), "{form} {mode}");
        assert!(
            spans.iter().all(|span| span.text("mcp.protocol.version") == Some(version)),
            "{form} {mode}: {spans:#?}"
        );
        let has_session = |span: &Span| span.text("mcp.session.id").is_some();
        assert!(spans.iter().all(|span| has_session(span) == (mode == "legacy")), "{form} {mode}: {spans:#?}");

        compare_times(&served, &seen, &format!("{form} {mode}"));
    }
}

fn progress(span: &Span) -> i64 {
    match span.attributes.iter().find(|(name, _)| *name == "gaugeway.mcp.progress") {
        Some((_, Attribute::Int(count))) => *count,
        _ => 0,
    }
}

fn logged(log: &str) -> Operations {
    let mut all = Operations::new();
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| entry[name].as_str().map(str::to_owned);
        let key = (text("method").unwrap(), text("target"), text("error"));
        all.entry(key).or_default().push(entry["ms"].as_f64().unwrap());
    }
    sorted(all)
}

fn reported(spans: &[Span]) -> Operations {
    let mut all = Operations::new();
    for span in spans {
        let text = |name: &str| span.text(name).map(str::to_owned);
        let target = text("gen_ai.tool.name").or(text("gen_ai.prompt.name"));
        let key = (text("mcp.method.name").unwrap(), target, text("error.type"));
        all.entry(key).or_default().push(span.duration.as_secs_f64() * 1e3);
    }
    sorted(all)
}

fn sorted(mut all: Operations) -> Operations {
    all.values_mut().for_each(|times| times.sort_by(f64::total_cmp));
    all
}
