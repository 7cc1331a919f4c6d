//! `stream_usage.inject` on a host that refuses calls at random. A request is sent unchanged or completely changed,
//! with the right length. The client gets the whole response except what the change added.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::dice::Dice;
use crate::host::{CONTINUE, Host};
use crate::host_calls::{Headers, statuses};
use gaugeway::usage_injection::request_usage;
use gaugeway_demo::fixtures::Fixture;
use serde_json::Value;

const CONFIGURATION: &str = r#"{"stream_usage": {"inject": true}}"#;
const EXCHANGES: usize = 10_000;

#[test]
fn a_host_that_refuses_calls_at_random_never_sends_a_half_changed_request() {
    let fixtures = streams();
    let temper = Arc::new(Mutex::new(Temper { dice: Dice::new(3), one_in: 0, only: None, settled: false }));
    let own = Arc::clone(&temper);
    let mut host = Host::refusing(CONFIGURATION, Box::new(move |name| own.lock().unwrap().refuses(name))).unwrap();
    let mut dice = Dice::new(4);
    let mut seen = BTreeMap::<&str, usize>::new();
    for number in 0..EXCHANGES {
        let fixture = &fixtures[dice.below(fixtures.len())];
        temper.lock().unwrap().change(&mut dice);
        host.state().share = if dice.rarely(6) { dice.below(101) } else { 100 };
        if dice.rarely(5) {
            // A new configuration resets what the plugin has learned about the host.
            let _ = host.configure(CONFIGURATION);
        }
        let mut call = Call { host: &mut host, temper: &temper, dice: &mut dice, fixture };
        let words = call.pass().unwrap_or_else(|error| panic!("{}, exchange {number}: {error:?}", fixture.id));
        for word in words {
            *seen.entry(word).or_default() += 1;
        }
    }
    for word in ["request changed", "request unchanged", "usage removed", "response unchanged", "released early"] {
        // Only a host that has not shown yet that it can hold headers has requests released.
        let least = if word == "released early" { 30 } else { 100 };
        assert!(seen.get(word).is_some_and(|count| *count > least), "{word} happened too rarely: {seen:?}");
    }

    // The host serves every call again, and the plugin must work as at the start.
    (temper.lock().unwrap().one_in, temper.lock().unwrap().only) = (0, None);
    host.state().share = 100;
    host.configure(CONFIGURATION).unwrap();
    for fixture in fixtures.iter().filter(|fixture| request_usage(&fixture.request.body).is_some()) {
        let mut dice = Dice::new(5);
        let mut call = Call { host: &mut host, temper: &temper, dice: &mut dice, fixture };
        assert!(call.pass().unwrap().contains(&"request changed"), "{}", fixture.id);
    }
}

/// Every fixture of a stream for which usage can be requested, changed so that its client did not request it.
fn streams() -> Vec<Fixture> {
    let mut streams: Vec<_> =
        Fixture::all().into_iter().filter(|f| ["openai-chat", "openai-completions"].contains(&f.api())).collect();
    for fixture in &mut streams {
        let text = String::from_utf8(fixture.request.body.to_vec()).unwrap();
        fixture.request.body = text.replace(r#","stream_options":{"include_usage":true}"#, "").into();
    }
    assert!(streams.iter().filter(|fixture| request_usage(&fixture.request.body).is_some()).count() > 15);
    streams
}

/// The current refusals of the host.
struct Temper {
    dice: Dice,
    one_in: usize,
    only: Option<&'static str>,
    /// The host has changed a piece of this response, so it changes the others too. If it stopped in the middle, no
    /// result could be required.
    settled: bool,
}

impl Temper {
    fn change(&mut self, dice: &mut Dice) {
        const CALLS: &[&str] = &[
            "proxy_replace_header_map_value",
            "proxy_remove_header_map_value",
            "proxy_set_buffer_bytes",
            "proxy_get_buffer_bytes",
            "proxy_get_header_map_pairs",
            "proxy_get_current_time_nanoseconds",
            "proxy_set_effective_context",
        ];
        self.settled = false;
        self.one_in = [0, 0, 50, 9, 3, 2][dice.below(6)];
        self.only = dice.rarely(4).then(|| dice.pick(CALLS));
    }

    fn refuses(&mut self, name: &str) -> Option<u32> {
        let refuses = self.only == Some(name) || self.one_in > 0 && self.dice.rarely(self.one_in);
        let settled = self.settled && name == "proxy_set_buffer_bytes";
        let statuses = statuses(name);
        (refuses && !settled && !statuses.is_empty()).then(|| statuses[self.dice.below(statuses.len())])
    }
}

/// An exchange in progress. The host collects held data as Envoy does.
struct Call<'a> {
    host: &'a mut Host,
    temper: &'a Mutex<Temper>,
    dice: &'a mut Dice,
    fixture: &'a Fixture,
}

