//! The measured works: requests and responses as sent, made of generated text.

/// A request and its response.
pub struct Work {
    pub letter: char,
    pub name: &'static str,
    pub path: &'static str,
    pub request: Vec<u8>,
    pub response: Vec<u8>,
    /// Number of events in the stream, or 0.
    pub events: u32,
    pub streams: bool,
}

/// The works (a) to (h).
pub fn all() -> Vec<Work> {
    let chat = "/v1/chat/completions";
    let stream = r#","stream":true,"stream_options":{"include_usage":true}"#;
    let whole = |letter, name, request: Vec<u8>, size| Work {
        letter,
        name,
        path: chat,
        request,
        response: completion(size),
        events: 0,
        streams: false,
    };
    let events = |letter, name, path, extra: &str, events: Vec<String>| Work {
        letter,
        name,
        path,
        request: question(extra),
        events: events.len() as u32,
        response: events.concat().into_bytes(),
        streams: true,
    };
    vec![
        whole('a', "answer of 2 KiB", question(""), 2 << 10),
        whole('b', "answer of 64 KiB", question(""), 64 << 10),
        events('c', "stream of 64 chunks", chat, stream, chunks(64)),
        events('d', "stream of 1,000 chunks", chat, stream, chunks(1000)),
        events('e', "Anthropic stream of 64 chunks", "/v1/messages", r#","stream":true"#, deltas(64)),
        whole('f', "request of 256 KiB", conversation(256 << 10), 2 << 10),
        Work { response: call(), ..whole('g', "eighth step of an agent", steps(7), 0) },
        Work {
            response: call(),
            ..whole('h', "first step of an agent, as large as (g)", first_step(steps(7).len()), 0)
        },
    ]
}

/// Text of at least `size` bytes with what makes parsing slow: escapes and characters of several bytes.
pub fn text(size: usize, seed: usize) -> String {
    const WORDS: [&str; 24] = [
        "answers",
        "arrive",
        "in",
        "pieces",
        "and",
        "each",
        "one",
        "carries",
        "few",
        "words",
        "of",
        "a",
        "sentence",
        "that",
        "somebody",
        "waits",
        "for",
        "\\\"quoted\\\"",
        "café",
        "line\\n",
        "while",
        "tokens",
        "are",
        "counted",
    ];
    let (mut text, mut at) = (String::with_capacity(size + 16), seed);
    while text.len() < size {
        text.push_str(WORDS[at % WORDS.len()]);
        text.push(' ');
        at = at.wrapping_mul(29).wrapping_add(11) % 7919;
    }
    text
}

fn question(extra: &str) -> Vec<u8> {
    let asked = text(160, 5);
    format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"system","content":"You answer in few words."}},{{"role":"user","content":"{asked}"}}],"temperature":0.2,"max_tokens":512{extra}}}"#
    )
    .into_bytes()
}

fn conversation(size: usize) -> Vec<u8> {
    let mut body = r#"{"model":"gpt-4o","messages":[{"role":"system","content":"You answer in few words."}"#.to_owned();
    let mut turn = 0;
    while body.len() < size - 1200 {
        let role = if turn % 2 == 0 { "user" } else { "assistant" };
        body.push_str(&format!(r#",{{"role":"{role}","content":"{}"}}"#, text(1000, turn)));
        turn += 1;
    }
    body.push_str(r#"],"temperature":0.2,"max_tokens":512}"#);
    body.into_bytes()
}

/// An agent run in progress: the offered tools, and this many turns of a call and its result. The last result answers
/// [`call`].
fn steps(turns: usize) -> Vec<u8> {
    let turn = |at: usize| {
        let id = if at + 1 == turns { CALL.to_owned() } else { format!("call_{at:024}") };
        format!(
            r#",{{"role":"assistant","content":null,"tool_calls":[{{"id":"{id}","type":"function","function":{{"name":"tool_{}","arguments":"{{\"query\":\"{at}\",\"limit\":10}}"}}}}]}},{{"role":"tool","tool_call_id":"{id}","content":"{}"}}"#,
            at % TOOLS,
            text(1000, at)
        )
    };
    agent(&text(160, 5), &(0..turns).map(turn).collect::<String>())
}

/// The first request of a run, with a user message that makes it `size` bytes long.
fn first_step(size: usize) -> Vec<u8> {
    agent(&text(size - agent("", "").len() - 8, 5), "")
}

/// A request that offers four tools, with this message of the user and these turns.
fn agent(asked: &str, turns: &str) -> Vec<u8> {
    let tool = |at: usize| {
        format!(
            r#"{{"type":"function","function":{{"name":"tool_{at}","description":"{}","parameters":{{"type":"object","properties":{{"query":{{"type":"string"}},"limit":{{"type":"integer"}}}},"required":["query"]}}}}}}"#,
            text(200, at)
        )
    };
    let tools: Vec<_> = (0..TOOLS).map(tool).collect();
    format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"system","content":"You use tools."}},{{"role":"user","content":"{asked}"}}{turns}],"tools":[{}]}}"#,
        tools.join(",")
    )
    .into_bytes()
}

