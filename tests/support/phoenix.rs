//! Arize Phoenix, a tracing backend for LLM calls, on loopback. It receives OTLP; tests read it through its API and in
//! a browser.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::read::ZlibDecoder;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::process::Command;

use super::backend::{Backend, PATIENCE, free, setting};
use super::client::{self, Http};

pub struct Phoenix {
    /// Serves `POST /v1/traces`, the API and the pages.
    pub addr: SocketAddr,
    backend: Backend,
}

/// A page as rendered by a browser.
pub struct Page {
    pub document: String,
    pub picture: Picture,
}

pub struct Picture {
    pub width: u32,
    pub height: u32,
    /// The fraction of bytes that PNG's filters could not predict from neighbouring pixels. It is 0 for a blank
    /// picture.
    pub detail: f64,
}

impl Phoenix {
    /// Starts Phoenix and waits until it answers. Panics with Phoenix's log if it does not.
    pub async fn start() -> Self {
        let [addr, grpc] = free();
        let phoenix = Backend::start("phoenix", addr, "/healthz", |folder| {
            let mut command = Command::new(setting("GAUGEWAY_PHOENIX"));
            command
                .arg("serve")
                .env("PHOENIX_WORKING_DIR", folder)
                .env("PHOENIX_HOST", addr.ip().to_string())
                .env("PHOENIX_PORT", addr.port().to_string())
                .env("PHOENIX_GRPC_PORT", grpc.port().to_string())
                .env("PHOENIX_TELEMETRY_ENABLED", "false");
            command
        });
        Self { addr, backend: phoenix.await }
    }

    /// The spans of a trace, oldest first, once there are `count`. Phoenix stores spans some time after it received
    /// them.
    pub async fn spans(&self, trace_id: &str, count: usize) -> Vec<Value> {
        let path = format!("/v1/projects/default/spans?limit=1000&trace_id={trace_id}");
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let reply = client::get(self.addr, &path).await.unwrap();
            let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let mut spans = answer["data"].as_array().cloned().unwrap_or_default();
            if spans.len() >= count {
                spans.sort_by_key(|span| span["start_time"].as_str().unwrap_or_default().to_owned());
                return spans;
            }
            assert!(Instant::now() < end, "{} spans of {trace_id} instead of {count}: {answer}", spans.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns the result of a GraphQL query. The pages use the same interface.
    pub async fn ask(&self, query: &str) -> Value {
        let body = json!({"query": query}).to_string();
        let request = Request::post("/graphql").header("host", self.addr.to_string());
        let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body))).unwrap();
        let reply = client::send(self.addr, request, Http::One).await.unwrap();
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        assert!(answer["errors"].is_null() && !answer["data"].is_null(), "{query}: {answer}");
        answer["data"].clone()
    }

    /// The address of the page of a trace.
    pub async fn trace_url(&self, trace_id: &str) -> String {
        let project = &self.ask("{ projects { edges { node { id name } } } }").await["projects"]["edges"][0]["node"];
        assert_eq!(project["name"], "default");
        format!("http://{}/projects/{}/traces/{trace_id}", self.addr, project["id"].as_str().unwrap())
    }

    /// Opens the page of a trace in a browser. The screenshot is saved under `name` in cargo's folder for temporary
    /// test files.
    pub async fn trace_page(&self, trace_id: &str, name: &str) -> Page {
        let url = self.trace_url(trace_id).await;
        // Cargo sets the variable for tests only. Examples compile this file too, but take no pictures.
        let picture = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from).join(name);
        drop(fs::remove_file(&picture));
        let document = browse(&url, &[&format!("--screenshot={}", picture.display())], &self.backend.folder).await;
        Page { document, picture: Picture::read(&picture) }
    }
}

impl Picture {
    /// Reads only the PNG features that the browser's screenshots use.
    fn read(file: &Path) -> Self {
        let png = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "{} is not a PNG file", file.display());
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        let (mut at, mut packed) = (8, Vec::new());
        while at + 8 < png.len() {
            let length = number(at) as usize;
            if &png[at + 4..at + 8] == b"IDAT" {
                packed.extend_from_slice(&png[at + 8..at + 8 + length]);
            }
            at += length + 12;
        }
        let mut filtered = Vec::new();
        ZlibDecoder::new(&*packed).read_to_end(&mut filtered).unwrap();
        let told = filtered.iter().filter(|byte| **byte != 0).count();
        Self { width: number(16), height: number(20), detail: told as f64 / filtered.len() as f64 }
    }
}

/// Returns the document after the page has settled.
async fn browse(url: &str, arguments: &[&str], folder: &Path) -> String {
    let browser = Command::new(setting("GAUGEWAY_CHROMIUM"))
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1600,1000"])
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .args(["--virtual-time-budget=20000", "--dump-dom"])
        .args(arguments)
        .arg(url)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, browser).await.expect("the browser did not exit in time").unwrap();
    let document = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        document.contains("</html>"),
        "the browser printed no document: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    document
}
