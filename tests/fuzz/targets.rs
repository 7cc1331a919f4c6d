//! Fuzz targets: a function for each parser and one for the whole exchange. A target takes any bytes. It panics if a
//! parser panics, if a result depends on where the bytes are cut, or if it contradicts `serde_json`.
//!
//! The first byte of an input is the size of the pieces in which the body arrives. The rest is the body. The targets
//! `exchange`, `configuration`, `websocket` and `session` have inputs of their own form.

#![allow(dead_code, reason = "each fuzzer is a program of its own and uses one target")]

#[path = "../../envoy/demo/src/event_stream.rs"]
mod frames;
#[path = "websocket.rs"]
mod frames_of_websockets;
#[path = "session.rs"]
mod sessions;

use std::fmt::Write;
use std::rc::Rc;

pub use frames_of_websockets::websocket;
pub use sessions::session;

use gaugeway::budget::Budget;
use gaugeway::bytes::Base64;
use gaugeway::config::{CacheAttribute, Config};
use gaugeway::exchange::{End, Exchange, Head, Observer};
use gaugeway::json::{Documents, Ended, Program, Rule, Scalar, Scanner, Validator, close, open, raw, scalar, text};
use gaugeway::rpc::{OPERATIONS, RpcExchange, RpcOperation, RpcPrograms};
use gaugeway::sink::attributes::ATTRIBUTES;
use gaugeway::sink::stats::{Metric, Registry, Stats};
use serde_json::Value;

/// Name and function of a target.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("json", json),
    ("validator", validator),
    ("request", request),
    ("sse", sse),
    ("event_stream", event_stream),
    ("encoding", encoding),
    ("multipart", multipart),
    ("base64", base64),
    ("configuration", configuration),
    ("exchange", exchange),
    ("websocket", websocket),
    ("session", session),
    ("json_rpc", json_rpc),
];

/// The pieces of an input's body, and the body. None if the input is empty.
fn pieces(data: &[u8]) -> Option<(impl Iterator<Item = &[u8]> + Clone, &[u8])> {
    let (size, body) = data.split_first()?;
    Some((body.chunks(usize::from(*size).max(1)), body))
}

type Log = Vec<String>;

/// Adds an entry.
fn note(log: &mut Log, entry: std::fmt::Arguments<'_>) {
    log.push(entry.to_string());
}

/// Adds a piece of a text or raw value. An empty piece starts a new entry, further pieces extend it.
fn note_piece(log: &mut Log, name: &str, piece: &[u8]) {
    if piece.is_empty() {
        return log.push(name.to_owned());
    }
    let last = log.last_mut().filter(|last| last.starts_with(name)).expect("the first piece of a value is empty");
    piece.iter().for_each(|byte| write!(last, " {byte:02x}").unwrap());
}

const RULES: &[Rule<Log>] = &[
    scalar("a", |log, value: Scalar<'_>| note(log, format_args!("a {value:?}"))),
    scalar("model", |log, value: Scalar<'_>| note(log, format_args!("model {value:?}"))),
    scalar("usage.*", |log, value: Scalar<'_>| note(log, format_args!("usage {value:?}"))),
    text("choices[].delta.content", |log, piece: &[u8]| note_piece(log, "content", piece)),
    open("choices[]", |log, at| note(log, format_args!("choice {at}"))),
    close("choices[]", |log| note(log, format_args!("choice ended"))),
    raw("raw", |log, piece: &[u8]| note_piece(log, "raw", piece)),
];

/// The scanner. It must report a complete document if `serde_json` accepts an object.
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

/// The validator. It must accept the documents that `serde_json` accepts, within its limits.
pub fn validator(data: &[u8]) {
    let Some((pieces, body)) = pieces(data) else { return };
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut validator = Validator::default();
        pieces.for_each(|piece| validator.feed(piece));
        validator.is_whole()
    };
    let whole = read(&mut [body].into_iter());
    assert_eq!(read(&mut pieces.clone()), whole);
    let Ok(body) = std::str::from_utf8(body) else { return };
    let is_valid = serde_json::from_str::<Box<serde_json::value::RawValue>>(body).is_ok();
    // Its limits are 32 levels and words of 32 bytes.
    let is_deep = body.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > 32;
    let has_long_word =
        body.split(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).any(|word| word.len() > 32);
    assert!(whole == is_valid || !whole && (is_deep || has_long_word), "{} and {is_valid}", whole);
}

/// The base64 decoder.
pub fn base64(data: &[u8]) {
    let Some((pieces, body)) = pieces(data) else { return };
    let decode = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut decoder, mut out) = (Base64::default(), Vec::new());
        decoder.decode(b"");
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            decoder.decode(piece);
            let taken = decoder.take_decoded();
            out.extend_from_slice(&taken);
            decoder.reuse_buffer(taken);
        }
        decoder.finish();
        [out, decoder.take_decoded()].concat()
    };
    let whole = decode(&mut [body].into_iter());
    assert_eq!(decode(&mut pieces.clone()), whole);
    assert!(whole.len() <= body.len() * 3 / 4 + 1);
}

