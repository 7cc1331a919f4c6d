//! `limits`: bounds on memory.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::Whole;
use crate::budget;
use crate::documentation::documentation;

/// Bounds on memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MemoryLimits {
    /// `limits.stream_memory_bytes`
    pub stream_memory_bytes: u64,
}

pub(super) const SETTINGS: &[Setting<Config>] = &[Setting {
    key: "limits.stream_memory_bytes",
    kind: Whole {
        default: budget::DEFAULT as u64,
        range: budget::LEAST as u64..=budget::MOST as u64,
        set: |config, n| config.limits.stream_memory_bytes = n,
    },
    per_route: false,
    doc: documentation("memory that the streams of one worker share; see [Bounds](#bounds)"),
}];
