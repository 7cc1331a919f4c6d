//! `streams`: when an open stream counts as stalled.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::Whole;
use crate::documentation::documentation;

/// When an open stream counts as stalled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamLimits {
    /// `streams.stalled_after`, in seconds; 0 for never.
    pub stalled_after: u64,
}

pub(super) const SETTINGS: &[Setting<Config>] = &[Setting {
    key: "streams.stalled_after",
    kind: Whole { default: 30, range: 0..=3600, set: |config, seconds| config.streams.stalled_after = seconds },
    per_route: false,
    doc: documentation(
        "seconds without a byte after which an open stream counts as stalled, in `gaugeway_streams_stalled_total` and \
         `gaugeway.response.stalls`; 0 means never",
    ),
}];
