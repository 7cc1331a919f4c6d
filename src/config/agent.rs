//! `agent`: how runs of agents are followed.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::{Repetitions, Whole};
use crate::documentation::documentation;
use crate::observation::LoopLimits;

/// How runs of agents are followed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentSettings {
    /// `agent.max_iterations`
    pub max_iterations: u64,
    /// `agent.abandoned_after`, in seconds.
    pub abandoned_after: u64,
    /// `agent.loops`
    pub loops: LoopLimits,
    /// `agent.slots`
    pub slots: u64,
}

pub(super) const SETTINGS: &[Setting<Config>] = &[
    Setting {
        key: "agent.abandoned_after",
        kind: Whole { default: 600, range: 1..=86_400, set: |config, n| config.agent.abandoned_after = n },
        per_route: true,
        doc: documentation("seconds without tool results after which a run counts as abandoned"),
    },
    Setting {
        key: "agent.loops.drift",
        kind: Repetitions { default: 0, set: |config, n| config.agent.loops.drift = n },
        per_route: true,
        doc: documentation("turns in a row that call one tool, each with other arguments, that are a loop; 0: never"),
    },
    Setting {
        key: "agent.loops.oscillation",
        kind: Repetitions { default: 3, set: |config, n| config.agent.loops.oscillation = n },
        per_route: true,
        doc: documentation("equal pairs of turns in a row that are a loop; 0: never"),
    },
    Setting {
        key: "agent.loops.retry",
        kind: Repetitions { default: 3, set: |config, n| config.agent.loops.retry = n },
        per_route: true,
        doc: documentation("equal turns in a row that are a loop; 0: never"),
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
