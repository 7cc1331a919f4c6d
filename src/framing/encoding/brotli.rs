//! br (RFC 7932).
//!
//! Memory: the library allocates everything that depends on the stream with [`BudgetAllocator`], which reserves it in
//! the budget first. The size of the window depends on the stream's header and has a limit for each direction.

use brotli_decompressor::{Allocator, BrotliDecompressStream, BrotliResult, BrotliState, HuffmanCode, StandardAlloc};

use super::{DecodedOutput, Unreadable};
use crate::budget::{Share, Side};

/// Largest window for a response, in bytes. 4 MiB is the default of encoders.
const RESPONSE_WINDOW: usize = 4 << 20;
/// Largest window for a request, in bytes.
const REQUEST_WINDOW: usize = 1 << 20;
/// Number of bytes that the library allocates in addition to its window.
const WINDOW_SLACK: usize = 1 << 10;
/// Number of bytes that are decoded at a time.
const PIECE: usize = 8 << 10;

/// Work for an encoded byte that does not describe tables.
const ENCODED_BYTE_WORK: u64 = 4;
/// Work for an encoded byte that may describe tables. A few bytes describe a table of a thousand entries.
const TABLE_BYTE_WORK: u64 = 16;
/// The same in a long slice, which may describe the largest context maps and replace them.
const UNSEEN_TABLE_BYTE_WORK: u64 = 48;
/// Number of entries of a context map that count as one unit of work. 80 bytes describe a map of 16,384 entries.
const CONTEXTS_PER_WORK: u64 = 8;
/// Number of encoded bytes that are decoded at a time if they describe no table.
const LONG_SLICE: usize = 256;
/// The same if they may describe one. The description of the largest context maps is longer than this, so they are seen.
const SHORT_SLICE: usize = 32;

type LibraryState = BrotliState<BudgetAllocator, BudgetAllocator, BudgetAllocator>;

/// Decodes br.
pub(super) struct Brotli {
    /// Allocated when the first bytes arrive.
    state: Option<Box<LibraryState>>,
    share: Share,
    finished: bool,
    /// Number of decoded bytes so far.
    given: u64,
    /// Number of decoded bytes at the end of the latest metablock whose begin was seen.
    end: u64,
    /// True if the last slice may have described tables.
    in_tables: bool,
}

impl Brotli {
    /// Creates a decoder. It has no memory yet.
    pub fn new(share: Share) -> Self {
        Brotli { state: None, share, finished: false, given: 0, end: 0, in_tables: true }
    }

    /// Decodes `bytes`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut DecodedOutput<'_>) -> Result<(), Unreadable> {
        if self.state.is_none() {
            if !self.share.resize(size_of::<LibraryState>()) {
                return Err(Unreadable);
            }
            let allocator = || BudgetAllocator { share: self.share.another(), inner: StandardAlloc::default() };
            self.state = Some(Box::new(BrotliState::new(allocator(), allocator(), allocator())));
        }
        let mut piece = [0; PIECE];
        let mut rest = bytes;
        // Bytes after the end of the stream are ignored.
        while !rest.is_empty() && !self.finished {
            let longest = if self.in_tables { SHORT_SLICE } else { LONG_SLICE };
            let (slice, behind) = rest.split_at_checked(longest).unwrap_or((rest, &[]));
            rest = behind;
            self.decode(slice, &mut piece, out)?;
            out.count_work(self.work(slice.len()))?;
        }
        Ok(())
    }

    fn decode(&mut self, slice: &[u8], piece: &mut [u8; PIECE], out: &mut DecodedOutput<'_>) -> Result<(), Unreadable> {
        let Some(state) = &mut self.state else { return Err(Unreadable) };
        let before = self.given;
        let (mut left, mut from) = (slice.len(), 0);
        while !self.finished {
            let (mut room, mut size, mut total) = (PIECE, 0, 0);
            let result =
                BrotliDecompressStream(&mut left, &mut from, slice, &mut room, &mut size, piece, &mut total, state);
            if size > 0 {
                self.given += size as u64;
                out.push(piece.get(..size).unwrap_or_default())?;
            }
            match result {
                BrotliResult::NeedsMoreInput if size < PIECE => break,
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
                BrotliResult::ResultSuccess => self.finished = true,
                BrotliResult::ResultFailure => return Err(Unreadable),
            }
        }
        // When the library needs input, it has passed on everything that it has decoded. The remaining length of a metablock
        // then gives its end. A new metablock ends after the one before. Metadata has no output.
        let left = u64::try_from(state.meta_block_remaining_len).unwrap_or(0);
        let is_metadata = state.is_metadata != 0;
        self.in_tables = self.given == before || is_metadata || self.given + left > self.end;
        if !is_metadata {
            self.end = self.end.max(self.given + left);
        }
        Ok(())
    }

    /// Work for the slice of `size` bytes that was decoded last, in addition to its output. An estimate: the library does not
    /// report how many tables it has built.
    fn work(&self, size: usize) -> u64 {
        let size = size as u64;
        let [literal_types, _, distance_types] =
            self.state.as_ref().map_or([0; 3], |state| state.block_type_length_state.num_block_types).map(u64::from);
        if !self.in_tables {
            size * ENCODED_BYTE_WORK
        } else if size > SHORT_SLICE as u64 {
            size * UNSEEN_TABLE_BYTE_WORK
        } else {
            size * TABLE_BYTE_WORK + (literal_types * 64 + distance_types * 4) / CONTEXTS_PER_WORK
        }
    }
}

/// Allocates memory for the library if the budget has it. Returns an empty cell otherwise, which the library reports as
/// a failure.
struct BudgetAllocator {
    share: Share,
    inner: StandardAlloc,
}

impl<T: Clone + Default> Allocator<T> for BudgetAllocator
where
    StandardAlloc: Allocator<T>,
    <StandardAlloc as Allocator<T>>::AllocatedMemory: Default,
{
    type AllocatedMemory = <StandardAlloc as Allocator<T>>::AllocatedMemory;

    fn alloc_cell(&mut self, length: usize) -> Self::AllocatedMemory {
        let window = match self.share.side() {
            Side::Request => REQUEST_WINDOW,
            Side::Response => RESPONSE_WINDOW,
        };
        let bytes = length.saturating_mul(size_of::<T>());
        if bytes > window + WINDOW_SLACK || !self.share.resize(self.share.bytes().saturating_add(bytes)) {
            return Self::AllocatedMemory::default();
        }
        self.inner.alloc_cell(length)
    }

    fn free_cell(&mut self, cell: Self::AllocatedMemory) {
        use brotli_decompressor::SliceWrapper;
        let bytes = cell.slice().len().saturating_mul(size_of::<T>());
        self.inner.free_cell(cell);
        // A smaller size is always possible.
        let _ = self.share.resize(self.share.bytes().saturating_sub(bytes));
    }
}

// The library needs allocators for bytes, numbers and Huffman codes.
const _: () = {
    const fn is_allocator<A: Allocator<u8> + Allocator<u32> + Allocator<HuffmanCode>>() {}
    is_allocator::<BudgetAllocator>();
};
