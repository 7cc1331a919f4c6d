//! The shell for Envoy: feeds what the host's callbacks bring to an [`Exchange`] and passes on what it learns.
//!
//! Every callback continues at once and changes nothing. The SDK serves only to export the callbacks.

#![allow(unsafe_code)]

mod host;
mod memory;
mod spans;

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

use crate::config::Config;
use crate::exchange::{End, Exchange, Head, News, Observer};
use crate::provider;
use crate::signal::memory::{Queue, Waiting};
use crate::sink::attributes::FIELDS;
use crate::sink::stats::{Kind, PRICE_TABLE, Registry, Stats};
use crate::sink::trace::{Place, Run};
use host::{Buffer, Map};
use memory::Memory;
use spans::Spans;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Plugin::default()));
}}

/// One configuration of the plugin in one VM.
#[derive(Default)]
struct Plugin {
    shared: Option<Rc<Shared>>,
}

/// What all streams of a plugin share.
struct Shared {
    observer: Rc<Observer>,
    stats: Rc<RefCell<Stats>>,
    memory: Memory,
    waiting: Rc<RefCell<Queue>>,
    spans: Option<RefCell<Spans>>,
}

thread_local! {
    /// The VM's series. They outlive a configuration, as Envoy's do, so that no reload lifts their limit.
    static STATS: Rc<RefCell<Stats>> = Rc::default();
    /// The runs this worker waits for.
    static WAITING: Rc<RefCell<Queue>> = Rc::default();
}

/// Milliseconds between looks at what is due: runs given up, spans to be sent.
const TICK: u32 = 1000;
/// Most runs given up in one look, and looked at whether they have gone on, so that no look takes long.
const SWEEP: usize = 256;

impl Context for Plugin {
    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        if let Some(spans) = self.shared.as_ref().and_then(|shared| shared.spans.as_ref())
            && let Ok(mut spans) = spans.try_borrow_mut()
        {
            spans.answered();
        }
    }
}

