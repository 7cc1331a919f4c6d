//! The names of an exchange as values of labels: whole, and without the names of certain kinds.

use super::OTHER;
use crate::bytes::mix::Mix;
use crate::config::Config;
use crate::labels::NameKind::{Header, RequestModel, ResponseModel};
use crate::labels::{COMMON, Scope};
use crate::observation::{Observation, Text};

/// The values of the labels that the metrics of an exchange share.
pub(super) struct Names<'a> {
    operation: &'a str,
    provider: &'a str,
    route: &'a str,
    requested: ModelName<'a>,
    answered: ModelName<'a>,
    /// Label names from `labels.headers`.
    headers: &'a [(String, String)],
    /// The values of these headers; empty if none has a value.
    header_values: &'a [Text],
}

/// The names that a model can have as a label, from the most exact one. Each may be missing.
#[derive(Clone, Copy, Default)]
struct ModelName<'a> {
    /// The name in the answer. It has the kind [`ResponseModel`].
    answered: Option<&'a str>,
    /// The name in the price table. It has the kind [`RequestModel`].
    listed: Option<&'a str>,
    /// A name without a kind: of `labels.models`, or `other`. Empty if there is no model.
    otherwise: &'a str,
}

/// A set with every kind.
pub(super) const ANY: usize = usize::MAX;

impl<'a> Names<'a> {
    /// The names of an exchange. Of the answer's model it has only the exact name; see [`Names::look_up`].
    pub fn of(seen: &'a Observation, config: &'a Config) -> Self {
        let answer = seen.response.model.as_deref().unwrap_or_default();
        let has_headers = seen.labels.iter().any(|value| !value.is_empty());
        let mut names = Names {
            operation: seen.operation,
            provider: &seen.provider,
            route: &seen.route,
            requested: ModelName::default(),
            answered: ModelName { answered: Some(answer), ..ModelName::default() },
            headers: &config.labels.headers,
            header_values: if has_headers { &seen.labels } else { &[] },
        };
        names.requested = names.of_request(seen.request.model.as_deref().unwrap_or_default(), answer, config);
        names
    }

    /// The name of the requested model. A client can choose any name, so its own spelling is never a label.
    fn of_request(&self, requested: &'a str, answer: &str, config: &'a Config) -> ModelName<'a> {
        if requested.is_empty() || config.labels.models.contains(requested) {
            return ModelName { otherwise: requested, ..ModelName::default() };
        }
        let listed = config.prices.name(self.provider, requested);
        match listed {
            Some(_) => ModelName { listed, otherwise: OTHER, ..ModelName::default() },
            // The name of an alias begins the name of the model that answers: `m-4`, `m-4-2024-08-06`.
            None if answer.starts_with(requested) => self.answered,
            None => ModelName { otherwise: OTHER, ..ModelName::default() },
        }
    }

    /// Adds the less exact names of the answer's model. Only new series need them.
    pub fn look_up(&mut self, config: &'a Config) {
        let Some(answer) = self.answered.answered else { return };
        let is_alias = self.requested.answered.is_some();
        self.answered = if answer.is_empty() || config.labels.models.contains(answer) {
            ModelName { otherwise: answer, ..ModelName::default() }
        } else {
            let listed = config.prices.name(self.provider, answer);
            ModelName { answered: Some(answer).filter(|name| listed != Some(*name)), listed, otherwise: OTHER }
        };
        if is_alias {
            self.requested = self.answered;
        }
    }

    /// The kinds of the names in the series of a metric, after [`Names::look_up`].
    pub fn kinds(&self, scope: Scope) -> usize {
        let models = [self.requested, self.answered].map(ModelName::kinds);
        let [_, _, has_requested, has_answered, _] = scope.has();
        let of = |has: bool, kinds: usize| if has { kinds } else { 0 };
        let header = if self.header_values.is_empty() { 0 } else { Header.bit() };
        let [requested, answered] = models;
        of(has_requested, requested) | of(has_answered, answered) | header
    }

    /// The values of [`COMMON`], without the names whose kind is not allowed.
    fn values(&self, allowed: usize) -> [&'a str; COMMON.len()] {
        let models = [self.requested, self.answered].map(|model| model.value(allowed));
        let [requested, answered] = models;
        [self.operation, self.provider, requested, answered, self.route]
    }

    /// The values of the labels of headers.
    fn header_values(&self, allowed: usize) -> &'a [Text] {
        if allowed & Header.bit() == 0 { &[] } else { self.header_values }
    }

    /// Names and values of the common labels of a metric. Values may be empty.
    pub fn pairs(&self, scope: Scope, allowed: usize) -> impl Iterator<Item = (&'a str, &'a str)> {
        let headers = self.headers.iter().zip(self.header_values(allowed));
        let headers = headers.map(|((_, name), value)| (name.as_str(), &**value));
        let common = COMMON.iter().map(|label| label.name).zip(self.values(allowed)).zip(scope.has());
        common.filter_map(|(pair, has)| has.then_some(pair)).chain(headers)
    }

    /// The hash of the common labels of the metrics of each scope, in the order of [`Scope::ALL`].
    pub fn mixes(&self, seed: u64, allowed: usize) -> [Mix; Scope::ALL.len()] {
        // The configuration before a reload may have had other headers.
        let headers = self.headers.iter().zip(self.header_values(allowed));
        let start = headers.fold(Mix::new(seed), |mix, ((_, name), value)| mix.text(name).text(value));
        let values = self.values(allowed).map(|value| Mix::new(seed).text(value).finish());
        Scope::ALL.map(|scope| {
            let values = values.iter().zip(scope.has()).map(|(value, has)| if has { *value } else { 0 });
            values.fold(start, Mix::number)
        })
    }
}

impl<'a> ModelName<'a> {
    fn kinds(self) -> usize {
        let of = |name: Option<&str>, bit: usize| if name.is_some() { bit } else { 0 };
        of(self.answered, ResponseModel.bit()) | of(self.listed, RequestModel.bit())
    }

    fn value(self, allowed: usize) -> &'a str {
        let of = |name: Option<&'a str>, bit: usize| name.filter(|_| allowed & bit != 0);
        of(self.answered, ResponseModel.bit()).or(of(self.listed, RequestModel.bit())).unwrap_or(self.otherwise)
    }
}
