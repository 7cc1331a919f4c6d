//! Translates the manifests in envoy/istio and envoy/envoy-gateway into the Envoy configuration that Istio and Envoy
//! Gateway generate from them, according to their sources of 2026-08. Discovery, certificates and mesh metadata, which
//! come from a cluster, are omitted.
//!
//! The translation is strict: a manifest with a field that is not translated here is an error, so no field goes
//! untested.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::manifests::{documents, resource};

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// The addresses and files that the cluster would provide.
pub struct Places<'a> {
    pub provider: SocketAddr,
    pub collector: SocketAddr,
    /// Folder for files that Envoy reads in addition to its configuration.
    pub folder: &'a Path,
}

/// The configuration of an Istio gateway whose agent has already fetched the plugin's image into a file.
pub fn istio(places: &Places, plugin: &Path, with_envoy_filter: bool) -> Value {
    let (name, filter) = istio_filter(resource("envoy/istio/wasmplugin.yaml", "WasmPlugin"), plugin);
    let discovered = json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": filter,
    }]});
    let discovery = places.folder.join("ecds.json");
    fs::write(&discovery, discovered.to_string()).unwrap();
    let filter = json!({"name": name, "config_discovery": {
        "config_source": {"path_config_source": {"path": discovery.display().to_string()}, "resource_api_version": "V3"},
        "type_urls": [WASM],
    }});

    let mut telemetry = Taken::new(resource("envoy/istio/telemetry.yaml", "Telemetry")["spec"].clone());
    let mut mesh = providers();
    telemetry.take("selector");
    let mut tracing = telemetry.take_only("tracing");
    let provider = mesh.remove(tracing.take_only("providers").take("name").as_str().unwrap()).unwrap();
    let mut spans = Taken::new(provider).take_object("opentelemetry");
    let service = spans.take("service");
    assert!(spans.take("port").is_u64());
    let mut http = spans.take_object("http");
    let uri = format!("http://{}{}", service.as_str().unwrap(), http.take("path").as_str().unwrap());
    let exporter = json!({
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "service_name": "istio-egressgateway.istio-egress",
        "http_service": {"http_uri": {"uri": uri, "cluster": "collector", "timeout": http.take("timeout")}},
    });
    let mut tags: Vec<Value> = vec![json!({"tag": "istio.mesh_id", "literal": {"value": "cluster.local"}})];
    for (tag, mut how) in tracing.take_object("customTags").take_all() {
        let mut formatter = Taken::new(how["formatter"].take());
        tags.push(json!({"tag": tag, "value": formatter.take("value")}));
    }
    let sampling = tracing.take("randomSamplingPercentage");
    let mut logging = telemetry.take_only("accessLogging");
    let provider = mesh.remove(logging.take_only("providers").take("name").as_str().unwrap()).unwrap();
    let mut file = Taken::new(provider).take_object("envoyFileAccessLog");
    let mut format = file.take_object("logFormat");
    let manager = json!({
        "@type": CONNECTION_MANAGER,
        "stat_prefix": "outbound_0.0.0.0_8080",
        "http_filters": [filter, router()],
        "route_config": routes("api.openai.com:80", json!({})),
        "tracing": tracing_of(exporter, sampling, tags),
        "access_log": [log(file.take("path"), format.take("labels"))],
    });
    let manager = if with_envoy_filter { patched(manager) } else { manager };

    let (tags, buckets) = istio_annotations();
    // Istio keeps only these statistics. It puts the expressions of its own labels before the requested ones.
    let inclusion: Vec<_> = ["reporter=", "cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm"]
        .map(|prefix| json!({"prefix": prefix}))
        .into();
    let own = ["reporter", "source_workload", "destination_service", "response_code", "grpc_response_status"];
    let expression = |tag: &str| json!({"tag_name": tag, "regex": format!(r"({tag}=\.=(.*?);\.;)")});
    let stats_tags: Vec<_> = own.into_iter().chain(tags.iter().map(String::as_str)).map(expression).collect();
    let buckets: Vec<_> =
        buckets.into_iter().map(|(prefix, buckets)| json!({"match": {"prefix": prefix}, "buckets": buckets})).collect();
    let stats = json!({
        "stats_tags": stats_tags,
        "stats_matcher": {"inclusion_list": {"patterns": inclusion}},
        "histogram_bucket_settings": buckets,
    });
    bootstrap(places, manager, json!({"stats_config": stats}), false)
}

