//! gzip (RFC 1952), zlib (RFC 1950) and raw deflate (RFC 1951), and the messages of permessage-deflate (RFC 7692).
//!
//! The content encoding `deflate` means the zlib format (RFC 9110, section 8.4.1.2). Some servers send raw deflate
//! under that name, so the first two bytes decide. The checksum after zlib data is not verified.
//!
//! Memory: the state of `miniz_oxide` (11 KiB) and a window that grows with the output from 1 KiB to 32 KiB.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::{DecodedOutput, Unreadable};
use crate::budget::Share;

/// Size of the first window, in bytes. `miniz_oxide` requires a power of two.
const FIRST_WINDOW: usize = 1 << 10;
/// Largest distance of a back-reference, in bytes (RFC 1951, section 2).
const LARGEST_WINDOW: usize = 32 << 10;

/// Work for a block in addition to its output: building its tables, even if it is empty.
const BLOCK_WORK: u64 = 128;
/// Work for each of the first [`TABLES`] encoded bytes of a block, which may describe its tables.
const TABLE_BYTE_WORK: u64 = 4;
/// Largest number of encoded bytes of a block that are counted as a description of tables.
const TABLES: usize = 64;
/// Work for a member of gzip in addition to its blocks.
const MEMBER_WORK: u64 = 64;
const FLAGS: u32 = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;

/// The format around the deflate data.
enum DeflateWrapper {
    Gzip(Gzip),
    /// zlib or raw deflate: the first two bytes decide. Has the first byte once it arrived.
    Unknown(Option<u8>),
    /// Deflate data follows, after a zlib header or without one.
    None,
    /// Messages of permessage-deflate. Distances are less than or equal to `1 << window_bits` bytes.
    Messages {
        window_bits: u8,
    },
}

/// The end of each message, which the sender leaves out: an empty block without compression (RFC 7692, section 7.2.2).
const MESSAGE_END: &[u8] = &[0, 0, 0xff, 0xff];
/// Smallest window of messages, in bits. Encoders based on zlib take 9 bits where 8 were agreed.
const LEAST_BITS: u8 = 9;
/// Largest window of messages, in bits.
const MOST_BITS: u8 = 15;

/// Decodes one of the formats.
pub(super) struct Inflate {
    wrapper: DeflateWrapper,
    /// Allocated when the first bytes of deflate data arrive.
    state: Option<Box<DecompressorOxide>>,
    /// The last decoded bytes, as a ring buffer.
    window: Vec<u8>,
    /// Position of the next decoded byte in the window.
    position: usize,
    /// True after a block that is marked as the last one.
    finished: bool,
    /// True if the data so far ends with the end of a block.
    is_between_blocks: bool,
    share: Share,
}

impl Inflate {
    /// Creates a decoder for gzip. It has no memory yet.
    pub fn gzip(share: Share) -> Self {
        Inflate::new(DeflateWrapper::Gzip(Gzip::default()), share)
    }

    /// Creates a decoder for zlib and raw deflate. It has no memory yet.
    pub fn deflate(share: Share) -> Self {
        Inflate::new(DeflateWrapper::Unknown(None), share)
    }

    fn new(wrapper: DeflateWrapper, share: Share) -> Self {
        let window = Vec::new();
        Inflate { wrapper, state: None, window, position: 0, finished: false, is_between_blocks: false, share }
    }

    /// Creates a decoder for the messages of permessage-deflate. It reserves all memory that it will ever need, because
    /// a message that is not decoded makes those after it unreadable. Returns None if the budget does not have it.
    pub fn messages(window_bits: u8, mut share: Share) -> Option<Self> {
        let window_bits = window_bits.clamp(LEAST_BITS, MOST_BITS);
        let reserved = share.resize(size_of::<DecompressorOxide>() + (1 << window_bits));
        reserved.then(|| Inflate::new(DeflateWrapper::Messages { window_bits }, share))
    }

    /// Ends a message. The next one may refer back to it if `keeps_context` is true.
    pub fn end_message(&mut self, keeps_context: bool, out: &mut DecodedOutput<'_>) -> Result<(), Unreadable> {
        if !self.finished {
            self.feed(MESSAGE_END, out)?;
            if !self.is_between_blocks {
                return Err(Unreadable);
            }
        }
        if !keeps_context {
            self.restart();
            self.position = 0;
        }
        Ok(())
    }

    /// A new sequence of blocks follows. The window stays.
    fn restart(&mut self) {
        self.finished = false;
        if let Some(state) = &mut self.state {
            state.init();
        }
    }

