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
