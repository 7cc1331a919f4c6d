//! `compat`: names that a backend needs in place of the usual ones.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::Word;
use crate::documentation::documentation;

/// The names under which the number of input tokens written to a cache is reported. OpenTelemetry renamed the attribute, and a
/// backend may know only one of the names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum CacheAttribute {
    /// `gen_ai.usage.cache_creation.input_tokens`
    Creation,
    /// `gen_ai.usage.cache_write.input_tokens`
    Write,
    /// Both names.
    #[default]
    Both,
}

/// Names that a backend needs in place of the usual ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Compat {
    /// `compat.cache_attribute`
    pub cache_attribute: CacheAttribute,
}

pub(super) const SETTINGS: &[Setting<Config>] = &[Setting {
    key: "compat.cache_attribute",
    kind: Word {
        words: &["both", "cache_creation", "cache_write"],
        set: |config, word| {
            config.compat.cache_attribute = match word {
                "cache_creation" => CacheAttribute::Creation,
                "cache_write" => CacheAttribute::Write,
                "both" => CacheAttribute::Both,
                _ => return None,
            };
            Some(())
        },
    },
    per_route: true,
    doc: documentation(
        "name of the attribute for tokens written to a cache; OpenTelemetry v0.1.0 has renamed it to `cache_write`, and many backends read \
         only `cache_creation`",
    ),
}];