impl RootContext for Plugin {
    fn on_configure(&mut self, size: usize) -> bool {
        let bytes = host::buffer(Buffer::Configuration, size).unwrap_or_default();
        let config = core::str::from_utf8(&bytes)
            .map_err(|_| "configuration is not UTF-8; give JSON in a StringValue".to_owned());
        match config.and_then(|text| Config::parse(text).map_err(|error| error.to_string())) {
            Ok(config) => {
                if let Some(gauge) = host::define_metric(1, PRICE_TABLE) {
                    host::record(gauge, config.prices.date());
                }
                self.shared = Some(Rc::new(Shared {
                    memory: Memory::new(config.agent.slots),
                    spans: Spans::new(&config.otlp).map(RefCell::new),
                    observer: Rc::new(Observer::new(config)),
                    stats: STATS.with(Rc::clone),
                    waiting: WAITING.with(Rc::clone),
                }));
                host::set_tick(TICK);
                true
            }
            Err(error) => {
                host::log_error(&format!("gaugeway: {error}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(shared) = &self.shared else { return };
        for _ in 0..SWEEP {
            let due = shared.waiting.try_borrow_mut().ok().and_then(|mut waiting| waiting.due(host::now()));
            let Some(waiting) = due else { break };
            shared.give_up(*waiting);
        }
        if let Ok(mut waiting) = shared.waiting.try_borrow_mut() {
            waiting.sweep(SWEEP, |run| shared.memory.waits(run.lead));
        }
        if let Some(Ok(mut spans)) = shared.spans.as_ref().map(RefCell::try_borrow_mut) {
            spans.send();
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            shared: self.shared.clone(),
            exchange: None,
            written: [0; FIELDS.len()],
            reported: false,
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Shared {
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
        if self.spans.is_some()
            && let Some(place) = place(|name| host::property(&format!("request\0headers\0{name}")))
            && place.sampled
        {
            exchange.place(place);
        }
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

    /// Counts a run as over if nobody has gone on with it.
    fn give_up(&self, waiting: Waiting) {
        if !self.memory.close(waiting.lead) {
            return;
        }
        for call in &waiting.others {
            self.memory.close(*call);
        }
        let (run, ended, end) = (waiting.run, waiting.end, waiting.since);
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
    shared: Option<Rc<Shared>>,
    exchange: Option<Box<Exchange>>,
    /// Hash of what was last written of each field.
    written: [u32; FIELDS.len()],
    reported: bool,
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        // An upstream filter gets no on_log.
        self.report();
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let path = host::header(Map::Request, ":path").unwrap_or_default();
        let path = core::str::from_utf8(&path).unwrap_or_default();
        let served = |shared: &&Rc<Shared>| provider::serves(path, &shared.observer.config.apis);
        if let Some(shared) = self.shared.as_ref().filter(served) {
            let serialized = host::headers(Map::Request);
            let pairs = host::pairs(&serialized);
            self.exchange = Exchange::start(&shared.observer, Head(&pairs), host::now()).map(Box::new);
            if let Some(exchange) = &mut self.exchange {
                let route = host::property("xds\0route_name").unwrap_or_default();
                exchange.route(core::str::from_utf8(&route).unwrap_or_default());
                if end_of_stream {
                    exchange.request_end(host::now());
                    self.write();
                }
            }
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if let Some(exchange) = &mut self.exchange {
            if size > 0 {
                exchange.request_body(&host::buffer(Buffer::Request, size).unwrap_or_default());
            }
            if end_of_stream {
                exchange.request_end(host::now());
                self.write();
            }
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if let Some(exchange) = &mut self.exchange {
            exchange.request_end(host::now());
            self.write();
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        if let Some(exchange) = &mut self.exchange {
            let serialized = host::headers(Map::Response);
            exchange.response(Head(&host::pairs(&serialized)), host::now());
            if end_of_stream {
                exchange.finish(end(), host::now());
            }
            self.write();
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if let Some(exchange) = &mut self.exchange {
            let now = host::now();
            if size > 0 {
                exchange.response_body(&host::buffer(Buffer::Response, size).unwrap_or_default(), now);
            }
            if end_of_stream {
                exchange.finish(end(), now);
            }
            self.write();
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if let Some(exchange) = &mut self.exchange {
            exchange.finish(end(), host::now());
            self.write();
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        self.report();
    }
}

impl Stream {
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
        }
        let seen = exchange.observation();
        let mut text = String::new();
        for (field, written) in FIELDS.iter().zip(&mut self.written) {
            if !field.phase.is_due(news) {
                continue;
            }
            let Some(value) = (field.get)(seen) else { continue };
            text.clear();
            value.write(&mut text);
            let hash = hash(&text);
            if *written != hash {
                *written = hash;
                host::set_property(field.name, &text);
            }
        }
    }

    /// Ends the exchange if nothing has, and counts it, once.
    fn report(&mut self) {
        let Some(exchange) = self.exchange.as_mut().filter(|_| !self.reported) else { return };
        self.reported = true;
        exchange.finish(end(), host::now());
        if !exchange.is_recognised() {
            return;
        }
        self.write();
        let (Some(shared), Some(exchange)) = (&self.shared, &self.exchange) else { return };
        if let Ok(mut stats) = shared.stats.try_borrow_mut() {
            stats.record(exchange.observation(), &shared.observer.config, &mut Envoy);
        }
        if let Some(Ok(mut spans)) = shared.spans.as_ref().map(RefCell::try_borrow_mut) {
            let run = exchange.run();
            // Envoy's own span is known by now. A run is recorded whole, whatever is decided of its later calls.
            let place = place(|name| host::header(Map::Request, name)).or(run.map(Run::place));
            if let Some(place) = place.filter(|place| place.sampled || run.is_some()) {
                spans.queue.exchange(exchange.observation(), place, run);
            }
        }
    }
}

/// Where in a trace the request is: as `traceparent` says, which Envoy's tracing sets, else in one of its own.
fn place(header: impl Fn(&str) -> Option<Vec<u8>>) -> Option<Place> {
    let text = |name: &str| header(name).and_then(|value| String::from_utf8(value).ok());
    let place = text("traceparent").and_then(|value| Place::parse(&value));
    place.or_else(|| Place::of_request(&text("x-request-id")?))
}

/// How Envoy says the stream ended.
fn end() -> End {
    let details = host::property("response\0code_details").unwrap_or_default();
    End::from_details(core::str::from_utf8(&details).unwrap_or_default())
}

/// Never 0, which stands for "not written".
fn hash(text: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish() as u32 | 1
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