/// The filter for a WasmPlugin, or for a TrafficExtension, which has the same fields one level deeper.
pub fn istio_filter(mut manifest: Value, plugin: &Path) -> (String, Value) {
    let name = format!("{}.{}", text(&manifest["metadata"]["namespace"]), text(&manifest["metadata"]["name"]));
    let mut spec = Taken::new(manifest["spec"].take());
    spec.take("selector");
    let mut wasm = if spec.0.contains_key("wasm") { spec.take_object("wasm") } else { spec };
    assert!(text(&wasm.take("url")).starts_with("oci://"));
    let pull = wasm.take("imagePullPolicy");
    let config = wasm.take("pluginConfig");
    // An empty object means no configuration.
    let config = if config == json!({}) { String::new() } else { config.to_string() };
    let filter = json!({
        "@type": WASM,
        "config": {
            "name": name,
            "root_id": wasm.take("pluginName"),
            "failure_policy": wasm.take("failStrategy"),
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config},
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": plugin.display().to_string()}},
                "environment_variables": {"key_values": {
                    "ISTIO_META_WASM_IMAGE_PULL_POLICY": pull,
                    "ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION": "1",
                }},
            },
        },
    });
    (name, filter)
}

/// The proxy's annotations: labels, and histogram buckets by prefix.
pub fn istio_annotations() -> (Vec<String>, Map<String, Value>) {
    let mut patch =
        Taken::new(documents("envoy/istio/proxy.yaml").remove(0)).take_object("spec").take_object("template");
    let mut annotations = patch.take_object("metadata").take_object("annotations");
    let tags = text(&annotations.take("sidecar.istio.io/extraStatTags")).split(',').map(str::to_owned).collect();
    let buckets = text(&annotations.take("sidecar.istio.io/statsHistogramBuckets"));
    (tags, serde_json::from_str(&buckets).expect("the annotation of the buckets is not JSON"))
}

fn providers() -> BTreeMap<String, Value> {
    let mut mesh = Taken::new(documents("envoy/istio/mesh.yaml").remove(0)).take_object("meshConfig");
    let providers = mesh.take("extensionProviders");
    providers
        .as_array()
        .unwrap()
        .iter()
        .map(|provider| {
            let mut provider = provider.clone();
            let name = provider.as_object_mut().unwrap().remove("name").unwrap();
            (text(&name), provider)
        })
        .collect()
}

/// Applies the patch of the EnvoyFilter: messages are merged, lists are appended, other values are replaced.
fn patched(mut manager: Value) -> Value {
    let mut spec = Taken::new(resource("envoy/istio/envoyfilter.yaml", "EnvoyFilter")["spec"].clone());
    spec.take("workloadSelector");
    let mut patch = spec.take_only("configPatches");
    assert_eq!(patch.take("applyTo"), "NETWORK_FILTER");
    let at = patch.take("match");
    assert_eq!(at["listener"]["filterChain"]["filter"]["name"], "envoy.filters.network.http_connection_manager");
    let mut patch = patch.take_object("patch");
    assert_eq!(patch.take("operation"), "MERGE");
    merge(&mut manager, patch.take_object("value").take("typed_config"));
    manager
}

