//! The outputs of an observation: attributes (filter state, span tags, access log), metrics, spans, JSON.

pub mod attributes;
pub mod json;
pub mod otlp;
pub mod stats;
