//! The shell for JavaScript: edge runtimes, servers and browsers feed an [`Exchange`](exchange::Exchange) and ask it for JSON.
//!
//! What knows about requests, streams and callbacks is written in JavaScript, in `edge/`. Times are milliseconds since 1970.

// wasm_bindgen's exports are unsafe functions.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::prelude::wasm_bindgen;

use crate::config::Config;
use crate::exchange::{self, End, Head};
use crate::signal::cost::PriceTable;
use crate::sink::json::{self, JsonSamples};

/// Takes the price table, before the first [`Core`]; false if it is damaged.
#[wasm_bindgen(js_name = loadPrices)]
pub fn load_prices(table: String) -> bool {
    PriceTable::load(table)
}

/// A configuration with its compiled rules and its series.
#[wasm_bindgen]
pub struct Core {
    observer: Rc<exchange::Observer>,
    samples: Rc<RefCell<JsonSamples>>,
}

#[wasm_bindgen]
impl Core {
    /// Reads a configuration; what is wrong is thrown as a string, with its path.
    #[wasm_bindgen(constructor)]
    pub fn new(config: &str) -> Result<Core, String> {
        let config = Config::parse(config).map_err(|error| error.to_string())?;
        Ok(Core { observer: Rc::new(exchange::Observer::new(config)), samples: Rc::default() })
    }

    /// Begins an exchange; undefined where it is not LLM traffic. A head is lines: a name, its value, the next name, ...;
    /// `:method`, `:authority` and `:path` first.
    pub fn start(&self, head: &str, now: f64) -> Option<Exchange> {
        let inner = exchange::Exchange::start(&self.observer, Head(&pairs(head)), nanos(now))?;
        Some(Exchange { inner, observer: Rc::clone(&self.observer), samples: Rc::clone(&self.samples) })
    }
}

/// One exchange being read.
#[wasm_bindgen]
pub struct Exchange {
    inner: exchange::Exchange,
    observer: Rc<exchange::Observer>,
    samples: Rc<RefCell<JsonSamples>>,
}

#[wasm_bindgen]
impl Exchange {
    /// Names the route.
    pub fn route(&mut self, name: &str) {
        self.inner.route(name);
    }

    /// Bytes of the request's body.
    #[wasm_bindgen(js_name = requestBody)]
    pub fn request_body(&mut self, bytes: &[u8]) {
        self.inner.request_body(bytes);
    }

    /// The request is whole.
    #[wasm_bindgen(js_name = requestEnd)]
    pub fn request_end(&mut self, now: f64) {
        self.inner.request_end(nanos(now));
    }

    /// The response's head, `:status` first.
    pub fn response(&mut self, head: &str, now: f64) {
        self.inner.response(Head(&pairs(head)), nanos(now));
    }

    /// Bytes of the response's body.
    #[wasm_bindgen(js_name = responseBody)]
    pub fn response_body(&mut self, bytes: &[u8], now: f64) {
        self.inner.response_body(bytes, nanos(now));
    }

    /// The exchange is over: `client_disconnect`, `upstream_reset`, `timeout`, `local_reply`, anything else is a whole answer.
    pub fn finish(&mut self, end: &str, now: f64) {
        let end = match end {
            "client_disconnect" => End::ClientDisconnect,
            "upstream_reset" => End::UpstreamReset,
            "timeout" => End::Timeout,
            "local_reply" => End::LocalReply,
            _ => End::Whole,
        };
        self.inner.finish(end, nanos(now));
    }

    /// Whether this is LLM traffic, as far as it was read.
    #[wasm_bindgen(js_name = isRecognised)]
    pub fn is_recognised(&self) -> bool {
        self.inner.is_recognised()
    }

    /// What is known: an object of attributes as JSON.
    pub fn attributes(&self) -> String {
        json::attributes(self.inner.observation(), self.observer.config.compat.cache_attribute)
    }

    /// What an exchange that is over counts: an array of samples as JSON. Asking twice counts twice against the limit of series.
    pub fn samples(&self) -> String {
        let samples = self.samples.try_borrow_mut();
        samples.map(|mut samples| samples.of(self.inner.observation(), &self.observer.config)).unwrap_or_default()
    }
}

fn pairs(head: &str) -> Vec<(&[u8], &[u8])> {
    let mut lines = head.split('\n').map(str::as_bytes);
    core::iter::from_fn(|| lines.next().zip(lines.next())).collect()
}

/// A clock set before 1970 reads 0.
fn nanos(milliseconds: f64) -> u64 {
    (milliseconds * 1e6) as u64
}
