//! gzip (RFC 1952), zlib (RFC 1950) and raw deflate (RFC 1951).
//!
//! HTTP calls the zlib format `deflate` (RFC 9110, section 8.4.1.2). Some servers send raw deflate under that name, so the first
//! two bytes decide. The checksum behind zlib data is not compared. Memory: the state of `miniz_oxide` (11 KiB) and a window
//! that grows with the output from 1 KiB to 32 KiB.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::{Output, Unreadable};
use crate::budget::Share;

/// Size of the first window, in bytes. A power of two, as `miniz_oxide` demands.
const FIRST_WINDOW: usize = 1 << 10;
/// Farthest that deflate looks back, in bytes (RFC 1951, section 2).
const LARGEST_WINDOW: usize = 32 << 10;

/// Work of a block beside its output: its tables are built anew, even if it is empty.
const BLOCK_WORK: u64 = 96;
/// Work of each of the first [`TABLES`] encoded bytes of a block, which may describe its tables.
const TABLE_BYTE: u64 = 3;
const TABLES: usize = 64;
const FLAGS: u32 = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;

/// What surrounds the deflate data.
enum Wrapper {
    Gzip(Gzip),
    /// The first two bytes tell zlib's header from raw data. The first one may be here.
    Unknown(Option<u8>),
    None,
}

/// Decodes one of the three formats.
pub(super) struct Inflate {
    wrapper: Wrapper,
    /// Taken when the first bytes of deflate data come.
    state: Option<Box<DecompressorOxide>>,
    window: Vec<u8>,
    /// Position in the window at which output goes on.
    at: usize,
    finished: bool,
    share: Share,
}

impl Inflate {
    pub fn gzip(share: Share) -> Self {
        Inflate::new(Wrapper::Gzip(Gzip::default()), share)
    }

    pub fn deflate(share: Share) -> Self {
        Inflate::new(Wrapper::Unknown(None), share)
    }

    fn new(wrapper: Wrapper, share: Share) -> Self {
        Inflate { wrapper, state: None, window: Vec::new(), at: 0, finished: false, share }
    }

    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Output<'_>) -> Result<(), Unreadable> {
        while !bytes.is_empty() {
            bytes = match &mut self.wrapper {
                Wrapper::Gzip(gzip) => match gzip.next(bytes)? {
                    Part::Data => self.inflate(bytes, out)?,
                    Part::Rest(rest) => rest,
                    Part::NewMember(rest) => {
                        self.state = None;
                        self.at = 0;
                        rest
                    }
                },
                Wrapper::Unknown(None) => {
                    let (first, rest) = bytes.split_first().ok_or(Unreadable)?;
                    self.wrapper = Wrapper::Unknown(Some(*first));
                    rest
                }
                Wrapper::Unknown(Some(first)) => {
                    let (first, second) = (*first, bytes.first().copied().unwrap_or_default());
                    self.wrapper = Wrapper::None;
                    if is_zlib(first, second) {
                        bytes.get(1..).unwrap_or_default()
                    } else {
                        self.inflate(&[first], out)?;
                        bytes
                    }
                }
                // Bytes behind the end are not part of the body.
                Wrapper::None if self.finished => return Ok(()),
                Wrapper::None => self.inflate(bytes, out)?,
            };
        }
        Ok(())
    }

    /// Decodes deflate data and returns the bytes that follow it, which are empty as long as it goes on.
    fn inflate<'b>(&mut self, mut bytes: &'b [u8], out: &mut Output<'_>) -> Result<&'b [u8], Unreadable> {
        if self.state.is_none() {
            self.grow(FIRST_WINDOW)?;
            self.state = Some(Box::default());
        }
        loop {
            let Some(state) = &mut self.state else { return Err(Unreadable) };
            let (status, taken, given) = decompress(state, bytes, &mut self.window, self.at, FLAGS);
            bytes = bytes.get(taken..).unwrap_or_default();
            let piece = self.window.get(self.at..self.at + given).unwrap_or_default();
            if let Wrapper::Gzip(gzip) = &mut self.wrapper {
                gzip.decoded(piece);
            }
            if !piece.is_empty() {
                out.push(piece)?;
            }
            self.at += given;
            if matches!(status, TINFLStatus::Done | TINFLStatus::BlockBoundary) {
                out.work(BLOCK_WORK + taken.min(TABLES) as u64 * TABLE_BYTE)?;
            }
            match status {
                TINFLStatus::Done => {
                    self.finished = true;
                    if let Wrapper::Gzip(gzip) = &mut self.wrapper {
                        gzip.data_ended();
                    }
                    return Ok(bytes);
                }
                TINFLStatus::NeedsMoreInput => return Ok(bytes),
                TINFLStatus::BlockBoundary => {}
                TINFLStatus::HasMoreOutput if self.at < self.window.len() => {}
                // Nothing was overwritten yet: the decoded bytes stay where they are in a larger window.
                TINFLStatus::HasMoreOutput if self.window.len() < LARGEST_WINDOW => self.grow(self.window.len() * 2)?,
                TINFLStatus::HasMoreOutput => self.at = 0,
                _ => return Err(Unreadable),
            }
        }
    }

    fn grow(&mut self, window: usize) -> Result<(), Unreadable> {
        let window = window.max(self.window.len());
        if !self.share.resize(size_of::<DecompressorOxide>() + window) {
            return Err(Unreadable);
        }
        self.window.resize(window, 0);
        Ok(())
    }
}

