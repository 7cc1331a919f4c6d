//! The shell for Envoy: feeds what the host's callbacks bring to an [`Exchange`] and passes on what it learns.
//!
//! Every callback continues at once and changes nothing, but for what [`inject`] does where it is asked to. Host calls that return data cost most (1-4 us each): what one
//! tells is not asked for again.

mod exports;
mod feedback;
mod host;
mod inject;
mod lacks;
mod memory;
mod spans;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::config::{Config, Role};
use crate::exchange::{End, Exchange, Head, News, Observer};
use crate::provider;
use crate::route::Routes;
use crate::signal::memory::{Pending, Queue, Waiting};
use crate::sink::attributes::FIELDS;
use crate::sink::stats::{Kind, PRICE_TABLE, Registry, Stats};
use crate::sink::trace::{Place, Run};
use feedback::Taking;
use host::{Buffer, Map};
use inject::{Holding, Injection};
use lacks::Lack;
use memory::Memory;
use spans::Spans;

/// One configuration of the plugin in one VM.
#[derive(Default)]
struct Plugin {
    shared: Option<Rc<Shared>>,
}

/// What all streams of a plugin share.
struct Shared {
    observer: Rc<Observer>,
    routes: RefCell<Routes>,
    stats: Rc<RefCell<Stats>>,
    memory: Memory,
    waiting: Rc<RefCell<Queue>>,
    spans: Option<RefCell<Spans>>,
    holding: Holding,
    /// This host shows the bodies of requests that are held for their feedback.
    shows_held: Cell<bool>,
    /// The last request was LLM traffic, so the next is likely to be: all of its headers are read at once.
    expected: Cell<bool>,
}

thread_local! {
    /// The VM's series. They outlive a configuration, as Envoy's do, so that no reload lifts their limit.
    static STATS: Rc<RefCell<Stats>> = Rc::new(RefCell::new(Stats::new(host::now())));
    /// The runs this worker waits for.
    static WAITING: Rc<RefCell<Queue>> = Rc::default();
}

/// A route's settings, in its metadata: one string of JSON.
const ROUTE_SETTINGS: &str = "xds\0route_metadata\0filter_metadata\0gaugeway\0config";
/// Filter state that says: a listener's plugin reports this exchange.
const TAKEN: &str = "gaugeway.listener";
/// Filter state that every exchange has at its end.
const OUTCOME: &str = "gaugeway.outcome";
/// Stands for a hash where an earlier attempt may have written; no hash is even.
const STALE: u32 = 2;

/// Milliseconds between looks at what is due: runs given up, spans to be sent.
const TICK: u32 = 1000;
/// The same while a request is held and nobody knows yet whether this host can.
const SOON: u32 = 100;
/// Most runs given up in one look, and looked at whether they have gone on, so that no look takes long.
const SWEEP: usize = 256;

impl Plugin {
    fn on_configure(&mut self, size: usize) -> bool {
        let bytes = host::buffer(Buffer::Configuration, size).unwrap_or_default();
        let config = core::str::from_utf8(&bytes)
            .map_err(|_| "configuration is not UTF-8; give JSON in a StringValue".to_owned());
        match config.and_then(|text| Config::parse(text).map_err(|error| error.to_string())) {
            Ok(config) => {
                let gauge = host::define_metric(1, PRICE_TABLE);
                if let Some(gauge) = gauge {
                    host::record(gauge, config.prices.date());
                }
                self.shared = Some(Rc::new(Shared {
                    memory: Memory::new(config.agent.slots),
                    spans: Spans::new(&config.otlp).map(RefCell::new),
                    observer: Rc::new(Observer::new(config)),
                    routes: RefCell::default(),
                    stats: STATS.with(Rc::clone),
                    waiting: WAITING.with(Rc::clone),
                    holding: Holding::default(),
                    shows_held: Cell::new(false),
                    expected: Cell::new(false),
                }));
                lacks::at_start(gauge.is_some(), host::set_tick(TICK));
                true
            }
            Err(error) => {
                host::log_error(&format!("gaugeway: {error}"));
                false
            }
        }
    }

    /// True where streams want to know of it.
    fn on_tick(&mut self) -> bool {
        let Some(shared) = &self.shared else { return false };
        shared.holding.sweep(host::now());
        host::set_tick(if shared.holding.is_urgent() { SOON } else { TICK });
        for _ in 0..SWEEP {
            let due = shared.waiting.try_borrow_mut().ok().and_then(|mut waiting| waiting.due(host::now()));
            let Some(waiting) = due else { break };
            shared.give_up(*waiting);
        }
        if let Ok(mut waiting) = shared.waiting.try_borrow_mut() {
            waiting.sweep(SWEEP, |run| shared.memory.waits(run.lead, run.since));
        }
        if let Some(Ok(mut spans)) = shared.spans.as_ref().map(RefCell::try_borrow_mut) {
            spans.send();
        }
        !shared.observer.config.feedback.path.is_empty()
    }

