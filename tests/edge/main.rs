//! Tests of the npm package in Node.js, Deno, workerd and a browser: `./build.sh test edge`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test reads its environment and the clock, and fails by a panic"
)]

mod package;
mod playground;
mod runtimes;

#[path = "../support/mod.rs"]
mod support;
