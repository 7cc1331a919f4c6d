//! envoy/docker-compose.yaml: validates it against its schema and the files it names, and runs its processes without
//! containers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::manifests::{compose_errors, documents, path};
use crate::support::otlp::Receiver;
use crate::support::prometheus::total;
use gaugeway_demo::recorded;
use serde_json::Value;

const FILE: &str = "envoy/docker-compose.yaml";
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_compose_file_is_valid_against_its_schema() {
    assert_eq!(compose_errors(&path(FILE)), "");
    let folder = Folder::new("schema");
    let wrong = folder.0.join("wrong.yaml");
    fs::write(&wrong, fs::read_to_string(path(FILE)).unwrap().replacen("    volumes:", "    volume:", 1)).unwrap();
    assert!(compose_errors(&wrong).contains("'volume' was unexpected"), "{}", compose_errors(&wrong));
}

#[test]
fn every_image_is_built_locally_or_pinned_to_a_release() {
    let dockerfile = read("envoy/Dockerfile");
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        if let Some(build) = service.get("build") {
            let file =
                path("envoy").join(build["context"].as_str().unwrap()).join(build["dockerfile"].as_str().unwrap());
            assert_eq!(file.canonicalize().unwrap(), path("envoy/Dockerfile").canonicalize().unwrap());
            let stage = format!(" AS {}\n", build["target"].as_str().unwrap());
            assert!(dockerfile.contains(&stage), "{name}: the Dockerfile has no stage {}", build["target"]);
        } else if image.ends_with(":demo") {
            let builds = services().values().filter(|one| one["image"] == image && one.get("build").is_some()).count();
            assert_eq!(builds, 1, "{name}: {image} is built {builds} times");
        } else {
            assert_released(image);
        }
    }
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        let base = line.split(" AS ").next().unwrap();
        assert!(
            base == "debian:bookworm-slim" || base == "rust:1.95-bookworm" || base.starts_with("envoyproxy/"),
            "{base}"
        );
    }
    assert!(
        dockerfile.contains("FROM envoyproxy/envoy:v1.40.0 AS envoy\n"),
        "the Dockerfile does not use the tested version of Envoy"
    );
}

/// Checks that the image has the form `owner/name:1.2.3`, with or without a `v`.
fn assert_released(image: &str) {
    let (name, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no tag"));
    let version: Vec<_> = tag.trim_start_matches('v').split('.').collect();
    let numbers = version.len() == 3 && version.iter().all(|part| part.parse::<u32>().is_ok());
    assert!(numbers && name.split('/').count() == 2, "{image} must have the form owner/name:release");
}

#[test]
fn the_build_context_contains_every_file_that_the_image_needs() {
    let ignored = read("envoy/Dockerfile.dockerignore");
    let kept: BTreeSet<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignored.lines().any(|line| line == "*"), "the .dockerignore must exclude everything by default");
    for file in &kept {
        assert!(path(file).exists(), "{file} does not exist");
    }
    let dockerfile = read("envoy/Dockerfile");
    assert!(dockerfile.contains("./build.sh wasm && cargo build --package gaugeway-demo --bin recorded"));
    // Every file that a later stage copies must be created by the build stage.
    let root = "/gaugeway/";
    for copy in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY --from=build ")) {
        let from = copy.split(' ').next().unwrap().strip_prefix(root).unwrap();
        let made = ["dist/gaugeway.wasm", "target/debug/recorded"].contains(&from);
        assert!(made || kept.iter().any(|file| from.starts_with(file)), "no build stage creates {from}");
    }
    assert!(read("build.sh").contains("PLUGIN=$ROOT/dist/gaugeway.wasm"));
    assert!(path("envoy/demo/src/bin/recorded.rs").exists());
}

