//! Base64, CRC-32, and hash functions for tables and for the comparison of texts. These modules depend on no other module of the crate.

mod base64;
#[cfg(any(test, not(feature = "encodings")))]
pub mod crc32;
mod digest;
pub mod mix;
mod sip;
mod text_digest;

pub use base64::Base64;
pub use digest::Digest;
pub use sip::SipKey;
pub use text_digest::TextDigest;
