//! Every file, heading, command and metric that the manuals name must exist, and the manual must list every alert.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
fn every_test_group_word_and_item_that_contributing_names_exists() {
    let (text, script) = (read("CONTRIBUTING.md"), read("build.sh"));
    let code: String =
        ["src", "tests", "envoy", "edge/package"].iter().map(|folder| sources(&root().join(folder))).collect();
    let words: BTreeSet<_> = code.split(|char: char| !(char.is_alphanumeric() || char == '_')).collect();
    let mut checked = 0;
    for span in text.split('`').skip(1).step_by(2) {
        if let Some(("", rest)) = span.split_once("./build.sh test ").filter(|(_, rest)| !rest.starts_with("GROUP")) {
            let (group, filter) = rest.split_once(" -- ").unwrap_or((rest, ""));
            assert!(script.contains(&format!("test_{group}()")), "build.sh has no test group {group}: {span}");
            for word in filter.split_whitespace() {
                let modules = ["src", "tests"].map(|folder| modules(&root().join(folder)));
                let known = modules.iter().flatten().any(|module| module == word);
                assert!(known, "no module is called {word}: {span}");
            }
        }
        // Names of functions, types and constants. Others are words of formats and of examples.
        let is_item = span.chars().all(|char| char.is_alphanumeric() || "_:".contains(char)) && !span.ends_with(':');
        if is_item && (span.contains("::") || span.contains('_') || span.chars().any(char::is_uppercase)) {
            let item = span.rsplit("::").next().unwrap();
            assert!(
                words.contains(item),
                "CONTRIBUTING.md names {span}, but no file in src, tests, envoy or edge does"
            );
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} items of CONTRIBUTING.md were checked");
}

/// The files below a folder, except installed packages and the exchanges of `tests/fixtures`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let ours = entries.filter(|path| !path.ends_with("node_modules") && !path.ends_with("tests/fixtures"));
    ours.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The text of the sources and configuration files below a folder.
fn sources(folder: &Path) -> String {
    let known = |path: &PathBuf| ["rs", "js", "ts", "yaml"].iter().any(|end| path.extension() == Some(end.as_ref()));
    files(folder).iter().filter(|path| known(path)).map(|path| fs::read_to_string(path).unwrap() + "\n").collect()
}

/// The names of the modules below a folder: of its files and folders.
fn modules(folder: &Path) -> BTreeSet<String> {
    let files = files(folder);
    let names = files.iter().flat_map(|path| path.strip_prefix(folder).unwrap().iter());
    names.map(|name| name.to_str().unwrap().trim_end_matches(".rs").to_owned()).collect()
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
