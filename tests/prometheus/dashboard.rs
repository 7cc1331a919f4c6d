//! The dashboard: held against Grafana's own types, and against rules that its readers would otherwise find out about.

use std::collections::BTreeSet;
use std::process::Command;

use crate::panels::{FILTERS, dashboard, is_known, metrics, panels, path, queries, read, recorded};
use gaugeway::sink::stats::METRICS;

#[test]
fn the_dashboard_has_only_what_grafanas_own_types_know() {
    let setting = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: ./build.sh test finds the tools and sets it"))
    };
    let mut node = Command::new(setting("GAUGEWAY_NODE"));
    node.arg(path("tests/grafana/check.mjs")).arg(setting("GAUGEWAY_GRAFANA"));
    let output = node.arg(path("envoy/grafana/dashboard.json")).output().expect("node can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_panel_says_what_it_shows_in_what_unit_and_names_its_lines() {
    let dashboard = dashboard();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap_or_default();
        assert!(!title.is_empty(), "panel {} has no title", panel["id"]);
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 20), "{title}: no description");
        let unit = &panel["fieldConfig"]["defaults"]["unit"];
        assert!(unit.as_str().is_some_and(|unit| !unit.is_empty()), "{title}: no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    }
    for query in queries(&dashboard) {
        assert!(!query.legend.is_empty() && query.legend != "__auto", "{}: a line without a name", query.panel);
        for label in query.legend.split("{{").skip(1) {
            let label = label.split("}}").next().unwrap();
            assert!(query.promql.contains(label), "{}: the legend names {label}, the query does not", query.panel);
        }
    }
}

#[test]
fn panels_lie_side_by_side_within_the_page() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{} is wider than the page", panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{} has another panel's id", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} lies on another panel", panel["title"]);
            }
        }
    }
    let height = taken.iter().map(|(_, y)| y + 1).max().unwrap();
    assert_eq!(taken.len() as u64, height * 24, "there are holes between the panels");
}

#[test]
fn links_to_the_dashboard_hold_and_its_variables_are_used() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "gaugeway-llm", "links and alerts point to this");
    assert!(dashboard["id"].is_null(), "an id belongs to one Grafana");
    let variables: Vec<_> = dashboard["templating"]["list"].as_array().unwrap().iter().collect();
    let names: Vec<_> = variables.iter().map(|variable| format!("${}", variable["name"].as_str().unwrap())).collect();
    let queries = queries(&dashboard);
    for query in &queries {
        for at in query.promql.match_indices('$').map(|(at, _)| &query.promql[at..]) {
            let known = names.iter().map(String::as_str).chain(["$__rate_interval"]).any(|name| at.starts_with(name));
            assert!(known, "{}: unknown variable in {}", query.panel, query.promql);
        }
    }
    for (variable, label) in FILTERS {
        let filter = format!("{label}=~\"{variable}\"");
        let filtered = queries.iter().filter(|query| query.promql.contains(&filter)).count();
        assert!(filtered * 10 > queries.len() * 8, "only {filtered} of {} queries have {filter}", queries.len());
        let variable = variables.iter().find(|known| known["name"] == variable[1..]).unwrap();
        assert!(variable["query"]["query"].as_str().unwrap().ends_with(&format!(", {label})")), "{variable}");
        assert_eq!(variable["allValue"], ".*", "series without a {label} belong to all");
    }
}

#[test]
fn every_metric_on_the_dashboard_exists() {
    let rules = &recorded("envoy/prometheus/recording.yml") | &recorded("envoy/prometheus/alerts.yml");
    for query in queries(&dashboard()) {
        let named = metrics(&query.promql);
        assert!(!named.is_empty() || query.promql.contains("__name__"), "{}: {}", query.panel, query.promql);
        for name in named {
            assert!(is_known(&name, &rules), "{}: nobody makes {name}: {}", query.panel, query.promql);
        }
    }
}

#[test]
fn every_metric_of_the_plugin_is_on_the_dashboard() {
    let shown: Vec<_> = queries(&dashboard()).iter().flat_map(|query| metrics(&query.promql)).collect();
    // Token counts stand on the dashboard as exact counters; the histogram is for percentiles.
    for metric in METRICS.iter().filter(|metric| metric.name != "gen_ai_client_token_usage") {
        assert!(shown.iter().any(|name| name.starts_with(metric.name)), "{} is on no panel", metric.name);
    }
}

#[test]
fn provisioning_finds_prometheus_and_the_dashboard_where_they_are() {
    let datasource = read("envoy/grafana/provisioning/datasources/gaugeway.yaml");
    assert!(datasource.contains("type: prometheus") && datasource.contains("url: http://127.0.0.1:9090"));
    let interval =
        |text: &str, key: &str| text.split_once(key).unwrap().1.split_whitespace().next().unwrap().to_owned();
    let scraped = interval(&read("envoy/prometheus/prometheus.yml"), "scrape_interval: ");
    assert_eq!(interval(&datasource, "timeInterval: "), scraped, "rates need the interval of scraping");
}

#[test]
fn metrics_are_found_in_expressions_and_nothing_else_is() {
    let found = |promql| metrics(promql);
    assert_eq!(
        found("sum by (le, x) (rate(a_total{b=\"c\"}[5m])) / 1e6 > bool 0.5 or b:c offset 1h"),
        ["a_total", "b:c"]
    );
    assert_eq!(found("label_replace(a, \"x\", \"$1\", \"y\", \"(.+)\") and on (z) up == 1"), ["a", "up"]);
    assert_eq!(found("a / ignoring (b) group_left sum without (c) (d)"), ["a", "d"]);
}
