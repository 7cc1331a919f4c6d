//! Tests of the built plugin on a proxy-wasm host of their own, which may refuse any call, cut bodies anywhere and lack functions:
//! `./build.sh test host`.

#![cfg(test)]

mod host;
mod host_calls;
mod inject;
mod lacks;
mod whims;

#[path = "../../oracle/dice.rs"]
#[allow(dead_code, reason = "tests/core uses all of it")]
mod dice;
