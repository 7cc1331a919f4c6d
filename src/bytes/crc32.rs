//! CRC-32 (IEEE 802.3) with a table of 1 KiB, for builds without the feature `encodings`.
//!
//! The crate `crc32fast` is three times as fast, but its table of 16 KiB is too large for the package for JavaScript.
//! The methods have the names of that crate.

/// Computes a checksum of bytes that arrive in pieces.
#[derive(Clone, Debug)]
pub struct Crc32(u32);

impl Crc32 {
    /// The checksum of no bytes.
    pub fn new() -> Self {
        Crc32(!0)
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let [low, ..] = self.0.to_le_bytes();
            let entry = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default();
            self.0 = self.0 >> 8 ^ entry;
        }
    }

    /// Returns the checksum of all bytes.
    pub fn finalize(self) -> u32 {
        !self.0
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Crc32::new()
    }
}

/// The checksum of each byte.
static TABLE: [u32; 256] = table();

#[allow(clippy::indexing_slicing, reason = "it runs at compile time")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < table.len() {
        let mut entry = at as u32;
        let mut bit = 0;
        while bit < 8 {
            entry = if entry & 1 == 1 { entry >> 1 ^ 0xEDB8_8320 } else { entry >> 1 };
            bit += 1;
        }
        table[at] = entry;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_value_is_computed_at_any_cut() {
        let text = b"123456789";
        for cut in 0..=text.len() {
            let mut hasher = Crc32::new();
            hasher.update(&text[..cut]);
            hasher.update(&text[cut..]);
            assert_eq!(hasher.finalize(), 0xCBF4_3926);
        }
    }

    #[cfg(feature = "envoy")]
    #[test]
    fn the_checksum_is_that_of_crc32fast() {
        let bytes: Vec<u8> = (0..=255).rev().cycle().step_by(7).take(5000).collect();
        let mut hasher = Crc32::new();
        hasher.update(&bytes);
        assert_eq!(hasher.finalize(), crc32fast::hash(&bytes));
    }
}
