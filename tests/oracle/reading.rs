//! The contents of a response, and small readers that all formats use.

use super::framing::BROKEN_OFF;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ParseError {
    Json,
    Number,
    Framing,
    Encoding,
}

impl ParseError {
    pub fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Number => "number",
            Self::Framing => "framing",
            Self::Encoding => "encoding",
        }
    }
}

/// Normalised counts: `input` includes cached tokens, `output` includes reasoning tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cache_read: Option<u64>,
    pub cache_creation: Option<u64>,
    pub reasoning: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Reading {
    pub model: Option<String>,
    pub id: Option<String>,
    /// Finish reasons by choice index.
    pub finish: BTreeMap<u64, String>,
    pub tools: Vec<String>,
    pub text: String,
    pub usage: Usage,
    /// Counts by modality, by the end of the attribute's name.
    pub modes: BTreeMap<&'static str, u64>,
    /// The tier that served the request.
    pub tier: Option<String>,
    pub fingerprint: Option<String>,
    pub failed: bool,
    pub failure: Option<String>,
    /// The stream contained its end marker.
    pub finished: bool,
    /// Streams of this format have an end marker.
    pub needs_terminator: bool,
    pub parse_errors: BTreeSet<ParseError>,
    /// The bodies have a form that only the API has.
    pub is_shown: bool,
    /// The provider whose form the bodies have.
    pub provider: Option<&'static str>,
}

impl Reading {
    /// Keeps the first non-empty model and id. Vendors start with `""`, and some change the id in every chunk.
    pub fn name(&mut self, model: &Value, id: &Value) {
        keep_first(&mut self.model, model);
        keep_first(&mut self.id, id);
    }

    pub fn finish(&mut self, index: u64, reason: &Value) {
        if let Some(reason) = word(reason) {
            self.finish.insert(index, reason);
        }
    }

    pub fn tool(&mut self, name: &Value) {
        if let Some(name) = text(name) {
            self.tools.push(name.to_owned());
        }
    }

    pub fn say(&mut self, value: &Value) {
        self.text.push_str(fragment(value));
    }

    /// Reads a count: a whole number from 0 to 2^32, also written as `12.0`. Null means absent; any other value is a
    /// parse error.
    pub fn count(&mut self, value: &Value) -> Option<u64> {
        const LAST: f64 = (1u64 << 32) as f64;
        match value {
            Value::Null => None,
            Value::Number(n) => match n.as_f64() {
                Some(f) if (0.0..=LAST).contains(&f) && f.fract() == 0.0 => Some(f as u64),
                _ => self.odd_number(),
            },
            _ => self.odd_number(),
        }
    }

    /// As [`Self::overlay`], but 0 does not replace a count.
    pub fn overlay_unless_zero(&mut self, slot: &mut Option<u64>, value: &Value) {
        if slot.is_none() || value.as_f64() != Some(0.0) {
            self.overlay(slot, value);
        }
    }

    /// The bodies have the form of this provider.
    pub fn shown_by(&mut self, provider: &'static str) {
        (self.is_shown, self.provider) = (true, Some(provider));
    }

    /// Sets `slot` to a count if the value is one.
    pub fn overlay(&mut self, slot: &mut Option<u64>, value: &Value) {
        if let Some(count) = self.count(value) {
            *slot = Some(count);
        }
    }

    /// Sets a count of one modality, unless it is 0 or no count.
    pub fn mode(&mut self, key: &'static str, value: &Value) {
        if value.as_f64().is_some_and(|number| number > (1u64 << 32) as f64) {
            self.odd_number();
        }
        let count =
            value.as_f64().filter(|number| number.fract() == 0.0 && (1.0..=(1u64 << 32) as f64).contains(number));
        if let Some(count) = count {
            self.modes.insert(key, count as u64);
        }
    }

    /// Reads a list of counts by modality. `keys` are those of text, audio and images; `number` is the name of the count.
    pub fn mode_list(&mut self, keys: [&'static str; 3], list: &Value, number: &str) {
        if each(list).next().is_none() {
            return;
        }
        for (key, kind) in keys.into_iter().zip(["text", "audio", "image"]) {
            let of_kind = each(list)
                .filter(|entry| entry["modality"].as_str().is_some_and(|mode| mode.eq_ignore_ascii_case(kind)));
            self.modes.insert(key, of_kind.filter_map(|entry| entry[number].as_u64()).sum());
        }
    }

    fn odd_number(&mut self) -> Option<u64> {
        self.parse_errors.insert(ParseError::Number);
        None
    }
}

fn keep_first(slot: &mut Option<String>, value: &Value) {
    if slot.is_none() {
        *slot = text(value).map(str::to_owned);
    }
}

/// A non-empty string that is complete.
pub fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|s| !s.is_empty() && !s.ends_with(BROKEN_OFF))
}

/// A string as far as it arrived. It is used for text, not for names.
pub fn fragment(value: &Value) -> &str {
    value.as_str().map_or("", |s| s.trim_end_matches(BROKEN_OFF))
}

/// A non-empty string, or a number as text (Gemini can send its enums as integers).
pub fn word(value: &Value) -> Option<String> {
    match value {
        Value::Number(n) => Some(n.to_string()),
        other => text(other).map(str::to_owned),
    }
}

/// The elements of an array, or nothing for any other value.
pub fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The first value unless it is null, otherwise the second.
pub fn either<'a>(first: &'a Value, second: &'a Value) -> &'a Value {
    if first.is_null() { second } else { first }
}

pub fn sum(parts: &[Option<u64>]) -> u64 {
    parts.iter().flatten().sum()
}

/// The first 16 hexadecimal digits of SHA-256 over a text.
pub fn hash(text: &str) -> String {
    short_hash(text.as_bytes())
}

/// The first 16 hexadecimal digits of SHA-256.
pub fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Appends the text of a message's content: a string, or the text parts of an array, including those in tool results.
pub fn content_text(content: &Value, out: &mut String) {
    match content {
        Value::String(_) => out.push_str(fragment(content)),
        Value::Array(parts) => parts.iter().for_each(|part| part_text(part, out)),
        _ => {}
    }
}

fn part_text(part: &Value, out: &mut String) {
    match part["type"].as_str() {
        Some("tool_result") => content_text(&part["content"], out),
        None | Some("text" | "input_text" | "output_text") => {
            for place in ["text", "stdout", "stderr"] {
                out.push_str(fragment(&part[place]));
            }
            content_text(&part["toolResult"]["content"], out);
            content_text(&part["content"], out);
        }
        Some(_) => {}
    }
}
