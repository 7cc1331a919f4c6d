//! Protobuf encoding of the messages that spans and metrics share.
//!
//! Spec: Protocol Buffers encoding; `opentelemetry/proto/common/v1/common.proto`.

use crate::sink::attributes::AttributeValue;

/// Appends a number in base 128.
pub fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a field of the wire type VARINT.
pub fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

/// Appends a field of the wire type LEN: a string, bytes or an encoded message.
pub fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a field of the wire type I64: `fixed64`, `sfixed64`, or the bits of a `double`.
pub fn fixed(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3 | 1);
    out.extend(value.to_le_bytes());
}

/// Appends a field with the message that `write` appends. The message needs no buffer of its own.
pub fn message(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    varint(out, field << 3 | 2);
    let start = out.len();
    // Most messages are shorter than 128 bytes, so their length takes one byte.
    out.push(0);
    write(out);
    let length = out.len().saturating_sub(start + 1);
    if let (0..=0x7f, Some(first)) = (length, out.get_mut(start)) {
        *first = length as u8;
        return;
    }
    // The message makes room for the other bytes of its length.
    let more = (length.ilog2() / 7) as usize;
    out.resize(out.len() + more, 0);
    out.copy_within(start + 1..start + 1 + length, start + 1 + more);
    let mut rest = length;
    for byte in out.iter_mut().skip(start).take(more) {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    if let Some(last) = out.get_mut(start + more) {
        *last = rest as u8;
    }
}

/// Appends a field `KeyValue`.
pub fn attribute(out: &mut Vec<u8>, field: u64, key: &str, value: &AttributeValue<'_>) {
    let mut number = NumberField::default();
    let (head, text) = match value {
        AttributeValue::Text(text) => ([1 << 3 | 2, text.len().min(SHORT) as u8], text.as_bytes()),
        AttributeValue::Count(value) => number.varint(3, *value),
        AttributeValue::Integer(value) => number.varint(3, *value as u64),
        AttributeValue::Bool(value) => number.varint(2, u64::from(*value)),
        AttributeValue::Float(value) => number.double(*value),
        AttributeValue::Billionths(value) => number.double(*value as f64 / 1e9),
        _ => return any_attribute(out, field, key, value),
    };
    // Most attributes are so short that each length takes one byte: then all lengths are known before.
    let any = head.len() + text.len();
    let pair = key.len() + any + 4;
    if pair >= SHORT {
        return any_attribute(out, field, key, value);
    }
    out.reserve(pair + 4);
    varint(out, field << 3 | 2);
    out.extend_from_slice(&[pair as u8, 1 << 3 | 2, key.len() as u8]);
    out.extend_from_slice(key.as_bytes());
    let [tag, first] = head;
    out.extend_from_slice(&[2 << 3 | 2, any as u8, tag, first]);
    out.extend_from_slice(text);
}

/// The least length that takes two bytes.
const SHORT: usize = 0x80;

/// A number as the field of an `AnyValue`, in two parts: the first two bytes, and the others.
#[derive(Default)]
struct NumberField([u8; 9], usize);

impl NumberField {
    fn varint(&mut self, field: u8, mut number: u64) -> ([u8; 2], &[u8]) {
        let byte = |number: u64| number as u8 | if number < 0x80 { 0 } else { 0x80 };
        let head = [field << 3, byte(number)];
        for slot in &mut self.0 {
            if number < 0x80 {
                break;
            }
            number >>= 7;
            *slot = byte(number);
            self.1 += 1;
        }
        (head, self.0.get(..self.1).unwrap_or_default())
    }

    fn double(&mut self, number: f64) -> ([u8; 2], &[u8]) {
        let [first, rest @ ..] = number.to_le_bytes();
        for (slot, byte) in self.0.iter_mut().zip(rest) {
            *slot = byte;
        }
        ([4 << 3 | 1, first], self.0.get(..7).unwrap_or_default())
    }
}

/// Appends a field `KeyValue` of any type and length.
fn any_attribute(out: &mut Vec<u8>, field: u64, key: &str, value: &AttributeValue<'_>) {
    message(out, field, |pair| {
        bytes(pair, 1, key.as_bytes());
        message(pair, 2, |any| any_value(any, value));
    });
}

/// Appends the fields of an `AnyValue`.
fn any_value(any: &mut Vec<u8>, value: &AttributeValue<'_>) {
    match value {
        AttributeValue::Bool(value) => any.extend([2 << 3, u8::from(*value)]),
        AttributeValue::Integer(value) => number(any, 3, *value as u64),
        AttributeValue::Count(value) => number(any, 3, *value),
        AttributeValue::Float(number) => fixed(any, 4, number.to_bits()),
        AttributeValue::Billionths(number) => fixed(any, 4, (*number as f64 / 1e9).to_bits()),
        AttributeValue::List(items) => array(any, items.iter().map(|item| &**item)),
        AttributeValue::FinishReasons(items) => array(any, items.iter().flatten().map(|reason| &*reason.word)),
        AttributeValue::Unpriced(set) => array(any, set.names()),
        AttributeValue::Text(text) => bytes(any, 1, text.as_bytes()),
        AttributeValue::Hash(_) | AttributeValue::ParseErrors(_) => {
            let mut text = String::new();
            value.write(&mut text);
            bytes(any, 1, text.as_bytes());
        }
    }
}

fn array<'a>(any: &mut Vec<u8>, items: impl Iterator<Item = &'a str>) {
    message(any, 5, |list| items.for_each(|item| message(list, 1, |value| bytes(value, 1, item.as_bytes()))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_attributes_are_encoded_like_all_others() {
        let long = "x".repeat(200);
        let texts = (0..200).filter_map(|length| long.get(..length)).map(AttributeValue::Text);
        let numbers = (0..64).flat_map(|bits| [1 << bits, (1_u64 << bits) - 1]).chain([u64::MAX]).flat_map(|number| {
            let float = AttributeValue::Float(f64::from_bits(number));
            [
                AttributeValue::Count(number),
                AttributeValue::Integer(number as i64),
                AttributeValue::Billionths(number),
                float,
            ]
        });
        let flags = [true, false].map(AttributeValue::Bool);
        for value in texts.chain(numbers).chain(flags) {
            for key in ["", "key", "gen_ai.usage.cache_creation.input_tokens", &long] {
                let (mut expected, mut out) = (vec![7], vec![7]);
                any_attribute(&mut expected, 9, key, &value);
                attribute(&mut out, 9, key, &value);
                assert_eq!(out, expected, "{key} {value:?}");
            }
        }
    }

    #[test]
    fn a_message_of_any_length_has_its_length_before_it() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let mut expected = vec![7];
            bytes(&mut expected, 3, &vec![9; length]);
            let mut out = vec![7];
            message(&mut out, 3, |out| out.resize(out.len() + length, 9));
            assert_eq!(out, expected, "{length}");
        }
    }
}
