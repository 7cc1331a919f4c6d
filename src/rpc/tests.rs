use std::rc::Rc;

use super::{OPERATIONS, RpcAnswer, RpcExchange, RpcOperation, RpcPrograms, TaskState};
use crate::budget::Budget;
use crate::provider::Head;

pub type RpcHeaders<'h> = &'h [(&'h str, &'h str)];

pub const ACCEPT: (&str, &str) = ("accept", "application/json, text/event-stream");
pub const JSON: RpcHeaders<'_> = &[(":status", "200"), ("content-type", "application/json")];
pub const EVENTS: RpcHeaders<'_> = &[(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")];

/// An exchange that began with these headers at 1,000. None if it is not MCP.
pub fn start(headers: RpcHeaders<'_>) -> Option<RpcExchange> {
    let mut all =
        vec![(":method", "POST"), (":authority", "tools.example.com"), (":scheme", "https"), (":path", "/mcp")];
    all.splice(0..0, headers.iter().copied());
    with(&all, |head| {
        RpcExchange::start(&Rc::new(RpcPrograms::compile()), &Rc::new(Budget::new(1 << 20)), head, false, 0, 1000)
    })
}

pub fn with<T>(headers: RpcHeaders<'_>, use_head: impl FnOnce(Head<'_>) -> T) -> T {
    let pairs: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    use_head(Head(&pairs))
}

/// The exchange of these bodies, which end at 5,000. Each piece of `size` bytes of the response takes 1.
pub fn pass(headers: RpcHeaders<'_>, request: &str, answer: (RpcHeaders<'_>, &str), size: usize) -> RpcExchange {
    let mut exchange = start(headers).unwrap();
    request.as_bytes().chunks(size).for_each(|piece| exchange.request_body(piece));
    exchange.request_end();
    with(answer.0, |head| exchange.response(head));
    for (at, piece) in answer.1.as_bytes().chunks(size).enumerate() {
        exchange.response_body(piece, 2000 + at as u64);
    }
    exchange.finish("", 5000);
    exchange
}

/// The operations of these bodies, which must be the same wherever the bodies are cut.
fn operations(request: &str, answer: (RpcHeaders<'_>, &str)) -> Vec<RpcOperation> {
    operations_with(&[ACCEPT], request, answer)
}

/// The same for a request with these headers.
pub fn operations_with(headers: RpcHeaders<'_>, request: &str, answer: (RpcHeaders<'_>, &str)) -> Vec<RpcOperation> {
    let without_time = |size: usize| {
        let mut seen = pass(headers, request, answer, size).operations().to_vec();
        seen.iter_mut().for_each(|operation| operation.end = None);
        seen
    };
    let whole = without_time(usize::MAX);
    for size in 1..=request.len().max(answer.1.len()) {
        assert_eq!(without_time(size), whole, "in pieces of {size} bytes");
    }
    whole
}

