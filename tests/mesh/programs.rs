//! The programs that were compiled with Go: Jaeger, Prometheus 3, the Collector, and others by their names.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::backend::{Backend, free, setting};
use crate::support::client;
use crate::support::compose::{command, mount};
use crate::support::manifests::path;
use crate::support::prometheus::Sample;
use serde_json::Value;
use tokio::process::Command;

/// A program by the module in tests/mesh/programs and its own name.
pub fn program(module: &str, name: &str) -> PathBuf {
    Path::new(&setting("GAUGEWAY_GO_PROGRAMS")).join(module).join(name)
}

pub struct Jaeger {
    /// Receives OTLP over HTTP.
    pub otlp: SocketAddr,
    query: SocketAddr,
    backend: Backend,
}

impl Jaeger {
    pub async fn start() -> Self {
        let [otlp, query, admin] = free();
        let backend = Backend::start("jaeger", query, "/api/services", |_| {
            let mut command = Command::new(program("jaeger", "all-in-one"));
            command.arg(format!("--collector.otlp.http.host-port={otlp}"));
            command.arg(format!("--query.http-server.host-port={query}"));
            command.arg(format!("--admin.http.host-port={admin}"));
            for unused in ["query.grpc-server", "collector.otlp.grpc", "collector.grpc-server", "collector.http-server"]
            {
                command.arg(format!("--{unused}.host-port=127.0.0.1:0"));
            }
            command
        });
        Self { otlp, query, backend: backend.await }
    }

    /// The spans of all traces of a service.
    pub async fn spans(&self, service: &str) -> Vec<Value> {
        let found = client::get(self.query, &format!("/api/traces?service={service}&limit=100000&lookback=1h")).await;
        let reply = found.unwrap_or_else(|error| panic!("Jaeger does not answer: {error}\n{}", self.backend.log()));
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let traces = answer["data"].as_array().cloned().unwrap_or_default();
        traces.iter().flat_map(|trace| trace["spans"].as_array().unwrap()).cloned().collect()
    }
}

pub struct Prometheus {
    pub addr: SocketAddr,
    backend: Backend,
}

impl Prometheus {
    /// With the arguments and files of the service in docker-compose.yaml, whose configuration `change` may change.
    pub async fn start(change: impl Fn(String) -> String) -> Self {
        let [addr] = free();
        let backend = Backend::start("prometheus", addr, "/-/ready", |folder| {
            mount("prometheus", folder, |file, text| if file == "prometheus.yml" { change(text) } else { text });
            let mut process = Command::new(program("prometheus", "prometheus"));
            for argument in command("prometheus") {
                // Absolute paths are those of the container.
                process.arg(argument.replacen("=/", &format!("={}/", folder.display()), 1));
            }
            process.arg(format!("--web.listen-address={addr}"));
            process
        });
        Self { addr, backend: backend.await }
    }

    pub async fn api(&self, path: &str) -> Value {
        let reply = client::get(self.addr, path).await.expect("Prometheus does not answer");
        let answer: Value = serde_json::from_slice(&reply.body).expect("Prometheus did not answer with JSON");
        assert_eq!(answer["status"], "success", "{path}: {answer}\n{}", self.backend.log());
        answer["data"].clone()
    }

    pub async fn query(&self, promql: &str) -> Vec<Sample> {
        let escaped: String = promql.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.api(&format!("/api/v1/query?query={escaped}")).await;
        let series = data["result"].as_array().unwrap().iter().map(|one| {
            let labels = one["metric"].as_object().unwrap().iter();
            let mut labels: std::collections::BTreeMap<_, _> =
                labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
            let value = one["value"][1].as_str().unwrap().parse().unwrap();
            Sample { name: labels.remove("__name__").unwrap_or_default(), labels, value }
        });
        series.collect()
    }

    /// The series of an expression once there are any.
    pub async fn query_when(&self, promql: &str, patience: Duration) -> Vec<Sample> {
        let end = Instant::now() + patience;
        loop {
            let found = self.query(promql).await;
            if !found.is_empty() {
                return found;
            }
            assert!(Instant::now() < end, "Prometheus has nothing for {promql}\n{}", self.backend.log());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// The Collector with envoy/collector.yaml, of which only the addresses are replaced.
pub struct Collector {
    /// Receives OTLP over HTTP.
    pub otlp: SocketAddr,
    /// Serves the metrics to a Prometheus.
    pub scraped: SocketAddr,
    pub backend: Backend,
}

impl Collector {
    pub async fn start(jaeger: SocketAddr, prometheus: SocketAddr) -> Self {
        let [otlp, scraped, own] = free();
        let mut yaml = fs::read_to_string(path("envoy/collector.yaml")).unwrap();
        for (from, to) in [
            ("endpoint: 127.0.0.1:4318 ", format!("endpoint: {otlp} ")),
            ("http://jaeger:4318", format!("http://{jaeger}")),
            ("http://127.0.0.1:9090/", format!("http://{prometheus}/")),
            ("endpoint: 127.0.0.1:9464\n", format!("endpoint: {scraped}\n")),
            ("port: 8888}", format!("port: {}}}", own.port())),
        ] {
            assert_eq!(yaml.matches(from).count(), 1, "envoy/collector.yaml must contain {from:?} once");
            yaml = yaml.replace(from, &to);
        }
        Self { backend: Self::run(scraped, "/metrics", &yaml).await, otlp, scraped }
    }

    /// Starts a Collector with this configuration and waits until GET of the path returns 200.
    pub async fn run(addr: SocketAddr, get: &str, yaml: &str) -> Backend {
        let start = |folder: &Path| {
            let file = folder.join("collector.yaml");
            fs::write(&file, yaml).unwrap();
            let mut command = Command::new(program("collector", "collector"));
            command.arg(format!("--config={}", file.display()));
            command
        };
        Backend::start("collector", addr, get, start).await
    }
}
