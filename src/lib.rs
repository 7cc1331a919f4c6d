//! Gaugeway reads LLM API traffic as it streams through a gateway and reports tokens, cost, latency, errors and the behaviour of
//! agents.
//!
//! ```text
//! bytes -> framing -> json -> provider rules -> observation -> signals -> sinks -> shell
//! ```
//!
//! Framing takes a body apart into JSON documents. The JSON scanner reports scalars and texts by their paths. The rules of a
//! provider map each path to a field of the draft of an observation. The observation is plain data and names no provider.
//! Signals compute the cost, and remember what later requests need. Sinks turn the observation into attributes, metrics and
//! spans. A shell connects all of this to a host.
//!
//! Everything except the shells is pure: it takes bytes, clock readings and a configuration, and returns plain data. Only a
//! shell knows a host and contains `unsafe` code.
//!
//! # Layers
//!
//! The top-level modules, lowest first. A module, including its tests, imports only from itself and from modules before it in
//! this list. `config::value` is a layer of its own, because lower modules report configuration errors too. The test
//! `tests/core/layers.rs` reads this list and compares it with the imports.
//!
//! 1. `bytes`: encodings, checksums and positions of bytes: base64, CRC-32, hashes that are not cryptographic.
//! 2. `budget`: the memory that the decoders of one worker share.
//! 3. `config::value`: access to the JSON of a configuration, and the error with the path of a wrong value.
//! 4. `json`: a streaming JSON scanner with compiled path rules, in constant memory.
//! 5. `observation`: what is known of one exchange, as plain data.
//! 6. `trace_context`: positions in a distributed trace.
//! 7. `documentation`: the documentation texts of table rows, left out of the plugin.
//! 8. `labels`: names of the labels of metrics.
//! 9. `text`: hashes, lengths and redaction of the texts of requests and answers.
//! 10. `draft`: the observation while it is being read, and the state of the open JSON document.
//! 11. `framing`: how bytes carry documents: content encodings, server-sent events, AWS event streams, forms, WebSockets.
//! 12. `provider`: the APIs of providers: paths, hosts, headers and rules for bodies.
//! 13. `rpc`: the Model Context Protocol and Agent2Agent: their operations, as plain data.
//! 14. `signal`: what is computed from observations: cost, the memory of tool calls, losses of prompt caches, feedback.
//! 15. `config`: the configuration.
//! 16. `sink`: attributes, metrics and spans of an observation, and of an operation of MCP or A2A.
//! 17. `usage_injection`: changes to a request that makes a stream report its usage, and to the response.
//! 18. `exchange`: one request and its response, from the first header to the end.
//! 19. `session`: a WebSocket and the exchanges on it.
//! 20. `envoy`: the shell for Envoy and other hosts of proxy-wasm.
//! 21. `edge`: the shell for JavaScript runtimes.

pub mod budget;
pub mod bytes;
pub mod config;
pub mod documentation;
pub mod draft;
pub mod exchange;
pub mod framing;
pub mod json;
pub mod labels;
pub mod observation;
pub mod provider;
pub mod rpc;
pub mod session;
pub mod signal;
pub mod sink;
pub mod text;
pub mod trace_context;
pub mod usage_injection;

#[cfg(all(feature = "edge", target_arch = "wasm32"))]
mod edge;
#[cfg(all(feature = "envoy", target_arch = "wasm32"))]
mod envoy;

/// A part of the Envoy shell that calls no host. It is compiled here so that its tests run without a host.
#[cfg(test)]
#[path = "envoy/series_name.rs"]
mod series_name;
