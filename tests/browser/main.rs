//! Tests that need a real browser: the demo's live page, and the spans in Phoenix: `./build.sh test browser`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test reads its environment and the clock, and fails by a panic"
)]

mod page;
mod phoenix;

#[path = "../support/mod.rs"]
mod support;
