//! The list of the series, in shared data. A new plugin file defines the series of the old one too.
//!
//! Without that, series are lost. In Envoy the metrics of a plugin belong to a scope of the statistics, which the VMs of the same
//! code share. A new plugin file has other code and so a new scope. Envoy drops a series, with its value, when the last scope
//! that defines it ends: `ThreadLocalStoreImpl::releaseScopeCrossThread` in `source/common/stats/thread_local_store.cc`. Shared
//! data belongs to the `vm_id`, whatever the code, and lives as long as a VM with that `vm_id`.
//!
//! The list has [`PAGES`] pages of at most [`PAGE_LIMIT`] bytes. A series that finds its page full is not in the list. Each entry
//! is one line: a letter for the kind of the metric, and the name with the labels. A page only grows.

use core::cell::{Cell, RefCell};

use super::host;
use super::metrics::metric_type;
use crate::bytes::mix::Mix;
use crate::sink::attributes::digits;
use crate::sink::stats::MetricKind;

/// The hash of its name decides on the page of a series.
const PAGES: u64 = 64;
/// Bytes in a page. The list has room for about 16,000 names of 250 bytes.
const PAGE_LIMIT: usize = 64 << 10;
/// Attempts to change a page. Each that fails means that another worker's succeeded.
const ATTEMPTS: usize = 32;
/// A new page: an empty value would look like a missing one.
const EMPTY: &[u8] = b"\n";

/// Its version changes when the list grows.
const GROWTH: &str = "gaugeway.series";

thread_local! {
    /// The version of [`GROWTH`] that this VM has seen.
    static SEEN: Cell<u32> = const { Cell::new(0) };
    /// The bytes of each page whose series this VM has defined.
    static DEFINED: RefCell<[usize; PAGES as usize]> = const { RefCell::new([0; PAGES as usize]) };
}

/// Creates the pages that do not exist: only an existing page has a version to compare.
pub fn create() {
    for key in (0..PAGES).map(name_of).chain([GROWTH.to_owned()]) {
        if host::shared(&key).is_none() {
            host::set_shared(&key, EMPTY, 0);
        }
    }
}

/// Defines the series that the list has got since the last call, in any VM. If there are none, this costs one host call.
pub fn define_new() {
    let Some((_, version)) = host::shared(GROWTH).filter(|(_, version)| *version != SEEN.get()) else { return };
    SEEN.set(version);
    DEFINED.with(|defined| {
        let Ok(mut defined) = defined.try_borrow_mut() else { return };
        for (page, defined) in (0..).zip(defined.iter_mut()) {
            let entries = host::shared(&name_of(page)).map(|(entries, _)| entries).unwrap_or_default();
            for entry in entries.get(*defined..).unwrap_or_default().split(|byte| *byte == b'\n') {
                if let Some((kind, name)) = entry.split_first().and_then(|(kind, name)| Some((kind_of(*kind)?, name))) {
                    host::define_metric(metric_type(kind), &String::from_utf8_lossy(name));
                }
            }
            *defined = entries.len();
        }
    });
}

/// Adds a series to the list, unless it is there, its page is full, or the host has no shared data.
pub fn add(kind: MetricKind, name: &str) {
    let entry = format!("{}{name}", letter(kind));
    let key = name_of(Mix::new(0).text(name).finish() % PAGES);
    for _ in 0..ATTEMPTS {
        let Some((mut page, version)) = host::shared(&key) else { return };
        let is_listed = page.split(|byte| *byte == b'\n').any(|line| line == entry.as_bytes());
        if is_listed || page.len() + entry.len() >= PAGE_LIMIT {
            return;
        }
        page.extend_from_slice(entry.as_bytes());
        page.push(b'\n');
        if host::set_shared(&key, &page, version) {
            host::set_shared(GROWTH, EMPTY, 0);
            return;
        }
    }
}

fn letter(kind: MetricKind) -> char {
    match kind {
        MetricKind::Counter => 'c',
        MetricKind::Gauge => 'g',
        MetricKind::Histogram => 'h',
    }
}

fn kind_of(letter: u8) -> Option<MetricKind> {
    match letter {
        b'c' => Some(MetricKind::Counter),
        b'g' => Some(MetricKind::Gauge),
        b'h' => Some(MetricKind::Histogram),
        _ => None,
    }
}

fn name_of(page: u64) -> String {
    let mut name = String::with_capacity(32);
    name.push_str("gaugeway.series.");
    digits(&mut name, page, 1);
    name
}
