//! The manifests for Istio and Envoy Gateway: they are valid, those for Envoy's own outputs are as complete as
//! envoy/envoy.yaml, and those that an installation needs are short. The group `mesh` runs them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::support::manifests::{documents, path, resource, resource_errors};
use serde_json::{Map, Value, json};

const MANIFESTS: [&str; 6] = [
    "envoy/istio/wasmplugin.yaml",
    "envoy/istio/telemetry.yaml",
    "envoy/istio/envoyfilter.yaml",
    "envoy/envoy-gateway/gaugeway.yaml",
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
    let (labels, buckets) = istio_annotations();
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
    assert_eq!(patch["tracing"], json!({"operation": operation, "upstream_operation": "to provider"}));
    assert_eq!(proxy["telemetry"]["tracing"]["spanName"]["client"], *operation);
}

#[test]
fn an_installation_needs_few_lines_with_one_key_in_each() {
    for (files, most) in [
        (&["envoy/istio/wasmplugin.yaml", "envoy/istio/egress.yaml"][..], 120),
        (&["envoy/istio/sidecar.yaml"], 60),
        (&["envoy/istio/waypoint.yaml"], 90),
        (&["envoy/envoy-gateway/gaugeway.yaml"], 60),
    ] {
        let text: String = files.iter().map(|file| fs::read_to_string(path(file)).unwrap()).collect();
        assert!(text.lines().count() <= most, "{files:?} have {} lines", text.lines().count());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let code = line.split(" #").next().unwrap();
            let is_block = !code.contains('{') && code.matches(": ").count() <= 1;
            assert!(is_block, "{files:?} must be in block style: {line}");
        }
    }
}

/// The annotations of proxy.yaml: labels, and histogram buckets by prefix.
fn istio_annotations() -> (Vec<String>, Map<String, Value>) {
    let annotations = &documents("envoy/istio/proxy.yaml")[0]["spec"]["template"]["metadata"]["annotations"];
    let tags = text(&annotations["sidecar.istio.io/extraStatTags"]).split(',').map(str::to_owned).collect();
    let buckets = text(&annotations["sidecar.istio.io/statsHistogramBuckets"]);
    (tags, serde_json::from_str(&buckets).expect("the annotation of the buckets is not JSON"))
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
