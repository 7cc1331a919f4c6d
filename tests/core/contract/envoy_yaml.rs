//! envoy/envoy.yaml carries every attribute, label and histogram of the tables.

use std::collections::BTreeMap;

use super::{assert_same, read};
use gaugeway::labels::LABELS;
use gaugeway::sink::attributes::{ATTRIBUTES, AttributeType, RPC_ATTRIBUTES};
use gaugeway::sink::stats::{METRICS, MetricKind, RPC_METRICS};

/// Every attribute of a call to a model or of an operation of MCP, with its type.
fn attributes() -> BTreeMap<&'static str, AttributeType> {
    let mcp = RPC_ATTRIBUTES.iter().map(|row| (row.name, row.kind));
    ATTRIBUTES.iter().map(|row| (row.name, row.kind())).chain(mcp).collect()
}

#[test]
fn spans_and_access_log_carry_every_attribute_under_its_name() {
    let wanted: Vec<_> = attributes().into_keys().collect();
    let yaml = read("envoy/envoy.yaml");
    let (mut tags, mut log, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for line in yaml.lines().map(str::trim) {
        for key in line.split("wasm.").skip(1).filter_map(|rest| Some(rest.split_once(":PLAIN")?.0)) {
            let tagged = line.starts_with(&format!("- {{tag: {key}, value: \"%FILTER_STATE(wasm.{key}:PLAIN)%\""));
            let logged = line == format!("{key}: \"%FILTER_STATE(wasm.{key}:PLAIN)%\"");
            let list = if tagged {
                &mut tags
            } else if logged {
                &mut log
            } else {
                &mut others
            };
            list.push(key);
        }
    }
    assert_same("custom_tags of envoy/envoy.yaml", &tags, "ATTRIBUTES", &wanted);
    assert_same("json_format of envoy/envoy.yaml", &log, "ATTRIBUTES", &wanted);
    let strange: Vec<_> = others.iter().filter(|key| !wanted.contains(key)).collect();
    assert!(strange.is_empty(), "envoy.yaml reads what is never written: {strange:?}");
}

#[test]
fn spans_give_every_attribute_the_type_of_its_row() {
    let yaml = read("envoy/envoy.yaml");
    for (name, kind) in attributes() {
        let kind = match kind {
            AttributeType::Int => ", value_type: INT}",
            AttributeType::Double => ", value_type: DOUBLE}",
            AttributeType::Bool => ", value_type: BOOL}",
            AttributeType::String | AttributeType::Strings => "}",
        };
        let line = format!("- {{tag: {name}, value: \"%FILTER_STATE(wasm.{name}:PLAIN)%\"{kind}");
        assert!(yaml.contains(&line), "envoy.yaml has no\n{line}");
    }
}

#[test]
fn every_label_has_its_anchored_expression() {
    let yaml = read("envoy/envoy.yaml");
    let tags: Vec<_> = yaml.lines().filter_map(|line| line.trim().strip_prefix("- {tag_name: ")).collect();
    let mut names = Vec::new();
    for tag in tags {
        let (name, regex) = tag.split_once(", regex: ").unwrap();
        let label = name.replace('.', "_");
        let wanted = format!(r"'^wasmcustom\..*?({label}=\.=(.*?);\.;)'}}");
        assert_eq!(regex, wanted, "the expression of {name} in stats_tags of envoy/envoy.yaml");
        names.push(label);
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let wanted: Vec<_> = LABELS.iter().map(|label| label.name).collect();
    assert_same("stats_tags of envoy/envoy.yaml", &names, "LABELS", &wanted);
}

#[test]
fn every_histogram_has_buckets_in_ascending_order() {
    let yaml = read("envoy/envoy.yaml");
    let mut lines = yaml.lines().map(str::trim);
    let mut names = Vec::new();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("- match: {prefix: wasmcustom.") else { continue };
        names.push(name.trim_end_matches('}'));
        let bounds =
            lines.next().and_then(|line| line.strip_prefix("buckets: [")?.strip_suffix(']')).unwrap_or_default();
        let bounds: Vec<u64> = bounds.split(", ").map(|bound| bound.parse().unwrap()).collect();
        assert!(bounds.is_sorted_by(|a, b| a < b), "the buckets of {name} do not ascend");
    }
    let histograms = METRICS.iter().chain(RPC_METRICS).filter(|metric| metric.kind == MetricKind::Histogram);
    let mut wanted: Vec<_> = histograms.map(|metric| metric.name).collect();
    // Two versions of the conventions have a metric with the same name.
    wanted.dedup();
    assert_same("histogram_bucket_settings of envoy/envoy.yaml", &names, "METRICS", &wanted);
}
