//! The calls of conversations that all workers remember: buckets in Envoy's shared data, changed by compare and set.

use super::host;
use crate::exchange::Exchange;
use crate::signal::cache::{Record, Records, WAYS};
use crate::sink::attributes::digits;

/// Attempts to change a bucket. Each that fails means that another worker's succeeded.
const ATTEMPTS: usize = 32;

/// The remembered calls, in a fixed number of buckets.
#[derive(Clone, Copy)]
pub struct Conversations {
    /// 0 if no calls are remembered.
    buckets: u64,
}

impl Conversations {
    /// Creates the buckets that do not exist yet: only an existing bucket has a version to compare.
    pub fn new(slots: u64) -> Self {
        let conversations = Conversations { buckets: slots.div_ceil(WAYS as u64) };
        for bucket in 0..conversations.buckets {
            let key = name(bucket);
            if host::shared(&key).is_none() {
                host::create_shared(&key, &Records::default().bytes());
            }
        }
        conversations
    }

    /// Compares a request that continues a conversation with the remembered calls. One read for such a request, none for others.
    pub fn recall(self, exchange: &mut Exchange) {
        if let Some(key) = exchange.continued_conversation()
            && let Some((bytes, _)) = host::shared(&self.name(key))
        {
            exchange.compare_with(key, &Records::parse(&bytes));
        }
    }

    /// Remembers a call when its answer has ended, if the answer says what it read from a cache.
    pub fn remember(self, exchange: &mut Exchange) {
        let Some(call) = exchange.take_conversation() else { return };
        for key in call.keys.into_iter().flatten() {
            self.put(&Record { key, ..call.record.clone() }, call.continued);
        }
    }

    fn put(self, record: &Record, continued: u64) {
        let name = self.name(record.key);
        for _ in 0..ATTEMPTS {
            let Some((bytes, version)) = host::shared(&name) else { return };
            let mut bucket = Records::parse(&bytes);
            bucket.put(record.clone(), continued);
            if host::set_shared(&name, &bucket.bytes(), version) {
                return;
            }
        }
    }

    /// The host's key for the bucket of a conversation.
    fn name(self, key: u64) -> String {
        // `key` is a hash: its halves are combined so that all of its bits choose the bucket.
        name((key ^ key >> 32) % self.buckets.max(1))
    }
}

fn name(bucket: u64) -> String {
    let mut name = String::with_capacity(40);
    name.push_str("gaugeway.conversations.");
    digits(&mut name, bucket, 1);
    name
}
