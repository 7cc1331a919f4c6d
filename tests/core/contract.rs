//! The tables of the code agree with envoy/reference.md, envoy/config.json, envoy/envoy.yaml and the READMEs.
//!
//! `UPDATE=1 cargo test --test core contract` writes the tables of the documents, and envoy/config.json, from the code.

mod envoy_yaml;
mod fixtures;
mod readme;
mod semconv;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use crate::support::core::{Wire, pass};
use crate::support::fixtures::Fixture;
use gaugeway::config::{CacheAttribute, Config, Conventions, default_file, documented_settings};
use gaugeway::exchange::{End, Observer, REASONS};
use gaugeway::labels::{LABELS, Label, Scope};
use gaugeway::observation::{CacheBreak, CacheBreakCause, Observation, Unpriced};
use gaugeway::provider::WITHOUT_PRICE;
use gaugeway::sink::attributes::{ATTRIBUTES, AttributeType, AttributeValue, RPC_ATTRIBUTES};
use gaugeway::sink::stats::{GAP_METRICS, METRICS, Metric, PLUGIN_METRICS, RPC_METRICS, Registry, Stats};
use serde_json::Value;

const REFERENCE: &str = "envoy/reference.md";

#[test]
fn the_reference_has_the_table_of_settings() {
    let rows = documented_settings().into_iter().map(|setting| {
        let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
        let per_route = if setting.per_route { "yes" } else { "no" };
        format!("| `{}` | {} | {default} | {per_route} | {} |", setting.key, setting.kind, setting.doc)
    });
    assert_table(REFERENCE, "| key | type and range | default | per route | meaning |", rows);
    for example in read(REFERENCE).split('`').filter(|span| span.starts_with("{\"")) {
        Config::parse(example).unwrap_or_else(|error| panic!("{REFERENCE}: {error} in {example}"));
    }
}

#[test]
fn the_parser_gives_every_setting_its_documented_type_and_scope() {
    let plugin = Config::parse("").unwrap();
    for setting in documented_settings() {
        // One of the two values has the wrong type.
        let wrong = [true.into(), "?".into()].map(|value| Config::parse(&with(&setting.key, value)).err());
        let error = wrong.into_iter().flatten().next().map(|error| error.to_string());
        assert_eq!(error, Some(format!("{}: must be {}", setting.key.replace("[]", "[0]"), setting.kind)));
        let refused = plugin.on_route(&with(&setting.key, true.into())).err().map(|error| error.to_string());
        let refused = refused.is_some_and(|error| error.contains("is the same for all routes"));
        assert_eq!(refused, !setting.per_route, "{}", setting.key);
        // Beside the key no other exists.
        let error = Config::parse(&with(&format!("{}?", setting.key), true.into())).unwrap_err().to_string();
        assert!(error.contains(": unknown key; known here: "), "{error}");
    }
}

#[test]
fn config_json_has_every_key_with_its_default() {
    let (path, wanted) = ("envoy/config.json", default_file());
    if is_update() {
        write(path, &format!("{wanted:#}\n"));
    }
    let file: Value = serde_json::from_str(&read(path)).unwrap();
    assert_eq!(file, wanted, "{path} is out of date: UPDATE=1 cargo test --test core contract");
    Config::parse(&file.to_string()).unwrap();
}

#[test]
fn the_reference_has_the_table_of_attributes() {
    let rows = ATTRIBUTES.iter().map(|attribute| {
        // Envoy's filter state has lists as strings.
        let kind = match attribute.kind() {
            AttributeType::Strings => AttributeType::String,
            kind => kind,
        };
        let (kind, phase) = (lower(kind), lower(attribute.phase));
        format!("| `{}` | {kind} | {} | {phase} | {} |", attribute.name, unit(attribute.unit), attribute.doc)
    });
    assert_table(REFERENCE, "| attribute | type | unit | written | meaning |", rows);
}

#[test]
fn the_reference_has_the_table_of_attributes_of_mcp() {
    let rows = RPC_ATTRIBUTES.iter().map(|attribute| {
        let (kind, phase) = (lower(attribute.kind), lower(attribute.phase));
        format!("| `{}` | {kind} | {} | {phase} | {} |", attribute.name, unit(attribute.unit), attribute.doc)
    });
    assert_table(REFERENCE, "| attribute of MCP | type | unit | written | meaning |", rows);
}

