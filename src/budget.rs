//! The memory budget that all streams of one VM share.
//!
//! WebAssembly memory never shrinks, and a failed allocation traps the VM. So the state of an exchange, and each buffer that
//! grows with the data of a stream, must reserve their size in a [`Budget`] first.
//!
//! Parts of the budget, as fractions of its limit:
//!
//! - Decoders get at most [`DECODERS`] of it. Those of requests get half of that, so that responses always have the other
//!   half. Those of one downstream address get a quarter of that.
//! - While at most [`FREE`] of it is reserved, any stream may reserve state. This is enough for a sidecar, whose streams all
//!   have one address. Beyond that, one address may have at most [`ADDRESS`] of it, so that one client cannot exhaust the
//!   budget. Streams of an unknown address (0) count as one address.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::bytes::mix::BuildNumbers;

/// Default limit of a budget: 256 MiB, in bytes.
pub const DEFAULT: usize = 256 << 20;
/// Smallest limit of a budget, in bytes: its decoders have 1 MiB.
pub const LEAST: usize = 8 << 20;
/// Largest limit of a budget, in bytes. Envoy gives a VM at most 1 GiB.
pub const MOST: usize = 512 << 20;

/// Part of the limit that decoders get at most.
const DECODERS: Fraction = (1, 8);
/// Part of the limit up to which the address does not matter to the state of streams.
const FREE: Fraction = (5, 8);
/// Part of the limit that the state of one address's streams gets at most, beyond [`FREE`].
const ADDRESS: Fraction = (1, 8);

type Fraction = (usize, usize);

/// Direction of the data that a decoder reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    /// From the client to the provider.
    Request,
    /// From the provider to the client.
    Response,
}

/// The use of a share of the memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Purpose {
    Decoder(Side),
    /// The state of a stream.
    State,
}

impl Purpose {
    /// The number of `bytes` that count as memory of decoders, of decoders of requests, and of state.
    fn split(self, bytes: usize) -> [usize; 3] {
        match self {
            Purpose::Decoder(Side::Request) => [bytes, bytes, 0],
            Purpose::Decoder(Side::Response) => [bytes, 0, 0],
            Purpose::State => [0, 0, bytes],
        }
    }
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
    by_decoders: usize,
    by_request_decoders: usize,
    /// By the hash of the downstream address. It has only addresses that have memory.
    by_address: HashMap<u64, OfAddress, BuildNumbers>,
}

/// Memory reserved for one address, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct OfAddress {
    decoders: usize,
    state: usize,
}

impl Budget {
    /// Creates a budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Budget { limit: Cell::new(limit), reserved: RefCell::default() }
    }

    /// Creates a budget that one decoder of a response uses alone, with room for `bytes`: a quarter of the decoders' part.
    pub fn for_one_decoder(bytes: usize) -> Self {
        Budget::new(4 * bytes * DECODERS.1 / DECODERS.0)
    }

    /// Changes the limit, in bytes. Reserved memory stays reserved, even if it exceeds the new limit.
    pub fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    /// Memory that all shares have, in bytes.
    pub fn reserved(&self) -> usize {
        self.reserved.try_borrow().map_or(0, |reserved| reserved.total)
    }

    /// Returns true if it depends on the address of a stream whether it gets `bytes` for its state.
    pub fn is_crowded(&self, bytes: usize) -> bool {
        self.reserved().saturating_add(bytes) > self.part(FREE)
    }

    /// Reserves `bytes` more. Returns false, and reserves nothing, if a limit would be exceeded.
    fn reserve(&self, purpose: Purpose, address: u64, bytes: usize) -> bool {
        if bytes == 0 {
            return true;
        }
        let Ok(mut reserved) = self.reserved.try_borrow_mut() else { return false };
        let [decoders, request_decoders, state] = purpose.split(bytes);
        let total = reserved.total.saturating_add(bytes);
        let by_decoders = reserved.by_decoders.saturating_add(decoders);
        let by_request_decoders = reserved.by_request_decoders.saturating_add(request_decoders);
        let mut of_address = reserved.by_address.get(&address).copied().unwrap_or_default();
        of_address.decoders = of_address.decoders.saturating_add(decoders);
        of_address.state = of_address.state.saturating_add(state);
        let decoders_limit = self.part(DECODERS);
        let fits = match purpose {
            Purpose::State => total <= self.part(FREE) || of_address.state <= self.part(ADDRESS),
            Purpose::Decoder(_) => {
                by_decoders <= decoders_limit
                    && by_request_decoders <= decoders_limit / 2
                    && of_address.decoders <= decoders_limit / 4
            }
        };
        if !fits || total > self.limit.get() {
            return false;
        }
        (reserved.total, reserved.by_decoders, reserved.by_request_decoders) =
            (total, by_decoders, by_request_decoders);
        reserved.by_address.insert(address, of_address);
        true
    }

    /// Releases `bytes` that were reserved for this purpose and address.
    fn release(&self, purpose: Purpose, address: u64, bytes: usize) {
        let Ok(mut reserved) = self.reserved.try_borrow_mut() else { return };
        let [decoders, request_decoders, state] = purpose.split(bytes);
        reserved.total = reserved.total.saturating_sub(bytes);
        reserved.by_decoders = reserved.by_decoders.saturating_sub(decoders);
        reserved.by_request_decoders = reserved.by_request_decoders.saturating_sub(request_decoders);
        if let Some(held) = reserved.by_address.get_mut(&address) {
            held.decoders = held.decoders.saturating_sub(decoders);
            held.state = held.state.saturating_sub(state);
            if *held == OfAddress::default() {
                reserved.by_address.remove(&address);
            }
        }
    }

    /// A part of the limit, in bytes.
    fn part(&self, (part, whole): Fraction) -> usize {
        self.limit.get() / whole * part
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget::new(DEFAULT)
    }
}

