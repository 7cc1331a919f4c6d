//! The code's tables agree with envoy/reference.md, tests/fixtures/README.md, envoy/envoy.yaml and envoy/config.json.
//!
//! If a table of a document is out of date, the failure shows the rows that it must have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use crate::support::core::{Wire, pass};
use crate::support::fixtures::Fixture;
use gaugeway::config::{CacheAttribute, Config};
use gaugeway::exchange::{End, Observer};
use gaugeway::observation::Observation;
use gaugeway::provider;
use gaugeway::sink::attributes::{FIELDS, Field, Value as Attribute};
use gaugeway::sink::stats::{Kind, LABELS, METRICS, OVERFLOW, PRICE_TABLE, Registry, SPANS, Stats};
use serde_json::{Value, json};

/// A whole number in OpenTelemetry's convention. Some wires give 40.0, which is written as 40.
const WHOLE: &str = "gen_ai.request.top_k";

/// Labels every metric but the plugin's own has.
const COMMON: [&str; 5] =
    ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model", "route"];

const OVERFLOW_DOC: &str = "samples whose models became `other` because `labels.max_series` was reached";
const SPANS_DOC: &str = "spans that the plugin exports itself, by result: sent, failed, dropped";
const PRICE_TABLE_DOC: &str = "date of the price table in seconds since 1970";

#[test]
fn the_reference_lists_every_attribute_with_its_type_and_phase() {
    let told = table("| attribute | type | written | meaning |");
    let yaml = read("envoy/envoy.yaml");
    let kind = |name: &str| {
        let tag = yaml.lines().find(|line| line.trim().starts_with(&format!("- {{tag: {name},")));
        let tag = tag.unwrap_or_else(|| panic!("envoy.yaml has no custom tag {name}"));
        let kind = tag.split_once("value_type: ").map_or("string", |(_, kind)| kind.trim_end_matches('}'));
        kind.to_lowercase()
    };
    let cells =
        |field: &Field| vec![kind(field.name), format!("{:?}", field.phase).to_lowercase(), field.doc.to_owned()];
    assert_told(&told, FIELDS.iter().map(|field| (field.name, cells(field))));
}

#[test]
fn the_reference_lists_every_label() {
    let told = table("| label | source | client |");
    assert_eq!(sorted(told.iter().map(|row| row[0].trim_matches('`'))), sorted(LABELS.iter().copied()));
}

#[test]
fn the_reference_lists_every_metric_with_its_kind_and_labels() {
    let series = Series::of_every_fixture();
    let metrics = METRICS.iter().map(|metric| (metric.name, metric.kind, metric.doc));
    let cells = |(name, kind, doc): (&'static str, Kind, &str)| {
        let labels: Vec<_> = series.own_labels(name).map(|label| format!("`{label}`")).collect();
        (name, vec![format!("{kind:?}").to_lowercase(), labels.join(" "), doc.to_owned()])
    };
    let told = table("| metric | kind | own labels | meaning |");
    let own = [
        (OVERFLOW, Kind::Counter, OVERFLOW_DOC),
        (SPANS, Kind::Counter, SPANS_DOC),
        (PRICE_TABLE, Kind::Gauge, PRICE_TABLE_DOC),
    ];
    assert_told(&told, metrics.chain(own).map(cells));
}

