//! Checks the dashboard against Grafana's own types and against rules that Grafana does not enforce.

use std::collections::BTreeSet;
use std::process::Command;

use crate::panels::{FILTERS, Names, dashboard, is_known, metrics, panels, path, queries, read, recorded, spelled};
use crate::translated::{prefixed, series_of};
use gaugeway::config::Conventions;
use gaugeway::labels::LABELS;
use gaugeway::sink::stats::{METRICS, Metric, PLUGIN_METRICS, RPC_METRICS};

#[test]
fn the_dashboard_is_valid_against_grafanas_types() {
    let setting = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./build.sh test prometheus"))
    };
    let mut node = Command::new(setting("GAUGEWAY_NODE"));
    node.arg(path("tests/grafana/check.mjs")).arg(setting("GAUGEWAY_GRAFANA"));
    let output = node.arg(path("envoy/grafana/dashboard.json")).output().expect("cannot start node");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_panel_has_a_description_a_unit_and_legends() {
    let dashboard = dashboard();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap_or_default();
        assert!(!title.is_empty(), "panel {} has no title", panel["id"]);
        assert!(
            panel["description"].as_str().is_some_and(|text| text.len() > 20),
            "{title}: the panel has no description"
        );
        let unit = &panel["fieldConfig"]["defaults"]["unit"];
        assert!(unit.as_str().is_some_and(|unit| !unit.is_empty()), "{title}: the panel has no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    }
    for query in queries(&dashboard) {
        assert!(!query.legend.is_empty() && query.legend != "__auto", "{}: a query has no legend", query.panel);
        for label in query.legend.split("{{").skip(1) {
            let label = label.split("}}").next().unwrap();
            assert!(
                query.promql.contains(label),
                "{}: the legend uses the label {label}, which the query does not return",
                query.panel
            );
        }
    }
}

#[test]
fn panels_fill_the_page_without_overlaps_or_gaps() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{} is wider than the page", panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{} has the id of another panel", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} overlaps another panel", panel["title"]);
            }
        }
    }
    let height = taken.iter().map(|(_, y)| y + 1).max().unwrap();
    assert_eq!(taken.len() as u64, height * 24, "there are gaps between the panels");
}

#[test]
fn the_dashboards_uid_is_stable_and_its_variables_are_used() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "gaugeway-llm", "the uid must not change, because links and alerts use it");
    assert!(dashboard["id"].is_null(), "the dashboard must not have the id of one Grafana instance");
    let variables: Vec<_> = dashboard["templating"]["list"].as_array().unwrap().iter().collect();
    let names: Vec<_> = variables.iter().map(|variable| format!("${}", variable["name"].as_str().unwrap())).collect();
    let queries = queries(&dashboard);
    for query in &queries {
        for at in query.promql.match_indices('$').map(|(at, _)| &query.promql[at..]) {
            let own = ["$__rate_interval", "$__range"];
            let known = names.iter().map(String::as_str).chain(own).any(|name| at.starts_with(name));
            assert!(known, "{}: unknown variable in {}", query.panel, query.promql);
        }
    }
    for (variable, label, filter) in FILTERS {
        for query in &queries {
            let named = metrics(&spelled(&query.promql, Names::Envoy));
            let rows: Vec<_> = named.iter().filter_map(|name| row(name)).collect();
            // An operation of MCP or A2A has no provider. The time of tools comes with a call to a model.
            let has_none = |row: &Metric| {
                *label == "gen_ai_provider_name"
                    && row.name != "gaugeway_tool_time_microseconds_total"
                    && RPC_METRICS.iter().any(|of_rpc| of_rpc.name == row.name)
            };
            let common =
                |row: &Metric| *label == "team" || row.scope.labels().any(|one| one.name == *label) && !has_none(row);
            let wanted = !rows.is_empty() && rows.iter().all(|row| common(row));
            let is_recorded = rows.is_empty() && query.promql.contains("llm:");
            assert!(
                is_recorded || query.promql.contains(filter) == wanted,
                "{}: {filter}: {}",
                query.panel,
                query.promql
            );
        }
        let variable = variables.iter().find(|known| known["name"] == variable[1..]).unwrap();
        let list = variable["query"]["query"].as_str().unwrap();
        assert!(
            list.ends_with(&format!(", {label})")) || list.contains(&format!("({label}, gaugeway_{label})")),
            "{list}"
        );
        assert_eq!(variable["allValue"], ".*", "`All` must include series without {label}");
    }
}

#[test]
fn one_variable_switches_between_the_names_of_envoy_and_of_otlp() {
    let dashboard = dashboard();
    let list = dashboard["templating"]["list"].as_array().unwrap();
    let names = list.iter().find(|variable| variable["name"] == "names").expect("there is no such variable");
    assert_eq!(names["query"], "Envoy : 1, OTLP : 0");
    for query in queries(&dashboard) {
        // A count has no unit.
        let promql = &query.promql.replace("}seconds_count", "}count");
        for (divisor, of) in [("1e9", "}usd_"), ("1e6", "}seconds_"), ("1e3", "(_permille)")] {
            assert_eq!(
                promql.contains(of),
                promql.contains(&format!("/ {divisor} ^ $names")),
                "{}: {divisor}: {promql}",
                query.panel
            );
        }
        // A label has both names wherever it is used.
        for label in LABELS.iter().filter(|label| prefixed(label.attribute) != label.name) {
            for list in promql.split("by (").skip(1).filter_map(|rest| rest.split(')').next()) {
                let has = |name: &str| list.split(", ").any(|one| one == name);
                assert_eq!(has(label.name), has(&prefixed(label.attribute)), "{}: {list}", query.panel);
            }
            let filters = |name: &str| {
                let all = ["{", ","].iter().flat_map(|start| ["=", "!"].map(|end| format!("{start}{name}{end}")));
                all.map(|filter| promql.matches(&filter).count()).sum::<usize>()
            };
            let shown = |name: &str| query.legend.matches(&format!("{{{{{name}}}}}")).count();
            for (kind, count) in [("filter", &filters as &dyn Fn(&str) -> usize), ("legend", &shown)] {
                let (own, other) = (count(label.name), count(&prefixed(label.attribute)));
                assert_eq!(own, other, "{}: {kind} {}: {promql} {}", query.panel, label.name, query.legend);
            }
        }
    }
}