#[test]
fn the_reference_has_the_table_of_metrics() {
    let rows = METRICS.iter().chain(GAP_METRICS).chain(RPC_METRICS).chain(PLUGIN_METRICS).map(|metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let (kind, labels) = (lower(metric.kind), labels.join(" "));
        let is_own = PLUGIN_METRICS.iter().any(|own| own.name == metric.name);
        let by = match metric.scope {
            _ if is_own => "",
            Scope::Exchange => "models, route",
            Scope::Models => "models",
            Scope::Model => "model",
            Scope::Route => "route",
            Scope::Provider => "neither",
        };
        let version = match metric.conventions {
            Some(Conventions::V0_1) => "0.1",
            Some(Conventions::V1_41) => "1.41",
            None => "",
        };
        let names = format!(
            "| `{}` | {kind} | {} | `{}` | {} ",
            metric.name,
            unit(metric.unit),
            metric.otlp,
            unit(metric.otlp_unit())
        );
        format!("{names}| {version} | {by} | {labels} | {} |", metric.doc)
    });
    assert_table(
        REFERENCE,
        "| metric | kind | unit | name in OTLP | unit in OTLP | `semconv` | by | own labels | meaning |",
        rows,
    );
}

#[test]
fn the_reference_has_the_table_of_the_reasons_of_local_replies() {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for (beginning, reason) in REASONS {
        let span = format!("`{beginning}`");
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, beginnings)) => beginnings.push(span),
            None => reasons.push((reason, vec![span])),
        }
    }
    let rows = reasons.into_iter().map(|(reason, beginnings)| format!("| `{reason}` | {} |", beginnings.join(" ")));
    assert_table(REFERENCE, "| reason | Envoy's response code details begin with |", rows);
}

#[test]
fn the_reference_lists_the_numbers_without_a_price() {
    let names: Vec<_> = WITHOUT_PRICE.iter().map(|name| format!("`{name}`")).collect();
    assert_table(
        REFERENCE,
        "| members of usage objects that do not change the cost |",
        [format!("| {} |", names.join(" "))].into_iter(),
    );
}

#[test]
fn the_reference_lists_what_can_lack_a_rate() {
    let names: Vec<_> = Unpriced::NAMES.iter().map(|name| format!("`{name}`")).collect();
    assert_table(REFERENCE, "| what can lack a rate |", [format!("| {} |", names.join(" "))].into_iter());
}

#[test]
fn the_reference_has_the_table_of_labels() {
    let rows = LABELS.iter().map(|Label { name, attribute, source, client, kind }| {
        let kind = kind.map(|kind| format!("`{}`", kind.as_str())).unwrap_or_default();
        format!("| `{name}` | `{attribute}` | {source} | {client} | {kind} |")
    });
    assert_table(REFERENCE, "| label | attribute in OTLP | source | client | kind of name |", rows);
}

#[test]
fn fixtures_fill_every_attribute_with_a_value_of_its_type() {
    let mut filled = BTreeSet::new();
    for seen in observations() {
        for attribute in ATTRIBUTES {
            let Some(value) = attribute.value(&seen, CacheAttribute::Both) else { continue };
            let fits = match attribute.kind() {
                AttributeType::String => {
                    matches!(value, AttributeValue::Text(_) | AttributeValue::Hash(_) | AttributeValue::ParseErrors(_))
                }
                AttributeType::Strings => matches!(
                    value,
                    AttributeValue::List(_) | AttributeValue::FinishReasons(_) | AttributeValue::Unpriced(_)
                ),
                // A float here is one that is written without decimals.
                AttributeType::Int => {
                    let mut text = String::new();
                    value.write(&mut text);
                    text.parse::<i64>().is_ok()
                }
                AttributeType::Double => matches!(value, AttributeValue::Float(_) | AttributeValue::Billionths(_)),
                AttributeType::Bool => matches!(value, AttributeValue::Bool(_)),
            };
            assert!(fits, "{} is {value:?}", attribute.name);
            filled.insert(attribute.name);
        }
    }
    let names = ATTRIBUTES.iter().map(|attribute| attribute.name);
    let empty: Vec<_> = names.filter(|name| !filled.contains(name)).collect();
    assert!(empty.is_empty(), "no exchange in tests/fixtures has {empty:?}");
}

