//! Code shared by the test programs: the parts of the demo (an upstream that replays fixtures, a real Envoy with the
//! repository's envoy.yaml, a span receiver, a client) and those that only tests need. Every server listens on
//! 127.0.0.1 only.

#![allow(dead_code, unused_imports, reason = "each test program uses only some of these modules")]

pub use gaugeway_demo::{
    answers, client, envoy, event_stream, fixtures, local_model, otlp, prometheus, scripted, upstream,
};

pub mod acting;
pub mod agent;
pub mod backend;
pub mod closed;
pub mod compose;
pub mod core;
pub mod crash;
pub mod edge;
pub mod expect;
pub mod manifests;
pub mod mlflow;
pub mod phoenix;
pub mod points;
pub mod responder;
