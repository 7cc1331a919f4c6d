//! `prices`: prices that take precedence over the bundled table.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::Other;
use crate::documentation::documentation;

pub(super) const SETTINGS: &[Setting<Config>] = &[Setting {
    key: "prices",
    kind: Other {
        what: "an object",
        default: "{}",
        // A route's prices are added to the plugin's.
        set: |config, path, value| config.prices.add(path, value),
    },
    per_route: true,
    doc: documentation("prices by the beginning of a model's name; the longest that fits counts"),
}];
