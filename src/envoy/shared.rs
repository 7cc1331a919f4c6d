//! What all streams of a plugin share, and what one exchange leaves there for the next.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::Envoy;
use super::host::{self, Map};
use super::inject::Holding;
use super::memory::Memory;
use super::spans::Spans;
use crate::exchange::Routes;
use crate::exchange::{Exchange, Observer};
use crate::signal::memory::{Pending, Queue, Waiting};
use crate::sink::stats::Stats;
use crate::trace_context::{Place, Run};

/// A route's settings, in its metadata: one string of JSON.
const ROUTE_SETTINGS: &str = "xds\0route_metadata\0filter_metadata\0gaugeway\0config";

/// What all streams of a plugin share.
pub(super) struct Shared {
    pub observer: Rc<Observer>,
    pub routes: RefCell<Routes>,
    pub stats: Rc<RefCell<Stats>>,
    pub memory: Memory,
    pub waiting: Rc<RefCell<Queue>>,
    pub spans: Option<RefCell<Spans>>,
    pub holding: Holding,
    /// This host shows the bodies of requests that are held for their feedback.
    pub shows_held: Cell<bool>,
    /// The last request was LLM traffic, so the next is likely to be: all of its headers are read at once.
    pub expected: Cell<bool>,
}

impl Shared {
    /// The observer for this stream's route. Costs one call that finds nothing where the route has no settings.
    pub fn observer(&self) -> Rc<Observer> {
        let settings = host::property(ROUTE_SETTINGS).filter(|settings| !settings.is_empty());
        let (Some(settings), Ok(mut routes)) = (settings, self.routes.try_borrow_mut()) else {
            return Rc::clone(&self.observer);
        };
        let (observer, fault) = routes.observer(&self.observer, &settings);
        if let Some(fault) = fault {
            let route = host::property("xds\0route_name").unwrap_or_default();
            let route = String::from_utf8_lossy(&route);
            host::log_error(&format!("gaugeway: metadata of route '{route}' is passed over: {fault}"));
        }
        observer
    }

    /// Looks up the calls whose results a request brings. The run has gone on, even if not all results came.
    pub fn recall(&self, exchange: &mut Exchange) {
        let answers = exchange.answers();
        for call in &answers {
            if let Some(pending) = self.memory.take(*call) {
                if !answers.contains(&pending.lead) {
                    self.memory.leave(pending.lead);
                }
                exchange.recall(pending);
            }
        }
    }

    /// Remembers the calls an answer asks for, before its end reaches the client.
    pub fn remember(&self, exchange: &mut Exchange) {
        let asks = exchange.asks();
        let waiting = exchange.waits(&asks);
        for pending in asks {
            self.memory.put(pending);
        }
        let limit = self.observer.config.agent.slots as usize;
        let pushed = waiting.zip(self.waiting.try_borrow_mut().ok());
        // Dropped before the run is given up, which takes its time.
        let oldest = pushed.and_then(|(waiting, mut queue)| queue.push(waiting, limit));
        if let Some(oldest) = oldest {
            self.give_up(*oldest);
        }
    }

    /// Makes the spans of an exchange that is over. Only now does Envoy show its own span: the calls that the answer asks for
    /// were remembered without it.
    pub fn trace(&self, exchange: &mut Exchange) {
        let Some(Ok(mut spans)) = self.spans.as_ref().map(RefCell::try_borrow_mut) else { return };
        let place = place();
        if exchange.run().is_none() {
            match exchange.before().and_then(|before| self.memory.take(!before)?.run) {
                Some(run) => exchange.join(run),
                None => place.filter(|place| place.sampled).into_iter().for_each(|place| exchange.place(place)),
            }
            if let Some(run) = exchange.run() {
                self.tell(&exchange.after(), run);
            }
        }
        // A run is recorded whole, whatever is decided of its later calls.
        let run = exchange.run();
        if let Some(place) = place.or(run.map(Run::place)).filter(|place| place.sampled || run.is_some()) {
            spans.queue.exchange(exchange.observation(), place, run);
        }
    }

    /// Adds a run's trace to its calls; where the client was faster, leaves it for the exchange that has taken them.
    fn tell(&self, calls: &[u64], run: Run) {
        let told = calls.iter().filter(|call| self.memory.trace(**call, run)).count();
        if let Some(lead) = calls.first().filter(|_| told == 0) {
            self.memory.put(Pending {
                call: !lead,
                asked: host::now(),
                left: true,
                run: Some(run),
                ..Pending::default()
            });
        }
    }

    /// Counts a run as over if nobody has gone on with it.
    pub fn give_up(&self, waiting: Waiting) {
        let Some(run) = self.memory.close(waiting.lead, waiting.since) else { return };
        for call in &waiting.others {
            self.memory.close(*call, waiting.since);
        }
        let (ended, end) = (waiting.end, waiting.since);
        let seen = waiting.given_up();
        if let (Some(run), Some(Ok(mut spans))) = (run, self.spans.as_ref().map(RefCell::try_borrow_mut)) {
            spans.queue.run(&seen, run, ended, end);
        }
        if let Ok(mut stats) = self.stats.try_borrow_mut() {
            stats.record(&seen, &self.observer.config, &mut Envoy);
        }
    }
}

/// Where in a trace the request is: as `traceparent` or B3 says, which Envoy's tracing sets, else in one of its own.
fn place() -> Option<Place> {
    let text = |name: &str| host::header(Map::Request, name).and_then(|value| String::from_utf8(value).ok());
    let place = text("traceparent").and_then(|value| Place::parse(&value));
    let b3 = || {
        let sampled = || text("x-b3-sampled").unwrap_or_else(|| "1".to_owned());
        let parts = || Some(format!("{}-{}-{}", text("x-b3-traceid")?, text("x-b3-spanid")?, sampled()));
        Place::parse_b3(&text("b3").or_else(parts)?)
    };
    place.or_else(b3).or_else(|| Place::of_request(&text("x-request-id")?))
}
