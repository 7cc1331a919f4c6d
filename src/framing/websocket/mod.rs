//! Reads the frames of one direction of a WebSocket connection (RFC 6455, section 5), with permessage-deflate (RFC 7692).
//!
//! Memory: [`Frames`] itself. With compression also the decoder, which takes its memory from the budget at the start.

mod extension;

pub use self::extension::{Compression, Unsupported};
use super::encoding::MessageInflate;
use crate::budget::Share;

/// The budget has no memory for the decoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoRoom;

/// The rest of the direction cannot be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FrameError {
    /// A frame breaks the rules of RFC 6455.
    Framing,
    /// A compressed message is malformed, or exceeds a limit of the decoder.
    Encoding,
}

/// The next part of the messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece<'a> {
    /// A message begins.
    Start {
        /// True if the message says that it is text, false if it is binary.
        is_text: bool,
    },
    /// Bytes of the message, unmasked and inflated.
    Data(&'a [u8]),
    /// The message ends.
    End,
    /// The peer closes the connection, with this status code. Nothing after it is read.
    Close(Option<u16>),
}

/// Largest header of a frame, in bytes: two bytes, eight of the length, four of the key.
const MAX_HEADER: usize = 14;
/// Largest payload of a control frame, in bytes.
const MAX_CONTROL: u64 = 125;
/// Number of bytes that are unmasked at once.
const SCRATCH: usize = 1024;

const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const RESERVED: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// The part of a frame that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FrameStage {
    Header,
    Payload,
    /// After a close frame.
    Closed,
    Failed(FrameError),
}

/// Kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FrameKind {
    /// A part of a message.
    Part {
        is_last: bool,
    },
    Close,
    /// A ping or a pong.
    Skipped,
}

/// The message whose frames are being read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FramedMessage {
    None,
    Plain,
    Compressed,
}

/// Reads the frames of one direction, which may arrive in pieces of any size. The messages do not depend on the cuts.
pub struct Frames {
    from_client: bool,
    stage: FrameStage,
    kind: FrameKind,
    message: FramedMessage,
    header: [u8; MAX_HEADER],
    /// Number of bytes of the header that were read.
    header_length: u8,
    /// Key of the mask, rotated so that its first byte belongs to the next byte of the payload.
    key: [u8; 4],
    /// Status code of a close frame.
    status: [u8; 2],
    /// Number of bytes of the status code that were read.
    status_length: u8,
    /// Bytes of the payload that are missing.
    left: u64,
    inflate: Option<Box<MessageInflate>>,
}

impl Frames {
    /// Creates the reader of a direction. Frames from the client must be masked, others must not. `share` is the decoder's
    /// part of the memory budget.
    ///
    /// # Errors
    /// The budget has no memory for the decoder.
    pub fn new(from_client: bool, compression: Option<Compression>, share: Share) -> Result<Self, NoRoom> {
        let inflate = match compression {
            Some(Compression { window_bits, keeps_context }) => {
                Some(Box::new(MessageInflate::new(window_bits, keeps_context, share).ok_or(NoRoom)?))
            }
            None => None,
        };
        Ok(Frames {
            from_client,
            stage: FrameStage::Header,
            kind: FrameKind::Skipped,
            message: FramedMessage::None,
            header: [0; MAX_HEADER],
            header_length: 0,
            key: [0; 4],
            status: [0; 2],
            status_length: 0,
            left: 0,
            inflate,
        })
    }

