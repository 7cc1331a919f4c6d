//! Runs of agents as real clients send them: forced tools, answers that a tool delivers, handoffs, trimmed histories, state on the
//! server, results without identifiers. Each request of a test names the answer that the upstream gives.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use crate::support::agent::{Line, to_both_workers};
use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;

const PATIENCE: Duration = Duration::from_secs(60);
const RUNS: &str = "gaugeway_agent_runs_total";
const DURATIONS: &str = "gaugeway_tool_duration_microseconds_count";
const CHAT: (&str, &str) = ("api.openai.com", "/v1/chat/completions");
const RESPONSES: (&str, &str) = ("api.openai.com", "/v1/responses");
const MESSAGES: (&str, &str) = ("api.anthropic.com", "/v1/messages");
const GEMINI: (&str, &str) = ("generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-pro:generateContent");
const INTERACTIONS: (&str, &str) = ("generativelanguage.googleapis.com", "/v1beta/interactions");
/// Identifiers as servers make them.
const ID: [&str; 4] = ["call_Zk3vQ81xA", "call_9fTe21LmB", "call_0aPq77RsC", "call_5uWx34YzD"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_tool_is_structured_output_and_no_run() {
    let mut site = Site::start(json!({"agent": {"abandoned_after": 1}})).await;
    let user = json!({"role": "user", "content": "Ada, 36"});
    let choice = json!({"type": "function", "function": {"name": "User"}});
    let ask = json!({"model": "gpt-4o", "messages": [user], "tools": [chat_tool("User")], "tool_choice": choice});
    assert_eq!(site.call(CHAT, &ask, &chat_call(ID[0], "User")).await, "");
    // instructor repeats the question with the error.
    let messages = json!([user, chat_turn(ID[0], "User"), chat_result(ID[0], "Validation Error found")]);
    let again = json!({"model": "gpt-4o", "messages": messages, "tools": [chat_tool("User")], "tool_choice": choice});
    assert_eq!(site.call(CHAT, &again, &chat_call(ID[1], "User")).await, "");
    let ask = json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [user],
        "tools": [{"name": "User", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "User"}});
    site.call(MESSAGES, &ask, &message_call(ID[0], "User")).await;
    let declared = json!([{"functionDeclarations": [{"name": "User"}, {"name": "Other"}]}]);
    let ask = json!({"contents": [{"role": "user", "parts": [{"text": "Ada, 36"}]}], "tools": declared,
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["User"]}}});
    site.call(GEMINI, &ask, &gemini_call(None, "User")).await;
    let mut tool = chat_tool("User");
    tool["function"]["parameters"]["required"] = json!(["name"]);
    let ask = json!({"model": "gpt-4o", "messages": [user], "tools": [tool], "tool_choice": choice});
    site.call(CHAT, &ask, &chat_call(ID[0], "User")).await;
    let samples = site.ends_with(&[]).await;
    let answers = |result| total(&samples, "gaugeway_structured_output_total", &[("result", result)]);
    assert_eq!([answers("ok"), answers("incomplete"), answers("failed")], [4.0, 1.0, 0.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_tool_in_a_run_ends_it() {
    let mut site = Site::start(json!({"agent": {"abandoned_after": 1}})).await;
    let mut messages = vec![json!({"role": "user", "content": "Find out"})];
    site.call(CHAT, &chat(&messages, &["search", "report"]), &chat_call(ID[0], "search")).await;
    messages.extend([chat_turn(ID[0], "search"), chat_result(ID[0], "found")]);
    let mut forced = chat(&messages, &["search", "report"]);
    forced["tool_choice"] = json!({"type": "function", "function": {"name": "report"}});
    assert_eq!(site.call(CHAT, &forced, &chat_call(ID[1], "report")).await, "2");
    site.ends_with(&[("completed", 1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_delivers_the_answer_completes_the_run() {
    let mut site = Site::start(json!({"agent": {"abandoned_after": 2}})).await;
    for tool in ["final_result", "final_result_City", "final_answer", "set_model_response"] {
        let user = json!({"role": "user", "content": tool});
        let ask = chat(&[user], &[tool, "search"]);
        assert_eq!(site.call(CHAT, &ask, &chat_call(ID[0], tool)).await, "1");
    }
    // The user goes on behind the result of the tool, which nobody needed.
    let user = |text: &str| json!({"role": "user", "content": text});
    let done = [chat_turn(ID[0], "final_answer"), chat_result(ID[0], "Final result processed.")];
    let messages = [&[user("final_answer")], &done[..], &[user("And tomorrow?")]].concat();
    assert_eq!(site.call(CHAT, &chat(&messages, &["final_answer", "search"]), &chat_text()).await, "1");
    let samples = site.when(5.0).await;
    assert_eq!(runs(&samples), [("completed", 5)].into());
    // Frameworks that get the answer from a tool require a call and offer that tool last.
    let mut ask = chat(&[json!({"role": "user", "content": "strategy"})], &["search", "Weather"]);
    ask["tool_choice"] = json!("required");
    site.call(CHAT, &ask, &chat_call(ID[0], "Weather")).await;
    // A client that dies after a call of another tool.
    ask["messages"][0]["content"] = json!("killed");
    site.call(CHAT, &ask, &chat_call(ID[1], "search")).await;
    site.ends_with(&[("abandoned", 1), ("completed", 6)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_goes_on_without_the_results_ends_the_run_as_unknown() {
    let mut site = Site::start(json!({"agent": {"abandoned_after": 3}})).await;
    // smolagents writes results as text. It adds errors to the first message of the user.
    let mut messages = vec![json!({"role": "user", "content": format!("New task: {}", "read ".repeat(40))})];
    let ask = |messages: &[Value]| {
        let mut ask = chat(messages, &["search", "final_answer"]);
        ask["tool_choice"] = json!("required");
        ask
    };
    site.call(CHAT, &ask(&messages), &chat_call(ID[0], "search")).await;
    let said = [("assistant", "Calling tools: search"), ("user", "Observation: 20")];
    messages.extend(said.map(|(role, content)| json!({"role": role, "content": content})));
    assert_eq!(site.call(CHAT, &ask(&messages), &chat_call(ID[1], "search")).await, "1");
    let task = messages[0]["content"].as_str().unwrap().to_owned();
    let failed = "Error: no such tool. If you have retried several times, try a completely different approach.\n";
    messages[0]["content"] = json!(format!("{task} {failed}"));
    site.call(CHAT, &ask(&messages), &chat_call(ID[2], "search")).await;
    messages[0]["content"] = json!(task);
    messages.extend(said.map(|(role, content)| json!({"role": role, "content": content})));
    site.call(CHAT, &ask(&messages), &chat_call(ID[3], "final_answer")).await;
    // ADK and Swarm hand over by text: another system prompt, other tools, no result.
    let text = |text: &str| json!({"role": "user", "parts": [{"text": text}]});
    let declared = |name: &str| json!([{"functionDeclarations": [{"name": name}]}]);
    let ask = json!({"contents": [text("hello")], "tools": declared("transfer_to_agent"),
        "systemInstruction": {"parts": [{"text": "triage"}]}});
    site.call(GEMINI, &ask, &gemini_call(None, "transfer_to_agent")).await;
    let ask = json!({"contents": [text("hello"), text("For context: triage called transfer_to_agent")],
        "tools": declared("weather"), "systemInstruction": {"parts": [{"text": "weather"}]}});
    site.call(GEMINI, &ask, &gemini_text()).await;
    site.ends_with(&[("completed", 2), ("unknown", 4)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_conversation_that_begins_equally_does_not_end_a_run() {
    let mut site = Site::start(json!({"agent": {"abandoned_after": 3}})).await;
    let said = |role: &str, text: &str| json!({"role": role, "content": text});
    site.call(CHAT, &chat(&[said("user", "hello")], &["search"]), &chat_call(ID[0], "search")).await;
    let other = [said("user", "hello"), said("assistant", "Hello!"), said("user", "bye")];
    site.call(CHAT, &chat(&other, &["search"]), &chat_text()).await;
    let messages = [said("user", "hello"), chat_turn(ID[0], "search"), chat_result(ID[0], "20")];
    assert_eq!(site.call(CHAT, &chat(&messages, &["search"]), &chat_text()).await, "2");
    site.ends_with(&[("completed", 2)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_is_counted_once_however_often_its_request_is_repeated() {
    let mut site = Site::start(json!({"agent": {"abandoned_after": 3}})).await;
    let mut messages = vec![json!({"role": "user", "content": "poll"})];
    for id in &ID[..3] {
        site.call(CHAT, &chat(&messages, &["search"]), &chat_call(id, "search")).await;
        messages.extend([chat_turn(id, "search"), chat_result(id, "pending")]);
    }
    for status in [429, 500, 429] {
        site.fail(CHAT, &chat(&messages, &["search"]), status).await;
    }
    site.call(CHAT, &chat(&messages, &["search"]), &chat_text()).await;
    let samples = site.when(1.0).await;
    assert_eq!(total(&samples, "gaugeway_agent_loops_total", &[("kind", "retry")]), 1.0);
    assert_eq!(runs(&samples), [("completed", 1)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handoff_and_a_trimmed_history_are_the_same_run() {
    let mut site = Site::start(json!({"agent": {"abandoned_after": 2}})).await;
    let system = |text: &str| json!({"role": "system", "content": text});
    let user = json!({"role": "user", "content": "Weather?"});
    let handoff = [chat_turn(ID[0], "transfer_to_weather"), chat_result(ID[0], "{\"assistant\": \"weather\"}")];
    let ask = chat(&[system("triage"), user.clone()], &["transfer_to_weather"]);
    assert_eq!(site.call(CHAT, &ask, &chat_call(ID[0], "transfer_to_weather")).await, "1");
    let messages = [&[system("weather"), user], &handoff[..]].concat();
    assert_eq!(site.call(CHAT, &chat(&messages, &["search"]), &chat_call(ID[1], "search")).await, "2");
    // From here the client sends only the last step, even without the first message of the user.
    for at in 1..3 {
        let messages = [system("weather"), chat_turn(ID[at], "search"), chat_result(ID[at], &format!("{at} km"))];
        let answer = chat_call(ID[at + 1], "search");
        assert_eq!(site.call(CHAT, &chat(&messages, &["search"]), &answer).await, (at + 2).to_string());
    }
    let messages = [system("weather"), chat_turn(ID[3], "search"), chat_result(ID[3], "20")];
    assert_eq!(site.call(CHAT, &chat(&messages, &["search"]), &chat_text()).await, "5");
    let samples = site.ends_with(&[("completed", 1)]).await;
    assert_eq!(total(&samples, DURATIONS, &[]), 4.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn geminis_results_are_found_with_identifiers_without_them_and_with_those_that_the_client_makes() {
    let mut site = Site::start(json!({"agent": {"abandoned_after": 2}})).await;
    for (number, (answered, sent)) in
        [(Some("abc12def"), Some("abc12def")), (None, None), (Some("abc12def"), None), (None, Some("pyd_ai_77aa"))]
            .into_iter()
            .enumerate()
    {
        let user = json!({"role": "user", "parts": [{"text": format!("case {number}")}]});
        let tools = json!([{"functionDeclarations": [{"name": "search"}]}]);
        let ask = json!({"contents": [user], "tools": tools});
        assert_eq!(site.call(GEMINI, &ask, &gemini_call(answered, "search")).await, "1");
        let (mut call, mut result) =
            (json!({"name": "search", "args": {}}), json!({"name": "search", "response": {"result": 20}}));
        if let Some(id) = sent {
            (call["id"], result["id"]) = (json!(id), json!(id));
        }
        let turn = json!({"role": "model", "parts": [{"functionCall": call}]});
        let back = json!({"role": "user", "parts": [{"functionResponse": result}]});
        let ask = json!({"contents": [user, turn, back], "tools": tools});
        assert_eq!(site.call(GEMINI, &ask, &gemini_text()).await, "2");
    }
    let samples = site.ends_with(&[("completed", 4)]).await;
    assert_eq!(total(&samples, DURATIONS, &[]), 4.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_the_server_keeps_is_followed() {
    let mut site = Site::start(json!({"agent": {"abandoned_after": 2}})).await;
    // Message threads of Anthropic.
    let user = json!({"role": "user", "content": "Weather?"});
    let tools = json!([{"name": "search", "input_schema": {}}]);
    let ask = json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "system": "s", "messages": [user], "tools": tools,
        "thread": {"type": "create"}});
    assert_eq!(site.call(MESSAGES, &ask, &message_call(ID[0], "search")).await, "1");
    for (at, id) in ID[..2].iter().enumerate() {
        let result = json!([{"type": "tool_result", "tool_use_id": id, "content": "20"}]);
        let ask = json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": result}],
            "thread": {"type": "continue", "previous_message_id": "msg_1"}});
        let answer = if at == 0 { message_call(ID[1], "search") } else { message_text() };
        assert_eq!(site.call(MESSAGES, &ask, &answer).await, (at + 2).to_string());
    }
    // A new question instead of the result.
    let tools = json!([{"type": "function", "name": "search"}]);
    let ask = json!({"model": "gpt-4o", "input": "Weather?", "tools": tools});
    assert_eq!(site.call(RESPONSES, &ask, &response_call("resp_1", ID[2])).await, "1");
    let result = json!([{"type": "function_call_output", "call_id": ID[2], "output": "20"}]);
    let ask = json!({"model": "gpt-4o", "input": result, "tools": tools, "previous_response_id": "resp_1"});
    assert_eq!(site.call(RESPONSES, &ask, &response_call("resp_2", ID[3])).await, "2");
    let ask = json!({"model": "gpt-4o", "input": "Never mind.", "previous_response_id": "resp_2"});
    site.call(RESPONSES, &ask, &response_text("resp_3")).await;
    let ask = json!({"model": "gemini-2.5-pro", "input": "Weather?", "tools": tools});
    assert_eq!(site.call(INTERACTIONS, &ask, &interaction(Some("fc_aa11bb22cc"))).await, "1");
    let result = json!([{"type": "function_result", "call_id": "fc_aa11bb22cc", "name": "search", "result": "20"}]);
    let ask = json!({"model": "gemini-2.5-pro", "input": result, "tools": tools, "previous_interaction_id": "i1"});
    assert_eq!(site.call(INTERACTIONS, &ask, &interaction(None)).await, "2");
    site.ends_with(&[("completed", 2), ("unknown", 1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_repeated_after_429_or_500_is_one_run() {
    let mut site = Site::start(json!({"agent": {"abandoned_after": 2}})).await;
    let mut messages = vec![json!({"role": "user", "content": "Weather?"})];
    for status in [429, 500] {
        assert_eq!(site.fail(CHAT, &chat(&messages, &["search"]), status).await, "1");
    }
    assert_eq!(site.call(CHAT, &chat(&messages, &["search"]), &chat_call(ID[0], "search")).await, "1");
    messages.extend([chat_turn(ID[0], "search"), chat_result(ID[0], "20")]);
    for status in [500, 429] {
        assert_eq!(site.fail(CHAT, &chat(&messages, &["search"]), status).await, "2");
    }
    assert_eq!(site.call(CHAT, &chat(&messages, &["search"]), &chat_text()).await, "2");
    // No client repeats a request that is wrong; and nobody repeats the last one.
    messages[0]["content"] = json!("wrong");
    site.fail(CHAT, &chat(&messages[..1], &["search"]), 400).await;
    messages[0]["content"] = json!("given up");
    site.fail(CHAT, &chat(&messages[..1], &["search"]), 503).await;
    assert_eq!(runs(&site.when(2.0).await), [("completed", 1), ("error", 1)].into());
    site.ends_with(&[("completed", 1), ("error", 2)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_the_user_behind_the_results_does_not_begin_another_run() {
    let mut site = Site::start(json!({"agent": {"abandoned_after": 2}})).await;
    let mut messages = vec![json!({"role": "user", "content": "Weather?"})];
    site.call(CHAT, &chat(&messages, &["search"]), &chat_call(ID[0], "search")).await;
    let more = json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]});
    messages.extend([chat_turn(ID[0], "search"), chat_result(ID[0], "see the image"), more]);
    messages.push(json!({"role": "system", "content": "Tell the user what you do."}));
    assert_eq!(site.call(CHAT, &chat(&messages, &["search"]), &chat_call(ID[1], "search")).await, "2");
    messages.extend([chat_turn(ID[1], "search"), chat_result(ID[1], "20")]);
    assert_eq!(site.call(CHAT, &chat(&messages, &["search"]), &chat_text()).await, "3");
    messages.push(json!({"role": "assistant", "content": "20 degrees"}));
    messages.push(json!({"role": "user", "content": "And tomorrow?"}));
    assert_eq!(site.call(CHAT, &chat(&messages, &["search"]), &chat_text()).await, "1");
    let samples = site.ends_with(&[("completed", 2)]).await;
    assert_eq!(total(&samples, DURATIONS, &[]), 2.0);
}

fn chat(messages: &[Value], tools: &[&str]) -> Value {
    json!({"model": "gpt-4o", "messages": messages, "tools": tools.iter().map(|tool| chat_tool(tool)).collect::<Vec<_>>()})
}

fn chat_tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
}

fn chat_turn(id: &str, tool: &str) -> Value {
    let call = json!({"id": id, "type": "function", "function": {"name": tool, "arguments": "{}"}});
    json!({"role": "assistant", "content": null, "tool_calls": [call]})
}

fn chat_result(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": text})
}

fn chat_call(id: &str, tool: &str) -> Value {
    completion(&chat_turn(id, tool), "tool_calls")
}

fn chat_text() -> Value {
    completion(&json!({"role": "assistant", "content": "20 degrees"}), "stop")
}

fn completion(message: &Value, reason: &str) -> Value {
    json!({"id": "c1", "object": "chat.completion", "model": "gpt-4o",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}})
}

fn message_call(id: &str, tool: &str) -> Value {
    message(&json!({"type": "tool_use", "id": id, "name": tool, "input": {}}), "tool_use")
}

fn message_text() -> Value {
    message(&json!({"type": "text", "text": "20 degrees"}), "end_turn")
}

fn message(content: &Value, reason: &str) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [content],
        "stop_reason": reason, "usage": {"input_tokens": 9, "output_tokens": 3}})
}

fn gemini_call(id: Option<&str>, tool: &str) -> Value {
    let mut call = json!({"name": tool, "args": {}});
    if let Some(id) = id {
        call["id"] = json!(id);
    }
    gemini(&json!({"functionCall": call}))
}

fn gemini_text() -> Value {
    gemini(&json!({"text": "20 degrees"}))
}

fn gemini(part: &Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
        "modelVersion": "gemini-2.5-pro", "responseId": "r1"})
}

fn response_call(id: &str, call: &str) -> Value {
    response(id, &json!({"type": "function_call", "id": "fc_1", "call_id": call, "name": "search", "arguments": "{}"}))
}

fn response_text(id: &str) -> Value {
    let text = json!([{"type": "output_text", "text": "20 degrees"}]);
    response(id, &json!({"type": "message", "id": "m1", "role": "assistant", "content": text}))
}

fn response(id: &str, item: &Value) -> Value {
    json!({"id": id, "object": "response", "status": "completed", "model": "gpt-4o", "output": [item],
        "usage": {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}})
}

fn interaction(call: Option<&str>) -> Value {
    let step = match call {
        Some(id) => json!({"type": "function_call", "id": id, "name": "search", "arguments": {}}),
        None => json!({"type": "model_output", "content": [{"type": "text", "text": "20 degrees"}]}),
    };
    let status = if call.is_some() { "requires_action" } else { "completed" };
    json!({"id": "i1", "status": status, "model": "gemini-2.5-pro", "steps": [step],
        "usage": {"total_input_tokens": 9, "total_output_tokens": 3, "total_tokens": 12}})
}

struct Site {
    _upstream: Upstream,
    envoy: Envoy,
    lines: [Line; 2],
    calls: usize,
}

impl Site {
    async fn start(config: Value) -> Self {
        let upstream = Upstream::start(Vec::new()).await;
        let envoy = Envoy::start(&Options { concurrency: 2, config, ..Options::to(upstream.addr) }).await;
        let lines = to_both_workers(&envoy).await;
        Self { _upstream: upstream, envoy, lines, calls: 0 }
    }

    /// Sends a request, which gets this answer. Returns the iteration in the access log.
    async fn call(&mut self, at: (&str, &str), request: &Value, answer: &Value) -> String {
        self.send(at, request, &[("x-upstream", "given"), ("x-answer", &answer.to_string())], 200).await
    }

    /// Sends a request, which gets this status.
    async fn fail(&mut self, at: (&str, &str), request: &Value, status: u16) -> String {
        self.send(at, request, &[("x-upstream", &format!("first={status}"))], status).await
    }

    async fn send(&mut self, at: (&str, &str), body: &Value, headers: &[(&str, &str)], status: u16) -> String {
        let id = client::request_id();
        let mut request = Request::post(at.1).header("host", at.0).header("content-type", "application/json");
        request = request.header("x-request-id", &id).header("authorization", "Bearer secret");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(Bytes::from(body.to_string()))).unwrap();
        self.calls += 1;
        let (seen, reply) = self.lines[self.calls % 2].send(request).await;
        assert_eq!(seen, status, "{}", String::from_utf8_lossy(&reply));
        let entry = self.envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
        entry["gaugeway.agent.iteration"].as_str().unwrap_or_default().to_owned()
    }

    /// All samples once this number of runs has ended.
    async fn when(&self, reached: f64) -> Vec<Sample> {
        self.envoy.samples_when(|samples| total(samples, RUNS, &[]) >= reached, PATIENCE).await
    }

    /// All samples after every wait is over, when the runs have ended like this.
    async fn ends_with(&self, expected: &[(&str, u64)]) -> Vec<Sample> {
        self.when(expected.iter().map(|(_, count)| *count as f64).sum()).await;
        tokio::time::sleep(Duration::from_secs(7)).await;
        let samples = self.envoy.samples().await;
        assert_eq!(runs(&samples), expected.iter().copied().collect());
        assert_eq!(total(&samples, "gaugeway_agent_loops_total", &[]), 0.0);
        samples
    }
}

/// Number of ended runs by status.
fn runs(samples: &[Sample]) -> BTreeMap<&str, u64> {
    let mut runs = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.name == RUNS) {
        *runs.entry(sample.label("status")).or_default() += sample.value as u64;
    }
    runs
}
