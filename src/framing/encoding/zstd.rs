//! zstd (RFC 8878).
//!
//! The library keeps what it decodes until its window or the frame is full, so output comes late. It gets one block at a time,
//! as it decodes all that it gets and a block of 4 bytes may become 128 KiB. It allocates without asking: the size of a block's
//! parts is read first and taken from the budget. It is told the smallest window, as it only tells how much it holds beyond its
//! window; the real window decides what is taken out.

use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Output, Unreadable};
use crate::budget::{Share, Side};

/// Largest window for a response, in bytes: what RFC 9659 lets a content encoding ask for.
const RESPONSE_WINDOW: u64 = 8 << 20;
/// Largest window for a request, in bytes. Encoders ask for 2 MiB at their default level.
const REQUEST_WINDOW: u64 = 4 << 20;
/// Frame header for the library: a window of 128 KiB and nothing else (RFC 8878, section 3.1.1.1).
const HEADER: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
/// Bytes that the library does not tell of.
const UNTOLD: usize = 128 << 10;
/// Longest block, in bytes, compressed or not.
const BLOCK: usize = 128 << 10;
/// Shortest match of a sequence, in bytes.
const SHORTEST_MATCH: usize = 3;
/// Memory of the library's tables, in bytes, as an upper bound.
const TABLES: usize = 24 << 10;
/// Memory of one decoded sequence, in bytes.
const SEQUENCE: usize = 12;
/// Decoded bytes passed on at a time.
const PIECE: usize = 8 << 10;

/// Work of any block beside its bytes.
const BLOCK_WORK: u64 = 32;
/// Work of a compressed block beside its bytes, whose tables are built anew.
const TABLES_WORK: u64 = 384;
/// Work of a sequence, whose output may only be passed on in a later call.
const SEQUENCE_WORK: u64 = 2;
/// Literals of a compressed block that are one unit of work.
const LITERALS_PER_WORK: usize = 4;

/// Decodes the first frame.
pub(super) struct Zstd {
    decoder: FrameDecoder,
    /// A frame's header or blocks that are not decoded yet.
    held: Vec<u8>,
    /// Size of the frame's window in bytes, once its header was read.
    window: Option<usize>,
    /// The last call had no room for everything that came.
    waits: bool,
    /// Bytes that the decoder holds, as an upper bound.
    buffered: usize,
    /// Sizes of the largest block so far.
    largest: BlockSizes,
    share: Share,
}

/// Memory that a block takes while it is decoded, in bytes. The library keeps it for the next block.
#[derive(Clone, Copy, Default)]
struct BlockSizes {
    content: usize,
    literals: usize,
    sequences: usize,
}

impl BlockSizes {
    /// Work of decoding a compressed block. Its output is counted when it is passed on.
    fn work(self) -> u64 {
        TABLES_WORK + self.sequences as u64 * SEQUENCE_WORK + (self.literals / LITERALS_PER_WORK) as u64
    }
}

impl Zstd {
    pub fn new(share: Share) -> Self {
        Zstd {
            decoder: FrameDecoder::new(),
            held: Vec::new(),
            window: None,
            waits: false,
            buffered: 0,
            largest: BlockSizes::default(),
            share,
        }
    }