/// Request bodies of several APIs. Which texts are deferred depends on the cuts; the observation must not.
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
        let observe = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut exchange = begin(path, &[]);
            pieces.for_each(|piece| exchange.request_body(piece));
            exchange.finish(End::Whole, 1);
            observation(&exchange)
        };
        assert_eq!(observe(&mut pieces.clone()), observe(&mut [body].into_iter()), "{path}");
    }
}

/// Responses with server-sent events.
pub fn sse(data: &[u8]) {
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/messages"] {
        assert_same_at_any_cut(data, path, &[("content-type", "text/event-stream")]);
    }
}

/// AWS event streams. If the input is text, its lines become valid frames, because random bytes never have valid
/// checksums.
pub fn event_stream(data: &[u8]) {
    let text = data.get(1..).and_then(|text| std::str::from_utf8(text).ok());
    let lines = text.unwrap_or_default().lines().filter(|line| line.contains(' '));
    let framed = lines.flat_map(|line| frames::frames(line).concat());
    let framed: Vec<u8> = data.first().copied().into_iter().chain(framed).collect();
    let data = if framed.len() > 1 { &framed } else { data };
    let kind = [("content-type", "application/vnd.amazon.eventstream")];
    assert_same_at_any_cut(data, "/model/amazon.nova-lite-v1:0/converse-stream", &kind);
    assert_same_at_any_cut(data, "/model/anthropic.claude-3-haiku-20240307-v1:0/invoke-with-response-stream", &kind);
}

/// Responses with content encodings.
pub fn encoding(data: &[u8]) {
    for name in ["gzip", "deflate", "br", "zstd"] {
        assert_same_at_any_cut(
            data,
            "/v1/chat/completions",
            &[("content-type", "text/event-stream"), ("content-encoding", name)],
        );
    }
}

/// Multipart request bodies.
pub fn multipart(data: &[u8]) {
    let Some((pieces, body)) = pieces(data) else { return };
    let form = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let head = [("content-type", "multipart/form-data; boundary=\"b\"")];
        let mut exchange = begin("/v1/audio/transcriptions", &head);
        pieces.for_each(|piece| exchange.request_body(piece));
        exchange.finish(End::Whole, 1);
        observation(&exchange)
    };
    assert_eq!(form(&mut pieces.clone()), form(&mut [body].into_iter()));
}

/// The parser of the configuration. The whole input is the configuration.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text) {
        Ok(config) => drop(Observer::new(config)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Asserts that the observation of a response is the same in pieces and as a whole.
fn assert_same_at_any_cut(data: &[u8], path: &str, head: &[(&str, &str)]) {
    let Some((pieces, body)) = pieces(data) else { return };
    let observe = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut exchange = begin(path, &[]);
        exchange.request_end(1);
        exchange.response(Head(&heads(&[&[(":status", "200")], head].concat())), 1);
        pieces.for_each(|piece| exchange.response_body(piece, 1));
        exchange.finish(End::Whole, 1);
        observation(&exchange)
    };
    let (cut, whole) = (observe(&mut pieces.clone()), observe(&mut [body].into_iter()));
    // How much a decoder decodes before it finds an error depends on the cuts.
    if !whole.contains("encoding") {
        assert_eq!(cut, whole);
    }
}

/// Starts an exchange with a request to this path.
fn begin(path: &str, head: &[(&str, &str)]) -> Exchange {
    let head = [&[(":method", "POST"), (":authority", "llm"), (":path", path)], head].concat();
    OBSERVER.with(|observer| Exchange::start(observer, Head(&heads(&head)), 1)).expect("the path is an API path")
}

