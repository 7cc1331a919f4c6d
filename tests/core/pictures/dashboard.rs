//! dashboard.svg has the panels of the first row where the dashboard has them, and lists those of the other rows.

use std::collections::BTreeSet;

use super::drawing::{Drawing, Element, close, read};
use serde_json::Value;

/// The columns of the dashboard's grid, and the width that they take in the drawing.
const COLUMNS: f64 = 24.0;
const WIDTH: f64 = 806.0;
const LEFT: f64 = 16.0;
/// Between two panels.
const GAP: f64 = 8.0;

#[test]
fn the_drawn_dashboard_has_the_rows_panels_and_variables_of_the_real_one() {
    let (drawing, dashboard) = (Drawing::open("dashboard.svg"), dashboard());
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables = variables.filter(|one| one["type"] != "datasource").map(|one| text(&one["label"]));
    assert!(variables.eq(texts(&drawing.elements("<text class=\"variable\"").collect::<Vec<_>>())), "other variables");

    let rows = rows(&dashboard);
    let (first, others) = rows.split_first().unwrap();
    assert_eq!(drawing.elements("<text class=\"head\"").next().unwrap().text(), text(&first[0]["title"]));
    let panels: Vec<_> = drawing.groups("<g class=\"panel\"").collect();
    assert_eq!(panels.len(), first.len() - 1, "dashboard.svg has another number of panels in the first row");
    let mut lines = BTreeSet::new();
    for (panel, drawn) in first[1..].iter().zip(&panels) {
        let title = texts(&drawn.elements("<text class=\"title").collect::<Vec<_>>()).collect::<Vec<_>>().join(" ");
        assert_eq!(title, text(&panel["title"]));
        let grid = |key: &str| panel["gridPos"][key].as_f64().unwrap() * WIDTH / COLUMNS;
        let ([x, y], frame) = (drawn.place(), drawn.elements("<rect").next().unwrap());
        close(x, LEFT + grid("x"), &title);
        close(frame.number("width"), grid("w") - GAP, &title);
        lines.insert((y as u64, panel["gridPos"]["y"].as_u64().unwrap()));
    }
    let [drawn, real] = [|line: &(u64, u64)| line.0, |line: &(u64, u64)| line.1];
    let distinct = |of: fn(&(u64, u64)) -> u64| lines.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(
        (distinct(drawn), distinct(real)),
        (lines.len(), lines.len()),
        "panels of one line are drawn in several"
    );

    let lists: Vec<_> = drawing.groups("<g class=\"row\"").collect();
    assert_eq!(lists.len(), others.len(), "dashboard.svg has another number of rows");
    for (row, list) in others.iter().zip(&lists) {
        let title = text(&row[0]["title"]);
        assert_eq!(list.elements("<text class=\"head\"").next().unwrap().text(), title);
        let panels =
            row[1..].iter().map(|panel| (format!("<use href=\"#{}\"", text(&panel["type"])), text(&panel["title"])));
        let kinds = list.elements("<use").map(|kind| kind.source.split(" x=").next().unwrap().to_owned());
        let titles: Vec<_> = list.elements("<text class=\"title\"").collect();
        let drawn: Vec<_> = kinds.zip(texts(&titles)).collect();
        assert_eq!(drawn, panels.collect::<Vec<_>>(), "{title}");
    }
}

#[test]
fn the_drawn_table_of_models_has_columns_of_the_real_one() {
    let (drawing, dashboard) = (Drawing::open("dashboard.svg"), dashboard());
    let rows = rows(&dashboard);
    let table = rows[0].iter().find(|panel| panel["type"] == "table").expect("the first row has no table");
    let renamed =
        table["transformations"].as_array().unwrap().iter().find_map(|one| one["options"]["renameByName"].as_object());
    let columns: Vec<_> = renamed.unwrap().values().map(text).collect();
    let drawn: Vec<_> = drawing.elements("<text class=\"column").collect();
    assert!(drawn.len() > 4);
    for column in texts(&drawn) {
        assert!(columns.contains(&column), "the table has no column {column}, but {columns:?}");
    }
}

fn dashboard() -> Value {
    serde_json::from_str(&read("envoy/grafana/dashboard.json")).unwrap()
}

/// The rows with their panels. The row itself is the first one.
fn rows(dashboard: &Value) -> Vec<Vec<&Value>> {
    let mut rows: Vec<Vec<_>> = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        match rows.last_mut().filter(|_| panel["type"] != "row") {
            Some(row) => row.push(panel),
            None => rows.push(vec![panel]),
        }
    }
    rows
}

fn texts<'d>(elements: &[Element<'d>]) -> impl Iterator<Item = &'d str> {
    elements.iter().map(Element::text)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
