//! The parts of the demo, which the tests and the bench use too: an upstream that replays fixtures, a real Envoy with the
//! repository's envoy.yaml, a receiver for its spans, a client and the live page. Everything listens on 127.0.0.1 only.

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
pub mod scripted;
pub mod upstream;

use std::path::{Path, PathBuf};

/// A file or folder of the repository, by its path from the root.
pub fn repository(path: impl AsRef<Path>) -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_folder.ancestors().nth(2).expect("the crate is two folders below the root");
    root.join(path)
}
