//! Decodes content encodings as the bytes pass: gzip, deflate, br and zstd (RFC 9110, section 8.4).
//!
//! Memory comes from a [`Share`] of the VM's budget and grows with the output. Work is bounded three times: per call of
//! [`Decoder::feed`], per body, and per encoded byte.

mod brotli;
mod deflate;
mod zstd;

use self::brotli::Brotli;
use self::deflate::Inflate;
use self::zstd::Zstd;
use crate::budget::{Share, Side};

/// Decoded bytes that one encoded byte may become. Answers of real providers reach 63.
const RATIO: u64 = 192;
/// Decoded bytes that any body may have, however small it is.
const FREE: u64 = 64 << 10;
/// Decoded bytes that one encoded byte may become in long bodies.
const LATE_RATIO: u64 = 16;

/// Decoded bytes from which [`LATE_RATIO`] replaces [`RATIO`] in a request.
const LONG_REQUEST: u64 = 8 << 20;
/// The same in a response.
const LONG_RESPONSE: u64 = 64 << 20;
/// Most work of one call, counted in decoded bytes.
const CALL: u64 = 1 << 20;

/// The body cannot be decoded any further: it is malformed, passes a bound, or finds no memory.
#[derive(Debug, PartialEq)]
pub struct Unreadable;

/// Decodes one body.
pub struct Decoder {
    kind: Kind,
    side: Side,
    /// Encoded bytes so far.
    taken: u64,
    /// Decoded bytes so far.
    given: u64,
}

enum Kind {
    Deflate(Inflate),
    Brotli(Brotli),
    Zstd(Box<Zstd>),
}

impl Decoder {
    /// The decoder of a `content-encoding`. Returns None if it is not one of the four. Memory is taken from `share` once
    /// bytes come.
    pub fn new(encoding: &str, share: Share) -> Option<Self> {
        let side = share.side();
        let kind = match encoding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Kind::Deflate(Inflate::gzip(share)),
            "deflate" => Kind::Deflate(Inflate::deflate(share)),
            "br" => Kind::Brotli(Brotli::new(share)),
            "zstd" => Kind::Zstd(Box::new(Zstd::new(share))),
            _ => return None,
        };
        Some(Decoder { kind, side, taken: 0, given: 0 })
    }

    /// Whether output comes later than the bytes that it is decoded from, so that its time says nothing.
    pub fn has_delayed_output(&self) -> bool {
        matches!(self.kind, Kind::Zstd(_))
    }

    /// Whether bytes wait for another call of [`Decoder::feed`], which may bring no further bytes.
    pub fn has_pending_output(&self) -> bool {
        matches!(&self.kind, Kind::Zstd(zstd) if zstd.has_pending_output())
    }

    /// Decodes `bytes` and passes the result to `sink`.
    ///
    /// # Errors
    /// The bytes are not of this encoding, pass one of the bounds, or need memory that the budget does not have.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(), Unreadable> {
        let size = bytes.len() as u64;
        self.taken += size;
        let long = match self.side {
            Side::Request => LONG_REQUEST,
            Side::Response => LONG_RESPONSE,
        };
        let most = (FREE + self.taken * RATIO).min(long.max(self.taken * LATE_RATIO));
        let mut output =
            Output { sink: &mut sink, room: most.saturating_sub(self.given), work: CALL, given: &mut self.given };
        match &mut self.kind {
            Kind::Deflate(inflate) => inflate.feed(bytes, &mut output),
            Kind::Brotli(brotli) => brotli.feed(bytes, &mut output),
            Kind::Zstd(zstd) => zstd.feed(bytes, &mut output),
        }
    }
}

/// Takes decoded bytes as long as the bounds allow it.
struct Output<'a> {
    sink: &'a mut dyn FnMut(&[u8]),
    /// Bytes that the body may still have.
    room: u64,
    /// Work that this call may still do.
    work: u64,
    given: &'a mut u64,
}

impl Output<'_> {
    fn push(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        let size = piece.len() as u64;
        self.room = self.room.checked_sub(size).ok_or(Unreadable)?;
        self.work(size)?;
        *self.given += size;
        (self.sink)(piece);
        Ok(())
    }

    /// Counts work that brings no output.
    fn work(&mut self, work: u64) -> Result<(), Unreadable> {
        self.work = self.work.checked_sub(work).ok_or(Unreadable)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
