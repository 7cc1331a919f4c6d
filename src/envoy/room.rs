//! Whether the VM has memory for one more exchange, and what happens to an exchange without memory.
//!
//! A failed allocation traps the VM, which cuts all streams of the worker. What streams may take is bounded by the budget, far
//! below the host's limit (Envoy: 1 GiB). This is the last resort if the rest takes more than expected, or the host's limit is
//! lower: once a VM is large, each exchange first tries to allocate more than all open streams can still need.

use core::cell::Cell;
use core::hint::black_box;

use super::metrics::HostMetrics;
use super::role;
use super::worker_metrics;
use crate::exchange::Unread;
use crate::labels::KIND;
use crate::sink::stats::{Registry, UNREAD};

/// Size of a VM up to which there is room without a try, in bytes.
const SMALL: usize = 128 << 20;
/// Memory that must be free in one block in a larger VM, in bytes. It is not written, so that it takes no memory of the machine.
const SPARE: usize = 64 << 20;
/// Size of a page of WebAssembly, in bytes.
const PAGE: usize = 64 << 10;

thread_local! {
    /// The counters of the metric, by [`Unread`]. Each definition of a counter takes memory in Envoy, so it is defined once.
    static COUNTERS: [Cell<Option<u32>>; 4] = const { [const { Cell::new(None) }; 4] };
}

/// Returns true if the VM has memory for one more exchange.
pub fn has_room() -> bool {
    if core::arch::wasm32::memory_size::<0>() <= SMALL / PAGE {
        return true;
    }
    let mut block = Vec::<u8>::new();
    let fits = block.try_reserve_exact(SPARE).is_ok();
    // The compiler could otherwise remove the allocation.
    black_box(&block);
    fits
}

/// Counts an exchange that is not read. If the listener's plugin cannot read it, no other plugin counts it.
pub fn pass_unread(unread: Unread, is_attempt: bool) {
    if unread == Unread::OtherTraffic || !is_attempt && !role::claim() {
        return;
    }
    count(unread);
}

/// Counts an exchange, or the rest of a WebSocket, that is not read.
pub fn count(unread: Unread) {
    let labels = [(KIND.name, unread.as_str())];
    let define = || HostMetrics.define(&UNREAD, &labels);
    COUNTERS.with(|counters| {
        let Some(cell) = counters.get(unread as usize) else { return };
        cell.set(cell.get().or_else(define));
        if let Some(counter) = cell.get() {
            HostMetrics.emit(&UNREAD, counter, 1);
        }
    });
    worker_metrics::add(&UNREAD, &labels, 1);
}
