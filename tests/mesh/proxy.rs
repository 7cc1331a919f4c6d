//! The control plane of a test, and Envoys that get their configuration from it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client;

/// A folder for the files of a run.
pub struct Folder(pub PathBuf);

/// A Go program of this folder that serves configuration until it is dropped.
pub struct ControlPlane {
    child: Child,
    _stdin: Option<ChildStdin>,
    log: PathBuf,
    /// The line that the program prints when Envoy can start.
    pub ready: Value,
}

/// An Envoy with a bootstrap that the control plane wrote. Its working directory is the bootstrap's folder.
pub struct Proxy {
    child: Child,
    log: PathBuf,
    admin: SocketAddr,
}

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gaugeway-mesh-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap_or_else(|error| panic!("two tests are called {name}: {error}"));
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.0));
        }
    }
}

impl ControlPlane {
    /// Starts the program with these settings. Panics with its log if it ends.
    pub fn start(program: &str, folder: &Path, settings: &Value) -> Self {
        let programs = environment("GAUGEWAY_MESH");
        let file = folder.join("settings.json");
        fs::write(&file, settings.to_string()).unwrap();
        let log = folder.join("control-plane.log");
        let mut child = Command::new(Path::new(&programs).join(program))
            .arg(&file)
            // Features of the control plane that its Helm chart sets in an ambient mesh.
            .env("PILOT_ENABLE_AMBIENT", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {programs}/{program}: {error}"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{program} is not ready:\n{}", fs::read_to_string(&log).unwrap()));
        Self { _stdin: child.stdin.take(), child, log, ready }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// Starts Envoy and waits until it serves the listener with this name.
    pub async fn start(bootstrap: &Path, admin_port: u16, listener: &str) -> Self {
        Self::start_as(bootstrap, admin_port, listener, &[]).await
    }

    /// The same with more arguments.
    pub async fn start_as(bootstrap: &Path, admin_port: u16, listener: &str, arguments: &[&str]) -> Self {
        let folder = bootstrap.parent().unwrap();
        let log = folder.join("envoy.log");
        let child = Command::new(environment("GAUGEWAY_ENVOY"))
            .arg("--config-path")
            .arg(bootstrap)
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"])
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("envoy.out")).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("cannot start Envoy");
        let mut proxy = Self { child, log, admin: SocketAddr::from(([127, 0, 0, 1], admin_port)) };
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            assert!(matches!(proxy.child.try_wait(), Ok(None)), "Envoy ended while starting:\n{}", proxy.log());
            if client::get(proxy.admin, "/ready").await.is_ok_and(|reply| reply.status == 200)
                && proxy.address(listener).await.is_some()
            {
                return proxy;
            }
            assert!(Instant::now() < end, "Envoy has no listener {listener} after 60 s:\n{}", proxy.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The address of a listener, once it is active.
    pub async fn address(&self, listener: &str) -> Option<SocketAddr> {
        let text = self.admin("/listeners?format=json").await;
        let listeners: Value = serde_json::from_str(&text).unwrap();
        let all = listeners["listener_statuses"].as_array()?;
        let address = &all.iter().find(|one| one["name"] == listener)?["local_address"]["socket_address"];
        format!("127.0.0.1:{}", address["port_value"]).parse().ok()
    }

    pub async fn admin(&self, path: &str) -> String {
        let reply = client::get(self.admin, path).await;
        String::from_utf8_lossy(&reply.unwrap_or_else(|error| panic!("GET {path}: {error}")).body).into_owned()
    }

    /// The first access log line, once it is written.
    pub async fn entry(&self) -> Value {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let log = fs::read_to_string(self.log.with_file_name("envoy.out")).unwrap();
            let mut entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(entry) = entries.find(|entry| entry["request_id"].is_string()) {
                return entry;
            }
            assert!(Instant::now() < end, "no access log line for the request: {log}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The last lines of Envoy's log.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./build.sh test mesh"))
}

/// A port that is free now, for what cannot choose its own.
pub fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}