#[test]
fn every_mount_is_an_existing_file_at_the_path_its_program_reads() {
    for (name, service) in services() {
        for (from, to) in mounts(&service) {
            assert!(from.exists(), "{name} mounts {}, which does not exist", from.display());
            assert!(to.is_absolute(), "{name} must mount at an absolute path, not {}", to.display());
        }
    }
    let grafana = service("grafana");
    let mounted: BTreeSet<_> = mounts(&grafana).into_iter().map(|(_, to)| to).collect();
    let dashboards = &documents("envoy/grafana/provisioning/dashboards/gaugeway.yaml")[0]["providers"][0];
    let board = Path::new(dashboards["options"]["path"].as_str().unwrap()).join("dashboard.json");
    assert!(mounted.contains(&board), "Grafana reads {}, but the mounts are {mounted:?}", board.display());
    assert!(mounted.contains(Path::new("/etc/grafana/provisioning")));
    assert_eq!(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"], board.to_str().unwrap());

    // Prometheus reads its rules from the folder of its configuration.
    let prometheus = service("prometheus");
    let mounted: BTreeSet<_> = mounts(&prometheus).into_iter().map(|(_, to)| to).collect();
    for rules in documents("envoy/prometheus/prometheus.yml")[0]["rule_files"].as_array().unwrap() {
        let rules = Path::new("/etc/prometheus").join(rules.as_str().unwrap());
        assert!(mounted.contains(&rules), "{} is not mounted", rules.display());
    }
}

#[test]
fn every_address_in_the_files_is_listened_on_by_a_container_of_the_network() {
    let services = services();
    for (name, service) in &services {
        let alone = service.get("network_mode").is_none();
        assert_eq!(alone, name == "envoy", "{name} must share Envoy's network");
        assert!(
            alone || service.get("ports").is_none(),
            "{name} must not publish ports, because it shares Envoy's network"
        );
    }
    let published: BTreeSet<u16> = services["envoy"]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| {
            let parts: Vec<_> = port.as_str().unwrap().split(':').collect();
            assert_eq!(
                (parts[0], parts[1]),
                ("127.0.0.1", parts[2]),
                "a port must be published on 127.0.0.1 only, under the same number"
            );
            parts[2].parse().unwrap()
        })
        .collect();
    // The listening ports: Envoy's from its file, the provider's from its command, the others from their defaults.
    let defaults = [("prometheus", 9090), ("grafana", 3000), ("jaeger UI", 16686), ("jaeger OTLP/HTTP", 4318)];
    let envoy = [10000, 9901];
    let provider: SocketAddr = services["provider"]["command"][2].as_str().unwrap().parse().unwrap();
    let listening: BTreeSet<u16> =
        defaults.iter().map(|(_, port)| *port).chain(envoy).chain([provider.port()]).collect();
    assert_eq!(&listening - &published, BTreeSet::from([4318, provider.port()]), "unpublished");
    assert_eq!(&published - &listening, BTreeSet::new(), "no process listens on these published ports");

    let source = &documents("envoy/grafana/provisioning/datasources/gaugeway.yaml")[0]["datasources"][0];
    let scraped =
        &documents("envoy/prometheus/prometheus.yml")[0]["scrape_configs"][0]["static_configs"][0]["targets"][0];
    let sent = &services["traffic"]["command"][2];
    let mut named = vec![source["url"].as_str().unwrap().trim_start_matches("http://"), scraped.as_str().unwrap()];
    named.push(sent.as_str().unwrap());
    let yaml = read("envoy/envoy.yaml");
    let clusters = &yaml[yaml.find("\n  clusters:").unwrap()..];
    for address in clusters.lines().filter_map(|line| line.split_once("address: 127.0.0.1, port_value: ")) {
        named.push(address.1.trim_end_matches('}'));
    }
    assert_eq!(named.len(), 5, "{named:?}");
    for address in named {
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        assert!(listening.contains(&port), "{address}: no process listens there, only on {listening:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_processes_of_the_containers_work_together_without_containers() {
    let services = services();
    let folder = Folder::new("processes");

    let at = |service: &str| services[service]["command"].as_array().unwrap().iter().map(text).collect::<Vec<_>>();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let provider = free();
    let mut serve = at("provider").split_off(1);
    assert_eq!(serve[1], "127.0.0.1:8080");
    serve[1] = provider.to_string();
    tokio::spawn(async move {
        let Err(why) = recorded::run(&serve).await;
        panic!("{why}");
    });

    // Envoy's command is a script that ends by executing Envoy.
    let command = at("envoy");
    assert_eq!(&command[..2], ["/bin/sh", "-c"]);
    let (script, envoy) = command[2].split_once(" && exec ").expect("the script does not end with exec");
    let ready = folder.0.join("envoy.yaml");
    assert_eq!(envoy, "envoy --config-path /tmp/envoy.yaml");
    let mut script = script.replace("/tmp/envoy.yaml", ready.to_str().unwrap());
    for (from, to) in mounts(&services["envoy"]) {
        script = script.replace(to.to_str().unwrap(), from.to_str().unwrap());
    }
    let shell = std::process::Command::new(&command[0]).arg("-c").arg(&script).status().unwrap();
    assert!(shell.success(), "{script}");
    let text = fs::read_to_string(&ready).unwrap();
    let shipped = read("envoy/envoy.yaml");
    let changed: Vec<_> = shipped.lines().zip(text.lines()).filter(|(was, is)| was != is).collect();
    assert_eq!((changed.len(), shipped.lines().count()), (2, text.lines().count()), "{changed:?}");
    assert!(changed.iter().all(|(was, is)| was.replace("127.0.0.1", "0.0.0.0") == *is), "{changed:?}");

    let spans = Receiver::start().await;
    let options = Options { text: Some(text), otlp: Some(spans.addr), ..Options::to(provider) };
    let envoy = Envoy::start(&options).await;
    let reach = |addr: SocketAddr| SocketAddr::from(([127, 0, 0, 1], addr.port()));
    let (door, admin) = (reach(envoy.addr), reach(envoy.admin));

    let mut send = at("traffic").split_off(1);
    send[1] = door.to_string();
    tokio::spawn(async move {
        let Err(why) = recorded::run(&send).await;
        panic!("{why}");
    });

    let prometheus = Prometheus::start(&folder.0, &services["prometheus"], admin).await;
    let counted = |query: &'static str| prometheus.wait_for(query);
    assert!(counted("up{job=\"envoy\"}").await == 1.0);
    assert!(counted("sum(gaugeway_requests_total{outcome=\"completed\"})").await > 0.0);
    assert!(counted("count(llm_token_usage_tokens_total)").await > 0.0, "the recording rules have no result");
    assert!(counted("count(llm_budget_usd_per_day)").await == 1.0, "the alert rules are not loaded");

    let span = spans.wait_for(|span| span.text("gaugeway.outcome") == Some("completed"), PATIENCE).await;
    assert!(span.is_some(), "no span of a call was exported");
    assert!(total(&envoy.samples().await, "gaugeway_output_tokens_total", &[]) > 0.0);
}

struct Prometheus {
    addr: SocketAddr,
    _child: tokio::process::Child,
}

impl Prometheus {
    /// Starts Prometheus with the container's arguments and mounts. Only the scraped address is changed.
    async fn start(folder: &Path, service: &Value, target: SocketAddr) -> Self {
        let root = folder.join("prometheus");
        for (from, to) in mounts(service) {
            let to = root.join(to.strip_prefix("/").unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let mut text = fs::read_to_string(&from).unwrap();
            if to.ends_with("prometheus.yml") {
                assert_eq!(text.matches("[\"127.0.0.1:9901\"]").count(), 1);
                text = text.replace("[\"127.0.0.1:9901\"]", &format!("[\"{target}\"]")).replace(": 15s\n", ": 1s\n");
            }
            fs::write(to, text).unwrap();
        }
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let program = Path::new(
            &std::env::var("GAUGEWAY_PROMETHEUS")
                .expect("GAUGEWAY_PROMETHEUS is not set: run ./build.sh test manifests"),
        )
        .join("prometheus");
        let arguments = service["command"].as_array().unwrap().iter().map(text).map(|argument| {
            let (name, file) = argument.split_once("=/").expect("an argument has no path");
            format!("{name}={}", root.join(file).display())
        });
        let child = tokio::process::Command::new(program)
            .args(arguments)
            .arg(format!("--web.listen-address={addr}"))
            .current_dir(&root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { addr, _child: child }
    }

    /// Returns the value of the first series once it is not 0.
    async fn wait_for(&self, query: &str) -> f64 {
        let url = format!("/api/v1/query?query={}", escaped(query));
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(reply) = client::get(self.addr, &url).await {
                let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                let value = &answer["data"]["result"][0]["value"][1];
                if let Some(value) =
                    value.as_str().and_then(|value| value.parse::<f64>().ok()).filter(|value| *value > 0.0)
                {
                    return value;
                }
            }
            assert!(Instant::now() < end, "Prometheus has no data for {query}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn services() -> BTreeMap<String, Value> {
    let file = documents(FILE).remove(0);
    file["services"].as_object().unwrap().iter().map(|(name, service)| (name.clone(), service.clone())).collect()
}

fn service(name: &str) -> Value {
    services().remove(name).unwrap_or_else(|| panic!("there is no service {name}"))
}

/// Source and target of each mount.
fn mounts(service: &Value) -> Vec<(PathBuf, PathBuf)> {
    let volumes = service["volumes"].as_array().into_iter().flatten().map(text);
    volumes
        .map(|volume| {
            let parts: Vec<_> = volume.split(':').collect();
            assert_eq!((parts.len(), parts[2]), (3, "ro"), "{volume} must have the form FROM:TO:ro");
            (path("envoy").join(parts[0].strip_prefix("./").unwrap()), PathBuf::from(parts[1]))
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string")).to_owned()
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gaugeway-compose-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
