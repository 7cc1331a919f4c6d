//! Sends bodies through the whole core with every cut, and encodes AWS frames with arbitrary headers.

use crate::support::core::{Wire, observer, pass, timeless};
use gaugeway::exchange::{End, Observer};
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// The result of one stream: characters of the answer, input tokens, outcome and parse error.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub characters: u64,
    pub input: Option<u64>,
    pub outcome: String,
    pub parse_errors: String,
    pub error: String,
}

/// An endpoint and the content type of its response.
pub struct Endpoint {
    observer: Rc<Observer>,
    path: &'static str,
    kind: &'static str,
}

impl Endpoint {
    pub fn new(path: &'static str, kind: &'static str) -> Self {
        Self { observer: observer(), path, kind }
    }

    pub fn converse() -> Self {
        Self::new("/model/amazon.nova-lite-v1%3A0/converse-stream", "application/vnd.amazon.eventstream")
    }

    pub fn invoke() -> Self {
        Self::new("/model/anthropic.claude-3/invoke-with-response-stream", "application/vnd.amazon.eventstream")
    }

    pub fn chat(kind: &'static str) -> Self {
        Self::new("/v1/chat/completions", kind)
    }

    pub fn sees(&self, pieces: &[&[u8]]) -> Seen {
        let wire = Wire {
            method: "POST",
            host: "llm.example.net",
            path: self.path,
            request_headers: &[("content-type".into(), "application/json".into())],
            request: vec![b"{}"],
            status: 200,
            response_headers: &[("content-type".into(), self.kind.into())],
            response: pieces.to_vec(),
        };
        let map: Map<String, Value> = timeless(pass(&self.observer, &wire, End::Whole).unwrap().observation());
        let word = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Seen {
            characters: map.get("gaugeway.response.characters").and_then(Value::as_u64).unwrap_or(0),
            input: map.get("gen_ai.usage.input_tokens").and_then(Value::as_u64),
            outcome: word("gaugeway.outcome"),
            parse_errors: word("gaugeway.parse_error"),
            error: word("error.type"),
        }
    }

    /// The result for the body in one piece. Asserts that every other cut gives the same.
    pub fn comes_to(&self, body: &[u8]) -> Seen {
        let whole = self.sees(&[body]);
        if body.len() < 2_000 {
            for cut in 0..body.len() {
                let (a, b) = body.split_at(cut);
                assert_eq!(self.sees(&[a, b]), whole, "cut at {cut}: {}", String::from_utf8_lossy(body));
            }
        }
        assert_eq!(self.sees(&body.chunks(1).collect::<Vec<_>>()), whole, "{}", String::from_utf8_lossy(body));
        whole
    }
}

pub fn seen(characters: u64, input: Option<u64>, outcome: &str, parse_errors: &str) -> Seen {
    let error = if outcome == "truncated" { outcome } else { "" };
    Seen { characters, input, outcome: outcome.into(), parse_errors: parse_errors.into(), error: error.into() }
}

/// A frame with correct lengths and checksums around arbitrary headers.
pub fn frame(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = headers.len() + payload.len() + 16;
    let mut out = prelude(total as u32, headers.len() as u32);
    out.extend(headers);
    out.extend(payload);
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out
}

pub fn prelude(total: u32, headers: u32) -> Vec<u8> {
    let mut out = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out
}

/// A header of type 7 (string).
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let length = (value.len() as u16).to_be_bytes();
    [&[name.len() as u8], name.as_bytes(), &[7], &length, value.as_bytes()].concat()
}

pub fn event(name: &str, payload: Value) -> Vec<u8> {
    let headers = [header(":event-type", name), header(":message-type", "event")].concat();
    frame(&headers, payload.to_string().as_bytes())
}

pub fn chunk(document: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in document.as_bytes().chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*three.get(at).unwrap_or(&0)));
        for digit in 0..4 {
            let shown = digit <= three.len();
            text.push(if shown { char::from(DIGITS[bits >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    event("chunk", json!({"bytes": text, "p": "abcdef"}))
}
