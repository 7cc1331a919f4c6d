//! Tests of the plugin in a real Envoy. `./build.sh test envoy` runs them; they need no other tool.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

mod a2a;
mod agents;
mod attacks;
mod attempts;
mod batch;
mod bounds;
mod cache;
mod callers;
mod collector;
mod configuration;
mod decoders;
mod delivery;
mod endings;
mod feedback;
mod hostile;
mod impossible_values;
mod inject;
mod inject_streams;
mod instances;
mod interrupted;
mod late;
mod latency;
mod ledger;
mod local_replies;
mod mcp;
mod mcp_privacy;
mod mcp_runs;
mod memory;
mod metrics;
mod minimal;
mod new_plugin;
mod outputs;
mod passing;
mod planted;
mod privacy;
mod redirects;
mod reload;
mod replay;
mod routes;
mod rpc_attacks;
mod runs;
mod sampled;
mod secrets;
mod series;
mod sessions;
mod soak;
mod spans;
mod streams;
mod tracing;
mod websocket;

#[path = "../oracle/dice.rs"]
#[allow(dead_code, reason = "tests/core uses the rest of the module")]
mod dice;
#[path = "../support/mod.rs"]
mod support;
