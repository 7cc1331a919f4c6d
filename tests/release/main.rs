//! Tests of the parts of a release: the image in a real registry, a second build of the plugin, signatures and provenance, the
//! licences of dependencies, and the price table.
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

mod image;
mod licences;
mod prices;
mod reproducible;
mod signature;
