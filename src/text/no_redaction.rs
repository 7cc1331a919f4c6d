//! Replaces `redaction` in builds without the feature `capture`. They cannot redact texts, so they do not report any.

use serde_json::Value;

use crate::config::value::ConfigError;

/// A type without values: there is no redaction in this build.
#[derive(Clone, Debug)]
pub enum Redaction {}

impl Redaction {
    /// Returns an error.
    ///
    /// # Errors
    /// Always, because this build cannot report texts.
    pub fn new(_: Option<&Value>) -> Result<Self, ConfigError> {
        Err(ConfigError::new("privacy.capture", "this build reports no words: build it with the feature `capture`"))
    }

    /// Cannot be called, because there is no value of this type.
    pub fn apply(&self, _: &str) -> String {
        match *self {}
    }
}
