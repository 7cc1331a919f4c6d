//! The source of spans and metrics: `Resource` and `InstrumentationScope`.
//!
//! Spec: `opentelemetry/proto/resource/v1/resource.proto`.

use super::wire::{attribute, bytes, message};
use crate::sink::attributes::AttributeValue;

/// The source of spans and metrics, encoded.
#[derive(Clone, Debug, Default)]
pub struct Resource(Vec<u8>);

impl Resource {
    /// The resource with these values of `service.name` and `service.instance.id`. An empty value is left out.
    pub fn new(service: &str, instance: &str) -> Self {
        let mut encoded = Vec::new();
        for (key, value) in [("service.name", service), ("service.instance.id", instance)] {
            if !value.is_empty() {
                attribute(&mut encoded, 1, key, &AttributeValue::Text(value));
            }
        }
        Resource(encoded)
    }

    /// An export request with one `Resource*` message, which has one `Scope*` message. `write` appends the fields of the latter.
    pub fn request(&self, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut request = Vec::new();
        message(&mut request, 1, |of_resource| {
            bytes(of_resource, 1, &self.0);
            message(of_resource, 2, |of_scope| {
                message(of_scope, 1, |scope| {
                    bytes(scope, 1, b"gaugeway");
                    bytes(scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
                });
                write(of_scope);
            });
        });
        request
    }
}
