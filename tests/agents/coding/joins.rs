//! A coding agent calls the tools of a real server of MCP through the gateway, for its scripted model. Each of these calls must be below the span of
//! the tool call that the model made, which is the one whose identifier the agent sends to the server.

use std::time::Duration;

use serde_json::json;

use super::ABANDONED_AFTER;
use super::cli::{Cli, Program};
use super::gateway::{Gateway, seconds};
use super::model::{Model, Script, call};
use super::tools::{Served, Tools};
use crate::support::otlp::{Attribute, Span};
use crate::support::prometheus::{Sample, total};

/// The span of a call ends when its answer has passed Envoy, and the server's clock runs only while it has the request.
const LATE: Duration = Duration::from_millis(1500);

/// One start of a program.
struct Scenario {
    model: &'static str,
    script: &'static str,
    /// The tools that the server is called for, in any order.
    tools: &'static [&'static str],
    /// Number of runs: that of the main agent, and those of its sub-agents.
    runs: usize,
    /// The tool in which the calls are made, if the model writes programs.
    program: Option<&'static str>,
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
        ("steps", vec![vec![ticket()], vec![tool("mcp__tools__add", json!({"a": 1, "b": 2}))]]),
        ("equal", vec![vec![ticket(), ticket()]]),
        ("failing", vec![vec![tool("mcp__tools__fail", json!({}))]]),
        // Two sub-agents make equal calls at the same time.
        ("delegating", vec![vec![agent(), agent()]]),
        ("child", vec![vec![ticket()]]),
    ];
    let scenario = |script, tools, runs| Scenario { model: "claude-opus-5-5", script, tools, runs, program: None };
    let scenarios = [
        scenario("steps", &["add", "ticket"], 1),
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
        ("steps", vec![vec![ticket()], vec![call("mcp__tools.add", json!({"a": 1, "b": 2}))]]),
        ("equal", vec![vec![ticket(), ticket()]]),
        ("failing", vec![vec![call("mcp__tools.fail", json!({}))]]),
        ("programs", vec![vec![program(2)], vec![program(1)]]),
    ];
    let scenario = |model, script, tools| Scenario { model, script, tools, runs: 1, program: None };
    let programs = Scenario { program: Some("exec"), ..scenario("gpt-6.1-sol", "programs", &["ticket"; 3]) };
    let scenarios = [
        scenario("gpt-5.5", "steps", &["add", "ticket"]),
        scenario("gpt-5.5", "equal", &["ticket", "ticket"]),
        scenario("gpt-5.5", "failing", &["fail"]),
        scenario("gpt-6.1-sol", "equal", &["ticket", "ticket"]),
        // Each call of a program has an identifier that the model does not know, and the identifier of the program's item.
        programs,
    ];
    assert_joined(Program::Codex, scripts, &scenarios).await;
}

