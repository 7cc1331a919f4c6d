//! Tests of the built plugin on a proxy-wasm host that can refuse any call, cut bodies anywhere and omit functions. Run
//! them with `./build.sh test host`.

#![cfg(test)]

mod guest_memory;
mod host;
mod host_calls;
mod inject;
mod memory;
mod missing_functions;
mod outputs;
mod refused_calls;

#[path = "../../oracle/dice.rs"]
#[allow(dead_code, reason = "tests/core uses the rest of the module")]
mod dice;
