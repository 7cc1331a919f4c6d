//! Real SDKs and frameworks through a real Envoy, with the scripts that envoy/applications.md shows. Client and gateway
//! spans must be in one trace, agent runs must be recognised, and both sides must count the same tokens.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking, and print what they measured"
)]

#[path = "clients/a2a.rs"]
mod a2a;
#[path = "clients/late.rs"]
mod late;
#[path = "clients/mcp.rs"]
mod mcp;
mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;
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
async fn the_sdks_calls_are_children_of_the_sdks_spans() {
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
async fn every_step_of_a_langchain_agent_is_recognised_over_every_api() {
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
async fn llamaindex_queries_and_agents_are_recognised() {
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
        // LlamaIndex never exports its own spans of a streamed answer.
        format!("query, streamed: embeddings text-embedding-3-small < POST < {embedding} < ?"),
        format!("query, streamed: {GPT}, streamed < POST < ?"),
    ];
    assert_eq!(run.lines(), expected);
    run.assert_same_tokens();

    let run = gateway.run("llamaindex_agent.py", &[], "").await;
    let agent = "POST < BaseWorkflowAgent.task < FunctionAgent.workflow";
    let mut expected = steps("function agent", GPT, agent).to_vec();
    expected.extend(steps("function agent, streamed", &format!("{GPT}, streamed"), agent));
    // ReAct describes its tools in text, so only the client knows its steps.
    let react = format!("ReAct agent: {GPT}, streamed < POST < BaseWorkflowAgent.task < ReActAgent.workflow");
    expected.extend(vec![react; 3]);
    assert_eq!(run.lines(), expected);
    run.assert_same_tokens();
    gateway.assert_runs(2, &[("temperature", 4), ("fahrenheit", 2)]).await;
}

/// Both sides must count the same tokens for whatever a real model answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tokens_of_a_real_model_match_those_its_clients_report() {
    let local = LocalModel::start().await.unwrap_or_else(|error| panic!("{error}"));
    let gateway = Gateway::start(Options::to(local.addr)).await;
    for (script, calls) in [("openai_sdk.py", 4), ("anthropic_sdk.py", 2), ("langchain_chain.py", 4)] {
        let mut run = gateway.run(script, &[], "").await;
        assert_eq!(run.calls.len(), calls, "{:#?}", run.lines());
        for call in &run.calls {
            assert_ne!(call.root, "", "the span has no parent from the client: {:?}", call.span);
            assert_eq!(call.span.text("gen_ai.response.model"), Some(local.model.as_str()), "{:?}", call.span);
        }
        if script == "langchain_chain.py" {
            // This server sends the input tokens at the start of a stream, but LangChain reads them from its end.
            assert_eq!(run.printed[3].0, 0, "LangChain now reports the input tokens: compare them too");
            run.printed[3].0 = run.calls[3].tokens().0;
        }
        run.assert_same_tokens();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manual_lists_which_instrumentations_link_their_spans() {
    let (_upstream, gateway) = scripted().await;
    let page = page();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| !line.starts_with("| client | instrumentation |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() > 10, "the table in envoy/applications.md has only {} rows", rows.len());
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
        assert_eq!(told, seen, "the table in envoy/applications.md must have the second of these");
    }
}

#[test]
fn the_manual_shows_the_scripts_that_the_tests_run() {
    let page = page();
    let mut scripts: Vec<PathBuf> = fs::read_dir(clients()).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|end| end == "py") && !path.ends_with("links.py"));
    for path in &scripts {
        let (name, code) = (path.file_name().unwrap().to_str().unwrap(), fs::read_to_string(path).unwrap());
        let shown = format!("[{name}](../tests/clients/{name})");
        let block = page.split(&shown).nth(1).unwrap_or_else(|| panic!("envoy/applications.md does not name {shown}"));
        let block = block.split("```python\n").nth(1).and_then(|block| block.split("```").next());
        assert_eq!(block, Some(&*code), "the code below {shown} in envoy/applications.md differs from the file");
    }
    assert_eq!(page.matches("```python").count(), scripts.len(), "envoy/applications.md has code that no test runs");
}

