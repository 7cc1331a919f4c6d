//! The server of MCP behind the gateway, and the operations that it logged.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::support::backend::{Backend, free, setting};

/// A relay that speaks WebSockets to its clients, and HTTP to the model.
pub struct Relay {
    pub addr: SocketAddr,
    _process: Backend,
}

impl Relay {
    pub async fn before(model: SocketAddr) -> Self {
        let [addr] = free();
        let process = Backend::start("coding-relay", addr, "/healthy", |_| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents/coding/relay.py");
            let mut command = Command::new(python());
            command.arg("-B").arg(script).arg(addr.port().to_string()).arg(model.to_string());
            command
        });
        Self { addr, _process: process.await }
    }
}

fn python() -> PathBuf {
    Path::new(&setting("GAUGEWAY_AGENTS")).join("frameworks/bin/python")
}

pub struct Tools {
    pub addr: SocketAddr,
    server: Backend,
}

/// A call of a tool that the server has answered.
#[derive(Clone, Debug)]
pub struct Served {
    pub tool: String,
    pub session: String,
    /// Identifier of the JSON-RPC request.
    pub id: String,
    /// The member `_meta` of the parameters.
    pub meta: Value,
    pub milliseconds: f64,
    pub failed: bool,
    /// The text of the result.
    pub result: String,
}

impl Tools {
    pub async fn start() -> Self {
        let [addr] = free();
        let server = Backend::start("coding-tools", addr, "/healthy", |folder| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/mcp/server.py");
            let mut command = Command::new(python());
            command.arg("-B").arg(script).arg(addr.port().to_string()).arg(folder.join("operations"));
            command
        });
        Self { addr, server: server.await }
    }

    /// The operations in the order of their answers.
    pub fn log(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.server.folder.join("operations")).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The calls of tools among them.
    pub fn calls(&self) -> Vec<Served> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let log = self.log().into_iter().filter(|entry| entry["method"] == "tools/call");
        let call = |entry: Value| Served {
            tool: text(&entry["target"]),
            session: text(&entry["session"]),
            id: entry["id"].as_str().map_or_else(|| entry["id"].to_string(), str::to_owned),
            meta: entry["meta"].clone(),
            milliseconds: entry["ms"].as_f64().unwrap(),
            failed: !entry["error"].is_null(),
            result: text(&entry["result"]),
        };
        log.map(call).collect()
    }
}
