//! What a host cannot do. The plugin needs none of it: what rests on it is left out, and said once in each VM's log.

use std::cell::Cell;

use super::host;
use super::memory::Memory;

/// Readings of the clock until it must have moved; Envoy's moves every microsecond, which is seven.
const READINGS: usize = 1000;

/// Logs what shows at start. `metrics`: a metric was defined; `timer`: a tick was asked for.
pub fn at_start(metrics: bool, timer: bool) {
    let properties = host::property("plugin_root_id").is_some();
    let tries: [(bool, &str); 5] = [
        (metrics, "metrics (nothing is counted)"),
        (clock_moves(), "a clock (no times are told)"),
        (properties, "properties (the route, its settings and who broke off are unknown)"),
        (timer, "timers (abandoned runs are not counted, spans not sent)"),
        (Memory::is_kept(), "shared data (durations of tools are unknown)"),
    ];
    let lacks: Vec<_> = tries.iter().filter(|(there, _)| !there).map(|(_, what)| *what).collect();
    if !lacks.is_empty() {
        host::log_warning(&format!("gaugeway: this host lacks {}", lacks.join(", ")));
    }
}

/// What shows only with traffic.
#[derive(Clone, Copy)]
pub enum Lack {
    /// A stream's head could not be read.
    Headers,
    /// An attribute could not be written.
    FilterState,
    /// A whole response came without a body or its end.
    ResponseBodies,
}

/// Logs it, the first time.
pub fn notice(lack: Lack) {
    thread_local! {
        static SAID: Cell<u8> = const { Cell::new(0) };
    }
    let bit = 1 << lack as u8;
    if SAID.replace(SAID.get() | bit) & bit == 0 {
        host::log_warning(match lack {
            Lack::Headers => "gaugeway: this host shows no headers of requests: no call is recognised",
            Lack::FilterState => "gaugeway: this host takes no properties: there are no attributes, only metrics",
            Lack::ResponseBodies => "gaugeway: this host shows no bodies of responses: tokens and cost are unknown",
        });
    }
}

fn clock_moves() -> bool {
    let start = host::now();
    start > 0 && (0..READINGS).any(|_| host::now() != start)
}
