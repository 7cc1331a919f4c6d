//! The usage of an exchange and its cost.

use super::{End, Exchange};
use crate::observation::{COST_LIMIT, Cost, CostStatus, Outcome, ParseError, Quantities, Usage};
use crate::signal::cost::Price;

impl Exchange {
    /// Sets the usage, and the cost if the usage changed. A sum above [`crate::observation::COUNT_LIMIT`] is left out and reported
    /// as [`ParseError::Number`].
    pub(super) fn update_usage(&mut self) {
        let used = if self.is_local { Usage::default() } else { self.draft.counts.usage_with_steps() };
        if !used.is_possible() {
            self.draft.report(ParseError::Number);
        }
        let usage = used.possible();
        if usage != self.draft.observation.usage {
            self.draft.observation.usage = usage;
            self.changes.usage = true;
            // Nothing tells the end of an exchange that is cut before its span ends.
            self.set_cost(Some(CostStatus::Hidden).filter(|_| !self.usage_is_final()));
        }
    }

    /// Sets the cost at the end. `was_sent`: the request was read to its end before.
    pub(super) fn set_final_cost(&mut self, outcome: Outcome, end: End, was_sent: bool) {
        let is_cut = match end {
            End::ClientDisconnect | End::UpstreamReset | End::Timeout | End::AttemptFailed => true,
            End::LocalReply(_) => !self.is_local,
            End::Whole | End::Unreachable | End::Unheard => outcome == Outcome::Truncated,
        };
        let is_hidden = is_cut && was_sent && !self.usage_is_final();
        self.set_cost(match (outcome, end) {
            _ if is_hidden => Some(CostStatus::Hidden),
            (Outcome::Completed, End::Whole) => Some(CostStatus::NoUsage),
            _ => None,
        });
    }

    /// Returns true if usage is known and does not change any more.
    fn usage_is_final(&self) -> bool {
        let answer = &self.draft.answer;
        self.draft.observation.usage.is_known() && (!answer.is_stream() || answer.is_complete())
    }

    /// Sets the cost. `lack` is why usage is unknown, or not known in full. A cost above [`COST_LIMIT`] is left out and reported as
    /// [`ParseError::Number`].
    fn set_cost(&mut self, lack: Option<CostStatus>) {
        let mut cost = self.find_cost(lack);
        if cost.nanousd.is_some_and(|nanousd| nanousd > COST_LIMIT) {
            self.draft.report(ParseError::Number);
            cost = Cost::default();
        }
        self.draft.observation.cost = cost;
    }

    fn find_cost(&self, lack: Option<CostStatus>) -> Cost {
        let (counts, observation) = (&self.draft.counts, &self.draft.observation);
        if self.is_local {
            return Cost { nanousd: None, status: lack.filter(|_| self.api.usage_expected) };
        }
        if let Some(nanousd) = counts.reported_cost() {
            return Cost { nanousd: Some(nanousd), status: Some(CostStatus::Reported) };
        }
        if !counts.usage_with_steps().is_possible() {
            return Cost::default();
        }
        let mut used = counts.details().with(&counts.usage());
        if observation.usage == Usage::default() && used.audio_seconds == 0 {
            return Cost { nanousd: None, status: lack.filter(|_| self.api.usage_expected) };
        }
        let models = [observation.response.model.as_deref(), observation.request.model.as_deref()];
        let prices = &self.observer.config.prices;
        let price = models.into_iter().flatten().find_map(|model| prices.find(&observation.provider, model));
        // Without a clock, the prices of the table's date apply.
        used.at = Some(observation.timing.start / 1_000_000_000).filter(|at| *at > 0).unwrap_or(prices.date());
        // Steps are priced separately, because prices may depend on the length of the context.
        let step = Quantities { further: true, tier: used.tier, at: used.at, ..Quantities::default() };
        let steps = counts.extra_steps().map(|extra| step.with(extra));
        let cost = |p: &Price<'_>| p.cost(&used).saturating_add(steps.map_or(0, |steps| p.cost(&steps)));
        let status = match lack {
            Some(CostStatus::Hidden) => CostStatus::Hidden,
            _ if price.is_some() => CostStatus::Priced,
            _ => CostStatus::Unpriced,
        };
        Cost { nanousd: price.as_ref().map(cost), status: Some(status) }
    }
}
