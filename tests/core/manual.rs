//! Every file, heading, command, test and metric that the manuals name must exist, every name of an item in CONTRIBUTING.md must
//! occur in the sources, and the manual must list every alert.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gaugeway::labels::LABELS;
use gaugeway::sink::stats::{METRICS, PLUGIN_METRICS, RPC_METRICS};

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
fn every_alert_has_a_section_with_its_meaning_a_panel_of_the_dashboard_and_three_steps() {
    let rules = read("envoy/prometheus/alerts.yml");
    let alerts: BTreeSet<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let dashboard: serde_json::Value = serde_json::from_str(&read("envoy/grafana/dashboard.json")).unwrap();
    let of_panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let panels: BTreeSet<_> = of_panels.map(|panel| panel["title"].as_str().unwrap()).collect();
    let manual = read("envoy/README.md");
    let chapter =
        manual.split("\n## ").find(|chapter| chapter.starts_with("Alerts\n")).expect("there is no such chapter");
    let mut told = BTreeSet::new();
    for (name, section) in chapter.split("\n### ").skip(1).filter_map(|section| section.split_once("\n\n")) {
        if name == "Other names" {
            continue;
        }
        told.insert(name);
        let (meaning, rest) = section.split_once(" Panel: \"").unwrap_or_else(|| panic!("{name} names no panel"));
        assert!(meaning.len() > 40 && meaning.ends_with('.'), "{name} has no meaning: {meaning}");
        let (panel, steps) =
            rest.split_once("\".\n\n").unwrap_or_else(|| panic!("{name}: its panel does not end a paragraph"));
        assert!(panels.contains(panel), "{name}: the dashboard has no panel {panel:?}");
        let steps: Vec<_> = steps.lines().filter(|line| !line.is_empty()).collect();
        let numbered = |(at, step): (usize, &&str)| step.starts_with(&format!("{}. ", at + 1)) && step.len() > 20;
        assert!(steps.len() == 3 && steps.iter().enumerate().all(numbered), "{name} has not three steps: {steps:?}");
    }
    assert_eq!(told, alerts);
    // Titles in quotation marks, in the chapters about alerts and the dashboard and in the texts of the alerts, are panels.
    let board =
        manual.split("\n## ").find(|chapter| chapter.starts_with("The dashboard\n")).expect("there is no such chapter");
    let descriptions = rules.split("description: >-").skip(1).filter_map(|text| text.split("\n  - ").next());
    let texts: Vec<_> =
        [chapter.to_owned(), board.to_owned()].into_iter().chain(descriptions.map(str::to_owned)).collect();
    for text in &texts {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let code: String = text.split('`').step_by(2).collect();
        for title in
            code.split('"').skip(1).step_by(2).filter(|title| title.starts_with(|char: char| char.is_uppercase()))
        {
            let is_variable = title == "Metrics";
            let is_column = title.ends_with("p95");
            assert!(is_variable || is_column || panels.contains(title), "there is no panel {title:?}: {text}");
        }
    }
}

#[test]
fn every_file_heading_command_and_metric_that_a_manual_names_exists() {
    let script = read("build.sh");
    let metrics: BTreeSet<_> =
        METRICS.iter().chain(RPC_METRICS).chain(PLUGIN_METRICS).map(|metric| metric.name).collect();
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
        // Prometheus writes the attributes of OTLP metrics with underscores.
        let is_label = |name: &str| LABELS.iter().any(|label| label.attribute.replace('.', "_") == name);
        for name in text.split('`').filter(|word| word.starts_with("gaugeway_") && word.chars().all(is_name)) {
            assert!(
                metrics.contains(name) || is_label(name),
                "{manual} names {name}, which is neither a metric nor a label"
            );
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
