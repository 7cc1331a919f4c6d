//! Streams of events that contradict each other: the observation must not depend on where the bytes are cut.
//!
//! Events in recorded fixtures rarely contradict each other. Here they do, in every API that streams server-sent
//! events.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::oracle::dice::Dice;
use crate::support::core::{Wire, observer, pass, timeless};
use gaugeway::exchange::{End, Observer};
use serde_json::{Map, Value};

/// An API that streams events, and possible members of its events.
struct Api {
    host: &'static str,
    path: &'static str,
    /// For each member, the values that it may have. An event has some of the members, in any order.
    members: &'static [&'static [&'static str]],
}

const RESPONSES: Api = Api {
    host: "api.openai.com",
    path: "/v1/responses",
    members: &[
        &[r#""type":"response.output_text.delta""#, r#""type":"response.created""#, r#""type":"response.completed""#],
        &[
            r#""response":{"id":"a"}"#,
            r#""response":{"id":"b","model":"m","status":"completed"}"#,
            r#""response":{"usage":{"input_tokens":3,"output_tokens":4}}"#,
        ],
        &[r#""delta":"x""#, r#""delta":"y\n""#, r#""delta":"""#],
        &[r#""id":"c""#, r#""id":"d""#],
        &[r#""model":"m""#, r#""model":"n""#],
        &[r#""output_index":0"#, r#""output_index":1"#],
        &[r#""item":{"type":"function_call","call_id":"t","name":"f"}"#, r#""item":{"type":"message"}"#],
        &[r#""usage":{"input_tokens":1}"#, r#""usage":{"output_tokens":2}"#],
        &[r#""service_tier":"flex""#, r#""service_tier":"priority""#],
        &[r#""code":"e""#, r#""code":"f""#],
        &[r#""error":{"code":"g"}"#, r#""error":{"code":429,"type":"h"}"#, r#""error":null"#],
    ],
};

const CHAT: Api = Api {
    host: "api.openai.com",
    path: "/v1/chat/completions",
    members: &[
        &[r#""id":"a""#, r#""id":"b""#],
        &[r#""object":"chat.completion.chunk""#, r#""object":"error""#],
        &[r#""model":"m""#, r#""model":"n""#],
        &[
            r#""choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]"#,
            r#""choices":[{"index":0,"delta":{"content":"y"},"finish_reason":"stop"}]"#,
            r#""choices":[{"index":1,"delta":{"content":"z"},"finish_reason":"length"}]"#,
            r#""choices":[{"delta":{"reasoning_content":"r"}}]"#,
            r#""choices":[{"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]}}]"#,
            r#""choices":[]"#,
        ],
        &[r#""usage":{"prompt_tokens":1,"completion_tokens":2}"#, r#""usage":{"prompt_tokens":3}"#, r#""usage":null"#],
        &[r#""service_tier":"flex""#, r#""service_tier":"priority""#, r#""service_tier":"default""#],
        &[r#""code":"c""#, r#""code":"d""#],
        &[r#""error":{"code":"e","type":"t"}"#, r#""error":{"code":503}"#, r#""error":"text""#],
    ],
};

const CONVERSATIONS: Api = Api {
    host: "api.mistral.ai",
    path: "/v1/conversations",
    members: &[
        &[
            r#""type":"message.output.delta""#,
            r#""type":"conversation.response.done""#,
            r#""type":"function.call.delta""#,
        ],
        &[r#""conversation_id":"a""#, r#""conversation_id":"b""#],
        &[r#""content":"x""#, r#""content":"y""#, r#""content":{"type":"text","text":"z"}"#],
        &[r#""model":"m""#, r#""model":"n""#],
        &[r#""name":"f""#, r#""name":"g""#],
        &[r#""arguments":"{}""#, r#""arguments":"{""#],
        &[r#""output_index":0"#, r#""output_index":1"#],
        &[r#""usage":{"prompt_tokens":1,"completion_tokens":2}"#, r#""usage":{"prompt_tokens":3}"#],
        &[r#""code":"c""#, r#""code":"d""#],
    ],
};

const MESSAGES: Api = Api {
    host: "api.anthropic.com",
    path: "/v1/messages",
    members: &[
        &[r#""type":"content_block_delta""#, r#""type":"message_delta""#, r#""type":"error""#],
        &[r#""index":0"#, r#""index":1"#],
        &[
            r#""delta":{"type":"text_delta","text":"x"}"#,
            r#""delta":{"type":"thinking_delta","thinking":"x"}"#,
            r#""delta":{"stop_reason":"end_turn"}"#,
        ],
        &[
            r#""message":{"id":"a","model":"m","usage":{"input_tokens":1,"output_tokens":1}}"#,
            r#""message":{"id":"b","model":"n"}"#,
        ],
        &[
            r#""content_block":{"type":"tool_use","id":"t","name":"f"}"#,
            r#""content_block":{"type":"text","text":"x"}"#,
        ],
        &[r#""usage":{"output_tokens":7}"#, r#""usage":{"output_tokens":8,"cache_read_input_tokens":2}"#],
        &[r#""error":{"type":"overloaded_error"}"#, r#""error":{"type":"api_error"}"#],
    ],
};

const GEMINI: Api = Api {
    host: "generativelanguage.googleapis.com",
    path: "/v1beta/models/gemini-pro:streamGenerateContent",
    members: &[
        &[
            r#""candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}]"#,
            r#""candidates":[{"content":{"parts":[{"text":"y","thought":true}]},"index":0}]"#,
            r#""candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]},"index":1}]"#,
        ],
        &[
            r#""usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}"#,
            r#""usageMetadata":{"promptTokenCount":3,"thoughtsTokenCount":4}"#,
        ],
        &[r#""modelVersion":"m""#, r#""modelVersion":"n""#],
        &[r#""responseId":"a""#, r#""responseId":"b""#],
        &[r#""error":{"code":429,"status":"RESOURCE_EXHAUSTED"}"#, r#""error":{"code":500}"#],
    ],
};

const COHERE: Api = Api {
    host: "api.cohere.com",
    path: "/v2/chat",
    members: &[
        &[r#""type":"content-delta""#, r#""type":"message-end""#, r#""type":"message-start""#],
        &[r#""id":"a""#, r#""id":"b""#],
        &[r#""index":0"#, r#""index":1"#],
        &[
            r#""delta":{"message":{"content":{"text":"x"}}}"#,
            r#""delta":{"message":{"content":{"thinking":"x"}}}"#,
            r#""delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":1,"output_tokens":2}}}"#,
            r#""delta":{"finish_reason":"MAX_TOKENS","usage":{"tokens":{"input_tokens":3}}}"#,
        ],
        &[r#""response_id":"c""#, r#""response_id":"d""#],
    ],
};

const APIS: [&Api; 6] = [&RESPONSES, &CHAT, &CONVERSATIONS, &MESSAGES, &GEMINI, &COHERE];

impl Api {
    /// The observation of a stream that arrives in these pieces.
    fn read(&self, observer: &Rc<Observer>, pieces: Vec<&[u8]>) -> Map<String, Value> {
        let wire = Wire {
            method: "POST",
            host: self.host,
            path: self.path,
            request_headers: &[],
            request: vec![br#"{"stream":true}"#],
            status: 200,
            response_headers: &[("content-type".to_owned(), "text/event-stream".to_owned())],
            response: pieces,
        };
        timeless(pass(observer, &wire, End::Whole).expect("the path is known").observation())
    }

    /// Asserts that the observation is the same if the stream arrives in one piece, byte by byte, and event by event.
    /// Returns it.
    fn assert_same(&self, observer: &Rc<Observer>, events: &[String]) -> Map<String, Value> {
        let stream = events.concat();
        let in_one_piece = self.read(observer, vec![stream.as_bytes()]);
        let by_bytes = self.read(observer, stream.as_bytes().chunks(1).collect());
        assert_eq!(in_one_piece, by_bytes, "byte by byte, {}:\n{stream}", self.path);
        let by_events = self.read(observer, events.iter().map(String::as_bytes).collect());
        assert_eq!(in_one_piece, by_events, "event by event, {}:\n{stream}", self.path);
        in_one_piece
    }

    /// A random event with some of the members, in any order.
    fn event(&self, dice: &mut Dice) -> Vec<&'static str> {
        let mut members: Vec<_> = self.members.iter().filter(|_| !dice.rarely(3)).copied().collect();
        dice.shuffle(&mut members);
        members.into_iter().map(|values| dice.pick(values)).collect()
    }

    /// A variation of an event: some members are missing, have another value, or are repeated.
    fn vary(&self, event: &[&'static str], dice: &mut Dice) -> Vec<&'static str> {
        let mut event = event.to_vec();
        for _ in 0..dice.below(3) {
            let at = dice.below(event.len());
            let name = |member: &str| member.split(':').next().unwrap_or_default().to_owned();
            let values = |member: &str| self.members.iter().find(|values| name(values[0]) == name(member)).unwrap();
            match dice.below(4) {
                0 | 1 if event.len() > 1 => {
                    event.remove(at);
                }
                2 => event[at] = dice.pick(values(event[at])),
                _ => {
                    let member = event[at];
                    event.push(dice.pick(values(member)));
                }
            }
        }
        event
    }
}

/// The bytes of an event.
fn wire(members: &[&str]) -> String {
    format!("data: {{{}}}\n\n", members.join(","))
}

/// An event, and the same event without its last member.
fn pair(members: &[&str]) -> Vec<String> {
    vec![wire(members), wire(&members[..members.len() - 1])]
}

#[test]
fn an_event_without_a_member_of_the_previous_event_is_read_the_same_at_any_cut() {
    let observer = observer();
    let kind = r#""type":"response.output_text.delta""#;
    let events = pair(&[kind, r#""response":{"id":"a"}"#, r#""delta":"x""#, r#""id":"b""#]);
    assert_eq!(RESPONSES.assert_same(&observer, &events)["gen_ai.response.id"], "a");

    let text = r#""choices":[{"index":0,"delta":{"content":"x"}}]"#;
    let events = pair(&[r#""object":"error""#, r#""code":"a""#, text, r#""code":"b""#]);
    assert_eq!(CHAT.assert_same(&observer, &events)["error.type"], "a");

    let events = pair(&[r#""conversation_id":"a""#, r#""content":"x""#, r#""conversation_id":"b""#]);
    assert_eq!(CONVERSATIONS.assert_same(&observer, &events)["gen_ai.conversation.id"], "a");
}

#[test]
fn events_that_contradict_each_other_are_read_the_same_at_any_cut() {
    let observer = observer();
    for api in APIS {
        let mut seen = BTreeSet::new();
        for seed in 0..600 {
            let mut dice = Dice::new(seed);
            let first = api.event(&mut dice);
            if first.is_empty() {
                continue;
            }
            let mut events = vec![wire(&first)];
            for _ in 0..1 + dice.below(2) {
                events.push(wire(&api.vary(&first, &mut dice)));
            }
            let whole = api.assert_same(&observer, &events);
            let stream = events.concat();
            for _ in 0..4 {
                let (a, rest) = stream.as_bytes().split_at(dice.below(stream.len()));
                let (b, c) = rest.split_at(dice.below(rest.len()));
                assert_eq!(whole, api.read(&observer, vec![a, b, c]), "{} and {} of\n{stream}", a.len(), b.len());
            }
            seen.insert(Value::Object(whole).to_string());
        }
        assert!(seen.len() > 30, "{} has only {} different observations", api.path, seen.len());
    }
}

/// Most equal events in a row. The scanner recognizes repeated begins and ends after fewer.
const EQUAL: usize = 6;

/// Asserts that each of `others` is read the same at any cut after any number of equal events, and so are the events
/// after it.
fn assert_read_among(api: &Api, equal: &[String], others: &[String]) {
    let observer = observer();
    for before in 0..=EQUAL {
        for (at, other) in others.iter().enumerate() {
            let run = |count: usize| equal.iter().cycle().take(count).cloned();
            let next = others.get(at + 1).cloned().unwrap_or_default();
            let events: Vec<_> =
                run(before).chain([other.clone()]).chain(run(before / 2)).chain([next]).chain(run(2)).collect();
            api.assert_same(&observer, &events);
        }
    }
}

#[test]
fn a_different_chunk_of_a_chat_completion_is_read_the_same_after_any_number_of_equal_chunks() {
    let chunk = |inside: &str| wire(&[r#""id":"c""#, r#""model":"m""#, &format!(r#""choices":[{inside}]"#)]);
    let delta = |delta: &str| chunk(&format!(r#"{{"index":0,"delta":{{{delta}}},"finish_reason":null}}"#));
    let text = |text: &str| delta(&format!(r#""content":"{text}""#));
    let others = [
        text(""),
        text(r#"a \"word\" and \ud83d\ude00 \\"#),
        text("not\nJSON"),
        text("same").replace("\n\n", "\n"),
        text("same").replace('\n', "\r\n"),
        text("same").replace("data: ", "data:"),
        text("same").replace("data: ", "event: error\ndata: "),
        text("same").replace("null", r#""stop""#),
        text("same").replace(r#""index":0"#, r#""index":1"#),
        text("same").replace(r#""m""#, r#""n""#),
        text("same").replace("]}\n", "]}{\"model\":\"n\"}\n"),
        text("same").replace("]}\n", "]}\ndata: {\"model\":\"n\"\n"),
        text("same").replace("]}\n", "],\"model\":\"n\"}\n"),
        delta(r#""reasoning_content":"hm""#),
        delta(r#""refusal":"no""#),
        delta(r#""tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]"#),
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n".to_owned(),
        ": a comment\n\n".to_owned(),
        "data: {\"error\":{\"code\":\"overloaded\"}}\n\n".to_owned(),
    ];
    assert_read_among(&CHAT, &[text("same"), text(r"as\nthe"), text("last")], &others);
    assert_read_among(&CHAT, &[text("same").replace(r#""index":0"#, r#""index":1"#)], &others);
    assert_read_among(&CHAT, &[delta(r#""reasoning_content":"hm""#)], &others);
}

#[test]
fn a_different_event_of_a_message_is_read_the_same_after_any_number_of_equal_events() {
    let event = |name: &str, inside: &str| {
        format!("event: {name}\ndata: ") + &format!(r#"{{"type":"{name}"{inside}}}"#) + "\n\n"
    };
    let block = |inside: &str| event("content_block_delta", &format!(r#","index":0,"delta":{{{inside}}}"#));
    let text = |text: &str| block(&format!(r#""type":"text_delta","text":"{text}""#));
    let tool = r#","index":1,"content_block":{"type":"tool_use","id":"t","name":"f"}"#;
    let others = [
        block(r#""type":"thinking_delta","thinking":"hm""#),
        event("content_block_start", tool),
        event("message_delta", r#","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}"#),
        event("error", r#","error":{"type":"overloaded_error"}"#),
        event("ping", ""),
        text("same").replace("event: content_block_delta\n", ""),
        text("same").replace("event: content_block_delta", "event: error"),
    ];
    assert_read_among(&MESSAGES, &[text("same"), text(r"\u00e9\\")], &others);
}
