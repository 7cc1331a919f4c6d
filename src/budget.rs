//! Memory that the streams of one VM share, so that no number of streams and no single client takes it all.
//!
//! WebAssembly memory never shrinks and a failed allocation traps the VM. So whatever grows with what a stream sends is taken
//! from a [`Budget`] first. Requests take at most half of it, which leaves the other half to responses. One downstream
//! address takes at most a quarter.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::bytes::mix::BuildNumbers;

/// Default size of a budget, in bytes.
pub const DEFAULT: usize = 32 << 20;

/// Direction of the bytes that need memory.
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
    taken: RefCell<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_requests: usize,
    /// By the hash of the downstream address. Holds only addresses that hold memory.
    by_address: HashMap<u64, usize, BuildNumbers>,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Budget { limit: Cell::new(limit), taken: RefCell::default() }
    }

    /// Changes the limit. Memory that is held stays held.
    pub fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    /// Bytes held by all shares.
    pub fn taken(&self) -> usize {
        self.taken.try_borrow().map_or(0, |taken| taken.total)
    }

    fn take(&self, side: Side, address: u64, bytes: usize) -> bool {
        let Ok(mut taken) = self.taken.try_borrow_mut() else { return false };
        let limit = self.limit.get();
        let total = taken.total.saturating_add(bytes);
        let by_requests = taken.by_requests.saturating_add(if side == Side::Request { bytes } else { 0 });
        let by_address = taken.by_address.get(&address).copied().unwrap_or(0).saturating_add(bytes);
        let fits = total <= limit && (side == Side::Response || by_requests <= limit / 2) && by_address <= limit / 4;
        if fits && bytes > 0 {
            taken.total = total;
            taken.by_requests = by_requests;
            taken.by_address.insert(address, by_address);
        }
        fits
    }

    fn give_back(&self, side: Side, address: u64, bytes: usize) {
        let Ok(mut taken) = self.taken.try_borrow_mut() else { return };
        taken.total = taken.total.saturating_sub(bytes);
        if side == Side::Request {
            taken.by_requests = taken.by_requests.saturating_sub(bytes);
        }
        if let Some(held) = taken.by_address.get_mut(&address) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget::new(DEFAULT)
    }
}

/// The part of a [`Budget`] that one holder has. Dropping it gives the memory back.
#[derive(Debug)]
pub struct Share {
    budget: Rc<Budget>,
    side: Side,
    address: u64,
    bytes: usize,
}

impl Share {
    /// A share of 0 bytes for a stream of the downstream address with this hash.
    pub fn new(budget: &Rc<Budget>, side: Side, address: u64) -> Self {
        Share { budget: Rc::clone(budget), side, address, bytes: 0 }
    }

    /// Another share of 0 bytes for the same side and address.
    pub fn another(&self) -> Self {
        Share::new(&self.budget, self.side, self.address)
    }

    /// The direction that the memory is for.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Bytes that this share holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes what the share holds to `bytes`. Returns false, and changes nothing, if the budget has no room.
    #[must_use]
    pub fn resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            if !self.budget.take(self.side, self.address, bytes - self.bytes) {
                return false;
            }
        } else {
            self.budget.give_back(self.side, self.address, self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(self.side, self.address, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_take_at_most_half_and_one_address_at_most_a_quarter() {
        let budget = Rc::new(Budget::new(1000));
        let mut requests: Vec<_> = (0..4).map(|address| Share::new(&budget, Side::Request, address)).collect();
        assert!(!requests[0].resize(251), "one address takes no more than a quarter");
        assert_eq!(requests.iter_mut().filter(|share| share.bytes() == 0).count(), 4);
        let held: usize = requests.iter_mut().map(|share| if share.resize(250) { 250 } else { 0 }).sum();
        assert_eq!((held, budget.taken()), (500, 500));
        let mut responses: Vec<_> = (2..6).map(|address| Share::new(&budget, Side::Response, address)).collect();
        let held: usize = responses.iter_mut().map(|share| if share.resize(250) { 250 } else { 0 }).sum();
        assert_eq!((held, budget.taken()), (500, 1000));
        let mut beside = Share::new(&budget, Side::Response, 0);
        assert!(!beside.resize(1));
        drop(requests);
        assert!(beside.resize(250));
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
        assert_eq!((request.bytes(), response.bytes(), budget.taken()), (100, 150, 250));
    }

    #[test]
    fn what_a_share_held_is_given_back_when_it_is_dropped() {
        let budget = Rc::new(Budget::new(1000));
        for round in 0..100 {
            let mut share = Share::new(&budget, Side::Response, round);
            assert!(share.resize(250) && share.resize(10) && share.resize(200));
            let mut other = share.another();
            assert!(other.resize(50) && !other.resize(51));
        }
        assert_eq!(budget.taken(), 0);
        assert!(budget.taken.borrow().by_address.is_empty());
    }

    #[test]
    fn a_smaller_limit_takes_nothing_away_and_grants_nothing_more() {
        let budget = Rc::new(Budget::new(1000));
        let mut share = Share::new(&budget, Side::Response, 1);
        assert!(share.resize(250));
        budget.set_limit(400);
        assert!(!share.resize(251));
        assert!(share.resize(100), "less is always possible");
    }
}
