//! Operations of A2A through a real Envoy, and requests of JSON-RPC at paths that say nothing.

use crate::mcp::{Site, attributes};
use crate::support::envoy::Options;
use crate::support::prometheus::total;
use serde_json::{Value, json};

const BOTH: &str = "application/json, text/event-stream";
const V1: (&str, &str) = ("a2a-version", "1.0");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_an_agent_has_a_span_samples_and_a_line_of_the_access_log() {
    let site = Site::start(1).await;
    let id =
        send(&site, "/agents/one", "SendMessage", json!({"message": {"messageId": "m"}}), task("COMPLETED"), &[V1])
            .await;
    let span = site.spans(1).await.remove(0);
    assert_eq!((&*span.name, &*span.kind, &*span.status), ("SendMessage", "CLIENT", "UNSET"));
    let expected = json!({
        "rpc.method": "SendMessage", "gen_ai.operation.name": "invoke_agent", "gen_ai.conversation.id": "c1",
        "jsonrpc.request.id": "7", "gaugeway.a2a.version": "1.0", "gaugeway.task.id": "t1",
        "gaugeway.task.state": "completed", "server.address": "tools.example.com", "server.port": 80,
    });
    assert_eq!(attributes(&span), expected);
    let entry = site.entry(&id).await;
    for (name, value) in expected.as_object().unwrap() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(entry[name], json!(text), "{name} in {entry}");
    }
    let labels = [("rpc_method", "SendMessage"), ("server_address", "tools.example.com")];
    let samples = site.samples_of("gaugeway_a2a_operation_duration_microseconds", 1.0).await;
    assert_eq!(total(&samples, "gaugeway_a2a_operation_duration_microseconds_count", &labels), 1.0);
    assert_eq!(total(&samples, "gaugeway_task_duration_microseconds_count", &[("task_state", "completed")]), 1.0);
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_many_requests_see_counts_once_from_its_beginning_to_its_end_on_any_worker() {
    let site = Site::start(2).await;
    let message = json!({"message": {"messageId": "m"}});
    send(&site, "/", "SendMessage", message, task("SUBMITTED"), &[V1]).await;
    for state in ["WORKING", "WORKING", "FAILED", "FAILED", "FAILED"] {
        send(&site, "/", "GetTask", json!({"id": "t1"}), bare_task(state), &[V1]).await;
    }
    let spans = site.spans(6).await;
    assert!(spans.iter().all(|span| span.text("error.type").is_none()), "{spans:#?}");
    let samples = site.samples_of("gaugeway_a2a_operation_duration_microseconds", 6.0).await;
    let sum = |name: &str| {
        total(&samples, &format!("gaugeway_task_duration_microseconds_{name}"), &[("task_state", "failed")])
    };
    let first_failure = spans.iter().find(|span| span.text("gaugeway.task.state") == Some("failed")).unwrap();
    let seconds = (first_failure.start - spans[0].start) as f64 / 1e9 + first_failure.duration.as_secs_f64();
    assert_eq!((sum("count"), total(&samples, "gaugeway_task_duration_microseconds_count", &[])), (1.0, 1.0));
    assert!((sum("sum") / 1e6 - seconds).abs() < 1e-3 + 0.05 * seconds, "{} {seconds}", sum("sum"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_rpc_is_read_at_any_path_and_other_bodies_are_not() {
    let site = Site::start(1).await;
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "add"}}).to_string();
    let old = json!({"jsonrpc": "2.0", "id": 7, "method": "message/send", "params": {"message": {"messageId": "m"}}});
    let batch = format!("  [{call}]");
    for (path, body, accept) in [("/", &*call, BOTH), ("/tools", &batch, BOTH), ("/rpc", &old.to_string(), "*/*")] {
        site.send_text(path, body, accept, &[]).await;
    }
    let other = json!({"jsonrpc": "2.0", "id": 7, "method": "eth_call", "params": []}).to_string();
    let nested = format!(r#"{{"items":[{call}]}}"#);
    for (body, accept) in [(&*call, "*/*"), (&other, BOTH), (&nested, BOTH), ("id=1", BOTH), ("", BOTH)] {
        site.send_text("/tools", body, accept, &[]).await;
    }
    let spans = site.spans(3).await;
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["tools/call add", "tools/call add", "SendMessage"]);
    assert_eq!(attributes(&spans[2])["gaugeway.a2a.version"], "0.3");
}

/// The route changes path and host after the plugin has seen them. At the end of a stream only the changed ones are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_later_requests_at_a_path_is_read_at_once_although_the_route_rewrites_it() {
    let route = "route: {cluster: llm, timeout: 0s";
    let rewrites = "prefix_rewrite: /backend, host_rewrite_literal: backend.example.com";
    let replace = vec![(format!("{route}}}   # 0s"), format!("{route}, {rewrites}}}   # 0s"))];
    let site = Site::start_with(|options| Options { replace, ..options }).await;
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "add"}}).to_string();
    for _ in 0..2 {
        site.send_text("/tools", &call, BOTH, &[]).await;
    }
    let servers: Vec<_> = site.spans(2).await.iter().map(|span| attributes(span)["server.address"].clone()).collect();
    assert_eq!(servers, ["backend.example.com", "tools.example.com"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_mcp_counts_when_a_request_ends_it() {
    let site = Site::start(1).await;
    let session = [("mcp-session-id", "s-1"), ("mcp-protocol-version", "2025-11-25")];
    let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}}).to_string();
    site.send_text("/tools", &initialize, BOTH, &session).await;
    for _ in 0..2 {
        site.end_session("/tools", &session).await;
    }
    let span = site.spans(1).await.remove(0);
    assert_eq!(span.name, "initialize");
    let samples = site.samples_of("mcp_client_session_duration_microseconds", 1.0).await;
    let labels = [("mcp_protocol_version", "2025-11-25"), ("server_address", "tools.example.com")];
    assert_eq!(total(&samples, "mcp_client_session_duration_microseconds_count", &labels), 1.0);
}

/// Sends a request whose answer has this result. Returns the identifier of the HTTP request.
async fn send(site: &Site, path: &str, method: &str, params: Value, result: Value, headers: &[(&str, &str)]) -> String {
    let answer = json!({"jsonrpc": "2.0", "id": "7", "result": result});
    let body = json!({"jsonrpc": "2.0", "id": "7", "method": method, "params": params, "answer": answer});
    // The plugin must find out by the first bytes, and the server takes the answer from the request.
    let text = format!("{{\"jsonrpc\":\"2.0\",{}", &body.to_string()[1..]);
    site.send_text(path, &text, "*/*", headers).await.0
}

fn task(state: &str) -> Value {
    json!({"task": bare_task(state)})
}

fn bare_task(state: &str) -> Value {
    json!({"id": "t1", "contextId": "c1", "status": {"state": format!("TASK_STATE_{state}")}})
}
