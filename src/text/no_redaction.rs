//! Replaces the module `redaction` if the feature `capture` is off: then no captured text is reported.

use serde_json::Value;

use crate::config::value::ConfigError;

/// Has no values, because this build cannot redact.
#[derive(Debug)]
pub enum Redaction {}

impl Redaction {
    /// Refuses every configuration that needs redaction.
    ///
    /// # Errors
    /// Always: this build reports no captured text.
    pub fn new(_: Option<&Value>) -> Result<Self, ConfigError> {
        Err(ConfigError::new(
            "privacy.capture",
            "this build reports no captured text: build it with the feature `capture`",
        ))
    }

    /// Cannot be called, because there is no value of this type.
    pub fn apply_before(&self, _: &str, _: usize) -> String {
        match *self {}
    }
}
