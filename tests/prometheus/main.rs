//! Tests of the rules and the dashboard: a real Prometheus scrapes a real Envoy, and Grafana's types check the dashboard's JSON:
//! `./build.sh test prometheus`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test reads its environment and the clock, and fails by a panic"
)]

mod alerts;
mod dashboard;
mod panels;

#[path = "../support/mod.rs"]
mod support;
