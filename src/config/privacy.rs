//! What becomes of words: which are hashed, with which key, and how a conversation is told by its beginning.
//!
//! Spec: FIPS 180-4 (SHA-256), RFC 2104 (HMAC). Bound: of the beginning, [`OPENING`] bytes of each message are hashed.

use std::rc::Rc;

use super::value::{ConfigError, object, one_of, text};
use crate::text::hash::{Hashes, Key};
use crate::text::redaction::Redaction;
use serde_json::Value;

/// Which calls' words are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Capture {
    /// None.
    #[default]
    Off,
    /// All.
    Truncated,
    /// Those of a share of traces.
    Sampled,
}

impl Capture {
    /// The words of `privacy.capture`.
    pub const WORDS: [(&'static str, Capture); 3] =
        [("off", Capture::Off), ("truncated", Capture::Truncated), ("sampled", Capture::Sampled)];
}

/// What becomes of words.
#[derive(Clone, Debug)]
pub struct Privacy {
    /// `privacy.key`: makes hashes of HMAC-SHA-256 instead of SHA-256; empty for none.
    pub key: Option<Rc<Key>>,
    /// `privacy.hash`
    pub hash: Hashes,
    /// `privacy.capture`: whose words are reported.
    pub capture: Capture,
    /// `privacy.sample`: the share of traces whose words are, where they are sampled; 0 to 1.
    pub sample: f64,
    /// What is taken out of them, `privacy.redact` included; None where none are reported.
    pub redaction: Option<Rc<Redaction>>,
}

impl Default for Privacy {
    fn default() -> Self {
        Privacy { key: None, hash: Hashes::default(), capture: Capture::Off, sample: 0.01, redaction: None }
    }
}

const KEYS: &[&str] = &["capture", "hash", "key", "redact", "sample"];

/// Names of [`Hashes`], as `privacy.hash` lists them.
const HASHES: [&str; 6] = ["conversation", "last_message", "prompt", "response", "system", "tools"];

impl Privacy {
    /// Reads `privacy`.
    ///
    /// # Errors
    /// An unknown key or name, a value of the wrong type.
    pub fn read(&mut self, value: &Value) -> Result<(), ConfigError> {
        let mut redact = None;
        for (key, value) in object("privacy", value)? {
            match key.as_str() {
                "capture" => self.capture = one_of("privacy.capture", value, &Capture::WORDS)?,
                "redact" => redact = Some(value),
                "sample" => {
                    let share = value.as_f64().filter(|share| (0.0..=1.0).contains(share));
                    self.sample =
                        share.ok_or_else(|| ConfigError::new("privacy.sample", "must be a number from 0 to 1"))?;
                }
                "key" => {
                    let key = text("privacy.key", value)?;
                    self.key = (!key.is_empty()).then(|| Rc::new(Key::new(key.as_bytes())));
                }
                "hash" => self.hash = hashes(value)?,
                _ => return Err(ConfigError::unknown("privacy", key, KEYS)),
            }
        }
        if self.capture != Capture::Off || redact.is_some_and(|own| *own != Value::Array(Vec::new())) {
            self.redaction = Some(Rc::new(Redaction::new(redact)?));
        }
        Ok(())
    }
}

fn hashes(value: &Value) -> Result<Hashes, ConfigError> {
    let wrong = || ConfigError::new("privacy.hash", format!("must be an array of any of {}", HASHES.join(", ")));
    let names = value.as_array().ok_or_else(wrong)?;
    let names: Vec<_> = names.iter().filter_map(Value::as_str).filter(|name| HASHES.contains(name)).collect();
    if names.len() != value.as_array().map_or(0, Vec::len) {
        return Err(wrong());
    }
    let has = |name| names.contains(&name);
    Ok(Hashes {
        last_message: has("last_message"),
        prompt: has("prompt"),
        system: has("system"),
        tools: has("tools"),
        response: has("response"),
        conversation: has("conversation"),
    })
}
