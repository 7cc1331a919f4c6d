//! The usage of an exchange and its cost.

use super::{End, Exchange};
use crate::observation::{
    Bill, COST_LIMIT, Cost, CostStatus, OtherQuantities, Outcome, ParseError, Quantities, Unpriced, Usage,
};
use crate::signal::cost::Price;

impl Exchange {
    /// Sets the usage. A sum above [`crate::observation::COUNT_LIMIT`] is left out and reported as [`ParseError::Number`].
    pub(super) fn update_usage(&mut self) {
        let used = self.draft.counts.usage_of_all_attempts();
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
        let (used, attempts) = (self.draft.counts.details(), self.draft.counts.extra_attempts());
        let attempt_models: Vec<_> = attempts.filter_map(|attempt| attempt.model).collect();
        if used != Quantities::default() || !attempt_models.is_empty() {
            self.draft.observation.quantities = Some(Box::new(OtherQuantities { used, attempt_models }));
        }
        let cost = self.find_cost(outcome, end);
        if cost.nanousd.is_some_and(|nanousd| nanousd > COST_LIMIT) {
            self.draft.report(ParseError::Number);
        } else {
            self.draft.observation.cost = cost;
        }
    }

    fn find_cost(&self, outcome: Outcome, end: End) -> Cost {
        let counts = &self.draft.counts;
        if let Some((nanousd, is_estimate)) = counts.reported_cost() {
            let status = if is_estimate { CostStatus::ReportedEstimate } else { CostStatus::Reported };
            return Cost { nanousd: Some(nanousd), status: Some(status), bill: Bill::default() };
        }
        self.computed_cost(outcome == Outcome::Completed && end == End::Whole)
    }

    /// The cost by the price table, as if the response reported none. `is_whole`: the answer is complete, so that usage is
    /// missing if there is none.
    pub fn computed_cost(&self, is_whole: bool) -> Cost {
        let (counts, observation) = (&self.draft.counts, &self.draft.observation);
        if !counts.usage_of_all_attempts().is_possible() {
            return Cost::default();
        }
        if counts.is_prepaid() {
            return Cost { status: Some(CostStatus::Prepaid), ..Cost::default() };
        }
        let mut used = counts.details().with(&counts.usage());
        if observation.usage == Usage::default() && !used.has_other_units() {
            let lacks_usage = is_whole && self.api.usage_expected && !self.draft.answer.is_deferred();
            return Cost { status: lacks_usage.then_some(CostStatus::NoUsage), ..Cost::default() };
        }
        // Without a clock, the prices of the table's date apply.
        let date = self.observer.config.prices.date();
        used.at = Some(observation.timing.start / 1_000_000_000).filter(|at| *at > 0).unwrap_or(date);
        let models = [observation.response.model.as_deref(), observation.request.model.as_deref()];
        let Some(price) = models.into_iter().flatten().find_map(|model| self.price(model)) else {
            return Cost { status: Some(CostStatus::Unpriced), ..Cost::default() };
        };
        let output = &observation.output;
        let is_empty = output.characters.is_none() && output.tools.is_empty() && !self.draft.answer.has_other_content();
        if counts.is_free_if_empty() && is_empty {
            return Cost { nanousd: Some(0), status: Some(CostStatus::Priced), bill: Bill::default() };
        }
        // Attempts are priced one by one, because prices depend on the model and on the length of the context.
        let base =
            Quantities { further: true, tier: used.tier, place: used.place, at: used.at, ..Quantities::default() };
        let mut bill = price.bill(&used);
        for attempt in counts.extra_attempts() {
            let own = attempt.model.as_deref().map(|model| self.price(model));
            match own.unwrap_or(Some(price)) {
                Some(price) => {
                    let (input_image, output_image) = (attempt.input_image, attempt.output_image);
                    let cache_write_1h = attempt.cache_write_1h;
                    let used = Quantities { input_image, output_image, cache_write_1h, ..base };
                    bill = bill.and(&price.bill(&used.with(&attempt.usage)));
                }
                None => bill.unpriced.add(Unpriced::MODEL),
            }
        }
        bill.unpriced = bill.unpriced.and(counts.unpriced());
        if bill.total() == 0 && !bill.unpriced.is_empty() {
            return Cost { nanousd: None, status: Some(CostStatus::Unpriced), bill };
        }
        let status = if bill.unpriced.is_empty() { CostStatus::Priced } else { CostStatus::Partial };
        Cost { nanousd: Some(bill.total()), status: Some(status), bill }
    }

    fn price(&self, model: &str) -> Option<Price<'_>> {
        self.observer.config.prices.find(&self.draft.observation.provider, model)
    }
}
