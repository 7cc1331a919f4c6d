//! The part of an observation that labels are made of.

use super::{ClientDetails, Name, Observation, Text};

/// What the numbers of an exchange are attributed to: the values of labels, without the numbers. It is kept so that an event
/// after the exchange, such as feedback, is counted with the same labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attribution {
    /// See [`Observation::operation`].
    pub operation: &'static str,
    /// See [`Observation::provider`].
    pub provider: Name,
    /// See [`Observation::route`].
    pub route: Text,
    /// See [`RequestParameters::model`](super::RequestParameters::model).
    pub request_model: Option<Text>,
    /// See [`ResponseDetails::model`](super::ResponseDetails::model).
    pub response_model: Option<Text>,
    /// See [`Observation::conversation`].
    pub conversation: Option<Text>,
    /// See [`Observation::client_name`].
    pub client: Option<&'static str>,
    /// See [`Observation::labels`].
    pub labels: Vec<Text>,
}

impl Attribution {
    /// The attribution of an exchange.
    pub fn of(seen: &Observation) -> Self {
        Attribution {
            operation: seen.operation,
            provider: seen.provider.clone(),
            route: seen.route.clone(),
            request_model: seen.request.model.clone(),
            response_model: seen.response.model.clone(),
            conversation: seen.conversation().map(Text::from),
            client: seen.client_name(),
            labels: seen.labels.clone(),
        }
    }

    /// An observation with this attribution and without any number.
    pub fn observation(self) -> Observation {
        let Attribution { operation, provider, route, labels, .. } = self;
        let mut seen = Observation { operation, provider, route, labels, ..Observation::default() };
        seen.request.model = self.request_model;
        seen.request.conversation = self.conversation;
        seen.response.model = self.response_model;
        seen.client = self.client.map(|name| Box::new(ClientDetails { name: Some(name), ..ClientDetails::default() }));
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_made_from_an_attribution_has_the_same_attribution() {
        let attribution = Attribution {
            operation: "chat",
            provider: "acme".into(),
            route: "r".into(),
            request_model: Some("asked".into()),
            response_model: Some("answered".into()),
            conversation: Some("c".into()),
            client: Some("sdk"),
            labels: vec!["team".into()],
        };
        assert_eq!(Attribution::of(&attribution.clone().observation()), attribution);
    }
}
