//! An observation and its samples as JSON, for hosts without filter state and metrics.
//!
//! Memory: the name and the labels of each series, whose number [`Stats`] bounds.

use std::fmt::Write;

use super::attributes::{ATTRIBUTES, AttributeValue, RPC_ATTRIBUTES, json_string};
use super::stats::{Metric, MetricKind, Registry, Stats};
use crate::config::{CacheAttribute, Config};
use crate::observation::Observation;
use crate::rpc::{RpcOperation, RpcTransport};

/// The attributes whose values are known, as one object. `names` is the setting `compat.cache_attribute`.
pub fn attributes(seen: &Observation, names: CacheAttribute) -> String {
    object(ATTRIBUTES.iter().filter_map(|row| Some((row.name, row.value(seen, names)?))))
}

/// The attributes of an operation of MCP whose values are known, as one object.
pub fn operation(transport: &RpcTransport, operation: &RpcOperation) -> String {
    object(RPC_ATTRIBUTES.iter().filter_map(|row| Some((row.name, row.value(transport, operation)?))))
}

fn object<'o>(members: impl Iterator<Item = (&'static str, AttributeValue<'o>)>) -> String {
    let mut out = String::from("{");
    for (name, value) in members {
        key(&mut out, name);
        match value {
            AttributeValue::Text(text) => json_string(&mut out, text),
            // Hexadecimal digits and words of the plugin's own need no escape.
            AttributeValue::Hash(_) | AttributeValue::ParseErrors(_) => {
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

/// Writes the samples of exchanges that have ended.
#[derive(Default)]
pub struct JsonSamples {
    stats: Stats,
    registry: JsonRegistry,
}

/// The series that [`Stats`] defines, and the samples of one exchange.
#[derive(Default)]
struct JsonRegistry {
    series: Vec<JsonSeries>,
    out: String,
}

struct JsonSeries {
    name: String,
    /// An object.
    labels: String,
}

impl JsonSamples {
    /// The samples of an exchange, as an array of `{"name", "kind", "value", "labels"}`.
    pub fn of(&mut self, seen: &Observation, config: &Config) -> String {
        self.registry.out.push('[');
        self.stats.record(seen, config, &mut self.registry);
        self.registry.out.push(']');
        core::mem::take(&mut self.registry.out)
    }
}

impl Registry for JsonRegistry {
    fn define(&mut self, metric: &Metric, labels: &[(&str, &str)]) -> Option<u32> {
        let mut object = String::from("{");
        for (name, value) in labels {
            key(&mut object, name);
            json_string(&mut object, value);
        }
        object.push('}');
        self.series.push(JsonSeries { name: metric.name.to_owned(), labels: object });
        u32::try_from(self.series.len() - 1).ok()
    }

    fn emit(&mut self, metric: &Metric, series: u32, sample: u64) {
        let series = usize::try_from(series).ok().and_then(|at| self.series.get(at));
        let Some(JsonSeries { name, labels }) = series else { return };
        let value = metric.scale.for_envoy(sample);
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        if !self.out.ends_with('[') {
            self.out.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(self.out, r#"{{"name":"{name}","kind":"{kind}","value":{value},"labels":{labels}}}"#);
    }
}

/// Appends the name of a member, after a comma if it is not the first.
fn key(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    json_string(out, name);
    out.push(':');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Cost, CostStatus, Outcome, ParseError};
    use serde_json::{Value as Json, json};

    const HOSTILE: &str = "a\"b\\c\n\u{1}é模{[";

    fn exchange() -> Observation {
        let mut seen = Observation {
            operation: "chat",
            provider: "openai".into(),
            outcome: Some(Outcome::Completed),
            cost: Cost { nanousd: Some(7_500_000_000), status: Some(CostStatus::Priced), ..Cost::default() },
            ..Observation::default()
        };
        seen.request.model = Some(HOSTILE.into());
        seen.request.stream = Some(true);
        seen.request.temperature = Some(0.2);
        seen.request.hash = Some([0, 1, 2, 3, 4, 5, 6, 0xff]);
        seen.request.stop_sequences = vec![HOSTILE.into(), "".into()];
        seen.response.model = Some(HOSTILE.into());
        seen.usage.input = Some(3);
        seen.parse_errors.add(ParseError::Json);
        seen
    }

    #[test]
    fn attributes_are_typed_json_whatever_characters_they_contain() {
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
            "gen_ai.usage.cost": 7.5,
            "gaugeway.cost.status": "priced",
            "gaugeway.outcome": "completed",
            "gaugeway.parse_error": "json",
        });
        assert_eq!(read, wanted);
    }

    #[test]
    fn samples_have_their_labels_and_the_number_of_series_is_bounded() {
        let config = Config::parse(r#"{"labels": {"max_series": 100}}"#).unwrap();
        let mut samples = JsonSamples::default();
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
        let series = &samples.registry.series;
        let unique: std::collections::BTreeSet<_> = series.iter().map(|one| (&one.name, &one.labels)).collect();
        assert!(unique.len() == series.len() && series.len() < 40, "{unique:?}");
    }
}