fn heads<'a>(head: &'a [(&'a str, &'a str)]) -> Vec<(&'a [u8], &'a [u8])> {
    head.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

/// All fields of the observation, as text.
fn observation(exchange: &Exchange) -> String {
    let mut all = String::new();
    for attribute in ATTRIBUTES {
        if let Some(value) = attribute.value(exchange.observation(), CacheAttribute::Both) {
            write!(all, "{}=", attribute.name).unwrap();
            value.write(&mut all);
            all.push('\n');
        }
    }
    write!(all, "{:?}", exchange.observation().agent).unwrap();
    all
}

thread_local! {
    static OBSERVER: Rc<Observer> = Rc::new(Observer::new(Config::parse(DETECTING).expect("a valid configuration")));
}

const DETECTING: &str =
    r#"{"apis": [{"path": "/gateway/", "api": "detect"}], "labels": {"headers": {"x-team": "team"}}}"#;

/// Separates the commands of a script.
pub const NEXT: &str = "\n%";

/// Runs a script through one exchange. A command is a letter followed by bytes.
///
/// | letter | bytes |
/// |---|---|
/// | `h` | a header of the next head: `name: value` |
/// | `>` | starts the request with the headers so far; the bytes are its path |
/// | `q`, `Q` | `q`: bytes of the request's body; `Q`: its end |
/// | `<` | starts the response with the headers so far; the bytes are its status |
/// | `s`, `S` | `s`: bytes of the response's body; `S`: its end, with Envoy's response code details |
/// | `l` | no provider gives the answer |
/// | `t` | lets time pass: the bytes are a number of nanoseconds |
pub fn exchange(data: &[u8]) {
    let mut head: Vec<(&[u8], &[u8])> = vec![(b":method", b"POST"), (b":path", b"/mcp")];
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
            (b'l', Some(exchange)) => exchange.answered_locally(),
            (b's', Some(exchange)) => exchange.response_body(bytes, now),
            (b'S', Some(exchange)) => {
                let status = exchange.observation().response.status;
                exchange.finish(End::from_details(text, status), now);
                ended.get_or_insert_with(|| observation(exchange));
            }
            _ => {}
        }
        if let Some(exchange) = &mut exchange {
            exchange.changes();
        }
    }
    let Some(mut exchange) = exchange else { return };
    exchange.finish(End::ClientDisconnect, now);
    let last = observation(&exchange);
    assert!(ended.is_none_or(|ended| ended == last), "data after the end changed the observation");
    let config = OBSERVER.with(|observer| observer.config.clone());
    Stats::default().record(exchange.observation(), &config, &mut NameChecker);
}

/// Messages of MCP or A2A: a request and, after [`NEXT`], its response. The bits of the size of the pieces choose the form: bit 0 a stream of
/// events, bit 1 A2A, bit 2 A2A without JSON-RPC.
pub fn json_rpc(data: &[u8]) {
    let Some((size, bodies)) = data.split_first() else { return };
    let bodies = commands(bodies);
    let (request, response) = (bodies[0], bodies.get(1).copied().unwrap_or_default());
    let kind = if size % 2 == 1 { b"text/event-stream".as_slice() } else { b"application/json" };
    let (is_a2a, is_rest) = (size & 2 != 0, size & 4 != 0);
    thread_local! {
        static PROGRAMS: Rc<RpcPrograms> = Rc::new(RpcPrograms::compile());
    }
    let read = |size: usize| -> Vec<RpcOperation> {
        let header: (&[u8], &[u8]) = if is_a2a { (b"a2a-version", b"1.0") } else { (b"mcp-session-id", b"s") };
        let path: &[u8] = if is_rest { b"/message:stream" } else { b"/rpc" };
        let head = [(b":method".as_slice(), b"POST".as_slice()), (b":path", path), header];
        let budget = Rc::new(Budget::new(1 << 20));
        let exchange = PROGRAMS.with(|programs| RpcExchange::start(programs, &budget, Head(&head), false, 0, 1));
        let mut exchange = exchange.expect("the budget has room");
        request.chunks(size).for_each(|piece| exchange.request_body(piece));
        exchange.request_end();
        exchange.response(Head(&[(b":status", b"200"), (b"content-type", kind)]));
        response.chunks(size).for_each(|piece| exchange.response_body(piece, 2));
        exchange.finish("", 2);
        exchange.operations().to_vec()
    };
    let whole = read(usize::MAX);
    assert_eq!(read(usize::from(*size).max(1)), whole);
    assert!(whole.len() <= OPERATIONS && whole.iter().all(|operation| operation.end == Some(2)));
    if is_rest {
        return assert_eq!(whole.len(), 1);
    }
    let is_request =
        |message: &&Value| message["method"].is_string() && (message["id"].is_string() || message["id"].is_number());
    let most = match serde_json::from_slice(request) {
        Ok(Value::Array(messages)) => messages.iter().filter(is_request).count(),
        Ok(message) => usize::from(is_request(&&message)),
        Err(_) => return,
    };
    assert!(whole.len() <= most, "{whole:?}");
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

/// Checks the labels of every series: a value has at most 128 bytes and no control characters.
struct NameChecker;

impl Registry for NameChecker {
    fn define(&mut self, metric: &Metric, labels: &[(&str, &str)]) -> Option<u32> {
        let metric = metric.name;
        for (name, value) in labels {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{metric} {name:?}"
            );
            let is_clean = !value.is_empty() && value.len() <= 128 && !value.contains(char::is_control);
            assert!(is_clean, "{metric} {name}={value:?}");
        }
        Some(1)
    }

    fn emit(&mut self, _: &Metric, _: u32, _: u64) {}
}
