//! The built plugin in a host that refuses calls, cuts bodies and invokes callbacks in any order. Calls that the plugin
//! declares itself are refused with any status, calls of the SDK with the statuses that Envoy returns. The plugin must
//! never trap, never pause or change the traffic, and must free deleted streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::dice::Dice;
use crate::host::{self, CONTINUE, Host};
use crate::host_calls::{Headers, UNIMPLEMENTED, statuses};
use gaugeway_demo::fixtures::Fixture;
use serde_json::Value;
use wasmtime::ExternType;

#[test]
fn the_plugin_exports_the_sdk_callbacks_and_imports_every_call_it_makes() {
    let function = |kind: ExternType| kind.func().is_some();
    let mut exports: Vec<_> =
        host::plugin().exports().filter(|e| function(e.ty())).map(|e| e.name().to_owned()).collect();
    exports.sort();
    assert_eq!(exports, EXPORTS.split_whitespace().collect::<Vec<_>>());
    let imports: Vec<_> = host::plugin().imports().map(|i| i.name().to_owned()).collect();
    let missing: Vec<_> = SERVED.split_whitespace().filter(|name| !imports.iter().any(|i| i == name)).collect();
    assert_eq!(missing, [""; 0], "the plugin does not import calls of SERVED; tests/imports.py has the whole list");
}

#[test]
fn a_callback_for_an_unknown_context_traps_and_logs_one_line() {
    let mut host = Host::new("").unwrap();
    assert_eq!(host.state().log, [""; 0]);
    assert!(host.log(4711).is_err());
    let [line] = host.state().log.as_slice() else { panic!("{:?}", host.state().log) };
    assert!(line.starts_with("gaugeway: panicked at "), "{line}");
    assert!(line.contains("dispatcher.rs:") && line.ends_with("invalid context_id"), "{line}");
}

#[test]
fn a_log_line_has_no_control_characters_and_at_most_500_characters() {
    for key in ["\\n\\u0000\\u001b[0m\\r\\u0085 next", &"\u{e9}".repeat(2000)] {
        let error = Host::new(&format!("{{\"{key}\": 1}}")).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("gaugeway: ") && error.chars().count() > 20, "{error}");
        assert!(!error.chars().any(char::is_control) && error.chars().count() <= 500, "{error}");
    }
}

#[test]
fn a_host_that_serves_every_call_gets_every_observation() {
    let mut host = Host::new("").unwrap();
    agrees(&mut host, 1000);
    assert_eq!(host.state().touched, [""; 0]);
}

#[test]
fn a_host_without_any_one_call_still_passes_all_traffic() {
    for lacking in SERVED.split_whitespace().filter(|name| statuses(name).contains(&UNIMPLEMENTED)) {
        let refuse = move |name: &str| (name == lacking).then_some(UNIMPLEMENTED);
        let mut host = Host::refusing("", Box::new(refuse)).unwrap_or_else(|error| panic!("{lacking}: {error:?}"));
        for fixture in Fixture::all() {
            host.pass(&fixture, 1000).unwrap_or_else(|error| panic!("{lacking}: {}: {error:?}", fixture.id));
        }
        assert_eq!(host.state().touched, [""; 0], "{lacking}");
    }
}

#[test]
fn a_hundred_thousand_exchanges_on_a_refusing_host_never_trap_or_change_traffic() {
    const EXCHANGES: usize = 100_000;
    let fixtures = Fixture::all();
    let temper = Arc::new(Mutex::new(Temper { dice: Dice::new(1), one_in: 0, only: None }));
    let own = Arc::clone(&temper);
    let mut host = Host::refusing("", Box::new(move |name| own.lock().unwrap().refuses(name))).unwrap();
    let mut dice = Dice::new(2);
    let mut open: Vec<Travelling> = Vec::new();
    let (mut begun, mut early) = (0, 0);
    while begun < EXCHANGES || !open.is_empty() {
        temper.lock().unwrap().change(&mut dice);
        host.state().share = if dice.rarely(4) { dice.below(101) } else { 100 };
        if dice.rarely(2000) {
            // The streams of the old root context continue.
            let _ = host.configure(if dice.rarely(3) { "{\"labels\": {}}" } else { "" });
        }
        if dice.rarely(500) {
            host.tick().unwrap();
        }
        if begun < EXCHANGES && open.len() < 8 {
            open.push(Travelling::new(host.open().unwrap(), &fixtures, &mut dice));
            begun += 1;
        }
        let at = dice.below(open.len());
        let fixture = open[at].fixture.id.clone();
        match open[at].step(&mut host, &mut dice) {
            Ok(true) => {}
            Ok(false) => drop(open.swap_remove(at)),
            Err(error) => panic!("{fixture}, exchange {begun}: {error:?}"),
        }
        if begun == EXCHANGES / 2 && early == 0 {
            early = host.memory();
        }
    }
    assert_eq!(host.state().touched, [""; 0]);
    // The lists of the whole VM fill slowly. In 300,000 exchanges they took three pages more than after the first 50,000.
    assert!(
        host.memory() <= early + 3 * 65_536,
        "the guest's memory grew from {early} to {} bytes in the second half",
        host.memory()
    );

    // The host serves every call again, and the plugin must work as at the start.
    temper.lock().unwrap().one_in = 0;
    temper.lock().unwrap().only = None;
    host.state().share = 100;
    host.configure("").unwrap();
    agrees(&mut host, 100);
}

