//! Gaugeway reads LLM API traffic as it streams past and reports what happened.
//!
//! ```text
//! bytes -> framing -> json -> provider rules -> OBSERVATION -> signals -> TABLES -> sinks -> shell
//!          SSE,       (path,  path -> draft     plain data     cost       a row    stats,   Envoy (proxy-wasm)
//!          lines      scalar) one file each     the waist                 each     filter   or edge (wasm-bindgen)
//!                                                                                   state
//! ```
//!
//! Left of the waist nothing knows where numbers go; right of it nothing knows any provider. All but the last column is
//! pure: bytes, a clock reading and a configuration in, plain data out. Only the shell knows a host.

#[forbid(unsafe_code)]
pub mod budget;
#[forbid(unsafe_code)]
pub mod bytes;
#[forbid(unsafe_code)]
pub mod config;
#[forbid(unsafe_code)]
pub mod documentation;
#[forbid(unsafe_code)]
pub mod draft;
#[forbid(unsafe_code)]
pub mod exchange;
#[forbid(unsafe_code)]
pub mod framing;
#[forbid(unsafe_code)]
pub mod json;
#[forbid(unsafe_code)]
pub mod labels;
#[forbid(unsafe_code)]
pub mod observation;
#[forbid(unsafe_code)]
pub mod provider;
#[forbid(unsafe_code)]
pub mod signal;
#[forbid(unsafe_code)]
pub mod sink;
#[forbid(unsafe_code)]
pub mod text;
#[forbid(unsafe_code)]
pub mod trace_context;
#[forbid(unsafe_code)]
pub mod usage_injection;

#[cfg(all(feature = "edge", target_arch = "wasm32"))]
mod edge;
#[cfg(all(feature = "envoy", target_arch = "wasm32"))]
mod envoy;

/// A part of the Envoy shell that calls no host. It is compiled here so that its tests run without a host.
#[cfg(test)]
#[path = "envoy/series_name.rs"]
mod series_name;