/// The configuration of an Envoy Gateway proxy. The proxy fetches the plugin from the controller, which caches it for
/// all proxies.
pub fn envoy_gateway(places: &Places, server: SocketAddr, sha256: &str, with_patch: bool) -> Value {
    let policy = resource("envoy/envoy-gateway/envoyextensionpolicy.yaml", "EnvoyExtensionPolicy");
    let mut spec = Taken::new(policy["spec"].clone());
    spec.take("targetRefs");
    let mut wasm = spec.take_only("wasm");
    let mut code = wasm.take_object("code");
    assert_eq!(code.take("type"), "Image");
    assert_eq!(code.take_object("image").take("url").as_str().map(|url| url.contains("://")), Some(false));
    code.take("pullPolicy");
    let place = format!("{}/{}/wasm/0", text(&policy["metadata"]["namespace"]), text(&policy["metadata"]["name"]));
    let name = format!("envoy.filters.http.wasm/envoyextensionpolicy/{place}");
    let filter = json!({"name": name, "disabled": true, "typed_config": {"@type": WASM, "config": {
        "name": wasm.take("name"),
        "root_id": wasm.take("rootID"),
        "fail_open": wasm.take("failOpen"),
        "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": wasm.take("config").to_string(),
        },
        "vm_config": {
            "vm_id": format!("envoyextensionpolicy/{place}"),
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"remote": {
                "http_uri": {"uri": format!("http://{server}/gaugeway.wasm"), "cluster": "wasm_cluster", "timeout": "10s"},
                "sha256": sha256,
            }},
        },
    }}});
    let enabled = json!({name: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}});

    let mut proxy = Taken::new(resource("envoy/envoy-gateway/envoyproxy.yaml", "EnvoyProxy")["spec"].clone());
    let mut telemetry = proxy.take_object("telemetry");
    let mut tracing = telemetry.take_object("tracing");
    let mut provider = tracing.take_object("provider");
    assert_eq!(provider.take("type"), "OpenTelemetry");
    assert_eq!(provider.take("backendRefs").as_array().map(Vec::len), Some(1));
    let exporter = json!({
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "service_name": "llm.llm",
        "grpc_service": {"envoy_grpc": {"cluster_name": "collector", "authority": "collector.observability:4317"}},
    });
    let tags = tracing
        .take_object("tags")
        .take_all()
        .into_iter()
        .map(|(tag, value)| json!({"tag": tag, "value": value}))
        .collect();
    let sampling = tracing.take("samplingRate");
    let mut spans = tracing_of(exporter, sampling, tags);
    let mut names = tracing.take_object("spanName");
    spans["operation"] = names.take("client");
    spans["upstream_operation"] = names.take("server");
    let mut logging = telemetry.take_object("accessLog").take_only("settings");
    let mut format = logging.take_object("format");
    assert_eq!(format.take("type"), "JSON");
    let mut sink = logging.take_only("sinks");
    assert_eq!(sink.take("type"), "File");
    let path = sink.take_object("file").take("path");
    let manager = json!({
        "@type": CONNECTION_MANAGER,
        "stat_prefix": "http-80",
        "http_filters": [filter, router()],
        "route_config": routes("llm/llm/http", enabled),
        "tracing": spans,
        "access_log": [log(path, format.take("json"))],
    });
    let mut added = proxy.take_object("bootstrap");
    assert_eq!(added.take("type"), "Merge");
    let file = places.folder.join("bootstrap.yaml");
    fs::write(&file, text(&added.take("value"))).unwrap();
    let mut bootstrap = bootstrap(places, manager, documents(file.to_str().unwrap()).remove(0), true);
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
    clusters.push(cluster("wasm_cluster", server, false));
    if with_patch {
        repaired(&mut bootstrap["static_resources"]["listeners"][0]);
    }
    bootstrap
}

