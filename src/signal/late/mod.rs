//! Answers and files that requests fetch after others have created them, remembered so that each is counted once.
//!
//! An answer counts as a whole. Of a file, the byte ranges that were counted are remembered. The host stores the entries for all
//! workers in [`BUCKETS`] buckets with [`WAYS`] entries each. In a full bucket a new entry replaces the one that was not used for the
//! longest time: what it stood for counts again if it is fetched again. An entry has hashes, positions and a clock reading, and
//! no content.

mod bucket;

use crate::bytes::Ranges;

pub use bucket::{BUCKETS, LateBucket, WAYS};

/// The answer to a claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// The parts of the claimed range that no exchange had counted. The bucket marks them as counted.
    pub granted: Ranges,
    /// The counted range before the claimed one ends where that begins, so a line begins there.
    pub begins_line: bool,
    /// When the request that created the answer started, in nanoseconds since 1970. 0 if it is unknown.
    pub created_at: u64,
}
