//! Real parts that the integration tests and the demo share: an upstream that replays fixtures, a real Envoy with the
//! repository's own envoy.yaml, a receiver for its spans, and clients. Everything listens on 127.0.0.1 only.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(
    clippy::disallowed_methods,
    reason = "clock, environment and printing are forbidden to the plugin, not to what drives it"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test a broken assumption is best reported on the spot"
)]

pub mod agent;
pub mod answers;
pub mod client;
pub mod core;
pub mod crash;
pub mod edge;
pub mod envoy;
pub mod event_stream;
pub mod expect;
pub mod fixtures;
pub mod local_model;
pub mod manifests;
pub mod mesh;
pub mod otlp;
pub mod phoenix;
pub mod prometheus;
pub mod scripted;
pub mod upstream;