/// Applies the EnvoyPatchPolicy to the listener, which must have the value that is replaced.
fn repaired(listener: &mut Value) {
    let policy = resource("envoy/envoy-gateway/envoypatchpolicy.yaml", "EnvoyPatchPolicy");
    let mut spec = Taken::new(policy["spec"].clone());
    spec.take("targetRef");
    assert_eq!(spec.take("type"), "JSONPatch");
    let mut patch = spec.take_only("jsonPatches");
    assert_eq!(patch.take("type"), "type.googleapis.com/envoy.config.listener.v3.Listener");
    assert_eq!(patch.take("name"), listener["name"]);
    let mut operation = patch.take_object("operation");
    assert_eq!(operation.take("op"), "replace");
    let place = text(&operation.take("path"));
    let place = listener
        .pointer_mut(&place)
        .unwrap_or_else(|| panic!("the listener has no {place}, which the EnvoyPatchPolicy replaces"));
    *place = operation.take("value");
}

fn bootstrap(places: &Places, manager: Value, added: Value, grpc: bool) -> Value {
    let any = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    let chain = json!({"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    }]});
    let listener = json!({
        "name": "llm/llm/http",
        "address": any,
        "traffic_direction": "OUTBOUND",
        "default_filter_chain": chain,
    });
    let mut bootstrap = json!({
        "node": {"id": "gateway", "cluster": "test"},
        "admin": {"address": any},
        "stats_flush_interval": "0.2s",
        "static_resources": {
            "listeners": [listener],
            "clusters": [cluster("provider", places.provider, false), cluster("collector", places.collector, grpc)],
        },
        "layered_runtime": {"layers": [{"name": "now", "static_layer": {"tracing.opentelemetry.min_flush_spans": 1}}]},
    });
    merge(&mut bootstrap, added);
    bootstrap
}

fn cluster(name: &str, addr: SocketAddr, http2: bool) -> Value {
    let address = json!({"socket_address": {"address": addr.ip().to_string(), "port_value": addr.port()}});
    let mut cluster = json!({"name": name, "load_assignment": {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    }});
    if http2 {
        cluster["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }});
    }
    cluster
}

fn routes(host: &str, per_filter: Value) -> Value {
    let route = json!({
        "name": "openai",
        "match": {"prefix": "/"},
        "route": {"cluster": "provider", "timeout": "0s"},
        "typed_per_filter_config": per_filter,
    });
    json!({"name": "calls", "virtual_hosts": [{"name": host, "domains": ["*"], "routes": [route]}]})
}

/// Both products create a second span, for the upstream request.
fn tracing_of(exporter: Value, sampling: Value, tags: Vec<Value>) -> Value {
    json!({
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": exporter},
        "client_sampling": {"value": 100},
        "random_sampling": {"value": sampling},
        "overall_sampling": {"value": 100},
        "custom_tags": tags,
        "spawn_upstream_span": true,
    })
}

fn log(path: Value, format: Value) -> Value {
    json!({"name": "envoy.access_loggers.file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": path,
        "log_format": {"json_format": format},
    }})
}

fn router() -> Value {
    json!({"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
    }})
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from),
        (into, from) => *into = from,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string")).to_owned()
}

/// An object whose members are removed one by one. The members left when it is dropped were not translated.
struct Taken(Map<String, Value>);

impl Taken {
    fn new(value: Value) -> Self {
        match value {
            Value::Object(members) => Self(members),
            other => panic!("{other} is not an object"),
        }
    }

    fn take(&mut self, key: &str) -> Value {
        self.0.remove(key).unwrap_or_else(|| panic!("{key} is missing; the other keys are {:?}", self.0.keys()))
    }

    fn take_object(&mut self, key: &str) -> Self {
        Self::new(self.take(key))
    }

    fn take_all(mut self) -> Map<String, Value> {
        std::mem::take(&mut self.0)
    }

    /// Removes a list with one element and returns the element.
    fn take_only(&mut self, key: &str) -> Self {
        let mut list = self.take(key);
        let list = list.as_array_mut().unwrap_or_else(|| panic!("{key} is not a list"));
        assert_eq!(list.len(), 1, "{key}");
        Self::new(list.remove(0))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "these keys are not translated to Envoy's configuration: {:?}", self.0.keys());
        }
    }
}
