//! The APIs of providers: how the path and host of a request lead to an API, and the rules for its headers and bodies.
//!
//! An API has a file with rules, which map JSON paths to methods of the draft, and with the path endings at which the API is
//! served. [`compatible`] has the names of providers by host: a vendor with a known API is one row there. [`headers`] reads the
//! headers of particular providers, [`finish_class`] their finish reasons, [`Callers`] the credentials of requests.
//!
//! Each file names the specification that it follows.

mod anthropic;
mod assistants;
mod batch;
mod bedrock;
mod caller;
pub mod client;
mod cohere;
mod common;
mod compatible;
mod compile;
mod endpoint;
mod fetch;
mod finish;
mod gemini;
mod head;
pub mod headers;
mod hosted;
mod interactions;
mod media;
mod mistral;
mod ollama;
mod openai;
pub mod own;
mod responses;
mod servers;
mod shape;
mod socket;
mod tails;

use tails::Tails;

use crate::draft::Draft;
use crate::json::Group;
use crate::observation::FinishClass;

pub use caller::Callers;
pub use common::{USAGE_OBJECTS, WITHOUT_PRICE};
pub use compile::{Programs, compile};
pub use endpoint::{Certainty, Endpoint, NO_API, Override, Target, detect, detect_socket, serves};
pub use finish::finish_class;
pub use head::Head;
pub use socket::{Dialect, MessagePart, Notice, is_upgrade};

/// The form in which a response may have the results of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Results {
    /// It has none.
    None,
    /// It is a file with one result per line.
    Lines,
    /// It has a list, with a rule that ends each result.
    List,
}

/// An API: rules for the bodies of its requests and responses, and properties of its streams.
pub struct Api {
    /// Unique name, which the configuration can select.
    pub name: &'static str,
    /// `gen_ai.operation.name`
    pub operation: &'static str,
    /// The word that OpenTelemetry has for the API: `openai.api.type`.
    pub kind: Option<&'static str>,
    /// Rules for the body of the request.
    pub request: &'static [Group<Draft>],
    /// Rules for the documents of the response: the whole body, or each event of a stream.
    pub response: &'static [Group<Draft>],
    /// Called at the end of each document of the response. It evaluates what the rules noted, so that the order of the
    /// document's members does not matter.
    pub document: fn(&mut Draft),
    /// The class of a finish reason: [`finish_class`]. The draft, a lower layer, cannot import it.
    pub finish_class: fn(&str) -> FinishClass,
    /// A complete stream has an event that marks its end. A stream without it is truncated.
    pub terminated: bool,
    /// A successful response has usage. If false, a response without usage is normal.
    pub usage_expected: bool,
    /// The provider stores conversations, so a request need not repeat the earlier messages.
    pub remembers: bool,
    /// A stream reports usage only if the request asks for it with `stream_options.include_usage`.
    pub takes_stream_options: bool,
    /// The form in which the response may have the results of a batch.
    pub results: Results,
    /// The path is also that of other APIs, and the bodies show which it is. Until something is read, the exchange may not be LLM
    /// traffic. A row of the configuration that names the API decides before the bodies.
    pub by_shape: bool,
    /// The vendor's own host serves nothing else at the path endings of the API.
    pub only_api_of_vendor: bool,
    /// The meaning of messages, if the API is served over a WebSocket. None for an API of HTTP requests.
    pub dialect: Option<&'static Dialect>,
}

impl Api {
    /// The values that most APIs have in common.
    const DEFAULT: Api = Api {
        name: "",
        operation: "",
        kind: None,
        request: &[],
        response: &[],
        document: |_| {},
        finish_class,
        terminated: false,
        usage_expected: true,
        remembers: false,
        takes_stream_options: false,
        results: Results::None,
        by_shape: false,
        only_api_of_vendor: false,
        dialect: None,
    };
}

/// All endpoints. If several match a path, the first one is used: an ending that ends in another one comes before it.
static ENDPOINTS: &[&[Endpoint]] = &[
    ollama::ENDPOINTS,
    mistral::ENDPOINTS,
    hosted::ENDPOINTS,
    servers::ENDPOINTS,
    openai::ENDPOINTS,
    responses::ENDPOINTS,
    assistants::ENDPOINTS,
    anthropic::ENDPOINTS,
    gemini::ENDPOINTS,
    interactions::ENDPOINTS,
    bedrock::ENDPOINTS,
    cohere::ENDPOINTS,
    media::ENDPOINTS,
    shape::ENDPOINTS,
    socket::ENDPOINTS,
    fetch::ENDPOINTS,
    batch::ENDPOINTS,
];

/// The ends of the paths of all endpoints.
static TAILS: Tails = Tails::of(ENDPOINTS);

/// All endpoints. [`Target::endpoint`] is an index into this sequence.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.iter().copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn only_chat_completions_and_completions_take_stream_options() {
        let names: BTreeSet<_> =
            endpoints().map(|e| e.api).filter(|api| api.takes_stream_options).map(|a| a.name).collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["openai-chat", "openai-completions"]);
    }

    #[test]
    fn two_apis_of_one_name_are_one_api() {
        let mut operations = std::collections::BTreeMap::new();
        for Endpoint { api, .. } in endpoints() {
            assert!(!api.name.is_empty());
            assert_eq!(*operations.entry(api.name).or_insert(api.operation), api.operation, "{}", api.name);
        }
    }
}
