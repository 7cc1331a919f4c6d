//! How an agent's run ends.

use crate::observation::{Agent, Outcome, RunEnd};

/// How the run ends with a call that has this outcome. `calls_tools`: the answer calls tools. `limit`: the configured number of
/// iterations. Returns None if the run continues, and for calls after its end.
pub(super) fn run_end(agent: &Agent, outcome: Outcome, calls_tools: bool, limit: u64) -> Option<RunEnd> {
    let iteration = agent.iteration.filter(|n| *n <= limit)?;
    match (outcome, calls_tools) {
        (Outcome::Completed, false) => Some(RunEnd::Completed),
        (Outcome::Completed, true) if iteration < limit => None,
        (Outcome::Completed, true) if agent.looping.is_some() => Some(RunEnd::Loop),
        (Outcome::Completed, true) => Some(RunEnd::MaxIterations),
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
        assert_eq!(run_end(&at(1, None), Outcome::Completed, true, 3), None);
        assert_eq!(run_end(&at(2, None), Outcome::Completed, false, 3), Some(RunEnd::Completed));
        assert_eq!(run_end(&at(3, None), Outcome::Completed, true, 3), Some(RunEnd::MaxIterations));
        assert_eq!(run_end(&at(3, Some(Loop::Retry)), Outcome::Completed, true, 3), Some(RunEnd::Loop));
        assert_eq!(run_end(&at(4, None), Outcome::Completed, false, 3), None);
        assert_eq!(run_end(&at(2, None), Outcome::Error, false, 3), Some(RunEnd::Error));
        assert_eq!(run_end(&Agent::default(), Outcome::Completed, false, 3), None);
    }
}
