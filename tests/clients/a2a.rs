//! PyPI's `a2a-sdk`, as client and server, through a real Envoy: what the gateway reports must be the server's own log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::compare_times;
use crate::support::backend::{Backend, free, setting};
use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Attribute, Receiver, Span};
use crate::support::prometheus::{Sample, total};

const PATIENCE: Duration = Duration::from_secs(20);
const OPERATIONS: &str = "gaugeway_a2a_operation_duration_microseconds";
const TASKS: &str = "gaugeway_task_duration_microseconds";
const TRANSPORTS: [&str; 2] = ["jsonrpc", "rest"];
/// The operations that every client does.
const COMMON: [&str; 5] = ["CancelTask", "GetTask", "SendMessage", "SendStreamingMessage", "SubscribeToTask"];
const ADDED: [&str; 3] = ["CreateTaskPushNotificationConfig", "GetExtendedAgentCard", "GetTaskPushNotificationConfig"];
const ADDED_IN_JSON_RPC: [&str; 2] = ["DeleteTaskPushNotificationConfig", "ListTaskPushNotificationConfigs"];

/// A kind of operation, as both sides must report it. Of an answer without a state the id of the task is unknown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reported {
    method: String,
    error: Option<String>,
    state: Option<String>,
    task: Option<String>,
    context: Option<String>,
}

/// Durations in milliseconds, ascending.
type Durations = BTreeMap<Reported, Vec<f64>>;

