//! Sends spans, metrics and log records to a collector from the tick of the root. Each signal has a channel of its own with at
//! most one request in flight; [`Delivery`] decides when a request is sent, and counts the results.
//!
//! When a configuration is replaced, its root stays until what waits is sent, but not longer than [`LAST_WAIT`].

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};

use super::host;
use super::metrics::HostMetrics;
use super::worker_metrics::{self, WorkerMetrics};
use crate::config::{Otlp, Temporality};
use crate::labels::RESULT;
use crate::sink::otlp::{
    ANSWER_LIMIT, CollectorAnswer, Delivery, Envelope, LogQueue, Retention, Source, SpanQueue, Tally,
};
use crate::sink::stats::{LOG_RECORDS, Metric, POINTS, Registry, SPANS};

/// How long a collector may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a replaced configuration waits for its last answers, in nanoseconds.
const LAST_WAIT: u64 = 2_000_000_000;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// The channels of a configuration to its collector, with the items that wait.
pub struct Export {
    /// The spans that wait, and their channel. None if no spans are sent.
    pub spans: Option<Outlet<SpanQueue>>,
    /// The same of log records.
    pub logs: Option<Outlet<LogQueue>>,
    /// The metrics of this worker, and their channel. None if no metrics are sent.
    pub metrics: Option<Outlet<Rc<RefCell<WorkerMetrics>>>>,
    /// The spans of failed calls are sent even if their traces are not sampled.
    pub sends_all_errors: bool,
    /// When the wait for the last answers ends, if the configuration was replaced.
    deadline: Option<u64>,
}

/// A queue and its channel.
pub struct Outlet<Q> {
    /// The items that wait.
    pub queue: Q,
    channel: Channel,
}

impl Export {
    /// None if no collector is configured.
    pub fn new(config: &Otlp) -> Option<Self> {
        if config.cluster.is_empty() {
            return None;
        }
        let now = host::now();
        let envelope = Rc::new(Envelope::new(&[("service.name", &config.service)]));
        let channel = |name, path: &str, counter, delivery| {
            (!path.is_empty()).then(|| Channel::new(name, &config.cluster, path, counter, delivery))
        };
        let resend = || Delivery::new(Retention::Resend, 0, now);
        let retention = match config.temporality {
            Temporality::Cumulative => Retention::Replace,
            Temporality::Delta => Retention::Lose,
        };
        let logs_path = if config.exceptions { config.logs_path.as_str() } else { "" };
        let spans = channel("spans", &config.path, &SPANS, resend());
        let logs = channel("log records", logs_path, &LOG_RECORDS, resend());
        let metrics = Delivery::new(retention, config.interval * SECOND, now);
        Some(Export {
            spans: spans.map(|channel| Outlet { queue: SpanQueue::new(Rc::clone(&envelope)), channel }),
            logs: logs.map(|channel| Outlet { queue: LogQueue::new(Rc::clone(&envelope)), channel }),
            metrics: WorkerMetrics::of(config)
                .zip(channel("data points", &config.metrics_path, &POINTS, metrics))
                .map(|(queue, channel)| Outlet { queue, channel }),
            sends_all_errors: config.errors,
            deadline: None,
        })
    }

    /// Sends what waits and is due.
    pub fn send(&mut self) {
        self.each(Channel::send);
    }

    /// Passes the collector's answer to the channel that waits for it. A failed request has no headers.
    pub fn on_response(&mut self, token: u32, body_size: usize) {
        let channels = [
            self.spans.as_mut().map(|spans| &mut spans.channel),
            self.logs.as_mut().map(|logs| &mut logs.channel),
            self.metrics.as_mut().map(|metrics| &mut metrics.channel),
        ];
        if let Some(channel) = channels.into_iter().flatten().find(|channel| channel.token == Some(token)) {
            channel.on_response(body_size);
        }
    }

    /// The configuration is replaced: sends all that waits. Returns true if there is nothing to wait for.
    pub fn close(&mut self) -> bool {
        self.deadline = Some(host::now().saturating_add(LAST_WAIT));
        self.each(|channel, source| {
            channel.delivery.close();
            channel.send(source);
        });
        !self.is_waiting()
    }

    /// Continues after [`Export::close`]. Returns true if all answers have come, or the time is up: then the rest is counted as lost.
    pub fn is_closed(&mut self) -> bool {
        let is_late = self.deadline.is_some_and(|deadline| host::now() >= deadline);
        self.each(|channel, source| if is_late { channel.give_up(source) } else { channel.send(source) });
        is_late || !self.is_waiting()
    }

