//! The memory that the lists of an exchange take.
//!
//! The size of everything else is part of the exchange's charge, see [`Draft::BOUND`]. Lists are short in nearly all exchanges
//! and long in a few, so their memory is reserved while they grow, up to [`MOST`] bytes.

use super::{Counts, Draft, History};
use crate::budget::Share;
use crate::json::LIMIT;
use crate::observation::ParseError;
use crate::text::fingerprint::Fingerprint;
use crate::text::opening::Opening;

/// Memory for lists that is part of the charge, in bytes.
const FIRST: usize = 1024;
/// Maximum memory for the lists of an exchange, in bytes: enough for 128 tools with names of 64 bytes and 128 finish reasons.
const MOST: usize = 36 << 10;
/// Memory that is reserved at once when there is no more, in bytes.
const STEP: usize = 4096;
/// Maximum overhead of the allocator for a block, in bytes.
pub const BLOCK: usize = 16;
/// Maximum number of strings of an exchange that are not in lists, labels included.
const STRINGS: usize = 20;
/// Maximum number of blocks of an exchange that are not strings.
const BLOCKS: usize = 24;

/// Memory for the lists of an exchange.
#[derive(Debug, Default)]
pub struct Room {
    /// The share of the memory budget that the exchange holds. None if there is no budget: then the memory has no limit.
    share: Option<Share>,
    /// Reserved memory that is not taken, in bytes.
    left: usize,
    /// Maximum size of `share`, in bytes.
    most: usize,
}

impl Room {
    /// The room of an exchange that has reserved `share`, which includes [`Draft::BOUND`].
    pub fn new(share: Share) -> Self {
        let most = share.bytes().saturating_add(MOST - FIRST);
        Room { share: Some(share), left: FIRST, most }
    }

    /// Takes memory. Returns false, and takes nothing, if the budget has no more or [`MOST`] would be exceeded.
    fn take(&mut self, bytes: usize) -> bool {
        let Some(share) = &mut self.share else { return true };
        if bytes > self.left {
            let missing = bytes - self.left;
            let more = missing.max(STEP).min(self.most.saturating_sub(share.bytes()));
            if more < missing || !share.resize(share.bytes() + more) {
                return false;
            }
            self.left += more;
        }
        self.left -= bytes;
        true
    }

    /// Memory that is reserved and taken, in bytes. 0 without a budget.
    fn taken(&self) -> usize {
        self.share.as_ref().map_or(0, |share| share.bytes().saturating_sub(self.left))
    }

    /// Gives memory back that was taken.
    pub(super) fn give(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes);
    }

    /// A share of 0 bytes for another part of the stream's state. None without a budget.
    pub fn another(&self) -> Option<Share> {
        self.share.as_ref().map(Share::another)
    }
}

impl Draft {
    /// Maximum heap memory of a draft without what [`Draft::keeps`] has reserved, in bytes. Texts that the configuration asks
    /// for in addition are not included.
    pub const BOUND: usize = FIRST
        + History::BOUND
        + Opening::BOUND
        + Fingerprint::BOUND
        + Counts::BOUND
        + STRINGS * (LIMIT + BLOCK)
        + BLOCKS * BLOCK;

    /// Memory that is taken for lists, and the charge, in bytes. 0 without a budget.
    pub(super) fn taken(&self) -> usize {
        self.room.taken()
    }

    /// Gives back what was taken since [`Draft::taken`] was `before`.
    pub(super) fn give_back(&mut self, before: usize) {
        self.room.give(self.room.taken().saturating_sub(before));
    }

    /// Reserves memory for an entry of a list. If there is none, reports [`ParseError::Memory`] and returns false: the entry
    /// must not be kept.
    pub fn keeps(&mut self, bytes: usize) -> bool {
        let fits = self.room.take(bytes);
        if !fits {
            self.report(ParseError::Memory);
        }
        fits
    }
}

/// Memory for an entry of type `T` in a list, with a string of `length` bytes, in bytes. A list may have twice the room that it
/// needs.
pub const fn entry<T>(length: usize) -> usize {
    2 * size_of::<T>() + length + BLOCK
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::budget::Budget;

    #[test]
    fn memory_is_reserved_in_steps_and_given_memory_is_used_again() {
        let budget = Rc::new(Budget::new(16 << 10));
        let mut room = Room::new(Share::of_state(&budget, 0));
        assert!(room.take(FIRST) && budget.reserved() == 0);
        assert!(room.take(1) && room.take(STEP - 1) && budget.reserved() == STEP);
        room.give(100);
        assert!(room.take(100) && budget.reserved() == STEP);
        assert!(!room.take(7 * STEP) && budget.reserved() == STEP, "the budget has no more");
        drop(room);
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn the_lists_of_an_exchange_are_bounded() {
        let budget = Rc::new(Budget::default());
        let mut room = Room::new(Share::of_state(&budget, 0));
        assert_eq!((0..1000).filter(|_| room.take(1 << 10)).count(), MOST >> 10);
        assert_eq!(budget.reserved(), MOST - FIRST);
    }
}
