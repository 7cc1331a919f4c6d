//! Tests of the plugin in a real Envoy. They need no other tool: `./build.sh test envoy`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test reads its environment and the clock, and fails by a panic"
)]

mod absurd;
mod agents;
mod attacks;
mod bounds;
mod configuration;
mod decoders;
mod endings;
mod feedback;
mod hostile;
mod inject;
mod passing;
mod planted;
mod privacy;
mod reload;
mod replay;
mod routes;
mod soak;
mod spans;
mod streams;
mod tracing;

#[path = "../oracle/dice.rs"]
#[allow(dead_code, reason = "tests/core uses all of it")]
mod dice;
#[path = "../support/mod.rs"]
mod support;
