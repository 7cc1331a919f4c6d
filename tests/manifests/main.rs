//! Tests of the manifests for Istio, Envoy Gateway and Docker Compose, against their schemas and in a real Envoy. Run
//! them with `./build.sh test manifests`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

mod compose;
mod mesh;

#[path = "../support/mod.rs"]
mod support;