    /// Returns true if spans come faster than ticks can send them, and the collector accepts them.
    pub fn needs_short_tick(&self) -> bool {
        self.deadline.is_some()
            || self
                .spans
                .as_ref()
                .is_some_and(|spans| spans.queue.is_half_full() && spans.channel.delivery.is_open(host::now()))
    }

    fn is_waiting(&self) -> bool {
        let channels = [
            self.spans.as_ref().map(|spans| &spans.channel),
            self.logs.as_ref().map(|logs| &logs.channel),
            self.metrics.as_ref().map(|metrics| &metrics.channel),
        ];
        channels.into_iter().flatten().any(|channel| channel.delivery.is_waiting())
    }

    /// Calls `act` for each channel with its source, and reports what came of it.
    fn each(&mut self, act: impl Fn(&mut Channel, &mut dyn Source)) {
        if let Some(spans) = &mut self.spans {
            act(&mut spans.channel, &mut spans.queue);
            spans.channel.report();
        }
        if let Some(logs) = &mut self.logs {
            act(&mut logs.channel, &mut logs.queue);
            logs.channel.report();
        }
        if let Some(metrics) = &mut self.metrics {
            if let Ok(mut source) = metrics.queue.try_borrow_mut() {
                act(&mut metrics.channel, &mut *source);
            }
            metrics.channel.report();
        }
    }
}

/// The possible results of an item: the values of the label `result`.
const RESULTS: [&str; 3] = ["sent", "failed", "dropped"];

/// The requests of one signal to the collector.
struct Channel {
    /// The name of its items in the log.
    items: &'static str,
    cluster: String,
    path: String,
    delivery: Delivery,
    /// The request in flight.
    token: Option<u32>,
    /// The log has the message that the cluster is missing.
    missing_cluster_logged: bool,
    counter: &'static Metric,
    /// Its series: sent, failed, dropped.
    series: [Option<u32>; 3],
}

impl Channel {
    fn new(items: &'static str, cluster: &str, path: &str, counter: &'static Metric, delivery: Delivery) -> Self {
        let series = ["sent", "failed", "dropped"].map(|result| HostMetrics.define(counter, &[(RESULT.name, result)]));
        Channel {
            items,
            cluster: cluster.to_owned(),
            path: path.to_owned(),
            delivery,
            token: None,
            missing_cluster_logged: false,
            counter,
            series,
        }
    }

    /// Sends what waits and is due, unless a request is unanswered.
    fn send(&mut self, source: &mut dyn Source) {
        let now = host::now();
        if let Some(body) = self.delivery.next(now, source) {
            let headers = vec![
                (":method", "POST"),
                (":path", self.path.as_str()),
                (":authority", self.cluster.as_str()),
                ("content-type", "application/x-protobuf"),
            ];
            match hostcalls::dispatch_http_call(&self.cluster, headers, Some(body), Vec::new(), TIMEOUT) {
                Ok(token) => {
                    self.token = Some(token);
                    self.delivery.sent();
                }
                Err(Status::BadArgument) => {
                    if !core::mem::replace(&mut self.missing_cluster_logged, true) {
                        let cluster = &self.cluster;
                        log::error!("otlp.cluster: Envoy cannot send to '{cluster}': is there such a cluster?");
                    }
                    self.delivery.lost();
                }
                Err(_) => self.delivery.answered(now, &CollectorAnswer::default()),
            }
        }
    }

    fn on_response(&mut self, body_size: usize) {
        self.token = None;
        let (now, headers) = (host::now(), MapType::HttpCallResponseHeaders);
        let status = host::header(headers, ":status");
        let retry_after = host::header(headers, "retry-after");
        let body = match body_size.min(ANSWER_LIMIT) {
            0 => None,
            size => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok().flatten(),
        };
        let body = body.unwrap_or_default();
        let answer = CollectorAnswer::read(status.as_deref(), retry_after.as_deref(), &body, now);
        self.delivery.answered(now, &answer);
        self.report();
    }

    fn give_up(&mut self, source: &mut dyn Source) {
        self.token = None;
        self.delivery.give_up(host::now(), source);
    }

    /// Counts what became of items, and logs what the collector said.
    fn report(&mut self) {
        let Tally { sent, failed, dropped } = self.delivery.take_tally();
        let counts = RESULTS.into_iter().zip([sent, failed, dropped]);
        for (series, (result, count)) in self.series.into_iter().zip(counts).filter(|(_, (_, count))| *count > 0) {
            if let Some(series) = series {
                HostMetrics.emit(self.counter, series, count);
            }
            worker_metrics::add(self.counter, &[(RESULT.name, result)], count);
        }
        if let Some(complaint) = self.delivery.take_complaint() {
            let Channel { items, cluster, .. } = self;
            log::warn!("otlp: the collector of cluster '{cluster}' {complaint} ({items})");
        }
    }
}
