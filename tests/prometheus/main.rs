//! Tests of the rules and the dashboard: a real Prometheus scrapes a real Envoy, and Grafana's types validate the
//! dashboard's JSON. Run them with `./build.sh test prometheus`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

mod alerts;
mod anomaly;
mod dashboard;
mod events;
mod panels;
mod server;
mod site;
mod tools;
mod translated;

#[path = "../support/mod.rs"]
mod support;
