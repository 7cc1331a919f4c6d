//! Which of several instances reports a stream: the first of a listener's filter chain, else the one in the cluster's.
//!
//! Filter state marks a stream that an instance of a listener reports. The mark is declared as read-only: Envoy refuses to set
//! it again, so that the first instance of a chain needs no host call to find out that it is the first. The mark has the life
//! span of the filter chain: a stream that is redirected internally passes the chain again, without the mark.

use std::cell::Cell;

use super::capabilities::{self, Missing};
use super::host::{self, LifeSpan};

/// Filter state that is set if an instance of the listener reports the exchange.
const LISTENER: &str = "gaugeway.listener";

/// Declares the mark. Called by the root context: Envoy ignores declarations of streams.
pub fn declare() {
    host::declare_property(LISTENER, true, LifeSpan::FilterChain);
}

/// Marks the stream as reported. Returns false if another instance has marked it.
pub fn claim() -> bool {
    if host::set_property(LISTENER, "true") {
        return true;
    }
    if !is_claimed() {
        capabilities::log_once(Missing::FilterState);
        return true;
    }
    thread_local! {
        static LOGGED: Cell<bool> = const { Cell::new(false) };
    }
    if !LOGGED.replace(true) {
        log::warn!("this instance reports nothing where an instance before it in the filter chain reports the call");
    }
    false
}

/// Returns true if an instance of the listener reports the stream.
pub fn is_claimed() -> bool {
    host::property(LISTENER).is_some()
}
