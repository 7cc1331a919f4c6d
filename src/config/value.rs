//! Reads values of the configuration and names what is wrong with them.

use core::fmt;
use core::ops::RangeInclusive;

use serde_json::{Map, Value};

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigError {
    path: String,
    what: String,
}

impl ConfigError {
    /// At `path`, `what` is wrong.
    pub fn new(path: &str, what: impl Into<String>) -> Self {
        ConfigError { path: path.to_owned(), what: what.into() }
    }

    /// A word that is none of those possible.
    pub fn choice(path: &str, words: &[&str]) -> Self {
        ConfigError::new(path, format!("must be `{}`", words.join("` or `")))
    }

    /// A key that does not exist below `path`.
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

/// The members of an object, or the error that there is none at `path`.
pub fn object<'v>(path: &str, value: &'v Value) -> Result<&'v Map<String, Value>, ConfigError> {
    value.as_object().ok_or_else(|| ConfigError::new(path, "must be an object"))
}

/// A string, or the error that there is none at `path`.
pub fn text<'v>(path: &str, value: &'v Value) -> Result<&'v str, ConfigError> {
    value.as_str().ok_or_else(|| ConfigError::new(path, "must be a string"))
}

/// A whole number within a range.
pub fn whole(path: &str, value: &Value, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
    let wrong = || format!("must be a whole number from {} to {}", range.start(), range.end());
    value.as_u64().filter(|n| range.contains(n)).ok_or_else(|| ConfigError::new(path, wrong()))
}

/// One of a few words.
pub fn one_of<T: Copy>(path: &str, value: &Value, words: &[(&str, T)]) -> Result<T, ConfigError> {
    let found = words.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, meaning)| *meaning);
    found.ok_or_else(|| ConfigError::choice(path, &words.iter().map(|(word, _)| *word).collect::<Vec<_>>()))
}
