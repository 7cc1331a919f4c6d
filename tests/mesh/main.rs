//! Tests with other products, which `./build.sh test mesh` compiles with Go.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

mod chart;
mod collector;
mod fleet;
mod programs;
mod ratelimit;

#[path = "../support/mod.rs"]
mod support;
