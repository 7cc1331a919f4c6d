//! Detects missing host features; logs each once per VM. The plugin requires none of them: it leaves out what depends on a
//! missing one.

use std::cell::Cell;

use super::host;
use super::memory::Memory;

/// Clock readings after which a working clock must have advanced. Envoy's advances every microsecond, within seven readings.
const READINGS: usize = 1000;

/// Logs the features whose absence shows at start. `metrics`: a metric was defined. `timer`: a tick period was set. `secret`: there
/// is a key for the hashes of callers.
pub fn log_missing_at_start(metrics: bool, timer: bool, secret: bool) {
    let properties = host::has_property("plugin_root_id");
    let shared_data = Memory::is_kept();
    let features: [(bool, &str); 6] = [
        (metrics, "metrics (nothing is counted)"),
        (clock_advances(), "a clock (no durations are reported)"),
        (properties, "properties (the route, its settings and who ended a stream are unknown)"),
        (timer, "timers (abandoned runs and stalled streams are not counted, spans are not sent)"),
        (shared_data, "shared data (durations of tools are unknown)"),
        (secret || !shared_data, "random numbers (durations of tools are unknown)"),
    ];
    let missing: Vec<_> = features.iter().filter(|(present, _)| !present).map(|(_, what)| *what).collect();
    if !missing.is_empty() {
        log::warn!("this host lacks {}", missing.join(", "));
    }
}

/// A feature whose absence shows only with traffic.
#[derive(Clone, Copy)]
pub enum Missing {
    /// The headers of a request cannot be read.
    RequestHeaders,
    /// An attribute cannot be written to the filter state.
    FilterState,
    /// A complete response had neither a body callback nor an end of stream.
    ResponseBodies,
}

/// Logs that a feature is missing, the first time that this VM notices it.
pub fn log_once(missing: Missing) {
    thread_local! {
        static LOGGED: Cell<u8> = const { Cell::new(0) };
    }
    let bit = 1 << missing as u8;
    if LOGGED.replace(LOGGED.get() | bit) & bit == 0 {
        let message = match missing {
            Missing::RequestHeaders => "this host shows no request headers: no call is recognised",
            Missing::FilterState => "this host stores no properties: there are no attributes, only metrics",
            Missing::ResponseBodies => "this host shows no response bodies: tokens and cost are unknown",
        };
        log::warn!("{message}");
    }
}

fn clock_advances() -> bool {
    let start = host::now();
    start > 0 && (0..READINGS).any(|_| host::now() != start)
}
