//! The part of a request that is the same for all signals: the resource and the scope of its items.
//!
//! `ExportTraceServiceRequest`, `ExportMetricsServiceRequest` and `ExportLogsServiceRequest` have the same fields, and so have the
//! messages in them.

use super::wire::{attribute, bytes, message};
use crate::sink::attributes::AttributeValue;

/// The resource and the scope of all that is sent.
pub struct Envelope {
    /// An encoded `Resource`.
    resource: Vec<u8>,
    /// An encoded `InstrumentationScope`.
    scope: Vec<u8>,
}

impl Envelope {
    /// An envelope with the attributes of the resource.
    pub fn new(resource: &[(&str, &str)]) -> Self {
        let (mut encoded, mut scope) = (Vec::new(), Vec::new());
        for (key, value) in resource {
            attribute(&mut encoded, 1, key, &AttributeValue::Text(value));
        }
        bytes(&mut scope, 1, b"gaugeway");
        bytes(&mut scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
        Envelope { resource: encoded, scope }
    }

    /// The request with `items`, which are encoded fields 2 of `ScopeSpans`, `ScopeMetrics` or `ScopeLogs`.
    pub fn wrap(&self, items: &[u8]) -> Vec<u8> {
        let mut request = Vec::with_capacity(items.len() + self.resource.len() + self.scope.len() + 32);
        message(&mut request, 1, |resource_items| {
            bytes(resource_items, 1, &self.resource);
            message(resource_items, 2, |scope_items| {
                bytes(scope_items, 1, &self.scope);
                scope_items.extend_from_slice(items);
            });
        });
        request
    }
}
