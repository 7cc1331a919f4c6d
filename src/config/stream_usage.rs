//! `stream_usage`: whether the plugin asks for the token counts of streams.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::{Bool, Whole};
use crate::documentation::documentation;

/// Settings for streams whose client did not request token counts: the plugin can request them in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamUsage {
    /// `stream_usage.inject`: changes requests. Needs `allow_on_headers_stop_iteration: true` in the plugin's Envoy
    /// configuration.
    pub inject: bool,
    /// `stream_usage.max_held_bytes`
    pub max_held_bytes: u64,
}

pub(super) const SETTINGS: &[Setting<Config>] = &[
    Setting {
        key: "stream_usage.inject",
        kind: Bool { default: false, set: |config, inject| config.stream_usage.inject = inject },
        per_route: true,
        doc: documentation("adds `stream_options.include_usage` to OpenAI chat streams that do not set it"),
    },
    Setting {
        key: "stream_usage.max_held_bytes",
        kind: Whole {
            default: 16_384,
            range: 1024..=16_777_216,
            set: |config, n| config.stream_usage.max_held_bytes = n,
        },
        per_route: true,
        doc: documentation(
            "bytes of a request, or of an answer's event, that may be held; larger requests are not changed; must be less than the listener's buffer limit",
        ),
    },
];