async fn assert_joined(program: Program, scripts: Vec<(&'static str, Script)>, scenarios: &[Scenario]) {
    let (tools, model) = (Tools::start().await, Model::start(scripts, &[]).await);
    let gateway = Gateway::with_tools(model.addr, tools.addr, ABANDONED_AFTER).await;
    let mut seen = 0;
    for scenario in scenarios {
        let cli = Cli::new(program, gateway.envoy.addr).with_tools(&["add", "fail", "ticket"]);
        cli.session(scenario.model, [format!("script={}", scenario.script)].into_iter()).await;
        let calls = tools.calls().split_off(seen);
        seen += calls.len();
        let mut called: Vec<_> = calls.iter().map(|call| &*call.tool).collect();
        called.sort_unstable();
        assert_eq!(called, scenario.tools, "{program:?} {}: {calls:#?}", scenario.script);
        let spans = gateway.own_spans(&[("tools/call", calls.len()), ("invoke_agent", scenario.runs)]).await;
        let joined: Vec<_> = calls.iter().map(|call| joined(program, scenario, call, &model, &spans)).collect();
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
    let subscriptions = if program == Program::ClaudeCode { scenarios.len() } else { 0 };
    assert_counted_once(&gateway, &tools, subscriptions).await;
}

/// Finds the span of a call, checks that it is below the right tool call, and returns it.
fn joined<'s>(program: Program, scenario: &Scenario, served: &Served, model: &Model, spans: &'s [Span]) -> &'s Span {
    let sent = |member: &str| served.meta[member].as_str().unwrap_or_else(|| panic!("no {member} in {served:#?}"));
    let of_item = || format!("call_{}", sent("itemId").trim_start_matches("ctc_"));
    let (id, as_called) = match (program, scenario.program) {
        (Program::ClaudeCode, _) => (sent("claudecode/toolUseId").to_owned(), format!("mcp__tools__{}", served.tool)),
        (Program::Codex, None) => (sent("callId").to_owned(), served.tool.clone()),
        (Program::Codex, Some(tool)) => (of_item(), tool.to_owned()),
    };
    let results = model.results();
    // The agent gave the model this result, so `id` is that of the model's call.
    let result = results.get(&id).unwrap_or_else(|| panic!("the model has no result for {id}: {results:#?}"));
    assert!(result.contains(&served.result), "{result} is not {served:#?}");

    let name = format!("tools/call {}", served.tool);
    let is_it = |span: &&Span| span.name == name && span.text("jsonrpc.request.id") == Some(&served.id);
    let found: Vec<_> = spans.iter().filter(is_it).collect();
    let [span] = found[..] else { panic!("{} spans for {served:#?}: {spans:#?}", found.len()) };
    let above = |span: &Span| {
        let parent = spans.iter().find(|parent| parent.span_id == span.parent_id);
        parent.unwrap_or_else(|| panic!("{span:#?} has no parent in {spans:#?}"))
    };
    let tool = above(span);
    let run = above(tool);
    let all = format!("{served:#?} {span:#?} {tool:#?} {run:#?}");
    assert_eq!(span.text("gaugeway.mcp.join"), Some("id"), "{all}");
    assert_eq!(
        (span.text("mcp.session.id").unwrap_or_default(), &*run.name),
        (&*served.session, "invoke_agent"),
        "{all}"
    );
    assert_eq!((&span.trace_id, &tool.trace_id), (&run.trace_id, &run.trace_id), "{all}");
    assert_eq!(tool.name, format!("execute_tool {as_called}"), "{all}");
    // The gateway read this size with the identifier in the model's next request. Equal calls have results of different sizes.
    let size = Attribute::Int(result.len() as i64);
    assert_eq!(tool.attributes.get("gaugeway.tool.result.bytes"), Some(&size), "{result} {all}");
    let has_size = |other: &&Span| other.attributes.get("gaugeway.tool.result.bytes") == Some(&size);
    assert_eq!(spans.iter().filter(has_size).count(), 1, "{all}");

    let failure = served.failed.then_some("tool_error");
    assert_eq!((span.text("error.type"), span.status == "ERROR"), (failure, served.failed), "{all}");
    let took = Duration::from_secs_f64(served.milliseconds / 1e3);
    let range = took.saturating_sub(Duration::from_millis(5))..took + LATE;
    assert!(range.contains(&span.duration), "the server says {took:?}: {all}");
    let (on_server, on_client) =
        (seconds(tool, "gaugeway.tool.server_time"), seconds(tool, "gaugeway.tool.client_time"));
    let calls = spans.iter().filter(|span| span.name.starts_with("tools/call") && span.parent_id == tool.span_id);
    assert!((on_server - open_seconds(calls)).abs() < 1e-6, "{all}");
    assert!(on_client > 0.0 && (on_server + on_client - tool.duration.as_secs_f64()).abs() < 1e-6, "{all}");
    span
}

/// How long at least one of these was open, in seconds.
fn open_seconds<'s>(spans: impl Iterator<Item = &'s Span>) -> f64 {
    let mut times: Vec<_> = spans.map(|span| (span.start, span.end)).collect();
    times.sort_unstable();
    let (mut open, mut until) = (0, 0);
    for (start, end) in times {
        open += end.max(until) - start.max(until);
        until = until.max(end);
    }
    open as f64 / 1e9
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
