//! zstd (RFC 8878). Only the first frame is decoded.
//!
//! How this module bounds the library `ruzstd`:
//!
//! - The library decodes all blocks that it gets, and a block of 4 bytes may become 128 KiB. So it gets one block at a
//!   time.
//! - It allocates memory without a limit. So this module reads the sizes of a block's parts first and reserves them in
//!   the budget.
//! - It reports only the decoded bytes beyond its window. So it gets a frame header with the smallest window, and this
//!   module keeps the bytes of the real window in the library's buffer.
//!
//! The output is delayed: decoded bytes are passed on only when they are beyond the window or the frame is complete.

use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{DecodedOutput, Unreadable};
use crate::budget::{Share, Side};

/// Largest window for a response, in bytes: the limit of RFC 9659 for content encodings.
const RESPONSE_WINDOW: u64 = 8 << 20;
/// Largest window for a request, in bytes. Encoders use 2 MiB at their default level.
const REQUEST_WINDOW: u64 = 4 << 20;
/// The frame header that the library gets: a window of 128 KiB and no optional field (RFC 8878, section 3.1.1.1).
const HEADER: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
/// Number of decoded bytes that the library keeps without reporting them: the window of [`HEADER`].
const UNREPORTED: usize = 128 << 10;
/// Longest block, in bytes, compressed or not (RFC 8878, section 3.1.1.2.4).
const MAX_BLOCK: usize = 128 << 10;
/// Shortest match of a sequence, in bytes (RFC 8878, section 3.1.1.3.2.1.1).
const SHORTEST_MATCH: usize = 3;
/// Memory of the library's tables, in bytes, as an upper bound.
const TABLES: usize = 24 << 10;
/// Memory of one decoded sequence, in bytes.
const SEQUENCE: usize = 12;
/// Number of decoded bytes that are passed on at a time.
const PIECE: usize = 8 << 10;

/// Work for a block in addition to its bytes.
const BLOCK_WORK: u64 = 32;
/// Work for a compressed block in addition to its bytes: building its tables.
const TABLES_WORK: u64 = 1280;
/// Work for a sequence. Its output may be passed on only in a later call.
const SEQUENCE_WORK: u64 = 5;
/// Number of literals of a compressed block that count as one unit of work.
const LITERALS_PER_WORK: usize = 4;

/// Decodes the first frame.
pub(super) struct Zstd {
    decoder: FrameDecoder,
    /// The frame's header or blocks that are not decoded yet.
    held: Vec<u8>,
    /// Size of the frame's window in bytes. None until its header is complete.
    window: Option<usize>,
    /// True if the last call reached its limit of work.
    has_pending_output: bool,
    /// Upper bound of the decoded bytes in the library's buffer.
    buffered: usize,
    /// For each part of a block, its largest size so far.
    largest: BlockSizes,
    share: Share,
}

/// Sizes of a block's parts. The library keeps the memory for them for the next block.
#[derive(Clone, Copy, Default)]
struct BlockSizes {
    /// Size of the compressed block, in bytes.
    content: usize,
    /// Size of the decoded literals, in bytes.
    literals: usize,
    /// Number of sequences.
    sequences: usize,
}

impl BlockSizes {
    /// Work for decoding a compressed block. Its output is counted when it is passed on.
    fn work(self) -> u64 {
        TABLES_WORK + self.sequences as u64 * SEQUENCE_WORK + (self.literals / LITERALS_PER_WORK) as u64
    }
}

impl Zstd {
    /// Creates a decoder. It has no memory yet.
    pub fn new(share: Share) -> Self {
        Zstd {
            decoder: FrameDecoder::new(),
            held: Vec::new(),
            window: None,
            has_pending_output: false,
            buffered: 0,
            largest: BlockSizes::default(),
            share,
        }
    }

    /// Returns true if the last call reached its limit of work. The next call, with or without bytes, goes on.
    pub fn has_pending_output(&self) -> bool {
        self.has_pending_output
    }

