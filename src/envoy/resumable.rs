//! Reports operations of MCP, and keeps those whose stream ended without the answer: the client may resume it, perhaps on another worker.
//!
//! A worker keeps its own operations, at most [`MOST`], and reports each once: with its answer, or without one after [`PATIENCE`]. A stream
//! that brings answers to operations of other requests leaves them in Envoy's shared data, in at most [`SLOTS`] places of 42 bytes.

use std::cell::RefCell;
use std::rc::Rc;

use super::host;
use super::metrics::HostMetrics;
use super::shared::Shared;
use crate::exchange::Observer;
use crate::rpc::{RpcAnswer, RpcOperation, RpcTransport};
use crate::signal::asked::{AskedCall, JoinedBy};
use crate::sink::attributes::digits;
use crate::sink::otlp::SpanReference;
use crate::trace_context::TraceContext;

/// Maximum number of operations that wait for an answer.
const MOST: usize = 256;
/// Number of them that wait for one address at most, if half of the places are taken.
const MOST_OF_ADDRESS: usize = MOST / 8;
/// How long an operation waits for the answer, in nanoseconds: as long as the clients of the SDKs do.
const PATIENCE: u64 = 300_000_000_000;
/// Number of places for answers.
const SLOTS: u64 = 1024;

/// The operations of this worker whose stream may be resumed.
#[derive(Default)]
pub struct Resumable {
    waiting: RefCell<Vec<Unanswered>>,
}

struct Unanswered {
    key: u64,
    /// Keyed hash of the downstream address.
    peer: u64,
    due: u64,
    report: Report,
}

impl Resumable {
    /// Waits for the answer to an operation with this key, of this address. Without room it is reported at once.
    pub fn wait(&self, (key, peer): (u64, u64), report: Report, shared: &Shared) {
        match self.waiting.try_borrow_mut() {
            Ok(mut waiting) if has_room(waiting.iter().map(|one| one.peer), peer) => {
                waiting.push(Unanswered { key, peer, due: host::now().saturating_add(PATIENCE), report });
            }
            _ => report.make(shared),
        }
    }

    /// Leaves the answer to the operation with this key for its worker. A server may replay an answer: the first one counts.
    pub fn answer(key: u64, answer: RpcAnswer) {
        let known = host::shared(&name(key)).and_then(|(bytes, _)| RpcAnswer::from_bytes(&bytes));
        if known.is_none_or(|known| known.key != key) {
            host::set_shared(&name(key), &RpcAnswer { key, ..answer }.to_bytes(), 0);
        }
    }

    /// Reports the operations whose answers have come, and those that have waited too long. Called once per second.
    pub fn report(&self, shared: &Shared) {
        self.report_if(shared, |one, now| one.due <= now);
    }

    /// Reports all operations, with their answers or without. The configuration of this plugin has been replaced.
    pub fn report_all(&self, shared: &Shared) {
        self.report_if(shared, |_, _| true);
    }

    fn report_if(&self, shared: &Shared, is_over: impl Fn(&Unanswered, u64) -> bool) {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return };
        let now = host::now();
        let ended = waiting.extract_if(.., |one| {
            let answer = host::shared(&name(one.key)).and_then(|(bytes, _)| RpcAnswer::from_bytes(&bytes));
            let start = one.report.transport.start;
            let answer = answer.filter(|answer| answer.key == one.key && answer.end >= start);
            if let Some(answer) = &answer {
                one.report.operation.answered(answer);
            }
            answer.is_some() || is_over(one, now)
        });
        ended.for_each(|one| one.report.make(shared));
    }
}

/// Returns true if one more operation of this address may wait. `waiting` are the addresses of those that wait: one client must not take all places.
pub fn has_room(waiting: impl ExactSizeIterator<Item = u64>, peer: u64) -> bool {
    let count = waiting.len();
    count < MOST / 2 || count < MOST && waiting.filter(|other| *other == peer).count() < MOST_OF_ADDRESS
}

fn name(key: u64) -> String {
    let mut name = String::from("gaugeway.answers.");
    digits(&mut name, key % SLOTS, 1);
    name
}

/// An operation that has ended, with all that its report needs.
pub struct Report {
    pub transport: RpcTransport,
    pub operation: RpcOperation,
    /// Tells its span from others that begin at the same place and time.
    pub salt: u64,
    /// The calls of models that it may execute.
    pub asked: Option<(JoinedBy, Vec<AskedCall>)>,
    /// The HTTP request's place in a trace.
    pub place: Option<TraceContext>,
    pub observer: Rc<Observer>,
}

impl Report {
    /// Makes its span and counts it.
    pub fn make(self, shared: &Shared) {
        if let Some((how @ (JoinedBy::Id | JoinedBy::Arguments), calls)) = &self.asked {
            let (from, until) = (self.transport.start, self.operation.end.unwrap_or_default());
            for call in calls {
                // A program that the model has written may handle the failure.
                let is_its_tool = *how == JoinedBy::Arguments || self.operation.call == call.id;
                shared.asked.serve(call, from, until, is_its_tool && self.operation.error.is_some());
            }
        }
        let span = self.trace(shared);
        self.count(shared, span);
    }

    /// Makes the span. Returns it if it is sent.
    fn trace(&self, shared: &Shared) -> Option<SpanReference> {
        let mut export = shared.export.as_ref()?.try_borrow_mut().ok()?;
        let run = self.asked.as_ref().and_then(|(how, calls)| run_of(shared, *how, calls));
        // The client's own span is the nearest. All calls of a recorded run are recorded.
        let (place, other) = match (self.operation.parent, run) {
            (Some(own), run) => (own, run),
            (None, Some(run)) => (run, self.place.filter(|place| place.span != [0; 8])),
            (None, None) => (self.place?, None),
        };
        let own = TraceContext { span: place.derive(self.transport.start, self.salt), ..place };
        let is_sent = place.sampled || self.operation.error.is_some() && export.sends_all_errors;
        let spans = export.spans.as_mut().filter(|_| is_sent)?;
        let has_room = spans.queue.operation(&self.transport, &self.operation, own, place.span, other);
        if export.needs_short_tick() {
            shared.hasten_tick();
        }
        has_room.then_some(SpanReference { trace: own.trace, span: own.span })
    }

    /// Counts it in the metrics. `span` is its span, if that is sent.
    fn count(&self, shared: &Shared, span: Option<SpanReference>) {
        let Report { transport, operation, .. } = self;
        let config = &self.observer.config;
        if let Some(Ok(mut stats)) = shared.stats.as_ref().map(|stats| stats.try_borrow_mut()) {
            stats.record_rpc(transport, operation, config, &mut HostMetrics);
        }
        if let Some(Ok(export)) = shared.export.as_ref().map(RefCell::try_borrow)
            && let Some(Ok(mut metrics)) = export.metrics.as_ref().map(|metrics| metrics.queue.try_borrow_mut())
        {
            metrics.record_rpc(transport, operation, config, span);
        }
    }
}

/// The place of an operation's parent in the trace of a run: the span of the tool, or that of the run if several of its calls fit.
fn run_of(shared: &Shared, how: JoinedBy, calls: &[AskedCall]) -> Option<TraceContext> {
    let places = calls.iter().map(|call| {
        if let Some(closed) = call.closed {
            return closed.place;
        }
        let pending = shared.memory.find(call.key)?;
        let run = pending.run?;
        let span = if how == JoinedBy::Ambiguous { run.span } else { run.tool(pending.called_at, call.id) };
        Some(TraceContext { span, ..run.context() })
    });
    let mut places = places;
    let first = places.next()??;
    places.all(|place| place == Some(first)).then_some(first)
}
