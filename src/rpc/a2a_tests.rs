use super::tests::{EVENTS, JSON, RpcHeaders, operations_with, pass, start, with};
use super::{Protocol, RpcOperation, TaskState};

const V1: RpcHeaders<'_> = &[("a2a-version", "1.0"), (":path", "/")];
/// A client of version 0.3 sends no header.
const OLD: RpcHeaders<'_> = &[(":path", "/a2a")];

/// Method, task, state, conversation and error of the only operation. It must be the same wherever the bodies are cut.
fn told(headers: RpcHeaders<'_>, request: &str, answer: (RpcHeaders<'_>, &str)) -> [String; 5] {
    let seen = operations_with(headers, request, answer);
    assert_eq!((seen.len(), seen[0].protocol), (1, Protocol::A2a), "{seen:?}");
    fields(&seen[0])
}

fn fields(one: &RpcOperation) -> [String; 5] {
    let text = |text: &Option<crate::observation::Text>| text.as_deref().unwrap_or_default().to_owned();
    let state = one.state.map_or("", TaskState::as_str).to_owned();
    [one.method.to_string(), text(&one.task), state, text(&one.context), text(&one.error)]
}

/// A request of JSON-RPC with the identifier 7.
fn rpc(method: &str, params: &str) -> String {
    format!(r#"{{"method":"{method}","params":{params},"id":"7","jsonrpc":"2.0"}}"#)
}

fn result(result: &str) -> String {
    format!(r#"{{"result":{result},"id":"7","jsonrpc":"2.0"}}"#)
}

const MESSAGE: &str = r#"{"message":{"messageId":"m","parts":[{"text":"hi"}]}}"#;
/// The artifacts and the history come before what counts, and look like it.
const NESTED: &str = r#""artifacts":[{"artifactId":"a","parts":[{"data":{"id":"x","status":{"state":"failed"}}}]}],"history":[{"messageId":"m","taskId":"y","contextId":"z"}]"#;

#[test]
fn the_task_of_a_message_is_read_in_both_versions() {
    let new = format!(
        r#"{{"task":{{"id":"t1","contextId":"c1","status":{{"state":"TASK_STATE_COMPLETED","message":{{"taskId":"y"}}}},{NESTED}}}}}"#
    );
    let seen = told(V1, &rpc("SendMessage", MESSAGE), (JSON, &result(&new)));
    assert_eq!(seen, ["SendMessage", "t1", "completed", "c1", ""]);
    let old = format!(
        r#"{{{NESTED},"contextId":"c1","id":"t1","kind":"task","status":{{"message":{{"messageId":"n"}},"state":"input-required"}}}}"#
    );
    let seen = told(OLD, &rpc("message/send", MESSAGE), (JSON, &result(&old)));
    assert_eq!(seen, ["SendMessage", "t1", "input_required", "c1", ""]);
}

#[test]
fn a_message_of_the_agent_has_no_task() {
    for answer in [
        r#"{"message":{"messageId":"n","contextId":"c1","parts":[]}}"#,
        r#"{"contextId":"c1","kind":"message","messageId":"n"}"#,
    ] {
        let seen = told(V1, &rpc("SendMessage", MESSAGE), (JSON, &result(answer)));
        assert_eq!(seen, ["SendMessage", "", "", "c1", ""]);
    }
}

#[test]
fn a_message_whose_task_fails_has_failed_and_a_request_for_that_task_has_not() {
    for (state, error) in
        [("FAILED", "task_failed"), ("REJECTED", "task_rejected"), ("CANCELLED", ""), ("AUTH_REQUIRED", "")]
    {
        let task = format!(r#"{{"id":"t1","status":{{"state":"TASK_STATE_{state}"}}}}"#);
        let sent = told(V1, &rpc("SendMessage", MESSAGE), (JSON, &result(&format!(r#"{{"task":{task}}}"#))));
        let got = told(V1, &rpc("GetTask", r#"{"id":"t1"}"#), (JSON, &result(&task)));
        assert_eq!((&*sent[4], &*got[4], &sent[2]), (error, "", &got[2]), "{state}");
    }
}

#[test]
fn the_last_state_of_a_stream_counts_and_the_stream_ends_the_operation() {
    let event = |text: &str| format!("data: {}\r\n\r\n", result(text));
    let events = [
        r#"{"task":{"id":"t1","contextId":"c1","status":{"state":"TASK_STATE_SUBMITTED"}}}"#,
        r#"{"statusUpdate":{"taskId":"t1","contextId":"c1","status":{"state":"TASK_STATE_WORKING"}}}"#,
        r#"{"artifactUpdate":{"taskId":"t1","contextId":"c1","artifact":{"parts":[{"data":{"status":{"state":"TASK_STATE_FAILED"}}}]}}}"#,
        r#"{"statusUpdate":{"taskId":"t1","contextId":"c1","status":{"state":"TASK_STATE_COMPLETED"}}}"#,
    ];
    let stream: String = events.map(event).concat();
    let request = rpc("SendStreamingMessage", MESSAGE);
    assert_eq!(told(V1, &request, (EVENTS, &stream)), ["SendStreamingMessage", "t1", "completed", "c1", ""]);
    let old = [
        r#"{"contextId":"c1","id":"t1","kind":"task","status":{"state":"submitted"}}"#,
        r#"{"contextId":"c1","final":false,"kind":"status-update","status":{"state":"working"},"taskId":"t1"}"#,
        r#"{"append":false,"artifact":{},"contextId":"c1","kind":"artifact-update","taskId":"t1"}"#,
        r#"{"contextId":"c1","final":true,"kind":"status-update","status":{"state":"rejected"},"taskId":"t1"}"#,
    ];
    let old: String = old.map(event).concat();
    let seen = told(OLD, &rpc("message/stream", MESSAGE), (EVENTS, &old));
    assert_eq!(seen, ["SendStreamingMessage", "t1", "rejected", "c1", "task_rejected"]);
    let exchange = pass(V1, &request, (EVENTS, &stream), usize::MAX);
    assert_eq!(exchange.operations()[0].end, Some(5000));
}

#[test]
fn a_client_may_leave_a_stream_after_its_last_result() {
    let leave = |events: &str| {
        let mut exchange = start(V1).unwrap();
        exchange.request_body(rpc("SubscribeToTask", r#"{"id":"t1"}"#).as_bytes());
        with(EVENTS, |head| exchange.response(head));
        exchange.response_body(events.as_bytes(), 2000);
        exchange.finish("client_disconnect", 3000);
        fields(&exchange.operations()[0])[4].clone()
    };
    let event = |text: &str| format!("data: {}\n\n", result(text));
    let state = |state: &str| {
        event(&format!(r#"{{"statusUpdate":{{"taskId":"t1","status":{{"state":"TASK_STATE_{state}"}}}}}}"#))
    };
    assert_eq!(leave(&event(r#"{"message":{"messageId":"n","parts":[]}}"#)), "");
    assert_eq!(leave(&state("COMPLETED")), "");
    assert_eq!(leave(&state("INPUT_REQUIRED")), "");
    assert_eq!(leave(&state("WORKING")), "client_disconnect");
    assert_eq!(leave(""), "client_disconnect");
}

#[test]
fn errors_of_json_rpc_fail_an_operation_in_json_and_in_a_stream() {
    let error = r#"{"error":{"code":-32001,"message":"m","data":[]},"id":"7","jsonrpc":"2.0"}"#;
    let stream = format!("data: {error}\r\n\r\n");
    let request = rpc("SubscribeToTask", r#"{"id":"t1"}"#);
    for answer in [(JSON, error), (EVENTS, &*stream)] {
        let seen = pass(V1, &request, answer, 1);
        assert_eq!(fields(&seen.operations()[0]), ["SubscribeToTask", "t1", "", "", "-32001"]);
        assert_eq!(seen.operations()[0].status_code, Some(-32001));
    }
    let cut = "data: {\"result\":{\"task\":{\"id\":\"t1\"";
    assert_eq!(told(V1, &request, (EVENTS, cut))[4], "truncated");
}

#[test]
fn the_identifier_of_a_configuration_is_not_that_of_the_task() {
    for params in [r#"{"taskId":"t1","id":"p1"}"#, r#"{"id":"p1","taskId":"t1"}"#] {
        let seen = told(V1, &rpc("GetTaskPushNotificationConfig", params), (JSON, &result(params)));
        assert_eq!(seen, ["GetTaskPushNotificationConfig", "t1", "", "", ""]);
    }
    // In version 0.3 the answer has no result.
    let request = rpc("tasks/pushNotificationConfig/delete", r#"{"id":"t1"}"#);
    let seen = told(OLD, &request, (JSON, r#"{"id":"7","jsonrpc":"2.0"}"#));
    assert_eq!(seen, ["DeleteTaskPushNotificationConfig", "t1", "", "", ""]);
}

#[test]
fn without_a_header_of_a2a_a_method_must_be_one_that_no_other_protocol_has() {
    let none: RpcHeaders<'_> = &[("accept", "application/json, text/event-stream"), (":path", "/rpc")];
    let protocol = |headers: RpcHeaders<'_>, method: &str, params: &str| {
        let seen = pass(headers, &rpc(method, params), (JSON, ""), 9);
        seen.operations().first().map(|one| one.protocol)
    };
    assert_eq!(protocol(none, "message/send", MESSAGE), Some(Protocol::A2a));
    assert_eq!(protocol(none, "tasks/get", r#"{"id":"t1"}"#), Some(Protocol::A2a));
    assert_eq!(protocol(none, "tasks/get", r#"{"taskId":"t1"}"#), Some(Protocol::Mcp));
    assert_eq!(protocol(none, "SendMessage", MESSAGE), None);
    assert_eq!(protocol(none, "message/send", r#"{"text":"hi"}"#), None);
    assert_eq!(protocol(OLD, "SendMessage", MESSAGE), Some(Protocol::A2a));
    assert_eq!(protocol(V1, "SendMessage", "{}"), Some(Protocol::A2a));
    assert_eq!(protocol(V1, "vendor/do", "{}"), Some(Protocol::A2a));
    let mcp = &[("mcp-protocol-version", "2025-11-25"), ("a2a-version", "1.0")];
    assert_eq!(protocol(mcp, "tasks/get", r#"{"id":"t1"}"#), Some(Protocol::Mcp));
}

#[test]
fn the_version_is_that_of_the_header_or_else_the_old_one() {
    let version = |headers: RpcHeaders<'_>| {
        let seen = pass(headers, &rpc("message/send", MESSAGE), (JSON, ""), 9);
        seen.transport().version.as_deref().unwrap_or_default().to_owned()
    };
    assert_eq!((version(V1), version(OLD)), ("1.0".to_owned(), "0.3".to_owned()));
}

#[test]
fn requests_without_json_rpc_are_known_by_method_and_path() {
    for (method, path, name, task) in [
        ("POST", "/message:send", "SendMessage", ""),
        ("POST", "/v1/message:stream?x=1", "SendStreamingMessage", ""),
        ("GET", "/agents/one/tasks/t1?historyLength=2", "GetTask", "t1"),
        ("GET", "/tenant/tasks", "ListTasks", ""),
        ("POST", "/tasks/t1:cancel", "CancelTask", "t1"),
        ("POST", "/v1/tasks/t1:subscribe", "SubscribeToTask", "t1"),
        ("GET", "/v1/tasks/t1:subscribe", "SubscribeToTask", "t1"),
        ("POST", "/tasks/t1/pushNotificationConfigs", "CreateTaskPushNotificationConfig", "t1"),
        ("GET", "/tasks/t1/pushNotificationConfigs", "ListTaskPushNotificationConfigs", "t1"),
        ("GET", "/tasks/t1/pushNotificationConfigs/p1", "GetTaskPushNotificationConfig", "t1"),
        ("DELETE", "/tasks/t1/pushNotificationConfigs/p1", "DeleteTaskPushNotificationConfig", "t1"),
        ("GET", "/extendedAgentCard", "GetExtendedAgentCard", ""),
        ("GET", "/v1/card", "GetExtendedAgentCard", ""),
    ] {
        let head: RpcHeaders<'_> = &[(":method", method), (":path", path), ("a2a-version", "1.0")];
        let seen = told(head, "", (JSON, "{}"));
        assert_eq!(seen, [name, task, "", "", ""], "{method} {path}");
    }
    for (method, path) in
        [("GET", "/.well-known/agent-card.json"), ("PUT", "/tasks/t1"), ("GET", "/tasks/"), ("GET", "/tasks/t1:cancel")]
    {
        assert!(start(&[(":method", method), (":path", path), ("a2a-version", "1.0")]).is_none(), "{method} {path}");
    }
}

#[test]
fn bodies_without_json_rpc_have_the_task_and_its_state() {
    let send: RpcHeaders<'_> = &[("a2a-version", "1.0"), (":path", "/message:send")];
    let task =
        format!(r#"{{"task":{{{NESTED},"id":"t1","contextId":"c1","status":{{"state":"TASK_STATE_FAILED"}}}}}}"#);
    assert_eq!(told(send, MESSAGE, (JSON, &task)), ["SendMessage", "t1", "failed", "c1", "task_failed"]);
    let get: RpcHeaders<'_> = &[(":method", "GET"), (":path", "/a2a/tasks/t1")];
    let bare = format!(r#"{{{NESTED},"id":"t1","contextId":"c1","status":{{"state":"TASK_STATE_WORKING"}}}}"#);
    assert_eq!(told(get, "", (JSON, &bare)), ["GetTask", "t1", "working", "c1", ""]);
    let stream: RpcHeaders<'_> = &[(":path", "/v1/message:stream")];
    let events = "data: {\"statusUpdate\":{\"taskId\":\"t1\",\"status\":{\"state\":\"TASK_STATE_WORKING\"}}}\r\n\r\n\
        data: {\"statusUpdate\":{\"taskId\":\"t1\",\"status\":{\"state\":\"TASK_STATE_CANCELLED\"},\"final\":true}}\r\n\r\n";
    let seen = told(stream, r#"{"request":{"message_id":"m","task_id":"t1","context_id":"c1"}}"#, (EVENTS, events));
    assert_eq!(seen, ["SendStreamingMessage", "t1", "canceled", "c1", ""]);
}

#[test]
fn an_error_of_http_fails_an_operation_without_json_rpc() {
    let get: RpcHeaders<'_> = &[(":method", "GET"), (":path", "/tasks/t1"), ("a2a-version", "1.0")];
    let error = r#"{"error":{"code":404,"status":"NOT_FOUND","message":"m","details":[]}}"#;
    let unknown: RpcHeaders<'_> = &[(":status", "404"), ("content-type", "application/json")];
    assert_eq!(told(get, "", (unknown, error)), ["GetTask", "t1", "", "", "404"]);
}

#[test]
fn only_a_message_that_names_no_task_begins_one() {
    let begins =
        |headers: RpcHeaders<'_>, request: &str| pass(headers, request, (JSON, "{}"), 9).operations()[0].begins_task();
    assert!(begins(V1, &rpc("SendMessage", MESSAGE)));
    assert!(!begins(V1, &rpc("SendMessage", r#"{"message":{"taskId":"t1","messageId":"m"}}"#)));
    assert!(!begins(V1, &rpc("GetTask", r#"{"id":"t1"}"#)));
    let send: RpcHeaders<'_> = &[(":path", "/message:send")];
    assert!(begins(send, MESSAGE));
    assert!(!begins(send, r#"{"request":{"task_id":"t1"}}"#));
}
