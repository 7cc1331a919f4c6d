//! Coding agents, and agents of real frameworks, through a real Envoy. `./build.sh test agents` installs them and runs these
//! tests.
//!
//! Each of them says what it did: its runs, its tools, their times and their failures, or its tokens and its cost. The
//! gateway, which sees only the traffic, must have counted the same.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

mod coding;
mod frameworks;
mod model;
mod toolsets;

#[path = "../support/mod.rs"]
mod support;
