//! A WebSocket that passes Envoy: its responses are reported as they end, and the connection in the filter state.

use std::cell::Cell;

use proxy_wasm::hostcalls;

use super::filter_state::Written;
use super::metrics::HostMetrics;
use super::shared::Shared;
use super::{answer, host, room, worker_metrics};
use crate::budget::Side;
use crate::exchange::{End, Exchange, Head};
use crate::observation::Changes;
use crate::session::{Session, SessionEvent};
use crate::sink::stats::{Registry, SESSIONS};

thread_local! {
    /// The gauge of open sessions. Each definition takes memory in Envoy, so it is defined once.
    static GAUGE: Cell<Option<u32>> = const { Cell::new(None) };
    /// Number of open sessions of this worker.
    static OPEN: Cell<u64> = const { Cell::new(0) };
}

/// Returns true if the head of the response agrees to speak over the WebSocket that the exchange asks for. Envoy shows the answer
/// 200 of HTTP/2 as 101.
pub fn is_agreed(exchange: &Exchange, head: Head<'_>) -> bool {
    exchange.is_upgrade() && head.bytes(":status") == Some(b"101")
}

/// A WebSocket that is read.
pub struct Socket {
    session: Session,
}

impl Socket {
    /// The server's answer has this head. One that cannot be read is counted.
    pub fn start(exchange: Exchange, head: Head<'_>) -> Option<Self> {
        let template = exchange.into_template()?;
        match Session::start(template, head.whole("sec-websocket-extensions")) {
            Ok(session) => {
                count(1);
                Some(Socket { session })
            }
            Err(unread) => {
                room::count(unread);
                None
            }
        }
    }

    /// Reads bytes from the client or the server.
    pub fn read(&mut self, shared: &Shared, written: &mut Written, side: Side, bytes: &[u8]) {
        let mut has_ended = false;
        self.session.push(side, bytes, host::now(), &mut |event| has_ended |= handle(shared, event));
        if has_ended {
            self.write(shared, written);
        }
    }

    /// The connection has ended.
    pub fn close(&mut self, shared: &Shared, written: &mut Written) {
        let details = answer::details();
        let end = if details.is_empty() { End::Whole } else { End::from_details(&details, None) };
        self.session.close(end, host::now(), &mut |event| _ = handle(shared, event));
        self.write(shared, written);
    }

    /// Writes the sums of the responses that have ended.
    fn write(&self, shared: &Shared, written: &mut Written) {
        let changes = Changes { request: true, first_token: true, usage: true, asks: false, end: true };
        let names = self.session.template().observer().config.compat.cache_attribute;
        written.write(&shared.selection, (self.session.sums(), names), changes, true);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        count(-1);
    }
}

/// Reports what a session tells. Returns true if a response has ended.
fn handle(shared: &Shared, event: SessionEvent<'_>) -> bool {
    match event {
        SessionEvent::Changed(exchange) => {
            let changes = exchange.changes();
            shared.share(exchange, changes);
            if changes.end {
                shared.report(exchange);
            }
            changes.end
        }
        SessionEvent::Unread(unread) => {
            room::count(unread);
            false
        }
    }
}

/// Keeps the gauge in OTLP, which forgets series that do not change.
pub fn keep_gauge() {
    if OPEN.get() > 0 {
        worker_metrics::add(&SESSIONS, &[], OPEN.get());
    }
}

/// Adds to the number of open sessions. The workers share Envoy's gauge, and each has one of its own in OTLP.
fn count(more: i64) {
    let open = OPEN.get().saturating_add_signed(more);
    OPEN.set(open);
    GAUGE.set(GAUGE.get().or_else(|| HostMetrics.define(&SESSIONS, &[])));
    if let Some(gauge) = GAUGE.get() {
        // An error means that the host does not know the gauge.
        let _ = hostcalls::increment_metric(gauge, more);
    }
    worker_metrics::add(&SESSIONS, &[], open);
}
