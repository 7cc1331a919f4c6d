//! The usage of an exchange and its cost.

use super::{End, Exchange};
use crate::draft::Draft;
use crate::observation::{
    Bill, COST_LIMIT, Cost, CostStatus, OtherQuantities, Outcome, ParseError, Quantities, Unpriced, Usage,
};
use crate::signal::cost::{Price, PriceTable};

impl Exchange {
    /// Sets the usage. A sum above [`crate::observation::COUNT_LIMIT`] is left out and reported
    /// as [`ParseError::Number`].
    pub(super) fn update_usage(&mut self) {
        if self.draft.results.is_some() {
            return;
        }
        let used = if self.is_local { Usage::default() } else { self.draft.counts.usage_of_all_attempts() };
        if !used.is_possible() {
            self.draft.report(ParseError::Number);
        }
        let usage = used.possible();
        if usage != self.draft.observation.usage {
            self.draft.observation.usage = usage;
            self.changes.usage = true;
            self.cost_is_due = true;
        }
    }

    /// Sets the cost if the usage changed since. The end of the exchange sets it in any case, so it is not set before that in the same
    /// callback.
    pub fn settle_cost(&mut self) {
        if self.cost_is_due {
            // Nothing tells the end of an exchange that is cut before its span ends.
            self.set_cost(Some(CostStatus::Hidden).filter(|_| !self.usage_is_final()));
        }
    }

    /// Sets the cost at the end, and what was used beside the tokens. `was_sent`: the request was read to its end before.
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
        self.set_quantities();
    }

    /// Returns true if usage is known and does not change any more.
    fn usage_is_final(&self) -> bool {
        let answer = &self.draft.answer;
        self.draft.observation.usage.is_known() && (!answer.is_stream() || answer.is_complete())
    }

    fn set_quantities(&mut self) {
        let (used, attempts) = (self.draft.counts.details(), self.draft.counts.extra_attempts());
        let attempt_models: Vec<_> = attempts.filter_map(|attempt| attempt.model).collect();
        let others = OtherQuantities::of(&used, attempt_models);
        if !self.is_local && others != OtherQuantities::default() {
            self.draft.observation.quantities = Some(Box::new(others));
        }
    }

    /// Sets the cost. `lack` is why usage is unknown, or not known in full. A cost above [`COST_LIMIT`] is left out and reported as
    /// [`ParseError::Number`].
    fn set_cost(&mut self, lack: Option<CostStatus>) {
        self.cost_is_due = false;
        let mut cost = self.find_cost(lack);
        if cost.nanousd.is_some_and(|nanousd| nanousd > COST_LIMIT) {
            self.draft.report(ParseError::Number);
            cost = Cost::default();
        }
        self.draft.observation.cost = cost;
    }

    fn find_cost(&self, lack: Option<CostStatus>) -> Cost {
        if self.is_local {
            return Cost { status: lack.filter(|_| self.api.usage_expected), ..Cost::default() };
        }
        self.pricing().cost(lack)
    }

    /// The cost by the price table, as if the response reported none. `lack` is why usage is unknown, or not known in full.
    pub fn computed_cost(&self, lack: Option<CostStatus>) -> Cost {
        self.pricing().computed(lack)
    }

    fn pricing(&self) -> Pricing<'_> {
        let (draft, prices) = (&self.draft, &self.observer.config.prices);
        Pricing { draft, prices, usage_expected: self.api.usage_expected }
    }

    /// The money that reading this number of input tokens from a cache would have saved, at the rates of this call. None if no
    /// rate is known.
    pub(super) fn cost_of_lost(&self, tokens: u64) -> Option<u64> {
        let (counts, observation) = (&self.draft.counts, &self.draft.observation);
        let usage = counts.usage();
        let models = [observation.response.model.as_deref(), observation.request.model.as_deref()];
        let price = models.into_iter().flatten().find_map(|model| self.pricing().price(model))?;
        let used = counts.details();
        let used = Quantities {
            input: usage.input.unwrap_or(tokens),
            cached: tokens,
            tier: used.tier,
            place: used.place,
            at: self.pricing().time(),
            further: true,
            ..Quantities::default()
        };
        Some(price.bill(&used).cache_savings).filter(|lost| *lost > 0)
    }
}

