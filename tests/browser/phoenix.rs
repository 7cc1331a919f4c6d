//! The plugin's spans in an LLM tracing backend: a real Envoy exports to a real Phoenix, and a real browser shows the
//! pages.

use crate::support::agent::{Api, Conversation, Line};
use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::phoenix::Phoenix;
use crate::support::upstream::Upstream;
use crate::traffic::{self, CALLS, CONVERSATION, TURN};
use serde_json::{Value, json};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Attributes that Phoenix translates to its own names for LLM calls.
const TRANSLATED: [(&str, &str); 6] = [
    ("gen_ai.request.model", "llm.model_name"),
    ("gen_ai.provider.name", "llm.provider"),
    ("gen_ai.usage.input_tokens", "llm.token_count.prompt"),
    ("gen_ai.usage.output_tokens", "llm.token_count.completion"),
    ("gen_ai.usage.cache_read.input_tokens", "llm.token_count.prompt_details.cache_read"),
    ("gen_ai.usage.cache_creation.input_tokens", "llm.token_count.prompt_details.cache_write"),
];

/// Phoenix's names for the tokens of the prompt, of the completion, read from a cache and written to it.
const TOKENS: [&str; 4] = [
    "llm.token_count.prompt",
    "llm.token_count.completion",
    "llm.token_count.prompt_details.cache_read",
    "llm.token_count.prompt_details.cache_write",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phoenix_recognises_the_spans_as_llm_calls_and_shows_their_tokens() {
    let phoenix = Phoenix::start().await;
    let upstream = Upstream::start(Fixture::all()).await;
    let envoy = Envoy::start(&Options { otlp: Some(phoenix.addr), ..Options::to(upstream.addr) }).await;
    let calls = [
        "openai-chat/stream-include-usage",
        "anthropic-messages/stream-thinking-text-tool-use",
        "openai-chat/unary-tool-result-cached-prompt",
        "openai-chat/error-429-to-a-stream-request",
    ]
    .map(|id| (client::request_id(), Fixture::load(id)));
    let parent = format!("00-{TRACE}-{PARENT}-01");
    for (id, fixture) in &calls {
        client::replay(envoy.addr, fixture, &[("traceparent", &parent), ("x-request-id", id)]).await;
    }

    let spans = phoenix.spans(TRACE, calls.len()).await;
    assert_eq!(spans.len(), calls.len(), "there must be exactly one span for each call");
    let page = phoenix.trace_page(TRACE, "phoenix-trace.png").await;
    for (id, fixture) in &calls {
        let span = spans.iter().find(|span| span["attributes"]["guid:x-request-id"] == **id);
        let span = span.unwrap_or_else(|| panic!("there is no span of {}", fixture.id));
        let seen = &fixture.observation;
        let name = format!("chat {}", seen["gen_ai.request.model"].as_str().unwrap());
        assert_eq!((&span["name"], &span["span_kind"]), (&json!(name), &json!("LLM")), "{}", fixture.id);
        assert_eq!(span["parent_id"], PARENT, "{}", fixture.id);
        let failed = seen["gaugeway.outcome"] == "error";
        assert_eq!(span["status_code"], if failed { "ERROR" } else { "UNSET" }, "{}", fixture.id);
        let attributes = &span["attributes"];
        for (ours, theirs) in TRANSLATED {
            assert_eq!(attributes[theirs], *seen.get(ours).unwrap_or(&Value::Null), "{theirs} of {}", fixture.id);
        }
        let cost = |value: &Value| value.as_f64().map(|usd| (usd * 1e9).round());
        let expected = seen.get("gaugeway.cost.usd").unwrap_or(&Value::Null);
        assert_eq!(cost(&attributes["gaugeway.cost.usd"]), cost(expected), "cost of {}", fixture.id);

        assert!(page.document.contains(&name), "the page does not contain {name}");
        if let Some(tokens) = attributes["llm.token_count.total"].as_u64() {
            let shown =
                if tokens < 1000 { tokens.to_string() } else { format!("{},{:03}", tokens / 1000, tokens % 1000) };
            assert!(page.document.contains(&format!(">{shown}<")), "the page does not show {shown} tokens of {name}");
        }
    }
    assert!(page.document.contains(TRACE), "the page does not show this trace");
    let picture = page.picture;
    assert_eq!((picture.width, picture.height), (1600, 1000));
    assert!(picture.detail > 0.004, "the screenshot is blank: {}", picture.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phoenix_shows_an_agent_run_with_its_calls_and_tools() {
    let phoenix = Phoenix::start().await;
    let upstream = Upstream::start(Vec::new()).await;
    // Envoy's own spans are disabled, so the trace has only the plugin's spans.
    let config = json!({"otlp": {"cluster": "otlp"}});
    let options = Options { otlp: Some(phoenix.addr), tracing: false, config, ..Options::to(upstream.addr) };
    let envoy = Envoy::start(&options).await;
    let mut line = Line::open(envoy.addr).await.unwrap();
    let mut conversation = Conversation::new(Api::Responses, true);
    conversation.headers.push(("traceparent", format!("00-{TRACE}-{PARENT}-01")));
    for _ in 0..3 {
        let turn = conversation.turn(&mut line, "agent=2").await;
        conversation.add_results(&turn.calls);
    }

    let spans = phoenix.spans(TRACE, 6).await;
    assert_eq!(spans.len(), 6, "{spans:#?}");
    let page = phoenix.trace_page(TRACE, "phoenix-agent.png").await;
    let seen = assert_run(&spans);
    let agent = spans.iter().find(|span| span["name"] == "invoke_agent").unwrap();
    assert_eq!(agent["parent_id"], PARENT);
    for (name, _, _) in &seen {
        assert!(page.document.contains(name.as_str()), "the page does not contain {name}");
    }
    let picture = page.picture;
    assert!(picture.detail > 0.004, "the screenshot is blank: {}", picture.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phoenix_shows_the_figures_of_calls_whose_spans_the_plugin_sends() {
    let phoenix = Phoenix::start().await;
    let (_envoy, traces) = traffic::send(json!({"cluster": "otlp"}), |options| options.otlp = Some(phoenix.addr)).await;
    for (call, trace) in CALLS.iter().zip(&traces.calls) {
        let spans = phoenix.spans(trace, 1).await;
        let [span] = spans.as_slice() else { panic!("{} has more than one span: {spans:#?}", call.fixture) };
        let (kind, model) = match call.operation {
            "embeddings" => ("EMBEDDING", "embedding.model_name"),
            _ => ("LLM", "llm.model_name"),
        };
        let status = if call.answered.is_none() { "ERROR" } else { "UNSET" };
        assert_eq!(span["name"], format!("{} {}", call.operation, call.requested));
        let shown = [&span["span_kind"], &span["status_code"], &span["parent_id"]];
        assert_eq!(shown, [&json!(kind), &json!(status), &Value::Null], "{}", call.fixture);
        let attributes = &span["attributes"];
        assert_eq!(attributes["session.id"], CONVERSATION, "{}", call.fixture);
        assert_eq!(attributes[model], call.requested, "{}", call.fixture);
        for (name, tokens) in TOKENS.into_iter().zip(call.tokens) {
            assert_eq!(attributes[name].as_u64(), tokens, "{name} of {}", call.fixture);
        }
    }

    let spans = phoenix.spans(&traces.run, 6).await;
    assert_run(&spans);
    for span in &spans {
        let tokens = [&TOKENS[0], &TOKENS[1]].map(|name| span["attributes"][*name].as_u64());
        assert_eq!(tokens, if span["span_kind"] == "LLM" { TURN.map(Some) } else { [None; 2] }, "{span:#}");
    }
    let sessions = phoenix
        .ask("{ projects { edges { node { sessions(first: 9) { edges { node { sessionId numTraces } } } } } } }")
        .await;
    let sessions = &sessions["projects"]["edges"][0]["node"]["sessions"]["edges"];
    assert_eq!(*sessions, json!([{"node": {"sessionId": CONVERSATION, "numTraces": CALLS.len() + 1}}]));
}

/// Fails unless the spans are those of a run with three calls and two tools below the span of the run. Returns the name,
/// kind and parent of each.
fn assert_run(spans: &[Value]) -> Vec<(String, String, &'static str)> {
    let agent = spans.iter().find(|span| span["name"] == "invoke_agent").expect("there is no span invoke_agent");
    let mut seen: Vec<_> = spans
        .iter()
        .map(|span| {
            let parent = if span["parent_id"] == agent["context"]["span_id"] { "agent" } else { "client" };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&span["name"]), text(&span["span_kind"]), parent)
        })
        .collect();
    seen.sort_unstable();
    let chat = || ("chat gpt-4o".to_owned(), "LLM".to_owned(), "agent");
    let tool = |name: &str| (format!("execute_tool {name}"), "TOOL".to_owned(), "agent");
    let run = ("invoke_agent".to_owned(), "AGENT".to_owned(), "client");
    assert_eq!(seen, [chat(), chat(), chat(), tool("read"), tool("search"), run]);
    seen
}
