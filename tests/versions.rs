//! Runs selected tests of tests/envoy in older released Envoy versions, with the deletions in `envoy.yaml` that
//! README.md requires for them. README.md's table of versions must match `VERSIONS`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Version, kind of span attributes, and what to delete from `envoy.yaml`.
const VERSIONS: &[(&str, &str, &str)] = &[
    ("1.40.0", "with types", "nothing"),
    ("1.39.3", "strings", "every `value_type`"),
    ("1.37.0", "strings", "every `value_type`"),
    ("1.36.4", "none", "`operation` and `custom_tags`"),
];

/// Tests of tests/envoy that depend on Envoy's own behaviour.
const TESTS: &[&str] = &[
    "callers::two_tenants_with_equal_conversations_and_equal_identifiers_do_not_share_runs",
    "configuration::an_invalid_configuration_stops_envoy_at_start_and_the_log_names_the_key",
    "passing::a_plugin_that_fails_to_restart_is_counted_in_vm_reload_failure",
    "passing::after_a_crash_envoy_counts_refused_requests_and_the_reload_but_never_vm_reload",
    "passing::without_fail_reload_a_crash_changes_no_counter_and_the_plugin_is_not_restarted",
    "attempts::a_mirrored_request_is_counted_with_a_route_of_its_own",
    "attempts::each_attempt_has_a_span_in_the_trace_of_the_call",
    "attempts::each_attempt_is_reported_as_far_as_envoy_shows_its_end",
    "endings::a_disconnected_client_is_counted_once_with_the_values_seen_so_far",
    "interrupted::no_call_that_ends_shows_that_it_was_interrupted",
    "interrupted::the_span_of_a_cut_call_is_interrupted_and_has_the_cost_of_the_known_usage",
    "local_replies::an_answer_of_the_provider_is_no_local_reply_even_if_the_header_of_the_router_is_missing",
    "local_replies::an_answer_that_no_provider_gave_has_envoys_reason_and_no_cost",
    "instances::the_second_instance_in_a_filter_chain_stands_down_and_logs_once",
    "minimal::nothing_is_lost_if_every_fifth_client_disconnects_and_the_collector_fails_for_a_while",
    "minimal::the_minimal_configuration_exports_the_spans_and_metrics_of_every_fixture",
    "redirects::a_redirected_call_has_one_span_from_its_first_leg_to_the_end_of_the_answer",
    "redirects::a_redirected_call_is_reported_once_for_the_leg_that_answered",
    "redirects::a_redirected_client_gets_no_usage_that_it_did_not_ask_for",
    "replay::every_fixture_gives_its_observation_over_http_2_in_small_pieces_concurrently",
    "routes::routes_enable_the_plugin_separately_and_with_their_own_settings",
];

/// Before Envoy 1.39 the metrics of a plugin in a cluster are named `cluster.NAME.wasmcustom...`: no labels in Prometheus.
const SINCE_1_39: &[&str] = &[
    "routes::as_an_upstream_filter_each_attempt_is_counted_and_the_last_one_is_reported",
    "routes::if_the_listener_has_the_plugin_too_only_the_listeners_plugin_reports",
];

#[test]
fn every_older_version_passes_the_selected_envoy_tests() {
    let folder =
        std::env::var("GAUGEWAY_OLDER_ENVOYS").expect("GAUGEWAY_OLDER_ENVOYS is not set: run ./build.sh test versions");
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
fn build_sh_and_the_readme_list_the_tested_versions() {
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
    assert!(readme.contains(&table), "README.md must contain this table:\n{table}");
}
