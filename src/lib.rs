//! Gaugeway reads LLM API traffic as it streams past and reports what happened.
//!
//! ```text
//! bytes -> framing -> json -> provider rules -> OBSERVATION -> signals -> FIELDS -> sinks -> shell
//!          SSE,       (path,  path -> draft     plain data     cost       one table stats,   Envoy (proxy-wasm)
//!          lines      scalar) one file each     the waist                 of rows   filter   or edge (wasm-bindgen)
//!                                                                                   state
//! ```
//!
//! Left of the waist nothing knows where numbers go; right of it nothing knows any provider. All but the last column is
//! pure: bytes, a clock reading and a configuration in, plain data out. Only the shell knows a host.

pub mod budget;
pub mod bytes;
pub mod config;
pub mod draft;
pub mod exchange;
pub mod framing;
pub mod json;
pub mod labels;
pub mod observation;
pub mod provider;
pub mod signal;
pub mod sink;
pub mod text;
pub mod trace_context;
pub mod usage_injection;

#[cfg(all(feature = "edge", target_arch = "wasm32"))]
mod edge;
#[cfg(all(feature = "envoy", target_arch = "wasm32"))]
mod envoy;
