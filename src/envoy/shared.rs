//! The state that all streams of a configuration share, and what an exchange leaves there for later ones.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use proxy_wasm::types::MapType;

use super::conversations::Conversations;
use super::feedback::Submission;
use super::holding::Holding;
use super::host;
use super::memory::Memory;
use super::metrics::HostMetrics;
use super::spans::Spans;
use crate::config::Config;
use crate::exchange::{Continuation, Exchange, MemoryKey, Observer, Routes};
use crate::observation::Observation;
use crate::signal::memory::{Pending, WaitingRun, WaitingRuns};
use crate::sink::attributes::Selection;
use crate::sink::stats::Stats;
use crate::trace_context::{RunSpan, TraceContext};

/// The settings of a route, in its metadata: one string of JSON.
const ROUTE_SETTINGS: &str = "xds\0route_metadata\0filter_metadata\0gaugeway\0config";

/// The state that all streams of a configuration share.
pub struct Shared {
    pub observer: Rc<Observer>,
    pub routes: RefCell<Routes>,
    /// The metrics of exchanges; None if they are switched off.
    pub stats: Option<Rc<RefCell<Stats>>>,
    /// The attributes that filter state gets.
    pub selection: Selection,
    pub memory: Memory,
    pub conversations: Conversations,
    pub waiting: Rc<RefCell<WaitingRuns>>,
    pub spans: Option<RefCell<Spans>>,
    pub holding: Holding,
    /// The feedback requests that need ticks. Their streams own them.
    pub submissions: RefCell<Vec<Weak<Submission>>>,
    /// The last request was LLM traffic, so the next is likely to be: all of its headers are read in one call.
    pub expects_llm_traffic: Cell<bool>,
}

impl Shared {
    /// The observer for the route of the current stream. If the route has no settings, this costs one host call.
    pub fn observer(&self) -> Rc<Observer> {
        let settings = host::property(ROUTE_SETTINGS).filter(|settings| !settings.is_empty());
        let (Some(settings), Ok(mut routes)) = (settings, self.routes.try_borrow_mut()) else {
            return Rc::clone(&self.observer);
        };
        let (observer, fault) = routes.observer(&self.observer, &settings);
        if let Some(fault) = fault {
            let route = host::property("xds\0route_name").unwrap_or_default();
            let route = String::from_utf8_lossy(&route);
            log::error!("metadata of route '{route}' is ignored: {fault}");
        }
        observer
    }

    /// Compares the request with the call before it, and passes the remembered tool calls to the request that brings their results. Its run has continued, even if results
    /// are missing.
    pub fn recall(&self, exchange: &mut Exchange) {
        self.conversations.recall(exchange);
        let answers = exchange.result_keys();
        for (call, key, unnamed) in &answers {
            let pending = self.memory.take(*key).or_else(|| self.memory.take((*unnamed)?));
            if let Some(pending) = pending {
                if !answers.iter().any(|(_, key, _)| key.call == pending.lead) {
                    self.memory.leave(pending.lead, pending.called_at);
                }
                exchange.recall(*call, pending);
            }
        }
        self.continue_conversation(exchange);
        exchange.end_recall();
    }

    /// Looks up what the conversation of the request waits for.
    fn continue_conversation(&self, exchange: &mut Exchange) {
        if !exchange.may_be_awaited() {
            return;
        }
        for key in exchange.awaited_keys() {
            if self.memory.find(key).is_some_and(|awaited| self.continue_wait(exchange, &awaited)) {
                return;
            }
        }
    }

    /// Does what the request means for the conversation that waits. Returns true if that changed anything.
    fn continue_wait(&self, exchange: &mut Exchange, awaited: &Pending) -> bool {
        match exchange.continuation(awaited) {
            Continuation::Nothing => false,
            Continuation::Repeats => {
                self.memory.leave(awaited.call, awaited.called_at);
                exchange.repeat(awaited);
                true
            }
            Continuation::MayContinue => {
                for call in &awaited.calls {
                    let taken = self.memory.take(MemoryKey { call: *call, beginning: 0 });
                    let unused = taken.and_then(|pending| exchange.recall_by_name(pending));
                    unused.into_iter().for_each(|pending| _ = self.memory.put(pending));
                }
                exchange.previous_lead().is_some()
            }
            Continuation::Leaves => self.memory.mark_left(awaited.lead, awaited.called_at),
        }
    }

