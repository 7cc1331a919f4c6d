//! Tool calls of answers, remembered until a request brings their results.
//!
//! The host stores them for all workers in a fixed number of buckets with [`WAYS`] entries each. In a full bucket a new entry
//! replaces one whose run has moved on, else one of the caller with the most entries: a client with many runs forgets its own
//! first. Memory: [`ENTRY`] bytes per entry. An entry has hashes, the name of a tool and clock readings, and no other content
//! of a conversation.
//!
//! Each worker also has the runs that it would count as abandoned, see [`WaitingRuns`]. A run whose entry was replaced is forgotten
//! there too: it is not counted, because its further course is unknown.
//!
//! A conversation has an entry too, under a key of its own, while it waits: for the results of its calls, or for the repetition
//! of a failed request.

mod bucket;
mod pending;
#[cfg(test)]
mod tests;
mod waiting;

pub use bucket::{Bucket, WAYS};
pub use pending::{CALLS, ENTRY, Pending};
pub use waiting::{WaitingRun, WaitingRuns};
