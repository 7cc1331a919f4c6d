//! `feedback`: whether and where the plugin accepts feedback.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::{Text, Whole};
use crate::documentation::documentation;

pub(super) const SETTINGS: &[Setting<Config>] = &[
    Setting {
        key: "feedback.path",
        kind: Text {
            default: Some(""),
            set: |config, path| {
                config.feedback.path = path.to_owned();
                match path.is_empty() || path.starts_with('/') {
                    true => Ok(()),
                    false => Err("must begin with /, or be empty".to_owned()),
                }
            },
        },
        per_route: false,
        doc: documentation("path at which the plugin accepts feedback; empty means none"),
    },
    Setting {
        key: "feedback.slots",
        kind: Whole { default: 65_536, range: 64..=1_048_576, set: |config, n| config.feedback.slots = n },
        per_route: false,
        doc: documentation("answers that all workers together remember for feedback; about 200 bytes each"),
    },
];
