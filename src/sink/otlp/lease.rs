//! The number of a worker among those of its proxy, which makes `service.instance.id` unique.
//!
//! The workers share a list of times. The index of a time is the number of a worker. The worker sets its time again every second. A worker whose VM
//! is replaced leaves a time that gets old, so its number is free for the next one.

/// Age in nanoseconds from which on a number is free.
pub const LEASE: u64 = 5_000_000_000;

/// Maximum number of workers.
const WORKERS: usize = 1024;

/// A number that a worker holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lease {
    /// The number, from 0.
    pub number: usize,
    /// The time in the list, in nanoseconds since 1970.
    renewed: u64,
}

impl Lease {
    /// Renews `held` in the list, or takes the lowest free number if another worker has taken that one. Returns the lease and the
    /// list to store. Returns None if there are too many workers.
    pub fn renew(held: Option<Lease>, list: &[u8], now: u64) -> Option<(Lease, Vec<u8>)> {
        let (times, _) = list.as_chunks::<8>();
        let mut times: Vec<u64> = times.iter().map(|time| u64::from_le_bytes(*time)).collect();
        let own = held.filter(|held| times.get(held.number) == Some(&held.renewed)).map(|held| held.number);
        let free = || times.iter().position(|time| now.saturating_sub(*time) > LEASE);
        let number = own.or_else(free).unwrap_or(times.len());
        if number == times.len() {
            times.push(now);
        }
        *times.get_mut(number).filter(|_| number < WORKERS)? = now;
        Some((Lease { number, renewed: now }, times.iter().flat_map(|time| time.to_le_bytes()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn renew(held: Option<Lease>, list: &mut Vec<u8>, now: u64) -> Lease {
        let (lease, changed) = Lease::renew(held, list, now).unwrap();
        *list = changed;
        lease
    }

    #[test]
    fn workers_get_different_numbers_and_keep_them() {
        let mut list = Vec::new();
        let mut leases: Vec<_> = (0..3).map(|_| renew(None, &mut list, SECOND)).collect();
        for second in 2..100 {
            for (number, lease) in leases.iter_mut().enumerate() {
                *lease = renew(Some(*lease), &mut list, second * SECOND);
                assert_eq!(lease.number, number);
            }
        }
        assert_eq!(list.len(), 3 * 8);
    }

    #[test]
    fn a_new_vm_gets_the_number_of_the_one_that_it_replaces() {
        let mut list = Vec::new();
        let [_, mut other] = [SECOND, SECOND].map(|now| renew(None, &mut list, now));
        for second in 2..8 {
            other = renew(Some(other), &mut list, second * SECOND);
        }
        assert_eq!(renew(None, &mut list, 8 * SECOND).number, 0);
        assert_eq!(renew(Some(other), &mut list, 8 * SECOND).number, 1);
    }

    #[test]
    fn a_worker_that_was_stopped_for_long_does_not_share_its_number() {
        let mut list = Vec::new();
        let stopped = renew(None, &mut list, SECOND);
        assert_eq!(renew(None, &mut list, 9 * SECOND).number, 0);
        assert_eq!(renew(Some(stopped), &mut list, 10 * SECOND).number, 1);
    }

    #[test]
    fn the_number_of_workers_has_a_limit() {
        let mut list = Vec::new();
        (0..WORKERS).for_each(|_| _ = renew(None, &mut list, SECOND));
        assert_eq!(Lease::renew(None, &list, SECOND), None);
    }
}
