//! MLflow's tracking server, a tracing backend for LLM calls, on loopback. It receives OTLP; tests read it through its
//! API.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::process::Command;

use super::backend::{Backend, free, setting};
use super::client;

pub struct Mlflow {
    /// Serves `POST /v1/traces` and the API.
    pub addr: SocketAddr,
    backend: Backend,
}

impl Mlflow {
    /// Starts MLflow and waits until it has its first experiment, whose identifier is 0. Panics with MLflow's log if it
    /// does not.
    pub async fn start() -> Self {
        let [addr, _] = free();
        let mlflow = Backend::start("mlflow", addr, "/api/2.0/mlflow/experiments/get?experiment_id=0", |folder| {
            // `mlflow server` starts the same program as a child process, which would outlive it.
            let mut command = Command::new(setting("GAUGEWAY_MLFLOW"));
            command
                .args(["-m", "uvicorn", "--host", &addr.ip().to_string(), "--port", &addr.port().to_string()])
                .arg("mlflow.server.fastapi_app:app")
                .env("_MLFLOW_SERVER_FILE_STORE", format!("sqlite:///{}", folder.join("mlflow.db").display()))
                .env("_MLFLOW_SERVER_ARTIFACT_ROOT", folder.join("artifacts"))
                .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
                .env("MLFLOW_DISABLE_TELEMETRY", "true")
                // Otherwise MLflow downloads its list of prices.
                .env("MLFLOW_MODEL_CATALOG_URI", "");
            command
        });
        Self { addr, backend: mlflow.await }
    }

    /// The trace with this identifier once it has `count` spans: its `trace_info`, and its `spans`, oldest first, with
    /// plain values as `attributes`.
    pub async fn trace(&self, trace_id: &str, count: usize) -> Value {
        let path = format!("/api/3.0/mlflow/traces/get?trace_id=tr-{trace_id}");
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let reply = client::get(self.addr, &path).await.unwrap();
            let mut answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let trace = &mut answer["trace"];
            if let Some(spans) = trace["spans"].as_array_mut().filter(|spans| spans.len() >= count) {
                spans.sort_by_key(|span| span["start_time_unix_nano"].as_u64());
                for span in spans {
                    span["attributes"] = plain(&span["attributes"]);
                }
                return trace.take();
            }
            assert!(Instant::now() < end, "{trace_id} has not {count} spans: {answer}\n{}", self.backend.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// An object from OTLP's list of keys and values.
fn plain(pairs: &Value) -> Value {
    let value = |value: &Value| match value.as_object().and_then(|one| one.iter().next()) {
        Some((kind, list)) if kind == "kvlist_value" => plain(&list["values"]),
        Some((_, value)) => value.clone(),
        None => Value::Null,
    };
    let pairs = pairs.as_array().into_iter().flatten();
    let pairs = pairs.filter_map(|pair| Some((pair["key"].as_str()?.to_owned(), value(&pair["value"]))));
    Value::Object(pairs.collect::<Map<_, _>>())
}
