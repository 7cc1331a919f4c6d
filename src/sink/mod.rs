//! Where an observation goes: attributes (filter state, span tags, access log) and statistics, each one table of rows.

pub mod attributes;
pub mod stats;
