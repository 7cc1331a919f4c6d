//! Signals derived from observations: cost, the state of agents' runs between calls, and feedback.

pub mod cost;
pub mod feedback;
pub mod memory;
pub mod secret;
