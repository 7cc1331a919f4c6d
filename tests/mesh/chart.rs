//! The Helm chart, rendered by Helm: its resources are valid against their schemas, and what they contain is what the repository's
//! files contain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::programs::program;
use crate::support::manifests::{documents, path, resource_errors};
use gaugeway::config::Config;
use serde_json::{Value, json};

const CHART: &str = "envoy/chart";
const SHA256: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// The limit of a ConfigMap in bytes.
const CONFIG_MAP: usize = 1 << 20;

#[test]
fn the_chart_renders_valid_resources_for_both_products_from_the_repositorys_files() {
    let folder = Folder::new("values");
    let settings = json!({"if_invalid": "pass", "otlp": {"cluster": "outbound|4318||collector.observability.svc.cluster.local"}, "labels": {"headers": {"x-team": "team"}}});
    let values = json!({
        "image": {"repository": "registry.test/llm/gaugeway", "tag": "0.1.0", "sha256": SHA256, "pullPolicy": "Always", "pullSecret": "registry"},
        "settings": settings,
        "istio": {"enabled": true, "matchLabels": {"istio": "egressgateway"}},
        "envoyGateway": {"enabled": true},
        "dashboard": {"labels": {"team": "platform"}},
        "rules": {"labels": {"release": "kube-prometheus-stack"}},
    });
    for from in [path(CHART), folder.packaged()] {
        let resources = folder.render(&from, &values);
        let kinds: Vec<_> = resources.iter().map(|one| one["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["ConfigMap", "EnvoyExtensionPolicy", "WasmPlugin", "PrometheusRule"]);
        let [board, policy, plugin, rules] = &resources[..] else { unreachable!() };
        for resource in &resources {
            assert_eq!(resource["metadata"]["name"], "llm");
            assert_eq!(resource["metadata"]["namespace"], "gateways");
            assert_eq!(resource["metadata"]["labels"]["app.kubernetes.io/version"], env!("CARGO_PKG_VERSION"));
        }

        let text = board["data"]["gaugeway.json"].as_str().unwrap();
        assert_eq!(text, fs::read_to_string(path("envoy/grafana/dashboard.json")).unwrap());
        assert!(text.len() < CONFIG_MAP, "the dashboard has {} bytes", text.len());
        assert_eq!(board["metadata"]["labels"]["grafana_dashboard"], "1");
        assert_eq!(board["metadata"]["labels"]["team"], "platform");

        let shipped = ["envoy/prometheus/recording.yml", "envoy/prometheus/alerts.yml"];
        let groups = shipped.iter().flat_map(|file| documents(file)[0]["groups"].as_array().unwrap().clone());
        assert_eq!(rules["spec"]["groups"].as_array().unwrap(), &groups.collect::<Vec<_>>());
        assert_eq!(rules["metadata"]["labels"]["release"], "kube-prometheus-stack");
        let file = folder.0.join("rules.json");
        fs::write(&file, rules["spec"].to_string()).unwrap();
        let checked = run(Command::new(program("prometheus", "promtool")).args(["check", "rules"]).arg(&file));
        assert!(checked.status.success(), "{}", said(&checked));

        let plugin = &plugin["spec"];
        assert_eq!(plugin["url"], "oci://registry.test/llm/gaugeway:0.1.0");
        assert_eq!((&plugin["sha256"], &plugin["imagePullSecret"]), (&json!(SHA256), &json!("registry")));
        assert_eq!(plugin["selector"], json!({"matchLabels": {"istio": "egressgateway"}}));
        assert_eq!((&plugin["failStrategy"], &plugin["pluginConfig"]), (&json!("FAIL_RELOAD"), &settings));
        let wasm = &policy["spec"]["wasm"][0];
        assert_eq!(wasm["code"]["image"]["url"], "registry.test/llm/gaugeway:0.1.0");
        assert_eq!(wasm["code"]["image"]["sha256"], SHA256);
        assert_eq!(wasm["config"], settings);
        Config::parse(&wasm["config"].to_string()).unwrap();
    }
}

#[test]
fn a_chart_without_choices_installs_only_the_dashboard_and_the_rules() {
    let folder = Folder::new("defaults");
    let kinds: Vec<_> = folder.render(&path(CHART), &json!({})).iter().map(|one| one["kind"].clone()).collect();
    assert_eq!(kinds, ["ConfigMap", "PrometheusRule"]);
    let none = json!({"dashboard": {"enabled": false}, "rules": {"enabled": false}});
    assert_eq!(folder.render(&path(CHART), &none), Vec::<Value>::new());
    let waypoint = json!({
        "image": {"sha256": SHA256},
        "istio": {"enabled": true, "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint"}]},
    });
    let plugin = &folder.render(&path(CHART), &waypoint)[1]["spec"];
    assert_eq!((plugin["targetRefs"][0]["name"].as_str(), plugin.get("selector")), (Some("waypoint"), None));
    assert_eq!(plugin["url"], format!("oci://registry.example.com/gaugeway:{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(plugin["pluginConfig"], json!({"if_invalid": "pass"}));
}

#[test]
fn wrong_values_are_refused_with_a_reason() {
    let folder = Folder::new("wrong");
    for (values, reason) in [
        (json!({"istio": {"enabled": true, "matchLabels": {"a": "b"}}}), "image.sha256 is required"),
        (
            json!({"istio": {"enabled": true}, "image": {"sha256": SHA256}}),
            "istio.matchLabels or istio.targetRefs is required",
        ),
        (json!({"istio": {"targetRefs": [{"name": "llm"}]}}), "kind"),
        (json!({"envoyGateway": {"targetRefs": [{"kind": "Gateway", "name": "llm"}]}}), "group"),
        (json!({"istio": {"enabled": true}, "image": {"sha256": "sha256:00"}}), "sha256"),
        (json!({"envoyGateway": {"enable": true}}), "enable"),
        (json!({"envoyGateway": {"enabled": true, "targetRefs": []}}), "targetRefs"),
        (json!({"setting": {}}), "setting"),
    ] {
        let output = folder.template(&path(CHART), &values);
        assert!(!output.status.success() && said(&output).contains(reason), "{values}: {}", said(&output));
    }
    let file = folder.0.join("values.json");
    fs::write(
        &file,
        json!({"image": {"sha256": SHA256}, "istio": {"enabled": true, "matchLabels": {"a": "b"}}, "envoyGateway": {"enabled": true}}).to_string(),
    )
    .unwrap();
    let lint = run(Command::new(program("helm", "helm")).arg("lint").arg(path(CHART)).arg(&file));
    assert_eq!((lint.status.success(), lint.stdout), (true, Vec::new()), "{}", String::from_utf8_lossy(&lint.stderr));
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gaugeway-chart-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// The chart as one file, without links.
    fn packaged(&self) -> PathBuf {
        let output = run(Command::new(program("helm", "helm")).arg("package").arg(path(CHART)).arg(&self.0));
        assert!(output.status.success(), "{}", said(&output));
        self.0.join(format!("gaugeway-{}.tgz", env!("CARGO_PKG_VERSION")))
    }

    fn template(&self, chart: &Path, values: &Value) -> Output {
        let file = self.0.join("values.json");
        fs::write(&file, values.to_string()).unwrap();
        run(Command::new(program("helm", "helm")).arg("template").arg(chart).arg(&file).args(["llm", "gateways"]))
    }

    /// The rendered resources, which must be valid.
    fn render(&self, chart: &Path, values: &Value) -> Vec<Value> {
        let output = self.template(chart, values);
        assert!(output.status.success(), "{values}: {}", said(&output));
        let file = self.0.join("rendered.yaml");
        fs::write(&file, &output.stdout).unwrap();
        assert_eq!(resource_errors(&file), "");
        documents(file.to_str().unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}