    /// Decodes `bytes`.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut DecodedOutput<'_>) -> Result<(), Unreadable> {
        while !bytes.is_empty() {
            bytes = match &mut self.wrapper {
                DeflateWrapper::Gzip(gzip) => match gzip.next(bytes)? {
                    GzipPart::Data => self.inflate(bytes, out)?,
                    GzipPart::Rest(rest) => rest,
                    GzipPart::NewMember(rest) => {
                        out.count_work(MEMBER_WORK)?;
                        self.restart();
                        self.position = 0;
                        rest
                    }
                },
                DeflateWrapper::Unknown(None) => {
                    let (first, rest) = bytes.split_first().ok_or(Unreadable)?;
                    self.wrapper = DeflateWrapper::Unknown(Some(*first));
                    rest
                }
                DeflateWrapper::Unknown(Some(first)) => {
                    let (first, second) = (*first, bytes.first().copied().unwrap_or_default());
                    self.wrapper = DeflateWrapper::None;
                    if is_zlib(first, second) {
                        bytes.get(1..).unwrap_or_default()
                    } else {
                        self.inflate(&[first], out)?;
                        bytes
                    }
                }
                // Bytes after the end of the stream are ignored.
                DeflateWrapper::None if self.finished => return Ok(()),
                DeflateWrapper::None => self.inflate(bytes, out)?,
                DeflateWrapper::Messages { .. } => {
                    if self.finished {
                        self.restart();
                    }
                    self.inflate(bytes, out)?
                }
            };
        }
        Ok(())
    }

    /// Decodes deflate data. Returns the bytes after it, or no bytes if it continues.
    fn inflate<'b>(&mut self, mut bytes: &'b [u8], out: &mut DecodedOutput<'_>) -> Result<&'b [u8], Unreadable> {
        if self.state.is_none() {
            self.grow(FIRST_WINDOW.min(self.largest_window()))?;
            self.state = Some(Box::default());
        }
        loop {
            let Some(state) = &mut self.state else { return Err(Unreadable) };
            let (status, read, written) = decompress(state, bytes, &mut self.window, self.position, FLAGS);
            bytes = bytes.get(read..).unwrap_or_default();
            let piece = self.window.get(self.position..self.position + written).unwrap_or_default();
            if let DeflateWrapper::Gzip(gzip) = &mut self.wrapper {
                gzip.add_decoded(piece);
            }
            if !piece.is_empty() {
                out.push(piece)?;
            }
            self.position += written;
            self.is_between_blocks = status == TINFLStatus::BlockBoundary;
            if matches!(status, TINFLStatus::Done | TINFLStatus::BlockBoundary) {
                out.count_work(BLOCK_WORK + read.min(TABLES) as u64 * TABLE_BYTE_WORK)?;
            }
            match status {
                TINFLStatus::Done => {
                    self.finished = true;
                    if let DeflateWrapper::Gzip(gzip) = &mut self.wrapper {
                        gzip.data_ended();
                    }
                    return Ok(bytes);
                }
                TINFLStatus::NeedsMoreInput => return Ok(bytes),
                // Less than a byte may be left over. No block is so short.
                TINFLStatus::BlockBoundary if bytes.is_empty() => return Ok(bytes),
                TINFLStatus::BlockBoundary => {}
                TINFLStatus::HasMoreOutput if self.position < self.window.len() => {}
                // The ring buffer has not wrapped around yet, so it can grow.
                TINFLStatus::HasMoreOutput if self.window.len() < self.largest_window() => {
                    self.grow(self.window.len() * 2)?
                }
                TINFLStatus::HasMoreOutput => self.position = 0,
                _ => return Err(Unreadable),
            }
        }
    }

    /// Size that the window may grow to, in bytes.
    fn largest_window(&self) -> usize {
        if let DeflateWrapper::Messages { window_bits } = self.wrapper { 1 << window_bits } else { LARGEST_WINDOW }
    }

    /// Grows the window to at least `window` bytes.
    fn grow(&mut self, window: usize) -> Result<(), Unreadable> {
        let window = window.max(self.window.len());
        let needed = size_of::<DecompressorOxide>() + window;
        if needed > self.share.bytes() && !self.share.resize(needed) {
            return Err(Unreadable);
        }
        self.window.resize(window, 0);
        Ok(())
    }
}

/// Returns true if the first two bytes are a zlib header without a preset dictionary (RFC 1950, section 2.2).
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && second & 0x20 == 0 && (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31)
}

/// Reads the headers and trailers of gzip members (RFC 1952, section 2.3).
#[derive(Default)]
struct Gzip {
    stage: GzipStage,
    /// The current field, if it has a fixed size.
    field: [u8; 10],
    /// Number of bytes in `field`.
    filled: usize,
    flags: u8,
    /// Checksum of the decoded bytes.
    checksum: crc32fast::Hasher,
    /// Number of decoded bytes, modulo 2^32.
    length: u32,
}

