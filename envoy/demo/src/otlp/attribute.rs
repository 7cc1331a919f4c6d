//! Attributes with their types, and what the messages of all signals share.

use std::collections::BTreeMap;
use std::fmt;

use crate::protobuf::{Fields, Malformed, Value};

pub type Attributes = BTreeMap<String, Attribute>;

#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    String(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// Envoy sends neither this kind nor the next.
    Strings(Vec<String>),
    Other(String),
}

impl Attribute {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Int(_) => "int",
            Self::Double(_) => "double",
            Self::Bool(_) => "bool",
            Self::Strings(_) => "strings",
            Self::Other(_) => "other",
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(value) | Self::Other(value) => f.write_str(value),
            Self::Int(value) => value.fmt(f),
            Self::Strings(values) => f.write_str(&values.join(",")),
            Self::Double(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
        }
    }
}

/// The string with this key.
pub(super) fn string<'a>(attributes: &'a Attributes, key: &str) -> Option<&'a str> {
    match attributes.get(key) {
        Some(Attribute::String(text)) => Some(text),
        _ => None,
    }
}

/// Calls `take` with the attributes of the resource, the name of the scope and each span, metric or log record of an export
/// request. The three signals use the same numbers for these fields.
pub(super) fn each(
    request: &[u8],
    mut take: impl FnMut(&Attributes, &str, &[u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    for of_a_resource in messages(request, 1)? {
        let mut resource = Attributes::new();
        for message in messages(of_a_resource, 1)? {
            resource.extend(attributes(message, 1)?);
        }
        for of_a_scope in messages(of_a_resource, 2)? {
            let mut scope = String::new();
            for message in messages(of_a_scope, 1)? {
                scope = string_field(message, 1)?;
            }
            for item in messages(of_a_scope, 2)? {
                take(&resource, &scope, item)?;
            }
        }
    }
    Ok(())
}

/// The messages, strings or bytes with this field number.
pub(super) fn messages(message: &[u8], wanted: u64) -> Result<Vec<&[u8]>, Malformed> {
    let mut found = Vec::new();
    for field in Fields::of(message) {
        if let (number, Value::Bytes(bytes)) = field?
            && number == wanted
        {
            found.push(bytes);
        }
    }
    Ok(found)
}

/// Decodes all `KeyValue`s with this field number.
pub(super) fn attributes(message: &[u8], number: u64) -> Result<Attributes, Malformed> {
    messages(message, number)?.into_iter().map(attribute).collect()
}

/// Decodes the key and the value of a `KeyValue`.
pub(super) fn attribute(pair: &[u8]) -> Result<(String, Attribute), Malformed> {
    let value = messages(pair, 2)?.first().map_or(Ok(Attribute::Other("none".to_owned())), |value| any_value(value))?;
    Ok((string_field(pair, 1)?, value))
}

pub(super) fn string_field(message: &[u8], number: u64) -> Result<String, Malformed> {
    Ok(messages(message, number)?.first().map(|bytes| text(bytes)).unwrap_or_default())
}

pub(super) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn any_value(value: &[u8]) -> Result<Attribute, Malformed> {
    let Some(field) = Fields::of(value).next() else { return Ok(Attribute::Other("none".to_owned())) };
    Ok(match field? {
        (1, Value::Bytes(value)) => Attribute::String(text(value)),
        (2, Value::Number(value)) => Attribute::Bool(value != 0),
        // Negative numbers are encoded as two's complement.
        (3, Value::Number(value)) => Attribute::Int(value.cast_signed()),
        (4, Value::Number(value)) => Attribute::Double(f64::from_bits(value)),
        (5, Value::Bytes(list)) => {
            let values: Vec<_> = messages(list, 1)?.into_iter().map(any_value).collect::<Result<_, _>>()?;
            let strings: Option<Vec<_>> = values
                .iter()
                .map(|value| match value {
                    Attribute::String(text) => Some(text.clone()),
                    _ => None,
                })
                .collect();
            strings.map_or_else(|| Attribute::Other(format!("{values:?}")), Attribute::Strings)
        }
        other => Attribute::Other(format!("{other:?}")),
    })
}