#[test]
fn the_fixtures_readme_lists_every_api_with_what_recorded_exchanges_show() {
    #[derive(Default)]
    struct Row {
        operation: &'static str,
        paths: Vec<&'static str>,
        cells: [bool; 5],
    }
    let mut apis = BTreeMap::<_, Row>::new();
    for endpoint in provider::endpoints().filter(|e| !e.api.by_shape) {
        let row = apis.entry(endpoint.api.name).or_default();
        row.operation = endpoint.api.operation;
        // An endpoint whose path ends in a name of the user's has no end to show.
        if !endpoint.suffix.is_empty() {
            row.paths.push(endpoint.suffix);
        }
    }
    for fixture in Fixture::all() {
        let seen = &fixture.observation;
        if seen.is_empty() {
            continue;
        }
        let host = fixture.request.header("host").unwrap_or_default();
        let target = provider::detect(fixture.request.method.as_bytes(), host, &fixture.request.path, &[]);
        let target = target.unwrap_or_else(|| panic!("{} is reported, but of no API", fixture.id));
        let failed = fixture.response.status >= 400 || seen["gaugeway.outcome"] == "error";
        let counted = seen.keys().any(|key| key.starts_with("gen_ai.usage."));
        let called = seen.contains_key("gaugeway.tool_call.names");
        let shown = [!failed && !fixture.is_stream(), fixture.is_stream(), called, failed, counted];
        let row = apis.get_mut(target.api.name).expect("detect() gives APIs of the list");
        row.cells.iter_mut().zip(shown).for_each(|(cell, shown)| *cell |= shown);
    }
    // Those that only answer in one piece share a row where they have the same marks.
    let (shown, unshown): (Vec<_>, Vec<_>) = apis.into_iter().partition(|(_, row)| row.cells.contains(&true));
    let mut rows: Vec<(String, Row)> = Vec::new();
    for (name, row) in shown {
        let paths: Vec<_> = row.paths.iter().map(|path| format!("`{path}`")).collect();
        let told = format!("{name} {}", paths.join(" "));
        let same =
            |(_, one): &&mut (String, Row)| one.operation == row.operation && one.cells == row.cells && !row.cells[1];
        match rows.iter_mut().find(same) {
            Some((cell, _)) => *cell += &format!("<br>{told}"),
            None => rows.push((told, row)),
        }
    }
    let row = |(apis, row): (String, Row)| {
        let cells: Vec<_> = row.cells.iter().map(|shown| if *shown { " ✓ |" } else { "  |" }).collect();
        format!("| {apis} | `{}` |{}", row.operation, cells.concat())
    };
    let header = "| API and the ends of its paths | operation | unary | stream | tools | errors | tokens |";
    let wanted: Vec<_> = rows.into_iter().map(row).collect();
    let readme = read("tests/fixtures/README.md");
    let same = rows_below(&readme, header).eq(wanted.iter());
    assert!(same, "the table `{header}` of tests/fixtures/README.md must have these rows:\n{}", wanted.join("\n"));
    let names: Vec<_> = unshown.iter().map(|(name, _)| *name).collect();
    let rest = format!("In the code, with no recorded exchange yet: {}.", names.join(", "));
    assert!(names.is_empty() || readme.contains(&rest), "this must stand in the README: {rest}");
}

#[test]
fn the_reference_lists_every_setting_with_its_type_its_default_and_whether_a_route_may_set_it() {
    let file: Value = serde_json::from_str(&read("envoy/config.json")).unwrap();
    let mut keys = BTreeMap::new();
    leaves("", &file, &mut keys);
    for (key, below) in [("apis", "apis[]"), ("prices", "prices.MODEL")] {
        keys.remove(key);
        let known = known_keys(&with(&format!("{below}.?"), 0.into())).expect("an unknown key");
        keys.extend(known.into_iter().map(|key| (format!("{below}.{key}"), Value::Null)));
    }
    let plugin = Config::parse("").unwrap();
    for row in table("| key | type and range | default | per route | meaning |") {
        for key in names(&row[0]) {
            let default =
                keys.remove(&key).unwrap_or_else(|| panic!("the parser does not know {key} of envoy/reference.md"));
            assert!(default.is_null() || row[2] == format!("`{default}`"), "the default of {key} is {default}");
            // One of the two values has the wrong type.
            let wrong = [true.into(), "?".into()].map(|value| Config::parse(&with(&key, value)).err());
            let error = wrong.into_iter().flatten().next().map(|error| error.to_string());
            assert_eq!(error, Some(format!("{}: must be {}", key.replace("[]", "[0]"), row[1])));
            let refused = plugin.on_route(&with(&key, true.into())).err().map(|error| error.to_string());
            let fixed = refused.is_some_and(|error| error.contains("is the same for all routes"));
            assert_eq!(row[3], if fixed { "no" } else { "yes" }, "of {key}");
        }
    }
    assert!(keys.is_empty(), "envoy/reference.md does not list {:?}", keys.keys());
    for example in read("envoy/reference.md").split('`').filter(|span| span.starts_with("{\"")) {
        Config::parse(example).unwrap_or_else(|error| panic!("envoy/reference.md: {error} in {example}"));
    }
}