/// Method, tool, error type and size of the result of each operation.
fn told(operations: &[RpcOperation]) -> Vec<(&str, &str, &str, Option<u64>)> {
    operations
        .iter()
        .map(|o| (&*o.method, o.tool().unwrap_or_default(), o.error.as_deref().unwrap_or_default(), o.result_bytes))
        .collect()
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add","arguments":{"a":1},"_meta":{"progressToken":"p1"}}}"#;

#[test]
fn a_tool_call_answered_in_a_stream_is_one_operation() {
    let stream = "id: e1\ndata: \n\n\
        data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"p1\",\"progress\":1}}\n\n\
        event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"7\",\"method\":\"sampling/createMessage\",\"params\":{}}\n\n\
        data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"2\"}],\"isError\":false}}\n\n";
    let seen = operations(CALL, (EVENTS, stream));
    assert_eq!(told(&seen), [("tools/call", "add", "", Some(28))]);
    assert_eq!((&*seen[0].id, seen[0].progress, seen[0].operation()), ("7", 1, "execute_tool"));
    assert!(seen[0].arguments != 0);
    // The answer ends the operation, not the end of the stream.
    let exchange = pass(&[ACCEPT], CALL, (EVENTS, stream), usize::MAX);
    assert_eq!((exchange.operations()[0].end, exchange.transport().start), (Some(2000), 1000));
}

#[test]
fn a_batch_has_as_many_operations_as_requests_with_answers_in_any_order() {
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}},
        {"jsonrpc":"2.0","method":"notifications/initialized"},
        {"jsonrpc":"2.0","id":"1","method":"resources/read","params":{"uri":"file:///x"}},
        {"jsonrpc":"2.0","id":3,"result":{"roots":[]}},
        {"jsonrpc":"2.0","id":4,"method":"ping"}]"#;
    let answers = r#"[{"jsonrpc":"2.0","id":4,"result":{}},{"jsonrpc":"2.0","id":"1","error":{"code":-32002,"message":"m"}},
        {"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}]"#;
    let seen = operations(batch, (JSON, answers));
    let wanted =
        [("tools/call", "a", "tool_error", Some(2)), ("resources/read", "", "-32002", None), ("ping", "", "", None)];
    assert_eq!(told(&seen), wanted);
    assert_eq!((seen[1].uri.as_deref(), seen[1].status_code), (Some("file:///x"), Some(-32002)));
}

#[test]
fn members_may_come_in_any_order() {
    let request = r#"{"params":{"arguments":{},"name":"search"},"method":"tools/call","id":"x","jsonrpc":"2.0"}"#;
    let answer = r#"{"result":{"isError":true,"structuredContent":{"a":[1]},"content":[]},"id":"x","jsonrpc":"2.0"}"#;
    assert_eq!(told(&operations(request, (JSON, answer))), [("tools/call", "search", "tool_error", Some(11))]);
}

#[test]
fn an_error_without_a_number_as_code_is_a_failure() {
    for error in [r#"{}"#, r#"{"code":"x","message":"m"}"#, r#"{"code":1.5}"#] {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":7,"error":{error}}}"#);
        let seen = operations(CALL, (JSON, &answer));
        assert_eq!((seen[0].error.as_deref(), seen[0].status_code), (Some("tool_error"), None), "{error}");
    }
}

#[test]
fn notifications_and_answers_of_the_client_are_no_operations() {
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{"role":"assistant"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/list""#,
        "[]",
        "",
    ] {
        let accepted: RpcHeaders<'_> = &[(":status", "202")];
        assert_eq!(operations(body, (accepted, "")), [], "{body}");
    }
    assert_eq!(operations(CALL, (&[(":status", "202")], "")), [], "the answer comes on another stream");
}

