//! Tests of the manifests for Istio, Envoy Gateway and Docker Compose, against their schemas and in a real Envoy:
//! `./build.sh test manifests`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test reads its environment and the clock, and fails by a panic"
)]

mod compose;
mod mesh;

#[path = "../support/mod.rs"]
mod support;
