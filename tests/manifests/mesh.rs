//! The manifests for Istio and Envoy Gateway: they are valid, as complete as envoy/envoy.yaml, and work in a real
//! Envoy.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::manifests::{documents, path, resource, resource_errors};
use crate::support::mesh::{self, Places};
use crate::support::otlp::{Receiver, Span};
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

const PATIENCE: Duration = Duration::from_secs(20);

const MANIFESTS: [&str; 7] = [
    "envoy/istio/wasmplugin.yaml",
    "envoy/istio/trafficextension.yaml",
    "envoy/istio/telemetry.yaml",
    "envoy/istio/envoyfilter.yaml",
    "envoy/envoy-gateway/envoyextensionpolicy.yaml",
    "envoy/envoy-gateway/envoyproxy.yaml",
    "envoy/envoy-gateway/envoypatchpolicy.yaml",
];

#[test]
fn every_manifest_is_valid_against_its_schema() {
    let folder = Folder::new("schemas");
    for manifest in MANIFESTS {
        assert_eq!(resource_errors(&path(manifest)), "");
        // Adds an unknown member to the innermost object that forbids unknown members.
        let text = fs::read_to_string(path(manifest)).unwrap();
        let inside =
            ["pluginName", "rootID", "randomSamplingPercentage", "operation: MERGE", "samplingRate", "operation:"];
        let key = inside.into_iter().find(|key| text.contains(key)).unwrap();
        let wrong = folder.0.join("wrong.yaml");
        fs::write(&wrong, text.replacen(key, &key.replacen(key.split(':').next().unwrap(), "unheardOf", 1), 1))
            .unwrap();
        let errors = resource_errors(&wrong);
        assert!(errors.contains("'unheardOf' was unexpected"), "{manifest}: {errors}");
    }
}

#[test]
fn the_manifests_have_every_attribute_label_and_bucket_of_envoy_yaml() {
    let envoy = &documents("envoy/envoy.yaml")[0];
    let manager = &envoy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let tags =
        object(manager["tracing"]["custom_tags"].as_array().unwrap().iter().map(|tag| (&tag["tag"], &tag["value"])));
    let log = &manager["access_log"][0]["typed_config"]["log_format"]["json_format"];

    let telemetry = resource("envoy/istio/telemetry.yaml", "Telemetry");
    let formatters = telemetry["spec"]["tracing"][0]["customTags"].as_object().unwrap().iter();
    let istio: Map<_, _> = formatters.map(|(tag, how)| (tag.clone(), how["formatter"]["value"].clone())).collect();
    same("telemetry.yaml", &istio, &tags);
    let proxy = &resource("envoy/envoy-gateway/envoyproxy.yaml", "EnvoyProxy")["spec"];
    same("envoyproxy.yaml", proxy["telemetry"]["tracing"]["tags"].as_object().unwrap(), &tags);

    let log = log.as_object().unwrap();
    let mesh = &documents("envoy/istio/mesh.yaml")[0]["meshConfig"]["extensionProviders"][1];
    same("mesh.yaml", mesh["envoyFileAccessLog"]["logFormat"]["labels"].as_object().unwrap(), log);
    same("envoyproxy.yaml", proxy["telemetry"]["accessLog"]["settings"][0]["format"]["json"].as_object().unwrap(), log);

    let stats = &envoy["stats_config"];
    let folder = Folder::new("bootstrap");
    let file = folder.0.join("bootstrap.yaml");
    fs::write(&file, proxy["bootstrap"]["value"].as_str().unwrap()).unwrap();
    let bootstrap = documents(file.to_str().unwrap());
    let names = |stats: &Value| -> Vec<_> {
        stats["stats_tags"].as_array().unwrap().iter().map(|tag| text(&tag["tag_name"])).collect()
    };
    assert_eq!(
        names(&bootstrap[0]["stats_config"]),
        names(stats),
        "stats_tags of envoyproxy.yaml's bootstrap (left) must be those of envoy.yaml (right) in the same order"
    );
    assert_eq!(
        bootstrap,
        [json!({"stats_config": stats})],
        "stats_config of envoyproxy.yaml's bootstrap (left) must be that of envoy.yaml (right) in the same order"
    );
    let (labels, buckets) = mesh::istio_annotations();
    let wanted: Vec<_> = names(stats).iter().map(|name| name.replace('.', "_")).collect();
    assert_eq!(
        labels, wanted,
        "extraStatTags of proxy.yaml (left) must be stats_tags of envoy.yaml (right) in the same order"
    );
    let wanted = stats["histogram_bucket_settings"].as_array().unwrap();
    same("proxy.yaml", &buckets, &object(wanted.iter().map(|one| (&one["match"]["prefix"], &one["buckets"]))));

    let operation = &manager["tracing"]["operation"];
    let filter = resource("envoy/istio/envoyfilter.yaml", "EnvoyFilter");
    let patch = &filter["spec"]["configPatches"][0]["patch"]["value"]["typed_config"];
    assert_eq!(patch["tracing"], json!({"operation": operation, "spawn_upstream_span": false}));
    assert_eq!(proxy["telemetry"]["tracing"]["spanName"]["client"], *operation);
}

