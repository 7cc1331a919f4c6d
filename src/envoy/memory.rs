//! The memory of all workers: buckets in Envoy's shared data, changed by compare and set.

use super::host;
use crate::signal::memory::{Bucket, Pending, WAYS};
use crate::sink::attributes::digits;
use crate::trace_context::Run;

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
            Some(())
        });
    }

    /// Takes out what is remembered of a call.
    pub fn take(self, call: u64) -> Option<Pending> {
        self.change(call, |bucket| bucket.take(call))
    }

    /// Marks the run of a call as over, and tells its trace; None where it has gone on, or another worker was first.
    pub fn close(self, call: u64, asked: u64) -> Option<Option<Run>> {
        self.change(call, |bucket| bucket.close(call, asked))
    }

    /// Marks the run of a call as having gone on without its result.
    pub fn leave(self, call: u64) {
        self.change(call, |bucket| bucket.leave(call));
    }

    /// Adds the trace of a call's run; false where its result came already.
    pub fn trace(self, call: u64, run: Run) -> bool {
        self.change(call, |bucket| bucket.trace(call, run)).is_some()
    }

    /// Whether the run of a call still waits for its result.
    pub fn waits(self, call: u64, asked: u64) -> bool {
        host::shared(&self.key(call)).is_some_and(|(bytes, _)| Bucket::parse(&bytes).waits(call, asked))
    }

    /// Changes a bucket; None where there is nothing to change, or the host keeps nothing.
    fn change<T>(self, call: u64, change: impl Fn(&mut Bucket) -> Option<T>) -> Option<T> {
        let key = self.key(call);
        for _ in 0..ATTEMPTS {
            let (bytes, cas) = host::shared(&key)?;
            let mut bucket = Bucket::parse(&bytes);
            let result = change(&mut bucket)?;
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
    let mut name = String::with_capacity(32);
    name.push_str("gaugeway.calls.");
    digits(&mut name, bucket, 1);
    name
}
