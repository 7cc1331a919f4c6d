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

/// Work for an encoded byte. A stream may consist of tables that are costly to build and have no output.
const ENCODED_BYTE_WORK: u64 = 4;

type LibraryState = BrotliState<BudgetAllocator, BudgetAllocator, BudgetAllocator>;

/// Decodes br.
pub(super) struct Brotli {
    /// Allocated when the first bytes arrive.
    state: Option<Box<LibraryState>>,
    share: Share,
    finished: bool,
}

impl Brotli {
    /// Creates a decoder. It has no memory yet.
    pub fn new(share: Share) -> Self {
        Brotli { state: None, share, finished: false }
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
        let Some(state) = &mut self.state else { return Err(Unreadable) };
        out.count_work(bytes.len() as u64 * ENCODED_BYTE_WORK)?;
        let mut piece = [0; PIECE];
        let (mut left, mut from) = (bytes.len(), 0);
        // Bytes after the end of the stream are ignored.
        while !self.finished {
            let (mut room, mut size, mut total) = (PIECE, 0, 0);
            let result = BrotliDecompressStream(
                &mut left, &mut from, bytes, &mut room, &mut size, &mut piece, &mut total, state,
            );
            if size > 0 {
                out.push(piece.get(..size).unwrap_or_default())?;
            }
            match result {
                BrotliResult::NeedsMoreInput if size < PIECE => break,
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
                BrotliResult::ResultSuccess => self.finished = true,
                BrotliResult::ResultFailure => return Err(Unreadable),
            }
        }
        Ok(())
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
