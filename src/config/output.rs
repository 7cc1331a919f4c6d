//! `attributes`, `stats` and `semconv`: what is reported through Envoy, and under which names.

use serde_json::Value;

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::{Bool, Other, Word};
use super::value::ConfigError;
use crate::documentation::documentation;

/// Which attributes are written to Envoy's filter state, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum FilterState {
    /// Each in a filter state of its own.
    #[default]
    Each,
    /// None.
    Off,
    /// All in one filter state, as a JSON object, when the exchange has ended.
    Packed,
    /// Those with these names, each in a filter state of its own. The names are not checked yet.
    Selected(Vec<String>),
}

/// The version of OpenTelemetry's conventions for generative AI that names the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Conventions {
    /// v0.1.0 of the conventions for generative AI.
    #[default]
    V0_1,
    /// The last version that was part of OpenTelemetry's general conventions, v1.41.0.
    V1_41,
}

pub(super) const ATTRIBUTES_SETTING: &[Setting<Config>] = &[Setting {
    key: "attributes",
    kind: Other {
        what: "true, false, \"packed\" or an array of names of attributes",
        default: "true",
        set: |config, path, value| {
            config.filter_state = filter_state(path, value)?;
            Ok(())
        },
    },
    per_route: false,
    doc: documentation(
        "attributes that Envoy gets as filter state: all (`true`), none (`false`), those in a list, or all as one JSON object in \
         `gaugeway.packed` at the end (`\"packed\"`)",
    ),
}];

pub(super) const SEMCONV_SETTING: &[Setting<Config>] = &[Setting {
    key: "semconv",
    kind: Word {
        words: &["0.1", "1.41"],
        set: |config, word| {
            config.conventions = match word {
                "0.1" => Conventions::V0_1,
                "1.41" => Conventions::V1_41,
                _ => return None,
            };
            Some(())
        },
    },
    per_route: false,
    doc: documentation("version of OpenTelemetry's conventions for generative AI that names the metrics `gen_ai.*`"),
}];

pub(super) const STATS_SETTING: &[Setting<Config>] = &[Setting {
    key: "stats",
    kind: Bool { default: true, set: |config, stats| config.stats = stats },
    per_route: false,
    doc: documentation("report the metrics of exchanges as Envoy's statistics"),
}];

fn filter_state(path: &str, value: &Value) -> Result<FilterState, ConfigError> {
    let wrong = || ConfigError::new(path, "must be true, false, \"packed\" or an array of names of attributes");
    match value {
        Value::Bool(true) => Ok(FilterState::Each),
        Value::Bool(false) => Ok(FilterState::Off),
        Value::String(word) if word == "packed" => Ok(FilterState::Packed),
        Value::Array(names) => {
            let names: Option<_> = names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
            names.map(FilterState::Selected).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_selected_by_name() {
        let read = |text: &str| Config::parse(&format!("{{\"attributes\": {text}}}")).map(|config| config.filter_state);
        assert_eq!(read("true"), Ok(FilterState::Each));
        assert_eq!(read("false"), Ok(FilterState::Off));
        assert_eq!(read("\"packed\""), Ok(FilterState::Packed));
        assert_eq!(read("[\"error.type\"]"), Ok(FilterState::Selected(vec!["error.type".to_owned()])));
    }

    #[test]
    fn a_wrong_selection_of_attributes_is_an_error_with_its_place() {
        for (text, error) in [
            ("1", "attributes: must be true, false, \"packed\" or an array of names of attributes"),
            ("\"all\"", "attributes: must be true, false, "),
            ("[3]", "attributes: must be true, false, "),
        ] {
            let found = Config::parse(&format!("{{\"attributes\": {text}}}")).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