#[test]
fn without_a_header_only_methods_of_the_specification_are_operations() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[]}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"tools/call","params":{"name":"a"}}"#,
        r#"{"id":1,"method":"tools/call"}"#,
        r#"{"model":"m","messages":[{"method":"tools/call","id":1,"jsonrpc":"2.0"}]}"#,
    ] {
        assert_eq!(operations(body, (JSON, "{}")), [], "{body}");
    }
    let custom = r#"{"jsonrpc":"2.0","id":1,"method":"vendor/do"}"#;
    let seen = pass(&[("mcp-session-id", "s"), ACCEPT], custom, (JSON, r#"{"id":1,"result":{}}"#), 9);
    assert_eq!(told(seen.operations()), [("vendor/do", "", "", None)]);
}

#[cfg(feature = "capture")]
#[test]
fn arguments_are_reported_redacted_if_they_are_captured_and_never_else() {
    let request = CALL
        .replace(r#"{"a":1}"#, r#"{"to":"ann@example.com","note":"the \nsk-proj-abcdefghijklmnop1234567890 \u00e9"}"#);
    let text = |captures: bool, size: usize| {
        let mut exchange = start(&[ACCEPT]).unwrap();
        if captures {
            exchange.capture(Rc::new(crate::text::redaction::Redaction::new(None).unwrap()));
        }
        request.as_bytes().chunks(size).for_each(|piece| exchange.request_body(piece));
        exchange.request_end();
        exchange.operations()[0].arguments_text.clone()
    };
    assert_eq!(text(false, 1 << 12), None);
    let whole = text(true, 1 << 12).unwrap();
    assert!(whole.starts_with(r#"{"to":""#) && whole.ends_with("\u{e9}\"}"), "{whole}");
    assert!(!whole.contains("ann@example.com") && !whole.contains("abcdefghij"), "{whole}");
    for size in [1, 2, 3, 7, 50] {
        assert_eq!(text(true, size).as_deref(), Some(&*whole), "in pieces of {size}");
    }
}

#[test]
fn a_call_that_needs_input_first_is_a_call_of_a_tool_once() {
    let first =
        r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{},"requestState":"s"}}"#;
    let seen = operations(CALL, (JSON, first));
    assert_eq!((seen[0].operation(), seen[0].error.as_deref()), ("", None));
    let last = r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}"#;
    assert_eq!(operations(CALL, (JSON, last))[0].operation(), "execute_tool");
}

#[test]
fn tasks_of_mcp_are_known_by_the_call_that_begins_them_and_by_later_requests() {
    let version = ("mcp-protocol-version", "2025-11-25");
    let task = |headers: RpcHeaders<'_>, request: &str, answer: &str| {
        let seen = pass(headers, request, (JSON, answer), 3);
        let one = &seen.operations()[0];
        (one.task.as_deref().map(str::to_owned), one.state, one.begins_task())
    };
    let (old, new) =
        (r#""task":{"taskId":"t1","status":"working"}"#, r#""resultType":"task","taskId":"t1","status":"working""#);
    for begun in [old, new] {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{{begun}}}}}"#);
        let seen = task(&[ACCEPT], CALL, &answer);
        assert_eq!(seen, (Some("t1".to_owned()), Some(TaskState::Working), true), "{begun}");
    }
    let get = r#"{"jsonrpc":"2.0","id":8,"method":"tasks/get","params":{"taskId":"t1"}}"#;
    let answer = r#"{"jsonrpc":"2.0","id":8,"result":{"taskId":"t1","status":"cancelled"}}"#;
    let seen = task(&[version, ACCEPT], get, answer);
    assert_eq!(seen, (Some("t1".to_owned()), Some(TaskState::Canceled), false));
    // A result of a tool may have such members too.
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[],"taskId":"x","status":"failed"}}"#;
    assert_eq!(task(&[ACCEPT], CALL, answer), (None, None, true));
}