    /// Decodes `bytes` and passes the output on, as far as the limits of `out` allow.
    pub fn feed(&mut self, bytes: &[u8], out: &mut DecodedOutput<'_>) -> Result<(), Unreadable> {
        self.held.extend_from_slice(bytes);
        self.has_pending_output = false;
        let mut at = if self.window.is_some() { 0 } else { self.read_header()? };
        while let Some(window) = self.window {
            self.emit(window, out)?;
            if out.work_left == 0 {
                self.has_pending_output = true;
                break;
            }
            if self.decoder.is_finished() {
                self.held = Vec::new();
                return Ok(());
            }
            let left = self.held.get(at..).unwrap_or_default();
            let [a, b, c, ..] = left else { break };
            let header = u32::from_le_bytes([*a, *b, *c, 0]);
            let size = (header >> 3) as usize;
            let kind = header >> 1 & 3;
            // Block type 1 (RLE) stores one byte. The size is the number of repetitions.
            let stored = if kind == 1 { 1 } else { size };
            if size > MAX_BLOCK {
                return Err(Unreadable);
            }
            let Some(block) = left.get(3..3 + stored) else { break };
            let (sizes, decoded) = match kind {
                2 => (block_sizes(block).ok_or(Unreadable)?, MAX_BLOCK),
                _ => (BlockSizes::default(), size),
            };
            out.work_left = out.work_left.saturating_sub(if kind == 2 { sizes.work() } else { BLOCK_WORK });
            self.reserve(sizes, decoded)?;
            let block = self.held.get(at..at + 3 + stored).unwrap_or_default();
            // The library expects a checksum after the last block. It is not verified, so zeros replace it.
            let block = block.chain([0; 4].as_slice());
            self.decoder.decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| Unreadable)?;
            if self.decoder.can_collect() > 0 {
                self.buffered = self.decoder.can_collect() + UNREPORTED;
            }
            at += 3 + stored;
        }
        self.held.drain(..at.min(self.held.len()));
        self.reserve(BlockSizes::default(), 0)
    }

    /// Reads the frame's header. Returns its length in bytes, or 0 if it is incomplete.
    fn read_header(&mut self) -> Result<usize, Unreadable> {
        if !self.share.resize(TABLES) {
            return Err(Unreadable);
        }
        let Some((length, window)) = frame_header(&self.held)? else { return Ok(0) };
        let max_window = match self.share.side() {
            Side::Request => REQUEST_WINDOW,
            Side::Response => RESPONSE_WINDOW,
        };
        if window > max_window {
            return Err(Unreadable);
        }
        self.decoder.init(HEADER.as_slice()).map_err(|_| Unreadable)?;
        self.window = Some((window as usize).max(UNREPORTED));
        Ok(length)
    }

    /// Reserves memory for a block of these sizes that becomes at most `decoded` bytes.
    fn reserve(&mut self, sizes: BlockSizes, decoded: usize) -> Result<(), Unreadable> {
        let largest = &mut self.largest;
        largest.content = largest.content.max(sizes.content);
        largest.literals = largest.literals.max(sizes.literals);
        largest.sequences = largest.sequences.max(sizes.sequences);
        self.buffered += decoded;
        // A vector's capacity may be twice its length.
        let block = largest.content + 2 * largest.literals + 2 * largest.sequences * SEQUENCE;
        let memory = TABLES + self.held.capacity() + block + ring_buffer(self.buffered);
        if self.share.resize(memory) { Ok(()) } else { Err(Unreadable) }
    }

    /// Passes on the decoded bytes beyond the window, or all of them if the frame is complete.
    fn emit(&mut self, window: usize, out: &mut DecodedOutput<'_>) -> Result<(), Unreadable> {
        let mut piece = [0; PIECE];
        let kept = if self.decoder.is_finished() { 0 } else { window - UNREPORTED };
        while self.decoder.can_collect() > kept && out.work_left > 0 {
            let size = (self.decoder.can_collect() - kept).min(PIECE).min(out.work_left as usize);
            let size = self.decoder.read(piece.get_mut(..size).unwrap_or_default()).map_err(|_| Unreadable)?;
            self.buffered = self.buffered.saturating_sub(size);
            out.push(piece.get(..size).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Returns the length of a frame's header and the size of its window, in bytes. Returns None if the header is
/// incomplete.
///
/// Spec: RFC 8878, section 3.1.1.1.
fn frame_header(bytes: &[u8]) -> Result<Option<(usize, u64)>, Unreadable> {
    let magic = HEADER.get(..4).unwrap_or_default();
    if bytes.iter().zip(magic).any(|(byte, magic)| byte != magic) {
        return Err(Unreadable);
    }
    let Some((descriptor, fields)) = bytes.get(4..).and_then(<[u8]>::split_first) else { return Ok(None) };
    let is_single_segment = descriptor & 0x20 != 0;
    let size_bytes = match descriptor >> 6 {
        0 => usize::from(is_single_segment),
        flag => 1 << flag,
    };
    let (is_reserved, has_dictionary) = (descriptor & 0x08 != 0, descriptor & 0x03 != 0);
    if is_reserved || has_dictionary {
        return Err(Unreadable);
    }
    let window_bytes = usize::from(!is_single_segment);
    let Some(fields) = fields.get(..window_bytes + size_bytes) else { return Ok(None) };
    let window = if is_single_segment {
        let size = fields.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
        // A field of two bytes has an offset of 256.
        if size_bytes == 2 { size + 256 } else { size }
    } else {
        let byte = u64::from(fields.first().copied().unwrap_or_default());
        let base = 1 << (10 + (byte >> 3));
        base + (base >> 3) * (byte & 7)
    };
    Ok(Some((5 + fields.len(), window)))
}

/// Upper bound of the memory of the library's ring buffer for this number of bytes, in bytes.
fn ring_buffer(bytes: usize) -> usize {
    const SLACK: usize = 2 * MAX_BLOCK;
    if bytes < SLACK {
        (bytes + 1).next_power_of_two() + 1
    } else {
        (bytes + 1 - SLACK).next_power_of_two() + SLACK + 1
    }
}

/// Returns the sizes of a compressed block's parts, from their headers. Returns None if they are invalid.
///
/// Spec: RFC 8878, sections 3.1.1.3.1.1 (literals) and 3.1.1.3.2.1 (sequences).
fn block_sizes(block: &[u8]) -> Option<BlockSizes> {
    let byte = |at: usize| block.get(at).map(|byte| usize::from(*byte));
    let head = (0..5).fold(0, |head, at| head | (byte(at).unwrap_or(0) as u64) << (8 * at));
    let bits = |from: u32, count: u32| (head >> from & ((1 << count) - 1)) as usize;
    let (kind, format) = (bits(0, 2), bits(2, 2));
    let (header, literals, stored) = match (kind, format) {
        (0 | 1, 0 | 2) => (1, bits(3, 5), None),
        (0 | 1, 1) => (2, bits(4, 12), None),
        (0 | 1, _) => (3, bits(4, 20), None),
        (_, 0 | 1) => (3, bits(4, 10), Some(bits(14, 10))),
        (_, 2) => (4, bits(4, 14), Some(bits(18, 14))),
        (_, _) => (5, bits(4, 18), Some(bits(22, 18))),
    };
    let stored = stored.unwrap_or(if kind == 1 { 1 } else { literals });
    let at = header + stored;
    let sequences = match byte(at)? {
        first @ 0..128 => first,
        255 => byte(at + 1)? + (byte(at + 2)? << 8) + 0x7f00,
        first => ((first - 128) << 8) + byte(at + 1)?,
    };
    let is_valid = literals <= MAX_BLOCK && sequences <= MAX_BLOCK / SHORTEST_MATCH;
    is_valid.then_some(BlockSizes { content: block.len(), literals, sequences })
}
