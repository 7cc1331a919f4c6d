//! Spans in MLflow's tracking server: a real Envoy or its plugin sends them, and the test reads them back through
//! MLflow's API.

use std::fs;

use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::mlflow::Mlflow;
use crate::support::upstream::Upstream;
use crate::traffic::{self, CALLS, CONVERSATION, Call, TURN};
use gaugeway_demo::repository;
use serde_json::{Map, Value, json};

/// MLflow's names for the tokens of the prompt, of the completion, read from a cache and written to it.
const TOKENS: [&str; 4] = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mlflow_shows_the_figures_of_calls_whose_spans_the_plugin_or_envoy_sends() {
    let mlflow = Mlflow::start().await;
    let otlp = json!({"cluster": "localhost", "metrics_path": ""});
    let cluster = documented_cluster(mlflow.addr.port());
    let (_envoy, traces) = traffic::send(otlp, |options| options.replace.push(cluster.clone())).await;
    for (call, trace) in CALLS.iter().zip(&traces.calls) {
        let trace = mlflow.trace(trace, 1).await;
        let span = assert_call(call, &trace);
        assert_eq!(span["parent_span_id"], Value::Null, "{}", call.fixture);
        let info = &trace["trace_info"];
        assert_eq!(info["state"], if call.answered.is_none() { "ERROR" } else { "OK" }, "{}", call.fixture);
        assert_eq!(info["trace_metadata"]["mlflow.trace.session"], CONVERSATION, "{}", call.fixture);
    }
    assert_run(&mlflow.trace(&traces.run, 6).await);

    let upstream = Upstream::start(Fixture::all()).await;
    let tracer = ("cluster: otlp, timeout: 10s".to_owned(), "cluster: localhost, timeout: 10s".to_owned());
    let options = Options { replace: vec![cluster, tracer], ..Options::to(upstream.addr) };
    let envoy = Envoy::start(&options).await;
    for (call, trace) in CALLS.iter().zip(1..) {
        let trace = format!("{trace:032x}");
        let parent = format!("00-{trace}-b7ad6b7169203331-01");
        client::replay(envoy.addr, &Fixture::load(call.fixture), &[("traceparent", &parent)]).await;
        let trace = mlflow.trace(&trace, 1).await;
        assert_call(call, &trace);
        // MLflow waits for the span of the client.
        assert_eq!(trace["trace_info"]["state"], "IN_PROGRESS", "{}", call.fixture);
    }
}

/// Fails unless the trace has one span with the figures of the call. Returns the span.
fn assert_call<'t>(call: &Call, trace: &'t Value) -> &'t Value {
    let [span] = trace["spans"].as_array().unwrap().as_slice() else {
        panic!("{} has more than one span: {trace:#}", call.fixture)
    };
    assert_eq!(span["name"], format!("{} {}", call.operation, call.requested));
    let status = if call.answered.is_none() { json!("STATUS_CODE_ERROR") } else { Value::Null };
    assert_eq!(span["status"]["code"], status, "{}", call.fixture);
    let attributes = &span["attributes"];
    let kind = if call.operation == "embeddings" { "EMBEDDING" } else { "CHAT_MODEL" };
    assert_eq!(attributes["mlflow.spanType"], kind, "{}", call.fixture);
    assert_eq!(attributes["mlflow.llm.model"], call.answered.unwrap_or(call.requested), "{}", call.fixture);
    let usage = &attributes["mlflow.chat.tokenUsage"];
    assert_eq!(*usage, figures(call.tokens), "{}", call.fixture);
    // MLflow adds the totals of the spans, and a call without output tokens has none.
    let total = match call.operation {
        "embeddings" => json!({"input_tokens": call.tokens[0], "output_tokens": 0, "total_tokens": 0}),
        _ => usage.clone(),
    };
    assert_eq!(usage_of(trace), total, "{}", call.fixture);
    span
}

/// Fails unless the trace is that of the agent's run.
fn assert_run(trace: &Value) {
    assert_eq!(trace["trace_info"]["state"], "OK");
    assert_eq!(usage_of(trace), figures([Some(3 * TURN[0]), Some(3 * TURN[1]), None, None]));
    let spans = trace["spans"].as_array().unwrap();
    let agent = spans.iter().find(|span| span["name"] == "invoke_agent").expect("there is no span invoke_agent");
    assert_eq!(agent["parent_span_id"], Value::Null);
    let mut seen: Vec<_> = spans
        .iter()
        .map(|span| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (name, kind) = (text(&span["name"]), text(&span["attributes"]["mlflow.spanType"]));
            let tokens = if kind == "CHAT_MODEL" { TURN.map(Some) } else { [None; 2] };
            let usage = &span["attributes"]["mlflow.chat.tokenUsage"];
            assert_eq!(*usage, figures([tokens[0], tokens[1], None, None]), "{name}");
            (name, kind, span["parent_span_id"] == agent["span_id"])
        })
        .collect();
    seen.sort_unstable();
    let of = |name: &str, kind: &str, is_below| (name.to_owned(), kind.to_owned(), is_below);
    let chat = || of("chat gpt-4o", "CHAT_MODEL", true);
    let tool = |name: &str| of(&format!("execute_tool {name}"), "TOOL", true);
    assert_eq!(seen, [chat(), chat(), chat(), tool("read"), tool("search"), of("invoke_agent", "AGENT", false)]);
}

/// The tokens of a whole trace. Null if there are none.
fn usage_of(trace: &Value) -> Value {
    let usage = trace["trace_info"]["trace_metadata"]["mlflow.trace.tokenUsage"].as_str();
    usage.map(|json| serde_json::from_str(json).unwrap()).unwrap_or_default()
}

/// MLflow's form of the tokens of a call. Null if there are none.
fn figures(tokens: [Option<u64>; 4]) -> Value {
    let known = TOKENS.into_iter().zip(tokens).filter_map(|(name, tokens)| Some((name.to_owned(), json!(tokens?))));
    let mut usage: Map<_, _> = known.collect();
    if let [Some(prompt), Some(completion), ..] = tokens {
        usage.insert("total_tokens".to_owned(), json!(prompt + completion));
    }
    if usage.is_empty() { Value::Null } else { Value::Object(usage) }
}

/// The replacement that adds the cluster of MLflow in envoy/README.md, with this port, to envoy.yaml.
fn documented_cluster(port: u16) -> (String, String) {
    let readme = fs::read_to_string(repository("envoy/README.md")).unwrap();
    let mut blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.find(|block| block.contains("x-mlflow-experiment-id")).expect("there is no cluster of MLflow");
    assert!(block.contains("port_value: 5000"), "MLflow's port is 5000: {block}");
    let block = block.replace("5000", &port.to_string());
    let lines: String = block.lines().map(|line| format!("  {line}\n")).collect();
    ("  clusters:\n".to_owned(), format!("  clusters:\n{lines}"))
}