/// The expected lines of an agent run of three turns, the first with two tool calls.
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

/// The result of a script.
struct Run {
    calls: Vec<Call>,
    /// Input and output tokens as the client printed them.
    printed: Vec<(i64, i64)>,
}

/// One call as the gateway saw it.
struct Call {
    span: Span,
    /// Names of the ancestor spans without the root, the nearest first. `?` stands for a span that was never exported.
    above: Vec<String>,
    /// Name of the trace's root span.
    root: String,
}

impl Gateway {
    async fn start(options: Options) -> Self {
        let spans = Receiver::start().await;
        let envoy = Envoy::start(&Options { otlp: Some(spans.addr), ..options }).await;
        Self { envoy, spans }
    }

    /// Runs a script with the environment variables that envoy/applications.md says to set. `path` is a folder of
    /// packages that take precedence.
    async fn run(&self, script: &str, arguments: &[String], path: &str) -> Run {
        let installed =
            std::env::var("GAUGEWAY_CLIENTS").expect("GAUGEWAY_CLIENTS is not set: run ./build.sh test clients");
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
        let run =
            tokio::time::timeout(Duration::from_secs(300), run).await.expect("the script did not end in time").unwrap();
        let out = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "{script}:\n{out}\n{}", String::from_utf8_lossy(&run.stderr));
        let numbers = |line: &str| {
            let (input, output) = line.split_once("tokens ")?.1.split_once(' ')?;
            Some((input.parse().ok()?, output.trim().parse().ok()?))
        };
        let printed = out.lines().filter_map(numbers).collect();

        // The client exports its spans before it exits. Its calls are sequential, and each has an access log line.
        let mut calls = Vec::new();
        tokio::time::sleep(Duration::from_millis(200)).await;
        for entry in &self.envoy.entries()[before..] {
            let id = entry["request_id"].as_str().unwrap();
            let span = self.spans.wait_for_request(id, PATIENCE).await.expect("no span for a call");
            assert_eq!(span.text("gaugeway.outcome"), Some("completed"), "{script}: {span:?}");
            assert_eq!(entry["gaugeway.parse_error"], Value::Null, "{script}: {entry}");
            calls.push(Call::of(span, &self.spans.spans()));
        }
        Run { calls, printed }
    }

    /// Checks that every run completed after three iterations and had these tool calls.
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

    /// Checks that the client printed the tokens that the gateway saw.
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

    /// `root: span, the plugin's values < parent < its parent`, without the root.
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

/// The `export` lines of the page, with the addresses of this run.
fn exports(page: &str, envoy: SocketAddr, otlp: SocketAddr) -> Vec<(String, String)> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    let here =
        |value: &str| value.replace("127.0.0.1:10000", &envoy.to_string()).replace("127.0.0.1:4318", &otlp.to_string());
    let exports: Vec<_> = lines.map(|(name, value)| (name.to_owned(), here(value))).collect();
    assert!(exports.len() >= 5, "envoy/applications.md must have at least 5 export lines, not {exports:?}");
    exports
}

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/applications.md");
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Fails if a time of the gateway is not that of the server. Other tests keep the machine busy, so this allows more than the 2 ms or 5% that
/// are usual on a quiet one: it prints how many operations are within these.
fn compare_times<K: Debug + Ord>(served: &BTreeMap<K, Vec<f64>>, seen: &BTreeMap<K, Vec<f64>>, name: &str) {
    let (mut all, mut close) = (0, 0);
    for (key, times) in served {
        for (served, seen) in times.iter().zip(&seen[key]) {
            let difference = (seen - served).abs();
            assert!(difference < 150.0 + served * 0.2, "{name}: {key:?}: {served} ms, the gateway says {seen} ms");
            all += 1;
            close += usize::from(difference <= f64::max(2.0, served * 0.05));
        }
    }
    println!("{name}: {close} of {all} durations are within 2 ms or 5%");
}
