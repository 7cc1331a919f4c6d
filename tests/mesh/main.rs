//! The manifests for Istio and Envoy Gateway, translated by the products' own code and run in a real Envoy. Run them with
//! `./build.sh test mesh`, which builds the Go programs in this folder.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, fail by panicking, and print what they removed"
)]

mod calls;
mod envoy_gateway;
mod istio;
mod proxy;

#[path = "../support/mod.rs"]
mod support;
