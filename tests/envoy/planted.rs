//! Exchanges with a unique marker word in every place where a client or a provider can put text.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::fixtures::Fixture;

/// The prefix of every marker word.
pub const MARK: &str = "zqplanted";

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Returns a new unique marker word.
pub fn word() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{MARK}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A conversation for each API, streaming and not, with this last message and this answer.
pub fn conversations(prompt: &str, answer: &str) -> Vec<Fixture> {
    let of = [completions, messages, contents, responses];
    of.into_iter().flat_map(|api| [api(prompt, answer, false), api(prompt, answer, true)]).collect()
}

/// Responses that fail, break off or are malformed.
pub fn failures() -> Vec<Fixture> {
    let at = ("api.openai.com", "/v1/chat/completions");
    let request = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": word()}], "stream": true});
    let mut error = Fixture::made(
        "planted/error",
        at,
        &request,
        JSON,
        json!({"error": {
        "message": word(), "type": "invalid_request_error", "param": word(), "code": "too_long", word(): word()}})
        .to_string(),
    );
    error.response.status = 400;
    let mut page = Fixture::made("planted/page", at, &request, "text/html", format!("<html>{}</html>", word()));
    page.response.status = 502;
    let chunk = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", word());
    let broken =
        [&chunk, ": ", &word(), "\nevent: ", &word(), "\ndata: {\"choices\": ", &word(), "}\n\ndata: \"", &word()];
    let mut malformed =
        Fixture::made("planted/malformed", at, &request, JSON, format!("{{\"choices\": [{{\"message\": {}", word()));
    malformed.request.body = format!("{{\"messages\": [{{\"content\": \"{}\"}}, {}", word(), word()).into();
    let confused =
        json!({"choices": {word(): word()}, "usage": {"prompt_tokens": word(), "completion_tokens": {word(): 1}}});
    vec![
        error,
        page,
        Fixture::made("planted/broken-stream", at, &request, EVENTS, broken.concat()),
        malformed,
        Fixture::made("planted/confused", at, &request, JSON, confused.to_string()),
    ]
}

fn events(events: &[Value], named: bool) -> Bytes {
    let one = |event: &Value| match event["type"].as_str().filter(|_| named) {
        Some(kind) => format!("event: {kind}\ndata: {event}\n\n"),
        None => format!("data: {event}\n\n"),
    };
    // Escapes `@`, so that the decoded text contains secrets that the raw bytes do not.
    events.iter().map(one).collect::<String>().replace('@', "\\u0040").into()
}

/// The text in three pieces, none of which is a whole marker word.
fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(letters.len().div_ceil(3).max(1)).map(|piece| piece.iter().collect()).collect()
}

fn arguments() -> Value {
    json!({word(): word(), "list": [word()]})
}

fn schema() -> Value {
    json!({"type": "object", "description": word(), "required": [word()],
        "properties": {word(): {"type": "string", "description": word(), "enum": [word()]}}})
}

