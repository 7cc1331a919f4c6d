//! Reads JSON values of the configuration, and the error that says which key is wrong.

use core::fmt;
use core::ops::RangeInclusive;

use serde_json::{Map, Value};

/// An error in a configuration, with the path of the key.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigError {
    path: String,
    what: String,
}

impl ConfigError {
    /// The error `what` at `path`. An empty path means the whole configuration.
    pub fn new(path: &str, what: impl Into<String>) -> Self {
        ConfigError { path: path.to_owned(), what: what.into() }
    }

    /// The key `key` does not exist in the object at `path`, which has the keys `known`.
    pub fn unknown(path: &str, key: &str, known: &[&str]) -> Self {
        let at = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        ConfigError::new(&at, format!("unknown key; known here: {}", known.join(", ")))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { write!(f, "{}", self.what) } else { write!(f, "{}: {}", self.path, self.what) }
    }
}

impl std::error::Error for ConfigError {}

/// The members of the object at `path`.
///
/// # Errors
/// The value is not an object.
pub fn object<'v>(path: &str, value: &'v Value) -> Result<&'v Map<String, Value>, ConfigError> {
    value.as_object().ok_or_else(|| ConfigError::new(path, "must be an object"))
}

/// The string at `path`.
///
/// # Errors
/// The value is not a string.
pub fn text<'v>(path: &str, value: &'v Value) -> Result<&'v str, ConfigError> {
    value.as_str().ok_or_else(|| ConfigError::new(path, "must be a string"))
}

/// The whole number at `path`.
///
/// # Errors
/// The value is not a whole number, or is out of range.
pub fn whole(path: &str, value: &Value, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
    let wrong = || format!("must be a whole number from {} to {}", range.start(), range.end());
    value.as_u64().filter(|n| range.contains(n)).ok_or_else(|| ConfigError::new(path, wrong()))
}
