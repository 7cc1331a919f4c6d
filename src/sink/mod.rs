//! Where an observation goes: attributes (filter state, span tags, access log), statistics and spans, each from one table of rows.

pub mod attributes;
pub mod json;
pub mod otlp;
pub mod stats;
