//! Compares the core with the oracle, an independent reader of the wire formats. Both must agree with the fixtures, and
//! with each other on every rewriting of the bytes.

use crate::oracle::fixture::{self, Fixture};
use crate::oracle::mutate::mutations;
use crate::oracle::{COVERED, Exchange, Map, differences, observe};
use crate::support::core::{Wire, observer, pass, timeless};
use gaugeway::exchange::End;

#[test]
fn the_oracle_agrees_with_every_fixture() {
    let mut wrong = Vec::new();
    for fixture in fixture::all() {
        let found = observe(&fixture.exchange).unwrap_or_default();
        let unlike = differences(&fixture.observation, &found, COVERED);
        wrong.extend(unlike.into_iter().map(|line| format!("{}: {line}", fixture.name)));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_core_reads_rewritten_bytes_like_the_original() {
    let before = |fixture: &Fixture, _: &Exchange| observe(&fixture.exchange);
    let after = |mutated: &Exchange| observe(mutated);
    agree(before, after, &["same:", "twice:"]);
}

#[test]
fn the_core_agrees_with_the_oracle() {
    let shared = observer();
    let extract = |exchange: &Exchange| {
        let wire = Wire {
            method: &exchange.method,
            host: &exchange.host,
            path: &exchange.path,
            request_headers: &exchange.request_headers,
            request: exchange.request_body.chunks(1000).collect(),
            status: exchange.status,
            response_headers: &exchange.response_headers,
            response: exchange.response_body.chunks(100).collect(),
        };
        let exchange = pass(&shared, &wire, End::Whole).filter(|exchange| exchange.is_recognised());
        exchange.map(|exchange| timeless(exchange.observation()))
    };
    agree(|_, mutated| observe(mutated), extract, &["same:", "less:"]);
}

/// Fails with every key in which two readings differ, over all mutations of all fixtures whose label starts with one of
/// `kinds`.
fn agree(
    expected: impl Fn(&Fixture, &Exchange) -> Option<Map>,
    found: impl Fn(&Exchange) -> Option<Map>,
    kinds: &[&str],
) {
    let (mut compared, mut wrong) = (0, Vec::new());
    for fixture in fixture::all() {
        // The seed depends only on the fixture's name, so adding a fixture does not change the mutations of others.
        let seed = fixture
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        for (label, exchange) in mutations(&fixture.exchange, seed) {
            if kinds.iter().any(|kind| label.starts_with(kind)) {
                compared += 1;
                let (expected, found) = (expected(&fixture, &exchange), found(&exchange));
                let unlike = differences(&expected.unwrap_or_default(), &found.unwrap_or_default(), COVERED);
                wrong.extend(unlike.into_iter().map(|line| format!("{} ({label}): {line}", fixture.name)));
            }
        }
    }
    assert!(compared > 0, "no mutation was made: check that tests/fixtures exists");
    assert!(wrong.is_empty(), "{} differences in {compared} exchanges:\n{}", wrong.len(), wrong.join("\n"));
}
