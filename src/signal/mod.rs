//! Signals derived from observations: cost, the state of agents' runs between calls, the calls that tools of MCP execute, losses of
//! prompt caches, feedback, answers and files that are fetched several times, and streams that stall.

pub mod asked;
pub mod cache;
pub mod cost;
pub mod feedback;
pub mod late;
pub mod memory;
pub mod secret;
pub mod stalls;