fn completions(prompt: &str, answer: &str, stream: bool) -> Fixture {
    let call = || json!({"id": "call_1", "type": "function", "function": {"name": "search", "arguments": arguments().to_string()}});
    let mut request = json!({
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": word()},
            {"role": "user", "name": word(), "content": [
                {"type": "text", "text": word()}, {"type": "image_url", "image_url": {"url": word()}}]},
            {"role": "assistant", "content": word(), "refusal": word(), "reasoning_content": word(), "tool_calls": [call()]},
            {"role": "tool", "tool_call_id": "call_1", "content": format!("Error: {}", word())},
            {"role": "user", "content": prompt}],
        "tools": [{"type": "function", "function": {"name": "search", "description": word(), "parameters": schema()}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": word(), "schema": schema()}},
        "prediction": {"type": "content", "content": word()},
        "metadata": {word(): word()}, "user": word(), "safety_identifier": word(), "prompt_cache_key": word(), word(): word(),
    });
    let usage = json!({"prompt_tokens": 50, "completion_tokens": 9, "total_tokens": 59});
    let logprobs = || json!({"content": [{"token": word(), "logprob": -0.1, "top_logprobs": [{"token": word()}]}]});
    let at = ("api.openai.com", "/v1/chat/completions");
    let head = |kind: &str| json!({"id": "chatcmpl-1", "object": kind, "model": "gpt-4o", "system_fingerprint": "fp_1", word(): word()});
    if !stream {
        let mut body = head("chat.completion");
        body["choices"] = json!([{"index": 0, "logprobs": logprobs(), "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": answer, "reasoning_content": word(), "refusal": word(), "tool_calls": [call()],
            "annotations": [{"type": "url_citation", "url_citation": {"url": word(), "title": word()}}]}}]);
        body["usage"] = usage;
        return Fixture::made("planted/completions", at, &request, JSON, events(&[body], false).slice(6..));
    }
    request["stream"] = true.into();
    request["stream_options"] = json!({"include_usage": true});
    let chunk = |delta: Value, end: Value| {
        let mut chunk = head("chat.completion.chunk");
        chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": end, "logprobs": logprobs()}]);
        chunk
    };
    let mut all =
        vec![chunk(json!({"role": "assistant", "reasoning_content": word(), "reasoning": word()}), Value::Null)];
    all.extend(pieces(answer).iter().map(|piece| chunk(json!({"content": piece}), Value::Null)));
    let mut called = call();
    called["index"] = 0.into();
    all.push(chunk(json!({"refusal": word(), "tool_calls": [called]}), Value::Null));
    all.push(chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": word()}}]}), "tool_calls".into()));
    all.push(json!({"choices": [], "usage": usage}));
    let body = [events(&all, false), Bytes::from_static(b"data: [DONE]\n\n")].concat();
    Fixture::made("planted/completions-stream", at, &request, EVENTS, body)
}

fn messages(prompt: &str, answer: &str, stream: bool) -> Fixture {
    let mut request = json!({
        "model": "claude-sonnet-4-20250514", "max_tokens": 100,
        "system": [{"type": "text", "text": word(), "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": word()},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": word(), "signature": word()},
                {"type": "tool_use", "id": "toolu_1", "name": "search", "input": arguments()}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [{"type": "text", "text": word()}]}]},
            {"role": "assistant", "content": word()},
            {"role": "user", "content": [{"type": "document", "title": word(), "context": word(),
                "source": {"type": "base64", "media_type": "application/pdf", "data": word()}}, {"type": "text", "text": prompt}]}],
        "tools": [{"name": "search", "description": word(), "input_schema": schema()}],
        "metadata": {"user_id": word()}, word(): {word(): [word()]},
    });
    let at = ("api.anthropic.com", "/v1/messages");
    let usage = json!({"input_tokens": 50, "output_tokens": 9});
    let tool = |input: Value| json!({"type": "tool_use", "id": "toolu_2", "name": "search", "input": input});
    let mut body = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-20250514",
        "stop_reason": "tool_use", "usage": usage, "content": [], word(): word()});
    if !stream {
        body["content"] = json!([
            {"type": "thinking", "thinking": word(), "signature": word()}, {"type": "redacted_thinking", "data": word()},
            {"type": "text", "text": answer, "citations": [{"cited_text": word()}]}, tool(arguments())]);
        return Fixture::made("planted/messages", at, &request, JSON, events(&[body], false).slice(6..));
    }
    request["stream"] = true.into();
    let delta = |index: usize, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let start =
        |index: usize, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let stop = |index: usize| json!({"type": "content_block_stop", "index": index});
    let mut all = vec![
        json!({"type": "message_start", "message": body}),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": word()})),
        delta(0, json!({"type": "signature_delta", "signature": word()})),
        stop(0),
        start(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "citations_delta", "citation": {"cited_text": word()}})),
    ];
    all.extend(pieces(answer).into_iter().map(|text| delta(1, json!({"type": "text_delta", "text": text}))));
    all.extend([
        stop(1),
        start(2, tool(json!({}))),
        delta(2, json!({"type": "input_json_delta", "partial_json": arguments().to_string()})),
        stop(2),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", word(): word()}, "usage": usage}),
        json!({"type": "message_stop"}),
    ]);
    Fixture::made("planted/messages-stream", at, &request, EVENTS, events(&all, true))
}

