//! What follows from what was read: money, and what agents do, also from one call to the next. Each signal bounds its own memory.

pub mod cost;
pub mod feedback;
pub mod memory;
