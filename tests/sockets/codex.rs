//! Codex, which speaks to its provider over a WebSocket.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::site::Site;

/// The program in the lock file's packages, for x86-64 and ARM.
const PROGRAM: [&str; 2] = [
    "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex",
    "@openai/codex-linux-arm64/vendor/aarch64-unknown-linux-musl/bin/codex",
];

/// What Codex reported of a prompt.
pub struct Report {
    /// The identifier of the conversation.
    pub thread: String,
    /// Input tokens, cached ones of them, and output tokens. The request that prepares the first turn is not in them.
    pub tokens: (i64, i64, i64),
}

/// Gives Codex a prompt.
pub async fn run(site: &Site, prompt: &str) -> Report {
    let folder = std::env::temp_dir().join(format!("gaugeway-codex-{}", std::process::id()));
    let (home, work) = (folder.join("home"), folder.join("work"));
    for folder in [&home, &work] {
        fs::create_dir_all(folder).unwrap();
    }
    let gateway = site.client_side.addr;
    let config = format!(
        "model_provider = \"scripted\"\napproval_policy = \"never\"\nsandbox_mode = \"danger-full-access\"\n\
         check_for_update_on_startup = false\n[analytics]\nenabled = false\n\
         [model_providers.scripted]\nname = \"Scripted\"\nbase_url = \"http://{gateway}/v1\"\n\
         wire_api = \"responses\"\nenv_key = \"SCRIPTED_KEY\"\nsupports_websockets = true\n"
    );
    fs::write(home.join("config.toml"), config).unwrap();
    let installed = std::env::var("GAUGEWAY_CODING").expect("GAUGEWAY_CODING is not set: run ./build.sh test sockets");
    let program = Path::new(&installed).join("node_modules").join(PROGRAM[usize::from(cfg!(target_arch = "aarch64"))]);
    let out = site
        .output(
            Command::new(program)
                .args(["exec", "--json", "--skip-git-repo-check", "--model", "gpt-5.5", prompt])
                .current_dir(work)
                .env_clear()
                .env("PATH", std::env::var("PATH").unwrap())
                .env("HOME", &home)
                .env("CODEX_HOME", &home)
                .env("SCRIPTED_KEY", "none")
                // Shows that no other host is needed.
                .envs([
                    ("HTTPS_PROXY", "http://127.0.0.1:9"),
                    ("HTTP_PROXY", "http://127.0.0.1:9"),
                    ("NO_PROXY", "127.0.0.1"),
                ]),
        )
        .await;
    fs::remove_dir_all(folder).unwrap();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_type =
        |kind: &str| lines.iter().find(|line| line["type"] == kind).unwrap_or_else(|| panic!("no {kind}: {out}"));
    let count = |key: &str| of_type("turn.completed")["usage"][key].as_i64().unwrap();
    Report {
        thread: of_type("thread.started")["thread_id"].as_str().unwrap().to_owned(),
        tokens: (count("input_tokens"), count("cached_input_tokens"), count("output_tokens")),
    }
}
