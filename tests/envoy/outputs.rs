//! The settings `attributes` and `labels.route` in a real Envoy: what its access log and its statistics get of a call.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::client;
use crate::support::core::{TIMING, differences};
use crate::support::envoy::{Envoy, Options};
use crate::support::expect;
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use serde_json::{Map, Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// The replacement that adds the line of `envoy/README.md` with the packed attributes to the access log.
pub fn logging_packed() -> (String, String) {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/README.md")).unwrap();
    let line = manual.lines().find(|line| line.contains("%FILTER_STATE(wasm.gaugeway.packed:PLAIN)%")).unwrap().trim();
    let method = "                  method: \"%REQ(:METHOD)%\"\n";
    (method.to_owned(), format!("{method}                  {line}\n"))
}

/// The packed attributes in a line of the access log.
pub fn packed(entry: &Value) -> Option<Map<String, Value>> {
    let text = entry.get("gaugeway").and_then(Value::as_str)?;
    Some(serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// The lines of the access log for every twelfth fixture, with this value of the setting.
async fn logged(attributes: Value) -> Vec<(Fixture, Value)> {
    let fixtures: Vec<_> =
        Fixture::all().into_iter().filter(|fixture| !fixture.observation.is_empty()).step_by(12).collect();
    let upstream = Upstream::start(fixtures.clone()).await;
    let config = json!({"attributes": attributes});
    let options = Options { config, replace: vec![logging_packed()], ..Options::to(upstream.addr) };
    let envoy = Envoy::start(&options).await;
    let mut lines = Vec::new();
    for fixture in fixtures {
        let id = client::request_id();
        client::replay(envoy.addr, &fixture, &[("x-request-id", &id)]).await;
        let entry = envoy.entry(&id, PATIENCE).await.unwrap_or_else(|| panic!("{}: no line", fixture.id));
        lines.push((fixture, entry));
    }
    assert!(lines.len() > 20);
    lines
}

/// The attributes of a line that are not packed.
fn single(entry: &Value) -> Vec<&String> {
    let all = entry.as_object().unwrap().iter();
    all.filter(|(key, value)| expect::is_ours(key) && !value.is_null()).map(|(key, _)| key).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packed_attributes_are_one_value_of_the_access_log_with_their_types() {
    for (fixture, entry) in logged(json!("packed")).await {
        let packed = packed(&entry).unwrap_or_else(|| panic!("{}: {entry}", fixture.id));
        let differ = differences(&fixture.observation, &packed);
        assert!(differ.is_empty(), "{}: {differ:#?}", fixture.id);
        assert!(packed.iter().all(|(key, value)| !TIMING.contains(&key.as_str()) || value.is_f64()), "{packed:?}");
        assert_eq!(single(&entry), [""; 0], "{}", fixture.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_attributes_of_a_list_are_in_the_access_log() {
    let names = ["gaugeway.outcome", "gen_ai.usage.input_tokens"];
    for (fixture, entry) in logged(json!(names)).await {
        let wanted: Vec<_> = names.into_iter().filter(|name| fixture.observation.contains_key(*name)).collect();
        assert_eq!(single(&entry), wanted, "{}", fixture.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_setting_for_the_route_no_series_has_its_label() {
    let fixture = Fixture::load("openai-chat/unary");
    let upstream = Upstream::start(vec![fixture.clone()]).await;
    for (config, label) in [(json!({}), Some("llm")), (json!({"labels": {"route": false}}), None)] {
        let envoy = Envoy::start(&Options { config, ..Options::to(upstream.addr) }).await;
        client::replay(envoy.addr, &fixture, &[]).await;
        let counted = |samples: &[Sample]| total(samples, "gaugeway_requests_total", &[]) >= 1.0;
        let samples = envoy.samples_when(counted, PATIENCE).await;
        let of_call: Vec<_> = samples.iter().filter(|sample| sample.name == "gaugeway_requests_total").collect();
        assert_eq!(of_call.len(), 1, "{of_call:?}");
        assert_eq!(of_call[0].labels.get("route").map(String::as_str), label, "{of_call:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_attributes_the_access_log_has_nothing_of_the_plugin() {
    for (fixture, entry) in logged(json!(false)).await {
        assert_eq!((single(&entry), packed(&entry)), (Vec::new(), None), "{}", fixture.id);
    }
}
