//! Inflates the messages of one direction of a WebSocket connection (permessage-deflate, RFC 7692).
//!
//! Memory: all of it is reserved at the start, at most 43 KiB.
//!
//! Work: a connection has no end, so the limits of a body do not fit. Encoded bytes earn credit, decoded bytes spend it. Some
//! decoded bytes of each message are free, because the samples of a muted microphone exceed every sensible ratio. A message that is not
//! decoded makes those after it unreadable, so the work of one callback grows with the bytes that it brings.

use super::deflate::Inflate;
use super::{DecodedOutput, FREE_BYTES, LONG_BODY_RATIO, MAX_RATIO, MAX_WORK, Unreadable};
use crate::budget::Share;

/// Decoded bytes of each message that cost no credit.
const FREE_OF_MESSAGE: u64 = 4 << 10;
/// Largest credit, in decoded bytes.
const MOST_CREDIT: u64 = 8 << 20;

/// Inflates messages, which may arrive in pieces of any size.
pub struct MessageInflate {
    inflate: Inflate,
    keeps_context: bool,
    /// Decoded bytes of the current message that still cost no credit.
    free: u64,
    /// Decoded bytes that the bytes so far have earned.
    credit: u64,
    /// Work that is left until [`MessageInflate::allow_work`].
    work_left: u64,
}

impl MessageInflate {
    /// Creates the reader of one direction, with a window of `1 << window_bits` bytes. Returns None if the budget does not
    /// have the memory. Messages may refer back to those before them if `keeps_context` is true.
    pub fn new(window_bits: u8, keeps_context: bool, share: Share) -> Option<Self> {
        let inflate = Inflate::messages(window_bits, share)?;
        Some(MessageInflate { inflate, keeps_context, free: FREE_OF_MESSAGE, credit: FREE_BYTES, work_left: MAX_WORK })
    }

    /// Allows the work of one callback of the host, which brings so many bytes.
    pub fn allow_work(&mut self, bytes: usize) {
        self.work_left = MAX_WORK + bytes as u64 * LONG_BODY_RATIO;
    }

    /// Inflates the next bytes of a message and passes the result to `sink`.
    ///
    /// # Errors
    /// The bytes are malformed or exceed a limit. Nothing after them can be read.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(), Unreadable> {
        self.credit = (self.credit + bytes.len() as u64 * MAX_RATIO).min(MOST_CREDIT);
        self.decode(&mut sink, |inflate, out| inflate.feed(bytes, out))
    }

    /// Ends the message and passes the rest of it to `sink`.
    ///
    /// # Errors
    /// The message is incomplete or exceeds a limit. Nothing after it can be read.
    pub fn end(&mut self, mut sink: impl FnMut(&[u8])) -> Result<(), Unreadable> {
        let keeps_context = self.keeps_context;
        self.decode(&mut sink, |inflate, out| inflate.end_message(keeps_context, out))?;
        self.free = FREE_OF_MESSAGE;
        Ok(())
    }

    /// Runs the decoder within the limits.
    fn decode(
        &mut self,
        sink: &mut dyn FnMut(&[u8]),
        run: impl FnOnce(&mut Inflate, &mut DecodedOutput<'_>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let mut decoded = 0;
        let (bytes_left, work_left) = (self.free + self.credit, self.work_left);
        let mut output = DecodedOutput { sink, bytes_left, work_left, decoded: &mut decoded };
        let result = run(&mut self.inflate, &mut output);
        self.work_left = output.work_left;
        let free = decoded.min(self.free);
        self.free -= free;
        self.credit = self.credit.saturating_sub(decoded - free);
        result
    }
}
