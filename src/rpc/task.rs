//! The states of a task: work that outlives the request that begins it.

use crate::json::Scalar;

/// The state of a task of A2A or of MCP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TaskState {
    /// It waits to be worked on.
    Submitted,
    /// It is worked on.
    Working,
    /// The agent waits for more input.
    InputRequired,
    /// The agent waits for the client to authenticate.
    AuthRequired,
    /// It is done.
    Completed,
    /// It was canceled.
    Canceled,
    /// It has failed.
    Failed,
    /// The agent refuses it.
    Rejected,
}

/// Each state and its name.
const STATES: [(TaskState, &str); 8] = [
    (TaskState::Submitted, "submitted"),
    (TaskState::Working, "working"),
    (TaskState::InputRequired, "input_required"),
    (TaskState::AuthRequired, "auth_required"),
    (TaskState::Completed, "completed"),
    (TaskState::Canceled, "canceled"),
    (TaskState::Failed, "failed"),
    (TaskState::Rejected, "rejected"),
];

impl TaskState {
    /// Reads the name of a state as A2A 1.0 (`TASK_STATE_WORKING`), A2A 0.3 (`input-required`) or MCP (`cancelled`) write it. Returns None for
    /// any other text.
    pub(super) fn of(value: Scalar<'_>) -> Option<Self> {
        let Scalar::Text(text) = value else { return None };
        let name = text.strip_prefix("TASK_STATE_").unwrap_or(text);
        let plain = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
        let is_equal =
            |known: &str| name.len() == known.len() && name.bytes().zip(known.bytes()).all(|(a, b)| plain(a) == b);
        let is_canceled = is_equal("cancelled").then_some(TaskState::Canceled);
        is_canceled.or_else(|| STATES.iter().find(|(_, known)| is_equal(known)).map(|(state, _)| *state))
    }

    /// The name of the state, as attributes and labels have it.
    pub fn as_str(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    /// Returns true if the task has ended.
    pub const fn is_terminal(self) -> bool {
        matches!(self, TaskState::Completed | TaskState::Canceled | TaskState::Failed | TaskState::Rejected)
    }

    /// Returns true if the agent does nothing more before the next request: the task has ended, or waits for the client.
    pub(super) const fn rests(self) -> bool {
        self.is_terminal() || matches!(self, TaskState::InputRequired | TaskState::AuthRequired)
    }

    /// The type of the error of an operation that ends with this state. None if it has not failed.
    pub(super) const fn error(self) -> Option<&'static str> {
        match self {
            TaskState::Failed => Some("task_failed"),
            TaskState::Rejected => Some("task_rejected"),
            _ => None,
        }
    }
}
