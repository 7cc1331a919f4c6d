//! Base64, CRC-32, and a hash function for tables. These modules depend on no other module of the crate.

mod base64;
#[cfg(any(test, not(feature = "encodings")))]
pub mod crc32;
pub mod mix;

pub use base64::Base64;
