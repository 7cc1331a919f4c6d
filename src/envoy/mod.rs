//! The shell for Envoy: feeds what the host's callbacks bring to an [`Exchange`](crate::exchange::Exchange) and passes on
//! what it learns.
//!
//! Every callback continues at once and changes nothing, but for what [`inject`] does where it is asked to. Host calls that
//! return data cost most (1-4 us each): what one tells is not asked for again.

mod exports;
mod feedback;
mod host;
mod inject;
mod lacks;
mod memory;
mod shared;
mod spans;
mod stream;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::budget::Budget;
use crate::config::Config;
use crate::exchange::Observer;
use crate::signal::memory::Queue;
use crate::sink::stats::{Kind, PRICE_TABLE, Registry, Stats};
use host::Buffer;
use inject::Holding;
use memory::Memory;
use shared::Shared;
use spans::Spans;
use stream::Stream;

/// One configuration of the plugin in one VM.
#[derive(Default)]
struct Plugin {
    shared: Option<Rc<Shared>>,
}

thread_local! {
    /// The VM's series. They outlive a configuration, as Envoy's do, so that no reload lifts their limit.
    static STATS: Rc<RefCell<Stats>> = Rc::new(RefCell::new(Stats::new(host::now())));
    /// The memory that this VM's streams share.
    static BUDGET: Rc<Budget> = Rc::default();
    /// The runs this worker waits for.
    static WAITING: Rc<RefCell<Queue>> = Rc::default();
}

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
                    observer: Rc::new(Observer::with_budget(config, BUDGET.with(Rc::clone))),
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
        Stream::new(id, self.shared.clone())
    }
}

/// The host that keeps the series.
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
