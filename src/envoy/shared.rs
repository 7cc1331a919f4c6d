//! The state that all streams of a configuration share, and what an exchange leaves there for later ones.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};

use proxy_wasm::types::MapType;

use super::address::source_address;
use super::asked::AwaitedCalls;
use super::conversations::Conversations;
use super::early::EarlyCalls;
use super::export::Export;
use super::feedback::Submission;
use super::holding::Holding;
use super::memory::Memory;
use super::metrics::HostMetrics;
use super::resumable::Resumable;
use super::root::{SHORT_TICK, TICK};
use super::rpc_paths::RpcPaths;

use super::{host, late};
use crate::config::Config;
use crate::exchange::{Continuation, Exchange, MemoryKey, Observer, Routes};
use crate::observation::{Changes, Observation, Outcome};
use crate::rpc::{RpcPrograms, RpcTransport};
use crate::signal::memory::{Pending, WaitingRun, WaitingRuns};
use crate::signal::stalls::OpenStreams;
use crate::sink::attributes::Selection;
use crate::sink::otlp::{SpanReference, call_span};
use crate::sink::stats::Stats;
use crate::trace_context::{RunSpan, TraceContext};

/// The plugin's members of the metadata of a route, in the serialised form that [`host::pairs`] parses.
const ROUTE_METADATA: &str = "xds\0route_metadata\0filter_metadata\0gaugeway";

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
    pub export: Option<RefCell<Export>>,
    pub holding: Holding,
    /// The feedback requests that need ticks. Their streams own them.
    pub submissions: RefCell<Vec<Weak<Submission>>>,
    /// The ticks come every [`SHORT_TICK`].
    pub is_tick_short: Cell<bool>,
    /// The last request was LLM traffic, so the next is likely to be: all of its headers are read in one call.
    pub expects_llm_traffic: Cell<bool>,
    /// The tool calls that wait to be executed by MCP.
    pub asked: AwaitedCalls,
    /// The operations of MCP that ended before the answer that calls their tools.
    pub early: EarlyCalls,
    /// The operations of MCP whose stream may be resumed.
    pub resumable: Resumable,
    /// The paths at which requests were MCP or A2A, although the path does not suggest it.
    pub rpc_paths: RpcPaths,
    /// The rules for MCP and A2A, compiled for their first request.
    pub rpc_programs: OnceCell<Rc<RpcPrograms>>,
}

impl Shared {
    /// The observer for the route of the current stream. If the route has no metadata of the plugin, this costs one host call.
    pub fn observer(&self) -> Rc<Observer> {
        let metadata = host::property(ROUTE_METADATA).filter(|metadata| !metadata.is_empty());
        let (Some(metadata), Ok(mut routes)) = (metadata, self.routes.try_borrow_mut()) else {
            return Rc::clone(&self.observer);
        };
        let (observer, fault) = routes.observer(&self.observer, &metadata, &host::pairs(&metadata));
        if let Some(fault) = fault {
            let route = host::property("xds\0route_name").unwrap_or_default();
            let route = String::from_utf8_lossy(&route);
            log::error!("metadata of route '{route}' is ignored: {fault}");
        }
        observer
    }

    /// Counts a session of MCP that has ended after this number of nanoseconds.
    pub fn count_session(&self, transport: &RpcTransport, nanos: u64, config: &Config) {
        if let Some(Ok(mut stats)) = self.stats.as_ref().map(|stats| stats.try_borrow_mut()) {
            stats.record_session(transport, nanos, config, &mut HostMetrics);
        }
        if let Some(Ok(export)) = self.export.as_ref().map(RefCell::try_borrow)
            && let Some(Ok(mut metrics)) = export.metrics.as_ref().map(|metrics| metrics.queue.try_borrow_mut())
        {
            metrics.record_session(transport, nanos, config);
        }
    }

    /// The rules for MCP and A2A.
    pub fn rpc_programs(&self) -> Rc<RpcPrograms> {
        Rc::clone(self.rpc_programs.get_or_init(|| Rc::new(RpcPrograms::compile())))
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
        self.close_asked(exchange, answers.iter().map(|(call, ..)| *call));
    }

