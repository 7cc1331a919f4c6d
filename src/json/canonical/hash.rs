//! The hash functions of [`super::Canonical`]. They are not resistant to deliberate collisions.

/// Hash of nothing (the offset basis of FNV-1a).
pub const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// Adds a byte to a hash (FNV-1a).
pub fn add_byte(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

/// Hash of a path that is one segment longer. The segment is the position of an element or the hash of a key.
pub fn add_segment(path: u64, segment: u64) -> u64 {
    spread(path.rotate_left(5) ^ segment)
}

/// Spreads a hash over all its bits (the finalizer of splitmix64), so that sums of hashes do not cancel.
pub fn spread(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
