//! The memory budget that all streams of one VM share.
//!
//! WebAssembly memory never shrinks, and a failed allocation traps the VM. So a buffer that grows with the data of a
//! stream must reserve its size in a [`Budget`] first. Requests get at most half of the budget, so that responses
//! always have the other half. One downstream address gets at most a quarter, so that one client cannot exhaust the
//! budget.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::bytes::mix::BuildNumbers;

/// Default limit of a budget: 32 MiB, in bytes.
pub const DEFAULT: usize = 32 << 20;

/// Direction of the data that needs the memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    /// From the client to the provider.
    Request,
    /// From the provider to the client.
    Response,
}

/// Memory that the streams of one VM share.
#[derive(Debug)]
pub struct Budget {
    limit: Cell<usize>,
    reserved: RefCell<Reserved>,
}

/// Reserved memory, in bytes.
#[derive(Debug, Default)]
struct Reserved {
    total: usize,
    by_requests: usize,
    /// By the hash of the downstream address. It has only addresses that have memory.
    by_address: HashMap<u64, usize, BuildNumbers>,
}

impl Budget {
    /// Creates a budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Budget { limit: Cell::new(limit), reserved: RefCell::default() }
    }

    /// Changes the limit, in bytes. Reserved memory stays reserved, even if it exceeds the new limit.
    pub fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    /// Memory that all shares have, in bytes.
    pub fn reserved(&self) -> usize {
        self.reserved.try_borrow().map_or(0, |reserved| reserved.total)
    }

    /// Reserves `bytes` more. Returns false, and reserves nothing, if a limit would be exceeded.
    fn reserve(&self, side: Side, address: u64, bytes: usize) -> bool {
        let Ok(mut reserved) = self.reserved.try_borrow_mut() else { return false };
        let limit = self.limit.get();
        let total = reserved.total.saturating_add(bytes);
        let by_requests = reserved.by_requests.saturating_add(if side == Side::Request { bytes } else { 0 });
        let by_address = reserved.by_address.get(&address).copied().unwrap_or(0).saturating_add(bytes);
        let fits = total <= limit && (side == Side::Response || by_requests <= limit / 2) && by_address <= limit / 4;
        if fits && bytes > 0 {
            reserved.total = total;
            reserved.by_requests = by_requests;
            reserved.by_address.insert(address, by_address);
        }
        fits
    }

    /// Releases `bytes` that were reserved for this side and address.
    fn release(&self, side: Side, address: u64, bytes: usize) {
        let Ok(mut reserved) = self.reserved.try_borrow_mut() else { return };
        reserved.total = reserved.total.saturating_sub(bytes);
        if side == Side::Request {
            reserved.by_requests = reserved.by_requests.saturating_sub(bytes);
        }
        if let Some(held) = reserved.by_address.get_mut(&address) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                reserved.by_address.remove(&address);
            }
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget::new(DEFAULT)
    }
}

/// The part of a [`Budget`] that one buffer or decoder has reserved. Dropping it releases the memory.
#[derive(Debug)]
pub struct Share {
    budget: Rc<Budget>,
    side: Side,
    address: u64,
    bytes: usize,
}

impl Share {
    /// Creates a share of 0 bytes. `address` is a hash of the downstream address.
    pub fn new(budget: &Rc<Budget>, side: Side, address: u64) -> Self {
        Share { budget: Rc::clone(budget), side, address, bytes: 0 }
    }

    /// Creates another share of 0 bytes for the same side and address.
    pub fn another(&self) -> Self {
        Share::new(&self.budget, self.side, self.address)
    }

    /// Direction of the data that needs the memory.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Memory that this share has, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes the size of the share to `bytes`. Returns false, and changes nothing, if that would exceed a limit of
    /// the budget. A smaller size is always possible.
    #[must_use]
    pub fn resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            if !self.budget.reserve(self.side, self.address, bytes - self.bytes) {
                return false;
            }
        } else {
            self.budget.release(self.side, self.address, self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.release(self.side, self.address, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_get_at_most_half_and_one_address_at_most_a_quarter() {
        let budget = Rc::new(Budget::new(1000));
        let mut requests: Vec<_> = (0..4).map(|address| Share::new(&budget, Side::Request, address)).collect();
        assert!(!requests[0].resize(251), "one address gets at most a quarter");
        assert_eq!(requests.iter_mut().filter(|share| share.bytes() == 0).count(), 4);
        let held: usize = requests.iter_mut().map(|share| if share.resize(250) { 250 } else { 0 }).sum();
        assert_eq!((held, budget.reserved()), (500, 500));
        let mut responses: Vec<_> = (2..6).map(|address| Share::new(&budget, Side::Response, address)).collect();
        let held: usize = responses.iter_mut().map(|share| if share.resize(250) { 250 } else { 0 }).sum();
        assert_eq!((held, budget.reserved()), (500, 1000));
        let mut other_address = Share::new(&budget, Side::Response, 0);
        assert!(!other_address.resize(1));
        drop(requests);
        assert!(other_address.resize(250));
    }

    #[test]
    fn both_directions_of_an_address_count_together() {
        let budget = Rc::new(Budget::new(1000));
        let mut request = Share::new(&budget, Side::Request, 7);
        let mut response = Share::new(&budget, Side::Response, 7);
        assert!(request.resize(200));
        assert!(!response.resize(51));
        assert!(response.resize(50));
        assert!(request.resize(100) && response.resize(150));
        assert_eq!((request.bytes(), response.bytes(), budget.reserved()), (100, 150, 250));
    }

    #[test]
    fn a_dropped_share_releases_its_memory() {
        let budget = Rc::new(Budget::new(1000));
        for round in 0..100 {
            let mut share = Share::new(&budget, Side::Response, round);
            assert!(share.resize(250) && share.resize(10) && share.resize(200));
            let mut other = share.another();
            assert!(other.resize(50) && !other.resize(51));
        }
        assert_eq!(budget.reserved(), 0);
        assert!(budget.reserved.borrow().by_address.is_empty());
    }

    #[test]
    fn a_smaller_limit_keeps_reserved_memory_and_refuses_more() {
        let budget = Rc::new(Budget::new(1000));
        let mut share = Share::new(&budget, Side::Response, 1);
        assert!(share.resize(250));
        budget.set_limit(400);
        assert!(!share.resize(251));
        assert!(share.resize(100), "a smaller size is always possible");
    }
}
