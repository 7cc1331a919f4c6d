//! Claude Code and Codex without a terminal, each in a folder of its own, and what they report about a session.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use super::records::{self, Agent, Tokens, of_thread};

/// The paths of the programs in the lock file's packages, for x86-64 and ARM.
const CLAUDE_CODE: [&str; 2] =
    ["@anthropic-ai/claude-code-linux-x64/claude", "@anthropic-ai/claude-code-linux-arm64/claude"];
const CODEX: [&str; 2] = [
    "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex",
    "@openai/codex-linux-arm64/vendor/aarch64-unknown-linux-musl/bin/codex",
];
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    ClaudeCode,
    Codex,
}

/// A coding agent in a folder. Dropping the value deletes the folder.
pub struct Cli {
    program: Program,
    gateway: SocketAddr,
    folder: PathBuf,
    /// Arguments that each start has.
    arguments: Vec<String>,
}

/// A program's report of a session.
pub struct Report {
    /// Its identifier.
    pub session: String,
    /// By identifier; that of the main agent is empty. The main agent has the tokens that the program printed, without those
    /// of sub-agents. All else is what the program recorded.
    pub agents: BTreeMap<String, Agent>,
    /// Tokens and nano-dollars of each model, as printed; empty for Codex, which does not print them.
    pub models: BTreeMap<String, (Tokens, i64)>,
}

