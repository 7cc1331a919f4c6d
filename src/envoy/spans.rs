//! Sends spans to a collector from the tick of the root: at most one request at a time.
//!
//! Spans wait in a queue of bounded size; those that do not fit are dropped. `gaugeway_spans_total` counts what became of them.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::MapType;

use super::host;
use super::metrics::HostMetrics;
use crate::config::Otlp;
use crate::labels::RESULT;
use crate::sink::otlp::SpanQueue;
use crate::sink::stats::{Registry, SPANS};

/// How long a collector may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The spans of a configuration that are not yet sent.
pub struct Spans {
    /// Those that wait.
    pub queue: SpanQueue,
    collector: Otlp,
    /// The request that the collector has not answered yet.
    sent: Option<Sent>,
    /// The log has the message that the cluster is missing.
    missing_cluster_logged: bool,
    counters: [Option<u32>; 3],
}

struct Sent {
    token: u32,
    spans: u64,
}

/// The counters' indices, by the value of the label `result`.
const SENT: usize = 0;
const FAILED: usize = 1;
const DROPPED: usize = 2;

impl Spans {
    /// None if no collector is configured.
    pub fn new(collector: &Otlp) -> Option<Self> {
        if collector.cluster.is_empty() {
            return None;
        }
        let counter = |result| HostMetrics.define(&SPANS, &[(RESULT.name, result)]);
        Some(Spans {
            queue: SpanQueue::default(),
            collector: collector.clone(),
            sent: None,
            missing_cluster_logged: false,
            counters: [counter("sent"), counter("failed"), counter("dropped")],
        })
    }

    /// Sends the waiting spans, unless a request is unanswered.
    pub fn send(&mut self) {
        let dropped = core::mem::take(&mut self.queue.dropped);
        self.count(DROPPED, dropped);
        if self.sent.is_some() {
            return;
        }
        let Some((body, spans)) = self.queue.export(&self.collector.service) else { return };
        let cluster = self.collector.cluster.as_str();
        let headers = vec![
            (":method", "POST"),
            (":path", self.collector.path.as_str()),
            (":authority", cluster),
            ("content-type", "application/x-protobuf"),
        ];
        match hostcalls::dispatch_http_call(cluster, headers, Some(&body), Vec::new(), TIMEOUT) {
            Ok(token) => self.sent = Some(Sent { token, spans }),
            Err(_) => {
                if !core::mem::replace(&mut self.missing_cluster_logged, true) {
                    log::error!("otlp.cluster: Envoy cannot send to '{cluster}': is there such a cluster?");
                }
                self.count(FAILED, spans);
            }
        }
    }

    /// The collector has answered the request, or the request has failed. A failed one has no headers.
    pub fn on_response(&mut self, token: u32) {
        if let Some(sent) = self.sent.take_if(|sent| sent.token == token) {
            let status = host::header(MapType::HttpCallResponseHeaders, ":status");
            let accepted = status.is_some_and(|status| status.first() == Some(&b'2'));
            self.count(if accepted { SENT } else { FAILED }, sent.spans);
        }
    }

    fn count(&self, result: usize, by: u64) {
        if let Some(counter) = self.counters.get(result).copied().flatten().filter(|_| by > 0) {
            HostMetrics.emit(&SPANS, counter, by);
        }
    }
}
