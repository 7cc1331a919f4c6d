//! The tool calls that all workers remember: buckets in Envoy's shared data, changed by compare and set.

use super::host;
use crate::exchange::MemoryKey;
use crate::signal::memory::{Bucket, Pending, WAYS};
use crate::sink::attributes::digits;
use crate::trace_context::RunSpan;

/// Attempts to change a bucket. Each that fails means that another worker's succeeded.
const ATTEMPTS: usize = 32;

/// The remembered calls, in a fixed number of buckets.
#[derive(Clone, Copy)]
pub struct Memory {
    buckets: u64,
}

impl Memory {
    /// Creates the buckets that do not exist yet: only an existing bucket has a version to compare.
    pub fn new(slots: u64) -> Self {
        let memory = Memory { buckets: slots.div_ceil(WAYS as u64).max(1) };
        for bucket in 0..memory.buckets {
            let key = name(bucket);
            if host::shared(&key).is_none() {
                host::create_shared(&key, &Bucket::default().bytes());
            }
        }
        memory
    }

    /// Returns true if the host has shared data. Valid after [`Memory::new`].
    pub fn is_kept() -> bool {
        host::shared(&name(0)).is_some()
    }

    /// Remembers a call, and returns its bucket with it. None if the host has no shared data.
    pub fn put(self, pending: Pending) -> Option<Bucket> {
        self.update(
            pending.call,
            |_| true,
            |bucket| {
                bucket.put(pending.clone());
                Some(bucket.clone())
            },
        )
    }

    /// Removes a call and returns what was remembered of it.
    pub fn take(self, key: MemoryKey) -> Option<Pending> {
        self.change(key.call, |bucket| bucket.take(key.call, key.beginning))
    }

    /// The entry of a conversation.
    pub fn find(self, conversation: u64) -> Option<Pending> {
        let (bytes, _) =
            host::shared(&self.key(conversation)).filter(|(bytes, _)| Bucket::may_have(bytes, conversation))?;
        Bucket::parse(&bytes).find(conversation, 0).cloned()
    }

    /// Marks the run of a call as ended and returns its entry. None if the run has continued, or another worker was first.
    pub fn close(self, call: u64, called_at: u64) -> Option<Pending> {
        self.change(call, |bucket| bucket.close(call, called_at))
    }

    /// Marks that the conversation of a call has gone on without its result. Returns false if there is nothing to mark.
    pub fn mark_left(self, call: u64, called_at: u64) -> bool {
        self.change(call, |bucket| bucket.mark_left(call, called_at)).is_some()
    }

    /// Marks the run of a call made at `called_at` as continued without its result.
    pub fn leave(self, call: u64, called_at: u64) {
        self.change(call, |bucket| bucket.leave(call, called_at));
    }

    /// Adds the trace of a call's run. Returns false if the result of the call has already arrived.
    pub fn trace(self, key: MemoryKey, run: RunSpan) -> bool {
        self.change(key.call, |bucket| bucket.trace(key.call, key.beginning, run)).is_some()
    }

    /// Changes the entry of a call. None if there is none, if there is nothing to change, or if the host has no shared data.
    fn change<T>(self, call: u64, change: impl Fn(&mut Bucket) -> Option<T>) -> Option<T> {
        self.update(call, |bytes| Bucket::may_have(bytes, call), change)
    }

    /// Changes the bucket of a call if its bytes fit.
    fn update<T>(self, call: u64, fit: impl Fn(&[u8]) -> bool, change: impl Fn(&mut Bucket) -> Option<T>) -> Option<T> {
        let key = self.key(call);
        for _ in 0..ATTEMPTS {
            let (bytes, version) = host::shared(&key).filter(|(bytes, _)| fit(bytes))?;
            let mut bucket = Bucket::parse(&bytes);
            let result = change(&mut bucket)?;
            if host::set_shared(&key, &bucket.bytes(), version) {
                return Some(result);
            }
        }
        None
    }

    /// The number of a call's bucket.
    pub fn bucket(self, call: u64) -> u64 {
        // `call` is a hash: its halves are combined so that all of its bits choose the bucket.
        (call ^ call >> 32) % self.buckets
    }

    fn key(self, call: u64) -> String {
        name(self.bucket(call))
    }
}

fn name(bucket: u64) -> String {
    let mut name = String::with_capacity(32);
    name.push_str("gaugeway.calls.");
    digits(&mut name, bucket, 1);
    name
}