/// The current part of a member.
#[derive(Clone, Copy, Default, PartialEq)]
enum GzipStage {
    #[default]
    Header,
    ExtraLength,
    /// The extra field. Number of bytes that are missing.
    Extra(u16),
    Name,
    Comment,
    HeaderChecksum,
    Data,
    Trailer,
    /// After a member: another member or padding.
    Between,
    /// Padding after the last member.
    Padding,
}

/// What follows in a gzip stream.
enum GzipPart<'b> {
    /// Deflate data.
    Data,
    /// The bytes after a part of a header or trailer.
    Rest(&'b [u8]),
    /// Another member, which starts with these bytes.
    NewMember(&'b [u8]),
}

const HAS_HEADER_CHECKSUM: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;

impl Gzip {
    /// Reads a part of a header or trailer, if the stream is there.
    fn next<'b>(&mut self, bytes: &'b [u8]) -> Result<GzipPart<'b>, Unreadable> {
        let (first, tail) = bytes.split_first().ok_or(Unreadable)?;
        let rest = match self.stage {
            GzipStage::Data => return Ok(GzipPart::Data),
            GzipStage::Header => self.read_fixed(10, bytes, |gzip| {
                let [31, 139, 8, flags, ..] = gzip.field else { return Err(Unreadable) };
                gzip.flags = flags;
                gzip.stage = GzipStage::ExtraLength;
                gzip.skip_absent();
                Ok(())
            })?,
            GzipStage::ExtraLength => self.read_fixed(2, bytes, |gzip| {
                let [low, high, ..] = gzip.field;
                gzip.stage = GzipStage::Extra(u16::from_le_bytes([low, high]));
                gzip.skip_absent();
                Ok(())
            })?,
            GzipStage::Extra(left) => {
                let length = bytes.len().min(usize::from(left));
                self.stage = GzipStage::Extra(left - length as u16);
                self.skip_absent();
                bytes.get(length..).unwrap_or_default()
            }
            GzipStage::Name | GzipStage::Comment => {
                if *first == 0 {
                    self.stage =
                        if self.stage == GzipStage::Name { GzipStage::Comment } else { GzipStage::HeaderChecksum };
                    self.skip_absent();
                }
                tail
            }
            GzipStage::HeaderChecksum => self.read_fixed(2, bytes, |gzip| {
                gzip.stage = GzipStage::Data;
                Ok(())
            })?,
            GzipStage::Trailer => self.read_fixed(8, bytes, |gzip| {
                let [a, b, c, d, e, f, g, h, ..] = gzip.field;
                let expected = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
                let checksum = core::mem::take(&mut gzip.checksum).finalize();
                gzip.stage = GzipStage::Between;
                if expected == (checksum, gzip.length) { Ok(()) } else { Err(Unreadable) }
            })?,
            GzipStage::Between if *first == 31 => {
                *self = Gzip::default();
                return Ok(GzipPart::NewMember(bytes));
            }
            GzipStage::Between | GzipStage::Padding => {
                self.stage = GzipStage::Padding;
                &[]
            }
        };
        Ok(GzipPart::Rest(rest))
    }

    /// Reads a field of `size` bytes, or as much of it as `bytes` has. Calls `complete` when the field is complete.
    fn read_fixed<'b>(
        &mut self,
        size: usize,
        bytes: &'b [u8],
        complete: fn(&mut Self) -> Result<(), Unreadable>,
    ) -> Result<&'b [u8], Unreadable> {
        let length = bytes.len().min(size - self.filled);
        let (piece, rest) = bytes.split_at_checked(length).ok_or(Unreadable)?;
        self.field.iter_mut().skip(self.filled).zip(piece).for_each(|(slot, byte)| *slot = *byte);
        self.filled += length;
        if self.filled == size {
            self.filled = 0;
            complete(self)?;
        }
        Ok(rest)
    }

    /// Skips the optional fields that the flags of the header do not announce.
    fn skip_absent(&mut self) {
        loop {
            self.stage = match self.stage {
                GzipStage::ExtraLength if self.flags & HAS_EXTRA == 0 => GzipStage::Name,
                GzipStage::Extra(0) => GzipStage::Name,
                GzipStage::Name if self.flags & HAS_NAME == 0 => GzipStage::Comment,
                GzipStage::Comment if self.flags & HAS_COMMENT == 0 => GzipStage::HeaderChecksum,
                GzipStage::HeaderChecksum if self.flags & HAS_HEADER_CHECKSUM == 0 => GzipStage::Data,
                _ => return,
            };
        }
    }

    /// Adds decoded bytes to the checksum and the length.
    fn add_decoded(&mut self, piece: &[u8]) {
        self.checksum.update(piece);
        self.length = self.length.wrapping_add(piece.len() as u32);
    }

    /// The trailer follows.
    fn data_ended(&mut self) {
        self.stage = GzipStage::Trailer;
    }
}
