//! `if_invalid`: a wrong setting makes the host reject the configuration, or makes the plugin read nothing.

use serde_json::Value;

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::Word;
use crate::documentation::documentation;

const KEY: &str = "if_invalid";
const PASS: &str = "pass";

/// Tells if the host rejects a configuration with a wrong setting, or the calls pass unread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum IfInvalid {
    /// The host rejects the configuration.
    #[default]
    Reject,
    /// They pass, and are not read.
    Pass,
}

impl IfInvalid {
    /// Reads this setting alone, from a configuration that may be wrong.
    pub fn of(text: &str) -> Self {
        match serde_json::from_str(text).ok().as_ref().and_then(|all: &Value| all.get(KEY)?.as_str()) {
            Some(PASS) => IfInvalid::Pass,
            _ => IfInvalid::Reject,
        }
    }
}

pub(super) const SETTINGS: &[Setting<Config>] = &[Setting {
    key: KEY,
    kind: Word {
        words: &["reject", PASS],
        set: |config, word| {
            config.if_invalid = match word {
                "reject" => IfInvalid::Reject,
                PASS => IfInvalid::Pass,
                _ => return None,
            };
            Some(())
        },
    },
    per_route: false,
    doc: documentation(
        "what the plugin does if a setting is wrong. `reject`: the host rejects the configuration, and decides what happens to \
         calls. A proxy of Istio that starts with it answers 500 to every request. `pass`: the plugin logs the error and reads no call, and all \
         calls pass",
    ),
}];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_configuration_that_says_so_passes_calls_if_it_is_wrong() {
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"if_invalid": "reject"}"#,
            r#"{"if_invalid": true}"#,
            r#"{"if_invalid": "passes"}"#,
        ] {
            assert_eq!(IfInvalid::of(text), IfInvalid::Reject, "{text}");
        }
        let wrong = r#"{"if_invalid": "pass", "otlp": {"cluser": "collector"}}"#;
        assert!(Config::parse(wrong).is_err());
        assert_eq!(IfInvalid::of(wrong), IfInvalid::Pass);
        assert_eq!(Config::parse(r#"{"if_invalid": "pass"}"#).unwrap().if_invalid, IfInvalid::Pass);
    }
}
