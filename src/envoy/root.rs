//! The root context: reads the configuration, creates the contexts of streams and does the periodic work.

use std::cell::{BorrowMutError, Cell, OnceCell, RefCell, RefMut};
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::asked::AwaitedCalls;
use super::conversations::Conversations;
use super::early::EarlyCalls;
use super::export::Export;
use super::holding::Holding;
use super::memory::Memory;
use super::metrics::HostMetrics;
use super::resumable::Resumable;
use super::rpc_paths::RpcPaths;
use super::secret::secret;
use super::shared::Shared;
use super::stream::Stream;
use super::{capabilities, filter_state, host, redirect, role, series_list, socket, worker_metrics};
use crate::budget::Budget;
use crate::config::{Config, ConfigError, IfInvalid};
use crate::exchange::Observer;
use crate::signal::memory::WaitingRuns;
use crate::signal::stalls::OpenStreams;
use crate::sink::attributes::Selection;
use crate::sink::stats::{PRICE_TABLE, Registry, Stats};

/// Milliseconds between two ticks.
pub const TICK: u32 = 1000;
/// The same while a request is held and the host has not shown if it can hold headers.
pub const SHORT_TICK: u32 = 100;
/// Number of abandoned runs, and of stalled streams, after which a tick leaves the others to the next. Bounds the duration of a tick.
const COUNTED_PER_TICK: usize = 256;

thread_local! {
    /// The memory that the streams of the VM share.
    static BUDGET: Rc<Budget> = Rc::default();
    /// The metric series of the VM. They outlive a configuration, as Envoy's do: a reload must not lift the limit of series.
    static STATS: Rc<RefCell<Stats>> = {
        series_list::create();
        series_list::define_new();
        Rc::new(RefCell::new(Stats::new(host::now())))
    };
    /// The agent runs whose next request this worker waits for.
    static WAITING: Rc<RefCell<WaitingRuns>> = Rc::default();
    /// The open streams of this worker.
    static STREAMS: Rc<RefCell<OpenStreams>> = Rc::default();
}

/// One configuration of the plugin in one VM.
pub struct Root {
    id: u32,
    shared: Option<Rc<Shared>>,
    /// The configuration was replaced, and its last spans are being sent.
    is_leaving: bool,
}

impl Root {
    /// A root context without a configuration.
    pub fn new(id: u32) -> Self {
        Root { id, shared: None, is_leaving: false }
    }

    fn export(&self) -> Option<Result<RefMut<'_, Export>, BorrowMutError>> {
        self.shared.as_ref()?.export.as_ref().map(RefCell::try_borrow_mut)
    }

    /// Lets the host delete this root if it waits only for that.
    fn leave(&mut self) {
        if self.is_leaving && self.export().is_none_or(|export| export.is_ok_and(|mut export| export.is_closed())) {
            self.is_leaving = false;
            host::done();
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _: usize, body_size: usize, _: usize) {
        if let Some(Ok(mut export)) = self.export() {
            export.on_response(token, body_size);
        }
        self.leave();
    }

    fn on_done(&mut self) -> bool {
        if let Some(shared) = &self.shared {
            shared.resumable.report_all(shared);
            shared.early.report_all(shared);
        }
        let is_closed = match self.export() {
            Some(Ok(mut export)) => export.close(),
            _ => true,
        };
        self.is_leaving = !is_closed;
        if self.is_leaving {
            host::set_tick(SHORT_TICK);
        }
        is_closed
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        match read_configuration(&configuration) {
            Ok((config, selection)) => {
                self.shared = Some(Rc::new(start(config, selection)));
                true
            }
            Err(error) => {
                log::error!("{error}");
                let passes = IfInvalid::of(&String::from_utf8_lossy(&configuration)) == IfInvalid::Pass;
                if passes {
                    log::error!("all calls pass unread until the setting is corrected");
                }
                passes
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(id, self.shared.clone())))
    }

    fn on_tick(&mut self) {
        if self.is_leaving {
            return self.leave();
        }
        let Some(shared) = &self.shared else { return };
        if shared.stats.is_some() {
            series_list::define_new();
        }
        worker_metrics::renew_number();
        socket::keep_gauge();
        shared.asked.refresh();
        shared.resumable.report(shared);
        shared.early.report(shared);
        shared.report_abandoned_runs(COUNTED_PER_TICK);
        STREAMS.with(|streams| shared.report_stalls(streams, COUNTED_PER_TICK));
        if let Some(Ok(mut export)) = self.export() {
            export.send();
        }
        // Both act for streams: calls of the root come before, or after its context is set again.
        shared.holding.release_stuck(host::now());
        shared.answer_stuck_submissions();
        let _ = hostcalls::set_effective_context(self.id);
        shared.set_tick();
    }
}

fn read_configuration(bytes: &[u8]) -> Result<(Config, Selection), String> {
    let text =
        core::str::from_utf8(bytes).map_err(|_| "configuration is not UTF-8; give JSON in a StringValue".to_owned())?;
    let read = || {
        let config = Config::parse(text)?;
        let selection = Selection::of(&config.filter_state)?;
        Ok((config, selection))
    };
    read().map_err(|error: ConfigError| error.to_string())
}

/// Prepares what the streams of a configuration share, and logs which features the host does not have.
fn start(config: Config, selection: Selection) -> Shared {
    role::declare();
    redirect::declare();
    filter_state::declare();
    let gauge = HostMetrics.define(&PRICE_TABLE, &[]);
    if let Some(gauge) = gauge {
        HostMetrics.emit(&PRICE_TABLE, gauge, config.prices.date());
    }
    let stats = config.stats.then(|| STATS.with(Rc::clone));
    let memory = Memory::new(config.agent.slots);
    let conversations = Conversations::new(config.agent.conversations);
    let secret = secret();
    let has_secret = secret.is_some();
    let export = Export::new(&config.otlp).map(RefCell::new);
    let alone = Observer::with_budget(config, BUDGET.with(Rc::clone)).watching(STREAMS.with(Rc::clone));
    let observer = match secret {
        Some(secret) => alone.sharing(secret),
        None => alone,
    };
    let shared = Shared {
        memory,
        conversations,
        export,
        observer: Rc::new(observer),
        routes: RefCell::default(),
        stats,
        selection,
        waiting: WAITING.with(Rc::clone),
        holding: Holding::default(),
        submissions: RefCell::default(),
        is_tick_short: Cell::new(false),
        expects_llm_traffic: Cell::new(false),
        asked: AwaitedCalls::default(),
        early: EarlyCalls::default(),
        resumable: Resumable::default(),
        rpc_paths: RpcPaths::default(),
        rpc_programs: OnceCell::new(),
    };
    capabilities::log_missing_at_start(gauge.is_some(), host::set_tick(TICK), has_secret);
    shared
}
