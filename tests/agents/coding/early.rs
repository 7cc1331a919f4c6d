//! A coding agent executes a tool as soon as its model has asked for it. Here the model ends its answer only after the first tool of the answer has
//! been executed. Each call of MCP must still be below the tool call with its identifier.

use std::sync::Arc;

use serde_json::json;

use super::ABANDONED_AFTER;
use super::below::above;
use super::cli::{Cli, Program};
use super::gateway::Gateway;
use super::joins::{GAP, Scenario};
use super::model::{Model, Script, call};
use super::tools::{Relay, Tools};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_claude_code_that_end_before_the_answer_of_the_model_are_below_the_tool_call_with_their_id() {
    let tool = |name, input| call(name, input);
    let (add, ticket) =
        (|a| tool("mcp__tools__add", json!({"a": a, "b": 5})), || tool("mcp__tools__ticket", json!({"queue": "a"})));
    let scripts: Vec<(_, Script)> = vec![
        ("steps", vec![vec![add(2)], vec![add(10)]]),
        ("equal", vec![vec![ticket(), ticket()]]),
        ("failing", vec![vec![tool("mcp__tools__fail", json!({}))]]),
    ];
    let scenario = |script, tools| Scenario { model: "claude-opus-5-5", script, tools, runs: 1, program: None };
    let scenarios = [
        (scenario("steps", &["add", "add"]), 2),
        (scenario("equal", &["ticket", "ticket"]), 1),
        (scenario("failing", &["fail"]), 1),
    ];
    assert_joined(Program::ClaudeCode, false, scripts, &scenarios).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_codex_that_end_before_the_answer_of_the_model_are_below_the_tool_call_with_their_id() {
    assert_codex(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_codex_that_end_before_an_answer_over_a_websocket_are_below_the_tool_call_with_their_id() {
    assert_codex(true).await;
}

async fn assert_codex(websocket: bool) {
    let (add, ticket) =
        (|a| call("mcp__tools.add", json!({"a": a, "b": 5})), || call("mcp__tools.ticket", json!({"queue": "a"})));
    let ticket_of_program = "tools.mcp__tools__ticket({queue: 'a'})";
    let program = format!("text(JSON.stringify(await Promise.all([{ticket_of_program}, {ticket_of_program}])))");
    let scripts: Vec<(_, Script)> = vec![
        ("steps", vec![vec![add(2)], vec![add(10)]]),
        ("equal", vec![vec![ticket(), ticket()]]),
        ("failing", vec![vec![call("mcp__tools.fail", json!({}))]]),
        ("programs", vec![vec![call("functions.exec", program.into())]]),
    ];
    let scenario = |model, script, tools| Scenario { model, script, tools, runs: 1, program: None };
    let programs = Scenario { program: Some("exec"), ..scenario("gpt-6.1-sol", "programs", &["ticket"; 2]) };
    let scenarios = [
        (scenario("gpt-5.5", "steps", &["add", "add"]), 2),
        (scenario("gpt-5.5", "equal", &["ticket", "ticket"]), 1),
        (scenario("gpt-5.5", "failing", &["fail"]), 1),
        (scenario("gpt-6.1-sol", "equal", &["ticket", "ticket"]), 1),
        (programs, 1),
    ];
    assert_joined(Program::Codex, websocket, scripts, &scenarios).await;
}

/// Runs the scenarios, each with the number of calls that end before the answer of the model.
async fn assert_joined(
    program: Program,
    websocket: bool,
    scripts: Vec<(&'static str, Script)>,
    scenarios: &[(Scenario, usize)],
) {
    let tools = Arc::new(Tools::start().await);
    let executed = Arc::clone(&tools);
    let model = Model::held(scripts, GAP, Box::new(move || executed.calls().len())).await;
    let relay = if websocket { Some(Relay::before(model.addr).await) } else { None };
    let behind = relay.as_ref().map_or(model.addr, |relay| relay.addr);
    let gateway = Gateway::with_tools(behind, tools.addr, ABANDONED_AFTER).await;
    let mut seen = 0;
    for (scenario, early) in scenarios {
        let mut cli = Cli::new(program, gateway.envoy.addr).with_tools(&["add", "fail", "ticket"]);
        if websocket {
            cli = cli.over_websocket();
        }
        cli.session(scenario.model, [format!("script={}", scenario.script)].into_iter()).await;
        let calls = tools.calls().split_off(seen);
        seen += calls.len();
        scenario.assert_called(&calls);
        let spans = gateway.own_spans(&[("tools/call", calls.len()), ("invoke_agent", 1)]).await;
        let joined: Vec<_> = calls.iter().map(|call| scenario.below(program, call, &model, &spans)).collect();
        let ended = joined.iter().filter(|span| span.end < above(span, &spans).start).count();
        assert_eq!(ended, *early, "{program:?} {}: {spans:#?}", scenario.script);
        let mut parents: Vec<_> = joined.iter().map(|span| &span.parent_id).collect();
        parents.sort_unstable();
        parents.dedup();
        assert_eq!(parents.len(), if scenario.program.is_some() { 1 } else { calls.len() }, "{joined:#?}");
    }
    let entries = gateway.envoy.entries();
    assert_eq!(entries.iter().any(|entry| entry["response_code"] == 101), websocket, "{entries:#?}");
}
