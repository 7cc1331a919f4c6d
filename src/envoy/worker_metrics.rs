//! The OTLP metrics of this worker: their stores, and the identity of the worker.
//!
//! Configurations with equal `otlp` settings share a store. So an update of other settings continues the series, and each series has one
//! writer.

use core::cell::RefCell;
use std::rc::{Rc, Weak};

use super::host;
use crate::config::{Config, Otlp};
use crate::observation::Observation;
use crate::rpc::{RpcOperation, RpcTransport};
use crate::sink::otlp::{Batch, Envelope, LEASE, Lease, MetricStore, Source, SpanReference};
use crate::sink::stats::Metric;

const SECOND: u64 = 1_000_000_000;

/// The list of [`Lease`]s, in shared data.
const LEASES: &str = "gaugeway.workers";
/// The identifier of this proxy, in shared data. Only a proxy without a node identifier has one.
const PROXY: &str = "gaugeway.proxy";
/// Attempts to change the list. Each that fails means that another worker's succeeded.
const ATTEMPTS: usize = 32;

thread_local! {
    /// The stores of this VM, by the settings of the collector.
    static STORES: RefCell<Vec<(Otlp, Weak<RefCell<WorkerMetrics>>)>> = const { RefCell::new(Vec::new()) };
    static LEASE_OF_VM: RefCell<WorkerLease> = const { RefCell::new(WorkerLease { lease: None, start: 0 }) };
}

/// The metrics that this worker sends to a collector.
pub struct WorkerMetrics {
    store: MetricStore,
    settings: Otlp,
    /// None until the number of the worker is known.
    envelope: Option<Envelope>,
    has_more: bool,
}

/// The number of this worker.
struct WorkerLease {
    lease: Option<Lease>,
    /// When this VM asked for a number first, in nanoseconds since 1970.
    start: u64,
}

impl WorkerMetrics {
    /// The metrics for this collector. Returns None if it gets none.
    pub fn of(settings: &Otlp) -> Option<Rc<RefCell<Self>>> {
        if settings.cluster.is_empty() || settings.metrics_path.is_empty() {
            return None;
        }
        STORES.with(|stores| {
            let mut stores = stores.try_borrow_mut().ok()?;
            stores.retain(|(_, store)| store.strong_count() > 0);
            let known = stores.iter().find(|(known, _)| known == settings).and_then(|(_, store)| store.upgrade());
            if known.is_some() {
                return known;
            }
            let now = host::now();
            let new = Rc::new(RefCell::new(WorkerMetrics {
                store: MetricStore::new(now, settings.temporality),
                settings: settings.clone(),
                envelope: None,
                has_more: false,
            }));
            stores.push((settings.clone(), Rc::downgrade(&new)));
            Some(new)
        })
    }

    /// Counts an exchange that has ended. `span` is its span, if that is sent.
    pub fn record(&mut self, seen: &Observation, config: &Config, now: u64, span: Option<SpanReference>) {
        self.store.record(seen, config, now, span);
    }

    /// Counts an operation of MCP or A2A that has ended.
    pub fn record_rpc(
        &mut self,
        transport: &RpcTransport,
        operation: &RpcOperation,
        config: &Config,
        span: Option<SpanReference>,
    ) {
        let now = operation.end.unwrap_or_else(host::now);
        self.store.record_rpc(transport, operation, config, now, span);
    }

    /// Counts a session of MCP that has ended after this number of nanoseconds.
    pub fn record_session(&mut self, transport: &RpcTransport, nanos: u64, config: &Config) {
        self.store.record_session(transport, nanos, config, host::now());
    }

    /// Names the source of the metrics, unless the number of the worker is still unknown.
    fn name_source(&mut self, now: u64) {
        let number = LEASE_OF_VM.with(|lease| Some(lease.try_borrow().ok()?.lease?.number));
        let Some(number) = number.filter(|_| self.envelope.is_none()) else { return };
        let base = if self.settings.instance.is_empty() { proxy(now) } else { self.settings.instance.clone() };
        let vm = host::property("plugin_vm_id").unwrap_or_default();
        let vm = String::from_utf8_lossy(&vm);
        let vm = if vm.is_empty() { String::new() } else { format!("/{vm}") };
        let instance = format!("{base}{vm}/{number}");
        let service = self.settings.service.as_str();
        self.envelope = Some(Envelope::new(&[("service.name", service), ("service.instance.id", &instance)]));
    }
}

impl Source for WorkerMetrics {
    fn take(&mut self, now: u64) -> Option<Batch> {
        self.name_source(now);
        let envelope = self.envelope.as_ref()?;
        // A series must not be forgotten before it is sent.
        let idle_after = self.settings.idle_after.max(2 * self.settings.interval).saturating_mul(SECOND);
        let request = self.store.export(envelope, now, idle_after);
        self.has_more = request.as_ref().is_some_and(|request| request.has_more);
        let request = request?;
        Some(Batch { body: request.body, items: request.points })
    }

    fn take_dropped(&mut self) -> u64 {
        0
    }

    fn has_more(&self) -> bool {
        self.has_more
    }
}

/// Adds to a metric of the plugin itself, or sets it, for every collector.
pub fn add(metric: &Metric, labels: &[(&str, &str)], value: u64) {
    STORES.with(|stores| {
        let Ok(stores) = stores.try_borrow() else { return };
        for store in stores.iter().filter_map(|(_, store)| store.upgrade()) {
            if let Ok(mut metrics) = store.try_borrow_mut() {
                metrics.store.add(metric, labels, value, host::now());
            }
        }
    });
}

/// Takes a number for this worker, or renews it. Called once per second. A worker without metrics needs none.
pub fn renew_number() {
    let has_series = |store: &Weak<RefCell<WorkerMetrics>>| {
        store.upgrade().is_some_and(|metrics| metrics.try_borrow().is_ok_and(|metrics| metrics.store.series() > 0))
    };
    let is_needed =
        STORES.with(|stores| stores.try_borrow().is_ok_and(|stores| stores.iter().any(|(_, store)| has_series(store))));
    LEASE_OF_VM.with(|lease| {
        if let Ok(mut lease) = lease.try_borrow_mut() {
            lease.renew(host::now(), is_needed);
        }
    });
}

impl WorkerLease {
    fn renew(&mut self, now: u64, is_needed: bool) {
        if self.start == 0 {
            self.start = now;
        }
        if !is_needed && self.lease.is_none() {
            return;
        }
        // A VM that this one replaces has not renewed its lease since before the start. Until it ends, its number is not free.
        if self.lease.is_none() && now.saturating_sub(self.start) <= LEASE {
            return;
        }
        host::create_shared(LEASES, &[0; 8]);
        for _ in 0..ATTEMPTS {
            let Some((list, version)) = host::shared(LEASES) else { return };
            let Some((lease, list)) = Lease::renew(self.lease, &list, now) else { return };
            if host::set_shared(LEASES, &list, version) {
                self.lease = Some(lease);
                return;
            }
        }
    }
}

/// The identifier of this proxy: that of Envoy's node, else a random one.
fn proxy(now: u64) -> String {
    let node = host::property("xds\0node\0id").unwrap_or_default();
    if !node.is_empty() {
        return String::from_utf8_lossy(&node).into_owned();
    }
    let random = host::random().and_then(|random| random.first_chunk().copied()).map_or(now, u64::from_le_bytes);
    host::create_shared(PROXY, format!("{random:016x}").as_bytes());
    let shared = host::shared(PROXY).map(|(proxy, _)| proxy).unwrap_or_default();
    String::from_utf8_lossy(&shared).into_owned()
}
