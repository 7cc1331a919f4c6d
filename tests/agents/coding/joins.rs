//! A coding agent calls the tools of a real server of MCP through the gateway, for its scripted model. Each of these calls must be below the span of
//! the tool call that the model made, which is the one whose identifier the agent sends to the server.

use std::time::Duration;

use serde_json::json;

use super::ABANDONED_AFTER;
use super::below::{LATE, above, below};
use super::cli::{Cli, Program};
use super::gateway::Gateway;
use super::model::{Model, Script, call};
use super::tools::{Served, Tools};
use crate::support::otlp::Span;
use crate::support::prometheus::{Sample, total};

/// The time between the events of an answer. The programs begin with a tool call before the answer has ended.
pub const GAP: Duration = Duration::from_millis(20);

/// One start of a program.
pub struct Scenario {
    pub model: &'static str,
    pub script: &'static str,
    /// The tools that the server is called for, in any order.
    pub tools: &'static [&'static str],
    /// Number of runs: that of the main agent, and those of its sub-agents.
    pub runs: usize,
    /// The tool in which the calls are made, if the model writes programs.
    pub program: Option<&'static str>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_of_claude_code_to_a_server_of_mcp_is_below_the_tool_call_with_its_id() {
    let tool = |name, input| call(name, input);
    let ticket = || tool("mcp__tools__ticket", json!({"queue": "a"}));
    let agent = || {
        let input = json!({"description": "Do it", "prompt": "script=child", "subagent_type": "general-purpose", "run_in_background": false});
        tool("Agent", input)
    };
    let scripts: Vec<(_, Script)> = vec![
        ("steps", vec![vec![ticket()], vec![tool("mcp__tools__slow", json!({"milliseconds": 250}))]]),
        ("equal", vec![vec![ticket(), ticket()]]),
        ("failing", vec![vec![tool("mcp__tools__fail", json!({"milliseconds": 400}))]]),
        // Two sub-agents make equal calls at the same time.
        ("delegating", vec![vec![agent(), agent()]]),
        ("child", vec![vec![ticket()]]),
    ];
    let scenario = |script, tools, runs| Scenario { model: "claude-opus-5-5", script, tools, runs, program: None };
    let scenarios = [
        scenario("steps", &["slow", "ticket"], 1),
        scenario("equal", &["ticket", "ticket"], 1),
        scenario("failing", &["fail"], 1),
        scenario("delegating", &["ticket", "ticket"], 3),
    ];
    assert_joined(Program::ClaudeCode, scripts, &scenarios).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_of_codex_to_a_server_of_mcp_is_below_the_tool_call_with_its_id() {
    let ticket = || call("mcp__tools.ticket", json!({"queue": "a"}));
    // Makes equal calls at the same time.
    let program = |calls: usize| {
        let calls = "tools.mcp__tools__ticket({queue: 'a'}),".repeat(calls);
        call("functions.exec", format!("text(JSON.stringify(await Promise.all([{calls}])))").into())
    };
    let scripts: Vec<(_, Script)> = vec![
        ("steps", vec![vec![ticket()], vec![call("mcp__tools.slow", json!({"milliseconds": 250}))]]),
        ("equal", vec![vec![ticket(), ticket()]]),
        ("failing", vec![vec![call("mcp__tools.fail", json!({"milliseconds": 400}))]]),
        ("programs", vec![vec![program(2)], vec![program(1)]]),
    ];
    let scenario = |model, script, tools| Scenario { model, script, tools, runs: 1, program: None };
    let programs = Scenario { program: Some("exec"), ..scenario("gpt-6.1-sol", "programs", &["ticket"; 3]) };
    let scenarios = [
        scenario("gpt-5.5", "steps", &["slow", "ticket"]),
        scenario("gpt-5.5", "equal", &["ticket", "ticket"]),
        scenario("gpt-5.5", "failing", &["fail"]),
        scenario("gpt-6.1-sol", "equal", &["ticket", "ticket"]),
        // Each call of a program has an identifier that the model does not know, and the identifier of the program's item.
        programs,
    ];
    assert_joined(Program::Codex, scripts, &scenarios).await;
}

