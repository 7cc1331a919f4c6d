//! Requests of MCP and A2A that try to be lost, to count twice, or to change what other requests count.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::mcp::{Site, attributes};
use crate::support::client::{self, Http, Raw};
use crate::support::envoy::Options;
use crate::support::prometheus::total;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

const BOTH: &str = "application/json, text/event-stream";
const COUNT: &str = "mcp_client_operation_duration_microseconds_count";
const A2A_COUNT: &str = "gaugeway_a2a_operation_duration_microseconds_count";
const TASKS: &str = "gaugeway_task_duration_microseconds_count";
const V1: (&str, &str) = ("a2a-version", "1.0");
/// The time between two parts of a body: Envoy must read them one by one.
const PAUSE: Duration = Duration::from_millis(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_at_an_unknown_path_is_read_wherever_its_first_bytes_are_cut() {
    let site = Site::start(1).await;
    let call = call("add").to_string();
    let bodies = [call.clone(), format!(" \r\n [ {call}]"), format!("\u{feff}{call}"), format!("{:100}{call}", "")];
    let mut count = 0;
    for (at, body) in bodies.iter().enumerate() {
        let first = body.find('{').unwrap();
        for cut in (0..first + 14).filter(|cut| *cut < 20 || *cut + 2 > first) {
            // No path is known from an earlier request.
            send_cut(&site, &format!("/b{at}/c{cut}"), body, &[cut]).await;
            count += 1;
        }
        let every: Vec<_> = (first..first + 14).collect();
        send_cut(&site, &format!("/b{at}/every"), body, &every).await;
        count += 1;
    }
    assert!(count > 60);
    let labels = [("mcp_method_name", "tools/call"), ("gen_ai_tool_name", "add"), ("error_type", "")];
    let samples = site.samples(f64::from(count)).await;
    assert_eq!(total(&samples, COUNT, &labels[..2]), f64::from(count));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirected_operation_counts_once_from_its_first_leg_on() {
    let redirects = "internal_redirect_policy: {max_internal_redirects: 1, redirect_response_codes: [302]}";
    let route = "route: {cluster: llm, timeout: 0s";
    let replace = vec![(format!("{route}}}   # 0s"), format!("{route}, {redirects}}}   # 0s"))];
    let site = Site::start_with(|options| Options { replace, ..options }).await;
    for path in ["/moved", "/moved/mcp", "/moved", "/moved/mcp"] {
        let (_, body) = site.send_to(path, &call("add"), BOTH, &[]).await;
        assert!(body.contains("done"), "{body}");
    }
    let spans = site.spans(4).await;
    assert!(spans.iter().all(|span| span.text("error.type").is_none()), "{spans:#?}");
    assert_eq!(total(&site.samples(4.0).await, COUNT, &[]), 4.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_of_a_cluster_reads_operations_at_any_path() {
    let plugin = std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test envoy");
    let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/upstream-filter.yaml");
    let filter = fs::read_to_string(filter).unwrap().replace("dist/gaugeway.wasm", &plugin);
    let filter: String = filter.lines().map(|line| format!("\n    {line}")).collect();
    let llm = "\n    load_assignment:\n      cluster_name: llm\n";
    let replace = vec![(llm.to_owned(), format!("{filter}{llm}"))];
    let site = Site::start_with(|options| Options { plugin: false, replace, ..options }).await;
    let old = json!({"jsonrpc": "2.0", "id": 7, "method": "message/send", "params": {"message": {"messageId": "m"}}});
    for path in ["/", "/mcp", "/tools", "/tools"] {
        site.send_to(path, &call("add"), BOTH, &[]).await;
        site.send_to(path, &json!({"id": 7, "item": 1}), "*/*", &[]).await;
        site.send_to(path, &json!({"jsonrpc": "2.0", "id": 7, "method": "eth_call", "params": []}), "*/*", &[]).await;
    }
    // The plugin must find out by the first bytes.
    site.send_text("/rpc", &format!("{{\"jsonrpc\":\"2.0\",{}", &old.to_string()[1..]), "*/*", &[]).await;
    let samples = site.samples(4.0).await;
    assert_eq!(total(&samples, COUNT, &[("server_address", "tools.example.com")]), 4.0);
    assert_eq!(total(&samples, COUNT, &[]), 4.0);
    let samples = site.samples_of("gaugeway_a2a_operation_duration_microseconds", 1.0).await;
    assert_eq!(total(&samples, A2A_COUNT, &[("server_address", "tools.example.com")]), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_request_does_not_make_other_requests_those_of_an_agent() {
    let site = Site::start(1).await;
    let failed = [("x-status", "404")];
    site.send_text("/api/message:send", "{}", "*/*", &failed).await;
    get(&site, "/api/tasks/7").await;
    site.send_text("/agent/message:send", "{}", "*/*", &[]).await;
    get(&site, "/agent/tasks/7").await;
    let mut names: Vec<_> = site.spans(3).await.into_iter().map(|span| span.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["GetTask", "SendMessage", "SendMessage"]);
    let samples = site.samples_of("gaugeway_a2a_operation_duration_microseconds", 3.0).await;
    assert_eq!(total(&samples, A2A_COUNT, &[("rpc_method", "GetTask")]), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_a_client_invents_do_not_take_the_places_of_agents() {
    let site = Site::start(1).await;
    for number in 0..300 {
        site.send_to(&format!("/invented/{number}"), &call("add"), BOTH, &[]).await;
    }
    site.send_text("/agent/message:send", "{}", "*/*", &[]).await;
    get(&site, "/agent/tasks/7").await;
    let samples = site.samples_of("gaugeway_a2a_operation_duration_microseconds", 2.0).await;
    assert_eq!(total(&samples, A2A_COUNT, &[("rpc_method", "GetTask")]), 1.0);
    assert_eq!(total(&site.samples(300.0).await, COUNT, &[]), 300.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_a_model_is_not_lost_because_its_body_begins_like_json_rpc() {
    let site = Site::start(1).await;
    let answer = json!({
        "id": "c1", "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}, "finish_reason": "COMPLETE",
        "usage": {"billed_units": {"input_tokens": 9, "output_tokens": 3}, "tokens": {"input_tokens": 9, "output_tokens": 3}},
    });
    let rest = json!({"model": "command-r", "messages": [{"role": "user", "content": "hi"}], "answer": answer});
    let rest = &rest.to_string()[1..];
    let starts = ["", "\"id\":1,", "\"jsonrpc\":\"2.0\",", "\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\","];
    for start in starts {
        site.send_text("/v2/chat", &format!("{{{start}{rest}"), BOTH, &[]).await;
    }
    let enough = |samples: &[_]| total(samples, "gaugeway_requests_total", &[]) >= starts.len() as f64;
    let samples = site.envoy.samples_when(enough, Duration::from_secs(10)).await;
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), starts.len() as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_belongs_to_the_agent_that_began_it() {
    let site = Site::start(2).await;
    let task = |state: &str| json!({"id": "1", "status": {"state": format!("TASK_STATE_{state}")}});
    let message = json!({"message": {"messageId": "m"}});
    answered(&site, "/one", "SendMessage", &message, &json!({"task": task("WORKING")})).await;
    // Another agent behind the same gateway numbers its tasks in the same way.
    answered(&site, "/two", "GetTask", &json!({"id": "1"}), &task("COMPLETED")).await;
    answered(&site, "/one?tenant=a", "GetTask", &json!({"id": "1"}), &task("FAILED")).await;
    let samples = site.samples_of("gaugeway_a2a_operation_duration_microseconds", 3.0).await;
    assert_eq!(total(&samples, TASKS, &[("task_state", "failed")]), 1.0);
    assert_eq!(total(&samples, TASKS, &[]), 1.0);
}

/// The first request at a path is recognised by the first bytes of its body, the next ones by their heads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_request_at_a_path_has_what_the_next_ones_have() {
    let labels = json!({"headers": {"x-team": "team"}});
    let tag = "  - {tag_name: team, regex: '^wasmcustom\\..*?(team=\\.=(.*?);\\.;)'}\n";
    let site = Site::start_with(|mut options| {
        options.config["labels"] = labels;
        options.replace.push(("  stats_tags:\n".to_owned(), format!("  stats_tags:\n{tag}")));
        options
    })
    .await;
    let place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let both = &[("x-team", "a"), ("traceparent", place)][..];
    let mcp = &[("mcp-session-id", "s-1"), ("mcp-protocol-version", "2025-06-18"), ("x-team", "b")][..];
    let a2a = &[V1, ("x-team", "c")][..];
    let request = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let cases = [
        (request("tools/call", json!({"name": "add"})), BOTH, both),
        (request("tools/call", json!({"name": "fail"})), BOTH, mcp),
        (request("tools/call", json!({"name": "broken"})), BOTH, mcp),
        (request("initialize", json!({"protocolVersion": "2025-03-26"})), BOTH, mcp),
        (request("vendor/method", json!({})), "*/*", mcp),
        (request("tasks/get", json!({"id": "t"})), "*/*", mcp),
        (request("tasks/get", json!({"taskId": "t"})), BOTH, mcp),
        (request("vendor/method", json!({})), "*/*", a2a),
        (request("ListTasks", json!({})), "*/*", a2a),
        (request("message/send", json!({})), "*/*", a2a),
        (request("tasks/get", json!({"id": "t"})), "*/*", a2a),
        (request("agent/getAuthenticatedExtendedCard", json!({})), "*/*", a2a),
        (request("SendMessage", json!({"message": {"taskId": "t", "contextId": "c"}})), "*/*", a2a),
        (request("message/send", json!({"message": {"taskId": "t"}})), "*/*", &[("x-team", "d")]),
    ];
    let mut seen = Vec::new();
    for (at, (body, accept, headers)) in cases.iter().enumerate() {
        let text = format!("{{\"jsonrpc\":\"2.0\",{}", &body.to_string()[1..]);
        for _ in 0..2 {
            let (id, _) = site.send_text(&format!("/case{at}"), &text, accept, headers).await;
            let entry = site.entry(&id).await;
            seen.push(entry);
        }
    }
    let spans = site.spans(2 * cases.len()).await;
    for (pair, (case, spans)) in seen.chunks(2).zip(cases.iter().zip(spans.chunks(2))) {
        assert_eq!(attributes(&spans[0]), attributes(&spans[1]), "{case:?}");
        assert_eq!((&spans[0].name, &spans[0].parent_id), (&spans[1].name, &spans[1].parent_id), "{case:?}");
        for name in attributes(&spans[0]).as_object().unwrap().keys() {
            assert!(pair[0][name].is_string(), "{name} {case:?} {}", pair[0]);
            assert_eq!(pair[0][name], pair[1][name], "{name} {case:?}");
        }
    }
    let samples = site.samples(14.0).await;
    for (team, count) in [("a", 2.0), ("b", 12.0)] {
        assert_eq!(total(&samples, COUNT, &[("team", team)]), count, "{team}");
    }
    for (team, count) in [("c", 12.0), ("d", 2.0)] {
        assert_eq!(total(&samples, A2A_COUNT, &[("team", team)]), count, "{team}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_envoy_refuses_counts_once_if_its_head_shows_it() {
    let denied = "{name: denied, match: {prefix: /denied/}, direct_response: {status: 429}}";
    let site = Site::start_with(|options| options.with(&[denied], &[])).await;
    site.send_text("/denied/message:send", "{}", "*/*", &[]).await;
    site.send_to("/denied/mcp", &call("add"), BOTH, &[]).await;
    site.send_to("/denied/other", &call("add"), BOTH, &[]).await;
    site.send_to("/mcp", &call("add"), BOTH, &[]).await;
    let spans = site.spans(2).await;
    assert_eq!((&*spans[0].name, spans[0].text("error.type")), ("SendMessage", Some("direct_response")));
    assert_eq!((&*spans[1].name, spans[1].text("error.type")), ("tools/call add", None));
}

fn call(tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool}})
}

/// Sends a request of A2A, whose answer has this result.
async fn answered(site: &Site, path: &str, method: &str, params: &Value, result: &Value) {
    let answer = json!({"jsonrpc": "2.0", "id": 7, "result": result});
    let body = json!({"id": 7, "method": method, "params": params, "answer": answer}).to_string();
    site.send_text(path, &format!("{{\"jsonrpc\":\"2.0\",{}", &body[1..]), "*/*", &[V1]).await;
}

async fn get(site: &Site, path: &str) {
    let request = Request::get(path).header("host", "tools.example.com").body(Full::<Bytes>::default()).unwrap();
    client::send(site.envoy.addr, request, Http::One).await.unwrap();
}

/// Sends the body in parts that end at these places.
async fn send_cut(site: &Site, path: &str, body: &str, cuts: &[usize]) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: tools.example.com\r\naccept: {BOTH}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut raw = Raw::send(site.envoy.addr, head.as_bytes()).await.unwrap();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([body.len()]) {
        tokio::time::sleep(PAUSE).await;
        raw.write(&body.as_bytes()[from..cut]).await.unwrap();
        from = cut;
    }
    raw.read_to_end().await.unwrap();
    assert!(String::from_utf8_lossy(&raw.read).contains(" 200 OK"), "{}", String::from_utf8_lossy(&raw.read));
}