/// Number of tools that an agent offers.
const TOOLS: usize = 4;

const CALL: &str = "call_Xq3vN8sLw0Tz5cYb7RmKdE2f";

/// A response with a tool call.
fn call() -> Vec<u8> {
    format!(
        r#"{{"id":"chatcmpl-BvC5aTqYk0W3uJ7cP2xRzLd8eHf1","object":"chat.completion","created":1763800000,"model":"gpt-4o-2024-08-06","choices":[{{"index":0,"message":{{"role":"assistant","content":null,"tool_calls":[{{"id":"{CALL}","type":"function","function":{{"name":"tool_1","arguments":"{{\"query\":\"next\",\"limit\":5}}"}}}}],"refusal":null}},"logprobs":null,"finish_reason":"tool_calls"}}],"usage":{USAGE},"service_tier":"default"}}"#
    )
    .into_bytes()
}

const USAGE: &str = r#"{"prompt_tokens":1240,"completion_tokens":380,"total_tokens":1620,"prompt_tokens_details":{"cached_tokens":1024,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":64,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#;

fn completion(size: usize) -> Vec<u8> {
    let head = r#"{"id":"chatcmpl-BvC5aTqYk0W3uJ7cP2xRzLd8eHf1","object":"chat.completion","created":1763800000,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":""#;
    let tail = format!(
        r#"","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{USAGE},"service_tier":"default","system_fingerprint":"fp_5c1e8d0a27"}}"#
    );
    let text = text(size.saturating_sub(head.len() + tail.len()), 3);
    [head, &text, &tail].concat().into_bytes()
}

/// OpenAI: one chunk with the role, `count` with text, one with the finish reason, one with usage, and the end marker.
pub fn chunks(count: usize) -> Vec<String> {
    let head = r#"data: {"id":"chatcmpl-BvC5aTqYk0W3uJ7cP2xRzLd8eHf1","object":"chat.completion.chunk","created":1763800000,"model":"gpt-4o-2024-08-06","choices":"#;
    let chunk = |delta: &str, reason: &str| {
        format!("{head}[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n")
    };
    let mut events = vec![chunk(r#"{"role":"assistant","content":""}"#, "null")];
    events.extend((0..count).map(|at| chunk(&format!(r#"{{"content":"{}"}}"#, text(6, at).trim_end()), "null")));
    events.push(chunk("{}", "\"stop\""));
    events.push(format!("{head}[],\"usage\":{USAGE}}}\n\n"));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// Anthropic: one block with `count` deltas.
fn deltas(count: usize) -> Vec<String> {
    let event = |name: &str, data: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\"{data}}}\n\n");
    let mut events = vec![
        event(
            "message_start",
            r#","message":{"id":"msg_01Hq7WfPzTnK4bXcVd2RyE9m","type":"message","role":"assistant","content":[],"model":"claude-sonnet-4-20250514","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1240,"cache_creation_input_tokens":128,"cache_read_input_tokens":1024,"output_tokens":1}}"#,
        ),
        event("content_block_start", r#","index":0,"content_block":{"type":"text","text":""}"#),
        event("ping", ""),
    ];
    events.extend((0..count).map(|at| {
        let text = text(24, at);
        let delta = format!(r#","index":0,"delta":{{"type":"text_delta","text":"{}"}}"#, text.trim_end());
        event("content_block_delta", &delta)
    }));
    events.push(event("content_block_stop", r#","index":0"#));
    events.push(event(
        "message_delta",
        r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":380}"#,
    ));
    events.push(event("message_stop", ""));
    events
}