    /// The results of these tool calls go to the model.
    fn close_asked(&self, exchange: &mut Exchange, calls: impl ExactSizeIterator<Item = u64>) {
        if calls.len() == 0 || !self.asked.are_used_now() {
            return;
        }
        let Some(peer) = self.observer.peer(&source_address(None)) else { return };
        for call in calls {
            if let Some(served) = self.asked.close(peer, exchange.caller(), call, exchange.run_span()) {
                exchange.set_served(call, &served);
            }
        }
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

    /// Remembers the tool calls that an answer asks for, before the client has all of it, and an answer that other requests fetch.
    pub fn remember(&self, exchange: &mut Exchange) {
        late::settle(exchange);
        let asks = exchange.take_calls();
        if !asks.is_empty()
            && self.asked.are_used_now()
            && let Some(peer) = self.observer.peer(&source_address(None))
        {
            let wait = exchange.config().agent.abandoned_after.saturating_mul(1_000_000_000);
            self.asked.put(&exchange.asked_calls(&asks, peer), wait);
        }
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

    /// Lets the next tick come soon. Envoy starts its timer again at each change of the period, so the period changes once until then:
    /// under load there would be no tick otherwise.
    pub fn hasten_tick(&self) {
        if !self.is_tick_short.replace(true) {
            host::set_tick(SHORT_TICK);
        }
    }

    /// Sets the period of the ticks. A tick has come.
    pub fn set_tick(&self) {
        let is_short = self.holding.needs_short_tick();
        self.is_tick_short.set(is_short);
        host::set_tick(if is_short { SHORT_TICK } else { TICK });
    }

    /// Shares what became known with later exchanges.
    pub fn share(&self, exchange: &mut Exchange, changes: Changes) {
        if changes.request {
            self.recall(exchange);
        }
        if changes.asks || changes.end {
            self.remember(exchange);
        }
        if changes.end {
            self.note_answer(exchange);
            self.conversations.remember(exchange);
        }
    }

    /// Sends the span of an exchange that has ended, and counts it.
    pub fn report(&self, exchange: &mut Exchange) {
        let span = self.trace(exchange);
        self.count(exchange.observation(), exchange.config(), span);
    }

    /// Counts an exchange in the metrics. `span` is its span, if that is sent.
    pub fn count(&self, seen: &Observation, config: &Config, span: Option<SpanReference>) {
        if let Some(Ok(mut stats)) = self.stats.as_ref().map(|stats| stats.try_borrow_mut()) {
            stats.record(seen, config, &mut HostMetrics);
        }
        if let Some(Ok(export)) = self.export.as_ref().map(RefCell::try_borrow)
            && let Some(Ok(mut metrics)) = export.metrics.as_ref().map(|metrics| metrics.queue.try_borrow_mut())
        {
            metrics.record(seen, config, seen.timing.end.unwrap_or_else(host::now), span);
        }
    }

    /// Makes the spans and the log record of an exchange that has ended. Returns its own span, if that is sent. Envoy shows its span only
    /// now, so the calls that the answer asks for were remembered without it.
    pub fn trace(&self, exchange: &mut Exchange) -> Option<SpanReference> {
        let mut export = self.export.as_ref()?.try_borrow_mut().ok()?;
        let place = place(exchange);
        if export.spans.is_some() && exchange.run_span().is_none() {
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
        // All calls of a recorded run are recorded, whatever the sampling decision of the later ones.
        let run = exchange.run_span();
        let place = place.or(run.map(RunSpan::context))?;
        let (seen, names) = (exchange.observation(), exchange.config().compat.cache_attribute);
        let has_failed = seen.outcome != Some(Outcome::Completed);
        let is_sent = run.is_some() || place.sampled || has_failed && export.sends_all_errors;
        let own = call_span(place, run, seen.timing.start);
        let spans = export.spans.as_mut().filter(|_| is_sent);
        let has_room = spans.is_some_and(|spans| spans.queue.exchange(seen, names, place, run));
        if let Some(logs) = export.logs.as_mut().filter(|_| has_failed) {
            logs.queue.failure(seen, TraceContext { sampled: is_sent, ..own });
        }
        // The next tick may be too late.
        if export.needs_short_tick() {
            self.hasten_tick();
        }
        has_room.then_some(SpanReference { trace: own.trace, span: own.span })
    }

    /// Adds the trace of a run to its remembered calls. If the results have already arrived, leaves the trace for the
    /// exchange that brought them.
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

    /// Counts the open streams that have stalled: at most `limit` of them, the others later.
    pub fn report_stalls(&self, streams: &RefCell<OpenStreams>, limit: usize) {
        if let Ok(mut streams) = streams.try_borrow_mut() {
            streams.pass_stalls(host::now(), limit, |seen| self.count(seen, &self.observer.config, None));
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
        if let (Some(run), Some(ended)) = (entry.run, seen.agent.ended)
            && let Some(Ok(mut export)) = self.export.as_ref().map(RefCell::try_borrow_mut)
            && let Some(spans) = &mut export.spans
        {
            spans.queue.run(&seen, run, ended, end);
        }
        self.count(&seen, &self.observer.config, None);
    }
}

/// The request's place in a trace. A single call of an application that sends its trace is a child of the application's span, beside
/// Envoy's own. Otherwise it is below Envoy's span: Envoy's tracing sets its headers after the request has passed the plugin, so they
/// are read at the end. A request without headers of a trace and without an identifier is a trace of its own, if the host has random
/// numbers.
fn place(exchange: &Exchange) -> Option<TraceContext> {
    let is_single = exchange.observation().agent.iteration.is_none();
    if let Some(of_application) = exchange.place().filter(|place| is_single && place.span != [0; 8]) {
        return Some(of_application);
    }
    let random = || Some(TraceContext::new_trace(*host::random()?.first_chunk()?, exchange.config().otlp.sample));
    // The headers are those of the WebSocket.
    if exchange.is_upgrade() {
        return exchange.place().or_else(random);
    }
    let text =
        |name: &str| host::header(MapType::HttpRequestHeaders, name).and_then(|value| String::from_utf8(value).ok());
    TraceContext::of_headers(text).or(exchange.place()).or_else(random)
}
