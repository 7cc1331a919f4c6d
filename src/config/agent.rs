//! `agent`: how runs of agents are followed.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::Whole;
use crate::documentation::documentation;

/// How runs of agents are followed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentSettings {
    /// `agent.max_iterations`
    pub max_iterations: u64,
    /// `agent.abandoned_after`, in seconds.
    pub abandoned_after: u64,
    /// `agent.slots`
    pub slots: u64,
    /// `agent.conversations`
    pub conversations: u64,
}

pub(super) const SETTINGS: &[Setting<Config>] = &[
    Setting {
        key: "agent.abandoned_after",
        kind: Whole { default: 600, range: 1..=86_400, set: |config, n| config.agent.abandoned_after = n },
        per_route: true,
        doc: documentation("seconds without tool results after which a run counts as abandoned"),
    },
    Setting {
        key: "agent.conversations",
        kind: Whole { default: 1024, range: 0..=65_536, set: |config, n| config.agent.conversations = n },
        per_route: false,
        doc: documentation(
            "conversations that all workers together remember to explain losses of prompt caches; at most about 600 bytes each; 0 \
             switches this off",
        ),
    },
    Setting {
        key: "agent.max_iterations",
        kind: Whole { default: 10, range: 1..=1000, set: |config, n| config.agent.max_iterations = n },
        per_route: true,
        doc: documentation("a run that asks for more tools in this iteration counts as ended"),
    },
    Setting {
        key: "agent.slots",
        kind: Whole { default: 4096, range: 64..=65_536, set: |config, n| config.agent.slots = n },
        per_route: false,
        doc: documentation(
            "tool calls that all workers together remember until their results arrive; at most about 200 bytes each",
        ),
    },
];
