//! The attributes of a stream in the host's filter state, as the setting `attributes` selects them.

use super::host::{self, LifeSpan};
use crate::config::CacheAttribute;
use crate::observation::{Changes, Observation};
use crate::rpc::RpcExchange;
use crate::sink::attributes::{ATTRIBUTES, PACKED, Phase, RPC_ATTRIBUTES, Selection};
use crate::sink::json;

/// Filter state that says how the exchange ended.
const OUTCOME: &str = "gaugeway.outcome";
/// Its value for a stream that was redirected internally. Such a stream is not counted.
const REDIRECTED: &str = "redirected";

/// The attributes that a budget of Envoy's rate limit filter can count. They are declared as strings, because Envoy's expressions (CEL)
/// can convert a string to a number. Filter state that is not declared is bytes, which they cannot convert.
const COUNTED: [&str; 3] = ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gaugeway.cost.usd"];

/// Declares these attributes. Called by the root context: Envoy ignores declarations of streams.
pub fn declare() {
    for name in COUNTED {
        host::declare_property(name, false, LifeSpan::FilterChain);
    }
}

/// The source of the values, and the setting `compat.cache_attribute`.
type Seen<'o> = (&'o Observation, CacheAttribute);

/// The values that a stream has written to filter state.
pub struct Written {
    /// Hash of the value last written of each attribute.
    hashes: [u32; ATTRIBUTES.len()],
}

impl Written {
    /// Nothing yet.
    pub const fn new() -> Self {
        Written { hashes: [0; ATTRIBUTES.len()] }
    }

    /// Writes the attributes that became known or changed. `is_final`: no other attempt of the call follows.
    pub fn write(&mut self, selection: &Selection, seen: Seen<'_>, changes: Changes, is_final: bool) {
        match selection {
            Selection::Off => {}
            Selection::Packed if changes.end && is_final => {
                host::set_property(PACKED, &json::attributes(seen.0, seen.1));
            }
            Selection::Packed => {}
            Selection::Each(places) => self.write_each(places, seen, changes, is_final),
        }
    }

    fn write_each(&mut self, places: &[usize], (seen, names): Seen<'_>, changes: Changes, is_final: bool) {
        let mut text = String::new();
        for place in places {
            let (Some(attribute), Some(written)) = (ATTRIBUTES.get(*place), self.hashes.get_mut(*place)) else {
                continue;
            };
            if !attribute.phase.is_due(changes) {
                continue;
            }
            // Another attempt may follow. It could overwrite the outcome, but not remove the name of an error.
            if !is_final && attribute.phase != Phase::Request && attribute.name != OUTCOME {
                continue;
            }
            let Some(value) = attribute.value(seen, names) else {
                // A value that was provisional cannot be removed, only emptied.
                if changes.end && *written != 0 {
                    host::set_property(attribute.name, "");
                }
                continue;
            };
            let hash = value.hash();
            if *written != hash {
                *written = hash;
                text.clear();
                value.write(&mut text);
                host::set_property(attribute.name, &text);
            }
        }
    }
}

/// Writes the attributes of an operation of MCP: after the request those of the request, at the end all. A stream has one place for
/// each name, so of a batch the first operation is written.
pub fn write_operation(selection: &Selection, exchange: &RpcExchange, is_end: bool) {
    let (transport, Some(operation)) = (exchange.transport(), exchange.operations().first()) else { return };
    match selection {
        Selection::Packed if is_end => _ = host::set_property(PACKED, &json::operation(transport, operation)),
        Selection::Packed | Selection::Off => {}
        Selection::Each(places) => {
            let mut text = String::new();
            let selected = places.iter().filter_map(|place| RPC_ATTRIBUTES.get(place.checked_sub(ATTRIBUTES.len())?));
            for row in selected.filter(|row| is_end || row.phase == Phase::Request) {
                if let Some(value) = row.value(transport, operation) {
                    text.clear();
                    value.write(&mut text);
                    host::set_property(row.name, &text);
                }
            }
        }
    }
}

/// Marks the stream as one that was redirected internally, with every value of the setting.
pub fn mark_redirected() {
    host::set_property(OUTCOME, REDIRECTED);
}
