//! What an exchange used, and what that costs.

use super::{End, Exchange};
use crate::observation::{Cost, CostStatus, Outcome, Quantities, Usage};
use crate::signal::cost::Price;

impl Exchange {
    pub(super) fn count(&mut self) {
        let mut usage = self.draft.counts.settle();
        if let Some(steps) = &self.draft.steps {
            usage = usage.and(&steps.beside);
        }
        if usage != self.draft.seen.usage {
            self.draft.seen.usage = usage;
            self.news.usage = true;
        }
    }

    pub(super) fn price(&mut self, outcome: Outcome, end: End) {
        let reported = self.draft.counts.reported_cost();
        let seen = &mut self.draft.seen;
        if let Some(nanousd) = reported {
            seen.cost = Cost { nanousd: Some(nanousd), status: Some(CostStatus::Reported) };
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
