//! Envoy Gateway: the plugin alone, beside existing policies, and with Envoy's own outputs.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::calls;
use crate::proxy::{ControlPlane, Folder, Proxy, free_port};
use crate::support::fixtures::Fixture;
use crate::support::manifests::path;
use crate::support::otlp::Receiver;
use crate::support::upstream::Upstream;

const OPENAI: &str = "api.openai.com";
const LISTENER: &str = "llm/llm/http";

/// The collector as a Service, for Envoy's own spans. It receives OTLP over gRPC.
const COLLECTOR: &str = "
apiVersion: v1
kind: Service
metadata:
  name: collector
  namespace: observability
spec:
  clusterIP: 127.0.0.1
  ports:
  - name: grpc
    port: 4317
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_through_envoy_gateway_report_themselves() {
    let site = Site::start("gateway", vec![shipped("gaugeway.yaml"), shipped("example.yaml")]).await;
    let envoy = site.envoy().await;
    let addr = envoy.address(LISTENER).await.unwrap();
    calls::report_themselves(addr, &calls::fixtures_of(&[OPENAI]), &site.receiver).await;
    assert_eq!(site.control.ready["conditions"], json!([]), "{}", site.control.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoys_own_outputs_tell_of_a_call_through_envoy_gateway() {
    let policy = shipped("gaugeway.yaml");
    let (policy, _) = policy.split_once("    config:\n").unwrap();
    let manifests = vec![
        policy.to_owned(),
        shipped("envoyproxy.yaml"),
        shipped("envoypatchpolicy.yaml"),
        shipped("example.yaml"),
        COLLECTOR.to_owned(),
    ];
    let site = Site::start("gateway-outputs", manifests).await;
    assert_eq!(site.control.ready["conditions"], json!([]), "{}", site.control.log());
    let envoy = site.envoy().await;
    let addr = envoy.address(LISTENER).await.unwrap();
    calls::show_in_envoys_outputs(addr, &envoy, &site.receiver, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_patch_also_fits_a_listener_with_tls() {
    let tls = "protocol: HTTPS\n    tls:\n      certificateRefs:\n      - name: envoy\n        namespace: envoy-gateway-system";
    let grant = "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata:\n  name: tls\n  namespace: envoy-gateway-system\nspec:\n  from:\n  - group: gateway.networking.k8s.io\n    kind: Gateway\n    namespace: llm\n  to:\n  - group: ''\n    kind: Secret\n";
    let manifests = vec![
        shipped("envoyproxy.yaml"),
        shipped("envoypatchpolicy.yaml"),
        COLLECTOR.to_owned(),
        shipped("example.yaml").replace("protocol: HTTP", tls),
        grant.to_owned(),
    ];
    let site = Site::start("gateway-tls", manifests).await;
    let conditions = site.control.ready["conditions"].to_string();
    assert!(!conditions.contains("EnvoyPatchPolicy"), "{conditions}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_policies_combine_with_the_plugins_as_the_manual_says() {
    let rival = other("targetRefs:\n  - group: gateway.networking.k8s.io\n    kind: Gateway\n    name: llm", WASM);
    let (enabled, conditions) = enabled_with("rival", rival).await;
    assert_eq!(enabled, ["gaugeway"]);
    assert!(
        conditions.contains("EnvoyExtensionPolicy waf: Accepted is False: Unable to target Gateway"),
        "{conditions}"
    );

    let route = "targetRefs:\n  - group: gateway.networking.k8s.io\n    kind: HTTPRoute\n    name: openai";
    let (enabled, conditions) = enabled_with("route", other(route, WASM)).await;
    assert_eq!(enabled, ["waf"]);
    assert!(conditions.contains("EnvoyExtensionPolicy gaugeway: Overridden is True"), "{conditions}");

    let merged = format!("mergeType: StrategicMerge\n  {route}");
    let (enabled, _) = enabled_with("merged", other(&merged, WASM)).await;
    assert_eq!(enabled, ["waf"], "of two lists only the route's must remain");
    let (enabled, _) = enabled_with("merged-lua", other(&merged, LUA)).await;
    assert_eq!(enabled, ["gaugeway", "waf"]);
}

const WASM: &str = "wasm:\n  - name: waf\n    rootID: gaugeway\n    code:\n      type: Image\n      image:\n        url: registry.example.com/gaugeway:0.1.0\n";
const LUA: &str = "lua:\n  - type: Inline\n    inline: |\n      function envoy_on_request(handle) end\n";

/// Another policy with this target and this extension.
fn other(target: &str, extension: &str) -> String {
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nmetadata:\n  name: waf\n  namespace: llm\nspec:\n  {target}\n  {extension}"
    )
}

/// The policies whose extensions the route uses, beside another policy, and the conditions of all resources.
async fn enabled_with(name: &str, policy: String) -> (Vec<String>, String) {
    let site = Site::start(name, vec![shipped("gaugeway.yaml"), shipped("example.yaml"), policy]).await;
    let envoy = site.envoy().await;
    let dump = envoy.admin("/config_dump?resource=dynamic_route_configs").await;
    let enabled =
        ["gaugeway", "waf"].into_iter().filter(|one| dump.contains(&format!("envoyextensionpolicy/llm/{one}/")));
    (enabled.map(str::to_owned).collect(), site.control.ready["conditions"].to_string())
}

struct Site {
    control: ControlPlane,
    _folder: Folder,
    receiver: Receiver,
    _upstream: Upstream,
    admin_port: u16,
}

impl Site {
    /// Starts Envoy Gateway's code with these manifests. Their collector is a server of this test.
    async fn start(name: &str, manifests: Vec<String>) -> Self {
        let folder = Folder::new(name);
        let upstream = Upstream::start(Fixture::all()).await;
        let receiver = Receiver::start().await;
        let (admin_port, port) = (free_port(), free_port());
        let manifests: Vec<_> = manifests
            .into_iter()
            .map(|text| {
                text.replace("address: collector.observability.svc.cluster.local", "address: 127.0.0.1")
                    .replace("port_value: 4318", &format!("port_value: {}", receiver.addr.port()))
                    .replace("port: 4317", &format!("port: {}", receiver.addr.port()))
                    .replace("port: 8080", &format!("port: {port}"))
            })
            .collect();
        let settings = json!({
            "folder": folder.0,
            "image": path("dist/image"),
            "manifests": manifests,
            "provider": upstream.addr.to_string(),
            "host": OPENAI,
            "admin_port": admin_port,
            "gateway": "llm/llm",
        });
        let control = ControlPlane::start("envoygateway", &folder.0, &settings);
        Self { control, _folder: folder, receiver, _upstream: upstream, admin_port }
    }

    async fn envoy(&self) -> Proxy {
        let bootstrap = self.control.ready["bootstrap"].as_str().unwrap();
        let cluster = self.control.ready["cluster"].as_str().unwrap();
        let node = ["--service-node", "gateway", "--service-cluster", cluster];
        Proxy::start_as(Path::new(bootstrap), self.admin_port, LISTENER, &node).await
    }
}

fn shipped(file: &str) -> String {
    fs::read_to_string(path(&format!("envoy/envoy-gateway/{file}"))).unwrap()
}
