//! `role`: where in Envoy the plugin is.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::Word;
use crate::documentation::documentation;

/// Where in Envoy the plugin is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Role {
    /// A filter of a listener. It sees each exchange once.
    #[default]
    Listener,
    /// A filter of a cluster. It sees each attempt, and reports nothing if a listener's plugin reports the exchange.
    Upstream,
}

pub(super) const SETTINGS: &[Setting<Config>] = &[Setting {
    key: "role",
    kind: Word {
        words: &["listener", "upstream"],
        set: |config, word| {
            config.role = match word {
                "listener" => Role::Listener,
                "upstream" => Role::Upstream,
                _ => return None,
            };
            Some(())
        },
    },
    per_route: false,
    doc: documentation(
        "whether the plugin is a filter of a listener or of a cluster; see [upstream-filter.yaml](upstream-filter.yaml)",
    ),
}];
