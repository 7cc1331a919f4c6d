//! Agents of frameworks call the tools of a real server of MCP through the gateway, for a scripted model. They send no identifier of the model's call,
//! so name and arguments must join.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use crate::coding::ABANDONED_AFTER;
use crate::coding::below::{above, below, span_of};
use crate::coding::gateway::Gateway;
use crate::coding::model::{Model, Script, call};
use crate::coding::tools::Tools;
use crate::support::backend::setting;

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_the_openai_agents_sdk_to_a_server_of_mcp_are_joined_by_name_and_arguments() {
    assert_joined("frameworks", "tools_openai_agents.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_langchain_to_a_server_of_mcp_are_joined_by_name_and_arguments() {
    assert_joined("crewai", "tools_langchain.py").await;
}

/// The model calls tools one after another and two at once, and in a second run one tool twice at once with equal arguments.
async fn assert_joined(environment: &str, script: &str) {
    let ticket = |queue| call("ticket", json!({"queue": queue}));
    let scripts: Vec<(_, Script)> = vec![
        ("steps", vec![vec![ticket("a")], vec![ticket("b"), call("add", json!({"b": 40, "a": 2}))], vec![ticket("a")]]),
        ("equal", vec![vec![ticket("a"), ticket("a")]]),
    ];
    let (tools, model) = (Tools::start().await, Model::start(scripts, &[]).await);
    let gateway = Gateway::with_tools(model.addr, tools.addr, ABANDONED_AFTER).await;

    run(environment, script, &gateway, "steps").await;
    let calls = tools.calls();
    assert_eq!(calls.len(), 4, "{calls:#?}");
    let spans = gateway.own_spans(&[("tools/call", 4), ("invoke_agent", 1)]).await;
    for served in &calls {
        assert!(!served.meta.to_string().contains("call_"), "it sends an identifier: {served:#?}");
        let results = model.results();
        let (id, _) =
            results.iter().find(|(_, text)| text.contains(&served.result)).expect("a result is not the model's");
        below(served, id, &served.tool, "arguments", &model, &spans);
    }

    run(environment, script, &gateway, "equal").await;
    let equal = tools.calls().split_off(calls.len());
    assert_eq!(equal.len(), 2, "{equal:#?}");
    let spans = gateway.own_spans(&[("tools/call", 2), ("invoke_agent", 1)]).await;
    for served in &equal {
        let span = span_of(served, &spans);
        assert_eq!(span.text("gaugeway.mcp.join"), Some("ambiguous"), "{span:#?}");
        assert!(above(span, &spans).name.starts_with("invoke_agent"), "{spans:#?}");
    }
}

/// Runs a script, whose prompt selects one of the model.
async fn run(environment: &str, script: &str, gateway: &Gateway, prompt: &str) {
    let python = Path::new(&setting("GAUGEWAY_AGENTS")).join(environment).join("bin/python");
    let run = Command::new(python)
        .arg("-B")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents").join(script))
        .args([format!("http://{}", gateway.envoy.addr), format!("script={prompt}")])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let run = tokio::time::timeout(PATIENCE, run).await.expect("the script did not end in time").unwrap();
    assert!(run.status.success(), "{script}: {}", String::from_utf8_lossy(&run.stderr));
}