#[test]
fn money_and_its_filters_are_shown_with_the_digits_that_grafana_chooses() {
    // Grafana shows at least two significant digits of a small number, unless the panel has `decimals`.
    let dashboard = dashboard();
    let mut money = 0;
    for panel in panels(&dashboard) {
        let defaults = &panel["fieldConfig"]["defaults"];
        let overrides = panel["fieldConfig"]["overrides"].to_string();
        if defaults["unit"] == "currencyUSD" || overrides.contains("currencyUSD") {
            money += 1;
            assert!(defaults["decimals"].is_null() && !overrides.contains("decimals"), "{}", panel["title"]);
        }
        let costs = panel["targets"].as_array().unwrap().iter().any(|target| {
            let promql = target["expr"].as_str().unwrap();
            promql.contains("usd") && !promql.contains("llm_budget")
        });
        assert!(!costs || defaults["unit"] == "currencyUSD" || overrides.contains("currencyUSD"), "{}", panel["title"]);
    }
    assert!(money > 10, "only {money} panels show money");
}

/// The row of a metric of exchanges or operations, by the name of one of its series.
fn row(series: &str) -> Option<&'static Metric> {
    let ends = ["", "_bucket", "_sum", "_count"];
    METRICS.iter().chain(RPC_METRICS).find(|row| series.strip_prefix(row.name).is_some_and(|end| ends.contains(&end)))
}

#[test]
fn every_metric_on_the_dashboard_exists_under_both_names() {
    let rules = &recorded("envoy/prometheus/recording.yml") | &recorded("envoy/prometheus/alerts.yml");
    let translated: BTreeSet<_> = METRICS.iter().chain(RPC_METRICS).chain(PLUGIN_METRICS).flat_map(series_of).collect();
    for query in queries(&dashboard()) {
        let named = metrics(&spelled(&query.promql, Names::Envoy));
        assert!(!named.is_empty() || query.promql.contains("__name__"), "{}: {}", query.panel, query.promql);
        for name in named {
            assert!(is_known(&name, &rules), "{}: the metric {name} does not exist: {}", query.panel, query.promql);
        }
        for name in metrics(&spelled(&query.promql, Names::Otlp)) {
            let of_rules = name.contains("llm:") || name.starts_with("llm_");
            assert!(
                translated.contains(&name) || of_rules && rules.contains(&name) || name.starts_with("envoy_"),
                "{}: OTLP has no metric {name}: {}",
                query.panel,
                query.promql
            );
        }
    }
}

#[test]
fn every_metric_of_the_plugin_is_on_the_dashboard() {
    let spelled = |query: crate::panels::Query| metrics(&spelled(&query.promql, Names::Envoy));
    let shown: Vec<_> = queries(&dashboard()).into_iter().flat_map(spelled).collect();
    // Panels show token counts from the plugin's own counters, which include all operations.
    let is_shown = |metric: &&Metric| {
        metric.is_in(Conventions::default()) && !(metric.name.starts_with("gen_ai_") && metric.unit == "{token}")
    };
    for metric in METRICS.iter().chain(RPC_METRICS).filter(is_shown) {
        assert!(shown.iter().any(|name| name.starts_with(metric.name)), "no panel shows {}", metric.name);
    }
}

#[test]
fn provisioning_has_the_right_address_path_and_scrape_interval() {
    let datasource = read("envoy/grafana/provisioning/datasources/gaugeway.yaml");
    assert!(datasource.contains("type: prometheus") && datasource.contains("url: http://127.0.0.1:9090"));
    let interval =
        |text: &str, key: &str| text.split_once(key).unwrap().1.split_whitespace().next().unwrap().to_owned();
    let scraped = interval(&read("envoy/prometheus/prometheus.yml"), "scrape_interval: ");
    assert_eq!(
        interval(&datasource, "timeInterval: "),
        scraped,
        "`timeInterval` must be the scrape interval, because rates depend on it"
    );
}

#[test]
fn the_metric_parser_finds_metrics_and_nothing_else() {
    let found = |promql| metrics(promql);
    assert_eq!(
        found("sum by (le, x) (rate(a_total{b=\"c\"}[5m])) / 1e6 > bool 0.5 or b:c offset 1h"),
        ["a_total", "b:c"]
    );
    assert_eq!(found("label_replace(a, \"x\", \"$1\", \"y\", \"(.+)\") and on (z) up == 1"), ["a", "up"]);
    assert_eq!(found("a / ignoring (b) group_left sum without (c) (d)"), ["a", "d"]);
    assert_eq!(found("a{b=~\"(c){$names}\"} offset $__range / b"), ["a", "b"]);
    let promql = "x({__name__=~\"a_(nano){$names}usd\",b=\"c\"}) + {__name__=~\"c.+\"}";
    assert_eq!(spelled(promql, Names::Envoy), "x(a_nanousd{b=\"c\"}) + {__name__=~\"c.+\"}");
    assert_eq!(spelled(promql, Names::Otlp), "x(a_usd{b=\"c\"}) + {__name__=~\"c.+\"}");
}
