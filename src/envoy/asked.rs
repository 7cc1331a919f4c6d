//! The tool calls that wait to be executed by MCP, for all workers: at most 512 buckets of 18 KB in Envoy's shared data, by the downstream
//! address.
//!
//! Without any traffic of MCP nothing is stored, and only calls to models that use tools cost something: one call of the host.

use std::cell::Cell;

use super::host;
use crate::signal::asked::{AskedBucket, AskedCall, Served};
use crate::sink::attributes::digits;
use crate::trace_context::RunSpan;

/// Number of buckets.
const BUCKETS: u64 = 512;
/// Attempts to change a bucket. Each that fails means that another worker's succeeded.
const ATTEMPTS: usize = 32;
/// Exists once a worker has seen MCP.
const USED: &str = "gaugeway.mcp";

/// The tool calls that wait to be executed by MCP.
#[derive(Default)]
pub struct AwaitedCalls {
    is_used: Cell<bool>,
}

impl AwaitedCalls {
    /// This worker has seen MCP.
    pub fn start(&self) {
        if !self.is_used.replace(true) {
            host::create_shared(USED, &[1]);
        }
    }

    /// Finds out if another worker has seen MCP. Called once per second.
    pub fn refresh(&self) {
        if !self.is_used.get() {
            self.is_used.set(host::shared(USED).is_some());
        }
    }

    /// Returns true if a worker had seen MCP when this one last looked.
    pub fn are_used(&self) -> bool {
        self.is_used.get()
    }

    /// Returns true if a worker has seen MCP. Looks again if none had: clients speak to their servers only shortly before their model calls tools.
    pub fn are_used_now(&self) -> bool {
        self.refresh();
        self.are_used()
    }

    /// Adds calls of one address. `wait` is how long they wait, in nanoseconds.
    pub fn put(&self, calls: &[AskedCall], wait: u64) {
        let Some(first) = calls.first() else { return };
        let add = |bucket: &mut AskedBucket| {
            calls.iter().for_each(|call| bucket.put(call.clone(), wait));
            Some(())
        };
        if change(first.peer, add).is_none() {
            host::create_shared(&name(first.peer), &AskedBucket::default().bytes());
            change(first.peer, add);
        }
    }

    /// The result of a call goes to the model. `run` is the span of its run, if that is sent. Returns the calls of MCP for it.
    pub fn close(&self, peer: u64, caller: u64, id: u64, run: Option<RunSpan>) -> Option<Served> {
        let now = host::now();
        change(peer, |bucket| bucket.close(peer, caller, id, now, run)).map(|call| call.served)
    }

    /// Returns true if models have asked for tools at this address.
    pub fn knows(&self, peer: u64) -> bool {
        host::shared(&name(peer)).is_some()
    }

    /// The calls of an address, among others: calls of MCP are to be found in them. None if models have not asked for tools there.
    pub fn of(&self, peer: u64) -> Option<AskedBucket> {
        host::shared(&name(peer)).map(|(bytes, _)| AskedBucket::parse(&bytes))
    }

    /// Adds a call of MCP to the call that asked for it: its time in nanoseconds since 1970, and if the tool failed.
    pub fn serve(&self, asked: &AskedCall, from: u64, until: u64, failed: bool) {
        change(asked.peer, |bucket| bucket.serve(asked, from, until, failed));
    }
}

/// Changes the bucket of an address. None if there is none, or nothing to change.
fn change<T>(peer: u64, change: impl Fn(&mut AskedBucket) -> Option<T>) -> Option<T> {
    let key = name(peer);
    for _ in 0..ATTEMPTS {
        let (bytes, version) = host::shared(&key)?;
        let mut bucket = AskedBucket::parse(&bytes);
        let result = change(&mut bucket)?;
        if host::set_shared(&key, &bucket.bytes(), version) {
            return Some(result);
        }
    }
    None
}

fn name(peer: u64) -> String {
    let mut name = String::from("gaugeway.asked.");
    digits(&mut name, peer % BUCKETS, 1);
    name
}
