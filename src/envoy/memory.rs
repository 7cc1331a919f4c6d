//! The memory of all workers: buckets in Envoy's shared data, changed by compare and set.

use core::ops::ControlFlow;

use super::host;
use crate::signal::memory::{Bucket, Pending, WAYS};

/// Attempts before giving up against other workers: each means that one of them got through.
const ATTEMPTS: usize = 32;

/// The calls remembered in a number of slots.
#[derive(Clone, Copy)]
pub struct Memory {
    buckets: u64,
}

impl Memory {
    /// Prepares the slots that are not there yet: a bucket that exists can be changed without losing another worker's change.
    pub fn new(slots: u64) -> Self {
        let memory = Memory { buckets: slots.div_ceil(WAYS as u64).max(1) };
        for bucket in 0..memory.buckets {
            let key = name(bucket);
            if host::shared(&key).is_none() {
                host::set_shared(&key, &Bucket::default().bytes(), 0);
            }
        }
        memory
    }

    /// Whether the host keeps anything; ask after [`Memory::new`].
    pub fn is_kept() -> bool {
        host::shared(&name(0)).is_some()
    }

    /// Remembers a call.
    pub fn put(self, pending: Pending) {
        self.change(pending.call, |bucket| {
            bucket.put(pending.clone());
            ControlFlow::Continue(())
        });
    }

    /// Takes out what is remembered of a call.
    pub fn take(self, call: u64) -> Option<Pending> {
        self.change(call, |bucket| match bucket.take(call) {
            Some(pending) => ControlFlow::Continue(pending),
            None => ControlFlow::Break(()),
        })
    }

    /// Marks the run of a call as over; false where it has gone on, or another worker was first.
    pub fn close(self, call: u64) -> bool {
        self.mark(call, Bucket::close)
    }

    /// Marks the run of a call as having gone on without its result.
    pub fn leave(self, call: u64) {
        self.mark(call, Bucket::leave);
    }

    /// Whether the run of a call still waits for its result.
    pub fn waits(self, call: u64) -> bool {
        host::shared(&self.key(call)).is_some_and(|(bytes, _)| Bucket::parse(&bytes).waits(call))
    }

    fn mark(self, call: u64, mark: impl Fn(&mut Bucket, u64) -> bool) -> bool {
        let mark = |bucket: &mut Bucket| match mark(bucket, call) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        self.change(call, mark).is_some()
    }

    /// Changes a bucket; None where there is nothing to change, or the host keeps nothing.
    fn change<T>(self, call: u64, mut change: impl FnMut(&mut Bucket) -> ControlFlow<(), T>) -> Option<T> {
        let key = self.key(call);
        for _ in 0..ATTEMPTS {
            let (bytes, cas) = host::shared(&key)?;
            let mut bucket = Bucket::parse(&bytes);
            let ControlFlow::Continue(result) = change(&mut bucket) else { return None };
            if host::set_shared(&key, &bucket.bytes(), cas) {
                return Some(result);
            }
        }
        None
    }

    /// The bucket of a call.
    fn key(self, call: u64) -> String {
        // The low bits of the hash serve; those above are as good.
        name((call ^ call >> 32) % self.buckets)
    }
}

fn name(bucket: u64) -> String {
    format!("gaugeway.calls.{bucket}")
}