/// Tells a zlib header without a preset dictionary from the beginning of raw deflate data (RFC 1950, section 2.2).
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && second & 0x20 == 0 && (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31)
}

/// Reads headers and trailers of gzip's members.
#[derive(Default)]
struct Gzip {
    stage: Stage,
    /// Bytes of the fixed-size field being read.
    field: [u8; 10],
    filled: usize,
    flags: u8,
    checksum: crc32fast::Hasher,
    length: u32,
}

/// The part of a member being read (RFC 1952, section 2.3).
#[derive(Clone, Copy, Default, PartialEq)]
enum Stage {
    #[default]
    Header,
    ExtraLength,
    Extra(u16),
    Name,
    Comment,
    HeaderChecksum,
    Data,
    Trailer,
    /// Between members, or what follows the last one.
    Between,
    /// Padding behind the last member.
    Padding,
}

enum Part<'b> {
    /// Deflate data begins or goes on.
    Data,
    /// A part of a header or trailer was read, and these bytes follow it.
    Rest(&'b [u8]),
    /// Another member begins with these bytes.
    NewMember(&'b [u8]),
}

const HAS_HEADER_CHECKSUM: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;

impl Gzip {
    fn next<'b>(&mut self, bytes: &'b [u8]) -> Result<Part<'b>, Unreadable> {
        let (first, behind) = bytes.split_first().ok_or(Unreadable)?;
        let rest = match self.stage {
            Stage::Data => return Ok(Part::Data),
            Stage::Header => self.fixed(10, bytes, |gzip| {
                let [31, 139, 8, flags, ..] = gzip.field else { return Err(Unreadable) };
                gzip.flags = flags;
                gzip.stage = Stage::ExtraLength;
                gzip.skip_absent();
                Ok(())
            })?,
            Stage::ExtraLength => self.fixed(2, bytes, |gzip| {
                let [low, high, ..] = gzip.field;
                gzip.stage = Stage::Extra(u16::from_le_bytes([low, high]));
                gzip.skip_absent();
                Ok(())
            })?,
            Stage::Extra(left) => {
                let taken = bytes.len().min(usize::from(left));
                self.stage = Stage::Extra(left - taken as u16);
                self.skip_absent();
                bytes.get(taken..).unwrap_or_default()
            }
            Stage::Name | Stage::Comment => {
                if *first == 0 {
                    self.stage = if self.stage == Stage::Name { Stage::Comment } else { Stage::HeaderChecksum };
                    self.skip_absent();
                }
                behind
            }
            Stage::HeaderChecksum => self.fixed(2, bytes, |gzip| {
                gzip.stage = Stage::Data;
                Ok(())
            })?,
            Stage::Trailer => self.fixed(8, bytes, |gzip| {
                let [a, b, c, d, e, f, g, h, ..] = gzip.field;
                let told = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
                let checksum = core::mem::take(&mut gzip.checksum).finalize();
                gzip.stage = Stage::Between;
                if told == (checksum, gzip.length) { Ok(()) } else { Err(Unreadable) }
            })?,
            Stage::Between if *first == 31 => {
                *self = Gzip::default();
                return Ok(Part::NewMember(bytes));
            }
            Stage::Between | Stage::Padding => {
                self.stage = Stage::Padding;
                &[]
            }
        };
        Ok(Part::Rest(rest))
    }

    /// Collects a field of `size` bytes and passes it on when it is whole.
    fn fixed<'b>(
        &mut self,
        size: usize,
        bytes: &'b [u8],
        whole: fn(&mut Self) -> Result<(), Unreadable>,
    ) -> Result<&'b [u8], Unreadable> {
        let taken = bytes.len().min(size - self.filled);
        let (piece, rest) = bytes.split_at_checked(taken).ok_or(Unreadable)?;
        self.field.iter_mut().skip(self.filled).zip(piece).for_each(|(slot, byte)| *slot = *byte);
        self.filled += taken;
        if self.filled == size {
            self.filled = 0;
            whole(self)?;
        }
        Ok(rest)
    }

    /// Steps over the optional fields that the header does not announce.
    fn skip_absent(&mut self) {
        loop {
            self.stage = match self.stage {
                Stage::ExtraLength if self.flags & HAS_EXTRA == 0 => Stage::Name,
                Stage::Extra(0) => Stage::Name,
                Stage::Name if self.flags & HAS_NAME == 0 => Stage::Comment,
                Stage::Comment if self.flags & HAS_COMMENT == 0 => Stage::HeaderChecksum,
                Stage::HeaderChecksum if self.flags & HAS_HEADER_CHECKSUM == 0 => Stage::Data,
                _ => return,
            };
        }
    }

    fn decoded(&mut self, piece: &[u8]) {
        self.checksum.update(piece);
        self.length = self.length.wrapping_add(piece.len() as u32);
    }

    fn data_ended(&mut self) {
        self.stage = Stage::Trailer;
    }
}