fn contents(prompt: &str, answer: &str, stream: bool) -> Fixture {
    let call = || json!({"functionCall": {"name": "search", "args": arguments()}, "thoughtSignature": word()});
    let request = json!({
        "systemInstruction": {"parts": [{"text": word()}]},
        "contents": [
            {"role": "user", "parts": [{"text": word()}, {"inlineData": {"mimeType": "image/png", "data": word()}}]},
            {"role": "model", "parts": [{"text": word(), "thought": true}, call()]},
            {"role": "user", "parts": [{"functionResponse": {"name": "search", "response": {"error": word(), word(): word()}}}]},
            {"role": "model", "parts": [{"text": word()}]},
            {"role": "user", "parts": [{"text": prompt}]}],
        "tools": [{"functionDeclarations": [{"name": "search", "description": word(), "parameters": schema()}]}],
        "generationConfig": {"responseMimeType": "application/json", "responseSchema": schema()},
        "labels": {"word": word()}, "cachedContent": word(), word(): word(),
    });
    let usage = json!({"promptTokenCount": 50, "candidatesTokenCount": 9, "totalTokenCount": 59});
    let chunk = |parts: Value, end: Value| {
        json!({
        "candidates": [{"index": 0, "finishReason": end, "finishMessage": word(), "content": {"role": "model", "parts": parts},
            "groundingMetadata": {"webSearchQueries": [word()]}, "citationMetadata": {"citationSources": [{"uri": word()}]}}],
        "usageMetadata": usage, "modelVersion": "gemini-2.5-flash", "responseId": "resp-1", word(): word()})
    };
    let thought = || json!({"text": word(), "thought": true, "thoughtSignature": word()});
    let host = "generativelanguage.googleapis.com";
    if !stream {
        let body = chunk(json!([thought(), {"text": answer}, call()]), "STOP".into());
        let at = (host, "/v1beta/models/gemini-2.5-flash:generateContent");
        return Fixture::made("planted/contents", at, &request, JSON, events(&[body], false).slice(6..));
    }
    let mut all = vec![chunk(json!([thought()]), Value::Null)];
    all.extend(pieces(answer).iter().map(|text| chunk(json!([{"text": text}]), Value::Null)));
    all.push(chunk(json!([call()]), "STOP".into()));
    let at = (host, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    Fixture::made("planted/contents-stream", at, &request, EVENTS, events(&all, false))
}

fn responses(prompt: &str, answer: &str, stream: bool) -> Fixture {
    let called = || json!({"type": "function_call", "id": "fc_1", "call_id": "call_9", "name": "search", "arguments": arguments().to_string()});
    let thought = || json!({"type": "reasoning", "id": "rs_1", "encrypted_content": word(), "summary": [{"type": "summary_text", "text": word()}]});
    let mut request = json!({
        "model": "gpt-4o", "instructions": word(), "user": word(), "metadata": {word(): word()}, "prompt_cache_key": word(),
        "prompt": {"id": word(), "variables": {word(): word()}},
        "input": [
            {"role": "developer", "content": word()},
            {"role": "user", "content": [{"type": "input_text", "text": word()}, {"type": "input_file", "filename": word(), "file_data": word()}]},
            thought(), called(),
            {"type": "function_call_output", "call_id": "call_9", "output": format!("Error: {}", word())},
            {"role": "user", "content": [{"type": "input_text", "text": prompt}]}],
        "tools": [{"type": "function", "name": "search", "description": word(), "parameters": schema()}],
        "text": {"format": {"type": "json_schema", "name": word(), "schema": schema()}}, word(): word(),
    });
    let at = ("api.openai.com", "/v1/responses");
    let said = json!({"type": "message", "id": "msg_1", "role": "assistant", "content": [
        {"type": "output_text", "text": answer, "annotations": [{"url": word()}], "logprobs": [{"token": word()}]},
        {"type": "refusal", "refusal": word()}]});
    let whole = json!({
        "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-4o", "instructions": word(),
        "output": [thought(), said, called()], "metadata": {word(): word()}, word(): word(),
        "usage": {"input_tokens": 50, "output_tokens": 9, "total_tokens": 59}});
    if !stream {
        return Fixture::made("planted/responses", at, &request, JSON, events(&[whole], false).slice(6..));
    }
    request["stream"] = true.into();
    let started =
        json!({"id": "resp_1", "status": "in_progress", "model": "gpt-4o", "instructions": word(), "output": []});
    let mut all = vec![
        json!({"type": "response.created", "response": started}),
        json!({"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "output_index": 0, "delta": word()}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": thought()}),
    ];
    all.extend(pieces(answer).into_iter().map(
        |text| json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": text, "logprobs": [{"token": word()}]}),
    ));
    all.extend([
        json!({"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": answer}),
        json!({"type": "response.refusal.delta", "output_index": 1, "content_index": 1, "delta": word()}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": said}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": arguments().to_string()}),
        json!({"type": "response.output_item.done", "output_index": 2, "item": called()}),
        json!({"type": "response.completed", "response": whole}),
    ]);
    Fixture::made("planted/responses-stream", at, &request, EVENTS, events(&all, true))
}
