//! What all exchanges of a configuration share.

use std::cell::RefCell;
use std::rc::Rc;

use super::memory;
use crate::budget::Budget;
use crate::config::{Config, ConfigError};
use crate::framing::Body;
use crate::provider::{self, Callers, Programs};
use crate::signal::stalls::OpenStreams;
use crate::text::hash::Key;

/// What all exchanges of a configuration share: the configuration, the compiled rules and the VM's memory budget.
pub struct Observer {
    /// The configuration.
    pub config: Config,
    pub(super) programs: Rc<[Programs]>,
    /// The memory that the streams of the VM share.
    pub budget: Rc<Budget>,
    /// Memory that an exchange reserves when it starts, in bytes.
    charge: usize,
    /// Hashes callers and the keys of remembered tool calls. None if exchanges share nothing.
    pub(super) callers: Option<Rc<Callers>>,
    /// The open streams of the worker. None if nothing searches for stalls.
    pub(super) streams: Option<Rc<RefCell<OpenStreams>>>,
}

impl Observer {
    /// Compiles the rules. The observer has a budget of its own.
    pub fn new(config: Config) -> Self {
        Observer::with_budget(config, Rc::default())
    }

    /// Compiles the rules. All observers of a VM share one budget. Its limit is set to the one of this configuration.
    pub fn with_budget(config: Config, budget: Rc<Budget>) -> Self {
        budget.set_limit(config.limits.stream_memory_bytes as usize);
        let (programs, charge) = (provider::compile(config.privacy.hash).into(), memory::charge(&config));
        Observer { programs, config, budget, charge, callers: None, streams: None }
    }

    /// This observer for a host on which exchanges share the tool calls of agents. `secret`: a key that no client can know.
    pub fn sharing(self, secret: Rc<Key>) -> Self {
        Observer { callers: Some(Rc::new(Callers::new(secret))), ..self }
    }

    /// This observer for a host that searches `streams` for stalls, unless `streams.stalled_after` is 0.
    pub fn watching(self, streams: Rc<RefCell<OpenStreams>>) -> Self {
        Observer { streams: Some(streams).filter(|_| self.config.streams.stalled_after > 0), ..self }
    }

    /// This observer with the settings of a route.
    ///
    /// # Errors
    /// As [`Config::on_route`].
    pub fn on_route(&self, text: &str) -> Result<Self, ConfigError> {
        let (programs, budget) = (Rc::clone(&self.programs), Rc::clone(&self.budget));
        let config = self.config.on_route(text)?;
        let charge = memory::charge(&config);
        let (callers, streams) = (self.callers.clone(), self.streams.clone());
        Ok(Observer { config, programs, budget, charge, callers, streams })
    }

    /// Returns true if it depends on its address whether an exchange gets memory.
    pub fn is_crowded(&self) -> bool {
        self.budget.is_crowded(self.charge + Body::ENVELOPE_BOUND)
    }

    /// Memory that an exchange at this endpoint reserves when it starts, in bytes.
    pub(super) fn charge_at(&self, endpoint: usize) -> usize {
        let is_enveloped = self.programs.get(endpoint).is_some_and(|programs| programs.envelope.is_some());
        self.charge + if is_enveloped { Body::ENVELOPE_BOUND } else { 0 }
    }
}
