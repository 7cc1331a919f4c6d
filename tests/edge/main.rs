//! Tests of the npm package in Node.js, Deno, workerd and a browser. Run them with `./build.sh test edge`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

mod package;
mod playground;
mod runtimes;

#[path = "../support/mod.rs"]
mod support;
