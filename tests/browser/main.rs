//! Tests that need a real browser: the demo's live page, and the spans in Phoenix. Run them with `./build.sh test
//! browser`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

mod page;
mod phoenix;

#[path = "../support/mod.rs"]
mod support;