/// The facts from which the cost of an answer follows.
pub(super) struct Pricing<'p> {
    pub draft: &'p Draft,
    pub prices: &'p PriceTable,
    /// See [`Api::usage_expected`](crate::provider::Api::usage_expected).
    pub usage_expected: bool,
}

impl<'p> Pricing<'p> {
    /// The cost that the response reports, else that by the price table. `lack` is why usage is unknown, or not known in full.
    pub fn cost(&self, lack: Option<CostStatus>) -> Cost {
        if let Some((nanousd, is_estimate)) = self.draft.counts.reported_cost() {
            let status = if is_estimate { CostStatus::ReportedEstimate } else { CostStatus::Reported };
            return Cost { nanousd: Some(nanousd), status: Some(status), bill: Bill::default() };
        }
        self.computed(lack)
    }

    /// The cost by the price table, as if the response reported none.
    fn computed(&self, lack: Option<CostStatus>) -> Cost {
        let (counts, observation) = (&self.draft.counts, &self.draft.observation);
        if !counts.usage_of_all_attempts().is_possible() {
            return Cost::default();
        }
        if counts.is_prepaid() {
            return Cost { status: Some(CostStatus::Prepaid), ..Cost::default() };
        }
        let mut used = counts.details().with(&counts.usage());
        let has_usage = observation.usage != Usage::default() || used.has_other_units();
        let answer = &self.draft.answer;
        if !has_usage && (self.usage_expected || answer.is_deferred()) {
            let status = match lack {
                Some(CostStatus::NoUsage) if answer.is_deferred() => Some(CostStatus::Deferred),
                Some(CostStatus::NoUsage) if answer.is_unwanted() => None,
                lack => lack,
            };
            return Cost { status, ..Cost::default() };
        }
        used.at = self.time();
        let models = [observation.response.model.as_deref(), observation.request.model.as_deref()];
        let price = models.into_iter().flatten().find_map(|model| self.price(model));
        let bill = price.map(|price| self.bill(price, &used));
        // An API without usage can have a price per request.
        if !has_usage && bill.is_none_or(|bill| bill.total() == 0) {
            return Cost::default();
        }
        let is_hidden = lack == Some(CostStatus::Hidden);
        let status = match &bill {
            _ if is_hidden => CostStatus::Hidden,
            None => CostStatus::Unpriced,
            Some(bill) if bill.unpriced.is_empty() => CostStatus::Priced,
            Some(bill) if bill.total() == 0 => CostStatus::Unpriced,
            Some(_) => CostStatus::Partial,
        };
        let nanousd = bill.filter(|_| status != CostStatus::Unpriced).map(|bill| bill.total());
        Cost { nanousd, status: Some(status), bill: bill.unwrap_or_default() }
    }

    /// The bill of the exchange, at the price of the model that answered.
    fn bill(&self, price: Price<'_>, used: &Quantities<'_>) -> Bill {
        let (counts, output) = (&self.draft.counts, &self.draft.observation.output);
        let is_empty = output.characters.is_none() && output.tools.is_empty() && !self.draft.answer.has_other_content();
        if counts.is_free_if_empty() && is_empty {
            return Bill { unpriced: counts.unpriced(), ..Bill::default() };
        }
        // Attempts are priced one by one, because prices depend on the model and on the length of the context.
        let base =
            Quantities { further: true, tier: used.tier, place: used.place, at: used.at, ..Quantities::default() };
        let mut bill = price.bill(used);
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
        bill
    }

    /// The time whose prices apply, in seconds since 1970: the start. Without a clock, the date of the table.
    fn time(&self) -> u64 {
        let start = self.draft.observation.timing.start / 1_000_000_000;
        if start > 0 { start } else { self.prices.date() }
    }

    fn price(&self, model: &str) -> Option<Price<'p>> {
        self.prices.find(&self.draft.observation.provider, model)
    }
}
