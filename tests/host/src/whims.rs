//! The plugin as it ships on a host that does what it likes within the ABI: refuses any call with any status, cuts bodies,
//! and calls back in any order. It must never trap, never hold or change the traffic, and forget the streams that are gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::dice::Dice;
use crate::host::{CONTINUE, Host};
use crate::host_calls::{Headers, UNIMPLEMENTED};
use gaugeway_demo::fixtures::Fixture;
use serde_json::Value;
use wasmtime::ExternType;

#[test]
fn the_plugin_asks_for_and_offers_what_it_did() {
    let function = |kind: ExternType| kind.func().is_some();
    let mut imports: Vec<_> = crate::host::plugin().imports().map(|i| format!("{}.{}", i.module(), i.name())).collect();
    let mut exports: Vec<_> =
        crate::host::plugin().exports().filter(|e| function(e.ty())).map(|e| e.name().to_owned()).collect();
    imports.sort();
    exports.sort();
    assert_eq!(imports, SERVED.split_whitespace().map(|name| format!("env.{name}")).collect::<Vec<_>>());
    assert_eq!(exports, EXPORTS.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn a_host_that_serves_every_call_gets_every_observation() {
    let mut host = Host::new("").unwrap();
    agrees(&mut host, 1000);
    assert_eq!(host.state().touched, [""; 0]);
}

#[test]
fn a_host_that_lacks_any_one_call_still_passes_all_traffic() {
    for lacking in SERVED.split_whitespace().filter(|name| *name != "proxy_get_buffer_bytes") {
        let refuse = move |name: &str| (name == lacking).then_some(UNIMPLEMENTED);
        let mut host = Host::refusing("", Box::new(refuse)).unwrap_or_else(|error| panic!("{lacking}: {error:?}"));
        for fixture in Fixture::all() {
            host.pass(&fixture, 1000).unwrap_or_else(|error| panic!("{lacking}: {}: {error:?}", fixture.id));
        }
        assert_eq!(host.state().touched, [""; 0], "{lacking}");
    }
}

#[test]
fn no_host_makes_it_trap_or_touch_the_traffic_in_a_hundred_thousand_exchanges() {
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
            // The old root's streams go on.
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
    assert!(host.memory() <= early + 65_536, "memory grew from {early} to {} bytes in the second half", host.memory());

    // It is as well as at the start.
    temper.lock().unwrap().one_in = 0;
    temper.lock().unwrap().only = None;
    host.state().share = 100;
    host.configure("").unwrap();
    agrees(&mut host, 100);
}

/// How the host refuses at the moment.
struct Temper {
    dice: Dice,
    /// Refuses once in so many calls; 0 never.
    one_in: usize,
    /// And this call always.
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
        let status = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 255, u32::MAX][self.dice.below(15)];
        refuses.then_some(status)
    }
}

/// An exchange on its way.
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
        // An upstream filter never logs.
        let logs = dice.rarely(2);
        Self { id, fixture, request, response, asked: Progress::None, answered: Progress::None, logs }
    }

    /// The next callback; false once the stream is deleted.
    fn step(&mut self, host: &mut Host, dice: &mut Dice) -> wasmtime::Result<bool> {
        let over = self.asked == Progress::Whole && self.answered == Progress::Whole;
        if over || dice.rarely(40) {
            if self.logs {
                host.log(self.id)?;
            }
            return host.delete(self.id).map(|_| false);
        }
        // A response may come before its request has ended, or where there was none.
        let answers = self.asked == Progress::Whole || dice.rarely(20);
        let action = if answers && self.answered != Progress::Whole {
            self.answer(host, dice)?
        } else if self.asked != Progress::Whole {
            self.ask(host, dice)?
        } else {
            CONTINUE
        };
        assert_eq!(action, CONTINUE, "{}: held", self.fixture.id);
        Ok(true)
    }

    fn ask(&mut self, host: &mut Host, dice: &mut Dice) -> wasmtime::Result<u32> {
        if self.asked == Progress::None {
            let end = dice.rarely(30);
            self.asked = if end { Progress::Whole } else { Progress::Headers };
            return host.request_headers(self.id, twisted(crate::host::request_head(&self.fixture), dice), end);
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
            return host.response_headers(self.id, twisted(crate::host::response_head(&self.fixture), dice), end);
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
    assert!(host.body() == piece, "a body was changed");
    Ok(action)
}

/// The body's next bytes, and whether it ends there.
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

/// Headers as a client may send them: some lost, said twice, or no text.
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

/// Every fixture comes to its observation.
fn agrees(host: &mut Host, piece: usize) {
    for fixture in Fixture::all() {
        let written = host.pass(&fixture, piece).unwrap_or_else(|error| panic!("{}: {error:?}", fixture.id));
        // Times, and the mark that the listener's plugin reports this exchange.
        let timing = ["gen_ai.response.time_to_first_chunk", "gaugeway.time_to_first_token", "gaugeway.listener"];
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

/// Alike however numbers and the JSON in strings are written.
fn same(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Number(number)) => number.as_f64().into(),
        Ok(list @ Value::Array(_)) => list,
        _ => text.into(),
    }
}

/// The calls the plugin makes.
const SERVED: &str = "
    proxy_continue_stream proxy_define_metric proxy_get_buffer_bytes proxy_get_current_time_nanoseconds
    proxy_get_header_map_pairs proxy_get_header_map_value proxy_get_property proxy_get_shared_data
    proxy_http_call proxy_increment_metric proxy_log proxy_record_metric proxy_remove_header_map_value
    proxy_replace_header_map_value proxy_send_local_response proxy_set_buffer_bytes proxy_set_effective_context proxy_set_property
    proxy_set_shared_data proxy_set_tick_period_milliseconds";

const EXPORTS: &str = "
    _initialize malloc proxy_abi_version_0_2_1 proxy_on_configure proxy_on_context_create proxy_on_delete
    proxy_on_http_call_response proxy_on_log proxy_on_request_body proxy_on_request_headers
    proxy_on_request_trailers proxy_on_response_body proxy_on_response_headers proxy_on_response_trailers
    proxy_on_tick proxy_on_vm_start";
