//! The released Envoys before the one that all other tests run in: in each the same tests pass, with what `envoy.yaml` tells
//! to delete for it. README.md's table of versions is what was run.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test reads its environment and the clock, and fails by a panic"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Versions, what their spans carry, and what has to be deleted from `envoy.yaml`.
const VERSIONS: &[(&str, &str, &str)] = &[
    ("1.40.0", "with types", "nothing"),
    ("1.39.3", "strings", "every `value_type`"),
    ("1.37.0", "strings", "every `value_type`"),
    ("1.36.4", "none", "`operation` and `custom_tags`"),
];

/// Tests of tests/envoy that depend on what Envoy does.
const TESTS: &[&str] = &[
    "configuration::a_wrong_configuration_ends_envoy_at_its_start_and_the_log_names_the_key",
    "passing::a_plugin_that_cannot_start_again_counts_as_failure",
    "passing::after_a_crash_envoy_counts_refused_requests_then_the_reload_and_never_vm_reload",
    "passing::without_fail_reload_a_crash_moves_no_series_and_the_plugin_stays_away",
    "endings::a_client_that_goes_away_leaves_what_was_seen_and_is_counted_once",
    "replay::over_http_2_in_crumbs_and_many_at_once_every_fixture_comes_to_its_observation",
    "routes::each_route_has_the_plugin_it_is_given_with_its_own_settings",
];

/// Before 1.39 the plugin is not told of the end of what a cluster's filters see, so it counts nothing there.
const SINCE_1_39: &[&str] = &[
    "routes::among_a_clusters_filters_each_attempt_is_counted_and_the_last_one_is_shown",
    "routes::where_the_listener_has_a_plugin_too_only_that_one_reports",
];

#[test]
fn every_version_passes_the_tests_of_the_newest() {
    let folder = std::env::var("GAUGEWAY_OLDER_ENVOYS").expect("./build.sh test fetches older Envoys and says where");
    let mut faults = Vec::new();
    for (version, ..) in VERSIONS.iter().skip(1) {
        let program = Path::new(&folder).join(format!("envoy-{version}/envoy/_bin/envoy"));
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["test", "--test", "envoy"]).env("GAUGEWAY_ENVOY", program);
        let tests = if *version < "1.39" { TESTS.to_vec() } else { [TESTS, SINCE_1_39].concat() };
        let ran = cargo.args(["--no-fail-fast", "--", "--exact"]).args(&tests).output().expect("cargo runs");
        let said = String::from_utf8_lossy(&ran.stdout);
        let passed = tests.iter().filter(|test| said.contains(&format!("test {test} ... ok"))).count();
        if !ran.status.success() || passed < tests.len() {
            faults.push(format!("Envoy {version}:\n{said}\n{}", String::from_utf8_lossy(&ran.stderr)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn build_sh_fetches_these_versions_and_the_readme_tells_them() {
    let read = |path| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (script, readme) = (read("build.sh"), read("README.md"));
    let mut older: Vec<_> = VERSIONS.iter().skip(1).map(|(version, ..)| *version).collect();
    older.reverse();
    assert!(script.contains(&format!("ENVOY_VERSION={}\n", VERSIONS[0].0)));
    assert!(script.contains(&format!("OLDER_ENVOYS=\"{}\"\n", older.join(" "))));
    let rows: Vec<_> =
        VERSIONS.iter().map(|(version, spans, delete)| format!("| {version} | {spans} | {delete} |")).collect();
    let header = "| Envoy | span attributes | delete from envoy.yaml |\n|---|---|---|\n";
    let table = format!("{header}{}\n", rows.join("\n"));
    assert!(readme.contains(&table), "this must stand in README.md:\n{table}");
}
