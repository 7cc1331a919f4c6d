//! `privacy`: which texts are hashed, which are reported, and what is removed from them.

use std::rc::Rc;

use serde_json::Value;

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::{Other, Share, Text, Word, Words};
use super::value::ConfigError;
use crate::documentation::documentation;
use crate::text::hash::{Hashes, Key};
use crate::text::redaction::Redaction;

/// Which calls' texts are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Capture {
    /// No call's.
    #[default]
    Off,
    /// Every call's.
    Truncated,
    /// Those of a share of the traces.
    Sampled,
}

/// Which texts are hashed, which are reported, and what is removed from them.
#[derive(Clone, Debug, Default)]
pub struct Privacy {
    /// `privacy.key`: key of HMAC-SHA-256 for all hashes. None for plain SHA-256.
    pub key: Option<Rc<Key>>,
    /// `privacy.hash`
    pub hash: Hashes,
    /// `privacy.capture`
    pub capture: Capture,
    /// `privacy.sample`: share of the traces whose texts are reported if `capture` is [`Capture::Sampled`]; 0 to 1.
    pub sample: f64,
    /// The redaction of reported texts, with the patterns of `privacy.redact`. None if no text is reported and there are no
    /// patterns.
    pub redaction: Option<Rc<Redaction>>,
    /// `privacy.redact`: what should be an array of regular expressions; [`Privacy::compile`] checks it. None if it is empty.
    redact: Option<Value>,
}

pub(super) const SETTINGS: &[Setting<Config>] = &[
    Setting {
        key: "privacy.capture",
        kind: Word {
            words: &["off", "truncated", "sampled"],
            set: |config, word| {
                config.privacy.capture = match word {
                    "off" => Capture::Off,
                    "truncated" => Capture::Truncated,
                    "sampled" => Capture::Sampled,
                    _ => return None,
                };
                Some(())
            },
        },
        per_route: true,
        doc: documentation("texts that are reported: none, those of every call, or those of a share of traces"),
    },
    Setting {
        key: "privacy.hash",
        kind: Words {
            words: &["conversation", "last_message", "prompt", "response", "system", "tools"],
            default: &["conversation", "last_message", "response"],
            set: |config, words| config.privacy.hash = hashes(words),
        },
        per_route: false,
        doc: documentation("texts that are hashed"),
    },
    Setting {
        key: "privacy.key",
        kind: Text {
            default: Some(""),
            set: |config, key| {
                config.privacy.key = (!key.is_empty()).then(|| Rc::new(Key::new(key.as_bytes())));
                Ok(())
            },
        },
        per_route: true,
        doc: documentation("key of HMAC-SHA-256 for all hashes; empty means plain SHA-256"),
    },
    Setting {
        key: "privacy.redact",
        kind: Other {
            what: "an array of regular expressions",
            default: "[]",
            set: |config, _, value| {
                config.privacy.redact = Some(value.clone()).filter(|patterns| *patterns != Value::Array(Vec::new()));
                config.privacy.redaction = None;
                Ok(())
            },
        },
        per_route: true,
        doc: documentation("further patterns to remove from captured texts"),
    },
    Setting {
        key: "privacy.sample",
        kind: Share { default: 0.01, set: |config, share| config.privacy.sample = share },
        per_route: true,
        doc: documentation("share of traces whose texts are captured if `privacy.capture` is `sampled`"),
    },
];

impl Privacy {
    /// Compiles the redaction if texts are reported, and checks `privacy.redact` in any case. Does nothing if the redaction
    /// is compiled already.
    ///
    /// # Errors
    /// A pattern that is invalid, or a build without redaction.
    pub(super) fn compile(&mut self) -> Result<(), ConfigError> {
        if self.redaction.is_none() && (self.capture != Capture::Off || self.redact.is_some()) {
            self.redaction = Some(Rc::new(Redaction::new(self.redact.as_ref())?));
        }
        Ok(())
    }
}

fn hashes(words: &[&str]) -> Hashes {
    let has = |word| words.contains(&word);
    Hashes {
        last_message: has("last_message"),
        prompt: has("prompt"),
        system: has("system"),
        tools: has("tools"),
        response: has("response"),
        conversation: has("conversation"),
    }
}

#[cfg(all(test, feature = "capture"))]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_captures_keeps_the_patterns_of_the_plugin() {
        let plugin = r#"{"privacy": {"redact": ["EMP-[0-9]+"]}}"#;
        let plugin = Config::parse(plugin).unwrap();
        for route in [r#"{"privacy": {"capture": "truncated"}}"#, r#"{"privacy": {"sample": 0.5}}"#] {
            let redaction = plugin.on_route(route).unwrap().privacy.redaction.unwrap();
            assert_eq!(redaction.apply("ask EMP-4711"), "ask [redacted]", "{route}");
        }
        let route = plugin.on_route(r#"{"privacy": {"capture": "truncated", "redact": []}}"#).unwrap();
        assert_eq!(route.privacy.redaction.unwrap().apply("ask EMP-4711"), "ask EMP-4711");
    }

    #[test]
    fn wrong_patterns_are_refused_even_if_nothing_is_captured() {
        let error = |text| Config::parse(text).unwrap_err().to_string();
        let wrong = error(r#"{"privacy": {"redact": "x"}}"#);
        assert_eq!(wrong, "privacy.redact: must be an array of regular expressions");
        assert!(error(r#"{"privacy": {"redact": ["("]}}"#).starts_with("privacy.redact[0]: "));
    }
}
