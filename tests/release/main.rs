//! Tests of what a release consists of: the image in a real registry, a second build of the plugin, and the price table:
//! `./build.sh test release`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test reads its environment and the clock, and fails by a panic"
)]

mod image;
mod prices;
mod reproducible;
