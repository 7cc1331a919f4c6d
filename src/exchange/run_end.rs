//! How an agent's run ends.

use crate::observation::{Agent, Outcome, RunEnd};

/// The tool calls that an answer asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AskedCalls {
    /// None.
    Nothing,
    /// Calls of tools whose results the model wants.
    Tools,
    /// A call of a tool that delivers the run's answer.
    Delivery,
    /// A call of the tool that the request forces: its arguments are structured output.
    Structure,
}

/// The end of the run with a call that has this outcome. `asked`: the calls in the answer. `limit`: the configured number of
/// iterations. Returns None if the run continues. A run above the limit ends too: the caller knows whether it is already counted.
pub(super) fn run_end(agent: &Agent, outcome: Outcome, asked: AskedCalls, limit: u64) -> Option<RunEnd> {
    let iteration = agent.iteration?;
    match (outcome, asked) {
        (Outcome::Completed, AskedCalls::Tools) if iteration < limit => None,
        (Outcome::Completed, AskedCalls::Tools) if agent.looping.is_some() => Some(RunEnd::Loop),
        (Outcome::Completed, AskedCalls::Tools) => Some(RunEnd::MaxIterations),
        (Outcome::Completed, _) => Some(RunEnd::Completed),
        (Outcome::ClientDisconnect, _) => Some(RunEnd::Cancelled),
        _ => Some(RunEnd::Error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Loop;

    #[test]
    fn a_run_ends_once_with_its_answer_its_last_iteration_or_an_error() {
        let at = |iteration, looping| Agent { iteration: Some(iteration), looping, ..Agent::default() };
        let completed = Outcome::Completed;
        assert_eq!(run_end(&at(1, None), completed, AskedCalls::Tools, 3), None);
        for asked in [AskedCalls::Nothing, AskedCalls::Delivery, AskedCalls::Structure] {
            assert_eq!(run_end(&at(2, None), completed, asked, 3), Some(RunEnd::Completed), "{asked:?}");
        }
        assert_eq!(run_end(&at(3, None), completed, AskedCalls::Tools, 3), Some(RunEnd::MaxIterations));
        assert_eq!(run_end(&at(3, Some(Loop::Retry)), completed, AskedCalls::Tools, 3), Some(RunEnd::Loop));
        assert_eq!(run_end(&at(4, None), completed, AskedCalls::Tools, 3), Some(RunEnd::MaxIterations));
        assert_eq!(run_end(&at(2, None), Outcome::Error, AskedCalls::Nothing, 3), Some(RunEnd::Error));
        assert_eq!(run_end(&at(2, None), Outcome::ClientDisconnect, AskedCalls::Tools, 3), Some(RunEnd::Cancelled));
        assert_eq!(run_end(&Agent::default(), completed, AskedCalls::Nothing, 3), None);
    }
}
