//! Real clients through a real Envoy: the code that envoy/applications.md shows, run as it stands there. Client and gateway
//! are in one trace, agents are followed step by step, and both count the same tokens.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test reads its environment and the clock, and fails by a panic"
)]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use support::envoy::{Envoy, Options};
use support::local_model::LocalModel;
use support::otlp::{Attribute, Receiver, Span};
use support::prometheus::total;
use support::upstream::Upstream;
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(10);
const GPT: &str = "chat gpt-4o";
const CLAUDE: &str = "chat claude-sonnet-4-20250514";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sdks_calls_hang_below_their_own_spans() {
    let (_upstream, gateway) = scripted().await;
    let openai = [
        "chat: chat gpt-4o < POST",
        "chat, streamed: chat gpt-4o, streamed < POST",
        "response: chat gpt-4o < POST",
        "response, streamed: chat gpt-4o, streamed < POST",
    ];
    for version in ["", "openai-3"] {
        let run = gateway.run("openai_sdk.py", &[], version).await;
        assert_eq!(run.lines(), openai, "openai {version}");
        run.assert_same_tokens();
    }
    let run = gateway.run("anthropic_sdk.py", &[], "").await;
    let own = "POST < anthropic.messages.create";
    assert_eq!(
        run.lines(),
        [format!("message: {CLAUDE} < {own}"), format!("message, streamed: {CLAUDE}, streamed < {own}")]
    );
    run.assert_same_tokens();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_langchain_agent_is_followed_step_by_step_over_every_api() {
    let (_upstream, gateway) = scripted().await;
    let run = gateway.run("langchain_chain.py", &[], "").await;
    let (openai, anthropic) =
        ("POST < RunnableSequence.workflow", "POST < anthropic.messages.create < RunnableSequence.workflow");
    let expected = [
        format!("ChatOpenAI: {GPT} < {openai}"),
        format!("ChatOpenAI, streamed: {GPT}, streamed < {openai}"),
        format!("ChatAnthropic: {CLAUDE} < {anthropic}"),
        format!("ChatAnthropic, streamed: {CLAUDE}, streamed < {anthropic}"),
    ];
    assert_eq!(run.lines(), expected);
    run.assert_same_tokens();

    let run = gateway.run("langchain_agent.py", &[], "").await;
    let agent = "execute_task model < LangGraph.workflow < invoke_agent LangGraph";
    let mut expected = Vec::new();
    for (api, model, client) in [
        ("chat", GPT, "POST"),
        ("responses", GPT, "POST"),
        ("previous response", GPT, "POST"),
        ("messages", CLAUDE, "POST < anthropic.messages.create"),
    ] {
        expected.extend(steps(api, model, &format!("{client} < {agent}")));
        expected.extend(steps(
            &format!("{api}, streamed"),
            &format!("{model}, streamed"),
            &format!("{client} < {agent}"),
        ));
    }
    assert_eq!(run.lines(), expected);
    run.assert_same_tokens();
    gateway.assert_runs(8, &[("temperature", 16), ("fahrenheit", 8)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn llamaindex_queries_and_agents_are_followed() {
    let (_upstream, gateway) = scripted().await;
    let run = gateway.run("llamaindex_query.py", &[], "").await;
    let embedding =
        "OpenAIEmbedding.task < OpenAIEmbedding.task < VectorIndexRetriever.task < VectorIndexRetriever.task";
    let query = "RetrieverQueryEngine.task < RetrieverQueryEngine.workflow";
    let expected = [
        "index: embeddings text-embedding-3-small < POST < OpenAIEmbedding.workflow".to_owned(),
        format!("query: embeddings text-embedding-3-small < POST < {embedding} < {query}"),
        format!(
            "query: {GPT} < POST < DefaultRefineProgram.task < CompactAndRefine.task < CompactAndRefine.task < CompactAndRefine.task < {query}"
        ),
        // LlamaIndex's own spans of a streamed answer are never sent.
        format!("query, streamed: embeddings text-embedding-3-small < POST < {embedding} < ?"),
        format!("query, streamed: {GPT}, streamed < POST < ?"),
    ];
    assert_eq!(run.lines(), expected);
    run.assert_same_tokens();

    let run = gateway.run("llamaindex_agent.py", &[], "").await;
    let agent = "POST < BaseWorkflowAgent.task < FunctionAgent.workflow";
    let mut expected = steps("function agent", GPT, agent).to_vec();
    expected.extend(steps("function agent, streamed", &format!("{GPT}, streamed"), agent));
    // ReAct offers its tools in words: nobody but the client can tell its steps.
    let react = format!("ReAct agent: {GPT}, streamed < POST < BaseWorkflowAgent.task < ReActAgent.workflow");
    expected.extend(vec![react; 3]);
    assert_eq!(run.lines(), expected);
    run.assert_same_tokens();
    gateway.assert_runs(2, &[("temperature", 4), ("fahrenheit", 2)]).await;
}

/// Whatever a real model says, both ends count the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_models_tokens_are_those_its_clients_saw() {
    let local = LocalModel::start().await.unwrap_or_else(|error| panic!("{error}"));
    let gateway = Gateway::start(Options::to(local.addr)).await;
    for (script, calls) in [("openai_sdk.py", 4), ("anthropic_sdk.py", 2), ("langchain_chain.py", 4)] {
        let mut run = gateway.run(script, &[], "").await;
        assert_eq!(run.calls.len(), calls, "{:#?}", run.lines());
        for call in &run.calls {
            assert_ne!(call.root, "", "no span of the client's above {:?}", call.span);
            assert_eq!(call.span.text("gen_ai.response.model"), Some(local.model.as_str()), "{:?}", call.span);
        }
        if script == "langchain_chain.py" {
            // This server tells the input's tokens at a stream's start, and LangChain takes them from its end.
            assert_eq!(run.printed[3].0, 0, "LangChain knows the input's tokens: compare them too");
            run.printed[3].0 = run.calls[3].tokens().0;
        }
        run.assert_same_tokens();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_links_is_what_the_page_says() {
    let (_upstream, gateway) = scripted().await;
    let page = page();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| !line.starts_with("| client | instrumentation |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() > 10, "the page's table has {} rows", rows.len());
    let (third, second): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row[0].starts_with("openai 3"));
    for (version, rows) in [("", second), ("openai-3", third)] {
        let arguments: Vec<_> = rows.iter().map(|row| format!("{}:{}", row[0], row[1].trim_matches('–'))).collect();
        let run = gateway.run("links.py", &arguments, version).await;
        let shown = |call: &Call| match &call.above[..] {
            [] => "–".to_owned(),
            above => above.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" < "),
        };
        let seen: Vec<_> =
            rows.iter().zip(&run.calls).map(|(row, call)| [row[0], row[1], &shown(call)].join(" | ")).collect();
        let told: Vec<_> = rows.iter().map(|row| row.join(" | ")).collect();
        assert_eq!(told, seen, "the page's table must have the second of these");
    }
}

#[test]
fn the_page_shows_the_code_that_runs() {
    let page = page();
    let mut scripts: Vec<PathBuf> = fs::read_dir(clients()).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|end| end == "py") && !path.ends_with("links.py"));
    for path in &scripts {
        let (name, code) = (path.file_name().unwrap().to_str().unwrap(), fs::read_to_string(path).unwrap());
        let shown = format!("[{name}](../tests/clients/{name})");
        let block = page.split(&shown).nth(1).unwrap_or_else(|| panic!("the page does not name {shown}"));
        let block = block.split("```python\n").nth(1).and_then(|block| block.split("```").next());
        assert_eq!(block, Some(&*code), "the code below {shown} is not the file's");
    }
    assert_eq!(page.matches("```python").count(), scripts.len(), "the page has code that no test runs");
}

/// An agent's run of three steps, the first with two calls at once.
fn steps(root: &str, span: &str, above: &str) -> [String; 3] {
    let told = ["temperature, temperature", "fahrenheit", ""];
    std::array::from_fn(|at| {
        let calls = if told[at].is_empty() { String::new() } else { format!(", calls {}", told[at]) };
        format!("{root}: {span}, iteration {}{calls} < {above}", at + 1)
    })
}

async fn scripted() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Vec::new()).await;
    let script = "{name: llm, match: {prefix: /}, route: {cluster: llm, timeout: 0s}, request_headers_to_add: [{header: {key: x-upstream, value: scripted}}]}";
    let gateway = Gateway::start(Options::to(upstream.addr).with(&[script], &[])).await;
    (upstream, gateway)
}

