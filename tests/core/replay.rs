//! Runs every fixture through the core whole, cut at every byte and in random pieces. The result must always be its
//! `observation.json`.

use crate::support::core::{Wire, differences, observer, pass_at, timeless};
use crate::support::fixtures::Fixture;
use gaugeway::exchange::{End, Exchange, Observer};
use serde_json::{Map, Value};
use std::rc::Rc;

fn observe(
    observer: &Rc<Observer>,
    fixture: &Fixture,
    request: Vec<&[u8]>,
    response: Vec<&[u8]>,
) -> Map<String, Value> {
    observe_at(1_000, observer, fixture, request, response)
}

fn observe_at(
    now: u64,
    observer: &Rc<Observer>,
    fixture: &Fixture,
    request: Vec<&[u8]>,
    response: Vec<&[u8]>,
) -> Map<String, Value> {
    let wire = Wire { request, response, ..Wire::of(fixture) };
    let exchange = pass_at(observer, &wire, End::Whole, now).filter(Exchange::is_recognised);
    exchange.map(|exchange| timeless(exchange.observation())).unwrap_or_default()
}

#[test]
fn every_whole_fixture_gives_its_observation() {
    let observer = observer();
    let mut wrong = Vec::new();
    let fixtures = Fixture::all();
    assert!(fixtures.len() > 100, "only {} fixtures were found", fixtures.len());
    for fixture in fixtures {
        let seen = observe(&observer, &fixture, vec![&fixture.request.body], vec![&fixture.response.body]);
        wrong
            .extend(differences(&fixture.observation, &seen).into_iter().map(|line| format!("{}: {line}", fixture.id)));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

const HOUR: u64 = 3_600_000_000_000;
const YEAR: u64 = 365 * 24 * HOUR;

/// Some prices depend on the day and the hour. A fixture must not use such a price, because tests with a real clock
/// would pass or fail depending on the time of day.
#[test]
fn no_fixtures_observation_depends_on_the_date_or_hour() {
    let observer = observer();
    let mut wrong = Vec::new();
    for fixture in Fixture::all() {
        let timeless = observe(&observer, &fixture, vec![&fixture.request.body], vec![&fixture.response.body]);
        for now in (0..24).map(|hour| 56 * YEAR + hour * HOUR + HOUR / 2).chain([100 * YEAR]) {
            let seen = observe_at(now, &observer, &fixture, vec![&fixture.request.body], vec![&fixture.response.body]);
            let hour = now / HOUR;
            let differ = differences(&timeless, &seen);
            wrong.extend(differ.into_iter().map(|line| format!("{} {hour} h after the epoch: {line}", fixture.id)));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_cost_depends_on_the_hour_of_the_call_and_the_tier_in_a_header() {
    let observer = observer();
    let cost = |id: &str, model: &str, tier: Option<&str>, now: u64| {
        let mut fixture = Fixture::load(id);
        let priced = fixture.observation["gen_ai.response.model"].as_str().unwrap().to_owned();
        fixture.request.path = fixture.request.path.replace(&priced, model);
        let answer = String::from_utf8(fixture.response.body.to_vec()).unwrap().replace(&priced, model);
        let tier = tier.map(|tier| ("x-gemini-service-tier".to_owned(), tier.to_owned()));
        fixture.response.headers.extend(tier);
        let seen = observe_at(now, &observer, &fixture, vec![&fixture.request.body], vec![answer.as_bytes()]);
        seen["gaugeway.cost.usd"].as_f64().unwrap()
    };
    let deepseek = |hour| {
        cost("openai-chat/deepseek-unary-blank-line-keep-alive", "deepseek-v4-flash", None, 56 * YEAR + hour * HOUR)
    };
    assert_eq!([0, 1, 4, 6, 10].map(deepseek), [0.0000024, 0.0000048, 0.0000024, 0.0000048, 0.0000024]);
    let speech = |tier| cost("gemini-generate/speech", "gemini-3.8-flash-tts", tier, 56 * YEAR);
    assert_eq!([None, Some("flex"), Some("priority")].map(speech), [0.0005185, 0.00025925, 0.0009333]);
}

#[test]
fn no_single_cut_of_the_bodies_changes_the_observation() {
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
fn pieces_of_any_size_give_the_same_observation() {
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