    /// Remembers the tool calls that an answer asks for, before the client has all of it.
    pub fn remember(&self, exchange: &mut Exchange) {
        let asks = exchange.take_calls();
        let mut waiting = exchange.waiting_run(&asks);
        let conversations = if waiting.is_some() { exchange.waits_for(&asks) } else { Vec::new() };
        for pending in asks {
            let number = self.memory.bucket(pending.call) as usize;
            let bucket = self.memory.put(pending);
            // The first call is that of the waiting run.
            if let (Some(waiting), Some(bucket)) = (waiting.take(), bucket)
                && let Ok(mut queue) = self.waiting.try_borrow_mut()
            {
                queue.push(number, &bucket, waiting);
            }
        }
        conversations.into_iter().for_each(|entry| _ = self.memory.put(entry));
    }

    /// Remembers the recalled calls as they were: the next leg of a redirected call brings the same results.
    pub fn give_back(&self, exchange: &mut Exchange) {
        for pending in exchange.give_back_calls() {
            self.memory.put(pending);
        }
    }

    /// Makes the spans of an exchange that has ended. Envoy shows its own span only now, so the calls that the answer asks for
    /// were remembered without it.
    pub fn trace(&self, exchange: &mut Exchange) {
        let Some(Ok(mut spans)) = self.spans.as_ref().map(RefCell::try_borrow_mut) else { return };
        let place = place();
        if exchange.run_span().is_none() {
            let before = exchange.previous_lead().map(|lead| MemoryKey { call: !lead.call, ..lead });
            match before.and_then(|before| self.memory.take(before)?.run) {
                Some(run) => exchange.set_run_span(run),
                None => {
                    place.filter(|place| place.sampled).into_iter().for_each(|place| exchange.set_trace_context(place))
                }
            }
            if let Some(run) = exchange.run_span() {
                self.attach_trace(&exchange.kept_keys(), run);
            }
        }
        // All calls of a run are recorded or none, whatever the sampling decision of the later ones.
        let run = exchange.run_span();
        if let Some(place) = place.or(run.map(RunSpan::context)).filter(|place| place.sampled || run.is_some()) {
            let names = exchange.config().compat.cache_attribute;
            spans.queue.exchange(exchange.observation(), names, place, run);
        }
    }

    /// Adds the trace of a run to its remembered calls. If the results have already arrived, leaves the trace for the
    /// exchange that has_failed_result them.
    fn attach_trace(&self, calls: &[MemoryKey], run: RunSpan) {
        let attached = calls.iter().filter(|call| self.memory.trace(**call, run)).count();
        if let Some(lead) = calls.first().filter(|_| attached == 0) {
            self.memory.put(Pending {
                call: !lead.call,
                beginning: lead.beginning,
                called_at: host::now(),
                has_continued: true,
                run: Some(run),
                ..Pending::default()
            });
        }
    }

    /// Reports the runs whose time is over: about `limit` of them, the others later.
    pub fn report_abandoned_runs(&self, limit: usize) {
        // This statement ends the borrow of the queue.
        let due = self.waiting.try_borrow_mut().map(|mut waiting| waiting.due(host::now(), limit));
        for waiting in due.unwrap_or_default() {
            self.report_abandoned(waiting);
        }
    }

    /// Counts a run as ended, unless it has continued or its entry was replaced.
    fn report_abandoned(&self, waiting: WaitingRun) {
        let Some(entry) = self.memory.close(waiting.lead, waiting.since) else { return };
        for call in &waiting.others {
            self.memory.close(*call, waiting.since);
        }
        let end = waiting.since;
        let seen = waiting.given_up(entry.is_left);
        let spans = self.spans.as_ref().map(RefCell::try_borrow_mut);
        if let (Some(run), Some(ended), Some(Ok(mut spans))) = (entry.run, seen.agent.ended, spans) {
            spans.queue.run(&seen, run, ended, end);
        }
        self.record(&seen, &self.observer.config);
    }

    /// Adds an exchange that has ended to the host's metrics, if they are wanted.
    pub fn record(&self, seen: &Observation, config: &Config) {
        if let Some(Ok(mut stats)) = self.stats.as_ref().map(|stats| stats.try_borrow_mut()) {
            stats.record(seen, config, &mut HostMetrics);
        }
    }
}

/// The request's place in a trace: by `traceparent` or B3, which Envoy's tracing sets, or in a trace of its own by `x-request-id`.
fn place() -> Option<TraceContext> {
    let text =
        |name: &str| host::header(MapType::HttpRequestHeaders, name).and_then(|value| String::from_utf8(value).ok());
    let place = text("traceparent").and_then(|value| TraceContext::parse(&value));
    let b3 = || {
        let sampled = || text("x-b3-sampled").unwrap_or_else(|| "1".to_owned());
        let parts = || Some(format!("{}-{}-{}", text("x-b3-traceid")?, text("x-b3-spanid")?, sampled()));
        TraceContext::parse_b3(&text("b3").or_else(parts)?)
    };
    place.or_else(b3).or_else(|| TraceContext::of_request(&text("x-request-id")?))
}