/// The current refusals of the host.
struct Temper {
    dice: Dice,
    /// Refuses one in this many calls; 0 refuses none.
    one_in: usize,
    /// Refuses this call always.
    only: Option<&'static str>,
}

impl Temper {
    fn change(&mut self, dice: &mut Dice) {
        if dice.rarely(40) {
            self.one_in = [0, 0, 50, 5, 2, 1][dice.below(6)];
            self.only = dice.rarely(3).then(|| dice.pick(&SERVED.split_whitespace().collect::<Vec<_>>()));
        }
    }

    fn refuses(&mut self, name: &str) -> Option<u32> {
        let refuses = self.only == Some(name) || self.one_in > 0 && self.dice.rarely(self.one_in);
        let statuses = statuses(name);
        (refuses && !statuses.is_empty()).then(|| statuses[self.dice.below(statuses.len())])
    }
}

/// An exchange in progress.
struct Travelling {
    id: u32,
    fixture: Fixture,
    request: Vec<u8>,
    response: Vec<u8>,
    asked: Progress,
    answered: Progress,
    logs: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Progress {
    None,
    Headers,
    Whole,
}

impl Travelling {
    fn new(id: u32, fixtures: &[Fixture], dice: &mut Dice) -> Self {
        let fixture = fixtures[dice.below(fixtures.len())].clone();
        let other = &fixtures[dice.below(fixtures.len())];
        let (mut request, mut response) = (fixture.request.body.to_vec(), fixture.response.body.to_vec());
        if dice.rarely(10) {
            response = other.response.body.to_vec();
        }
        for body in [&mut request, &mut response] {
            if dice.rarely(3) {
                spoil(body, dice);
            }
        }
        // An upstream filter gets no log callback.
        let logs = dice.rarely(2);
        Self { id, fixture, request, response, asked: Progress::None, answered: Progress::None, logs }
    }

    /// Invokes the next callback. Returns false once the stream is deleted.
    fn step(&mut self, host: &mut Host, dice: &mut Dice) -> wasmtime::Result<bool> {
        let over = self.asked == Progress::Whole && self.answered == Progress::Whole;
        if over || dice.rarely(40) {
            if self.logs {
                host.log(self.id)?;
            }
            return host.delete(self.id).map(|_| false);
        }
        // A response may start before the request has ended, or without a request.
        let answers = self.asked == Progress::Whole || dice.rarely(20);
        let action = if answers && self.answered != Progress::Whole {
            self.answer(host, dice)?
        } else if self.asked != Progress::Whole {
            self.ask(host, dice)?
        } else {
            CONTINUE
        };
        assert_eq!(action, CONTINUE, "{}: the plugin paused the stream", self.fixture.id);
        Ok(true)
    }

    fn ask(&mut self, host: &mut Host, dice: &mut Dice) -> wasmtime::Result<u32> {
        if self.asked == Progress::None {
            let end = dice.rarely(30);
            self.asked = if end { Progress::Whole } else { Progress::Headers };
            return host.request_headers(self.id, twisted(host::request_head(&self.fixture), dice), end);
        }
        let (piece, end) = piece(&mut self.request, dice);
        if end {
            self.asked = Progress::Whole;
        }
        if end && piece.is_empty() && dice.rarely(3) {
            return host.request_trailers(self.id);
        }
        untouched(host.request_body(self.id, &piece, end)?, host, &piece)
    }