async fn assert_joined(program: Program, scripts: Vec<(&'static str, Script)>, scenarios: &[Scenario]) {
    let (tools, model) = (Tools::start().await, Model::paced(scripts, GAP).await);
    let gateway = Gateway::with_tools(model.addr, tools.addr, ABANDONED_AFTER).await;
    let (mut seen, mut early, mut failed) = (0, 0, 0);
    for scenario in scenarios {
        let cli = Cli::new(program, gateway.envoy.addr).with_tools(&["fail", "slow", "ticket"]);
        cli.session(scenario.model, [format!("script={}", scenario.script)].into_iter()).await;
        let calls = tools.calls().split_off(seen);
        seen += calls.len();
        scenario.assert_called(&calls);
        let spans = gateway.own_spans(&[("tools/call", calls.len()), ("invoke_agent", scenario.runs)]).await;
        let joined: Vec<_> = calls.iter().map(|call| scenario.below(program, call, &model, &spans)).collect();
        early += joined.iter().filter(|span| span.start < above(span, &spans).start).count();
        failed += joined.iter().filter(|span| above(span, &spans).status == "ERROR").count();
        if let [first, second] = &joined[..]
            && calls[0].tool == calls[1].tool
        {
            assert!(
                first.start < second.end && second.start < first.end,
                "they were not at the same time: {joined:#?}"
            );
            assert_ne!(first.parent_id, second.parent_id, "{joined:#?}");
            assert_eq!(first.trace_id != second.trace_id, scenario.runs > 1, "{joined:#?}");
        }
    }
    assert!(early > 0, "no tool was called before the answer had ended");
    assert_eq!(failed, 1, "the tool of the scenario `failing`");
    let subscriptions = if program == Program::ClaudeCode { scenarios.len() } else { 0 };
    assert_counted_once(&gateway, &tools, subscriptions).await;
}

impl Scenario {
    /// Checks that the server was called for these tools.
    pub fn assert_called(&self, calls: &[Served]) {
        let mut called: Vec<_> = calls.iter().map(|call| &*call.tool).collect();
        called.sort_unstable();
        assert_eq!(called, self.tools, "{} with {}: {calls:#?}", self.script, self.model);
    }

    /// Checks that the span of a call is below that of the tool call whose identifier the program has sent. Returns it.
    pub fn below<'s>(&self, program: Program, served: &Served, model: &Model, spans: &'s [Span]) -> &'s Span {
        let sent = |member: &str| served.meta[member].as_str().unwrap_or_else(|| panic!("no {member} in {served:#?}"));
        let tool = &served.tool;
        match (program, self.program) {
            (Program::ClaudeCode, _) => {
                below(served, sent("claudecode/toolUseId"), &format!("mcp__tools__{tool}"), "id", model, spans)
            }
            (Program::Codex, None) => below(served, sent("callId"), tool, "id", model, spans),
            // The scripted model's identifiers of a call and of its item have equal ends.
            (Program::Codex, Some(program)) => {
                let id = sent("itemId").replace("ctc_", "call_");
                assert!(
                    !model.results().contains_key(sent("callId")),
                    "the model knows the call of the program: {served:#?}"
                );
                below(served, &id, program, "id", model, spans)
            }
        }
    }
}

/// The metric counts as many operations as the server logged, by method. A subscription has no answer, so the server does not log it.
/// Claude Code has one per start, which is no failure when it leaves.
async fn assert_counted_once(gateway: &Gateway, tools: &Tools, subscriptions: usize) {
    let log = tools.log();
    let count = |samples: &[Sample], method: &str, failure: Option<&str>| {
        let labels = [("mcp_method_name", method), ("error_type", failure.unwrap_or_default())];
        let labels = &labels[..1 + usize::from(failure.is_some())];
        total(samples, "mcp_client_operation_duration_microseconds_count", labels) as usize
    };
    let listen = "subscriptions/listen";
    let counted = gateway.envoy.samples_when(|samples| count(samples, listen, None) >= subscriptions, LATE * 10).await;
    let failed = count(&counted, listen, Some("client_disconnect"));
    assert_eq!((count(&counted, listen, None), failed), (subscriptions, 0));
    let methods = ["initialize", "server/discover", "tools/list", "tools/call", "prompts/list", "resources/list"];
    let mut all = 0;
    for method in methods {
        let logged = log.iter().filter(|entry| entry["method"] == method).count();
        assert_eq!(count(&counted, method, None), logged, "{method}");
        all += logged;
    }
    assert_eq!(all, log.len(), "another method: {log:#?}");
}
