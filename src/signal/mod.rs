//! What follows from what was read: money, and what agents do. Each signal holds its own bounded memory.

pub mod agent;
pub mod cost;