/// A client, and what it speaks.
struct Form {
    script: &'static str,
    transport: &'static str,
    version: &'static str,
    methods: BTreeSet<&'static str>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operations_and_tasks_of_version_1_0_are_those_of_the_servers_log() {
    for transport in TRANSPORTS {
        let methods = [&COMMON[..], &ADDED, &ADDED_IN_JSON_RPC, &["ListTasks"]].concat().into_iter().collect();
        assert_same_operations(&Form { script: "client.py", transport, version: "1.0", methods }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operations_and_tasks_of_version_0_3_are_those_of_the_servers_log() {
    for transport in TRANSPORTS {
        let some: &[&str] = if transport == "jsonrpc" { &ADDED_IN_JSON_RPC } else { &[] };
        let methods = [&COMMON[..], &ADDED, some].concat().into_iter().collect();
        assert_same_operations(&Form { script: "client.py", transport, version: "0.3", methods }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operations_and_tasks_of_a_client_that_names_no_version_are_those_of_the_servers_log() {
    for transport in TRANSPORTS {
        let methods = COMMON.into_iter().collect();
        assert_same_operations(&Form { script: "old_client.py", transport, version: "0.3", methods }).await;
    }
}

/// Compares what the client, the server and the gateway say.
async fn assert_same_operations(form: &Form) {
    let [addr] = free();
    let server = Backend::start("a2a", addr, "/healthy", |folder| {
        let mut command = Command::new(python());
        command.arg(script("server.py")).arg(addr.port().to_string()).arg(folder.join("operations"));
        command
    })
    .await;
    let receiver = Receiver::start().await;
    let config = json!({"otlp": {"cluster": "otlp", "metrics_path": ""}});
    let envoy = Envoy::start(&Options { otlp: Some(receiver.addr), tracing: false, config, ..Options::to(addr) }).await;

    let name = format!("{} {} {}", form.script, form.transport, form.version);
    let mut all = Vec::new();
    for _ in 0..2 {
        let made = run(form, &envoy).await;
        let log = logged(&server, all.len() + made.len()).await;
        let served = log[all.len()..].to_vec();
        all = log;
        assert_eq!(seen_by_both(&made), seen_by_both(&served), "{name}: the client and the server");
        let methods: BTreeSet<_> = served.iter().map(|entry| entry["method"].as_str().unwrap()).collect();
        assert!(methods == form.methods && served.len() > 40, "{name}: {methods:?}, {} operations", served.len());

        let spans = receiver.spans_of(served.len(), PATIENCE).await;
        receiver.take_spans();
        let (logged, seen) = (by_log(&served), by_spans(&spans));
        let counts = |all: &Durations| all.iter().map(|(key, times)| (key.clone(), times.len())).collect::<Vec<_>>();
        assert_eq!(counts(&seen), counts(&logged), "{name}");
        spans.iter().for_each(|span| assert_attributes(span, form, &envoy));
        assert_metrics(&envoy, &all, &name).await;

        compare_times(&logged, &seen, &name);
    }
}

/// Runs the client and returns the operations that it made.
async fn run(form: &Form, envoy: &Envoy) -> Vec<Value> {
    let mut command = Command::new(python());
    command.arg(script(form.script)).arg(format!("http://{}", envoy.addr)).arg(form.transport).kill_on_drop(true);
    if form.script == "old_client.py" {
        command.env("PYTHONPATH", Path::new(&setting("GAUGEWAY_A2A")).join("old"));
    } else {
        command.arg(form.version);
    }
    let client =
        tokio::time::timeout(Duration::from_secs(300), command.output()).await.expect("the client hangs").unwrap();
    assert!(client.status.success(), "{}: {}", form.script, String::from_utf8_lossy(&client.stderr));
    entries(&client.stdout)
}

fn assert_attributes(span: &Span, form: &Form, envoy: &Envoy) {
    let method = span.text("rpc.method").unwrap();
    let error = span.text("error.type");
    let int = |name: &str| match span.attributes.get(name) {
        Some(Attribute::Int(value)) => Some(*value),
        None => None,
        other => panic!("{name} is {other:?}"),
    };
    assert_eq!((&*span.name, &*span.kind, span.status == "ERROR"), (method, "CLIENT", error.is_some()), "{span:#?}");
    assert_eq!(span.text("gen_ai.operation.name"), sends(method).then_some("invoke_agent"), "{span:#?}");
    assert_eq!(span.text("gaugeway.a2a.version"), Some(form.version), "{span:#?}");
    // The SDK's ids are UUIDs.
    let id = span.text("jsonrpc.request.id").map(str::len);
    assert_eq!(id, (form.transport == "jsonrpc").then_some(36), "{span:#?}");
    let code = error.and_then(|error| error.parse().ok()).filter(|_| form.transport == "jsonrpc");
    assert_eq!(int("rpc.response.status_code"), code, "{span:#?}");
    let port = i64::from(envoy.addr.port());
    assert_eq!((span.text("server.address"), int("server.port")), (Some("127.0.0.1"), Some(port)), "{span:#?}");
}

/// Checks that every operation of the log has a sample, and every task that ended has one, however many operations showed its end.
async fn assert_metrics(envoy: &Envoy, log: &[Value], name: &str) {
    let (mut operations, mut ended, mut times) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for entry in log {
        let key = vec![text(entry, "method").unwrap(), "127.0.0.1".to_owned(), failure(entry).unwrap_or_default()];
        *operations.entry(key).or_insert(0) += 1;
        let Some((task, state)) = text(entry, "task").zip(text(entry, "state")) else { continue };
        let start = entry["at"].as_f64().unwrap() * 1e3;
        let (first, end) = times.entry(task.clone()).or_insert((start, f64::MAX));
        *first = first.min(start);
        if ["completed", "failed", "rejected", "canceled"].contains(&&*state) {
            *end = end.min(start + entry["ms"].as_f64().unwrap());
            ended.insert(task, state);
        }
    }
    assert!(times.len() == ended.len() && log.len() > ended.len() * 3 / 2, "{name}: a task has not ended: {times:?}");
    let mut tasks = BTreeMap::new();
    ended.values().for_each(|state| *tasks.entry(vec![state.clone()]).or_insert(0) += 1);

    let (count, count_of_tasks) = (format!("{OPERATIONS}_count"), format!("{TASKS}_count"));
    let there = |samples: &[Sample]| {
        let [operations, tasks] = [&count, &count_of_tasks].map(|name| total(samples, name, &[]) as usize);
        operations >= log.len() && tasks >= ended.len()
    };
    let samples = envoy.samples_when(there, PATIENCE).await;
    assert_eq!(by_labels(&samples, &count, &["rpc_method", "server_address", "error_type"]), operations, "{name}");
    assert_eq!(by_labels(&samples, &count_of_tasks, &["task_state"]), tasks, "{name}");

    // From the request that began a task to the first answer that showed its end.
    let completed = ended.iter().filter(|(_, state)| *state == "completed").map(|(task, _)| times[task]);
    let expected: f64 = completed.map(|(first, end)| end - first).sum();
    let sum = total(&samples, &format!("{TASKS}_sum"), &[("task_state", "completed")]) / 1e3;
    assert!(
        (sum - expected).abs() < expected * 0.1,
        "{name}: completed tasks took {expected} ms, the gateway says {sum}"
    );
}

fn by_labels(samples: &[Sample], name: &str, labels: &[&str]) -> BTreeMap<Vec<String>, u64> {
    let mut all = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.name == name && sample.value > 0.0) {
        let key: Vec<_> = labels.iter().map(|label| sample.label(label).to_owned()).collect();
        *all.entry(key).or_insert(0) += sample.value as u64;
    }
    all
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/a2a").join(name)
}

fn python() -> PathBuf {
    Path::new(&setting("GAUGEWAY_A2A")).join("bin/python")
}

fn entries(lines: &[u8]) -> Vec<Value> {
    std::str::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The server's log once it has `count` lines. The server may learn that a client has left after the client has ended.
async fn logged(server: &Backend, count: usize) -> Vec<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let log = fs::read(server.folder.join("operations")).unwrap();
        if log.iter().filter(|byte| **byte == b'\n').count() >= count || Instant::now() >= end {
            return entries(&log);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn text(entry: &Value, name: &str) -> Option<String> {
    entry[name].as_str().map(str::to_owned)
}

fn sends(method: &str) -> bool {
    ["SendMessage", "SendStreamingMessage"].contains(&method)
}

/// The `error.type` that the gateway must report.
fn failure(entry: &Value) -> Option<String> {
    if entry["left"] == true {
        return Some("client_disconnect".to_owned());
    }
    let ended = match entry["state"].as_str() {
        Some("failed") => Some("task_failed"),
        Some("rejected") => Some("task_rejected"),
        _ => None,
    };
    text(entry, "error").or_else(|| ended.filter(|_| sends(entry["method"].as_str().unwrap())).map(str::to_owned))
}

/// The number of operations by method and task: both the client and the server write these. They name errors differently.
fn seen_by_both(entries: &[Value]) -> Vec<String> {
    let seen = |entry: &Value| {
        let [method, task, state, left] = ["method", "task", "state", "left"].map(|name| &entry[name]);
        format!("{method} {task} {state}, left: {left}, failed: {}", !entry["error"].is_null())
    };
    let mut all: Vec<_> = entries.iter().map(seen).collect();
    all.sort();
    all
}

fn by_log(log: &[Value]) -> Durations {
    let mut all = Durations::new();
    for entry in log {
        let [state, task, context] = ["state", "task", "context"].map(|name| text(entry, name));
        let key = Reported { method: text(entry, "method").unwrap(), error: failure(entry), state, task, context };
        all.entry(key).or_default().push(entry["ms"].as_f64().unwrap());
    }
    sorted(all)
}

fn by_spans(spans: &[Span]) -> Durations {
    let mut all = Durations::new();
    for span in spans {
        let text = |name: &str| span.text(name).map(str::to_owned);
        let state = text("gaugeway.task.state");
        let key = Reported {
            method: text("rpc.method").unwrap_or_else(|| panic!("{span:#?}")),
            error: text("error.type"),
            task: text("gaugeway.task.id").filter(|_| state.is_some()),
            context: text("gen_ai.conversation.id"),
            state,
        };
        all.entry(key).or_default().push(span.duration.as_secs_f64() * 1e3);
    }
    sorted(all)
}

fn sorted(mut all: Durations) -> Durations {
    all.values_mut().for_each(|times| times.sort_by(f64::total_cmp));
    all
}