struct Gateway {
    envoy: Envoy,
    spans: Receiver,
}

/// What a script did.
struct Run {
    calls: Vec<Call>,
    /// Input and output as the client printed them.
    printed: Vec<(i64, i64)>,
}

/// One call as the gateway saw it.
struct Call {
    span: Span,
    /// The names of the spans above it, the nearest first, without the root; `?` for one that was never sent.
    above: Vec<String>,
    /// The trace's first span.
    root: String,
}

impl Gateway {
    async fn start(options: Options) -> Self {
        let spans = Receiver::start().await;
        let envoy = Envoy::start(&Options { otlp: Some(spans.addr), ..options }).await;
        Self { envoy, spans }
    }

    /// Runs a script with the environment that the page tells to set. `path` is a folder of packages that come first.
    async fn run(&self, script: &str, arguments: &[String], path: &str) -> Run {
        let installed = std::env::var("GAUGEWAY_CLIENTS")
            .expect("GAUGEWAY_CLIENTS is not set: ./build.sh test installs the clients");
        let before = self.envoy.entries().len();
        let run = Command::new(Path::new(&installed).join("bin/python"))
            .arg("-B")
            .arg(clients().join(script))
            .args(arguments)
            .envs(exports(&page(), self.envoy.addr, self.spans.addr))
            .env("PYTHONPATH", if path.is_empty() { PathBuf::new() } else { Path::new(&installed).join(path) })
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let run = tokio::time::timeout(Duration::from_secs(300), run).await.expect("it ends").unwrap();
        let out = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "{script}:\n{out}\n{}", String::from_utf8_lossy(&run.stderr));
        let numbers = |line: &str| {
            let (input, output) = line.split_once("tokens ")?.1.split_once(' ')?;
            Some((input.parse().ok()?, output.trim().parse().ok()?))
        };
        let printed = out.lines().filter_map(numbers).collect();