#[test]
fn the_readme_has_at_most_150_lines_and_names_only_what_exists() {
    let (readme, script) = (read("README.md"), read("build.sh"));
    assert!(readme.lines().count() <= 150, "README.md has {} lines", readme.lines().count());
    for rest in readme.split("./build.sh ").skip(1) {
        let command: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
        assert!(script.contains(&format!("command_{command}()")), "build.sh has no command '{command}'");
    }
    let yaml = read("envoy/envoy.yaml");
    let blocks: Vec<_> = readme.split("```yaml\n").skip(1).collect();
    assert!(!blocks.is_empty(), "README.md does not show the filter");
    for line in blocks.iter().flat_map(|block| block.lines().take_while(|line| *line != "```")) {
        assert!(yaml.contains(line.trim()), "README.md shows a line that envoy.yaml does not have: {line}");
    }
    for target in readme.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
        assert!(root().join(target).exists(), "README.md links to {target}, which does not exist");
    }
}

#[test]
fn config_json_is_the_default_with_every_key_the_parser_knows() {
    let text = read("envoy/config.json");
    let (shown, default) = (Config::parse(&text).unwrap(), Config::parse("").unwrap());
    assert_eq!((shown.agent, shown.apis, shown.labels), (default.agent, default.apis, default.labels));
    assert_eq!((shown.compat, shown.role, shown.stream_usage), (default.compat, default.role, default.stream_usage));
    assert_eq!((shown.feedback, shown.otlp), (default.feedback, default.otlp));
    assert_eq!(shown.conversation_header, default.conversation_header);
    let (privacy, usual) = (shown.privacy, default.privacy);
    assert_eq!((privacy.hash, privacy.capture, privacy.sample), (usual.hash, usual.capture, usual.sample));
    assert!(privacy.key.is_none());
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["prices"], json!({}), "a price here would not be the bundled table's");
    compare_keys(&value, &value, &[]);
}

#[test]
fn spans_and_access_log_carry_every_attribute_under_its_name() {
    let wanted = sorted(FIELDS.iter().map(|field| field.name));
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
    assert_eq!(sorted(tags), wanted, "custom_tags (left) are not the attributes (right)");
    assert_eq!(sorted(log), wanted, "the access log's keys (left) are not the attributes (right)");
    let strange: Vec<_> = others.iter().filter(|key| !wanted.contains(key)).collect();
    assert!(strange.is_empty(), "envoy.yaml reads what is never written: {strange:?}");
}

#[test]
fn spans_give_every_attribute_the_type_of_its_value() {
    let mut wanted = BTreeMap::new();
    for seen in observations() {
        for field in FIELDS {
            let kind = match field.value(&seen, CacheAttribute::Both) {
                Some(Attribute::Float(_)) if field.name == WHOLE => ", value_type: INT}",
                Some(Attribute::Integer(_) | Attribute::Count(_)) => ", value_type: INT}",
                Some(Attribute::Float(_) | Attribute::Billionths(_)) => ", value_type: DOUBLE}",
                Some(Attribute::Bool(_)) => ", value_type: BOOL}",
                Some(_) => "}",
                None => continue,
            };
            wanted.insert(field.name, kind);
        }
    }
    let unfilled: Vec<_> = FIELDS.iter().map(|field| field.name).filter(|name| !wanted.contains_key(name)).collect();
    assert!(unfilled.is_empty(), "nothing fills {unfilled:?}");
    let yaml = read("envoy/envoy.yaml");
    let line = |(name, kind)| format!("- {{tag: {name}, value: \"%FILTER_STATE(wasm.{name}:PLAIN)%\"{kind}");
    let missing: Vec<_> = wanted.into_iter().map(line).filter(|line| !yaml.contains(line)).collect();
    assert!(missing.is_empty(), "envoy.yaml has no\n{}", missing.join("\n"));
}

