//! The attributes of an exchange. The table [`ATTRIBUTES`] has one row for each.

mod row;
mod rpc;
mod selection;
mod table;
mod value;

use crate::config::CacheAttribute;
use crate::observation::{Changes, CostPart, FinishReason, Observation, OtherQuantities, ParseErrors, Text, Unpriced};

use row::row;
pub use rpc::{RPC_ATTRIBUTES, RpcAttribute};
pub use selection::{PACKED, Selection};
pub use table::ATTRIBUTES;
pub use value::{AttributeValue, digits, json_string};

/// An attribute: one row of [`ATTRIBUTES`].
#[derive(Clone, Copy)]
pub struct Attribute {
    /// Its name: OpenTelemetry's `gen_ai.*` if there is one. Envoy's filter state has it under `wasm.NAME`.
    pub name: &'static str,
    /// Unit in the notation of UCUM, as OpenTelemetry uses it; empty if there is none. Documentation only.
    pub unit: &'static str,
    /// When it is written.
    pub phase: Phase,
    /// What it says. Documentation only.
    pub doc: &'static str,
    /// Its type, and how to read it.
    read: Read,
}

/// When the value of an attribute can be known for the first time. It is written again when it changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// After the request's body.
    Request,
    /// With the first token of a stream, else at the end.
    Answer,
    /// When the provider sends token counts.
    Usage,
    /// At the end of the exchange.
    End,
}

impl Phase {
    /// Returns true if attributes of this phase may have changed. At the end all may have.
    pub fn is_due(self, changes: Changes) -> bool {
        changes.end
            || match self {
                Phase::Request => changes.request,
                Phase::Answer => changes.first_token,
                Phase::Usage => changes.usage,
                Phase::End => false,
            }
    }
}

/// The type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttributeType {
    /// A string.
    String,
    /// A list of strings. Envoy's filter state has it as a string with a JSON array.
    Strings,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// True or false.
    Bool,
}

/// How to read an attribute from an observation. Each function returns None if there is no value.
#[derive(Clone, Copy)]
enum Read {
    Text(fn(&Observation) -> Option<&str>),
    List(fn(&Observation) -> &[Text]),
    FinishReasons(fn(&Observation) -> &[Option<FinishReason>]),
    Hash(fn(&Observation) -> Option<[u8; 8]>),
    ParseErrors(fn(&Observation) -> ParseErrors),
    Count(fn(&Observation) -> Option<u64>),
    /// A count under a name that the setting `compat.cache_attribute` selects.
    SelectedCount(CacheAttribute, fn(&Observation) -> Option<u64>),
    Integer(fn(&Observation) -> Option<i64>),
    /// A number that OpenTelemetry defines as whole. Some providers send `40.0`, which is written as `40`. There is no value
    /// if it has a fraction.
    Whole(fn(&Observation) -> Option<f64>),
    Float(fn(&Observation) -> Option<f64>),
    Billionths(fn(&Observation) -> Option<u64>),
    /// A part of the cost. There is no value if it is 0.
    Part(CostPart),
    /// A quantity. There is no value if it is 0.
    Quantity(fn(&OtherQuantities) -> u64),
    Unpriced(fn(&Observation) -> Unpriced),
    Bool(fn(&Observation) -> Option<bool>),
}

impl Attribute {
    /// An attribute that has no value.
    const NONE: Attribute = row("", "", Phase::End, "", Read::Bool(|_| None));

    /// The value in an observation. Returns None if it is unknown, or if `selected`, the setting `compat.cache_attribute`,
    /// selects the other name of this attribute.
    pub fn value<'o>(&self, seen: &'o Observation, selected: CacheAttribute) -> Option<AttributeValue<'o>> {
        match self.read {
            Read::Text(read) => read(seen).map(AttributeValue::Text),
            Read::List(read) => Some(read(seen)).filter(|list| !list.is_empty()).map(AttributeValue::List),
            Read::FinishReasons(read) => {
                Some(read(seen)).filter(|list| list.iter().any(Option::is_some)).map(AttributeValue::FinishReasons)
            }
            Read::Hash(read) => read(seen).map(AttributeValue::Hash),
            Read::ParseErrors(read) => Some(read(seen))
                .filter(|parse_errors| parse_errors.iter().next().is_some())
                .map(AttributeValue::ParseErrors),
            Read::Count(read) => read(seen).map(AttributeValue::Count),
            Read::SelectedCount(name, read) => {
                let is_selected = selected == name || selected == CacheAttribute::Both;
                read(seen).filter(|_| is_selected).map(AttributeValue::Count)
            }
            Read::Integer(read) => read(seen).map(AttributeValue::Integer),
            Read::Whole(read) => read(seen).and_then(whole).map(AttributeValue::Integer),
            Read::Float(read) => read(seen).map(AttributeValue::Float),
            Read::Billionths(read) => read(seen).map(AttributeValue::Billionths),
            Read::Part(part) => seen.cost.bill.part(part).map(AttributeValue::Billionths),
            Read::Quantity(read) => {
                let quantities = seen.quantities.as_ref()?;
                Some(read(quantities)).filter(|count| *count > 0).map(AttributeValue::Count)
            }
            Read::Unpriced(read) => Some(read(seen)).filter(|set| !set.is_empty()).map(AttributeValue::Unpriced),
            Read::Bool(read) => read(seen).map(AttributeValue::Bool),
        }
    }

    /// Its type.
    pub const fn kind(&self) -> AttributeType {
        match self.read {
            Read::Text(_) | Read::Hash(_) | Read::ParseErrors(_) => AttributeType::String,
            Read::List(_) | Read::FinishReasons(_) | Read::Unpriced(_) => AttributeType::Strings,
            Read::Count(_) | Read::SelectedCount(..) | Read::Integer(_) | Read::Whole(_) | Read::Quantity(_) => {
                AttributeType::Int
            }
            Read::Float(_) | Read::Billionths(_) | Read::Part(_) => AttributeType::Double,
            Read::Bool(_) => AttributeType::Bool,
        }
    }
}

/// The number as an integer, if it is one that a double represents exactly.
fn whole(number: f64) -> Option<i64> {
    let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    is_whole.then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_with_a_fraction_or_without_precision_has_no_value() {
        assert_eq!([40.0, -3.0, 2.5, 1e16, f64::NAN].map(whole), [Some(40), Some(-3), None, None, None]);
    }

    #[test]
    fn the_setting_selects_the_names_of_the_tokens_written_to_a_cache() {
        let mut seen = Observation::default();
        seen.usage.cache_creation = Some(3);
        let (creation, write) = ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens");
        for (setting, expected) in [
            (CacheAttribute::Creation, &[creation][..]),
            (CacheAttribute::Write, &[write]),
            (CacheAttribute::Both, &[creation, write]),
        ] {
            let has_value = |row: &&Attribute| matches!(row.value(&seen, setting), Some(AttributeValue::Count(3)));
            let names: Vec<_> = ATTRIBUTES.iter().filter(has_value).map(|row| row.name).collect();
            assert_eq!(names, expected, "{setting:?}");
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = ATTRIBUTES.iter().map(|attribute| attribute.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ATTRIBUTES.len());
    }
}