#[test]
fn a_session_is_opened_by_a_request_and_ended_by_another_one() {
    let request = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    let opened: RpcHeaders<'_> = &[(":status", "200"), ("mcp-session-id", "s1")];
    let seen = pass(&[ACCEPT], request, (opened, r#"{"id":0,"result":{}}"#), 5);
    assert!(seen.has_opened_session() && !seen.has_ended_session());
    let refused = pass(&[ACCEPT], request, (opened, r#"{"id":0,"error":{"code":-32602}}"#), 5);
    assert!(!refused.has_opened_session());
    for (status, has_ended) in [("200", true), ("204", true), ("405", false)] {
        let mut end = start(&[(":method", "DELETE"), ("mcp-session-id", "s1")]).unwrap();
        end.request_end();
        with(&[(":status", status)], |head| end.response(head));
        end.finish("", 5000);
        assert_eq!((end.has_ended_session(), end.operations().len()), (has_ended, 0), "{status}");
    }
}

#[test]
fn session_and_version_come_from_headers_or_from_the_opening_of_the_session() {
    let request = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
    let answer = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
    let opened: RpcHeaders<'_> = &[(":status", "200"), ("mcp-session-id", "s1")];
    let seen = pass(&[ACCEPT], request, (opened, answer), 5);
    let transport = seen.transport();
    assert_eq!((transport.session.as_deref(), transport.version.as_deref()), (Some("s1"), Some("2025-06-18")));
    let server = transport.server.as_ref().unwrap();
    assert_eq!((&*server.address, server.port), ("tools.example.com", Some(443)));
    let later = &[("mcp-session-id", "s1"), ("mcp-protocol-version", "2025-06-18"), ACCEPT];
    let seen = pass(later, CALL, (JSON, ""), 5);
    assert_eq!(seen.transport().version.as_deref(), Some("2025-06-18"));
}

#[test]
fn the_ids_of_traces_and_of_the_models_calls_are_read_from_the_metadata() {
    let place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"_meta":{{"traceparent":"{place}","claudecode/toolUseId":"toolu_01A09q90qw90"}},"name":"add"}}}}"#
    );
    let seen = operations(&request, (JSON, r#"{"id":7,"result":{}}"#));
    assert_eq!(seen[0].parent.map(|place| place.span[0]), Some(0xb7));
    let codex = request.replace("claudecode/toolUseId\":", "callId\":\"toolu_01A09q90qw90\",\"itemId\":");
    let other = operations(&codex, (JSON, r#"{"id":7,"result":{}}"#));
    assert!(seen[0].call != 0 && seen[0].call == other[0].call);
    assert_eq!((seen[0].item, other[0].item), (0, other[0].call));
}

#[test]
fn an_operation_without_an_answer_fails_by_status_by_the_end_of_the_stream_or_as_truncated() {
    let wrong: RpcHeaders<'_> = &[(":status", "404")];
    assert_eq!(told(&operations(CALL, (wrong, "session not found"))), [("tools/call", "add", "404", None)]);
    let unread = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#;
    assert_eq!(told(&operations(CALL, (&[(":status", "400")], unread))), [("tools/call", "add", "-32700", None)]);
    let other = r#"{"jsonrpc":"2.0","id":8,"result":{}}"#;
    assert_eq!(told(&operations(CALL, (JSON, other))), [("tools/call", "add", "truncated", None)]);
    let mut cut = start(&[ACCEPT]).unwrap();
    cut.request_body(CALL.as_bytes());
    cut.finish("client_disconnect", 3000);
    assert_eq!(told(cut.operations()), [("tools/call", "add", "client_disconnect", None)]);
    assert_eq!(cut.operations()[0].end, Some(3000));
}

#[test]
fn a_subscription_that_its_client_leaves_has_not_failed() {
    for (method, answer, failure, error) in [
        ("subscriptions/listen", EVENTS, "client_disconnect", None),
        ("subscriptions/listen", EVENTS, "upstream_reset", Some("upstream_reset")),
        ("subscriptions/listen", EVENTS, "", Some("truncated")),
        ("subscriptions/listen", JSON, "client_disconnect", Some("client_disconnect")),
        ("tools/list", EVENTS, "client_disconnect", Some("client_disconnect")),
    ] {
        let mut exchange = start(&[("mcp-protocol-version", "2026-07-28"), ACCEPT]).unwrap();
        exchange.request_body(format!(r#"{{"jsonrpc":"2.0","id":"l","method":"{method}"}}"#).as_bytes());
        exchange.request_end();
        with(answer, |head| exchange.response(head));
        exchange.finish(failure, 3000);
        assert_eq!(exchange.operations()[0].error.as_deref(), error, "{method} {failure}");
        assert_eq!(exchange.operations()[0].end, Some(3000));
    }
}

#[test]
fn a_replayed_answer_changes_nothing() {
    let stream = "data: {\"id\":7,\"result\":{\"content\":[]}}\n\ndata: {\"id\":7,\"error\":{\"code\":-1}}\n\n";
    assert_eq!(told(&operations(CALL, (EVENTS, stream))), [("tools/call", "add", "", Some(2))]);
}

#[test]
fn the_operations_of_a_request_are_bounded() {
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let batch = format!("[{}]", vec![one; 10 * OPERATIONS].join(","));
    assert_eq!(pass(&[ACCEPT], &batch, (JSON, ""), 1 << 12).operations().len(), OPERATIONS);
}

#[test]
fn the_answers_of_a_resumed_stream_are_those_of_other_requests() {
    let mut resumed = start(&[(":method", "GET"), ("mcp-session-id", "s"), ("accept", "text/event-stream")]).unwrap();
    resumed.request_end();
    with(EVENTS, |head| resumed.response(head));
    let stream = "data: {\"method\":\"notifications/message\"}\n\ndata: {\"id\":7,\"result\":{\"content\":[1],\"isError\":true}}\n\n\
        data: {\"id\":8,\"error\":{\"code\":-5}}\n\ndata: {\"id\":9,\"method\":\"ping\"}\n\n";
    stream.as_bytes().chunks(3).for_each(|piece| resumed.response_body(piece, 2000));
    let others = resumed.take_others();
    assert!(!resumed.is_answered() && resumed.take_others().is_empty() && others.len() == 2);

    let cut = "id: 1\ndata: \n\n";
    let mut asked = start(&[("mcp-session-id", "s"), ACCEPT]).unwrap();
    asked.request_body(CALL.as_bytes());
    asked.request_end();
    with(EVENTS, |head| asked.response(head));
    asked.response_body(cut.as_bytes(), 1500);
    asked.finish("", 1600);
    assert!(asked.may_resume() && asked.operations()[0].is_unanswered);
    let answer = RpcAnswer::from_bytes(&others[0].to_bytes()).unwrap();
    assert_eq!((answer, answer.key), (others[0], asked.operations()[0].key));
    let mut operation = asked.operations()[0].clone();
    operation.answered(&answer);
    assert_eq!(
        (operation.end, operation.error.as_deref(), operation.result_bytes),
        (Some(2000), Some("tool_error"), Some(3))
    );
    operation.answered(&RpcAnswer::from_bytes(&others[1].to_bytes()).unwrap());
    assert_eq!(
        (operation.error.as_deref(), operation.status_code, operation.result_bytes),
        (Some("-5"), Some(-5), None)
    );
}

#[test]
fn a_stream_can_be_resumed_only_in_a_session() {
    let session = ("mcp-session-id", "s");
    for (headers, answer, may) in [
        (&[session, ACCEPT][..], EVENTS, true),
        (&[("mcp-protocol-version", "2025-11-25"), session, ACCEPT], EVENTS, true),
        (&[("mcp-protocol-version", "2026-07-28"), session, ACCEPT], EVENTS, false),
        (&[ACCEPT], EVENTS, false),
        (&[session, ACCEPT], JSON, false),
    ] {
        assert_eq!(pass(headers, CALL, (answer, ""), 9).may_resume(), may, "{headers:?}");
    }
}

#[test]
fn other_bytes_are_no_answer() {
    let bytes = RpcAnswer { key: 1, end: 2, ..RpcAnswer::default() }.to_bytes();
    assert!((0..bytes.len()).all(|cut| RpcAnswer::from_bytes(&bytes[..cut]).is_none()));
    assert_eq!(RpcAnswer::from_bytes(&[9; 34]), None);
}

#[test]
fn the_memory_of_a_stream_is_reserved_and_without_room_nothing_is_read() {
    let (programs, budget) = (Rc::new(RpcPrograms::compile()), Rc::new(Budget::new(10_000)));
    let headers = [(":method", "POST"), (":path", "/mcp"), ACCEPT];
    let begin = || with(&headers, |head| RpcExchange::start(&programs, &budget, head, false, 0, 1));
    let mut exchange = begin().unwrap();
    let alone = budget.reserved();
    assert!((1..4096).contains(&alone), "{alone}");
    exchange.request_body(CALL.as_bytes());
    let with_operation = budget.reserved() - alone;
    assert!((1..2048).contains(&with_operation), "{with_operation}");
    let others: Vec<_> = std::iter::from_fn(begin).take(100).collect();
    assert!(others.len() < 10);
    drop((exchange, others));
    assert_eq!(budget.reserved(), 0);
}
