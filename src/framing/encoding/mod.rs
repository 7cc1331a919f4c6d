//! Streaming decoders for the content encodings gzip, deflate, br and zstd (RFC 9110, section 8.4).
//!
//! Memory comes from a [`Share`] of the VM's budget and grows with the output. Three limits bound the work: per call of
//! [`Decoder::feed`], per body, and per encoded byte.

mod brotli;
mod deflate;
mod messages;
mod zstd;

use self::brotli::Brotli;
use self::deflate::Inflate;
pub use self::messages::MessageInflate;
use self::zstd::Zstd;
use crate::budget::{Share, Side};

/// Most decoded bytes per encoded byte. Responses of real providers reach 63.
const MAX_RATIO: u64 = 192;
/// Decoded bytes that every body may have in addition, however small it is.
const FREE_BYTES: u64 = 64 << 10;
/// Most decoded bytes per encoded byte in long bodies.
const LONG_BODY_RATIO: u64 = 16;

/// Number of decoded bytes from which [`LONG_BODY_RATIO`] replaces [`MAX_RATIO`] in a request.
const LONG_REQUEST: u64 = 8 << 20;
/// The same in a response.
const LONG_RESPONSE: u64 = 64 << 20;
/// Most work of one call of [`Decoder::feed`]. The unit is the work for one decoded byte.
const MAX_WORK: u64 = 1 << 20;

/// The rest of the body cannot be decoded: it is malformed, exceeds a limit, or needs memory that the budget does not
/// have.
#[derive(Debug, PartialEq)]
pub struct Unreadable;

/// Decodes one body.
pub struct Decoder {
    kind: DecoderKind,
    side: Side,
    /// Number of encoded bytes so far.
    encoded: u64,
    /// Number of decoded bytes so far.
    decoded: u64,
}

enum DecoderKind {
    Deflate(Inflate),
    Brotli(Brotli),
    Zstd(Box<Zstd>),
}

impl Decoder {
    /// Creates the decoder for the value of a `content-encoding` header. Returns None if it is not one of the four. The
    /// decoder reserves memory in `share` when the first bytes arrive.
    pub fn new(encoding: &str, share: Share) -> Option<Self> {
        let side = share.side();
        let kind = match encoding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => DecoderKind::Deflate(Inflate::gzip(share)),
            "deflate" => DecoderKind::Deflate(Inflate::deflate(share)),
            "br" => DecoderKind::Brotli(Brotli::new(share)),
            "zstd" => DecoderKind::Zstd(Box::new(Zstd::new(share))),
            _ => return None,
        };
        Some(Decoder { kind, side, encoded: 0, decoded: 0 })
    }

    /// Returns true if the decoder holds output back, so that the time of the output cannot be measured.
    pub fn has_delayed_output(&self) -> bool {
        matches!(self.kind, DecoderKind::Zstd(_))
    }

    /// Returns true if the last call reached its limit of work. Another call of [`Decoder::feed`], with or without
    /// bytes, goes on.
    pub fn has_pending_output(&self) -> bool {
        matches!(&self.kind, DecoderKind::Zstd(zstd) if zstd.has_pending_output())
    }

    /// Decodes `bytes` and passes the result to `sink`.
    ///
    /// # Errors
    /// The bytes are malformed, exceed a limit, or need memory that the budget does not have.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(), Unreadable> {
        let size = bytes.len() as u64;
        self.encoded += size;
        let long_body = match self.side {
            Side::Request => LONG_REQUEST,
            Side::Response => LONG_RESPONSE,
        };
        let max_decoded = (FREE_BYTES + self.encoded * MAX_RATIO).min(long_body.max(self.encoded * LONG_BODY_RATIO));
        let mut output = DecodedOutput {
            sink: &mut sink,
            bytes_left: max_decoded.saturating_sub(self.decoded),
            work_left: MAX_WORK,
            decoded: &mut self.decoded,
        };
        match &mut self.kind {
            DecoderKind::Deflate(inflate) => inflate.feed(bytes, &mut output),
            DecoderKind::Brotli(brotli) => brotli.feed(bytes, &mut output),
            DecoderKind::Zstd(zstd) => zstd.feed(bytes, &mut output),
        }
    }
}

/// Receives decoded bytes and enforces the limits.
struct DecodedOutput<'a> {
    sink: &'a mut dyn FnMut(&[u8]),
    /// Decoded bytes that the body may still have.
    bytes_left: u64,
    /// Work that this call may still do.
    work_left: u64,
    /// Number of decoded bytes of the body so far.
    decoded: &'a mut u64,
}

impl DecodedOutput<'_> {
    /// Passes decoded bytes on.
    fn push(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        let size = piece.len() as u64;
        self.bytes_left = self.bytes_left.checked_sub(size).ok_or(Unreadable)?;
        self.count_work(size)?;
        *self.decoded += size;
        (self.sink)(piece);
        Ok(())
    }

    /// Counts work that has no output.
    fn count_work(&mut self, work: u64) -> Result<(), Unreadable> {
        self.work_left = self.work_left.checked_sub(work).ok_or(Unreadable)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
