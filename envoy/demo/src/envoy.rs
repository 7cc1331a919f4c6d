//! A real Envoy with the repository's `envoy/envoy.yaml`. Only addresses, paths and intervals are replaced, so the
//! shipped file is what is tested. Dropping the value stops Envoy.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::client;
use super::prometheus::{self, Sample};
use super::repository;
use super::span_attributes::for_spans;
pub use super::span_attributes::{Spans, spans};

/// The maximum number of lines kept of Envoy's log.
pub const LINES: usize = 100_000;

/// How Envoy is started. `Options::to(upstream)` gives the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    pub upstream: SocketAddr,
    /// The configuration to start from, if not `envoy/envoy.yaml`.
    pub text: Option<String>,
    /// The OTLP receiver for spans. None sends no spans.
    pub otlp: Option<SocketAddr>,
    /// The plugin's configuration.
    pub config: Value,
    pub concurrency: u32,
    /// Uses HTTP/2 to the upstream.
    pub http2_upstream: bool,
    /// Envoy's log level, such as `warning`.
    pub log_level: &'static str,
    /// `false` removes the plugin, for comparison.
    pub plugin: bool,
    /// `false` removes Envoy's own spans.
    pub tracing: bool,
    /// Reads the listener from a file that Envoy watches, so that [`Envoy::deliver`] can replace it.
    pub dynamic: bool,
    /// The time that calls in progress have to finish on a replaced listener or filter chain.
    pub drain: Duration,
    /// Uses the ports of the file (10000 and 9901) instead of free ports.
    pub own_ports: bool,
    /// Additional replacements in envoy.yaml. Each text must occur exactly once.
    pub replace: Vec<(String, String)>,
}

pub struct Envoy {
    /// The address for clients.
    pub addr: SocketAddr,
    pub admin: SocketAddr,
    access_log: Arc<Mutex<Vec<Value>>>,
    log: Arc<Mutex<VecDeque<String>>>,
    child: Child,
    folder: PathBuf,
}

/// The replacement that lets the plugin hold requests, for `stream_usage.inject` and `feedback.path`.
pub fn holding_requests() -> (String, String) {
    let role = "                vm_config:\n";
    (role.to_owned(), format!("                allow_on_headers_stop_iteration: true\n{role}"))
}

impl Options {
    pub fn to(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            text: None,
            otlp: None,
            config: serde_json::json!({}),
            concurrency: 1,
            http2_upstream: false,
            log_level: "warning",
            plugin: true,
            tracing: true,
            dynamic: false,
            drain: Duration::from_secs(600),
            own_ports: false,
            replace: Vec::new(),
        }
    }

    /// Adds routes and clusters, one line of flow YAML each, before those of envoy.yaml.
    pub fn with(mut self, routes: &[&str], clusters: &[String]) -> Self {
        let added = |before: &str, indent: &str, items: &[&str]| {
            let items: String = items.iter().map(|item| format!("{indent}- {item}\n")).collect();
            (before.to_owned(), format!("{before}{items}"))
        };
        self.replace.push(added("              routes:\n", "              ", routes));
        let clusters: Vec<_> = clusters.iter().map(String::as_str).collect();
        self.replace.push(added("  clusters:\n", "  ", &clusters));
        self
    }

    /// The shipped configuration with the values of this run.
    pub fn yaml(&self) -> Result<String, String> {
        self.yaml_for(spans())
    }

    /// The same for an Envoy with this form of span attributes.
    fn yaml_for(&self, spans: Spans) -> Result<String, String> {
        let path = repository("envoy/envoy.yaml");
        let shipped = || fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()));
        let mut yaml = self.text.clone().map_or_else(shipped, Ok)?;
        let otlp_port = self.otlp.map_or(9, |addr| addr.port()); // the discard port; there is no server
        let mut replace = vec![
            // This comes first, because the upstream's port may begin with the same digits.
            ("port_value: 4318".to_owned(), format!("port_value: {otlp_port}")),
            ("port_value: 8080".to_owned(), format!("port_value: {}", self.upstream.port())),
            ("stats_flush_interval: 5s".to_owned(), "stats_flush_interval: 0.2s".to_owned()),
        ];
        if !self.own_ports {
            replace.push(("port_value: 10000".to_owned(), "port_value: 0".to_owned()));
            replace.push(("port_value: 9901".to_owned(), "port_value: 0".to_owned()));
        }
        if self.http2_upstream {
            let protocol = "\n    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}\n    load_assignment:\n      cluster_name: llm\n";
            replace.push(("\n    load_assignment:\n      cluster_name: llm\n".to_owned(), protocol.to_owned()));
        }
        if self.plugin {
            replace.push((
                "filename: dist/gaugeway.wasm".to_owned(),
                format!("filename: {}", from_environment("GAUGEWAY_WASM")?),
            ));
            replace.push(("value: \"{}\"".to_owned(), format!("value: {}", Value::String(self.config.to_string()))));
        }
        yaml = for_spans(&yaml, spans);
        for (from, to) in replace.iter().chain(&self.replace) {
            match yaml.matches(from.as_str()).count() {
                1 => yaml = yaml.replace(from, to),
                n => return Err(format!("envoy.yaml must contain {from:?} once, not {n} times")),
            }
        }
        if !self.plugin {
            let ends = yaml
                .find("          - name: gaugeway\n")
                .zip(yaml.find("          - name: envoy.filters.http.router\n"));
            let (start, end) = ends.ok_or("envoy.yaml has no filter named gaugeway right before the router")?;
            yaml.replace_range(start..end, "");
        }
        if !self.tracing {
            let ends = yaml.find("          tracing:\n").zip(yaml.find("          # --- 3. "));
            let (start, end) = ends.ok_or("envoy.yaml has no tracing before its part 3")?;
            yaml.replace_range(start..end, "");
        }
        // Exports each span when its call ends, instead of every five spans or five seconds.
        yaml.push_str(
            "\nlayered_runtime: {layers: [{name: now, static_layer: {tracing.opentelemetry.min_flush_spans: 1}}]}\n",
        );
        Ok(yaml)
    }
}

