//! What is fuzzed: a function for each parser and one for the whole exchange. Each takes any bytes and panics where something is
//! wrong: a crash, a result that depends on where the bytes were cut, or a reading that `serde_json` does not share.
//!
//! The first byte of an input is the size of the pieces it is fed in; the rest is the body.

#![allow(dead_code, reason = "each fuzzer is a program of its own, with one of these")]

#[path = "../../envoy/demo/src/event_stream.rs"]
mod frames;

use std::fmt::Write;
use std::rc::Rc;

use gaugeway::bytes::Base64;
use gaugeway::config::Config;
use gaugeway::exchange::{End, Exchange, Head, Observer};
use gaugeway::json::{Canonical, Documents, Ended, Program, Rule, Scalar, Scanner, close, open, raw, scalar, text};
use gaugeway::sink::attributes::FIELDS;
use gaugeway::sink::stats::{Kind, Registry, Stats};
use serde_json::Value;

/// A function that is fuzzed, by name.
pub type Target = (&'static str, fn(&[u8]));

/// Every one.
pub const TARGETS: &[Target] = &[
    ("json", json),
    ("canonical", canonical),
    ("request", request),
    ("sse", sse),
    ("event_stream", event_stream),
    ("encoding", encoding),
    ("multipart", multipart),
    ("base64", base64),
    ("configuration", configuration),
    ("exchange", exchange),
];

/// The pieces that an input is to be fed in, and the whole of it.
fn pieces(data: &[u8]) -> Option<(impl Iterator<Item = &[u8]> + Clone, &[u8])> {
    let (size, body) = data.split_first()?;
    Some((body.chunks(usize::from(*size).max(1)), body))
}

type Log = Vec<String>;

fn note(log: &mut Log, words: std::fmt::Arguments<'_>) {
    log.push(words.to_string());
}

/// Text and raw values come in pieces; the first is empty.
fn more(log: &mut Log, what: &str, piece: &[u8]) {
    if piece.is_empty() {
        return log.push(what.to_owned());
    }
    let last = log.last_mut().filter(|last| last.starts_with(what)).expect("a piece without its beginning");
    piece.iter().for_each(|byte| write!(last, " {byte:02x}").unwrap());
}

const RULES: &[Rule<Log>] = &[
    scalar("a", |log, value: Scalar<'_>| note(log, format_args!("a {value:?}"))),
    scalar("model", |log, value: Scalar<'_>| note(log, format_args!("model {value:?}"))),
    scalar("usage.*", |log, value: Scalar<'_>| note(log, format_args!("usage {value:?}"))),
    text("choices[].delta.content", |log, piece: &[u8]| more(log, "content", piece)),
    open("choices[]", |log, at| note(log, format_args!("choice {at}"))),
    close("choices[]", |log| note(log, format_args!("over"))),
    raw("raw", |log, piece: &[u8]| more(log, "raw", piece)),
];

pub fn json(data: &[u8]) {
    let Some((pieces, body)) = pieces(data) else { return };
    let program = Program::new(
        &[("", RULES)],
        |log| note(log, format_args!("begin")),
        |log, ended| note(log, format_args!("{ended:?}")),
    );
    for documents in [Documents::Plain, Documents::Lines, Documents::Elements] {
        let scan = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let (mut log, mut scanner) = (Log::new(), Scanner::new(documents));
            pieces.for_each(|piece| scanner.feed(&program, &mut log, piece));
            (scanner.finish(&program, &mut log, Ended::Cut), log)
        };
        let whole = scan(&mut [body].into_iter());
        assert_eq!(scan(&mut pieces.clone()), whole, "{documents:?}");
        if documents == Documents::Plain && matches!(serde_json::from_slice(body), Ok(Value::Object(_))) {
            assert_eq!(whole.1.last().map(String::as_str), Some("Whole"));
            assert!(whole.0);
        }
    }
}

pub fn canonical(data: &[u8]) {
    let Some((pieces, body)) = pieces(data) else { return };
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut canonical = Canonical::default();
        pieces.for_each(|piece| canonical.feed(piece));
        (canonical.is_whole(), canonical.hash())
    };
    let whole = read(&mut [body].into_iter());
    assert_eq!(read(&mut pieces.clone()), whole);
    let Ok(body) = std::str::from_utf8(body) else { return };
    let sound = serde_json::from_str::<Box<serde_json::value::RawValue>>(body).is_ok();
    // It knows 32 levels, and words of 32 bytes.
    let deep = body.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > 32;
    let long = body.split(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).any(|word| word.len() > 32);
    assert!(whole.0 == sound || !whole.0 && (deep || long), "{} and {sound}", whole.0);
}

pub fn base64(data: &[u8]) {
    let Some((pieces, body)) = pieces(data) else { return };
    let decode = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut decoder, mut out) = (Base64::default(), Vec::new());
        decoder.decode(b"");
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            decoder.decode(piece);
            let taken = decoder.take();
            out.extend_from_slice(&taken);
            decoder.reuse(taken);
        }
        decoder.finish();
        [out, decoder.take()].concat()
    };
    let whole = decode(&mut [body].into_iter());
    assert_eq!(decode(&mut pieces.clone()), whole);
    assert!(whole.len() <= body.len() * 3 / 4 + 1);
}