/// The part of a [`Budget`] that one stream's state, buffer or decoder has reserved. Dropping it releases the memory.
#[derive(Debug)]
pub struct Share {
    budget: Rc<Budget>,
    purpose: Purpose,
    address: u64,
    bytes: usize,
}

impl Share {
    /// Creates a share of 0 bytes for a decoder. `address` is a hash of the downstream address.
    pub fn new(budget: &Rc<Budget>, side: Side, address: u64) -> Self {
        Share { budget: Rc::clone(budget), purpose: Purpose::Decoder(side), address, bytes: 0 }
    }

    /// Creates a share of 0 bytes for the state of a stream. `address` is a hash of the downstream address, or 0.
    pub fn of_state(budget: &Rc<Budget>, address: u64) -> Self {
        Share { budget: Rc::clone(budget), purpose: Purpose::State, address, bytes: 0 }
    }

    /// Creates another share of 0 bytes for the same purpose and address.
    pub fn another(&self) -> Self {
        Share { budget: Rc::clone(&self.budget), purpose: self.purpose, address: self.address, bytes: 0 }
    }

    /// Direction of the data, if a decoder needs the memory.
    pub fn side(&self) -> Side {
        if let Purpose::Decoder(side) = self.purpose { side } else { Side::Response }
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
            if !self.budget.reserve(self.purpose, self.address, bytes - self.bytes) {
                return false;
            }
        } else {
            self.budget.release(self.purpose, self.address, self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.release(self.purpose, self.address, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A budget of 8,000 bytes, of which decoders get 1,000.
    fn budget() -> Rc<Budget> {
        Rc::new(Budget::new(8000))
    }

    #[test]
    fn decoders_of_requests_get_at_most_half_and_those_of_one_address_at_most_a_quarter() {
        let budget = budget();
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
        let budget = budget();
        let mut request = Share::new(&budget, Side::Request, 7);
        let mut response = Share::new(&budget, Side::Response, 7);
        assert!(request.resize(200));
        assert!(!response.resize(51));
        assert!(response.resize(50));
        assert!(request.resize(100) && response.resize(150));
        assert_eq!((request.bytes(), response.bytes(), budget.reserved()), (100, 150, 250));
    }

    #[test]
    fn one_address_gets_state_up_to_five_eighths_and_others_get_state_after_that() {
        let budget = budget();
        let mut sidecar = Share::of_state(&budget, 0);
        assert!(sidecar.resize(5000) && !budget.is_crowded(0) && budget.is_crowded(1));
        assert!(!sidecar.resize(5001), "the budget is crowded");
        let mut client = Share::of_state(&budget, 1);
        assert!(client.resize(1000) && !client.resize(1001), "one address gets at most an eighth");
        let mut others: Vec<_> = (2..5).map(|address| Share::of_state(&budget, address)).collect();
        let held: usize = others.iter_mut().map(|share| if share.resize(1000) { 1000 } else { 0 }).sum();
        assert_eq!((held, budget.reserved()), (2000, 8000), "the limit holds for all together");
        drop(sidecar);
        assert!(!budget.is_crowded(1) && client.resize(2000), "there is room again");
    }

    #[test]
    fn state_does_not_take_the_part_of_an_address_for_decoders() {
        let budget = budget();
        let mut state = Share::of_state(&budget, 7);
        let mut decoder = Share::new(&budget, Side::Response, 7);
        assert!(state.resize(5000) && decoder.resize(250) && !decoder.resize(251));
        assert!(state.resize(900) && decoder.resize(0));
        drop((state, decoder));
        assert_eq!(budget.reserved(), 0);
        assert!(budget.reserved.borrow().by_address.is_empty());
    }

    #[test]
    fn a_dropped_share_releases_its_memory() {
        let budget = budget();
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
        let budget = budget();
        let mut share = Share::new(&budget, Side::Response, 1);
        assert!(share.resize(250));
        budget.set_limit(3200);
        assert!(!share.resize(251));
        assert!(share.resize(100), "a smaller size is always possible");
    }
}
