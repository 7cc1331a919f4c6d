//! envoy/docker-compose.yaml: validates it against its schema and the files it names. The test group mesh runs Envoy, the
//! provider, the Collector, Prometheus and Jaeger without containers.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::support::compose::{FILE, mounts, service, services};
use crate::support::manifests::{compose_errors, documents, path};

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
        assert_eq!(alone, ["envoy", "jaeger"].contains(&&**name), "{name} must share Envoy's network");
        assert!(
            alone || service.get("ports").is_none(),
            "{name} must not publish ports, because it shares Envoy's network"
        );
    }
    let ports = |name: &str| services[name]["ports"].as_array().unwrap().clone();
    assert_eq!(ports("jaeger"), ["127.0.0.1:16686:16686"]);
    let published: BTreeSet<u16> = ports("envoy")
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
    let defaults = [("prometheus", 9090), ("grafana", 3000)];
    let envoy = [10000, 9901];
    let collector = &documents("envoy/collector.yaml")[0];
    let received = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].as_str().unwrap();
    let scraped = collector["exporters"]["prometheus"]["endpoint"].as_str().unwrap();
    let collects = [received, scraped].map(|address| address.parse::<SocketAddr>().unwrap().port());
    let provider: SocketAddr = services["provider"]["command"][2].as_str().unwrap().parse().unwrap();
    let listening: BTreeSet<u16> =
        defaults.iter().map(|(_, port)| *port).chain(envoy).chain(collects).chain([provider.port()]).collect();
    let unpublished = collects.into_iter().chain([provider.port()]).collect();
    assert_eq!(&listening - &published, unpublished, "unpublished");
    assert_eq!(&published - &listening, BTreeSet::new(), "no process listens on these published ports");

    let source = &documents("envoy/grafana/provisioning/datasources/gaugeway.yaml")[0]["datasources"][0];
    let scraped =
        &documents("envoy/prometheus/prometheus.yml")[0]["scrape_configs"][0]["static_configs"][0]["targets"][0];
    let sent = &services["traffic"]["command"][2];
    let mut named = vec![source["url"].as_str().unwrap().trim_start_matches("http://"), scraped.as_str().unwrap()];
    named.push(sent.as_str().unwrap());
    let of_the_collector = collector["exporters"]["otlp_http/prometheus"]["endpoint"].as_str().unwrap();
    named.push(of_the_collector.strip_prefix("http://").unwrap().strip_suffix("/api/v1/otlp").unwrap());
    let clusters = documents("envoy/minimal.yaml")[0]["static_resources"]["clusters"].clone();
    let clusters = clusters.as_array().unwrap().iter().map(|cluster| {
        let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
        let address = &endpoint["address"]["socket_address"];
        format!("{}:{}", address["address"].as_str().unwrap(), address["port_value"])
    });
    let clusters: Vec<_> = clusters.collect();
    named.extend(clusters.iter().map(String::as_str));
    assert_eq!(named.len(), 6, "{named:?}");
    for address in named {
        let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
        assert!(listening.contains(&port), "{address}: no process listens there, only on {listening:?}");
    }
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
