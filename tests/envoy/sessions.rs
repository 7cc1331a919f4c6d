//! The client, its session and its agents in the access log, the spans and the metrics of a real Envoy, and what is never in them.

use std::time::Duration;

use crate::support::agent::{Api, Conversation, to_both_workers};
use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Attribute, Receiver};
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);
const RUNS: &str = "gaugeway_agent_runs_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subagent_is_named_in_the_log_and_in_all_spans_of_its_run_and_its_client_in_the_metric_of_runs() {
    let upstream = Upstream::start(Vec::new()).await;
    let spans = Receiver::start().await;
    let config = json!({"otlp": {"cluster": "otlp"}, "agent": {"abandoned_after": 1}});
    let options = Options { concurrency: 2, config, otlp: Some(spans.addr), ..Options::to(upstream.addr) };
    let envoy = Envoy::start(&options).await;
    let mut lines = to_both_workers(&envoy).await;

    let mut run = Conversation::new(Api::Messages, true);
    let headers = [
        ("user-agent", "claude-cli/2.1.332 (external, cli)"),
        ("x-claude-code-session-id", "session-1"),
        ("x-claude-code-agent-id", "reviewer%40team"),
        ("x-claude-code-parent-agent-id", "lead%40team"),
        ("x-claude-code-agent-type", "code-reviewer"),
        ("x-stainless-retry-count", "2"),
        ("baggage", "user.id=private-user,session.id=private-session"),
        ("chatgpt-account-id", "private-account"),
        ("vscode-machineid", "private-machine"),
        ("x-codex-installation-id", "private-installation"),
        ("x-acme-session-id", "private@example.com"),
    ];
    run.headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
    let of_all_spans = [
        ("gen_ai.conversation.id", "session-1"),
        ("gaugeway.client.name", "claude-code"),
        ("gaugeway.client.version", "2.1.332"),
        ("gaugeway.agent.id", "reviewer@team"),
        ("gaugeway.agent.parent_id", "lead@team"),
        ("gaugeway.agent.name", "code-reviewer"),
    ];
    for line in &mut lines {
        let turn = run.turn(line, "agent=1").await;
        run.add_results(&turn.calls);
        let entry = envoy.entry(&turn.request_id, PATIENCE).await.unwrap();
        let of_the_call = [("gaugeway.client.attempt", "3"), ("gaugeway.request.kind", "subagent")];
        for (key, value) in of_all_spans.into_iter().chain(of_the_call) {
            assert_eq!(entry[key], value, "{key}");
        }
    }
    let agent = spans.wait_for(|span| span.name == "invoke_agent", PATIENCE).await.unwrap();
    let chat = spans.wait_for(|span| span.name.starts_with("chat "), PATIENCE).await.unwrap();
    for (key, value) in of_all_spans {
        assert_eq!((agent.text(key), chat.text(key)), (Some(value), Some(value)), "{key}");
    }
    assert_eq!(chat.attributes.get("gaugeway.client.attempt"), Some(&Attribute::Int(3)));

    // A run of an SDK is abandoned. An unknown client has no name.
    let mut left = Conversation::new(Api::Completions, false);
    left.headers =
        vec![("user-agent", "OpenAI/Python 3.57.0".to_owned()), ("helicone-session-id", "session-2".to_owned())];
    left.turn(&mut lines[0], "agent=1").await;
    let mut unknown = Conversation::new(Api::Completions, false);
    unknown.headers = vec![("user-agent", "curl/8.5.0".to_owned())];
    unknown.run(&mut lines, "agent=1").await;
    let of = |client: &'static str, status: &'static str| [("client_name", client), ("status", status)];
    let ended = |samples: &[_]| total(samples, RUNS, &[]) == 3.0;
    let samples = envoy.samples_when(ended, PATIENCE).await;
    for (client, status) in [("claude-code", "completed"), ("openai-python", "abandoned")] {
        assert_eq!(total(&samples, RUNS, &of(client, status)), 1.0, "{client}: {samples:?}");
    }
    let unnamed = samples.iter().filter(|sample| sample.name == RUNS && !sample.labels.contains_key("client_name"));
    assert_eq!(unnamed.map(|sample| sample.value).collect::<Vec<_>>(), [1.0]);
    let abandoned = |span: &crate::support::otlp::Span| span.text("gaugeway.agent.status") == Some("abandoned");
    let abandoned = spans.wait_for(abandoned, PATIENCE).await.unwrap();
    assert_eq!(abandoned.text("gen_ai.conversation.id"), Some("session-2"));
    assert_eq!(abandoned.text("gaugeway.client.name"), Some("openai-python"));

    let told = format!("{}{:?}{}", json!(envoy.entries()), spans.spans(), envoy.admin("/stats").await);
    assert!(!told.contains("private"), "{told}");
    assert!(!envoy.log().contains("[wasm]"), "{}", envoy.log());
}
