//! What follows from an observation: money today; each signal holds its own bounded memory.

pub mod cost;
