//! The JavaScript package in Node.js, Deno and workerd, each as a proxy between a client and an upstream. The
//! observations must be those of the fixtures, however the bytes are cut.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::client::{self, Raw};
use crate::support::core::differences;
use crate::support::edge::{self, Edge, Runtime};
use crate::support::fixtures::Fixture;
use crate::support::upstream::Upstream;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_node_every_fixture_gives_its_observation_and_arrives_unchanged() {
    replay(Runtime::Node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_deno_every_fixture_gives_its_observation_and_arrives_unchanged() {
    replay(Runtime::Deno).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_workerd_every_fixture_gives_its_observation_and_arrives_unchanged() {
    replay(Runtime::Workerd).await;
}

#[tokio::test]
async fn requests_with_every_type_of_body_are_observed() {
    let folder = edge::laid_out();
    let mut node = Command::new(std::env::var("GAUGEWAY_NODE").unwrap());
    let output = node.arg("--test").arg(folder.join("bodies.mjs")).output().await.unwrap();
    drop(fs::remove_dir_all(&folder));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Sends every fixture whole and in pieces.
async fn replay(runtime: Runtime) {
    let fixtures = Fixture::all();
    assert!(fixtures.len() > 100, "only {} fixtures were found", fixtures.len());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_disconnects_and_upstream_resets_are_reported_and_exported() {
    let stream = Fixture::load("openai-chat/stream-include-usage");
    let upstream = Upstream::start(Fixture::all()).await;
    for runtime in Runtime::ALL {
        let collected = format!("collected-{runtime:?}");
        let headers = json!({"x-request-id": collected, "x-fixture": "openai-chat/unary"});
        let collector = json!({"endpoint": format!("http://{}", upstream.addr), "headers": headers});
        let edge = Edge::start(runtime, upstream.addr, json!({"collector": collector})).await;

        let id = client::request_id();
        let mut gone = Raw::send(
            edge.addr,
            &client::raw_request(&stream, &[("x-request-id", id.as_bytes()), ("x-upstream", b"gap=300")]),
        )
        .await
        .unwrap();
        assert!(gone.read_until(b"data:").await.unwrap(), "{runtime:?} does not stream the response");
        gone.reset().unwrap();
        let told = edge
            .told(&id, PATIENCE)
            .await
            .unwrap_or_else(|| panic!("{runtime:?} printed no observation: {:?}", edge.errors()));
        assert_eq!(told["observation"]["gaugeway.outcome"], "client_disconnect", "{runtime:?}");
        let mut exported = Vec::new();
        for _ in 0..2 {
            let one = upstream.take_request(&collected, PATIENCE).await;
            let one = one.unwrap_or_else(|| panic!("{runtime:?} exported nothing: {:?}", edge.errors()));
            exported.push((one.path, serde_json::from_slice::<Value>(&one.body).unwrap()));
        }
        exported.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(exported[0].0, "/v1/metrics");
        let counted = &exported[0].1["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        assert!(counted.as_array().unwrap().iter().any(|one| one["name"] == "gaugeway_requests_total"), "{counted}");
        let span = &exported[1].1["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!((&span["name"], &span["status"]["code"]), (&json!("chat gpt-4o-mini"), &json!(2)), "{span}");
        let attribute = json!({"key": "gaugeway.outcome", "value": {"stringValue": "client_disconnect"}});
        assert!(span["attributes"].as_array().unwrap().contains(&attribute), "{span}");

        let id = client::request_id();
        let reply =
            client::replay(edge.addr, &stream, &[("x-request-id", &id), ("x-upstream", "reset-after=300")]).await;
        assert!(reply.broken.is_some(), "{runtime:?} does not pass on that the upstream broke off");
        let told = edge
            .told(&id, PATIENCE)
            .await
            .unwrap_or_else(|| panic!("{runtime:?} printed no observation: {:?}", edge.errors()));
        assert_eq!(told["observation"]["gaugeway.outcome"], "upstream_reset", "{runtime:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_usage_after_64_mib_is_read_in_constant_memory() {
    let upstream = Upstream::start(Fixture::all()).await;
    for runtime in Runtime::ALL {
        let edge = Edge::start(runtime, upstream.addr, json!({})).await;
        let mut held = Vec::new();
        // The allocator takes its last page from the runtime after some calls, whatever their size.
        for size in ["big=100000", "big=100000", "big=67108864", "big=67108864"] {
            for case in ["openai-chat/unary", "openai-responses/stream-text"] {
                let id = client::request_id();
                let fixture = Fixture::load(case);
                let reply = client::replay(edge.addr, &fixture, &[("x-request-id", &id), ("x-upstream", size)]).await;
                assert!(
                    reply.broken.is_none() && reply.body.len() > 100_000,
                    "{runtime:?} {case} {size}: {:?}",
                    reply.broken
                );
                let told = edge
                    .told(&id, PATIENCE)
                    .await
                    .unwrap_or_else(|| panic!("{runtime:?} printed no observation of {case}"));
                let seen = &told["observation"];
                assert_eq!(seen["gen_ai.usage.output_tokens"], 22, "{runtime:?} {case} {size}: {seen}");
            }
            let wasm = client::get(edge.addr, "/memory").await.unwrap().body;
            held.push((String::from_utf8(wasm.to_vec()).unwrap().parse::<u64>().unwrap(), edge.resident()));
        }
        let [_, (small, _), (large, before), (_, after)] = held[..] else { panic!("four sizes must have been sent") };
        assert_eq!(small, large, "the memory of the core grew in {runtime:?}");
        // The runtime may collect garbage late, but the 128 MiB that were sent must not stay in memory.
        assert!(after < before + (64 << 10), "{runtime:?} grew from {before} to {after} KiB");
    }
}

async fn call(edge: &Edge, fixture: &Fixture, travel: &str) -> Vec<String> {
    let id = client::request_id();
    let reply = client::replay(edge.addr, fixture, &[("x-request-id", &id), ("x-upstream", travel)]).await;
    let mut faults = Vec::new();
    if (reply.status, &reply.body) != (fixture.response.status, &fixture.response.body) || reply.broken.is_some() {
        faults.push(format!("the response was changed: {} {:?}", reply.status, reply.broken));
    }
    if fixture.observation.is_empty() {
        return faults;
    }
    match edge.told(&id, PATIENCE).await {
        Some(told) => faults.extend(differences(&fixture.observation, told["observation"].as_object().unwrap())),
        None => faults.push("no observation was printed".to_owned()),
    }
    faults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_worker_adds_the_cost_header_to_whole_answers_and_passes_streams() {
    let upstream = Upstream::start(Fixture::all()).await;
    let folder = edge::project();
    let worker = Path::new(env!("CARGO_MANIFEST_DIR")).join("edge/worker/src");
    fs::copy(worker.join("index.js"), folder.join("index.js")).unwrap();
    let routes = format!("export const routes = {{openai: {{upstream: 'http://{}'}}}};", upstream.addr);
    fs::write(folder.join("routes.js"), routes).unwrap();
    let script = r#"
        import worker from './index.js';
        const points = [], waited = [];
        const context = {waitUntil: promise => waited.push(promise)};
        const env = {LLM_CALLS: {writeDataPoint: point => points.push(point)}};
        const answers = [];
        for (const fixture of ['openai-chat/unary', 'openai-chat/stream-include-usage']) {
          const headers = {'content-type': 'application/json', 'x-fixture': fixture};
          const init = {method: 'POST', headers, body: '{"model":"gpt-4o-mini","messages":[]}'};
          const request = new Request('http://localhost/openai/v1/chat/completions', init);
          const response = await worker.fetch(request, env, context);
          await response.text();
          answers.push({status: response.status, cost: response.headers.get('x-llm-cost-usd')});
        }
        const unknown = await worker.fetch(new Request('http://localhost/constructor/v1'), env, context);
        await Promise.all(waited);
        console.log(JSON.stringify({answers, points, unknown: unknown.status}));
    "#;
    fs::write(folder.join("script.js"), script).unwrap();
    let output =
        Command::new(std::env::var("GAUGEWAY_NODE").unwrap()).arg(folder.join("script.js")).output().await.unwrap();
    drop(fs::remove_dir_all(&folder));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [unary, stream, told] = &lines[..] else { panic!("{lines:?}") };
    let cost: f64 = told["answers"][0]["cost"].as_str().unwrap().parse().unwrap();
    assert_eq!(Some(cost), unary["gaugeway.cost.usd"].as_f64());
    assert_eq!((&told["answers"][1]["cost"], &told["unknown"]), (&Value::Null, &json!(404)), "{told}");
    assert_eq!((&unary["route"], &stream["gaugeway.outcome"]), (&json!("openai"), &json!("completed")));
    assert_eq!(told["points"][1]["doubles"][5], stream["gaugeway.cost.usd"]);
    assert_eq!(told["points"][0]["blobs"][0], "chat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_worker_as_uploaded_by_wrangler_runs_in_workerd() {
    let upstream = Upstream::start(Fixture::all()).await;
    let worker = Edge::deployed(upstream.addr).await;
    for (name, is_stream) in [("openai-chat/unary", false), ("openai-chat/stream-include-usage", true)] {
        let mut fixture = Fixture::load(name);
        fixture.request.path = format!("/openai{}", fixture.request.path);
        let reply = client::replay(worker.addr, &fixture, &[]).await;
        assert_eq!((reply.status, &reply.body, reply.broken), (200, &fixture.response.body, None), "{name}");
        let cost = &fixture.observation["gaugeway.cost.usd"];
        let said = reply.headers.get("x-llm-cost-usd").map(|value| value.to_str().unwrap().parse::<f64>().unwrap());
        assert_eq!(said, if is_stream { None } else { cost.as_f64() }, "{name}");
        let id = &fixture.observation["gen_ai.response.id"];
        let fits = |line: &Value| (&line["gen_ai.response.id"] == id).then(|| line.clone());
        let told = worker
            .wait_for(PATIENCE, fits)
            .await
            .unwrap_or_else(|| panic!("the Worker logged no observation of {name}"));
        assert_eq!((&told["route"], &told["gaugeway.cost.usd"]), (&json!("openai"), cost), "{name}");
    }
}
