//! Tests of the core on this machine's own target. They need nothing but the crates of Cargo.lock: `./build.sh test core`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test reads its environment and the clock, and fails by a panic"
)]

mod contract;
mod corpus;
mod cuts;
mod differential;
mod framing;
mod json;
mod layers;
mod manual;
mod otlp;
mod providers;
mod replay;

#[path = "../oracle/mod.rs"]
mod oracle;
#[path = "../support/mod.rs"]
mod support;
