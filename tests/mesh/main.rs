//! The manifests for Istio and Envoy Gateway, translated by the products' own code and run in a real Envoy; and the other products that
//! the manuals name. `./build.sh test mesh` builds all of them with Go.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, fail by panicking, and print what they removed"
)]

mod calls;
mod chart;
mod collector;
mod envoy_gateway;
mod fleet;
mod istio;
mod programs;
mod proxy;
mod ratelimit;

#[path = "../support/mod.rs"]
mod support;
