//! The results of a batch: what each model has used, in one file or answer.

use super::{Attribution, Cost, Observation, OtherQuantities, RareDetails, Text, Usage};

/// Maximum number of models whose results are kept apart. Those of further models are added to the last one, which has no name then.
pub const MODELS: usize = 32;

/// The results of a batch, as far as this exchange counts them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchResults {
    /// Number of responses, including those that failed.
    pub responses: u64,
    /// Number of responses that failed. They used nothing.
    pub failures: u64,
    /// The totals of each model.
    pub models: Vec<ModelTotals>,
}

/// The usage and the cost of several responses of a model. The sums can be above [`COUNT_LIMIT`](super::COUNT_LIMIT).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelTotals {
    /// The model that answered; None if it is unknown, or if there were too many models.
    pub model: Option<Text>,
    /// Number of its responses.
    pub responses: u64,
    /// Token counts.
    pub usage: Usage,
    /// Cost. The status is `partial` if not all responses have the same.
    pub cost: Cost,
    /// The quantities beside the token counts.
    pub quantities: OtherQuantities,
}

impl ModelTotals {
    /// Adds other responses.
    pub fn add(&mut self, more: &ModelTotals) {
        self.responses = self.responses.saturating_add(more.responses);
        self.usage = self.usage.and(&more.usage);
        self.cost = self.cost.and(&more.cost);
        self.quantities.add(&more.quantities);
    }
}

impl BatchResults {
    /// The totals of all models. It has the model's name if there is only one.
    pub fn sum(&self) -> ModelTotals {
        let mut sum = self.models.first().cloned().unwrap_or_default();
        for more in self.models.iter().skip(1) {
            sum.add(more);
            sum.model = None;
        }
        sum
    }
}

impl Observation {
    /// The results of a batch that the exchange has fetched. None if it has fetched none.
    pub fn batch(&self) -> Option<&BatchResults> {
        self.rare.as_ref()?.batch.as_deref()
    }

    /// The observations that metrics count in place of an exchange that has fetched the results of a batch: the exchange with the failed responses, and
    /// the responses of each model. None if it has fetched none.
    pub fn parts_of_batch(&self) -> Option<Vec<Observation>> {
        let results = self.batch()?;
        let with = |responses, failures| {
            let batch = Some(Box::new(BatchResults { responses, failures, models: Vec::new() }));
            Some(Box::new(RareDetails { batch, ..RareDetails::default() }))
        };
        let mut own = self.clone();
        (own.usage, own.cost, own.quantities) = Default::default();
        own.response.model = None;
        own.rare = with(results.failures, results.failures);
        let of_model = |totals: &ModelTotals| {
            let mut part = Attribution::of(self).observation();
            part.response.model.clone_from(&totals.model);
            part.rare = with(totals.responses, 0);
            (part.usage, part.cost) = (totals.usage, totals.cost);
            part.quantities = Some(Box::new(totals.quantities.clone()));
            part
        };
        Some(core::iter::once(own).chain(results.models.iter().map(of_model)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::CostStatus;

    fn totals(model: &str, input: u64, status: CostStatus) -> ModelTotals {
        let usage = Usage { input: Some(input), ..Usage::default() };
        let cost = Cost { nanousd: Some(10 * input), status: Some(status), ..Cost::default() };
        ModelTotals { model: Some(model.into()), responses: 1, usage, cost, ..ModelTotals::default() }
    }

    #[test]
    fn the_parts_have_every_response_once() {
        let models = vec![totals("a", 3, CostStatus::Priced), totals("b", 4, CostStatus::Priced)];
        let results = BatchResults { responses: 5, failures: 3, models };
        let sum = results.sum();
        assert_eq!((sum.model, sum.usage.input, sum.cost.nanousd), (None, Some(7), Some(70)));
        let rare = RareDetails { batch: Some(Box::new(results)), ..RareDetails::default() };
        let seen =
            Observation { usage: sum.usage, cost: sum.cost, rare: Some(Box::new(rare)), ..Observation::default() };
        let parts = seen.parts_of_batch().unwrap();
        let told: Vec<_> = parts
            .iter()
            .map(|part| {
                let batch = part.batch().unwrap();
                (part.response.model.as_deref(), batch.responses, batch.failures, part.usage.input)
            })
            .collect();
        assert_eq!(told, [(None, 3, 3, None), (Some("a"), 1, 0, Some(3)), (Some("b"), 1, 0, Some(4))]);
        assert_eq!(Observation::default().parts_of_batch(), None);
    }

    #[test]
    fn a_sum_of_costs_that_were_found_in_different_ways_is_partial() {
        let mut priced = totals("a", 1, CostStatus::Priced);
        priced.add(&totals("a", 2, CostStatus::Priced));
        assert_eq!((priced.cost.status, priced.responses), (Some(CostStatus::Priced), 2));
        priced.add(&totals("a", 2, CostStatus::Unpriced));
        assert_eq!(priced.cost.status, Some(CostStatus::Partial));
    }
}
