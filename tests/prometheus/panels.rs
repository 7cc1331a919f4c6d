//! Reads `envoy/grafana/dashboard.json` and the rules in `envoy/prometheus/` for the tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gaugeway::sink::stats::{METRICS, MetricKind, PLUGIN_METRICS, RPC_METRICS};
use serde_json::Value;

/// The dashboard's filter variables, the metric label of each, and the filter in a query. In OTLP the route has another name.
pub const FILTERS: &[(&str, &str, &str)] = &[
    ("$provider", "gen_ai_provider_name", "gen_ai_provider_name=~\"$provider\""),
    ("$model", "gen_ai_request_model", "gen_ai_request_model=~\"$model\""),
    ("$route", "route", "route=~\"($route){$names}\",gaugeway_route=~\"|$route\""),
    ("$team", "team", "team=~\"$team\""),
];

/// Which names the metrics have, the values of the dashboard's variable `names`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Names {
    /// Those of Envoy's statistics: microseconds and billionths of a dollar.
    Envoy = 1,
    /// Those of OTLP as Prometheus 3 translates them: seconds and dollars.
    Otlp = 0,
}

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

/// The panels with a query whose value depends on the history of a week.
pub const DRIFT: &str = "Drift of the length";
pub const WEEK: &str = "Spend against the past week";

/// The panels and their queries for all series, with these names and this interval for rates, and for the last five minutes.
pub fn filled_queries(interval: &str, names: Names) -> Vec<(String, String)> {
    let filters = FILTERS.iter().map(|(variable, ..)| (*variable, ".*"));
    let number = (names as u8).to_string();
    let others = [("$names", &*number), ("$__rate_interval", interval), ("$__range_s", "300"), ("$__range", "300s")];
    let values: Vec<_> = filters.chain(others).collect();
    let fill = |text: String| values.iter().fold(text, |text, (from, to)| text.replace(from, to));
    queries(&dashboard()).into_iter().map(|query| (query.panel, fill(query.promql))).collect()
}

/// A query with the names of its metrics written out: `a_(nano){$names}usd_total` is `a_nanousd_total` or `a_usd_total`.
pub fn spelled(promql: &str, names: Names) -> String {
    const START: &str = "{__name__=~\"";
    let mut out = String::new();
    let mut rest = promql;
    while let Some((before, after)) = rest.split_once(START) {
        let (pattern, labels) = after.split_once('"').expect("a name ends with a quotation mark");
        let mut name = pattern.to_owned();
        if let Some((head, tail)) = pattern.split_once("){$names}") {
            let (start, part) = head.split_once('(').expect("a part of a name is in parentheses");
            name = format!("{start}{}{tail}", if names == Names::Envoy { part } else { "" });
        }
        let is_one = name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
        out.push_str(before);
        if is_one {
            out.push_str(&format!("{name}{{"));
            rest = labels.strip_prefix(',').unwrap_or(labels);
        } else {
            out.push_str(START);
            rest = after;
        }
    }
    out + rest
}

/// The names that a rule file records.
pub fn recorded(file: &str) -> BTreeSet<String> {
    let names = read(file);
    let names = names.lines().filter_map(|line| line.split_once("record: "));
    names.map(|(_, rest)| rest.split([',', ' ', '}']).next().unwrap_or_default().to_owned()).collect()
}

/// Returns true if the plugin, a rule or Envoy creates series of this name.
pub fn is_known(name: &str, recorded: &BTreeSet<String>) -> bool {
    let mut emitted = METRICS.iter().chain(RPC_METRICS).chain(PLUGIN_METRICS).map(|metric| (metric.name, metric.kind));
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
            '{' => {
                let mut quoted = false;
                let end = rest.find(|char| {
                    quoted ^= char == '"';
                    char == '}' && !quoted
                });
                &rest[end.map_or(rest.len(), |end| end + 1)..]
            }
            '$' => rest[1..].trim_start_matches(|char: char| char.is_ascii_alphanumeric() || char == '_'),
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
