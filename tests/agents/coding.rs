//! Claude Code and Codex from npm, with a scripted model behind a real Envoy with the plugin. What the gateway reports per
//! session and per sub-agent must be what the programs report and record: tokens, cost, runs and tool calls.

pub mod below;
mod cli;
mod early;
pub mod gateway;
mod joins;
pub mod model;
mod records;
pub mod tools;

use std::fmt::Debug;
use std::time::Duration;

use serde_json::json;

use cli::{Cli, Program, Report};
use gateway::{Gateway, Session};
use model::{Model, Script, call};
use records::Agent;

/// `agent.abandoned_after` of the gateway. No tool of these tests takes as long.
pub const ABANDONED_AFTER: Duration = Duration::from_secs(15);
/// The gateway measures a tool from the end of the answer to the next request. The programs record the results and write
/// the request in between.
const SLACK: Duration = Duration::from_millis(2500);

/// Statuses with which the model refuses the first requests of the script `refused`. The program tries again.
const REFUSED_TO_CLAUDE_CODE: [u16; 2] = [500, 429];
/// Codex does not try again after 429.
const REFUSED_TO_CODEX: [u16; 2] = [500, 503];

/// A session of a program: its prompts, and the iterations of its runs.
struct Scenario {
    model: &'static str,
    /// The scripts that the prompts select, one prompt per start of the program.
    scripts: &'static [&'static str],
    /// Iterations of the main agent's runs.
    main: &'static [i64],
    /// Iterations of the run of each sub-agent, sorted.
    sub_agents: &'static [i64],
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claude_code_reports_the_tokens_and_the_cost_that_the_gateway_reports() {
    let scenario = |model, scripts, main, sub_agents| Scenario { model, scripts, main, sub_agents };
    let scenarios = [
        scenario("claude-opus-5-5", &["steps"], &[4], &[]),
        scenario("claude-sonnet-4-5-20250929", &["steps"], &[4], &[]),
        scenario("claude-sonnet-5-5", &["parallel"], &[2], &[]),
        scenario("claude-haiku-4-5-20251001", &["failing"], &[3], &[]),
        scenario("claude-sonnet-5", &["refused"], &[2], &[]),
        scenario("claude-opus-5-5", &["delegating"], &[3], &[2, 3]),
        scenario("claude-sonnet-5-5", &["nested"], &[2], &[2, 3]),
        // The result of the tool says that the sub-agent works in the background. Its own result comes as a new message.
        scenario("claude-opus-4-5-20251101", &["background"], &[2, 1], &[3]),
        scenario("claude-opus-5-5", &["steps", "parallel"], &[4, 2], &[]),
        // The context is full after the first prompt: the program asks for a summary of the conversation. The price of this
        // model is higher above 100,000 input tokens.
        scenario("claude-haiku-5-5", &["full", "steps"], &[1, 1, 4], &[]),
    ];
    let model = Model::start(claude_code_scripts(), &REFUSED_TO_CLAUDE_CODE).await;
    compare(Program::ClaudeCode, &model, &scenarios).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codex_reports_the_tokens_that_the_gateway_reports() {
    let scenario = |model, scripts, main, sub_agents| Scenario { model, scripts, main, sub_agents };
    let scenarios = [
        scenario("gpt-5.5", &["steps"], &[3], &[]),
        scenario("gpt-5.5", &["parallel"], &[2], &[]),
        scenario("gpt-5.5", &["failing"], &[4], &[]),
        scenario("gpt-5.5", &["refused"], &[2], &[]),
        scenario("gpt-5.1-codex", &["delegating"], &[3], &[3]),
        scenario("gpt-5.5", &["steps", "parallel"], &[3, 2], &[]),
        // Newer models write programs that call the tools. Their requests have tools only among the messages.
        scenario("gpt-6.1-sol", &["programs"], &[3], &[]),
        scenario("gpt-6.1-sol", &["forking"], &[3], &[2]),
    ];
    let model = Model::start(codex_scripts(), &REFUSED_TO_CODEX).await;
    compare(Program::Codex, &model, &scenarios).await;
}

/// Runs the scenarios, and compares what the gateway and the program report.
async fn compare(program: Program, model: &Model, scenarios: &[Scenario]) {
    let gateway = Gateway::start(model.addr, ABANDONED_AFTER).await;
    let mut found = Vec::new();
    for scenario in scenarios {
        let cli = Cli::new(program, gateway.envoy.addr);
        let prompts = scenario.scripts.iter().map(|script| format!("script={script}"));
        let report = cli.session(scenario.model, prompts).await;
        let session = gateway.session(&report.session).await;
        found.extend(scenario.differences(program, &session, &report));
    }
    // Nothing may be counted later.
    tokio::time::sleep(ABANDONED_AFTER + Duration::from_secs(5)).await;
    let runs: usize = scenarios.iter().map(|scenario| scenario.main.len() + scenario.sub_agents.len()).sum();
    let (counted, loops) = (gateway.runs().await, gateway.count("gaugeway_agent_loops_total").await);
    if counted != [("completed".to_owned(), runs)].into() || loops > 0 {
        found.push(format!("the runs counted are {counted:?}, not {runs} completed ones, and {loops} loops, not 0"));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

impl Scenario {
    fn name(&self) -> String {
        format!("{} with {}", self.scripts.join(" and "), self.model)
    }

    /// Compares the gateway's report with the program's, and the runs with those of the scenario. Returns the differences.
    fn differences(&self, program: Program, session: &Session, report: &Report) -> Vec<String> {
        let mut found = Vec::new();
        let mut same = |what: &str, own: &dyn Debug, other: &dyn Debug| {
            let (own, other) = (format!("{own:?}"), format!("{other:?}"));
            if own != other {
                found.push(format!("{}: {what}: {own}, not {other}", self.name()));
            }
        };
        if program == Program::ClaudeCode {
            same("tokens and cost of models", &session.models, &report.models);
        }
        same("agents", &session.agents.keys(), &report.agents.keys());
        let nested = session.parents.values().filter(|parent| report.agents.contains_key(*parent)).count();
        same("parents", &(session.parents.len(), nested), &if self.scripts == ["nested"] { (1, 1) } else { (0, 0) });
        let nobody = Agent::default();
        for (id, own) in &session.agents {
            let agent = report.agents.get(id).unwrap_or(&nobody);
            same(&format!("tokens of agent {id:?}"), &own.tokens, &agent.tokens);
            let tools = |agent: &Agent| -> Vec<_> {
                // Codex does not record which failed.
                let failed = |failed: bool| failed && program == Program::ClaudeCode;
                agent.tools.iter().map(|tool| (tool.name.clone(), failed(tool.failed))).collect()
            };
            same(&format!("tools of agent {id:?}, and which failed"), &tools(own), &tools(agent));
            for (own, tool) in own.tools.iter().zip(&agent.tools) {
                let range = tool.took.saturating_sub(Duration::from_millis(50))..tool.took + SLACK;
                same(&format!("{own:?} took between {range:?}"), &range.contains(&own.took), &true);
            }
        }
        let completed = |iterations: &i64| ("completed".to_owned(), *iterations);
        let mut runs = session.runs.clone();
        let main: Vec<_> = self.main.iter().map(completed).collect();
        same("runs of the main agent", &runs.remove("").unwrap_or_default(), &main);
        let mut sub_agents: Vec<_> = runs.into_values().flatten().collect();
        sub_agents.sort_by_key(|run| run.1);
        same("runs of sub-agents", &sub_agents, &self.sub_agents.iter().map(completed).collect::<Vec<_>>());
        same("calls in loops", &session.loops, &0);
        same("refused calls", &session.refused, &if self.scripts == ["refused"] { 2 } else { 0 });
        let client = match program {
            Program::ClaudeCode => ("claude-code", "2.1.332"),
            Program::Codex => ("codex", "0.171.0"),
        };
        let clients: Vec<_> = session.clients.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
        same("clients", &clients, &[client]);
        found
    }
}

fn claude_code_scripts() -> Vec<(&'static str, Script)> {
    let bash = |command: &str| call("Bash", json!({"command": command, "description": "Do it"}));
    let read = |file: &str| call("Read", json!({"file_path": file}));
    let agent = |script: &str, kind: &str| {
        let prompt = format!("script={script}");
        call(
            "Agent",
            json!({"description": "Do it", "prompt": prompt, "subagent_type": kind, "run_in_background": false}),
        )
    };
    let background = json!({"description": "Do it", "prompt": "script=child", "subagent_type": "general-purpose"});
    vec![
        ("steps", vec![vec![bash("sleep 0.5")], vec![read("/etc/hostname")], vec![bash("ls")]]),
        ("parallel", vec![vec![bash("sleep 0.4"), bash("sleep 0.1"), read("/etc/hostname")]]),
        ("refused", vec![vec![bash("ls")]]),
        ("full", vec![]),
        ("failing", vec![vec![bash("exit 3")], vec![read("/nowhere")]]),
        ("delegating", vec![vec![agent("child", "general-purpose"), agent("short", "Explore")], vec![bash("ls")]]),
        ("nested", vec![vec![agent("middle", "general-purpose")]]),
        ("middle", vec![vec![agent("child", "general-purpose")]]),
        ("background", vec![vec![call("Agent", background)]]),
        ("child", vec![vec![bash("sleep 0.2")], vec![read("/etc/hostname")]]),
        ("short", vec![vec![bash("sleep 0.3")]]),
    ]
}

fn codex_scripts() -> Vec<(&'static str, Script)> {
    let command = |command: &str| call("exec_command", json!({"cmd": command}));
    let program = |commands: &[&str]| {
        let commands: String =
            commands.iter().map(|command| format!("tools.exec_command({{cmd: '{command}'}}),")).collect();
        call("functions.exec", format!("text(await Promise.all([{commands}]))").into())
    };
    let spawn = call("multi_agent_v1.spawn_agent", json!({"message": "script=child"}));
    let wait = call("multi_agent_v1.wait_agent", json!({"targets": ["AGENT"], "timeout_ms": 20_000}));
    let fork = call("collaboration.spawn_agent", json!({"task_name": "look", "message": "script=fork"}));
    let join = call("collaboration.wait_agent", json!({"timeout_ms": 20_000}));
    vec![
        ("steps", vec![vec![command("sleep 0.5")], vec![command("cat notes.txt")]]),
        ("parallel", vec![vec![command("sleep 0.4"), command("sleep 0.1")]]),
        ("refused", vec![vec![command("ls")]]),
        (
            "failing",
            vec![
                vec![command("exit 3")],
                vec![command("cat nowhere")],
                vec![call("view_image", json!({"path": "/nowhere"}))],
            ],
        ),
        ("delegating", vec![vec![spawn], vec![wait]]),
        ("child", vec![vec![command("sleep 0.2")], vec![command("cat notes.txt")]]),
        ("programs", vec![vec![program(&["sleep 0.5"])], vec![program(&["ls", "cat notes.txt"])]]),
        ("forking", vec![vec![fork], vec![join]]),
        ("fork", vec![vec![program(&["sleep 0.2"])]]),
    ]
}