impl Envoy {
    /// Starts Envoy and waits until it serves. Panics with Envoy's log if it does not.
    pub async fn start(options: &Options) -> Self {
        Self::try_start(options).await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub async fn try_start(options: &Options) -> Result<Self, String> {
        Self::try_start_as(options.yaml()?, options).await
    }

    /// Starts Envoy with a complete configuration in YAML or JSON. Only the process settings of the options are used.
    pub async fn try_start_as(mut yaml: String, options: &Options) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let program = from_environment("GAUGEWAY_ENVOY")?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("gaugeway-envoy-{}-{number}", std::process::id()));
        let (config, admin_address) = (folder.join("envoy.yaml"), folder.join("admin-address"));
        let unwritable = |error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(unwritable)?;
        if options.dynamic {
            yaml = deliver(&folder, yaml)?;
        }
        fs::write(&config, yaml).map_err(unwritable)?;
        let mut child = Command::new(&program)
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin_address)
            .args(["--concurrency", &options.concurrency.to_string()])
            .args(["--drain-time-s", &options.drain.as_secs().to_string()])
            .args(["--disable-hot-restart", "--log-level", options.log_level, "--file-flush-interval-msec", "20"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start Envoy ({program}): {error}"))?;
        let access_log = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (entries, lines) = (Arc::clone(&access_log), Arc::clone(&log));
        let stdout = child.stdout.take().ok_or("Envoy's stdout is not a pipe")?;
        let stderr = child.stderr.take().ok_or("Envoy's stderr is not a pipe")?;
        tokio::spawn(each_line(stdout, move |line| {
            entries.lock().unwrap().push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
        }));
        tokio::spawn(each_line(stderr, move |line| {
            let mut lines = lines.lock().unwrap();
            if lines.len() == LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }));
        let unknown = "127.0.0.1:0".parse().map_err(|_| "127.0.0.1:0 is an address")?;
        let mut envoy = Self { addr: unknown, admin: unknown, access_log, log, child, folder };
        envoy.wait_until_ready(&admin_address).await?;
        Ok(envoy)
    }

    /// Writes the listener of these options for an Envoy that was started with `dynamic`. Envoy applies or rejects it
    /// soon afterwards.
    pub fn deliver(&self, options: &Options) {
        let delivered = options.yaml().and_then(|yaml| deliver(&self.folder, yaml));
        delivered.unwrap_or_else(|error| panic!("{error}"));
    }

    /// GET on the admin port.
    pub async fn admin(&self, path: &str) -> String {
        let reply = client::get(self.admin, path)
            .await
            .unwrap_or_else(|error| panic!("Envoy's admin port: GET {path}: {error}"));
        String::from_utf8_lossy(&reply.body).into_owned()
    }

    /// All Prometheus series.
    pub async fn samples(&self) -> Vec<Sample> {
        prometheus::parse(&self.admin("/stats/prometheus").await)
    }

    /// All Prometheus series once `enough` holds, or after the timeout. Histograms change only at the next flush.
    pub async fn samples_when(&self, enough: impl Fn(&[Sample]) -> bool, timeout: Duration) -> Vec<Sample> {
        let end = Instant::now() + timeout;
        loop {
            let samples = self.samples().await;
            if enough(&samples) || Instant::now() >= end {
                return samples;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// All access log lines in order. A line that is not JSON is returned as a string.
    pub fn entries(&self) -> Vec<Value> {
        self.access_log.lock().unwrap().clone()
    }

    /// The access log lines that have come since the last call of this method. They are kept no longer.
    pub fn take_entries(&self) -> Vec<Value> {
        std::mem::take(&mut *self.access_log.lock().unwrap())
    }

    /// The access log line of the call with this `x-request-id`, once it is written.
    pub async fn entry(&self, request_id: &str, timeout: Duration) -> Option<Value> {
        self.entry_where(|entry| entry["request_id"] == request_id, timeout).await
    }

    pub async fn entry_where(&self, fits: impl Fn(&Value) -> bool, timeout: Duration) -> Option<Value> {
        self.entries_when(|entries| entries.iter().any(&fits), timeout).await.into_iter().find(&fits)
    }

    /// All access log lines once there are `count`, or after the timeout.
    pub async fn entries_of(&self, count: usize, timeout: Duration) -> Vec<Value> {
        self.entries_when(|entries| entries.len() >= count, timeout).await
    }

    /// The last [`LINES`] lines that Envoy and the plugin wrote to stderr.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().iter().map(|line| format!("{line}\n")).collect()
    }

    /// The process id, for measuring its resources.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the Envoy process has ended")
    }

    /// Resident memory of the process in bytes.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("/proc/PID/status is not readable: this needs Linux");
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("/proc/PID/status has no line VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Returns true if the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    async fn entries_when(&self, enough: impl Fn(&[Value]) -> bool, timeout: Duration) -> Vec<Value> {
        let end = Instant::now() + timeout;
        while !enough(&self.access_log.lock().unwrap()) && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.entries()
    }

    async fn wait_until_ready(&mut self, admin_address: &Path) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            if self.has_ended() {
                tokio::time::sleep(Duration::from_millis(50)).await; // its last log lines are still in the pipe
                return Err(format!("Envoy ended while starting:\n{}", self.log()));
            }
            if let Some(addr) = fs::read_to_string(admin_address).ok().and_then(|addr| addr.trim().parse().ok()) {
                self.admin = addr;
                if client::get(addr, "/ready").await.is_ok_and(|reply| reply.status == 200) {
                    let listeners: Value = serde_json::from_str(&self.admin("/listeners?format=json").await)
                        .map_err(|error| format!("Envoy's /listeners is not JSON: {error}"))?;
                    let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
                    let port = address["port_value"].as_u64().and_then(|port| u16::try_from(port).ok());
                    self.addr.set_port(
                        port.ok_or_else(|| format!("there is no listener in Envoy's /listeners: {listeners}"))?,
                    );
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("Envoy was not ready after 60 s:\n{}", self.log()))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Waits for the end of the process, so that its ports are free afterwards.
        let _ = self.child.start_kill();
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Moves the listener from the configuration into a file that Envoy watches, and returns the rest.
fn deliver(folder: &Path, mut yaml: String) -> Result<String, String> {
    let (watched, fresh) = (folder.join("lds.yaml"), folder.join("lds.yaml.new"));
    let (head, end) = ("  listeners:\n  - name: llm\n", "\n  clusters:\n");
    let ends = yaml.find(head).zip(yaml.find(end));
    let (start, end) = ends.ok_or("envoy.yaml has no listener llm before its clusters")?;
    let kind = "  - \"@type\": type.googleapis.com/envoy.config.listener.v3.Listener\n    name: llm\n";
    let listeners = format!("resources:\n{kind}{}\n", &yaml[start + head.len()..end]);
    yaml.replace_range(start..=end, "");
    let watch = format!("lds_config: {{path_config_source: {{path: {}}}}}", watched.display());
    yaml.push_str(&format!("node: {{id: gateway, cluster: test}}\ndynamic_resources: {{{watch}}}\n"));
    // Envoy reloads the file when another file is renamed to it.
    let written = fs::write(&fresh, listeners).and_then(|()| fs::rename(&fresh, &watched));
    written.map_err(|error| format!("{}: {error}", watched.display()))?;
    Ok(yaml)
}

pub(crate) fn from_environment(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set: run ./build.sh test, or ./build.sh run"))
}

async fn each_line(pipe: impl AsyncRead + Unpin, mut take: impl FnMut(String)) {
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        take(String::from_utf8_lossy(&line).into_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstreams_port_may_begin_with_the_port_of_another_cluster() {
        let upstream = ([127, 0, 0, 1], 43180).into();
        let yaml = Options { plugin: false, ..Options::to(upstream) }.yaml_for(Spans::Typed).unwrap();
        assert_eq!(yaml.matches("port_value: 43180").count(), 1);
    }
}
