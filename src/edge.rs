//! The JavaScript shell: edge runtimes, servers and browsers pass bytes to an [`Exchange`](exchange::Exchange) and get JSON.
//!
//! The JavaScript part in `edge/` handles requests, streams and callbacks. Times are milliseconds since 1970.

// wasm_bindgen's exports are unsafe functions.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::prelude::wasm_bindgen;

use crate::config::Config;
use crate::exchange::{self, End, Head, LOCAL_REPLY};
use crate::signal::cost::PriceTable;
use crate::sink::attributes::Selection;
use crate::sink::json::{self, JsonSamples};

/// Sets the price table, before the first [`Core`]. Returns false if it is damaged.
#[wasm_bindgen(js_name = loadPrices)]
pub fn load_prices(table: String) -> bool {
    PriceTable::load(table)
}

/// A configuration, its compiled rules and its metric series.
#[wasm_bindgen]
pub struct Core {
    observer: Rc<exchange::Observer>,
    samples: Rc<RefCell<JsonSamples>>,
}

#[wasm_bindgen]
impl Core {
    /// Reads a configuration. An error is thrown as a string with the path of the key.
    #[wasm_bindgen(constructor)]
    pub fn new(config: &str) -> Result<Core, String> {
        let config = Config::parse(config).map_err(|error| error.to_string())?;
        // The setting has no effect here. A wrong name in it is an error everywhere.
        Selection::of(&config.filter_state).map_err(|error| error.to_string())?;
        Ok(Core { observer: Rc::new(exchange::Observer::new(config)), samples: Rc::default() })
    }

    /// Starts an exchange. Returns undefined if it is not LLM traffic, or a WebSocket. A head consists of lines: a name, its value, the next
    /// name, ..., with `:method`, `:scheme`, `:authority` and `:path` first.
    pub fn start(&self, head: &str, now: f64) -> Option<JsExchange> {
        let inner = exchange::Exchange::start(&self.observer, Head(&pairs(head)), nanos(now))?;
        // Frames do not pass here, and a response that the package copied would lose its WebSocket.
        if inner.is_upgrade() {
            return None;
        }
        Some(JsExchange { inner, observer: Rc::clone(&self.observer), samples: Rc::clone(&self.samples) })
    }
}

/// One exchange.
#[wasm_bindgen(js_name = Exchange)]
pub struct JsExchange {
    inner: exchange::Exchange,
    observer: Rc<exchange::Observer>,
    samples: Rc<RefCell<JsonSamples>>,
}

#[wasm_bindgen(js_class = Exchange)]
impl JsExchange {
    /// Sets the name of the route.
    pub fn route(&mut self, name: &str) {
        self.inner.route(name);
    }

    /// Reads bytes of the request's body.
    #[wasm_bindgen(js_name = requestBody)]
    pub fn request_body(&mut self, bytes: &[u8]) {
        self.inner.request_body(bytes);
    }

    /// Ends the request.
    #[wasm_bindgen(js_name = requestEnd)]
    pub fn request_end(&mut self, now: f64) {
        self.inner.request_end(nanos(now));
    }

    /// Reads the response's head, with `:status` first.
    pub fn response(&mut self, head: &str, now: f64) {
        self.inner.response(Head(&pairs(head)), nanos(now));
    }

    /// Reads bytes of the response's body.
    #[wasm_bindgen(js_name = responseBody)]
    pub fn response_body(&mut self, bytes: &[u8], now: f64) {
        self.inner.response_body(bytes, nanos(now));
    }

    /// Ends the exchange: `client_disconnect`, `upstream_reset`, `timeout` or `local_reply`. Any other text is a complete answer.
    pub fn finish(&mut self, end: &str, now: f64) {
        let end = match end {
            "client_disconnect" => End::ClientDisconnect,
            "upstream_reset" => End::UpstreamReset,
            "timeout" => End::Timeout,
            "local_reply" => {
                self.inner.answered_locally();
                End::LocalReply(LOCAL_REPLY)
            }
            _ => End::Whole,
        };
        self.inner.finish(end, nanos(now));
    }

    /// Returns true if the bytes so far are LLM traffic.
    #[wasm_bindgen(js_name = isRecognised)]
    pub fn is_recognised(&self) -> bool {
        self.inner.is_recognised()
    }

    /// The known attributes, as a JSON object.
    pub fn attributes(&mut self) -> String {
        self.inner.settle_cost();
        json::attributes(self.inner.observation(), self.observer.config.compat.cache_attribute)
    }

    /// The samples of an exchange that has ended, as a JSON array. Each call returns all of them again.
    pub fn samples(&self) -> String {
        let samples = self.samples.try_borrow_mut();
        samples.map(|mut samples| samples.of(self.inner.observation(), &self.observer.config)).unwrap_or_default()
    }
}

fn pairs(head: &str) -> Vec<(&[u8], &[u8])> {
    let mut lines = head.split('\n').map(str::as_bytes);
    core::iter::from_fn(|| lines.next().zip(lines.next())).collect()
}

/// Milliseconds as nanoseconds. A time before 1970 is 0.
fn nanos(milliseconds: f64) -> u64 {
    (milliseconds * 1e6) as u64
}