    fn answer(&mut self, host: &mut Host, dice: &mut Dice) -> wasmtime::Result<u32> {
        if self.answered == Progress::None {
            let end = dice.rarely(30);
            self.answered = if end { Progress::Whole } else { Progress::Headers };
            return host.response_headers(self.id, twisted(host::response_head(&self.fixture), dice), end);
        }
        let (piece, end) = piece(&mut self.response, dice);
        if end {
            self.answered = Progress::Whole;
        }
        if end && piece.is_empty() && dice.rarely(3) {
            return host.response_trailers(self.id);
        }
        untouched(host.response_body(self.id, &piece, end)?, host, &piece)
    }
}

fn untouched(action: u32, host: &mut Host, piece: &[u8]) -> wasmtime::Result<u32> {
    assert!(host.body() == piece, "the plugin changed a body");
    Ok(action)
}

/// The next bytes of the body, and whether they are the last.
fn piece(body: &mut Vec<u8>, dice: &mut Dice) -> (Vec<u8>, bool) {
    let most = [0, 1, 7, 100, 2000, 100_000][dice.below(6)];
    let rest = body.split_off(most.min(body.len()));
    let piece = std::mem::replace(body, rest);
    let end = body.is_empty() && dice.rarely(2);
    (piece, end)
}

fn spoil(body: &mut Vec<u8>, dice: &mut Dice) {
    const BITS: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"\"",
        b"\\ud800",
        b"\n\n",
        b"data: ",
        b"-1",
        b"1e999",
        b"\xff",
        b"\0",
        b"18446744073709551615",
    ];
    for _ in 0..=dice.below(4) {
        let at = dice.below(body.len() + 1);
        match dice.below(3) {
            0 => body.truncate(at),
            1 => drop(body.splice(at..at, dice.pick(BITS).iter().copied())),
            _ if at < body.len() => body[at] = dice.below(256) as u8,
            _ => {}
        }
    }
}

/// Headers as a client may send them: some missing, repeated or not valid UTF-8.
fn twisted(mut headers: Headers, dice: &mut Dice) -> Headers {
    if dice.rarely(8) {
        let at = dice.below(headers.len());
        match dice.below(3) {
            0 => drop(headers.remove(at)),
            1 => headers[at].1.extend(b"\xff\0\xc3("),
            _ => {
                let twice = headers[at].clone();
                headers.push(twice);
            }
        }
    }
    headers
}

/// Checks that every fixture gives its observation. Each has a caller of its own: none continues the run or the conversation of an earlier
/// exchange.
fn agrees(host: &mut Host, piece: usize) {
    for mut fixture in Fixture::all().into_iter().filter(Fixture::counts_each_time) {
        fixture.request.headers.push(("x-auth-token".to_owned(), fixture.id.clone()));
        let written = host.pass(&fixture, piece).unwrap_or_else(|error| panic!("{}: {error:?}", fixture.id));
        // Times, and the marker that the listener's plugin reports this exchange.
        let timing = [
            "gen_ai.response.time_to_first_chunk",
            "gaugeway.time_to_first_token",
            "gaugeway.response.chunk_gap.max",
            "gaugeway.listener",
        ];
        let seen: BTreeMap<_, _> = written
            .into_iter()
            .filter(|(name, _)| !timing.contains(&name.as_str()))
            .map(|(name, value)| (name, same(&value)))
            .collect();
        let expected: BTreeMap<_, _> = fixture
            .observation
            .iter()
            .map(|(name, value)| (name.clone(), same(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))))
            .collect();
        assert_eq!(seen, expected, "{}", fixture.id);
    }
}

/// Normalises numbers and JSON in strings, so that different spellings compare equal.
pub fn same(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Number(number)) => number.as_f64().into(),
        Ok(list @ Value::Array(_)) => list,
        _ => text.into(),
    }
}

/// The calls that the plugin makes.
const SERVED: &str = "
    proxy_call_foreign_function proxy_continue_stream proxy_define_metric proxy_get_buffer_bytes proxy_get_current_time_nanoseconds
    proxy_get_header_map_pairs proxy_get_header_map_value proxy_get_property proxy_get_shared_data
    proxy_http_call proxy_increment_metric proxy_log proxy_record_metric proxy_remove_header_map_value
    proxy_replace_header_map_value proxy_send_local_response proxy_set_buffer_bytes proxy_set_effective_context proxy_set_property
    proxy_set_shared_data proxy_set_tick_period_milliseconds";

const EXPORTS: &str = "
    _initialize malloc proxy_abi_version_0_2_1 proxy_on_configure proxy_on_context_create proxy_on_delete proxy_on_done
    proxy_on_downstream_connection_close proxy_on_downstream_data proxy_on_foreign_function proxy_on_grpc_close
    proxy_on_grpc_receive proxy_on_grpc_receive_initial_metadata proxy_on_grpc_receive_trailing_metadata
    proxy_on_http_call_response proxy_on_log proxy_on_new_connection proxy_on_queue_ready proxy_on_request_body
    proxy_on_request_headers proxy_on_request_trailers proxy_on_response_body proxy_on_response_headers
    proxy_on_response_trailers proxy_on_tick proxy_on_upstream_connection_close proxy_on_upstream_data proxy_on_vm_start";
