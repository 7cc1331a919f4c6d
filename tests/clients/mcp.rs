//! PyPI's `mcp`, as client and server, through a real Envoy: what the gateway reports must be the server's own log.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::backend::{Backend, free, setting};
use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Attribute, Receiver, Span};

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

async fn assert_same_operations(form: &str, mode: &str, version: &str) {
    let [addr] = free();
    let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/mcp").join(name);
    let python = Path::new(&setting("GAUGEWAY_MCP")).join("bin/python");
    let server = Backend::start("mcp", addr, "/healthy", |folder| {
        let mut command = Command::new(&python);
        command.arg(script("server.py")).arg(addr.port().to_string()).arg(folder.join("operations"));
        command.args((form == "json").then_some("json"));
        command
    })
    .await;
    let receiver = Receiver::start().await;
    let config = json!({"otlp": {"cluster": "otlp", "metrics_path": ""}});
    let envoy = Envoy::start(&Options { otlp: Some(receiver.addr), tracing: false, config, ..Options::to(addr) }).await;

    let url = format!("http://{}/mcp", envoy.addr);
    let mut before = String::new();
    let mut late = Vec::new();
    // The first calls open connections and compile, and other tests may keep the machine busy. So the times must agree in one of several runs;
    // all else must agree in each.
    for _ in 0..12 {
        let client = Command::new(&python).arg(script("client.py")).args([&url, mode]).output().await.unwrap();
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

        late = differences(&served, &seen);
        println!("{form} {mode}: {} of {count} differ by more than 2 ms and 5%", late.len());
        if late.len() * 20 <= count {
            return;
        }
    }
    panic!("{form} {mode}: {late:#?}");
}

/// The operations whose times differ by more than 2 ms and 5%.
fn differences(served: &Operations, seen: &Operations) -> Vec<String> {
    let mut late = Vec::new();
    for (key, times) in served {
        for (served, seen) in times.iter().zip(&seen[key]) {
            if (seen - served).abs() > f64::max(2.0, served * 0.05) {
                late.push(format!("{key:?}: {served} ms, the gateway says {seen} ms"));
            }
        }
    }
    late
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