    /// Whether the last call had no room for everything that came. The next call goes on, also without bytes.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Decodes `bytes` and passes on the output that `out` has room for.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Output<'_>) -> Result<(), Unreadable> {
        self.held.extend_from_slice(bytes);
        self.waits = false;
        let mut at = if self.window.is_some() { 0 } else { self.start()? };
        while let Some(window) = self.window {
            self.give(window, out)?;
            if out.work == 0 {
                self.waits = true;
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
            // A repeated byte is stored once, whatever the size says.
            let stored = if kind == 1 { 1 } else { size };
            if size > BLOCK {
                return Err(Unreadable);
            }
            let Some(block) = left.get(3..3 + stored) else { break };
            let (sizes, decoded) = match kind {
                2 => (block_sizes(block).ok_or(Unreadable)?, BLOCK),
                _ => (BlockSizes::default(), size),
            };
            out.work = out.work.saturating_sub(if kind == 2 { sizes.work() } else { BLOCK_WORK });
            self.take(sizes, decoded)?;
            let block = self.held.get(at..at + 3 + stored).unwrap_or_default();
            // The checksum behind the last block is not compared, so it need not be waited for.
            let block = block.chain([0; 4].as_slice());
            self.decoder.decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| Unreadable)?;
            if self.decoder.can_collect() > 0 {
                self.buffered = self.decoder.can_collect() + UNTOLD;
            }
            at += 3 + stored;
        }
        self.held.drain(..at.min(self.held.len()));
        self.take(BlockSizes::default(), 0)
    }

    /// Reads the frame's header and returns its length, or 0 if it is not whole yet.
    fn start(&mut self) -> Result<usize, Unreadable> {
        if !self.share.resize(TABLES) {
            return Err(Unreadable);
        }
        let Some((length, window)) = frame_header(&self.held)? else { return Ok(0) };
        let most = match self.share.side() {
            Side::Request => REQUEST_WINDOW,
            Side::Response => RESPONSE_WINDOW,
        };
        if window > most {
            return Err(Unreadable);
        }
        self.decoder.init(HEADER.as_slice()).map_err(|_| Unreadable)?;
        self.window = Some((window as usize).max(UNTOLD));
        Ok(length)
    }

    /// Takes memory for a block of these sizes that becomes at most `decoded` bytes.
    fn take(&mut self, sizes: BlockSizes, decoded: usize) -> Result<(), Unreadable> {
        let largest = &mut self.largest;
        largest.content = largest.content.max(sizes.content);
        largest.literals = largest.literals.max(sizes.literals);
        largest.sequences = largest.sequences.max(sizes.sequences);
        self.buffered += decoded;
        // Vectors double.
        let block = largest.content + 2 * largest.literals + 2 * largest.sequences * SEQUENCE;
        let memory = TABLES + self.held.capacity() + block + ring_buffer(self.buffered);
        if self.share.resize(memory) { Ok(()) } else { Err(Unreadable) }
    }

    /// Passes on what lies beyond the window, or everything once the frame is over.
    fn give(&mut self, window: usize, out: &mut Output<'_>) -> Result<(), Unreadable> {
        let mut piece = [0; PIECE];
        let kept = if self.decoder.is_finished() { 0 } else { window - UNTOLD };
        while self.decoder.can_collect() > kept && out.work > 0 {
            let size = (self.decoder.can_collect() - kept).min(PIECE).min(out.work as usize);
            let size = self.decoder.read(piece.get_mut(..size).unwrap_or_default()).map_err(|_| Unreadable)?;
            self.buffered = self.buffered.saturating_sub(size);
            out.push(piece.get(..size).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Reads a frame's header: its length and the size of the window, in bytes. None if it is not whole yet.
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
        // A field of two bytes counts from 256.
        if size_bytes == 2 { size + 256 } else { size }
    } else {
        let byte = u64::from(fields.first().copied().unwrap_or_default());
        let base = 1 << (10 + (byte >> 3));
        base + (base >> 3) * (byte & 7)
    };
    Ok(Some((5 + fields.len(), window)))
}

/// Memory of the library's ring buffer for so many bytes, as an upper bound.
fn ring_buffer(bytes: usize) -> usize {
    const SLACK: usize = 2 * BLOCK;
    if bytes < SLACK {
        (bytes + 1).next_power_of_two() + 1
    } else {
        (bytes + 1 - SLACK).next_power_of_two() + SLACK + 1
    }
}

/// The sizes of a compressed block's parts, from their headers. None if they are not possible.
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
    let possible = literals <= BLOCK && sequences <= BLOCK / SHORTEST_MATCH;
    possible.then_some(BlockSizes { content: block.len(), literals, sequences })
}