        // The client has sent its spans at its end. Its calls came one after the other, each with a line in the access log.
        let mut calls = Vec::new();
        tokio::time::sleep(Duration::from_millis(200)).await;
        for entry in &self.envoy.entries()[before..] {
            let id = entry["request_id"].as_str().unwrap();
            let span = self.spans.wait_for_request(id, PATIENCE).await.expect("a span for each call");
            assert_eq!(span.text("gaugeway.outcome"), Some("completed"), "{script}: {span:?}");
            assert_eq!(entry["gaugeway.trouble"], Value::Null, "{script}: {entry}");
            calls.push(Call::of(span, &self.spans.spans()));
        }
        Run { calls, printed }
    }

    /// Every run ended as completed after three iterations, and had these tool calls.
    async fn assert_runs(&self, runs: u64, tools: &[(&str, u64)]) {
        let taken = |samples: &[_]| total(samples, "gaugeway_agent_iterations_count", &[]) >= runs as f64;
        let samples = self.envoy.samples_when(taken, PATIENCE).await;
        let count = |name: &str, labels: &[(&str, &str)]| total(&samples, name, labels) as u64;
        assert_eq!(count("gaugeway_agent_runs_total", &[("status", "completed")]), runs);
        assert_eq!(count("gaugeway_agent_runs_total", &[]), runs);
        let up_to = |bound| count("gaugeway_agent_iterations_bucket", &[("le", bound)]);
        assert_eq!((up_to("2"), up_to("3")), (0, runs));
        for (tool, calls) in tools {
            assert_eq!(count("gaugeway_tool_calls_total", &[("gen_ai_tool_name", tool)]), *calls, "{tool}");
        }
        assert_eq!(count("gaugeway_tool_errors_total", &[]), 0);
    }
}

impl Run {
    fn lines(&self) -> Vec<String> {
        self.calls.iter().map(Call::line).collect()
    }

    /// What the client printed of its chats is what the gateway saw.
    fn assert_same_tokens(&self) {
        let chats = self.calls.iter().filter(|call| call.span.text("gen_ai.operation.name") == Some("chat"));
        assert_eq!(self.printed, chats.map(Call::tokens).collect::<Vec<_>>());
        assert!(self.printed.iter().all(|(input, output)| *input > 0 && *output > 0), "{:?}", self.printed);
    }
}

impl Call {
    fn of(span: Span, all: &[Span]) -> Self {
        let own: Vec<_> = all.iter().filter(|one| one.trace_id == span.trace_id).collect();
        let (mut above, mut id) = (Vec::new(), &span.parent_id);
        while !id.is_empty() {
            let Some(parent) = own.iter().find(|one| one.span_id == *id) else {
                above.push("?".to_owned());
                break;
            };
            id = &parent.parent_id;
            above.push(parent.name.clone());
        }
        let root = own.iter().find(|one| one.parent_id.is_empty()).map(|one| one.name.clone()).unwrap_or_default();
        Self { span, above, root }
    }

    fn tokens(&self) -> (i64, i64) {
        let count = |key: &str| match self.span.attributes.get(key) {
            Some(Attribute::Int(count)) => *count,
            other => panic!("{key} is {other:?}"),
        };
        (count("gen_ai.usage.input_tokens"), count("gen_ai.usage.output_tokens"))
    }

    /// `root: span, what the plugin says < parent < its parent`, without the root.
    fn line(&self) -> String {
        let mut line = format!("{}: {}", self.root, self.span.name);
        if self.span.attributes.contains_key("gen_ai.request.stream") {
            line += ", streamed";
        }
        if let Some(iteration) = self.span.attributes.get("gaugeway.agent.iteration") {
            line += &format!(", iteration {iteration}");
        }
        if let Some(names) = self.span.text("gaugeway.tool_call.names") {
            line += &format!(", calls {}", serde_json::from_str::<Vec<String>>(names).unwrap().join(", "));
        }
        let above = self.above.iter().filter(|name| **name != self.root);
        above.fold(line, |line, name| line + " < " + name)
    }
}

/// The page's `export` lines, with this run's addresses.
fn exports(page: &str, envoy: SocketAddr, otlp: SocketAddr) -> Vec<(String, String)> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    let here =
        |value: &str| value.replace("127.0.0.1:10000", &envoy.to_string()).replace("127.0.0.1:4318", &otlp.to_string());
    let exports: Vec<_> = lines.map(|(name, value)| (name.to_owned(), here(value))).collect();
    assert!(exports.len() >= 5, "the page tells to set {exports:?}");
    exports
}

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/applications.md");
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}
