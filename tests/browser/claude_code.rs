//! A session of Claude Code with a scripted model.

#![allow(dead_code, reason = "the test group agents uses all of these files")]

#[path = "../agents/coding/cli.rs"]
mod cli;
#[path = "../agents/coding/model.rs"]
mod model;
#[path = "../agents/coding/records.rs"]
mod records;

use std::net::SocketAddr;

use serde_json::json;

use cli::{Cli, Program};
pub use model::Model;
use model::call;

/// Starts a model that first lets Claude Code run a command that fails, then two commands at the same time, then a sub-agent.
pub async fn model() -> Model {
    let bash = |command: &str| call("Bash", json!({"command": command, "description": "Do it"}));
    let agent = json!({
        "description": "Look", "prompt": "script=child", "subagent_type": "general-purpose", "run_in_background": false,
    });
    let main = vec![vec![bash("exit 3")], vec![bash("sleep 0.2"), bash("ls")], vec![call("Agent", agent)]];
    let child = vec![vec![bash("sleep 0.1")], vec![call("Read", json!({"file_path": "/nowhere"}))]];
    Model::start(vec![("main", main), ("child", child)], &[]).await
}

/// Runs Claude Code with this model behind the gateway. Returns the names of the tools that its agents called, and which failed.
pub async fn run(gateway: SocketAddr) -> Vec<(String, bool)> {
    let report = Cli::new(Program::ClaudeCode, gateway)
        .session("claude-sonnet-5-5", ["script=main".to_owned()].into_iter())
        .await;
    let tools = report.agents.into_values().flat_map(|agent| agent.tools);
    tools.map(|tool| (tool.name, tool.failed)).collect()
}
