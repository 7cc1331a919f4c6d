//! Istio: an egress gateway behind a sidecar, a sidecar alone, and a waypoint of an ambient mesh.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::calls;
use crate::proxy::{ControlPlane, Folder, Proxy, environment, free_port};
use crate::support::client;
use crate::support::fixtures::Fixture;
use crate::support::manifests::{documents, path};
use crate::support::otlp::{Attribute, Receiver};
use crate::support::upstream::Upstream;

const OPENAI: &str = "api.openai.com";
const PATIENCE: Duration = Duration::from_secs(30);
/// The listener for an application's plain HTTP, to port 80 of any address.
const OUTBOUND: &str = "0.0.0.0_80";

/// The mesh configuration that Istio's chart sets.
const HELM: &str = "meshConfig: {defaultProviders: {metrics: [prometheus]}}";

/// Filters and other extensions of Istio's own Envoy that stock Envoy lacks. The program removes these and nothing else.
const IN_SIDECARS: [&str; 3] = ["istio.alpn", "istio.metadata_exchange", "istio.stats"];

const IN_WAYPOINTS: [&str; 6] = [
    "connect_authority: istio.hashable_string",
    "istio.metadata_exchange",
    "istio.stats",
    "metadata_discovery",
    "waypoint_downstream_peer_metadata",
    "waypoint_upstream_peer_metadata",
];
/// The listener of a waypoint for other networks, which stock Envoy rejects.
const REJECTED: &str =
    "inner_connect_originate: 'istio.double_hbone.hbone_target_address' does not have an object factory";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_through_istios_egress_gateway_report_themselves() {
    let mesh =
        Mesh::start("egress", &[shipped("wasmplugin.yaml"), shipped("egress.yaml")], &["agent", "istio-egressgateway"])
            .await;
    let _gateway = mesh.proxy("istio-egressgateway", &format!("0.0.0.0_{}", mesh.gateway_port)).await;
    let sidecar = mesh.proxy("agent", OUTBOUND).await;
    let addr = sidecar.address(OUTBOUND).await.unwrap();
    calls::report_themselves(addr, &calls::fixtures_of(&[OPENAI]), &mesh.receiver).await;
    mesh.assert_removed(&IN_SIDECARS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_through_istios_sidecar_report_themselves() {
    let mesh = Mesh::start("sidecar", &[shipped("sidecar.yaml")], &["agent"]).await;
    let sidecar = mesh.proxy("agent", OUTBOUND).await;
    let addr = sidecar.address(OUTBOUND).await.unwrap();
    calls::report_themselves(addr, &calls::fixtures_of(&[OPENAI]), &mesh.receiver).await;
    mesh.assert_removed(&IN_SIDECARS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_through_istios_waypoint_report_themselves() {
    let mesh = Mesh::start("waypoint", &[shipped("waypoint.yaml")], &["llm"]).await;
    let waypoint = mesh.proxy("llm", "connect_terminate").await;
    let addr = waypoint.address("connect_terminate").await.unwrap();
    fs::write(mesh.folder.0.join("waypoint-address"), addr.to_string()).unwrap();
    let tunnel = mesh.control.ready["tunnel"].as_str().unwrap().parse().unwrap();
    calls::report_themselves(tunnel, &calls::fixtures_of(&[OPENAI]), &mesh.receiver).await;
    mesh.assert_removed(&IN_WAYPOINTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoys_own_outputs_tell_of_a_call_through_the_egress_gateway() {
    let mut gateway = proxy("istio-egressgateway");
    gateway["annotations"] =
        documents("envoy/istio/proxy.yaml")[0]["spec"]["template"]["metadata"]["annotations"].take();
    let manifests = [
        without_otlp(&shipped("wasmplugin.yaml")),
        shipped("egress.yaml"),
        shipped("telemetry.yaml"),
        shipped("envoyfilter.yaml"),
    ];
    let mesh = Mesh::start_with("outputs", &manifests, vec![proxy("agent"), gateway], &shipped("mesh.yaml")).await;
    let gateway = mesh.proxy("istio-egressgateway", &format!("0.0.0.0_{}", mesh.gateway_port)).await;
    let sidecar = mesh.proxy("agent", OUTBOUND).await;
    let addr = sidecar.address(OUTBOUND).await.unwrap();
    calls::show_in_envoys_outputs(addr, &gateway, &mesh.receiver, &["to provider"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_envoy_filter_fits_sidecars_and_waypoints_with_the_changes_that_it_names() {
    let filter = shipped("envoyfilter.yaml");
    let agent = filter
        .replace("namespace: istio-egress", "namespace: team")
        .replace("istio: egressgateway", "app: agent")
        .replace("context: GATEWAY", "context: SIDECAR_OUTBOUND");
    let mesh = Mesh::start("filter-sidecar", &[shipped("sidecar.yaml"), agent], &["agent"]).await;
    let sidecar = mesh.proxy("agent", OUTBOUND).await;
    assert!(sidecar.admin("/config_dump").await.contains("COALESCE"));

    let target = "targetRefs:\n  - group: gateway.networking.k8s.io\n    kind: Gateway\n    name: llm";
    let llm = filter
        .replace("namespace: istio-egress", "namespace: llm")
        .replace("workloadSelector:\n    labels:\n      istio: egressgateway", target)
        .replace("context: GATEWAY", "context: SIDECAR_INBOUND");
    assert!(llm.contains("targetRefs"), "{llm}");
    let mesh = Mesh::start("filter-waypoint", &[shipped("waypoint.yaml"), llm], &["llm"]).await;
    let waypoint = mesh.proxy("llm", "connect_terminate").await;
    assert!(waypoint.admin("/config_dump").await.contains("COALESCE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_has_the_settings_of_the_manuals_envoy_filter() {
    let manual = shipped("README.md");
    let (_, block) = manual.split_once("  ```yaml\n").unwrap();
    let (filter, _) = block.split_once("  ```\n").unwrap();
    let manifests =
        [shipped("wasmplugin.yaml"), shipped("egress.yaml"), filter.replace("\n  ", "\n").trim().to_owned()];
    let mesh = Mesh::start("route-settings", &manifests, &["agent", "istio-egressgateway"]).await;
    let _gateway = mesh.proxy("istio-egressgateway", &format!("0.0.0.0_{}", mesh.gateway_port)).await;
    let sidecar = mesh.proxy("agent", OUTBOUND).await;
    let fixture = Fixture::load("openai-chat/unary");
    client::replay(sidecar.address(OUTBOUND).await.unwrap(), &fixture, &[]).await;
    let span = mesh.receiver.wait_for(|span| span.kind == "CLIENT", PATIENCE).await.expect("no span");
    let usual = fixture.observation["gaugeway.cost.usd"].as_f64().unwrap();
    assert_eq!(span.attributes["gaugeway.cost.usd"], Attribute::Double(usual / 2.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_pass_a_proxy_that_starts_with_a_wrong_setting_unless_the_plugin_rejects_it() {
    let wrong = shipped("sidecar.yaml").replace("cluster: outbound|", "cluser: outbound|");
    let rejected = wrong.replace("if_invalid: pass", "if_invalid: reject");
    let fixture = Fixture::load("openai-chat/unary");
    for (name, manifest, status) in [("wrong", wrong, fixture.response.status), ("rejected", rejected, 500)] {
        let mesh = Mesh::start(name, &[manifest], &["agent"]).await;
        let sidecar = mesh.proxy("agent", OUTBOUND).await;
        let reply = client::replay(sidecar.address(OUTBOUND).await.unwrap(), &fixture, &[]).await;
        assert_eq!(reply.status, status, "{}", sidecar.log());
        assert!(sidecar.log().contains("otlp.cluser: unknown key"), "{}", sidecar.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_traffic_extension_does_what_the_wasm_plugin_does() {
    let plugin = shipped("wasmplugin.yaml");
    let (head, spec) = plugin.split_once("  url:").unwrap();
    let nested: String = format!("  url:{spec}").lines().map(|line| format!("  {line}\n")).collect();
    let extension = format!("{}  wasm:\n{nested}", head.replace("kind: WasmPlugin", "kind: TrafficExtension"));
    let manifests = [extension, shipped("egress.yaml")];
    let mesh = Mesh::start("extension", &manifests, &["agent", "istio-egressgateway"]).await;
    let _gateway = mesh.proxy("istio-egressgateway", &format!("0.0.0.0_{}", mesh.gateway_port)).await;
    let sidecar = mesh.proxy("agent", OUTBOUND).await;
    let addr = sidecar.address(OUTBOUND).await.unwrap();
    calls::report_themselves(addr, &calls::fixtures_of(&[OPENAI])[..5], &mesh.receiver).await;
}

struct Mesh {
    control: ControlPlane,
    folder: Folder,
    receiver: Receiver,
    _upstream: Upstream,
    gateway_port: u16,
    proxies: Vec<Value>,
}

impl Mesh {
    /// Starts istiod's code with these manifests of envoy/istio, for these proxies.
    async fn start(name: &str, manifests: &[String], proxies: &[&str]) -> Self {
        Self::start_with(name, manifests, proxies.iter().map(|name| proxy(name)).collect(), HELM).await
    }

    async fn start_with(name: &str, manifests: &[String], proxies: Vec<Value>, mesh: &str) -> Self {
        let folder = Folder::new(name);
        fs::create_dir(folder.0.join("wasm")).unwrap();
        let upstream = Upstream::start(Fixture::all()).await;
        let receiver = Receiver::start().await;
        let gateway_port = free_port();
        let objects = fs::read_to_string(path("tests/mesh/cluster.yaml"))
            .unwrap()
            .replace("4318 # here", &receiver.addr.port().to_string())
            .replace("8080 # here", &gateway_port.to_string());
        let settings = json!({
            "folder": folder.0,
            "image": path("dist/image"),
            "template": Path::new(&environment("GAUGEWAY_MESH")).join("envoy_bootstrap.json"),
            "manifests": manifests,
            "mesh": mesh,
            "objects": objects,
            "proxies": proxies,
            "provider": upstream.addr.to_string(),
            "host": OPENAI,
            "vip": if name == "waypoint" { "240.240.0.1:80" } else { "" },
        });
        let control = ControlPlane::start("istio", &folder.0, &settings);
        Self { control, folder, receiver, _upstream: upstream, gateway_port, proxies }
    }

    async fn proxy(&self, name: &str, listener: &str) -> Proxy {
        let port = self.proxies.iter().find(|proxy| proxy["name"] == name).unwrap()["admin_port"].as_u64().unwrap();
        let bootstrap = self.control.ready["bootstraps"][name].as_str().unwrap();
        Proxy::start(Path::new(bootstrap), u16::try_from(port).unwrap(), listener).await
    }

    fn assert_removed(&self, known: &[&str]) {
        let removed = fs::read_to_string(self.folder.0.join("removed")).unwrap_or_default();
        println!("removed, because only Istio's Envoy has them: {}", removed.replace('\n', ", "));
        assert_eq!(removed.lines().collect::<Vec<_>>(), known, "{}", self.control.log());
        let log = self.control.log();
        let rejected: Vec<_> = log.lines().filter(|line| line.contains("ACK ERROR")).collect();
        assert!(rejected.iter().all(|line| line.contains(REJECTED)), "Envoy rejected configuration: {rejected:#?}");
    }
}

/// The plugin without its own exports, for Envoy's.
fn without_otlp(plugin: &str) -> String {
    let (head, _) = plugin.split_once("  pluginConfig:").unwrap();
    head.to_owned()
}

fn shipped(file: &str) -> String {
    fs::read_to_string(path(&format!("envoy/istio/{file}"))).unwrap()
}

/// A proxy as Kubernetes would start it. Its address is on the loopback network.
fn proxy(name: &str) -> Value {
    let mut proxy = match name {
        "istio-egressgateway" => json!({
            "type": "router", "namespace": "istio-egress", "ip": "127.0.0.2",
            "labels": {"istio": "egressgateway"},
        }),
        "agent" => json!({"type": "sidecar", "namespace": "team", "ip": "127.0.0.3", "labels": {"app": "agent"}}),
        "llm" => json!({
            "type": "waypoint", "namespace": "llm", "ip": "127.0.0.4",
            "labels": {
                "gateway.networking.k8s.io/gateway-name": "llm",
                "gateway.istio.io/managed": "istio.io-mesh-controller",
            },
        }),
        other => panic!("there is no proxy {other}"),
    };
    proxy["name"] = name.into();
    proxy["account"] = name.into();
    proxy["admin_port"] = free_port().into();
    proxy
}