impl Cli {
    pub fn new(program: Program, gateway: SocketAddr) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("gaugeway-coding-{}-{number}", std::process::id()));
        for name in ["home", "work"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        fs::write(folder.join("work/notes.txt"), "A note.\n").unwrap();
        let provider = format!(
            "model_provider = \"scripted\"\napproval_policy = \"never\"\nsandbox_mode = \"danger-full-access\"\n\
             check_for_update_on_startup = false\n[analytics]\nenabled = false\n\
             [model_providers.scripted]\nname = \"Scripted\"\nbase_url = \"http://{gateway}/v1\"\n\
             wire_api = \"responses\"\nenv_key = \"SCRIPTED_KEY\"\nsupports_websockets = false\n"
        );
        fs::write(folder.join("home/config.toml"), provider).unwrap();
        Self { program, gateway, folder, arguments: Vec::new() }
    }

    /// Gives the program the server of MCP behind the gateway, as `tools`. It may call these tools.
    pub fn with_tools(mut self, allowed: &[&str]) -> Self {
        let url = format!("http://{}/mcp", self.gateway);
        match self.program {
            Program::ClaudeCode => {
                let servers = json!({"mcpServers": {"tools": {"type": "http", "url": url}}});
                let allowed: Vec<_> = allowed.iter().map(|tool| format!("mcp__tools__{tool}")).collect();
                self.arguments.push(format!("--mcp-config={servers}"));
                self.arguments.extend(["--strict-mcp-config".into(), format!("--allowedTools={}", allowed.join(","))]);
            }
            Program::Codex => {
                let mut config =
                    fs::OpenOptions::new().append(true).open(self.folder.join("home/config.toml")).unwrap();
                writeln!(config, "[mcp_servers.tools]\nurl = \"{url}\"").unwrap();
            }
        }
        self
    }

    /// Lets Codex speak to its model over a WebSocket.
    pub fn over_websocket(self) -> Self {
        let path = self.folder.join("home/config.toml");
        let config = fs::read_to_string(&path).unwrap();
        let (http, websocket) = ("supports_websockets = false", "supports_websockets = true");
        assert!(config.contains(http), "{config}");
        fs::write(path, config.replace(http, websocket)).unwrap();
        self
    }

    /// Gives the agent a prompt, with more arguments, and returns the lines that it prints.
    async fn run(&self, model: &str, prompt: &str, more: &[&str]) -> Vec<Value> {
        let (program, arguments): (_, &[&str]) = match self.program {
            Program::ClaudeCode => (
                CLAUDE_CODE,
                &["--print", "--output-format=stream-json", "--verbose", "--allowedTools=Bash,Read,Agent"],
            ),
            Program::Codex => (CODEX, &["exec"]),
        };
        let codex: &[&str] = if self.program == Program::Codex { &["--json", "--skip-git-repo-check"] } else { &[] };
        let home = self.folder.join("home");
        let run = Command::new(installed(program))
            .args(arguments)
            .args(&self.arguments)
            .args(more)
            .args(codex)
            .args(["--model", model, prompt])
            .current_dir(self.folder.join("work"))
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("HOME", &home)
            .env("CLAUDE_CONFIG_DIR", &home)
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("ANTHROPIC_BASE_URL", format!("http://{}", self.gateway))
            .env("ANTHROPIC_API_KEY", "none")
            .env("CODEX_HOME", &home)
            .env("SCRIPTED_KEY", "none")
            // Shows that no other host is needed.
            .envs([
                ("HTTPS_PROXY", "http://127.0.0.1:9"),
                ("HTTP_PROXY", "http://127.0.0.1:9"),
                ("NO_PROXY", "127.0.0.1"),
            ])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let run = tokio::time::timeout(PATIENCE, run).await.expect("the coding agent did not end in time").unwrap();
        let (out, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "{:?}:\n{out}\n{errors}", self.program);
        out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect()
    }

    /// Gives the program the prompts of a session, one per start of the program, and reads what it reports.
    pub async fn session(&self, model: &str, prompts: impl Iterator<Item = String>) -> Report {
        let (mut session, mut last) = (String::new(), Value::Null);
        for prompt in prompts {
            let (resume, exec) = (format!("--resume={session}"), ["resume", &session]);
            let more: &[&str] = match self.program {
                _ if session.is_empty() => &[],
                Program::ClaudeCode => &[&resume],
                Program::Codex => &exec,
            };
            let (kind, id) = match self.program {
                Program::ClaudeCode => ("result", "session_id"),
                Program::Codex => ("turn.completed", "thread_id"),
            };
            let lines = self.run(model, &prompt, more).await;
            let started = lines.iter().find_map(|line| line[id].as_str()).expect("no line names the session");
            session = started.to_owned();
            last = lines
                .into_iter()
                .rfind(|line| line["type"] == kind)
                .unwrap_or_else(|| panic!("no {kind} for {prompt}"));
        }
        let mut agents = records::agents(&self.folder.join("home"), &session);
        let mut models = BTreeMap::new();
        let mut main = Tokens::default();
        match self.program {
            Program::ClaudeCode => {
                assert_eq!(last["is_error"], false, "{last}");
                for (model, usage) in last["modelUsage"].as_object().unwrap() {
                    let tokens = of_model(usage);
                    main += tokens;
                    models.insert(model.clone(), (tokens, nano_dollars(&usage["costUSD"])));
                }
                let cost: i64 = models.values().map(|(_, cost)| cost).sum();
                assert_eq!(cost, nano_dollars(&last["total_cost_usd"]), "{last}");
                agents.iter().filter(|(id, _)| !id.is_empty()).for_each(|(_, agent)| main -= agent.tokens);
            }
            Program::Codex => main = of_thread(&last["usage"]),
        }
        agents.entry(String::new()).or_default().tokens = main;
        Report { session, agents, models }
    }
}

impl Drop for Cli {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn installed(places: [&str; 2]) -> PathBuf {
    let folder = std::env::var("GAUGEWAY_CODING").expect("GAUGEWAY_CODING is not set: run ./build.sh test agents");
    let place = places[usize::from(cfg!(target_arch = "aarch64"))];
    Path::new(&folder).join("node_modules").join(place)
}

fn of_model(usage: &Value) -> Tokens {
    let count = |key: &str| usage[key].as_i64().unwrap();
    let (cache_read, cache_write) = (count("cacheReadInputTokens"), count("cacheCreationInputTokens"));
    let input = count("inputTokens") + cache_read + cache_write;
    Tokens { input, cache_read, cache_write, output: count("outputTokens") }
}

fn nano_dollars(usd: &Value) -> i64 {
    (usd.as_f64().unwrap() * 1e9).round() as i64
}
