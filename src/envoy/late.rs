//! The answers and files that requests fetch after others have created them, and the tasks and sessions that requests end after others have begun them: buckets in Envoy's shared data, which all workers
//! have, changed by compare and set. A bucket exists from its first use on.

use core::ops::Range;

use super::host;
use crate::exchange::{Exchange, FileRange, LateAnswer};
use crate::signal::late::{BUCKETS, Claim, LateBucket};
use crate::sink::attributes::digits;

/// Attempts to change a bucket. Each that fails means that another worker's succeeded.
const ATTEMPTS: usize = 32;

/// Notes that an exchange has created an answer that comes later. Of several exchanges that have such an answer, only the first
/// reports it.
pub fn settle(exchange: &mut Exchange) {
    match exchange.late_answer() {
        Some(LateAnswer::Created(key)) => {
            let at = exchange.observation().timing.start;
            change(key, |bucket| bucket.create(key, at));
        }
        Some(LateAnswer::Complete(key)) => {
            let Some(claim) = claim(key, 0..1) else { return };
            if claim.granted.is_empty() {
                exchange.repeats_answer();
            }
            if claim.created_at > 0 {
                exchange.set_created(claim.created_at);
            }
        }
        None => {}
    }
}

/// Claims the next part of a file with the results of a batch, if the exchange reads one.
pub fn claim_file(exchange: &mut Exchange) {
    if let Some(FileRange { key, range }) = exchange.wanted_range()
        && let Some(claim) = claim(key, range)
    {
        exchange.grant(&claim.granted, claim.begins_line);
    }
}

/// Gives back what was claimed and not counted. The exchange has ended.
pub fn release_file(exchange: &mut Exchange) {
    for FileRange { key, range } in exchange.uncounted_ranges() {
        change(key, |bucket| bucket.release(key, &range));
    }
}

/// A kind of thing that one request begins and a later request ends. Each kind has buckets of its own, so that many things of one kind do not
/// replace those of the other kind.
#[derive(Clone, Copy)]
pub enum Lasting {
    /// A task of MCP or A2A.
    Task,
    /// A session of MCP.
    Session,
}

impl Lasting {
    /// The task or the session with this key began at this time.
    pub fn begin(self, key: u64, at: u64) {
        change_in(self.buckets(), key, |bucket| bucket.create(key, at));
    }

    /// The task or the session with this key has ended. Returns when it began, or 0 if that is unknown. Returns None if its end is known already.
    pub fn end(self, key: u64) -> Option<u64> {
        let claim = change_in(self.buckets(), key, |bucket| bucket.claim(key, 0..1));
        claim.filter(|claim| !claim.granted.is_empty()).map(|claim| claim.created_at)
    }

    const fn buckets(self) -> &'static str {
        match self {
            Lasting::Task => "gaugeway.tasks.",
            Lasting::Session => "gaugeway.sessions.",
        }
    }
}

/// Claims a range. None if the host has no shared data.
fn claim(key: u64, range: Range<u64>) -> Option<Claim> {
    change(key, |bucket| bucket.claim(key, range.clone()))
}

/// Changes the bucket of an answer or a file. None if the host has no shared data.
fn change<T>(key: u64, change: impl Fn(&mut LateBucket) -> T) -> Option<T> {
    change_in("gaugeway.late.", key, change)
}

/// Changes the bucket of a key. The names of the buckets begin with `buckets`. None if the host has no shared data.
fn change_in<T>(buckets: &str, key: u64, change: impl Fn(&mut LateBucket) -> T) -> Option<T> {
    let name = name(buckets, key);
    for _ in 0..ATTEMPTS {
        let Some((bytes, version)) = host::shared(&name) else {
            host::create_shared(&name, &LateBucket::default().bytes());
            continue;
        };
        let mut bucket = LateBucket::parse(&bytes);
        let result = change(&mut bucket);
        if host::set_shared(&name, &bucket.bytes(), version) {
            return Some(result);
        }
    }
    None
}

fn name(buckets: &str, key: u64) -> String {
    let mut name = String::with_capacity(32);
    name.push_str(buckets);
    // `key` is a hash: its halves are combined so that all of its bits choose the bucket.
    digits(&mut name, (key ^ key >> 32) % BUCKETS, 1);
    name
}