#[test]
fn every_label_has_its_anchored_expression_and_none_ends_in_another() {
    let yaml = read("envoy/envoy.yaml");
    let tags: Vec<_> = yaml.lines().filter_map(|line| line.trim().strip_prefix("- {tag_name: ")).collect();
    let mut names = Vec::new();
    for tag in tags {
        let (name, regex) = tag.split_once(", regex: ").unwrap();
        let label = name.replace('.', "_");
        assert_eq!(regex, format!(r"'^wasmcustom\..*?({label}=\.=(.*?);\.;)'}}"), "of {name}");
        names.push(label);
    }
    assert_eq!(sorted(names.iter().map(String::as_str)), sorted(LABELS.iter().copied()));
    for label in LABELS {
        let inside: Vec<_> = LABELS.iter().filter(|other| *other != label && other.ends_with(label)).collect();
        assert!(inside.is_empty(), "the expression of {label} also finds {inside:?}");
    }
    for (name, labels) in Series::of_every_fixture().0 {
        for label in labels {
            assert!(LABELS.contains(&&*label), "{name} has the label {label}, which no expression takes out");
        }
    }
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
    let histograms = METRICS.iter().filter(|metric| metric.kind == Kind::Histogram).map(|metric| metric.name);
    assert_eq!(sorted(names), sorted(histograms));
}

/// The labels of every series that the fixtures lead to, by metric.
struct Series(BTreeMap<String, BTreeSet<String>>);

impl Series {
    fn of_every_fixture() -> Self {
        let mut series = Series(BTreeMap::new());
        let (config, mut stats) = (Config::parse("").unwrap(), Stats::default());
        for seen in observations() {
            stats.record(&seen, &config, &mut series);
        }
        // With one series allowed the second has to be called `other`.
        let narrow = Config::parse(r#"{"labels": {"max_series": 1}}"#).unwrap();
        let mut stats = Stats::default();
        for mut seen in observations() {
            // What only errors show comes without a model in every fixture. Any metric can come with one.
            seen.response.model.get_or_insert_with(|| "m".into());
            stats.record(&seen, &narrow, &mut series);
        }
        // The shell sets it at start, once, for all.
        series.0.insert(PRICE_TABLE.to_owned(), Default::default());
        series.0.insert(SPANS.to_owned(), ["result".to_owned()].into());
        series
    }

    fn own_labels(&self, metric: &str) -> impl Iterator<Item = &str> {
        let labels = self.0.get(metric).unwrap_or_else(|| panic!("no fixture moves {metric}"));
        let own = labels.iter().map(String::as_str).filter(|label| !COMMON.contains(label));
        if ![OVERFLOW, PRICE_TABLE, SPANS].contains(&metric) {
            assert!(COMMON.iter().all(|label| labels.contains(*label)), "{metric} lacks a common label: {labels:?}");
        }
        own
    }
}

impl Registry for Series {
    fn define(&mut self, _: Kind, name: &str) -> Option<u32> {
        let (metric, labels) = name.split_once('.').unwrap_or((name, ""));
        let keys = labels.split_terminator(";.;").map(|label| label.split_once("=.=").unwrap().0.to_owned());
        self.0.entry(metric.to_owned()).or_default().extend(keys);
        Some(0)
    }

    fn emit(&mut self, _: Kind, _: u32, _: u64) {}
}

/// What every fixture that is LLM traffic comes to, on a route that has a name.
fn observations() -> Vec<Observation> {
    let asked = r#"{
        "privacy": {"capture": "truncated", "hash": ["conversation", "last_message", "prompt", "response", "system", "tools"]},
        "compat": {"cache_attribute": "both"}
    }"#;
    let observer = Rc::new(Observer::new(Config::parse(asked).unwrap()));
    let observe = |fixture: &Fixture| {
        let wire = Wire {
            method: &fixture.request.method,
            host: fixture.request.header("host").unwrap_or_default(),
            path: &fixture.request.path,
            request_headers: &fixture.request.headers,
            request: vec![&fixture.request.body],
            status: fixture.response.status,
            response_headers: &fixture.response.headers,
            response: fixture.response.events.iter().map(|event| &event[..]).collect(),
        };
        let exchange = pass(&observer, &wire, End::Whole)?;
        let mut seen = Observation { route: "llm".into(), ..exchange.observation().clone() };
        // What one call alone does not show: when a tool was asked for, and what somebody thinks of an answer.
        seen.agent.results.iter_mut().for_each(|result| result.asked = Some(1));
        seen.configured.get_or_insert_default().feedback = Some(700);
        Some(seen)
    };
    Fixture::all().iter().filter_map(observe).collect()
}

