//! One HTTP stream: each of its callbacks, what it reads from the host and what it writes.

use std::rc::Rc;

use super::feedback::Taking;
use super::host::{self, Buffer, Map};
use super::inject::Injection;
use super::lacks::{self, Lack};
use super::shared::Shared;
use super::{Envoy, SOON};
use crate::bytes::mix::Mix;
use crate::config::Role;
use crate::exchange::{End, Exchange, Head};
use crate::observation::Changes;
use crate::provider;
use crate::sink::attributes::FIELDS;

/// Filter state that says: a listener's plugin reports this exchange.
const TAKEN: &str = "gaugeway.listener";
/// Filter state that every exchange has at its end.
const OUTCOME: &str = "gaugeway.outcome";
/// Stands for a hash where an earlier attempt may have written; no hash is even.
const STALE: u32 = 2;

/// One HTTP stream; one that is not LLM traffic has no exchange.
pub(super) struct Stream {
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
    pub fn new(id: u32, shared: Option<Rc<Shared>>) -> Self {
        Stream {
            id,
            injection: Injection::None,
            shared,
            exchange: None,
            written: [0; FIELDS.len()],
            from_upstream: false,
            reported: false,
            heard: false,
            taking: None,
        }
    }

    /// True holds the request here.
    pub fn on_request_headers(&mut self, end_of_stream: bool) -> bool {
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
        if config.feedback.is_at(head.whole(":path")) {
            self.taking = Some(Taking::begin(head, end_of_stream));
            return true;
        }
        let address = address_for(head);
        self.exchange = Exchange::start_from(&shared.observer(), head, address, host::now()).map(Box::new);
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
    pub fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> bool {
        let Some(shared) = &self.shared else { return false };
        if let Some(taking) = &mut self.taking {
            *taking = taking.body(shared, size, end_of_stream);
            return true;
        }
        let Some(exchange) = &mut self.exchange else { return false };
        let seen = self.injection.seen(self.id, &shared.holding);
        let new = size.saturating_sub(seen);
        let bytes = if new > 0 { host::buffer_from(Buffer::Request, seen, new) } else { None };
        exchange.request_body(&bytes.unwrap_or_default());
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
    pub fn on_request_trailers(&mut self) -> bool {
        if let Some(taking) = &mut self.taking {
            *taking = taking.trailers();
            return true;
        }
        self.let_go();
        self.request_over();
        false
    }

    pub fn on_tick(&mut self) {
        let (Some(shared), Some(taking)) = (&self.shared, self.taking) else { return };
        self.taking = Some(taking.tick(shared, self.id));
    }

    fn request_over(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.request_end(host::now());
            self.write();
        }
    }

    pub fn on_response_headers(&mut self, end_of_stream: bool) {
        self.let_go();
        let Some(exchange) = &mut self.exchange else { return };
        let serialized = host::headers(Map::Response);
        let pairs = host::pairs(&serialized);
        let head = Head(&pairs);
        // Only the router sets this, on what an upstream answers.
        self.from_upstream = head.bytes("x-envoy-upstream-service-time").is_some();
        exchange.set_address(address_for(head));
        exchange.response(head, host::now());
        self.injection.response_headers(head);
        if end_of_stream {
            self.heard = true;
            exchange.finish(whole(self.from_upstream), host::now());
        }
        self.write();
    }

    pub fn on_response_body(&mut self, size: usize, end_of_stream: bool) {
        self.heard = true;
        let Some(exchange) = &mut self.exchange else { return };
        let now = host::now();
        let bytes = if size > 0 { host::buffer(Buffer::Response, size).unwrap_or_default() } else { Vec::new() };
        exchange.response_body(&bytes, now);
        self.injection.response_body(&bytes, size, end_of_stream);
        if end_of_stream {
            exchange.finish(whole(self.from_upstream), now);
        }
        self.write();
    }

    pub fn on_response_trailers(&mut self) {
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
        let news: Changes = exchange.news();
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
    pub fn report(&mut self) {
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

/// The hash of the downstream address, without its port. Returns 0 if the body is not encoded: only decoders need it.
fn address_for(head: Head<'_>) -> u64 {
    if head.bytes("content-encoding").is_none() {
        return 0;
    }
    let address = host::property("source\0address").unwrap_or_default();
    let address = core::str::from_utf8(&address).unwrap_or_default();
    Mix::new(0).text(address.rsplit_once(':').map_or(address, |(host, _)| host)).finish()
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