#[test]
fn a_traffic_extension_gives_the_same_filter_as_the_wasm_plugin() {
    let plugin = Path::new("plugin.wasm");
    let one = mesh::istio_filter(resource("envoy/istio/wasmplugin.yaml", "WasmPlugin"), plugin);
    let two = mesh::istio_filter(resource("envoy/istio/trafficextension.yaml", "TrafficExtension"), plugin);
    assert_eq!(one, two);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn istios_configuration_reports_a_call_in_a_real_envoy() {
    let plugin =
        PathBuf::from(std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test manifests"));
    let run = Run::start(|places| mesh::istio(places, &plugin, true)).await;
    let (spans, entry) = run.call().await;
    assert_eq!(spans.len(), 1, "with the EnvoyFilter there must be one span for each call: {spans:#?}");
    run.tells_all_as_strings(&spans[0], &entry);
    assert_eq!(spans[0].kind, "CLIENT");
    run.counts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_envoy_filter_a_call_through_istios_gateway_has_a_second_span() {
    let plugin =
        PathBuf::from(std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test manifests"));
    let run = Run::start(|places| mesh::istio(places, &plugin, false)).await;
    let (spans, _) = run.call().await;
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert!(spans.iter().all(|span| !span.name.starts_with("chat ")), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_gateways_configuration_reports_a_call_in_a_real_envoy() {
    let run = Run::start_from_server(true).await;
    let (spans, entry) = run.call().await;
    assert_eq!(spans.len(), 1, "with the EnvoyPatchPolicy there must be one span for each call: {spans:#?}");
    run.tells_all_as_strings(&spans[0], &entry);
    run.counts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_patch_policy_envoy_gateways_second_span_has_the_tokens_too() {
    let run = Run::start_from_server(false).await;
    let (spans, _) = run.call().await;
    let mut names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["chat claude-sonnet-4-20250514", "to provider"]);
    assert!(spans.iter().all(|span| span.text("gen_ai.usage.output_tokens").is_some()), "{spans:#?}");
}

struct Run {
    _upstream: Upstream,
    receiver: Receiver,
    envoy: Envoy,
    fixture: Fixture,
    _folder: Folder,
}

impl Run {
    async fn start(configuration: impl FnOnce(&Places) -> Value) -> Self {
        let upstream = Upstream::start(Fixture::all()).await;
        let receiver = Receiver::start().await;
        let folder = Folder::new(&upstream.addr.port().to_string());
        let places = Places { provider: upstream.addr, collector: receiver.addr, folder: &folder.0 };
        let configuration = configuration(&places).to_string();
        let envoy = Envoy::try_start_as(configuration, &Options::to(upstream.addr)).await;
        let envoy = envoy.unwrap_or_else(|error| panic!("{error}"));
        let fixture = Fixture::load("anthropic-messages/stream-thinking-text-tool-use");
        Self { _upstream: upstream, receiver, envoy, fixture, _folder: folder }
    }

    /// Starts Envoy Gateway's configuration with a server that serves the plugin.
    async fn start_from_server(with_patch: bool) -> Self {
        let plugin =
            fs::read(std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test manifests"))
                .unwrap();
        let sha256: String = Sha256::digest(&plugin).iter().map(|byte| format!("{byte:02x}")).collect();
        let server = serve(plugin.into()).await;
        Self::start(|places| mesh::envoy_gateway(places, server, &sha256, with_patch)).await
    }

    /// Sends one call and returns its spans and its access log line.
    async fn call(&self) -> (Vec<Span>, Value) {
        let id = client::request_id();
        let reply = client::replay(self.envoy.addr, &self.fixture, &[("x-request-id", &id)]).await;
        assert_eq!(reply.body, self.fixture.response.body, "the response body was changed");
        let entry = self.envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
        self.receiver.wait_for_request(&id, PATIENCE).await.expect("no span for the request");
        // Waits for a second span, which would be exported by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        (self.receiver.spans(), entry)
    }

    fn tells_all_as_strings(&self, span: &Span, entry: &Value) {
        assert_eq!(span.name, "chat claude-sonnet-4-20250514");
        let log = documents("envoy/istio/mesh.yaml").remove(0)["meshConfig"]["extensionProviders"][1].take();
        let known = log["envoyFileAccessLog"]["logFormat"]["labels"].as_object().unwrap();
        let told = self.fixture.observation.iter().filter(|(key, _)| known.contains_key(*key));
        assert!(told.clone().count() > 15, "the fixture has too few attributes for this test");
        for (key, value) in told {
            let said = match value {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            assert_eq!(span.text(key), Some(said.as_str()), "wrong value of {key} in the span");
            assert_eq!(entry[key], said, "wrong value of {key} in the access log");
        }
    }

    async fn counts(&self) {
        let tokens = |all: &[_], metric: &str| total(all, metric, &[("gen_ai_request_model", "claude-sonnet-4")]);
        let flushed = "gen_ai_client_inference_operation_input_tokens_count";
        let samples = self.envoy.samples_when(|all| tokens(all, flushed) == 2.0, PATIENCE).await;
        let seen = &self.fixture.observation;
        assert_eq!(
            tokens(&samples, "gaugeway_output_tokens_total"),
            seen["gen_ai.usage.output_tokens"].as_f64().unwrap()
        );
        let labels = [("route", "openai"), ("outcome", "completed"), ("gen_ai_provider_name", "anthropic")];
        assert_eq!(total(&samples, "gaugeway_requests_total", &labels), 1.0);
        let bounds: BTreeSet<u64> = samples
            .iter()
            .filter(|sample| sample.name == "gen_ai_client_inference_operation_input_tokens_bucket")
            .filter_map(|sample| sample.label("le").parse().ok())
            .collect();
        let (_, buckets) = mesh::istio_annotations();
        let wanted = buckets["wasmcustom.gen_ai_client_inference_operation_input_tokens"].as_array().unwrap().iter();
        assert_eq!(bounds, wanted.map(|bound| bound.as_u64().unwrap()).collect());
    }
}

/// Serves these bytes for every request.
async fn serve(bytes: Bytes) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            let service = service_fn(move |_: Request<_>| {
                let reply = Response::new(Full::new(bytes.clone()));
                async move { Ok::<_, Infallible>(reply) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    addr
}

fn object<'a>(pairs: impl Iterator<Item = (&'a Value, &'a Value)>) -> Map<String, Value> {
    pairs.map(|(key, value)| (text(key), value.clone())).collect()
}

fn same(file: &str, told: &Map<String, Value>, wanted: &Map<String, Value>) {
    let (told, wanted): (BTreeMap<_, _>, BTreeMap<_, _>) = (told.iter().collect(), wanted.iter().collect());
    let missing: Vec<_> = wanted.iter().filter(|(key, value)| told.get(*key) != Some(*value)).collect();
    let strange: Vec<_> = told.keys().filter(|key| !wanted.contains_key(*key)).collect();
    assert!(missing.is_empty() && strange.is_empty(), "{file} must have {missing:#?} and must not have {strange:#?}");
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string")).to_owned()
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gaugeway-mesh-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
