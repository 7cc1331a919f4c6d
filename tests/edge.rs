//! The package for JavaScript where it is used: Node, Deno and workerd, each as a proxy between a client and an upstream. What it
//! tells is what the fixtures' observations say, whatever the bytes' way.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use support::client;
use support::core::TIMING;
use support::edge::{Edge, Runtime};
use support::fixtures::Fixture;
use support::upstream::Upstream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_node_every_fixture_comes_to_its_observation_and_its_bytes_arrive() {
    replay(Runtime::Node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_deno_every_fixture_comes_to_its_observation_and_its_bytes_arrive() {
    replay(Runtime::Deno).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_workerd_every_fixture_comes_to_its_observation_and_its_bytes_arrive() {
    replay(Runtime::Workerd).await;
}

/// Sends every fixture whole and in pieces.
async fn replay(runtime: Runtime) {
    let fixtures = Fixture::all();
    assert!(fixtures.len() > 100, "only {} fixtures", fixtures.len());
    let upstream = Upstream::start(fixtures.clone()).await;
    let edge = Arc::new(Edge::start(runtime, upstream.addr, json!({})).await);
    let places = Arc::new(Semaphore::new(8));
    let mut calls = JoinSet::new();
    for fixture in fixtures {
        for travel in ["whole", "cut=7"] {
            let (edge, fixture) = (Arc::clone(&edge), fixture.clone());
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            calls.spawn(async move {
                let found = call(&edge, &fixture, travel).await;
                drop(place);
                found.into_iter().map(|fault| format!("{} {travel}: {fault}", fixture.id)).collect::<Vec<_>>()
            });
        }
    }
    let mut faults = calls.join_all().await.concat();
    faults.extend(edge.errors());
    faults.sort();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

async fn call(edge: &Edge, fixture: &Fixture, travel: &str) -> Vec<String> {
    let id = client::request_id();
    let reply = client::replay(edge.addr, fixture, &[("x-request-id", &id), ("x-upstream", travel)]).await;
    let mut faults = Vec::new();
    if (reply.status, &reply.body) != (fixture.response.status, &fixture.response.body) || reply.broken.is_some() {
        faults.push(format!("the response changed on its way: {} {:?}", reply.status, reply.broken));
    }
    if fixture.observation.is_empty() {
        return faults;
    }
    match edge.told(&id, PATIENCE).await {
        Some(told) => faults.extend(differences(&fixture.observation, told["observation"].as_object().unwrap())),
        None => faults.push("nothing was told".to_owned()),
    }
    faults
}

/// The keys in which two observations differ, one a line. JSON has one kind of number.
fn differences(expected: &Map<String, Value>, seen: &Map<String, Value>) -> Vec<String> {
    let mut keys: Vec<_> = expected.keys().chain(seen.keys()).filter(|key| !TIMING.contains(&key.as_str())).collect();
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