    fn on_http_call_response(&mut self) {
        if let Some(spans) = self.shared.as_ref().and_then(|shared| shared.spans.as_ref())
            && let Ok(mut spans) = spans.try_borrow_mut()
        {
            spans.answered();
        }
    }

    fn stream(&self, id: u32) -> Stream {
        Stream {
            id,
            injection: Injection::None,
            shared: self.shared.clone(),
            exchange: None,
            written: [0; FIELDS.len()],
            from_upstream: false,
            reported: false,
            heard: false,
            taking: None,
        }
    }
}

impl Shared {
    /// The observer for this stream's route. Costs one call that finds nothing where the route has no settings.
    fn observer(&self) -> Rc<Observer> {
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
    fn recall(&self, exchange: &mut Exchange) {
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
    fn remember(&self, exchange: &mut Exchange) {
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
    fn trace(&self, exchange: &mut Exchange) {
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
    fn give_up(&self, waiting: Waiting) {
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

/// One HTTP stream; one that is not LLM traffic has no exchange.
struct Stream {
    id: u32,
    injection: Injection,
    shared: Option<Rc<Shared>>,
    exchange: Option<Box<Exchange>>,
    /// Hash of what was last written of each field.
    written: [u32; FIELDS.len()],
    /// The upstream answered, not Envoy itself.
    from_upstream: bool,
    reported: bool,
    /// The host showed a response's body, or that there is none.
    heard: bool,
    /// It brings feedback, and goes no further.
    taking: Option<Taking>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Some hosts neither log nor say that a stream is done.
        self.report();
        self.let_go();
    }
}

impl Stream {
    /// True holds the request here.
    fn on_request_headers(&mut self, end_of_stream: bool) -> bool {
        let Some(shared) = &self.shared else { return false };
        let config = &shared.observer.config;
        let served = |path: &[u8]| {
            let path = core::str::from_utf8(path).unwrap_or_default();
            provider::serves(path, &config.apis) || config.feedback.is_at(path)
        };
        // Of other traffic only the path is read.
        if !shared.expected.get() {
            let path = host::header(Map::Request, ":path");
            if path.is_none() {
                lacks::notice(Lack::Headers);
            }
            if !path.is_some_and(|path| served(&path)) {
                return false;
            }
        }
        let serialized = host::headers(Map::Request);
        let pairs = host::pairs(&serialized);
        let head = Head(&pairs);
        shared.expected.set(head.bytes(":path").is_some_and(served));
        if !shared.expected.get() {
            return false;
        }
        if config.feedback.is_at(head.text(":path")) {
            self.taking = Some(Taking::begin(head, end_of_stream));
            return true;
        }
        self.exchange = Exchange::start(&shared.observer(), head, host::now()).map(Box::new);
        let role = shared.observer.config.role;
        self.stand(role);
        if let Some(exchange) = &mut self.exchange {
            let route = host::property("xds\0route_name").unwrap_or_default();
            exchange.route(core::str::from_utf8(&route).unwrap_or_default());
            if end_of_stream {
                self.request_over();
                return false;
            }
        }
        let (Some(shared), Some(exchange)) = (&self.shared, &self.exchange) else { return false };
        let (config, api) = (exchange.config(), exchange.api());
        let holds = self.injection.request_headers(self.id, head, config, api, &shared.holding);
        if holds && shared.holding.is_urgent() {
            host::set_tick(SOON);
        }
        holds
    }

    /// True holds the request here.
    fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> bool {
        let Some(shared) = &self.shared else { return false };
        if let Some(taking) = &mut self.taking {
            *taking = taking.body(shared, size, end_of_stream);
            return true;
        }
        let Some(exchange) = &mut self.exchange else { return false };
        let seen = self.injection.seen(self.id, &shared.holding);
        if size > seen {
            exchange.request_body(&host::buffer_from(Buffer::Request, seen, size - seen).unwrap_or_default());
        }
        if end_of_stream {
            self.request_over();
        }
        self.injection.request_body(size, end_of_stream)
    }

    fn let_go(&mut self) {
        if let Some(shared) = &self.shared {
            self.injection.let_go(self.id, &shared.holding);
        }
    }

    /// True holds the request here.
    fn on_request_trailers(&mut self) -> bool {
        if let Some(taking) = &mut self.taking {
            *taking = taking.trailers();
            return true;
        }
        self.let_go();
        self.request_over();
        false
    }

    fn on_tick(&mut self) {
        let (Some(shared), Some(taking)) = (&self.shared, self.taking) else { return };
        self.taking = Some(taking.tick(shared, self.id));
    }

    fn request_over(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.request_end(host::now());
            self.write();
        }
    }

    fn on_response_headers(&mut self, end_of_stream: bool) {
        self.let_go();
        let Some(exchange) = &mut self.exchange else { return };
        let serialized = host::headers(Map::Response);
        let pairs = host::pairs(&serialized);
        let head = Head(&pairs);
        // Only the router sets this, on what an upstream answers.
        self.from_upstream = head.bytes("x-envoy-upstream-service-time").is_some();
        exchange.response(head, host::now());
        self.injection.response_headers(head);
        if end_of_stream {
            self.heard = true;
            exchange.finish(whole(self.from_upstream), host::now());
        }
        self.write();
    }

    fn on_response_body(&mut self, size: usize, end_of_stream: bool) {
        self.heard = true;
        let Some(exchange) = &mut self.exchange else { return };
        let now = host::now();
        let bytes = if size > 0 { host::buffer(Buffer::Response, size).unwrap_or_default() } else { Vec::new() };
        if size > 0 {
            exchange.response_body(&bytes, now);
        }
        self.injection.response_body(&bytes, size, end_of_stream);
        if end_of_stream {
            exchange.finish(whole(self.from_upstream), now);
        }
        self.write();
    }

    fn on_response_trailers(&mut self) {
        self.heard = true;
        let Some(exchange) = &mut self.exchange else { return };
        exchange.finish(whole(self.from_upstream), host::now());
        self.write();
    }

    /// Of two plugins that see an exchange, the listener's reports it. One of a cluster sees each attempt, and writes over
    /// what the one before it wrote.
    fn stand(&mut self, role: Role) {
        if self.exchange.is_none() {
            return;
        }
        match role {
            Role::Listener => {
                if !host::set_property(TAKEN, "true") {
                    lacks::notice(Lack::FilterState);
                }
            }
            Role::Upstream if host::property(TAKEN).is_some() => self.exchange = None,
            Role::Upstream if host::property(OUTCOME).is_some() => self.written = [STALE; FIELDS.len()],
            Role::Upstream => {}
        }
    }

    /// Writes the attributes that became known or changed.
    fn write(&mut self) {
        let Some(exchange) = &mut self.exchange else { return };
        let news: News = exchange.news();
        if !news.any() {
            return;
        }
        if let Some(shared) = &self.shared {
            if news.request {
                shared.recall(exchange);
            }
            if news.asks || news.end {
                shared.remember(exchange);
            }
            if news.end {
                shared.note_answer(exchange.observation());
            }
        }
        let seen = exchange.observation();
        let mut text = String::new();
        for (field, written) in FIELDS.iter().zip(&mut self.written) {
            if !field.phase.is_due(news) {
                continue;
            }
            let Some(value) = (field.get)(seen) else {
                // What an earlier attempt wrote cannot be taken back, only emptied.
                if news.end && *written == STALE && host::property(field.name).is_some() {
                    host::set_property(field.name, "");
                }
                continue;
            };
            let hash = value.hash();
            if *written != hash {
                *written = hash;
                text.clear();
                value.write(&mut text);
                host::set_property(field.name, &text);
            }
        }
    }

    /// Ends the exchange if nothing has, and counts it, once.
    fn report(&mut self) {
        let Some(exchange) = self.exchange.as_mut().filter(|_| !self.reported) else { return };
        self.reported = true;
        if exchange.observation().outcome.is_none() {
            let listens = exchange.config().role == Role::Listener;
            let end = match end() {
                End::Whole if listens && !self.heard && exchange.observation().response.status.is_some() => {
                    lacks::notice(Lack::ResponseBodies);
                    End::Unheard
                }
                end => end,
            };
            exchange.finish(end, host::now());
        }
        if !exchange.is_recognised() {
            return;
        }
        self.write();
        let (Some(shared), Some(exchange)) = (&self.shared, &mut self.exchange) else { return };
        if let Ok(mut stats) = shared.stats.try_borrow_mut() {
            stats.record(exchange.observation(), exchange.config(), &mut Envoy);
        }
        shared.trace(exchange);
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

/// How a response ended whose last byte came: an upstream's is whole.
fn whole(from_upstream: bool) -> End {
    if from_upstream { End::Whole } else { end() }
}

/// How Envoy says the stream ended.
fn end() -> End {
    let details = host::property("response\0code_details").unwrap_or_default();
    End::from_details(core::str::from_utf8(&details).unwrap_or_default())
}

struct Envoy;

impl Registry for Envoy {
    fn define(&mut self, kind: Kind, name: &str) -> Option<u32> {
        host::define_metric(
            match kind {
                Kind::Counter => 0,
                Kind::Gauge => 1,
                Kind::Histogram => 2,
            },
            name,
        )
    }

    fn emit(&mut self, kind: Kind, series: u32, value: u64) {
        match kind {
            Kind::Counter => host::increment(series, value),
            Kind::Gauge | Kind::Histogram => host::record(series, value),
        }
    }
}
