//! The live page with a run of Claude Code, the same run in Phoenix, and the pictures of the manuals, in a real browser: light, dark and
//! 400 pixels wide. The pictures are saved in cargo's folder for temporary test files.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::claude_code::{self, Model};
use crate::page;
use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::otlp::{Receiver, Span};
use crate::support::phoenix::Phoenix;
use gaugeway_demo::page::{Live, Subject};
use gaugeway_demo::replay::Replay;
use serde_json::{Value, json};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(20);
/// Four calls of the agent, and three of its sub-agent.
const CALLS: usize = 7;
/// Those of the calls, of two runs and of six tools, and that of the refused call.
const SPANS: usize = CALLS + 2 + 6 + 1;
/// The page has room for names of models that somebody invents.
const LONG: &str =
    "an-invented-model-whose-name-is-longer-than-the-screen-of-a-phone-and-has-no-place-to-break-the-line";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_can_read_the_page_with_a_run_of_claude_code() {
    let spans = Receiver::start().await;
    let scene = Scene::start(spans.addr).await;
    scene.run().await;
    // The model answers 404 to other paths.
    let mut refused = Fixture::load("openai-chat/error-429-to-a-stream-request");
    refused.request.body = String::from_utf8_lossy(&refused.request.body).replace("gpt-4o", LONG).into();
    client::replay(scene.envoy.addr, &refused, &[]).await;
    let log = scene.envoy.entries_of(CALLS + 1, PATIENCE).await;
    assert_eq!(log.len(), CALLS + 1, "{log:#?}");

    let live = serve(&scene.envoy, &page::own(&spans, SPANS).await, &log).await;
    node("page.mjs", &[("GAUGEWAY_PAGE", &format!("http://{}/", live.addr))]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phoenix_shows_the_tree_of_a_run_of_claude_code() {
    let phoenix = Phoenix::start().await;
    let scene = Scene::start(phoenix.addr).await;
    scene.run().await;
    let log = scene.envoy.entries_of(CALLS, PATIENCE).await;
    let trace = log[0]["request_id"].as_str().unwrap().replace('-', "");
    // The run, four calls and four tools.
    let spans = phoenix.spans(&trace, 9).await;
    let names: Vec<_> = spans.iter().map(|span| span["name"].clone()).collect();
    let shown = ["invoke_agent", "chat claude-sonnet-5-5", "execute_tool Bash", "execute_tool Agent"];
    assert!(shown.iter().all(|name| names.contains(&json!(name))), "{names:?}");
    let page = phoenix.trace_url(&trace).await;
    node("phoenix.mjs", &[("GAUGEWAY_PAGE", &page), ("GAUGEWAY_SPANS", &json!(shown).to_string())]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_can_read_the_pictures_of_the_manuals() {
    let folder = root().join("envoy/pictures");
    node("pictures.mjs", &[("GAUGEWAY_PICTURES", folder.to_str().unwrap())]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_figures_and_runs_of_the_page_are_right_at_their_limits() {
    let folder = root().join("envoy/demo/src/page");
    node("figures.mjs", &[("GAUGEWAY_PAGE_FILES", folder.to_str().unwrap())]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checks_of_pages_find_planted_faults() {
    node("faults.mjs", &[]).await;
}

/// Envoy between Claude Code and its model. The plugin sends its spans, and Envoy none.
struct Scene {
    envoy: Envoy,
    _model: Model,
}

impl Scene {
    async fn start(collector: SocketAddr) -> Self {
        let model = claude_code::model().await;
        let config = json!({"otlp": {"cluster": "otlp", "metrics_path": "", "logs_path": ""}});
        let options = Options { otlp: Some(collector), tracing: false, config, ..Options::to(model.addr) };
        Scene { envoy: Envoy::start(&options).await, _model: model }
    }

    /// Runs Claude Code. Its first command fails, and the file that its sub-agent reads does not exist.
    async fn run(&self) {
        let tools = claude_code::run(self.envoy.addr).await;
        assert_eq!(tools.iter().filter(|(_, failed)| *failed).count(), 2, "{tools:?}");
    }
}

async fn serve(envoy: &Envoy, spans: &[Span], log: &[Value]) -> Live {
    let fixture = Fixture::load("openai-chat/stream-include-usage");
    let subject = Subject {
        envoy: envoy.addr,
        admin: envoy.admin,
        title: format!("Envoy {} → a scripted model", envoy.addr),
        by_hand: format!("curl {}/v1/chat/completions -d @call.json", envoy.addr),
        replays: vec![
            Replay::of_call("A stream", move || client::request(&fixture, &[])),
            Replay::of_agent("An agent"),
        ],
    };
    let live = Live::start(subject, 0).await.unwrap();
    live.show(spans, log);
    live
}

/// Runs a script of the folder `look` with these environment variables.
async fn node(script: &str, variables: &[(&str, &str)]) {
    let program = std::env::var("GAUGEWAY_NODE").expect("GAUGEWAY_NODE is not set: run ./build.sh test browser");
    let run = Command::new(program)
        .arg("--test-reporter=spec")
        .arg(root().join("tests/browser/look").join(script))
        .env("GAUGEWAY_SCREENSHOTS", Path::new(env!("CARGO_TARGET_TMPDIR")).join("look"))
        .envs(variables.iter().copied())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(300), run).await.expect("the browser did not end").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