#[test]
fn fixtures_lead_to_every_metric_with_exactly_the_labels_of_its_row() {
    let mut series = LabelsOfMetrics::default();
    let (mut config, mut stats) = (Config::parse(r#"{"labels": {"max_series": 100000}}"#).unwrap(), Stats::default());
    for conventions in [Conventions::V0_1, Conventions::V1_41] {
        config.conventions = conventions;
        for mut seen in observations() {
            stats.record(&seen, &config, &mut series);
            // Errors come without a model in every fixture. Any metric can come with one.
            seen.response.model.get_or_insert_with(|| "m".into());
            stats.record(&seen, &config, &mut series);
            // Stalls are counted while a stream is open.
            seen.outcome = None;
            stats.record(&seen, &config, &mut series);
        }
    }
    for Metric { name, scope, labels, .. } in METRICS {
        let found = series.0.get(*name).unwrap_or_else(|| panic!("no exchange in tests/fixtures moves {name}"));
        let wanted: BTreeSet<_> =
            scope.labels().chain(labels.iter().copied()).map(|label| label.name.to_owned()).collect();
        let unset: Vec<_> = wanted.difference(found).collect();
        assert!(unset.is_empty(), "no exchange in tests/fixtures gives {name} a value of {unset:?}");
        assert_eq!(*found, wanted, "the samples of {name} (left) have other labels than its row (right)");
    }
    let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(series.0.len(), names.len());
}

/// The labels of all series of a metric, by the metric's name.
#[derive(Default)]
struct LabelsOfMetrics(BTreeMap<String, BTreeSet<String>>);

impl Registry for LabelsOfMetrics {
    fn define(&mut self, metric: &Metric, labels: &[(&str, &str)]) -> Option<u32> {
        let name = metric.name;
        let names = labels.iter().map(|(name, _)| (*name).to_owned());
        self.0.entry(name.to_owned()).or_default().extend(names);
        Some(0)
    }

    fn emit(&mut self, _: &Metric, _: u32, _: u64) {}
}

/// The observation of every fixture that is LLM traffic, on a route that has a name.
fn observations() -> Vec<Observation> {
    let config = r#"{
        "privacy": {"capture": "truncated", "hash": ["conversation", "last_message", "prompt", "response", "system", "tools"]},
        "compat": {"cache_attribute": "both"}
    }"#;
    let observer = Rc::new(Observer::new(Config::parse(config).unwrap()));
    let observe = |fixture: &Fixture| {
        let wire =
            Wire { response: fixture.response.events.iter().map(|event| &event[..]).collect(), ..Wire::of(fixture) };
        let exchange = pass(&observer, &wire, End::Whole)?;
        let mut seen = Observation { route: "llm".into(), ..exchange.observation().clone() };
        // One call alone does not show when a tool was called, nor feedback, nor what a cache had before. No stream stalls. None is a WebSocket.
        seen.agent.results.iter_mut().for_each(|result| result.called_at = Some(1));
        seen.configured.get_or_insert_default().feedback = Some(700);
        let (cause, message) = (CacheBreakCause::Message, Some(2));
        seen.timing.stalls = 1;
        seen.rare.get_or_insert_default().responses = Some(2);
        // Nor when an answer was created.
        seen.rare.get_or_insert_default().age = Some(9);
        seen.cache_break = Some(Box::new(CacheBreak { cause, message, lost_tokens: 9, lost_nanousd: Some(9) }));
        Some(seen)
    };
    Fixture::all().iter().filter_map(observe).collect()
}

/// A configuration that sets one key, such as `apis[].host`.
fn with(key: &str, value: Value) -> String {
    let nest = |inner: Value, name: &str| match name.strip_suffix("[]") {
        Some(name) => serde_json::json!({ name: [inner] }),
        None => serde_json::json!({ name: inner }),
    };
    key.rsplit('.').fold(value, nest).to_string()
}

/// Fails unless the table under this header has exactly these rows. Under `UPDATE=1` it writes the rows first.
fn assert_table(path: &str, header: &str, rows: impl Iterator<Item = String>) {
    // A document has several tables, and tests run in parallel: an update must not lose another one's.
    static UPDATE: Mutex<()> = Mutex::new(());
    let _alone = UPDATE.lock().unwrap_or_else(PoisonError::into_inner);
    let rows: Vec<_> = rows.collect();
    let text = read(path);
    let (before, rest) = text.split_once(&format!("{header}\n")).unwrap_or_else(|| panic!("{path} has no {header}"));
    let (rule, rest) = rest.split_once('\n').unwrap();
    let end: usize = rest.split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
    let found: Vec<_> = rest[..end].lines().collect();
    if is_update() {
        let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
        write(path, &format!("{before}{header}\n{rule}\n{rows}{}", &rest[end..]));
        return;
    }
    let differ: Vec<_> = rows.iter().filter(|row| !found.contains(&row.as_str())).collect();
    assert!(
        found == rows,
        "{path}: the table {header} is out of date (UPDATE=1 cargo test --test core contract). New rows: {differ:#?}"
    );
}

/// A unit as a cell of a table.
fn unit(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!("`{unit}`") }
}

fn lower(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Fails unless a list in a file has exactly the names of a table, each once, in any order.
fn assert_same(list: &str, found: &[&str], table: &str, wanted: &[&str]) {
    let lacking = |from: &[&str], names: &[&str]| -> Vec<String> {
        names.iter().filter(|name| !from.contains(*name)).map(|name| (*name).to_owned()).collect()
    };
    let (missing, strange) = (lacking(found, wanted), lacking(wanted, found));
    assert!(missing.is_empty(), "{list} lacks what {table} has: {missing:?}");
    assert!(strange.is_empty(), "{list} has what {table} lacks: {strange:?}");
    assert_eq!(found.len(), wanted.len(), "{list} has a name twice: {found:?}");
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Replaces a file in one step: other tests may read it meanwhile.
fn write(path: &str, text: &str) {
    let path = root().join(path);
    let partial = path.with_extension("partial");
    fs::write(&partial, text).unwrap();
    fs::rename(partial, path).unwrap();
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
