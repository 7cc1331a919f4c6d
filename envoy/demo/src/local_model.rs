//! A small language model on this machine. `local_model.py` serves it in OpenAI's and Anthropic's formats.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::client;

pub struct LocalModel {
    _process: Child,
    pub addr: SocketAddr,
    /// The model name in its responses.
    pub model: String,
}

impl LocalModel {
    pub async fn start() -> Result<Self, String> {
        let setting = |name: &str| {
            env::var(name)
                .map_err(|_| format!("{name} is not set: run UPSTREAM=local ./build.sh run, or ./build.sh test"))
        };
        let (python, file) = (setting("GAUGEWAY_LOCAL_PYTHON")?, setting("GAUGEWAY_LOCAL_MODEL")?);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let addr = free.map_err(|error| format!("no free port on 127.0.0.1: {error}"))?;
        let mut process = Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/local_model.py"))
            .args([&file, &addr.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start {python}: {error}"))?;
        for _ in 0..600 {
            if let Ok(Some(status)) = process.try_wait() {
                return Err(format!(
                    "the local model ended while starting ({status}): {python} envoy/demo/local_model.py {file}"
                ));
            }
            if let Ok(reply) = client::get(addr, "/v1/models").await
                && reply.status == 200
            {
                let models: Value =
                    serde_json::from_slice(&reply.body).map_err(|error| format!("/v1/models: {error}"))?;
                let model = models["data"][0]["id"].as_str().unwrap_or("local").to_owned();
                return Ok(Self { _process: process, addr, model });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("the local model did not answer GET /v1/models within a minute".to_owned())
    }
}
