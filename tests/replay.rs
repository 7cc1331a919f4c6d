//! Every fixture through the core: whole, at every cut, and in random pieces, always to the observation it names.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code
)]

#[path = "support/core.rs"]
mod core;
#[path = "support/event_stream.rs"]
mod event_stream;
#[path = "support/fixtures.rs"]
mod fixtures;

use crate::core::{Wire, observer, pass, timeless};
use fixtures::Fixture;
use gaugeway::exchange::{End, Observer};
use serde_json::{Map, Value};
use std::rc::Rc;

fn observe(
    observer: &Rc<Observer>,
    fixture: &Fixture,
    request: Vec<&[u8]>,
    response: Vec<&[u8]>,
) -> Map<String, Value> {
    let wire = Wire {
        method: &fixture.request.method,
        host: fixture.request.header("host").unwrap_or_default(),
        path: &fixture.request.path,
        request_headers: &fixture.request.headers,
        request,
        status: fixture.response.status,
        response_headers: &fixture.response.headers,
        response,
    };
    pass(observer, &wire, End::Whole).map(|exchange| timeless(exchange.observation())).unwrap_or_default()
}

/// The keys in which two observations differ, one a line.
fn differences(expected: &Map<String, Value>, seen: &Map<String, Value>) -> Vec<String> {
    let mut keys: Vec<_> = expected.keys().chain(seen.keys()).collect();
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

#[test]
fn every_fixture_whole_comes_to_its_observation() {
    let observer = observer();
    let mut wrong = Vec::new();
    let fixtures = Fixture::all();
    assert!(fixtures.len() > 100, "only {} fixtures", fixtures.len());
    for fixture in fixtures {
        let seen = observe(&observer, &fixture, vec![&fixture.request.body], vec![&fixture.response.body]);
        wrong
            .extend(differences(&fixture.observation, &seen).into_iter().map(|line| format!("{}: {line}", fixture.id)));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_single_cut_changes_what_is_seen() {
    let observer = observer();
    for fixture in Fixture::all() {
        let (request, response) = (&fixture.request.body, &fixture.response.body);
        let whole = observe(&observer, &fixture, vec![request], vec![response]);
        for cut in 0..=request.len().max(response.len()) {
            let (a, b) = request.split_at(cut.min(request.len()));
            let (c, d) = response.split_at(cut.min(response.len()));
            let seen = observe(&observer, &fixture, vec![a, b], vec![c, d]);
            assert_eq!(whole, seen, "{} cut at {cut}", fixture.id);
        }
    }
}

#[test]
fn pieces_of_any_size_change_nothing() {
    let observer = observer();
    for fixture in Fixture::all() {
        let (request, response) = (&fixture.request.body, &fixture.response.body);
        let whole = observe(&observer, &fixture, vec![request], vec![response]);
        for size in [1, 2, 3, 5, 7, 16, 64, 255, 256, 257] {
            let seen = observe(&observer, &fixture, request.chunks(size).collect(), response.chunks(size).collect());
            assert_eq!(whole, seen, "{} in pieces of {size}", fixture.id);
        }
    }
}
