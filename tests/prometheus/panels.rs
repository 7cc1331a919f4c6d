//! Reads `envoy/grafana/dashboard.json` and the rules in `envoy/prometheus/` for the tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gaugeway::sink::stats::{METRICS, MetricKind, PLUGIN_METRICS};
use serde_json::Value;

/// The dashboard's filter variables and the metric label of each.
pub const FILTERS: &[(&str, &str)] = &[
    ("$provider", "gen_ai_provider_name"),
    ("$model", "gen_ai_request_model"),
    ("$route", "route"),
    ("$team", "team"),
];

/// A query of a panel, with the dashboard's variables in its PromQL.
pub struct Query {
    pub panel: String,
    pub promql: String,
    pub legend: String,
}

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("cannot read {name}: {error}"))
}

pub fn dashboard() -> Value {
    serde_json::from_str(&read("envoy/grafana/dashboard.json"))
        .unwrap_or_else(|error| panic!("dashboard.json is not JSON: {error}"))
}

/// Every panel except the row headings.
pub fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

pub fn queries(dashboard: &Value) -> Vec<Query> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_panel = |panel: &Value| {
        let title = text(&panel["title"]);
        let targets = panel["targets"].as_array().unwrap_or_else(|| panic!("panel {title:?} has no targets"));
        targets
            .iter()
            .map(|target| Query {
                panel: title.clone(),
                promql: text(&target["expr"]),
                legend: text(&target["legendFormat"]),
            })
            .collect::<Vec<_>>()
    };
    panels(dashboard).flat_map(of_panel).collect()
}

/// The panel whose value depends on the history of a week.
pub const DRIFT: &str = "Drift of the length";

/// The panels and their queries for all series, with this interval for rates.
pub fn filled_queries(interval: &str) -> Vec<(String, String)> {
    let filters = FILTERS.iter().map(|(variable, _)| (*variable, ".+"));
    let values: Vec<_> = filters.chain([("$__rate_interval", interval)]).collect();
    let fill = |text: String| values.iter().fold(text, |text, (from, to)| text.replace(from, to));
    queries(&dashboard()).into_iter().map(|query| (query.panel, fill(query.promql))).collect()
}

/// The names that a rule file records.
pub fn recorded(file: &str) -> BTreeSet<String> {
    let names = read(file);
    let names = names.lines().filter_map(|line| line.split_once("record: "));
    names.map(|(_, rest)| rest.split([',', ' ', '}']).next().unwrap_or_default().to_owned()).collect()
}

/// Returns true if the plugin, a rule or Envoy creates series of this name.
pub fn is_known(name: &str, recorded: &BTreeSet<String>) -> bool {
    let mut emitted = METRICS.iter().chain(PLUGIN_METRICS).map(|metric| (metric.name, metric.kind));
    let histogram = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
    emitted.any(|(known, kind)| match kind {
        MetricKind::Histogram => histogram == Some(known),
        _ => name == known,
    }) || recorded.contains(name)
        || name.starts_with("envoy_")
        || ["up", "ALERTS"].contains(&name)
}

/// The metrics in an expression: words that are not a function, a label, a keyword or part of a quoted string.
pub fn metrics(promql: &str) -> Vec<String> {
    const GROUPING: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
    const WORDS: &[&str] = &["and", "or", "unless", "bool", "offset", "inf", "nan"];
    let mut names = Vec::new();
    let mut rest = promql;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        let after = rest[word..].trim_start();
        rest = match first {
            '"' => &rest[rest[1..].find('"').map_or(rest.len(), |end| end + 2)..],
            '{' => &rest[rest.find('}').map_or(rest.len(), |end| end + 1)..],
            '[' => &rest[rest.find(']').map_or(rest.len(), |end| end + 1)..],
            '0'..='9' => &rest[word..],
            _ if word == 0 => &rest[first.len_utf8()..],
            _ if GROUPING.contains(&&rest[..word]) && after.starts_with('(') => {
                &after[after.find(')').map_or(after.len(), |end| end + 1)..]
            }
            _ => {
                let called = ["(", "by ", "without "].iter().any(|next| after.starts_with(next));
                if !called && !WORDS.contains(&&rest[..word]) && !GROUPING.contains(&&rest[..word]) {
                    names.push(rest[..word].to_owned());
                }
                &rest[word..]
            }
        };
    }
    names
}
