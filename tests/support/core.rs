//! Runs an exchange through the core as a shell does, with the bodies cut as given, and returns the observation as
//! JSON.

use std::rc::Rc;

use gaugeway::bytes::Ranges;
use gaugeway::config::{CacheAttribute, Config};
use gaugeway::exchange::{End, Exchange, Head, Observer};
use gaugeway::observation::Observation;
use gaugeway::sink::attributes::{ATTRIBUTES, Attribute, AttributeValue};
use serde_json::{Map, Value, json};

use super::fixtures::Fixture;

/// Attributes that depend on the clock.
pub const TIMING: &[&str] = &["gen_ai.response.time_to_first_chunk", "gaugeway.time_to_first_token"];
/// An attribute that depends on the clock and on how a stream arrives: one that arrives at once has no gap.
pub const GAP: &str = "gaugeway.response.chunk_gap.max";

/// An exchange as it is sent over the network.
pub struct Wire<'a> {
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    pub request_headers: &'a [(String, String)],
    pub request: Vec<&'a [u8]>,
    pub status: u16,
    pub response_headers: &'a [(String, String)],
    pub response: Vec<&'a [u8]>,
}

impl<'a> Wire<'a> {
    /// The exchange of a fixture. Each body is one piece.
    pub fn of(fixture: &'a Fixture) -> Self {
        Wire {
            method: &fixture.request.method,
            host: fixture.request.header("host").unwrap_or_default(),
            path: &fixture.request.path,
            request_headers: &fixture.request.headers,
            request: vec![&fixture.request.body],
            status: fixture.response.status,
            response_headers: &fixture.response.headers,
            response: vec![&fixture.response.body],
        }
    }
}

pub fn observer() -> Rc<Observer> {
    Rc::new(Observer::new(Config::parse("").unwrap()))
}

/// Runs the exchange, one nanosecond between pieces. Returns None if it is not LLM traffic.
pub fn pass(observer: &Rc<Observer>, wire: &Wire<'_>, end: End) -> Option<Exchange> {
    pass_at(observer, wire, end, 1_000)
}

/// Like [`pass`], starting `now` nanoseconds after the epoch.
pub fn pass_at(observer: &Rc<Observer>, wire: &Wire<'_>, end: End, mut now: u64) -> Option<Exchange> {
    let status = wire.status.to_string();
    let mut head = vec![(":method", wire.method), (":scheme", "http"), (":authority", wire.host), (":path", wire.path)];
    head.extend(wire.request_headers.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    let mut exchange = Exchange::start(observer, Head(&bytes(&head)), now)?;
    for piece in &wire.request {
        exchange.request_body(piece);
    }
    exchange.request_end(now);
    let mut head = vec![(":status", status.as_str())];
    head.extend(wire.response_headers.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    exchange.response(Head(&bytes(&head)), now);
    // Nobody has counted the file before.
    if let Some(wanted) = exchange.wanted_range() {
        exchange.grant(&Ranges::of([wanted.range]), false);
    }
    for piece in &wire.response {
        now += 1;
        exchange.response_body(piece, now);
    }
    exchange.finish(end, now + 1);
    Some(exchange)
}

/// Every attribute that is present, with its JSON type.
pub fn attributes(seen: &Observation) -> Map<String, Value> {
    let typed = |row: &Attribute| {
        let attribute = row.value(seen, CacheAttribute::default())?;
        let mut text = String::new();
        attribute.write(&mut text);
        let value = match attribute {
            AttributeValue::Text(_) | AttributeValue::Hash(_) | AttributeValue::ParseErrors(_) => json!(text),
            _ => serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {text}: {error}", row.name)),
        };
        Some((row.name.to_owned(), value))
    };
    ATTRIBUTES.iter().filter_map(typed).collect()
}

/// [`attributes`] without those that depend on the clock.
pub fn timeless(seen: &Observation) -> Map<String, Value> {
    let mut all = attributes(seen);
    all.retain(|name, _| !depends_on_clock(name));
    all
}

/// Lists the keys in which two observations differ, except those that depend on the clock. JSON does not distinguish
/// integers from real numbers.
pub fn differences(expected: &Map<String, Value>, seen: &Map<String, Value>) -> Vec<String> {
    let mut keys: Vec<_> = expected.keys().chain(seen.keys()).filter(|key| !depends_on_clock(key)).collect();
    keys.sort();
    keys.dedup();
    let same = |a: Option<&Value>, b: Option<&Value>| match (a.and_then(Value::as_f64), b.and_then(Value::as_f64)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    };
    keys.iter()
        .filter(|key| !same(expected.get(**key), seen.get(**key)))
        .map(|key| format!("{key}: expected {:?}, saw {:?}", expected.get(*key), seen.get(*key)))
        .collect()
}

fn depends_on_clock(name: &str) -> bool {
    TIMING.contains(&name) || name == GAP
}

fn bytes<'a>(head: &'a [(&'a str, &'a str)]) -> Vec<(&'a [u8], &'a [u8])> {
    head.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}
