//! The value of an attribute, as text for filter state and as a hash that shows whether it changed.

use core::fmt::Write;

use crate::bytes::mix::Mix;
use crate::json::number;
use crate::observation::{FinishReason, ParseErrors, Text, Unpriced};

/// The value of an attribute.
#[derive(Clone, Copy, Debug)]
pub enum AttributeValue<'a> {
    /// A string.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// A count.
    Count(u64),
    /// A number.
    Float(f64),
    /// Billionths, written as a decimal number: nanoseconds as seconds, nano-dollars as dollars.
    Billionths(u64),
    /// `true` or `false`
    Bool(bool),
    /// A JSON array of strings.
    List(&'a [Text]),
    /// A JSON array of the words of the finish reasons that are known.
    FinishReasons(&'a [Option<FinishReason>]),
    /// A hash, written as 16 hexadecimal digits.
    Hash([u8; 8]),
    /// Words, separated by commas.
    ParseErrors(ParseErrors),
    /// A JSON array of the names in the set.
    Unpriced(Unpriced),
}

impl AttributeValue<'_> {
    /// A hash that differs between the values of one attribute. It is odd, so 0 and 2 can mean that there is no value.
    pub fn hash(&self) -> u32 {
        let texts = |mix: Mix, items: &mut dyn Iterator<Item = &Text>| items.fold(mix, |mix, item| mix.text(item));
        let mix = Mix::new(0);
        let mix = match self {
            AttributeValue::Text(text) => mix.text(text),
            AttributeValue::Integer(number) => mix.number(*number as u64),
            AttributeValue::Count(number) | AttributeValue::Billionths(number) => mix.number(*number),
            AttributeValue::Float(number) => mix.number(number.to_bits()),
            AttributeValue::Bool(value) => mix.number(u64::from(*value)),
            AttributeValue::List(items) => texts(mix, &mut items.iter()),
            AttributeValue::FinishReasons(items) => texts(mix, &mut items.iter().flatten().map(|reason| &reason.word)),
            AttributeValue::Hash(bytes) => mix.number(u64::from_le_bytes(*bytes)),
            AttributeValue::Unpriced(set) => set.names().fold(mix, Mix::text),
            AttributeValue::ParseErrors(parse_errors) => {
                parse_errors.iter().fold(mix, |mix, parse_error| mix.number(parse_error as u64))
            }
        };
        mix.finish() as u32 | 1
    }

    /// Appends the value as text: strings as they are, numbers and lists as JSON.
    pub fn write(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            AttributeValue::Text(text) => out.write_str(text),
            AttributeValue::Integer(number) => write!(out, "{number}"),
            AttributeValue::Count(number) => {
                digits(out, *number, 1);
                Ok(())
            }
            AttributeValue::Float(number) => {
                number::write(out, *number);
                Ok(())
            }
            AttributeValue::Billionths(number) => {
                let (whole, rest) = (number / 1_000_000_000, number % 1_000_000_000);
                let start = out.len();
                digits(out, whole, 1);
                out.push('.');
                digits(out, rest, 9);
                let kept = out.get(start..).map_or(0, |s| s.trim_end_matches('0').len());
                out.truncate(start + kept);
                if out.ends_with('.') {
                    out.push('0');
                }
                Ok(())
            }
            AttributeValue::Bool(value) => write!(out, "{value}"),
            AttributeValue::List(items) => {
                array(out, items.iter().map(|item| &**item));
                Ok(())
            }
            AttributeValue::FinishReasons(items) => {
                array(out, items.iter().flatten().map(|reason| &*reason.word));
                Ok(())
            }
            AttributeValue::Unpriced(set) => {
                array(out, set.names());
                Ok(())
            }
            AttributeValue::Hash(bytes) => {
                let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
                out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
                Ok(())
            }
            AttributeValue::ParseErrors(parse_errors) => {
                for (at, parse_error) in parse_errors.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    out.push_str(parse_error.as_str());
                }
                Ok(())
            }
        };
    }
}

/// Appends a number in at least `least` digits, in a fraction of the time that Rust's formatting takes.
pub fn digits(out: &mut String, number: u64, least: usize) {
    let (mut text, mut rest) = ([b'0'; 20], number);
    let mut first = text.len();
    for (at, slot) in text.iter_mut().enumerate().rev() {
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
        first = at;
        if rest == 0 {
            break;
        }
    }
    let digits = text.get(first.min(text.len() - least)..).and_then(|digits| core::str::from_utf8(digits).ok());
    out.push_str(digits.unwrap_or_default());
}

fn array<'a>(out: &mut String, items: impl Iterator<Item = &'a str>) {
    out.push('[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        json_string(out, item);
    }
    out.push(']');
}

/// Appends a text as a JSON string.
pub fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..='\x1f' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{FinishClass, ParseError};

    fn written(value: AttributeValue<'_>) -> String {
        let mut out = String::new();
        value.write(&mut out);
        out
    }

    #[test]
    fn numbers_are_written_as_in_json() {
        for (nanos, text) in
            [(0, "0.0"), (1, "0.000000001"), (2_500_000_000, "2.5"), (7_000_000_000, "7.0"), (100, "0.0000001")]
        {
            assert_eq!(written(AttributeValue::Billionths(nanos)), text);
        }
        assert_eq!(written(AttributeValue::Count(0)), "0");
        assert_eq!(written(AttributeValue::Count(1050)), "1050");
        assert_eq!(written(AttributeValue::Count(u64::MAX)), u64::MAX.to_string());
        assert_eq!(written(AttributeValue::Float(0.2)), "0.2");
        assert_eq!(written(AttributeValue::Float(40.0)), "40");
        assert_eq!(written(AttributeValue::Integer(-7)), "-7");
        assert_eq!(written(AttributeValue::Hash([0, 1, 0xab, 0xff, 0, 0, 0, 0x10])), "0001abff00000010");
        let mut parse_errors = ParseErrors::default();
        parse_errors.add(ParseError::Encoding);
        parse_errors.add(ParseError::Json);
        assert_eq!(written(AttributeValue::ParseErrors(parse_errors)), "json,encoding");
    }

    #[test]
    fn lists_are_json_arrays_whatever_characters_they_contain() {
        let items: Vec<Text> = ["stop", "a\"b\\c\n\u{1}", "é模"].map(Text::from).into();
        let text = written(AttributeValue::List(&items));
        let parsed: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed, ["stop", "a\"b\\c\n\u{1}", "é模"]);
        let reason = FinishReason { word: "x".into(), class: FinishClass::Other };
        assert_eq!(written(AttributeValue::FinishReasons(&[None, Some(reason), None])), "[\"x\"]");
    }
}
