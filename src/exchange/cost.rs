//! What an exchange used, and what that costs.

use super::{End, Exchange};
use crate::observation::{COST_LIMIT, Cost, CostStatus, Outcome, Quantities, Trouble, Usage};
use crate::signal::cost::Price;

impl Exchange {
    /// All that was used, steps of the answer included. Its sums can be above [`crate::observation::COUNT_LIMIT`].
    fn used(&self) -> Usage {
        let usage = self.draft.counts.settle();
        self.draft.steps.as_ref().map_or(usage, |steps| usage.and(&steps.beside))
    }

    /// Takes over what was used. A sum that no call can come to is left out and reported as [`Trouble::Number`].
    pub(super) fn count(&mut self) {
        let used = self.used();
        if !used.is_possible() {
            self.draft.seen.trouble.add(Trouble::Number);
        }
        let usage = used.possible();
        if usage != self.draft.seen.usage {
            self.draft.seen.usage = usage;
            self.changes.usage = true;
        }
    }

    /// Sets the cost and how it was found. A cost above [`COST_LIMIT`] is left out and reported as [`Trouble::Number`].
    pub(super) fn price(&mut self, outcome: Outcome, end: End) {
        self.find_cost(outcome, end);
        let seen = &mut self.draft.seen;
        if seen.cost.nanousd.is_some_and(|nanousd| nanousd > COST_LIMIT) {
            seen.cost = Cost::default();
            seen.trouble.add(Trouble::Number);
        }
    }

    fn find_cost(&mut self, outcome: Outcome, end: End) {
        let (reported, possible) = (self.draft.counts.reported_cost(), self.used().is_possible());
        let seen = &mut self.draft.seen;
        if let Some(nanousd) = reported {
            seen.cost = Cost { nanousd: Some(nanousd), status: Some(CostStatus::Reported) };
            return;
        }
        if !possible {
            return;
        }
        if seen.usage == Usage::default() && self.draft.used.audio_seconds == 0 {
            let said_nothing = outcome == Outcome::Completed && end == End::Whole && self.api.usage_expected;
            seen.cost.status = said_nothing.then_some(CostStatus::NoUsage);
            return;
        }
        let models = [seen.response.model.as_deref(), seen.request.model.as_deref()];
        let prices = &self.observer.config.prices;
        let price = models.into_iter().flatten().find_map(|model| prices.find(&seen.provider, model));
        let mut used = self.draft.used.with(&self.draft.counts.settle());
        // Where there is no clock, it is the day of the table.
        used.at = Some(seen.timing.start / 1_000_000_000).filter(|at| *at > 0).unwrap_or(prices.date());
        // Priced by itself: from some length on a context costs more.
        let further = Quantities { further: true, tier: used.tier, at: used.at, ..Quantities::default() };
        let beside = self.draft.steps.as_ref().map(|steps| further.with(&steps.beside));
        let cost = |p: &Price<'_>| p.cost(&used).saturating_add(beside.map_or(0, |beside| p.cost(&beside)));
        seen.cost.nanousd = price.as_ref().map(cost);
        seen.cost.status = Some(if price.is_some() { CostStatus::Priced } else { CostStatus::Unpriced });
    }
}
