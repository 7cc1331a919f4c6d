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

/// Work of an encoded byte that is not of tables.
const ENCODED_BYTE: u64 = 4;
/// Work of an encoded byte that may describe tables: a few bytes describe one of a thousand entries.
const TABLE_BYTE: u64 = 16;
/// The same in a long slice, in which the largest context maps may have been described and replaced.
const UNSEEN_TABLE_BYTE: u64 = 48;
/// Entries of a context map that are one unit of work. A map of 16,384 entries takes 80 bytes.
const CONTEXTS_PER_WORK: u64 = 8;
/// Encoded bytes decoded at a time, where no table is described and where one may be. The largest context maps are longer
/// than a short slice, so that they are seen.
const LONG_SLICE: usize = 256;
const SHORT_SLICE: usize = 32;

type State = BrotliState<Metered, Metered, Metered>;

/// Decodes br.
pub(super) struct Brotli {
    /// Taken when the first bytes come.
    state: Option<Box<State>>,
    share: Share,
    finished: bool,
    /// Decoded bytes so far.
    given: u64,
    /// The same at the end of the latest metablock that was seen to begin.
    end: u64,
    /// The last slice may have described tables.
    in_tables: bool,
}

impl Brotli {
    pub fn new(share: Share) -> Self {
        Brotli { state: None, share, finished: false, given: 0, end: 0, in_tables: true }
    }

    pub fn feed(&mut self, bytes: &[u8], out: &mut Output<'_>) -> Result<(), Unreadable> {
        if self.state.is_none() {
            if !self.share.resize(size_of::<State>()) {
                return Err(Unreadable);
            }
            let metered = || Metered { share: self.share.another(), inner: StandardAlloc::default() };
            self.state = Some(Box::new(BrotliState::new(metered(), metered(), metered())));
        }
        let mut piece = [0; PIECE];
        let mut rest = bytes;
        // Bytes behind the end are not part of the body.
        while !rest.is_empty() && !self.finished {
            let longest = if self.in_tables { SHORT_SLICE } else { LONG_SLICE };
            let (slice, behind) = rest.split_at_checked(longest).unwrap_or((rest, &[]));
            rest = behind;
            self.decode(slice, &mut piece, out)?;
            out.work(self.work(slice.len()))?;
        }
        Ok(())
    }

    fn decode(&mut self, slice: &[u8], piece: &mut [u8; PIECE], out: &mut Output<'_>) -> Result<(), Unreadable> {
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
        // The library passes on all that it has decoded when it needs input. What a metablock has left then tells where it
        // ends, which is behind the end of the one before. Metadata has no output.
        let left = u64::try_from(state.meta_block_remaining_len).unwrap_or(0);
        let is_metadata = state.is_metadata != 0;
        self.in_tables = self.given == before || is_metadata || self.given + left > self.end;
        if !is_metadata {
            self.end = self.end.max(self.given + left);
        }
        Ok(())
    }

    /// Work of the slice of `size` bytes that was decoded last, beside its output. The library does not tell how many tables
    /// it has built.
    fn work(&self, size: usize) -> u64 {
        let size = size as u64;
        let [literal_types, _, distance_types] =
            self.state.as_ref().map_or([0; 3], |state| state.block_type_length_state.num_block_types).map(u64::from);
        if !self.in_tables {
            size * ENCODED_BYTE
        } else if size > SHORT_SLICE as u64 {
            size * UNSEEN_TABLE_BYTE
        } else {
            size * TABLE_BYTE + (literal_types * 64 + distance_types * 4) / CONTEXTS_PER_WORK
        }
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
