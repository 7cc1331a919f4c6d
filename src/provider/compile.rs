//! The rules of each endpoint, compiled into programs for the JSON scanner.

use super::{Endpoint, bedrock, common, endpoints};
use crate::draft::Draft;
use crate::framing::Rules;
use crate::json::{Ended, Group, Program};
use crate::observation::Trouble;
use crate::text::hash::Hashes;

/// The compiled rules for the bodies of one endpoint.
pub struct Programs {
    /// Rules for the request.
    pub request: Program<Draft>,
    /// Rules for the documents of the response.
    pub response: Program<Draft>,
    /// Rules for the envelopes of a stream's documents, if it has envelopes.
    pub envelope: Option<Program<Draft>>,
}

impl Programs {
    /// The rules for the body of the response.
    pub fn response_rules(&self) -> Rules<'_> {
        Rules { document: &self.response, envelope: self.envelope.as_ref() }
    }
}

/// Compiles the rules of all endpoints, in the order of [`endpoints`]. `hashes` decides which texts of the request are read.
pub fn compile(hashes: Hashes) -> Vec<Programs> {
    let malformed = |d: &mut Draft, ended| {
        if ended == Ended::Malformed {
            d.seen.trouble.add(Trouble::Json);
        }
    };
    let mut common: Vec<Group<Draft>> = vec![("", common::REQUIRED)];
    if hashes.conversation || hashes.system {
        common.push(("", common::SYSTEM));
    }
    if hashes.tools {
        common.push(("", common::TOOLS));
    }
    let programs = |e: &Endpoint| Programs {
        request: Program::new(&[e.api.request, &common].concat(), begin, malformed),
        response: Program::new(e.api.response, begin, end),
        envelope: e.enveloped.then(|| Program::new(bedrock::ENVELOPE, |_| {}, malformed)),
    };
    endpoints().map(programs).collect()
}

/// Called at the beginning of each document.
fn begin(d: &mut Draft) {
    d.open = Default::default();
}

/// Called at the end of each document of a response.
fn end(d: &mut Draft, ended: Ended) {
    match ended {
        Ended::Whole => {
            if d.event.as_str() == "error" {
                d.failed();
            }
            if !d.event.as_str().is_empty() && d.open.kind.as_str().is_empty() {
                d.open.kind = d.event;
            }
            if let Some(document) = d.document {
                document(d);
            }
            if let Some(at) = d.open.generated {
                d.seen.timing.first_token.get_or_insert(at);
            }
            d.documents = d.documents.saturating_add(1);
        }
        Ended::Malformed => d.seen.trouble.add(Trouble::Json),
        Ended::Cut => {}
    }
}
