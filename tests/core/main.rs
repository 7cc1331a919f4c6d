//! Tests of the core on the host's own target. They need only the crates of Cargo.lock: `./build.sh test core`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

mod cache;
mod clients;
mod contract;
mod corpus;
mod cuts;
mod differential;
mod framing;
mod json;
mod kinds;
mod layers;
mod loops;
mod manual;
mod memory;
mod otlp;
mod pictures;
mod providers;
mod recorded_costs;
#[cfg(feature = "capture")]
mod redaction;
mod replay;
mod sockets;
mod usage_numbers;

#[path = "../oracle/mod.rs"]
mod oracle;
#[path = "../support/mod.rs"]
mod support;
