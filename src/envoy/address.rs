//! The downstream address of a stream, which shares of memory and callers are distinguished by.

use super::attempt::{Attempt, is_mirrored};
use super::host;
use crate::bytes::mix::Mix;
use crate::exchange::Head;

/// The hash of the downstream address. Returns 0 if the body is not encoded: only decoders need it.
pub fn address_for(head: Head<'_>, attempt: Option<&Attempt>) -> u64 {
    if head.bytes("content-encoding").is_none() { 0 } else { address(attempt) }
}

/// The hash of the downstream address.
pub fn address(attempt: Option<&Attempt>) -> u64 {
    Mix::new(0).text(core::str::from_utf8(&source_address(attempt)).unwrap_or_default()).finish()
}

/// The downstream address, without its port. A mirrored request has none, and Envoy (1.36 to 1.40) crashes if it is read. An
/// instance without an attempt may be in a cluster too, if its configuration lacks the role.
pub fn source_address(attempt: Option<&Attempt>) -> Vec<u8> {
    if attempt.map_or_else(is_mirrored, |attempt| attempt.is_mirrored) {
        return Vec::new();
    }
    let mut address = host::property("source\0address").unwrap_or_default();
    if let Some(colon) = address.iter().rposition(|byte| *byte == b':') {
        address.truncate(colon);
    }
    address
}
