//! The matrix of frameworks and scenarios. `scenario.py` describes the scenarios and the report of the scripts.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::model::{Model, Script};
use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Attribute, Receiver, Span};
use crate::support::prometheus::{Sample, total};

/// `agent.abandoned_after` in seconds. It is longer than any tool and any retry takes.
const ABANDONED_AFTER: u64 = 5;
/// The time after which every run has ended: the plugin looks for abandoned runs every second or two.
const SETTLED: Duration = Duration::from_secs(ABANDONED_AFTER + 5);
/// The maximum time of a script.
const PATIENCE: Duration = Duration::from_secs(300);
/// The time, in seconds, by which the gateway's duration of a tool may exceed that of all tools of the scenario.
const SLACK: f64 = 2.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_the_openai_agents_sdk_are_counted_as_it_counts_them() {
    matrix("openai_agents.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_langchain_and_langgraph_are_counted_as_they_count_them() {
    matrix("langchain_agents.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_pydantic_ai_are_counted_as_it_counts_them() {
    matrix("pydantic_agents.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_google_adk_are_counted_as_it_counts_them() {
    matrix("adk_agents.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_smolagents_are_counted_as_it_counts_them() {
    matrix("smolagents_agents.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_autogen_are_counted_as_it_counts_them() {
    matrix("autogen_agents.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_crewai_are_counted_as_it_counts_them() {
    matrix("crewai_agents.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn structured_answers_of_instructor_are_no_runs() {
    matrix("instructor_agents.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_the_vercel_ai_sdk_are_counted_as_it_counts_them() {
    matrix("vercel_agents.mjs").await;
}

/// Runs all scenarios of a framework, waits until every run has ended, and compares.
async fn matrix(script: &str) {
    let site = Site::start().await;
    let reports = site.run(script).await;
    tokio::time::sleep(SETTLED).await;
    let seen = Seen { samples: site.envoy.samples().await, spans: site.spans.spans() };
    let mut differing = Vec::new();
    for report in &reports {
        let key = report["scenario"].as_str().unwrap();
        let differences = seen.differences(key, report, &site.model.script(key));
        if !differences.is_empty() {
            differing.push(format!("{key}:\n    {}\n", differences.join("\n    ")));
        }
    }
    assert!(!reports.is_empty(), "{script} ran no scenario");
    assert_eq!(total(&seen.samples, "gaugeway_series_overflow_total", &[]), 0.0, "metrics lost the names of scenarios");
    let (all, wrong) = (reports.len(), differing.len());
    assert!(differing.is_empty(), "{wrong} of {all} scenarios of {script} differ:\n{}", differing.concat());
}

struct Site {
    model: Model,
    spans: Receiver,
    envoy: Envoy,
}

impl Site {
    async fn start() -> Self {
        let model = Model::start().await;
        let spans = Receiver::start().await;
        // Metrics and Envoy's spans have the name of the scenario.
        let label = "  - {tag_name: scenario, regex: '^wasmcustom\\..*?(scenario=\\.=(.*?);\\.;)'}\n";
        let tag = "            - {tag: scenario, request_header: {name: x-scenario}}\n";
        let after = |line: &str, added: &str| (line.to_owned(), format!("{line}{added}"));
        let options = Options {
            concurrency: 2,
            config: json!({
                "agent": {"abandoned_after": ABANDONED_AFTER},
                "labels": {"headers": {"x-scenario": "scenario"}, "max_series": 1_000_000},
                "otlp": {"cluster": "otlp"},
            }),
            otlp: Some(spans.addr),
            replace: vec![after("  stats_tags:\n", label), after("            custom_tags:\n", tag)],
            ..Options::to(model.addr)
        };
        let envoy = Envoy::start(&options).await;
        Self { model, spans, envoy }
    }

    /// Runs a script and returns its reports, one per scenario.
    async fn run(&self, script: &str) -> Vec<Value> {
        let installed = PathBuf::from(
            std::env::var("GAUGEWAY_AGENTS").expect("GAUGEWAY_AGENTS is not set: run ./build.sh test agents"),
        );
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents").join(script);
        let mut command = if script.ends_with(".mjs") {
            // Node.js finds the packages of a script from stdin in the working directory.
            let mut command = Command::new(std::env::var("GAUGEWAY_NODE").expect("GAUGEWAY_NODE is not set"));
            command.args(["--input-type=module", "-"]).current_dir(installed.join("npm"));
            command.stdin(File::open(path).unwrap());
            command
        } else {
            let folder =
                if matches!(script, "crewai_agents.py" | "instructor_agents.py") { "crewai" } else { "frameworks" };
            let mut command = Command::new(installed.join(folder).join("bin/python"));
            command.arg("-B").arg(path).stdin(Stdio::null());
            command
        };
        command
            .env("GAUGEWAY_GATEWAY", format!("http://{}", self.envoy.addr))
            .env("GAUGEWAY_MODEL", format!("http://{}", self.model.addr))
            // Frameworks send no telemetry of their own.
            .envs([
                ("CREWAI_DISABLE_TELEMETRY", "true"),
                ("OTEL_SDK_DISABLED", "true"),
                ("CREWAI_TRACING_ENABLED", "false"),
            ])
            .kill_on_drop(true);
        let run = tokio::time::timeout(PATIENCE, command.output()).await;
        let run = run.unwrap_or_else(|_| panic!("{script} did not end in {PATIENCE:?}")).unwrap();
        let (out, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        let reports: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // The last scenario of most scripts kills the process.
        let killed = reports.last().is_some_and(|report| report["scenario"].as_str().unwrap().ends_with(".killed"));
        assert!(run.status.success() || killed, "{script}: {}\n{out}\n{errors}", run.status);
        reports
    }
}

/// All that the gateway said.
struct Seen {
    samples: Vec<Sample>,
    spans: Vec<Span>,
}

impl Seen {
    /// The differences between the gateway's counts and the report of a scenario.
    fn differences(&self, key: &str, report: &Value, script: &Script) -> Vec<String> {
        if let Some(error) = report["error"].as_str() {
            return vec![format!("the script failed: {error}")];
        }
        let mut differences = script.errors.clone();
        if !script.left.is_empty() {
            differences.push(format!("the framework did not ask for the steps {:?}", script.left));
        }
        let mut compare = |what: &str, did: String, says: String| {
            if did != says {
                differences.push(format!("{what}: the framework did {did}, the gateway says {says}"));
            }
        };
        let none = Vec::new();
        let list = |value: &Value| value.as_array().unwrap_or(&none).clone();
        let mut runs: Vec<(String, i64)> = list(&report["runs"])
            .iter()
            .map(|run| (run["status"].as_str().unwrap().to_owned(), run["iterations"].as_i64().unwrap()))
            .collect();
        runs.sort();
        let mut statuses = BTreeMap::new();
        for (status, _) in &runs {
            *statuses.entry(status.clone()).or_insert(0) += 1;
        }
        compare(
            "runs",
            format!("{statuses:?}"),
            format!("{:?}", self.counts(key, "gaugeway_agent_runs_total", "status")),
        );
        compare("spans of runs", format!("{runs:?}"), format!("{:?}", self.runs(key)));
        // The buckets that count other runs than those of the framework.
        let off = self.of(key, "gaugeway_agent_iterations_bucket").filter(|sample| {
            let bound = sample.label("le").parse().unwrap_or(f64::INFINITY);
            runs.iter().filter(|(_, iterations)| *iterations as f64 <= bound).count() as f64 != sample.value
        });
        let off: Vec<_> = off.map(|sample| format!("up to {}: {}", sample.label("le"), sample.value)).collect();
        if !off.is_empty() {
            compare("iterations", format!("{runs:?}"), off.join(", "));
        }
        compare("loops", "{}".to_owned(), format!("{:?}", self.counts(key, "gaugeway_agent_loops_total", "kind")));
        if let Some(answers) = report["structured"].as_u64() {
            let counted = self.counts(key, "gaugeway_structured_output_total", "result");
            compare("structured answers", answers.to_string(), counted.values().sum::<u64>().to_string());
        } else {
            let calls = self.counts(key, "gaugeway_tool_calls_total", "gen_ai_tool_name");
            compare("tool calls", format!("{:?}", script.calls), format!("{calls:?}"));
        }

        // Results that the framework writes as texts have neither durations nor failures.
        let unseen = report["text_results"] == true;
        let tools: BTreeMap<_, _> = report["tools"].as_object().into_iter().flatten().collect();
        let failed = |calls: &Value| list(calls).iter().filter(|call| call["failed"] == true).count() as u64;
        let failures: BTreeMap<_, _> = tools
            .iter()
            .map(|(tool, calls)| {
                ((*tool).clone(), if unseen || report["text_failures"] == true { 0 } else { failed(calls) })
            })
            .filter(|(_, count)| *count > 0)
            .collect();
        let errors = self.counts(key, "gaugeway_tool_errors_total", "gen_ai_tool_name");
        compare("failed tools", format!("{failures:?}"), format!("{errors:?}"));
        let seconds =
            |calls: &Value| list(calls).iter().map(|call| call["seconds"].as_f64().unwrap()).collect::<Vec<_>>();
        let all: f64 = tools.values().flat_map(|calls| seconds(calls)).sum();
        let durations = self.counts(key, "gaugeway_tool_duration_microseconds_count", "gen_ai_tool_name");
        for (tool, calls) in tools {
            let mut took = if unseen { Vec::new() } else { seconds(calls) };
            took.sort_by(f64::total_cmp);
            let counted = durations.get(tool.as_str()).copied().unwrap_or_default();
            compare(&format!("durations of {tool}"), took.len().to_string(), counted.to_string());
            let spans = self.tools(key, tool);
            let fits = took.len() == spans.len()
                && took.iter().zip(&spans).all(|(took, span)| (took - 0.02..all + SLACK).contains(span));
            if !fits {
                compare(&format!("spans of {tool}"), format!("{took:?} s"), format!("{spans:?} s"));
            }
        }
        differences
    }

    fn of<'a>(&'a self, key: &'a str, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name == name && sample.label("scenario") == key)
    }

    /// The values of a counter by one of its labels, without zeros.
    fn counts(&self, key: &str, name: &str, by: &str) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for sample in self.of(key, name).filter(|sample| sample.value > 0.0) {
            *counts.entry(sample.label(by).to_owned()).or_default() += sample.value as u64;
        }
        counts
    }

    /// Status and iterations of the scenario's runs, sorted.
    fn runs(&self, key: &str) -> Vec<(String, i64)> {
        let spans = self.plugins(key).filter(|span| span.name.starts_with("invoke_agent"));
        let mut runs: Vec<_> = spans
            .map(|span| {
                let iterations = match span.attributes.get("gaugeway.agent.iterations") {
                    Some(Attribute::Int(iterations)) => *iterations,
                    _ => -1,
                };
                (span.text("gaugeway.agent.status").unwrap_or_default().to_owned(), iterations)
            })
            .collect();
        runs.sort();
        runs
    }

    /// Durations of the spans of a tool in seconds, sorted.
    fn tools(&self, key: &str, tool: &str) -> Vec<f64> {
        let name = format!("execute_tool {tool}");
        let spans = self.plugins(key).filter(|span| span.name == name);
        let mut durations: Vec<_> = spans.map(|span| span.duration.as_secs_f64()).collect();
        durations.sort_by(f64::total_cmp);
        durations
    }

    /// The plugin's spans in the traces that begin with a call of the scenario.
    fn plugins<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Span> {
        let of = |span: &Span| span.service == "llm-gateway" && span.text("scenario") == Some(key);
        let traces: Vec<_> = self.spans.iter().filter(|span| of(span)).map(|span| span.trace_id.as_str()).collect();
        self.spans.iter().filter(move |span| span.service != "llm-gateway" && traces.contains(&span.trace_id.as_str()))
    }
}
