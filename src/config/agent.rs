//! `agent`: how runs of agents are followed.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::{Repetitions, Strings, Whole};
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
    /// `agent.output_tools`
    pub output_tools: Vec<String>,
    /// `agent.slots`
    pub slots: u64,
}

impl AgentSettings {
    /// Returns true if the tool delivers the answer of a run: its name is listed, or begins with a listed name and an underscore.
    /// pydantic-ai makes such names if an answer has several types.
    pub fn delivers(&self, tool: &str) -> bool {
        let is_it = |name: &String| {
            tool.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        self.output_tools.iter().any(is_it)
    }
}

/// Tools that deliver an answer: of pydantic-ai, smolagents, Google's ADK, Claude Code.
const OUTPUT_TOOLS: &[&str] = &["final_result", "final_answer", "set_model_response", "StructuredOutput"];

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
        kind: Whole { default: 50, range: 1..=1000, set: |config, n| config.agent.max_iterations = n },
        per_route: true,
        doc: documentation("a run that asks for more tools in this iteration counts as ended"),
    },
    Setting {
        key: "agent.output_tools",
        kind: Strings { default: OUTPUT_TOOLS, set: |config, names| config.agent.output_tools = names },
        per_route: true,
        doc: documentation(
            "tools that deliver the answer: a call of one completes the run. A name also stands for names that begin with it and an \
             underscore",
        ),
    },
    Setting {
        key: "agent.slots",
        kind: Whole { default: 4096, range: 64..=65_536, set: |config, n| config.agent.slots = n },
        per_route: false,
        doc: documentation(
            "tool calls that all workers together remember until their results arrive; at most about 300 bytes each",
        ),
    },
];
