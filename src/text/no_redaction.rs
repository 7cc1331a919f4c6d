//! Stands for `redaction` where it is not built in: then no words are reported either.

use serde_json::Value;

use crate::config::value::ConfigError;

/// Nothing, as there is none.
#[derive(Clone, Debug)]
pub enum Redaction {}

impl Redaction {
    /// # Errors
    /// Always: this build reports no words.
    pub fn new(_: Option<&Value>) -> Result<Self, ConfigError> {
        Err(ConfigError::new("privacy.capture", "this build reports no words: build it with the feature `capture`"))
    }

    /// Never called.
    pub fn apply(&self, _: &str) -> String {
        match *self {}
    }
}
