//! Tests that need real products: the demo's live page in a browser, with a run of Claude Code, and the spans in Phoenix and
//! MLflow. Run them with `./build.sh test browser`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

mod claude_code;
mod look;
mod mlflow;
mod page;
mod phoenix;
mod traffic;

#[path = "../support/mod.rs"]
mod support;
