//! CRC-32 (IEEE 802.3) by a table of 1 KiB. The crate that is three times as fast has one of 16 KiB, an eighth of what a package
//! for JavaScript may have.

/// A checksum over bytes in pieces.
#[derive(Clone, Debug)]
pub struct Hasher(u32);

impl Default for Hasher {
    fn default() -> Self {
        Hasher(!0)
    }
}

impl Hasher {
    /// Of nothing.
    pub fn new() -> Self {
        Hasher::default()
    }

    /// Goes on with more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let [low, ..] = self.0.to_le_bytes();
            let entry = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default();
            self.0 = self.0 >> 8 ^ entry;
        }
    }

    /// The checksum of all bytes.
    pub fn finalize(self) -> u32 {
        !self.0
    }
}

static TABLE: [u32; 256] = table();

#[allow(clippy::indexing_slicing, reason = "it runs when this is compiled")]
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
    fn the_published_check_value_comes_out_in_any_cutting() {
        let text = b"123456789";
        for cut in 0..=text.len() {
            let mut hasher = Hasher::new();
            hasher.update(&text[..cut]);
            hasher.update(&text[cut..]);
            assert_eq!(hasher.finalize(), 0xCBF4_3926);
        }
    }

    #[cfg(feature = "envoy")]
    #[test]
    fn every_byte_counts_as_in_the_fast_crate() {
        let bytes: Vec<u8> = (0..=255).rev().cycle().step_by(7).take(5000).collect();
        let mut hasher = Hasher::new();
        hasher.update(&bytes);
        assert_eq!(hasher.finalize(), crc32fast::hash(&bytes));
    }
}
