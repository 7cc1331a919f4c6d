//! The table of APIs in tests/fixtures/README.md.

use std::collections::BTreeMap;

use super::{assert_table, read};
use crate::support::fixtures::Fixture;
use gaugeway::provider;

const README: &str = "tests/fixtures/README.md";

#[test]
fn the_fixtures_readme_lists_every_api_with_what_recorded_exchanges_show() {
    #[derive(Default)]
    struct Row {
        operation: &'static str,
        paths: Vec<&'static str>,
        cells: [bool; 5],
    }
    let mut apis = BTreeMap::<_, Row>::new();
    for endpoint in provider::endpoints().filter(|e| e.api.name != "detect") {
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
        let counted = seen.keys().any(|key| key.starts_with("gen_ai.usage.") && key.ends_with("_tokens"));
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
    assert_table(README, header, rows.into_iter().map(row));
    let names: Vec<_> = unshown.iter().map(|(name, _)| *name).collect();
    let readme = read(README);
    let rest = format!("In the code, with no recorded exchange yet: {}.", names.join(", "));
    assert!(names.is_empty() || readme.contains(&rest), "{README} must have the line: {rest}");
}