impl Call<'_> {
    fn pass(&mut self) -> wasmtime::Result<Vec<&'static str>> {
        let id = self.host.open()?;
        let mut words = self.ask(id)?;
        words.push(self.answer(id)?);
        for _ in 0..self.dice.below(3) {
            self.host.log(id)?;
        }
        self.host.delete(id)?;
        Ok(words)
    }

    fn ask(&mut self, id: u32) -> wasmtime::Result<Vec<&'static str>> {
        let (body, mut words) = (self.fixture.request.body.to_vec(), Vec::new());
        let mut head = crate::host::request_head(self.fixture);
        head.retain(|(name, _)| name != b"content-length");
        head.push((b"accept-encoding".to_vec(), b"gzip, br".to_vec()));
        head.push((b"content-length".to_vec(), body.len().to_string().into_bytes()));
        let mut held = self.host.request_headers(id, head.clone(), false)? != CONTINUE;
        if held && self.dice.rarely(3) {
            // The client is slow, or the host keeps the body back, for one second.
            let headers: usize = head.iter().map(|(name, value)| name.len() + value.len()).sum();
            let come = if self.dice.rarely(2) { body.len() } else { 0 };
            let size = ((headers + come) as u64).to_le_bytes().to_vec();
            let stream = self.host.state().streams.get_mut(&id).unwrap();
            stream.properties.insert(b"request\0total_size".to_vec(), size);
            self.host.state().clock += 1_000_000_000;
            self.host.tick()?;
            if self.host.state().resumed.contains(&id) {
                words.push("released early");
                held = false;
            }
        }
        let (mut sent, mut gathered) = (Vec::new(), Vec::new());
        let trailers = self.dice.rarely(6);
        for (piece, last) in pieces(&body, self.dice) {
            gathered.extend(piece);
            let action = self.host.request_body(id, &gathered, last && !trailers)?;
            let left = self.host.body();
            if action == CONTINUE {
                held = false;
                sent.extend(left);
                gathered.clear();
            } else {
                assert!(
                    held && (!last || trailers),
                    "{}: the plugin held the request after its headers or its end",
                    self.fixture.id
                );
                assert!(left == gathered, "{}: the plugin changed the body while it held the request", self.fixture.id);
            }
            self.host.state().streams.get_mut(&id).unwrap().held = held;
        }
        if trailers {
            assert_eq!(self.host.request_trailers(id)?, CONTINUE, "{}", self.fixture.id);
            sent.extend(gathered);
        }

        let asked = sent != body;
        assert!(
            !asked || Some(&sent) == request_usage(&body).as_ref(),
            "{}: the sent body is neither the original nor the changed one: {}",
            self.fixture.id,
            sent.escape_ascii()
        );
        let went = self.host.state().streams[&id].request.clone();
        let length = sent.len().to_string().into_bytes();
        assert!(values(&went, "content-length").iter().all(|told| *told == length), "{}", self.fixture.id);
        assert!(values(&went, "content-length").len() <= 1);
        assert!([b"gzip, br".to_vec(), b"identity".to_vec()].contains(&values(&went, "accept-encoding").concat()));
        let others = |headers: &Headers| -> Vec<_> {
            let mine: [&[u8]; 2] = [b"content-length", b"accept-encoding"];
            headers.iter().filter(|(name, _)| !mine.contains(&name.as_slice())).cloned().collect()
        };
        assert_eq!(others(&went), others(&head), "{}", self.fixture.id);
        words.push(if asked { "request changed" } else { "request unchanged" });
        Ok(words)
    }

    fn answer(&mut self, id: u32) -> wasmtime::Result<&'static str> {
        let body = self.fixture.response.body.to_vec();
        let mut head = crate::host::response_head(self.fixture);
        head.retain(|(name, _)| name != b"content-length");
        if self.dice.rarely(2) {
            head.push((b"content-length".to_vec(), body.len().to_string().into_bytes()));
        }
        assert_eq!(self.host.response_headers(id, head, false)?, CONTINUE);
        let mut out = Vec::new();
        for (piece, last) in pieces(&body, self.dice) {
            assert_eq!(self.host.response_body(id, &piece, last)?, CONTINUE);
            let left = self.host.body();
            self.temper.lock().unwrap().settled |= left != piece;
            out.extend(left);
        }
        let went = &self.host.state().streams[&id].response;
        let length = out.len().to_string().into_bytes();
        assert!(values(went, "content-length").iter().all(|told| *told == length), "{}", self.fixture.id);
        let of_events = values(went, "content-type").concat().starts_with(b"text/event-stream");
        assert!(out == body || of_events, "{}: a response that is not a stream was changed", self.fixture.id);
        let (out_events, events) = (unasked(&out), unasked(&body));
        assert_eq!(out_events, events, "{}: an event was lost or added", self.fixture.id);
        Ok(if out == body { "response unchanged" } else { "usage removed" })
    }
}

fn values(headers: &Headers, name: &str) -> Vec<Vec<u8>> {
    headers.iter().filter(|(key, _)| key == name.as_bytes()).map(|(_, value)| value.clone()).collect()
}

/// The body in random pieces, the last one marked. The last piece is sometimes empty.
fn pieces(mut body: &[u8], dice: &mut Dice) -> Vec<(Vec<u8>, bool)> {
    let mut pieces = Vec::new();
    let most = [1, 30, 200, 2000, usize::MAX][dice.below(5)];
    // Limits the number of callbacks per body.
    let most = most.max(body.len() / 60).min(body.len());
    while !body.is_empty() {
        let (piece, rest) = body.split_at((1 + dice.below(most)).min(body.len()));
        pieces.push((piece.to_vec(), rest.is_empty()));
        body = rest;
    }
    if dice.rarely(3) || pieces.is_empty() {
        pieces.iter_mut().for_each(|(_, last)| *last = false);
        pieces.push((Vec::new(), true));
    }
    pieces
}

/// The lines of a body without what the usage request adds: chunks with only usage, and `usage: null`.
fn unasked(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let lines = text.split(['\n', '\r']).filter(|line| !line.is_empty());
    let kept = lines.filter_map(|line| {
        let Some(mut chunk) = line.strip_prefix("data:").and_then(|json| serde_json::from_str::<Value>(json).ok())
        else {
            return Some(line.to_owned());
        };
        if chunk["choices"].as_array().is_some_and(Vec::is_empty) && chunk["usage"].is_object() {
            return None;
        }
        if let Some(members) = chunk.as_object_mut().filter(|members| members.get("usage") == Some(&Value::Null)) {
            members.remove("usage");
        }
        Some(chunk.to_string())
    });
    kept.collect()
}
