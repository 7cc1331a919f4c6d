//! What all exchanges of a configuration share.

use std::rc::Rc;

use crate::budget::Budget;
use crate::config::{Config, ConfigError};
use crate::provider::{self, Programs};

/// What all exchanges of a configuration share: the configuration, the compiled rules and the VM's memory budget.
pub struct Observer {
    /// The configuration.
    pub config: Config,
    pub(super) programs: Rc<[Programs]>,
    pub(super) budget: Rc<Budget>,
}

impl Observer {
    /// Compiles the rules. The observer has a budget of its own.
    pub fn new(config: Config) -> Self {
        Observer::with_budget(config, Rc::default())
    }

    /// Compiles the rules. All observers of a VM share one budget. Its limit is set to the one of this configuration.
    pub fn with_budget(config: Config, budget: Rc<Budget>) -> Self {
        budget.set_limit(config.limits.stream_memory_bytes as usize);
        Observer { programs: provider::compile(config.privacy.hash).into(), config, budget }
    }

    /// This observer with the settings of a route.
    ///
    /// # Errors
    /// As [`Config::on_route`].
    pub fn on_route(&self, text: &str) -> Result<Self, ConfigError> {
        let (programs, budget) = (Rc::clone(&self.programs), Rc::clone(&self.budget));
        Ok(Observer { config: self.config.on_route(text)?, programs, budget })
    }
}
