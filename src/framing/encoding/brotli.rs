//! br (RFC 7932).
//!
//! Memory: the library asks [`Metered`] for everything that depends on the stream, so nothing is taken that the budget does
//! not have. Its window grows with what the stream announces, up to the limit of its direction.

use brotli_decompressor::{Allocator, BrotliDecompressStream, BrotliResult, BrotliState, HuffmanCode, StandardAlloc};

use super::{Output, Unreadable};
use crate::budget::{Share, Side};

/// Largest window for a response, in bytes. Encoders use 4 MiB unless told otherwise.
const RESPONSE_WINDOW: usize = 4 << 20;
/// Largest window for a request, in bytes.
const REQUEST_WINDOW: usize = 1 << 20;
/// Bytes that the library keeps behind its window.
const WINDOW_SLACK: usize = 1 << 10;
/// Bytes decoded at a time.
const PIECE: usize = 8 << 10;

/// Work of an encoded byte: a stream may consist of tables that are costly to build and decode to nothing.
const ENCODED_BYTE: u64 = 4;

type State = BrotliState<Metered, Metered, Metered>;

/// Decodes br.
pub(super) struct Brotli {
    /// Taken when the first bytes come.
    state: Option<Box<State>>,
    share: Share,
    finished: bool,
}

impl Brotli {
    pub fn new(share: Share) -> Self {
        Brotli { state: None, share, finished: false }
    }

    pub fn feed(&mut self, bytes: &[u8], out: &mut Output<'_>) -> Result<(), Unreadable> {
        if self.state.is_none() {
            if !self.share.resize(size_of::<State>()) {
                return Err(Unreadable);
            }
            let metered = || Metered { share: self.share.another(), inner: StandardAlloc::default() };
            self.state = Some(Box::new(BrotliState::new(metered(), metered(), metered())));
        }
        let Some(state) = &mut self.state else { return Err(Unreadable) };
        out.work(bytes.len() as u64 * ENCODED_BYTE)?;
        let mut piece = [0; PIECE];
        let (mut left, mut from) = (bytes.len(), 0);
        // Bytes behind the end are not part of the body.
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

/// Allocates for the library what the budget has room for. An empty cell tells the library that there is none.
struct Metered {
    share: Share,
    inner: StandardAlloc,
}

impl<T: Clone + Default> Allocator<T> for Metered
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
        // Less is always possible.
        let _ = self.share.resize(self.share.bytes().saturating_sub(bytes));
    }
}

// The three tables of the library: bytes, numbers, codes.
const _: () = {
    const fn is_allocator<A: Allocator<u8> + Allocator<u32> + Allocator<HuffmanCode>>() {}
    is_allocator::<Metered>();
};
