//! Byte formats and hashes that know nothing of the rest: base64, CRC-32 and a hash for tables.

mod base64;
#[cfg(any(test, not(feature = "encodings")))]
pub mod crc32;
pub mod mix;

pub use base64::Base64;
