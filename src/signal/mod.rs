//! Signals derived from observations: cost, the state of agents' runs between calls, losses of prompt caches, and feedback.

pub mod cache;
pub mod cost;
pub mod feedback;
pub mod memory;
pub mod secret;