/// The keys the parser knows where `text` has the key `?`; None where it takes any.
fn known_keys(text: &str) -> Option<Vec<String>> {
    let error = Config::parse(text).unwrap_err().to_string();
    let (_, known) = error.split_once("?: unknown key; known here: ")?;
    Some(known.split(", ").map(str::to_owned).collect())
}

/// Every object of the configuration has exactly the keys the parser knows there. `path` leads to the one to compare.
fn compare_keys(whole: &Value, object: &Value, path: &[&str]) {
    let mut probe = whole.clone();
    let at = path.iter().fold(&mut probe, |value, key| &mut value[*key]);
    at["?"] = Value::Null;
    if let Some(known) = known_keys(&probe.to_string()) {
        let shown: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(sorted(shown.into_iter()), sorted(known.iter().map(String::as_str)), "below {path:?}");
    }
    for (key, value) in object.as_object().unwrap().iter().filter(|(_, value)| value.is_object()) {
        compare_keys(whole, value, &[path, &[key]].concat());
    }
}

/// The paths of all values that are no objects, or empty ones, with their values.
fn leaves(path: &str, value: &Value, out: &mut BTreeMap<String, Value>) {
    match value.as_object() {
        Some(members) if !members.is_empty() => {
            for (key, value) in members {
                leaves(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value, out);
            }
        }
        _ => drop(out.insert(path.to_owned(), value.clone())),
    }
}

/// A configuration that sets one key, such as `apis[].host`.
fn with(key: &str, value: Value) -> String {
    let nest = |inner: Value, name: &str| match name.strip_suffix("[]") {
        Some(name) => json!({ name: [inner] }),
        None => json!({ name: inner }),
    };
    key.rsplit('.').fold(value, nest).to_string()
}

/// Fails unless each name has one row with these cells, and the table has no other row.
fn assert_told(told: &[Vec<String>], wanted: impl Iterator<Item = (&'static str, Vec<String>)>) {
    let (mut count, mut missing) = (0, Vec::new());
    for (name, cells) in wanted {
        let right =
            |row: &&Vec<String>| names(&row[0]).iter().any(|told| told == name) && row[1..=cells.len()] == cells;
        count += 1;
        if told.iter().find(right).is_none() {
            missing.push(format!("| `{name}` | {} |", cells.join(" | ")));
        }
    }
    assert!(missing.is_empty(), "envoy/reference.md needs the rows\n{}", missing.join("\n"));
    assert_eq!(told.iter().flat_map(|row| names(&row[0])).count(), count, "envoy/reference.md lists more than exists");
}

/// The cells of the table of envoy/reference.md under a header.
fn table(header: &str) -> Vec<Vec<String>> {
    let cells = |row: &str| row.split('|').skip(1).map(|cell| cell.trim().to_owned()).collect();
    rows_below(&read("envoy/reference.md"), header).map(cells).collect()
}

fn rows_below<'a>(readme: &'a str, header: &str) -> impl Iterator<Item = &'a str> {
    readme.lines().skip_while(move |line| *line != header).skip(2).take_while(|line| line.starts_with('|'))
}

/// The names of a cell such as "`labels.headers` `.models`", where the first may lend the others its beginning.
fn names(cell: &str) -> Vec<String> {
    let mut names: Vec<_> = cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let above = names.first().and_then(|first| Some(first.rsplit_once('.')?.0.to_owned())).unwrap_or_default();
    names.iter_mut().filter(|name| name.starts_with('.')).for_each(|name| name.insert_str(0, &above));
    names
}

fn sorted<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable();
    names
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
