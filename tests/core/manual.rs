//! The manuals under envoy/ name what exists, and every alert.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const MANUALS: [&str; 3] = ["envoy/README.md", "envoy/istio/README.md", "envoy/envoy-gateway/README.md"];

#[test]
fn every_alert_has_its_row_and_every_row_its_alert() {
    let alerts = read("envoy/prometheus/alerts.yml");
    let alerts: BTreeSet<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let manual = read("envoy/README.md");
    let (_, table) = manual.split_once("| alert | it means | what to do |").expect("the table of alerts");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let told: BTreeSet<_> = rows.map(|row| row.split('`').nth(1).expect("an alert's name")).collect();
    assert_eq!(told, alerts);
}

#[test]
fn the_manuals_point_at_files_commands_and_metrics_that_exist() {
    let script = read("build.sh");
    let metrics: BTreeSet<_> = gaugeway::sink::stats::METRICS.iter().map(|metric| metric.name).collect();
    let own = [gaugeway::sink::stats::OVERFLOW, gaugeway::sink::stats::PRICE_TABLE];
    for manual in MANUALS {
        let text = read(manual);
        let folder = root().join(manual).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            assert!(folder.join(target).exists(), "{manual} points at {target}, which is not there");
        }
        for rest in text.split("`./build.sh ").skip(1) {
            let command: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            let planned = command == "bench";
            assert!(planned || script.contains(&format!("command_{command}()")), "{manual}: no command '{command}'");
        }
        for name in text.split('`').filter(|word| word.starts_with("gaugeway_") && word.chars().all(is_name)) {
            assert!(metrics.contains(name) || own.contains(&name), "{manual} names {name}, which nobody makes");
        }
    }
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
