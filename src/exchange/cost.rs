//! The usage of an exchange and its cost.

use super::{End, Exchange};
use crate::observation::{COST_LIMIT, Cost, CostStatus, Outcome, ParseError, Quantities, Usage};
use crate::signal::cost::Price;

impl Exchange {
    /// Sets the usage. A sum above [`crate::observation::COUNT_LIMIT`] is left out and reported as [`ParseError::Number`].
    pub(super) fn update_usage(&mut self) {
        let used = self.draft.counts.usage_with_steps();
        if !used.is_possible() {
            self.draft.report(ParseError::Number);
        }
        let usage = used.possible();
        if usage != self.draft.observation.usage {
            self.draft.observation.usage = usage;
            self.changes.usage = true;
        }
    }

    /// Sets the cost. A cost above [`COST_LIMIT`] is left out and reported as [`ParseError::Number`].
    pub(super) fn set_cost(&mut self, outcome: Outcome, end: End) {
        let cost = self.find_cost(outcome, end);
        if cost.nanousd.is_some_and(|nanousd| nanousd > COST_LIMIT) {
            self.draft.report(ParseError::Number);
        } else {
            self.draft.observation.cost = cost;
        }
    }

    fn find_cost(&self, outcome: Outcome, end: End) -> Cost {
        let (counts, observation) = (&self.draft.counts, &self.draft.observation);
        if let Some(nanousd) = counts.reported_cost() {
            return Cost { nanousd: Some(nanousd), status: Some(CostStatus::Reported) };
        }
        if !counts.usage_with_steps().is_possible() {
            return Cost::default();
        }
        let mut used = counts.details().with(&counts.usage());
        if observation.usage == Usage::default() && used.audio_seconds == 0 {
            let lacks_usage = outcome == Outcome::Completed && end == End::Whole && self.api.usage_expected;
            return Cost { nanousd: None, status: lacks_usage.then_some(CostStatus::NoUsage) };
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
        let status = if price.is_some() { CostStatus::Priced } else { CostStatus::Unpriced };
        Cost { nanousd: price.as_ref().map(cost), status: Some(status) }
    }
}
