//! Every file, heading, command, test and metric that the manuals name must exist, every name of an item in CONTRIBUTING.md must
//! occur in the sources, and the manual must list every alert.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gaugeway::sink::stats::{METRICS, PLUGIN_METRICS};

const MANUALS: [&str; 9] = [
    "CONTRIBUTING.md",
    "README.md",
    "edge/README.md",
    "envoy/README.md",
    "envoy/applications.md",
    "envoy/envoy-gateway/README.md",
    "envoy/istio/README.md",
    "envoy/reference.md",
    "tests/fixtures/README.md",
];

#[test]
fn the_table_of_alerts_lists_exactly_the_alerts_of_the_rules() {
    let alerts = read("envoy/prometheus/alerts.yml");
    let alerts: BTreeSet<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let manual = read("envoy/README.md");
    let (_, table) =
        manual.split_once("| alert | it means | what to do |").expect("envoy/README.md has no table of alerts");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let told: BTreeSet<_> =
        rows.map(|row| row.split('`').nth(1).expect("a row of the table has no alert name in backticks")).collect();
    assert_eq!(told, alerts);
}

#[test]
fn every_file_heading_command_and_metric_that_a_manual_names_exists() {
    let script = read("build.sh");
    let metrics: BTreeSet<_> = METRICS.iter().chain(PLUGIN_METRICS).map(|metric| metric.name).collect();
    for manual in MANUALS {
        let text = read(manual);
        let file = root().join(manual);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (target, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if target.is_empty() { file.clone() } else { file.parent().unwrap().join(target) };
            assert!(target.exists(), "{manual} links to {link}, which does not exist");
            assert!(
                heading.is_empty() || anchors(&target).any(|anchor| anchor == heading),
                "{manual}: there is no heading {link}"
            );
        }
        for rest in text.split("`./build.sh ").skip(1) {
            let command: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            assert!(script.contains(&format!("command_{command}()")), "{manual}: build.sh has no command '{command}'");
        }
        for rest in text.split("`./build.sh test ").skip(1) {
            let group: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            let is_placeholder = rest.starts_with("GROUP");
            assert!(
                is_placeholder || script.contains(&format!("test_{group}()")),
                "{manual}: build.sh has no test group '{group}'"
            );
        }
        for name in text.split(" --test ").skip(1).filter_map(|rest| rest.split([' ', '`', '\n']).next()) {
            let tests = root().join("tests").join(name);
            assert!(
                name == "NAME" || tests.join("main.rs").exists() || tests.with_extension("rs").exists(),
                "{manual}: cargo has no test '{name}'"
            );
        }
        for name in text.split('`').filter(|word| word.starts_with("gaugeway_") && word.chars().all(is_name)) {
            assert!(metrics.contains(name), "{manual} names {name}, which is not a metric");
        }
    }
}

#[test]
fn every_path_that_contributing_names_exists() {
    let text = read("CONTRIBUTING.md");
    let is_path =
        |word: &&str| word.contains('/') && !word.contains(['*', '<', ' ', '"', ':']) && !word.starts_with('.');
    let paths: BTreeSet<_> = text.split('`').skip(1).step_by(2).filter(is_path).collect();
    let missing: Vec<_> = paths.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "CONTRIBUTING.md names {missing:?}, which do not exist");
    assert!(paths.len() > 30, "CONTRIBUTING.md must name more than 30 paths, not only {paths:?}");
}

#[test]
fn every_item_that_contributing_names_occurs_in_the_sources() {
    let mut sources = BTreeSet::new();
    ["src", "tests", "envoy", "edge"].iter().for_each(|folder| add_words(&root().join(folder), &mut sources));
    let text = read("CONTRIBUTING.md");
    let spans = text.split('`').skip(1).step_by(2);
    // A name by itself, such as `Draft::count`. Single lower-case words are too common to prove anything.
    let items = spans.filter(|span| {
        span.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | ':'))
            && span.contains(|char: char| char.is_ascii_uppercase() || matches!(char, '_' | ':'))
    });
    let names: BTreeSet<_> = items.flat_map(|item| item.split("::")).filter(|name| !name.is_empty()).collect();
    let unknown: Vec<_> = names.iter().filter(|name| !sources.contains(**name)).collect();
    assert!(unknown.is_empty(), "CONTRIBUTING.md names {unknown:?}, which occur in no source");
    assert!(names.len() > 30, "CONTRIBUTING.md must name more than 30 items, not only {names:?}");
}

/// Adds the words of the sources in a folder: runs of letters, digits and `_`.
fn add_words(folder: &Path, words: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if path.is_dir() {
            add_words(&path, words);
        } else if matches!(extension, "rs" | "js" | "ts" | "yaml") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            words.extend(text.split(|char: char| !char.is_alphanumeric() && char != '_').map(str::to_owned));
        }
    }
}

/// The link targets of the headings in a Markdown file.
fn anchors(file: &Path) -> impl Iterator<Item = String> {
    let text = fs::read_to_string(file).unwrap();
    let headings: Vec<_> = text.lines().filter(|line| line.starts_with('#')).map(str::to_lowercase).collect();
    let anchor = |heading: String| {
        let words = heading.trim_start_matches('#').trim().replace(' ', "-");
        words.chars().filter(|char| char.is_alphanumeric() || matches!(char, '-' | '_')).collect()
    };
    headings.into_iter().map(anchor)
}

fn is_name(char: char) -> bool {
    char.is_ascii_lowercase() || char == '_'
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
