//! The rules of each endpoint, compiled into programs for the JSON scanner.

use super::{Endpoint, Notice, bedrock, client, common, endpoints};
use crate::draft::Draft;
use crate::framing::Rules;
use crate::json::{Group, Program};
use crate::text::hash::Hashes;

/// The rules for the requests of all APIs with the operation `embeddings`.
const EMBEDDING: &[Group<Draft>] = &[("", common::EMBEDDING)];

/// The compiled rules for the bodies of one endpoint.
pub struct Programs {
    /// Rules for the request.
    pub request: Program<Draft>,
    /// Rules for the documents of the response.
    pub response: Program<Draft>,
    /// Rules for the envelopes of a stream's documents, if it has envelopes.
    pub envelope: Option<Program<Draft>>,
    /// Rules for the notices of the client's and the server's messages, if the API is served over a WebSocket.
    pub notices: Option<[Program<Notice>; 2]>,
}

impl Programs {
    /// The rules for the body of the response.
    pub fn response_rules(&self) -> Rules<'_> {
        Rules { document: &self.response, envelope: self.envelope.as_ref() }
    }
}

/// Compiles the rules of all endpoints, in the order of [`endpoints`]. `hashes` decides which texts of the request are read.
pub fn compile(hashes: Hashes) -> Vec<Programs> {
    let mut common: Vec<Group<Draft>> =
        vec![("", common::REQUIRED), ("", common::SYSTEM), ("", common::PREFIX), ("", client::CLIENT)];
    if hashes.prompt {
        common.push(("", common::MEDIA));
    }
    if hashes.tools {
        common.push(("", common::TOOLS));
    }
    let programs = |e: &Endpoint| Programs {
        request: Program::new(
            &[e.api.request, &common, if e.api.operation == "embeddings" { EMBEDDING } else { &[] }].concat(),
            Draft::document_opened,
            Draft::request_document_ended,
        ),
        response: {
            let mut response = Program::new(e.api.response, Draft::document_opened, Draft::response_document_ended);
            response.otherwise(&common::USAGE_OBJECTS, common::WITHOUT_PRICE, Draft::unknown_usage);
            response
        },
        envelope: e.enveloped.then(|| Program::new(bedrock::ENVELOPE, |_| {}, Draft::request_document_ended)),
        notices: e.api.dialect.map(|dialect| {
            [dialect.client, dialect.server].map(|rules| Program::new(&[("", rules)], |_| {}, |_, _| {}))
        }),
    };
    endpoints().map(programs).collect()
}
