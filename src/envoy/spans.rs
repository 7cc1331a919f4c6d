//! Sends spans to a collector: one request at a time, on the root's tick, counted.
//!
//! Bound: the queue's; what finds no room in it is dropped.

use super::host::{self, Map};
use crate::config::Otlp;
use crate::sink::otlp::Queue;
use crate::sink::stats::SPANS;

/// How long a collector may take, in milliseconds.
const PATIENCE: u32 = 10_000;

/// Spans on their way out.
pub struct Spans {
    /// Those that wait.
    pub queue: Queue,
    to: Otlp,
    /// Spans in the request that is out.
    out: Option<u64>,
    /// That the cluster is missing stands in the log.
    told: bool,
    counters: [Option<u32>; 3],
}

/// What became of spans, as the counter's label says it.
const SENT: usize = 0;
const FAILED: usize = 1;
const DROPPED: usize = 2;

impl Spans {
    /// None where no collector is configured.
    pub fn new(to: &Otlp) -> Option<Self> {
        let counter = |result: &str| host::define_metric(0, &format!("{SPANS}.result=.={result};.;"));
        let counters = || [counter("sent"), counter("failed"), counter("dropped")];
        (!to.cluster.is_empty()).then(|| Spans {
            queue: Queue::default(),
            to: to.clone(),
            out: None,
            told: false,
            counters: counters(),
        })
    }

    /// Sends what waits, unless the last request is still out.
    pub fn send(&mut self) {
        let dropped = core::mem::take(&mut self.queue.dropped);
        self.count(DROPPED, dropped);
        if self.out.is_some() {
            return;
        }
        let Some((body, count)) = self.queue.export(&self.to.service) else { return };
        let headers = [
            (":method", "POST"),
            (":path", self.to.path.as_str()),
            (":authority", self.to.cluster.as_str()),
            ("content-type", "application/x-protobuf"),
        ];
        if host::call(&self.to.cluster, &headers, &body, PATIENCE) {
            self.out = Some(count);
            return;
        }
        self.count(FAILED, count);
        if !core::mem::replace(&mut self.told, true) {
            let name = &self.to.cluster;
            host::log_error(&format!(
                "gaugeway: otlp.cluster: Envoy cannot send to '{name}': is there such a cluster?"
            ));
        }
    }

    /// The collector has answered, or its time is over.
    pub fn answered(&mut self) {
        let status = host::header(Map::Call, ":status");
        let taken = status.is_some_and(|status| status.first() == Some(&b'2'));
        if let Some(count) = self.out.take() {
            self.count(if taken { SENT } else { FAILED }, count);
        }
    }

    fn count(&self, result: usize, by: u64) {
        if let Some(counter) = self.counters.get(result).copied().flatten().filter(|_| by > 0) {
            host::increment(counter, by);
        }
    }
}
