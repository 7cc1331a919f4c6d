//! An observation and its statistics as JSON, for hosts without filter state and stats: the rows of [`FIELDS`], typed, and
//! the samples of [`METRICS`](super::stats::METRICS) with their labels taken apart again.
//!
//! Bound: the names of the series that [`Stats`] lets through.

use std::fmt::Write;

use super::attributes::{FIELDS, Value};
use super::stats::{Kind, Registry, Stats};
use crate::config::{CacheAttribute, Config};
use crate::observation::Observation;

/// A JSON object of the attributes that have a value. `names` is the setting `compat.cache_attribute`.
pub fn attributes(seen: &Observation, names: CacheAttribute) -> String {
    let mut out = String::from("{");
    for field in FIELDS {
        let Some(value) = field.value(seen, names) else { continue };
        key(&mut out, field.name);
        match value {
            Value::Text(text) => string(&mut out, text),
            // Hexadecimal digits and words of our own need no escape.
            Value::Hash(_) | Value::Troubles(_) => {
                out.push('"');
                value.write(&mut out);
                out.push('"');
            }
            _ => value.write(&mut out),
        }
    }
    out.push('}');
    out
}

/// Turns exchanges that are over into samples.
#[derive(Default)]
pub struct Samples {
    stats: Stats,
    series: Series,
}

/// What [`Stats`] takes for the host.
#[derive(Default)]
struct Series {
    names: Vec<String>,
    out: String,
}

impl Samples {
    /// An array of `{"name", "kind", "value", "labels"}`, one a sample.
    pub fn of(&mut self, seen: &Observation, config: &Config) -> String {
        self.series.out.push('[');
        self.stats.record(seen, config, &mut self.series);
        self.series.out.push(']');
        core::mem::take(&mut self.series.out)
    }
}

impl Registry for Series {
    fn define(&mut self, _: Kind, name: &str) -> Option<u32> {
        self.names.push(name.to_owned());
        u32::try_from(self.names.len() - 1).ok()
    }

    fn emit(&mut self, kind: Kind, series: u32, value: u64) {
        let name = usize::try_from(series).ok().and_then(|at| self.names.get(at));
        let Some((name, labels)) = name.map(|name| name.split_once('.').unwrap_or((name, ""))) else { return };
        let out = &mut self.out;
        out.push_str(if out.ends_with('[') { "{" } else { ",{" });
        key(out, "name");
        string(out, name);
        key(out, "kind");
        string(
            out,
            match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            },
        );
        key(out, "value");
        // Writing to a String cannot fail.
        let _ = write!(out, "{value}");
        key(out, "labels");
        out.push('{');
        for (name, value) in labels.split(";.;").filter_map(|label| label.split_once("=.=")) {
            key(out, name);
            string(out, value);
        }
        out.push_str("}}");
    }
}

/// Appends a member's name, behind a comma where it is not the first.
fn key(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    string(out, name);
    out.push(':');
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\0'..='\x1f' => {
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
    use crate::observation::{Cost, CostStatus, Outcome, Trouble};
    use serde_json::{Value as Json, json};

    const HOSTILE: &str = "a\"b\\c\n\u{1}é模{[";

    fn exchange() -> Observation {
        let mut seen = Observation {
            operation: "chat",
            provider: "openai".into(),
            outcome: Some(Outcome::Completed),
            cost: Cost { nanousd: Some(7_500_000_000), status: Some(CostStatus::Priced) },
            ..Observation::default()
        };
        seen.request.model = Some(HOSTILE.into());
        seen.request.stream = Some(true);
        seen.request.temperature = Some(0.2);
        seen.request.hash = Some([0, 1, 2, 3, 4, 5, 6, 0xff]);
        seen.request.stop_sequences = vec![HOSTILE.into(), "".into()];
        seen.response.model = Some(HOSTILE.into());
        seen.usage.input = Some(3);
        seen.trouble.add(Trouble::Json);
        seen
    }

    #[test]
    fn attributes_are_typed_json_whatever_stands_in_them() {
        let read: Json = serde_json::from_str(&attributes(&exchange(), CacheAttribute::default())).unwrap();
        let wanted = json!({
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": HOSTILE,
            "gen_ai.request.stream": true,
            "gen_ai.request.temperature": 0.2,
            "gen_ai.request.stop_sequences": [HOSTILE, ""],
            "gaugeway.prompt.hash": "00010203040506ff",
            "gen_ai.response.model": HOSTILE,
            "gen_ai.usage.input_tokens": 3,
            "gaugeway.cost.usd": 7.5,
            "gaugeway.cost.status": "priced",
            "gaugeway.outcome": "completed",
            "gaugeway.trouble": "json",
        });
        assert_eq!(read, wanted);
    }

    #[test]
    fn samples_have_their_labels_apart_and_their_series_are_bounded() {
        let config = Config::parse(r#"{"labels": {"max_series": 12}}"#).unwrap();
        let mut samples = Samples::default();
        let mut seen = exchange();
        let read = |text: String| serde_json::from_str::<Vec<Json>>(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let first = read(samples.of(&seen, &config));
        let tokens = first.iter().find(|sample| sample["name"] == "gaugeway_input_tokens_total").unwrap();
        assert_eq!((&tokens["kind"], &tokens["value"]), (&json!("counter"), &json!(3)));
        assert_eq!(tokens["labels"]["gen_ai_response_model"], "a\"b\\c__é模{[");
        for number in 0..20 {
            seen.response.model = Some(format!("m{number}").into());
            drop(read(samples.of(&seen, &config)));
        }
        let last = read(samples.of(&seen, &config));
        assert!(last.iter().any(|sample| sample["name"] == "gaugeway_series_overflow_total"), "{last:?}");
        let names: std::collections::BTreeSet<_> = samples.series.names.iter().collect();
        assert!(names.len() == samples.series.names.len() && names.len() < 40, "{names:?}");
    }
}
