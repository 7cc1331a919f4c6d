//! Tests of the parts of a release: the image in a real registry, a second build of the plugin, signatures and provenance, the
//! licences of dependencies, the price table, and the cost export.
//! Run them with `./build.sh test release`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

mod focus;
mod image;
mod licences;
mod prices;
mod reproducible;
mod signature;

#[path = "../support/mod.rs"]
mod support;
