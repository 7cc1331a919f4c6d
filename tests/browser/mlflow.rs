//! The plugin's spans in MLflow's tracking server: the plugin of a real Envoy sends them, and the test reads them back
//! through MLflow's API.

use std::fs;

use crate::support::mlflow::Mlflow;
use crate::traffic::{self, CALLS, CONVERSATION, TURN};
use gaugeway_demo::repository;
use serde_json::{Map, Value, json};

/// MLflow's names for the tokens of the prompt, of the completion, read from a cache and written to it.
const TOKENS: [&str; 4] = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mlflow_shows_the_figures_of_calls_whose_spans_the_plugin_sends() {
    let mlflow = Mlflow::start().await;
    let clusters = "  clusters:\n".to_owned();
    let with_mlflow = format!("{clusters}{}", documented_cluster(mlflow.addr.port()));
    let otlp = json!({"cluster": "localhost", "metrics_path": ""});
    let (_envoy, traces) = traffic::send(otlp, |options| options.replace.push((clusters, with_mlflow))).await;
    for (call, trace) in CALLS.iter().zip(&traces.calls) {
        let trace = mlflow.trace(trace, 1).await;
        let [span] = trace["spans"].as_array().unwrap().as_slice() else {
            panic!("{} has more spans: {trace:#}", call.fixture)
        };
        assert_eq!(span["name"], format!("{} {}", call.operation, call.requested));
        assert_eq!(span["parent_span_id"], Value::Null, "{}", call.fixture);
        let info = &trace["trace_info"];
        let failed = call.answered.is_none();
        let (status, state) = if failed { (json!("STATUS_CODE_ERROR"), "ERROR") } else { (Value::Null, "OK") };
        assert_eq!((&span["status"]["code"], &info["state"]), (&status, &json!(state)), "{}", call.fixture);
        assert_eq!(info["trace_metadata"]["mlflow.trace.session"], CONVERSATION, "{}", call.fixture);
        let attributes = &span["attributes"];
        let kind = if call.operation == "embeddings" { "EMBEDDING" } else { "CHAT_MODEL" };
        assert_eq!(attributes["mlflow.spanType"], kind, "{}", call.fixture);
        assert_eq!(attributes["mlflow.llm.model"], call.answered.unwrap_or(call.requested), "{}", call.fixture);
        let usage = attributes.get("mlflow.chat.tokenUsage").cloned().unwrap_or_default();
        assert_eq!(usage, figures(call.tokens), "{}", call.fixture);
        // MLflow adds the totals of the spans, and a call without output tokens has none.
        let total = match call.operation {
            "embeddings" => json!({"input_tokens": call.tokens[0], "output_tokens": 0, "total_tokens": 0}),
            _ => usage,
        };
        assert_eq!(usage_of(info), total, "{}", call.fixture);
    }

    let trace = mlflow.trace(&traces.run, 6).await;
    let info = &trace["trace_info"];
    assert_eq!(info["state"], "OK");
    assert_eq!(usage_of(info), figures([Some(3 * TURN[0]), Some(3 * TURN[1]), None, None]));
    let spans = trace["spans"].as_array().unwrap();
    let agent = spans.iter().find(|span| span["name"] == "invoke_agent").expect("there is no span invoke_agent");
    assert_eq!(agent["parent_span_id"], Value::Null);
    let mut seen: Vec<_> = spans
        .iter()
        .map(|span| {
            let usage = &span["attributes"]["mlflow.chat.tokenUsage"];
            assert_eq!(
                *usage,
                if span["name"] == "chat gpt-4o" {
                    figures([Some(TURN[0]), Some(TURN[1]), None, None])
                } else {
                    Value::Null
                }
            );
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let is_below = span["parent_span_id"] == agent["span_id"];
            (text(&span["name"]), text(&span["attributes"]["mlflow.spanType"]), is_below)
        })
        .collect();
    seen.sort_unstable();
    let of = |name: &str, kind: &str, is_below| (name.to_owned(), kind.to_owned(), is_below);
    let chat = || of("chat gpt-4o", "CHAT_MODEL", true);
    let tool = |name: &str| of(&format!("execute_tool {name}"), "TOOL", true);
    assert_eq!(seen, [chat(), chat(), chat(), tool("read"), tool("search"), of("invoke_agent", "AGENT", false)]);
}

/// The tokens of a whole trace. Null if there are none.
fn usage_of(info: &Value) -> Value {
    let usage = info["trace_metadata"]["mlflow.trace.tokenUsage"].as_str();
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

/// The cluster of MLflow in envoy/README.md, with this port and the indentation of those in envoy.yaml.
fn documented_cluster(port: u16) -> String {
    let readme = fs::read_to_string(repository("envoy/README.md")).unwrap();
    let mut blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.find(|block| block.contains("x-mlflow-experiment-id")).expect("there is no cluster of MLflow");
    assert!(block.contains("port_value: 5000"), "MLflow's port is 5000: {block}");
    block.replace("5000", &port.to_string()).lines().map(|line| format!("  {line}\n")).collect()
}