    /// Reads the next bytes and passes the parts of messages to `out`. One call does a bounded amount of work. After an
    /// error nothing more is read, and the decoder's memory is released.
    ///
    /// # Errors
    /// The rest of the direction cannot be read.
    pub fn push(&mut self, bytes: &[u8], out: &mut dyn FnMut(Piece<'_>)) -> Result<(), FrameError> {
        if let Some(inflate) = &mut self.inflate {
            inflate.allow_work(bytes.len());
        }
        let result = self.read(bytes, out);
        if let Err(error) = result {
            self.stage = FrameStage::Failed(error);
        }
        if matches!(self.stage, FrameStage::Failed(_) | FrameStage::Closed) {
            self.inflate = None;
        }
        result
    }

    fn read(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(Piece<'_>)) -> Result<(), FrameError> {
        while !bytes.is_empty() {
            bytes = match self.stage {
                FrameStage::Header => self.read_header(bytes, out)?,
                FrameStage::Payload => self.read_payload(bytes, out)?,
                FrameStage::Closed => return Ok(()),
                FrameStage::Failed(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// Reads bytes of a header. Returns the bytes after them.
    fn read_header<'b>(&mut self, bytes: &'b [u8], out: &mut dyn FnMut(Piece<'_>)) -> Result<&'b [u8], FrameError> {
        let filled = usize::from(self.header_length);
        let size = bytes.len().min(self.header_size() - filled);
        let (part, rest) = bytes.split_at_checked(size).unwrap_or((bytes, &[]));
        self.header.iter_mut().skip(filled).zip(part).for_each(|(slot, byte)| *slot = *byte);
        self.header_length += size as u8;
        // The size is known after two bytes.
        if self.header_length >= 2 && usize::from(self.header_length) == self.header_size() {
            self.header_ended(out)?;
        }
        Ok(rest)
    }

    /// Size of the header, or of its first part while that is incomplete, in bytes.
    fn header_size(&self) -> usize {
        let [_, second, ..] = self.header;
        if self.header_length < 2 {
            return 2;
        }
        let length = match second & LENGTH {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if second & MASKED == 0 { 0 } else { 4 }
    }

    /// Interprets the header, which is complete.
    fn header_ended(&mut self, out: &mut dyn FnMut(Piece<'_>)) -> Result<(), FrameError> {
        let [first, second, a, b, c, d, e, f, g, h, ..] = self.header;
        self.left = match second & LENGTH {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            length => length.into(),
        };
        let is_masked = second & MASKED != 0;
        if is_masked {
            let key = self.header_size() - self.key.len();
            self.key.iter_mut().zip(self.header.iter().skip(key)).for_each(|(slot, byte)| *slot = *byte);
        }
        let (is_last, is_compressed, opcode) = (first & FINAL != 0, first & COMPRESSED != 0, first & OPCODE);
        if is_masked != self.from_client || first & RESERVED != 0 || self.left > i64::MAX as u64 {
            return Err(FrameError::Framing);
        }
        let is_open = self.message != FramedMessage::None;
        self.kind = match opcode {
            0 if is_open && !is_compressed => FrameKind::Part { is_last },
            1 | 2 if !is_open && (!is_compressed || self.inflate.is_some()) => {
                self.message = if is_compressed { FramedMessage::Compressed } else { FramedMessage::Plain };
                out(Piece::Start { is_text: opcode == 1 });
                FrameKind::Part { is_last }
            }
            8..=10 if is_last && !is_compressed && self.left <= MAX_CONTROL => {
                // A status code has two bytes.
                if opcode == 8 && self.left == 1 {
                    return Err(FrameError::Framing);
                }
                if opcode == 8 { FrameKind::Close } else { FrameKind::Skipped }
            }
            _ => return Err(FrameError::Framing),
        };
        self.header_length = 0;
        self.stage = FrameStage::Payload;
        if self.left == 0 { self.frame_ended(out) } else { Ok(()) }
    }

    /// Reads bytes of a payload. Returns the bytes after them.
    fn read_payload<'b>(&mut self, bytes: &'b [u8], out: &mut dyn FnMut(Piece<'_>)) -> Result<&'b [u8], FrameError> {
        let size = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let (payload, rest) = bytes.split_at_checked(size).unwrap_or((bytes, &[]));
        if self.kind != FrameKind::Skipped && self.from_client {
            let mut scratch = [0; SCRATCH];
            for masked in payload.chunks(SCRATCH) {
                let Some(plain) = scratch.get_mut(..masked.len()) else { continue };
                plain.copy_from_slice(masked);
                self.unmask(plain);
                self.read_plain(plain, out)?;
            }
        } else if self.kind != FrameKind::Skipped {
            self.read_plain(payload, out)?;
        }
        self.left -= size as u64;
        if self.left == 0 {
            self.frame_ended(out)?;
        }
        Ok(rest)
    }

    /// Removes the mask from the next bytes of the payload.
    fn unmask(&mut self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.key;
        let (words, rest) = bytes.as_chunks_mut::<8>();
        let key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        words.iter_mut().for_each(|word| *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes());
        rest.iter_mut().zip([a, b, c, d, a, b, c, d]).for_each(|(byte, key)| *byte ^= key);
        self.key.rotate_left(rest.len() % 4);
    }

    /// Reads bytes of a payload without a mask.
    fn read_plain(&mut self, bytes: &[u8], out: &mut dyn FnMut(Piece<'_>)) -> Result<(), FrameError> {
        match (self.kind, self.message, &mut self.inflate) {
            (FrameKind::Part { .. }, FramedMessage::Plain, _) => out(Piece::Data(bytes)),
            (FrameKind::Part { .. }, FramedMessage::Compressed, Some(inflate)) => {
                inflate.feed(bytes, |piece| out(Piece::Data(piece))).map_err(|_| FrameError::Encoding)?;
            }
            (FrameKind::Close, ..) => {
                let missing = self.status.iter_mut().skip(self.status_length.into());
                missing.zip(bytes).for_each(|(slot, byte)| {
                    *slot = *byte;
                    self.status_length += 1;
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the frame.
    fn frame_ended(&mut self, out: &mut dyn FnMut(Piece<'_>)) -> Result<(), FrameError> {
        self.stage = FrameStage::Header;
        match self.kind {
            FrameKind::Close => {
                self.stage = FrameStage::Closed;
                out(Piece::Close((self.status_length == 2).then(|| u16::from_be_bytes(self.status))));
            }
            FrameKind::Part { is_last: true } => {
                if let (FramedMessage::Compressed, Some(inflate)) = (self.message, &mut self.inflate) {
                    inflate.end(|piece| out(Piece::Data(piece))).map_err(|_| FrameError::Encoding)?;
                }
                self.message = FramedMessage::None;
                out(Piece::End);
            }
            FrameKind::Part { is_last: false } | FrameKind::Skipped => {}
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "encodings"))]
mod deflate_tests;
#[cfg(test)]
mod tests;
