//! The parts of the demo, also used by the tests and the benchmark: an upstream that replays fixtures, a real Envoy
//! with the repository's envoy.yaml, a span receiver, a client, an agent and the live page. Every server listens on 127.0.0.1
//! only.

pub mod agent;
pub mod answers;
pub mod client;
pub mod envoy;
pub mod event_stream;
pub mod fixtures;
pub mod local_model;
pub mod otlp;
pub mod page;
pub mod prometheus;
mod protobuf;
pub mod recorded;
pub mod replay;
pub mod scripted;
mod span_attributes;
pub mod upstream;

use std::path::{Path, PathBuf};

/// The path of a file or folder of the repository, given relative to its root.
pub fn repository(path: impl AsRef<Path>) -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_folder.ancestors().nth(2).expect("the crate must be two folders below the repository's root");
    root.join(path)
}
