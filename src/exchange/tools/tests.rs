//! The tools that clients run, in the terms of each API: calls of answers, and their results in requests.

use super::tests::start;
use super::{End, Exchange};
use crate::json::{Scalar, identity, is_unnamed};
use crate::observation::{FinishClass, Loop, LoopLimits, LoopState, Step, ToolResult, Turn};

/// A whole exchange with this API.
fn exchange(api: &str, request: &str, response: &str) -> Exchange {
    let config = format!(r#"{{"apis": [{{"host": "internal", "api": "{api}"}}]}}"#);
    let mut exchange = start(&config, request, response).unwrap();
    exchange.response_body(response.as_bytes(), 0);
    exchange.finish(End::Whole, 0);
    exchange
}

fn results(api: &str, request: &str) -> Vec<ToolResult> {
    exchange(api, request, "{}").draft.observation.agent.results
}

/// The names of the called tools and the class of the first finish reason.
fn called(api: &str, response: &str) -> (Vec<String>, Option<FinishClass>) {
    let seen = exchange(api, "{}", response);
    let names = seen.draft.tool_calls().map(|(_, name)| name.to_string()).collect();
    let reason = seen.observation().response.finish_reasons.first().cloned().flatten();
    (names, reason.map(|reason| reason.class))
}

/// An unary response of Responses with these items.
fn output(items: &str) -> String {
    format!(
        r#"{{"id":"r","model":"m","status":"completed","output":[{items}],"usage":{{"input_tokens":1,"output_tokens":1}}}}"#
    )
}

/// The same as a stream.
fn output_stream(item: &str) -> String {
    let event = |kind: &str, inside: &str| format!("data: {{\"type\":\"{kind}\",{inside}}}\n\n");
    let done = event("response.output_item.done", &format!(r#""output_index":0,"item":{item}"#));
    let whole = output(item);
    [done, event("response.completed", &format!(r#""response":{whole}"#))].concat()
}

/// Items of Responses that call a tool of the client, with the tool's name and the result.
const ITEMS: [(&str, &str, &str); 7] = [
    (
        r#"{"type":"function_call","id":"fc_1","call_id":"c1","name":"find","arguments":"{\"a\": 1}"}"#,
        "find",
        r#"{"type":"function_call_output","id":"fco_1","call_id":"c1","output":"x"}"#,
    ),
    (
        r#"{"type":"custom_tool_call","id":"ct_1","call_id":"c1","name":"exec","input":"ls -l \"a\""}"#,
        "exec",
        r#"{"type":"custom_tool_call_output","call_id":"c1","output":[{"type":"input_text","text":"x"}]}"#,
    ),
    (
        r#"{"type":"shell_call","id":"sh_1","call_id":"c1","action":{"commands":["ls"],"timeout_ms":1},"status":"completed"}"#,
        "shell",
        r#"{"type":"shell_call_output","call_id":"c1","output":[{"stdout":"x","stderr":"","outcome":{"type":"exit","exit_code":1}}]}"#,
    ),
    (
        r#"{"type":"local_shell_call","id":"c1","call_id":"c1","action":{"type":"exec","command":["ls"]},"status":"completed"}"#,
        "local_shell",
        r#"{"type":"local_shell_call_output","id":"c1","output":"x"}"#,
    ),
    (
        r#"{"type":"apply_patch_call","id":"ap_1","call_id":"c1","operation":{"type":"delete_file","path":"a"},"status":"completed"}"#,
        "apply_patch",
        r#"{"type":"apply_patch_call_output","call_id":"c1","status":"completed"}"#,
    ),
    (
        r#"{"type":"computer_call","id":"cu_1","call_id":"c1","action":{"type":"click","x":1,"y":2},"pending_safety_checks":[]}"#,
        "computer",
        r#"{"type":"computer_call_output","call_id":"c1","output":{"type":"computer_screenshot","image_url":"data:x"}}"#,
    ),
    (
        r#"{"type":"computer_call","id":"cu_1","call_id":"c1","actions":[{"type":"wait"},{"type":"screenshot"}]}"#,
        "computer",
        r#"{"type":"computer_call_output","call_id":"c1","output":{"type":"computer_screenshot","file_id":"file_x"}}"#,
    ),
];

#[test]
fn each_kind_of_call_in_responses_is_counted_by_name_and_its_result_is_found() {
    let id = identity(Scalar::Text("c1"));
    for (call, name, result) in ITEMS {
        for response in [output(call), output_stream(call)] {
            assert_eq!(called("openai-responses", &response), (vec![name.to_owned()], Some(FinishClass::ToolCall)));
            let seen = exchange("openai-responses", "{}", &response);
            assert_eq!(seen.draft.tool_calls().map(|(id, _)| id).collect::<Vec<_>>(), [id], "{response}");
        }
        let request = format!(r#"{{"input":[{{"role":"user","content":"go"}},{call},{result}]}}"#);
        let shown = exchange("openai-responses", &request, "{}").draft.observation.agent;
        let alone = results("openai-responses", &format!(r#"{{"previous_response_id":"r","input":[{result}]}}"#));
        assert_eq!(shown.iteration, Some(2), "{request}");
        let [result] = &shown.results[..] else { panic!("{request}") };
        assert_eq!((result.call, result.name.as_deref(), result.failed), (id, Some(name), false), "{request}");
        assert_eq!((alone[0].call, alone[0].content), (id, result.content), "{request}");
        assert_ne!(result.content, 0, "{request}");
    }
}

#[test]
fn an_approval_of_a_remote_call_is_a_call_whose_result_is_the_decision() {
    let call = r#"{"type":"mcp_approval_request","id":"mcpr_1","name":"pay","server_label":"bank","arguments":"{}"}"#;
    assert_eq!(called("openai-responses", &output(call)), (vec!["pay".to_owned()], Some(FinishClass::ToolCall)));
    let answer = r#"{"type":"mcp_approval_response","id":"x","approval_request_id":"mcpr_1","approve":false}"#;
    for input in [format!("{call},{answer}"), answer.to_owned()] {
        let results = results("openai-responses", &format!(r#"{{"input":[{input}]}}"#));
        assert_eq!(results.len(), 1);
        assert_eq!((results[0].call, results[0].failed), (identity(Scalar::Text("mcpr_1")), false), "{input}");
    }
    // The result of the approved call is not in the input, so it cannot be compared.
    let approved = r#"{"type":"mcp_approval_response","approval_request_id":"mcpr_1","approve":true}"#;
    let input = format!(r#"{{"input":[{}]}}"#, [format!("{call},{approved}").as_str(); 4].join(","));
    assert_eq!(exchange("openai-responses", &input, "{}").observation().agent.looping, None);
}

#[test]
fn calls_of_the_providers_tools_are_not_those_of_the_client() {
    for item in [
        r#"{"type":"web_search_call","id":"w","action":{"type":"search","query":"q"}}"#,
        r#"{"type":"mcp_call","id":"m","name":"pay","arguments":"{}","output":"x"}"#,
        r#"{"type":"code_interpreter_call","id":"m","code":"1"}"#,
    ] {
        assert_eq!(called("openai-responses", &output(item)), (vec![], Some(FinishClass::Stop)), "{item}");
    }
    let block = r#"{"type":"server_tool_use","id":"s","name":"bash_code_execution","input":{}},
        {"type":"mcp_tool_use","id":"m","name":"pay","input":{}}"#;
    let answer = format!(r#"{{"type":"message","content":[{block}],"stop_reason":"end_turn"}}"#);
    assert_eq!(called("anthropic-messages", &answer), (vec![], Some(FinishClass::Stop)));
    let request = format!(
        r#"{{"messages":[{{"role":"user","content":"go"}},{{"role":"assistant","content":[{block},
        {{"type":"bash_code_execution_tool_result","tool_use_id":"s","content":{{"stdout":"x"}}}}]}}],"tools":[{{}}]}}"#
    );
    let agent = exchange("anthropic-messages", &request, "{}").draft.observation.agent;
    assert_eq!((agent.iteration, agent.results.len()), (Some(1), 0));
}

#[test]
fn only_searches_among_the_actions_of_the_search_tool_are_billed() {
    for (action, searches) in [
        (r#"{"type":"search","query":"q"}"#, 1),
        (r#"{ "query" : "q", "type" : "search" }"#, 1),
        (r#"{"query":"\"type\":\"search\"","type":"open_page"}"#, 0),
        (r#"{"type":"find_in_page","pattern":"search"}"#, 0),
        ("null", 1),
    ] {
        let item = format!(r#"{{"type":"web_search_call","id":"w","action":{action}}}"#);
        for response in [output(&item), output_stream(&item)] {
            let seen = exchange("openai-responses", "{}", &response);
            let billed = seen.observation().quantities.as_ref().map_or(0, |used| used.web_searches);
            assert_eq!(billed, searches, "{response}");
        }
    }
}

#[test]
fn the_client_side_tools_of_anthropic_are_calls_by_their_names() {
    for name in ["bash", "str_replace_based_edit_tool", "computer", "memory"] {
        let block = format!(r#"{{"type":"tool_use","id":"t1","name":"{name}","input":{{"command":"view"}}}}"#);
        let answer = format!(r#"{{"type":"message","content":[{block}],"stop_reason":"tool_use"}}"#);
        assert_eq!(called("anthropic-messages", &answer), (vec![name.to_owned()], Some(FinishClass::ToolCall)));
        let result = r#"{"type":"tool_result","tool_use_id":"t1","content":"x"}"#;
        let request = format!(
            r#"{{"messages":[{{"role":"user","content":"go"}},{{"role":"assistant","content":[{block}]}},{{"role":"user","content":[{result}]}}]}}"#
        );
        let results = results("anthropic-messages", &request);
        assert_eq!((results[0].name.as_deref(), results[0].call), (Some(name), identity(Scalar::Text("t1"))));
    }
}

#[test]
fn an_answer_that_calls_tools_ends_for_that_reason_whatever_its_word_is() {
    let call = r#"{"function":{"name":"f","arguments":{}}}"#;
    let ollama = format!(r#"{{"model":"m","message":{{"tool_calls":[{call}]}},"done":true,"done_reason":"stop"}}"#);
    let part = r#"{"functionCall":{"name":"f","args":{}}}"#;
    let gemini = format!(r#"{{"candidates":[{{"content":{{"parts":[{part}]}},"finishReason":"STOP"}}]}}"#);
    let step = r#"{"type":"function_call","id":"c","name":"f","arguments":{}}"#;
    let interaction = format!(r#"{{"id":"i","model":"m","status":"completed","steps":[{step}]}}"#);
    let chat = r#"{"choices":[{"message":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}"#;
    for (api, response) in [
        ("ollama-chat", &*ollama),
        ("gemini-generate", &gemini),
        ("gemini-interactions", &interaction),
        ("openai-chat", chat),
    ] {
        assert_eq!(called(api, response), (vec!["f".to_owned()], Some(FinishClass::ToolCall)), "{api}");
        let word = exchange(api, "{}", response).draft.observation.response.finish_reasons[0].clone().unwrap().word;
        assert!(matches!(&*word, "stop" | "STOP" | "completed"), "{api} {word}");
    }
    assert_eq!(called("gemini-generate", &gemini.replace("STOP", "MAX_TOKENS")).1, Some(FinishClass::Length));
    // Each choice has a finish reason of its own.
    let two = r#"{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP","index":0},
        {"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP","index":1}]}"#;
    let reasons = exchange("gemini-generate", "{}", two).draft.observation.response.finish_reasons;
    let classes: Vec<_> = reasons.into_iter().flatten().map(|reason| reason.class).collect();
    assert_eq!(classes, [FinishClass::Stop, FinishClass::ToolCall]);
}

#[test]
fn results_report_failures_by_flags_states_and_texts() {
    let failed = |api: &str, request: &str| {
        let results = results(api, request);
        assert_eq!(results.len(), 1, "{request}");
        results[0].failed
    };
    for (item, expected) in [
        (
            r#""type":"function_call_output","output":"An error occurred while running the tool. Please try again.""#,
            true,
        ),
        (r#""type":"function_call_output","output":"{\"content\":[],\"isError\":true}""#, true),
        (r#""type":"function_call_output","output":"Errors: 0","status":"completed""#, false),
        (r#""type":"function_call_output","output":[{"type":"input_text","text":"ValueError: x"}]"#, true),
        (r#""type":"apply_patch_call_output","status":"failed","output":"x""#, true),
        (r#""type":"apply_patch_call_output","status":"completed""#, false),
        (r#""type":"shell_call_output","output":[{"stdout":"","stderr":"x","outcome":{"type":"timeout"}}]"#, true),
        (
            r#""type":"shell_call_output","output":[{"stdout":"","stderr":"x","outcome":{"type":"exit","exit_code":2}}]"#,
            false,
        ),
    ] {
        assert_eq!(
            failed("openai-responses", &format!(r#"{{"input":[{{{item},"call_id":"c"}}]}}"#)),
            expected,
            "{item}"
        );
    }
    for (result, expected) in [
        (r#""content":"x","is_error":true"#, true),
        (r#""content":"x","is_error":false"#, false),
        (r#""content":"<tool_use_error>no</tool_use_error>""#, true),
        (r#""content":[{"type":"text","text":"Error: ToolException('x')\n Please fix your mistakes."}]"#, true),
        (r#""content":"Exit code 1""#, false),
    ] {
        let part = format!(r#"{{"type":"tool_result","tool_use_id":"t",{result}}}"#);
        let request = format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
        assert_eq!(failed("anthropic-messages", &request), expected, "{result}");
    }
    let response = |response: &str| {
        let part = format!(r#"{{"functionResponse":{{"name":"f","response":{response}}}}}"#);
        failed("gemini-generate", &format!(r#"{{"contents":[{{"role":"user","parts":[{part}]}}]}}"#))
    };
    assert!(response(r#"{"error":"no barometer"}"#) && response(r#"{"content":[],"isError":true}"#));
    assert!(!response(r#"{"error":null,"result":1}"#) && !response(r#"{"result":20.0}"#));
}

#[test]
fn calls_without_identifiers_have_the_same_number_in_the_answer_and_in_the_next_request() {
    let of = |tool: &str, n: u8| format!(r#"{{"functionCall":{{"name":"{tool}","args":{{"n":{n}}}}}}}"#);
    let calls = [of("a", 1), of("b", 1), of("a", 2)].join(",");
    let answer = format!(r#"{{"candidates":[{{"content":{{"parts":[{calls}]}},"finishReason":"STOP"}}]}}"#);
    let gave = exchange("gemini-generate", "{}", &answer);
    let called: Vec<_> = gave.draft.answer_calls().map(|call| call.id).collect();
    let result = |tool: &str| format!(r#"{{"functionResponse":{{"name":"{tool}","response":{{"r":1}}}}}}"#);
    let responses = [result("a"), result("b"), result("a")].join(",");
    for contents in [
        format!(r#"{{"role":"model","parts":[{calls}]}},{{"role":"user","parts":[{responses}]}}"#),
        format!(r#"{{"role":"user","parts":[{responses}]}}"#),
    ] {
        let results = results("gemini-generate", &format!(r#"{{"contents":[{contents}]}}"#));
        assert_eq!(results.iter().map(|result| result.call).collect::<Vec<_>>(), called, "{contents}");
        assert!(called.iter().all(|id| is_unnamed(*id)));
    }
    let named = answer.replace(r#""name":"#, r#""id":"x","name":"#);
    assert!(exchange("gemini-generate", "{}", &named).draft.answer_calls().all(|call| !is_unnamed(call.id)));
}

/// The turn of the answer's calls with the results of a request.
fn turn_of(answer: &Exchange, results: &[ToolResult]) -> Turn {
    Turn::new(answer.draft.answer_calls().map(|call| {
        let result = results.iter().find(|result| result.call == call.id).map_or(0, |result| result.content);
        Step { tool: call.tool, arguments: call.arguments, result }
    }))
}

#[test]
fn a_turn_of_an_answer_equals_the_turn_of_a_request_that_repeats_it() {
    let data = |events: &[&str]| events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>();
    let mut cases = Vec::new();
    for (call, _, result) in ITEMS {
        let request = format!(r#"{{"input":[{call},{result}]}}"#);
        cases.push(("openai-responses", output(call), request.clone()));
        cases.push(("openai-responses", output_stream(call), request));
    }
    let block = r#"{"type":"tool_use","id":"t","name":"f","input":{"a": "x\"y", "b": [1]}}"#;
    let request = format!(
        r#"{{"messages":[{{"role":"assistant","content":[{block}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":"x"}}]}}]}}"#
    );
    cases.push(("anthropic-messages", format!(r#"{{"type":"message","content":[{block}]}}"#), request.clone()));
    let stream = data(&[
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"s","input":{}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"q\":1}"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"b\":[1],"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"\"a\":\"x\\\"y\"}"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"message_stop"}"#,
    ]);
    cases.push(("anthropic-messages", stream, request));
    let step = r#"{"type":"function_call","id":"c","name":"f","arguments":{"a":1}}"#;
    let request =
        format!(r#"{{"input":[{step},{{"type":"function_result","call_id":"c","name":"f","result":{{"r":1}}}}]}}"#);
    cases.push(("gemini-interactions", format!(r#"{{"status":"requires_action","steps":[{step}]}}"#), request.clone()));
    let stream = data(&[
        r#"{"event_type":"step.start","index":0,"step":{"id":"c","name":"f","arguments":{},"type":"function_call"}}"#,
        r#"{"event_type":"step.delta","index":0,"delta":{"arguments":"{\"a\": 1}","type":"arguments_delta"}}"#,
        r#"{"event_type":"interaction.completed","interaction":{"status":"requires_action"}}"#,
    ]);
    cases.push(("gemini-interactions", stream, request));
    let call = r#"{"type":"function.call","tool_call_id":"c","name":"f","arguments":"{\"a\": 1}"}"#;
    let request = format!(r#"{{"inputs":[{call},{{"type":"function.result","tool_call_id":"c","result":"x"}}]}}"#);
    cases.push(("mistral-conversations", format!(r#"{{"outputs":[{call}]}}"#), request.clone()));
    let stream =
        data(&[&call.replace("function.call", "function.call.delta"), r#"{"type":"conversation.response.done"}"#]);
    cases.push(("mistral-conversations", stream, request));
    for (api, response, request) in cases {
        let (answer, shown) = (exchange(api, "{}", &response), exchange(api, &request, "{}").draft.observation.agent);
        let expected = shown.last_turn.unwrap();
        assert_eq!(turn_of(&answer, &shown.results), expected, "{response}");
        let mut state = LoopState::default();
        let found = [(); 3].map(|()| state.add(expected, LoopLimits::default()).0);
        assert_eq!(found, [None, None, Some(Loop::Retry)], "{request}");
    }
}

#[test]
fn a_loop_is_found_although_no_request_shows_a_call() {
    let answer = |n: u8| {
        let call = format!(r#"{{"type":"function_call","call_id":"c{n}","name":"f","arguments":"{{\"q\":1}}"}}"#);
        exchange("openai-responses", "{}", &output(&call))
    };
    let result = |n: u8, text: &str| {
        let item = format!(r#"{{"type":"function_call_output","call_id":"c{n}","output":"{text}"}}"#);
        results("openai-responses", &format!(r#"{{"previous_response_id":"r","input":[{item}]}}"#))
    };
    let loops = |texts: [&str; 3]| {
        let mut state = LoopState::default();
        let turns = (0..).zip(texts).map(|(n, text)| turn_of(&answer(n), &result(n, text)));
        turns.map(|turn| state.add(turn, LoopLimits::default())).last().unwrap()
    };
    assert_eq!(loops(["same"; 3]), (Some(Loop::Retry), true));
    assert_eq!(loops(["same", "same", "other"]), (None, false));
}