/// Texts of a conversation may come late or not at all: which do hangs on the cuts, and nothing else may.
pub fn request(data: &[u8]) {
    let Some((pieces, body)) = pieces(data) else { return };
    for path in [
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/responses",
        "/v1beta/models/gemini-2.5-pro:generateContent",
        "/model/amazon.nova-lite-v1:0/converse",
        "/v2/chat",
        "/gateway/any",
    ] {
        let ask = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut exchange = begin(path, &[]);
            pieces.for_each(|piece| exchange.request_body(piece));
            exchange.finish(End::Whole, 1);
            said(&exchange)
        };
        assert_eq!(ask(&mut pieces.clone()), ask(&mut [body].into_iter()), "{path}");
    }
}

pub fn sse(data: &[u8]) {
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/messages"] {
        same_however_cut(data, path, &[("content-type", "text/event-stream")]);
    }
}

/// As bytes, and as text of which sound frames are made: no chance finds two checksums.
pub fn event_stream(data: &[u8]) {
    let text = data.get(1..).and_then(|text| std::str::from_utf8(text).ok());
    let lines = text.unwrap_or_default().lines().filter(|line| line.contains(' '));
    let framed = lines.flat_map(|line| frames::frames(line).concat());
    let framed: Vec<u8> = data.first().copied().into_iter().chain(framed).collect();
    let data = if framed.len() > 1 { &framed } else { data };
    let kind = [("content-type", "application/vnd.amazon.eventstream")];
    same_however_cut(data, "/model/amazon.nova-lite-v1:0/converse-stream", &kind);
    same_however_cut(data, "/model/anthropic.claude-3-haiku-20240307-v1:0/invoke-with-response-stream", &kind);
}

pub fn encoding(data: &[u8]) {
    for name in ["gzip", "deflate", "br", "zstd"] {
        same_however_cut(
            data,
            "/v1/chat/completions",
            &[("content-type", "text/event-stream"), ("content-encoding", name)],
        );
    }
}

pub fn multipart(data: &[u8]) {
    let Some((pieces, body)) = pieces(data) else { return };
    let form = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let head = [("content-type", "multipart/form-data; boundary=\"b\"")];
        let mut exchange = begin("/v1/audio/transcriptions", &head);
        pieces.for_each(|piece| exchange.request_body(piece));
        exchange.finish(End::Whole, 1);
        said(&exchange)
    };
    assert_eq!(form(&mut pieces.clone()), form(&mut [body].into_iter()));
}

pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text) {
        Ok(config) => drop(Observer::new(config)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A response's body, cut or whole, comes to the same.
fn same_however_cut(data: &[u8], path: &str, head: &[(&str, &str)]) {
    let Some((pieces, body)) = pieces(data) else { return };
    let answer = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut exchange = begin(path, &[]);
        exchange.request_end(1);
        exchange.response(Head(&heads(&[&[(":status", "200")], head].concat())), 1);
        pieces.for_each(|piece| exchange.response_body(piece, 1));
        exchange.finish(End::Whole, 1);
        said(&exchange)
    };
    let (cut, whole) = (answer(&mut pieces.clone()), answer(&mut [body].into_iter()));
    // Where a decoder gives up, it may have given more or less before.
    if !whole.contains("encoding") {
        assert_eq!(cut, whole);
    }
}

fn begin(path: &str, head: &[(&str, &str)]) -> Exchange {
    let head = [&[(":method", "POST"), (":authority", "llm"), (":path", path)], head].concat();
    OBSERVER.with(|observer| Exchange::start(observer, Head(&heads(&head)), 1)).expect("a path of an API")
}

fn heads<'a>(head: &'a [(&'a str, &'a str)]) -> Vec<(&'a [u8], &'a [u8])> {
    head.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

fn said(exchange: &Exchange) -> String {
    let mut all = String::new();
    for field in FIELDS {
        if let Some(value) = (field.get)(exchange.observation()) {
            write!(all, "{}=", field.name).unwrap();
            value.write(&mut all);
            all.push('\n');
        }
    }
    write!(all, "{:?}", exchange.observation().agent).unwrap();
    all
}

thread_local! {
    static OBSERVER: Rc<Observer> = Rc::new(Observer::new(Config::parse(DETECTING).expect("a sound configuration")));
}

const DETECTING: &str =
    r#"{"apis": [{"path": "/gateway/", "api": "detect"}], "labels": {"headers": {"x-team": "team"}}}"#;

/// What separates the commands of a script.
pub const NEXT: &str = "\n%";

/// Runs a script: each command is a letter and its bytes.
///
/// | letter | bytes |
/// |---|---|
/// | `h` | `name: value`, for the next head |
/// | `>` | the request begins, with the heads so far; the bytes are its path |
/// | `q`, `Q` | of the request's body; its end |
/// | `<` | the response begins; the bytes are its status |
/// | `s`, `S` | of the response's body; its end, the bytes are Envoy's details |
/// | `t` | time passes: the bytes are a number of nanoseconds |
pub fn exchange(data: &[u8]) {
    let mut head: Vec<(&[u8], &[u8])> = vec![(b":method", b"POST")];
    let (mut exchange, mut now, mut ended) = (None::<Exchange>, 0_u64, None);
    for command in commands(data) {
        let Some((letter, bytes)) = command.split_first() else { continue };
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        match (letter, &mut exchange) {
            (b'h', _) => {
                let colon = bytes.iter().skip(1).position(|byte| *byte == b':').map_or(bytes.len(), |at| at + 1);
                head.push((&bytes[..colon], bytes.get(colon + 2..).unwrap_or_default()));
            }
            (b't', _) => now = now.saturating_add(text.trim().parse().unwrap_or(1)),
            (b'>', None) => {
                head.push((b":path", bytes));
                exchange = OBSERVER.with(|observer| Exchange::start(observer, Head(&head), now));
                head.clear();
            }
            (b'q', Some(exchange)) => exchange.request_body(bytes),
            (b'Q', Some(exchange)) => exchange.request_end(now),
            (b'<', Some(exchange)) => {
                head.push((b":status", bytes));
                exchange.response(Head(&head), now);
                head.clear();
            }
            (b's', Some(exchange)) => exchange.response_body(bytes, now),
            (b'S', Some(exchange)) => {
                exchange.finish(End::from_details(text), now);
                ended.get_or_insert_with(|| said(exchange));
            }
            _ => {}
        }
        if let Some(exchange) = &mut exchange {
            exchange.changes();
        }
    }
    let Some(mut exchange) = exchange else { return };
    exchange.finish(End::ClientDisconnect, now);
    let said = said(&exchange);
    assert!(ended.is_none_or(|ended| ended == said), "what comes after the end changes nothing");
    let config = OBSERVER.with(|observer| observer.config.clone());
    Stats::default().record(exchange.observation(), &config, &mut Names);
}

fn commands(data: &[u8]) -> Vec<&[u8]> {
    let (mut commands, mut rest) = (Vec::new(), data);
    while let Some(at) = rest.windows(NEXT.len()).position(|window| window == NEXT.as_bytes()) {
        commands.push(&rest[..at]);
        rest = &rest[at + NEXT.len()..];
    }
    commands.push(rest);
    commands
}

/// Looks at every series' name: it must be `NAME.key=.=value;.;` and so on, whatever was said on the wire.
struct Names;

impl Registry for Names {
    fn define(&mut self, _: Kind, name: &str) -> Option<u32> {
        let (_, labels) = name.split_once('.').unwrap_or((name, ""));
        for label in labels.split_terminator(";.;") {
            let (key, value) = label.split_once("=.=").expect("a key and a value");
            assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name:?}");
            assert!(value.len() <= 128 && !value.contains([';', '=']) && !value.contains(char::is_control), "{name:?}");
        }
        Some(1)
    }

    fn emit(&mut self, _: Kind, _: u32, _: u64) {}
}
