//! Base64, CRC-32, sets of positions, and hash functions for tables and for the comparison of texts. These modules depend on no other module of the crate.

mod base64;
#[cfg(any(test, not(feature = "encodings")))]
pub mod crc32;
mod digest;
pub mod mix;
mod ranges;
mod sip;
mod text_digest;

pub use base64::Base64;
pub use digest::Digest;
pub use ranges::{MOST_RANGES, Ranges};
pub use sip::SipKey;
pub use text_digest::TextDigest;

/// Returns true if both are the same bytes. Compares eight bytes at a time: in WebAssembly, `==` compares slices byte by byte.
pub fn is_equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let is_same = |a: &[u8; 8], b: &[u8; 8]| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b);
    match (a.last_chunk(), b.last_chunk()) {
        // The last word may overlap the one before.
        (Some(last), Some(other)) => {
            is_same(last, other) && a.as_chunks().0.iter().zip(b.as_chunks().0).all(|(a, b)| is_same(a, b))
        }
        _ => a.iter().zip(b).all(|(a, b)| a == b),
    }
}

#[cfg(test)]
mod tests {
    use super::is_equal;

    #[test]
    fn bytes_are_equal_only_if_each_of_them_is() {
        let bytes: Vec<u8> = (0..40).collect();
        for length in 0..=bytes.len() {
            let whole = &bytes[..length];
            let copy = whole.to_vec();
            assert!(is_equal(whole, &copy), "{length}");
            assert!(!is_equal(whole, &bytes[..length.saturating_sub(1)]) || length == 0);
            for at in 0..length {
                let mut other = whole.to_vec();
                other[at] ^= 1;
                assert!(!is_equal(whole, &other), "{length} {at}");
            }
        }
    }
}
