//! Compares the cost that a response reports with the cost by the price table, as if the response had reported none.
//!
//! GAUGEWAY_RECORDINGS names a folder with further exchanges in the form of `tests/fixtures`.

use crate::support::core::{Wire, observer, pass_at};
use crate::support::fixtures::Fixture;
use gaugeway::exchange::End;
use gaugeway::observation::CostStatus;
use std::path::Path;

/// Vendors that bill their own models. The others relay models at prices of their own.
const DIRECT: &[&str] = &["perplexity", "x_ai"];

#[test]
fn the_cost_that_a_vendor_reports_is_the_computed_one() {
    let mut fixtures = Fixture::all();
    fixtures.extend(
        std::env::var("GAUGEWAY_RECORDINGS").map(|folder| Fixture::all_in(Path::new(&folder))).into_iter().flatten(),
    );
    let (mut right, mut wrong) = (0, Vec::new());
    for fixture in fixtures {
        let wire = Wire::of(&fixture);
        let Some(exchange) = pass_at(&observer(), &wire, End::Whole, 1_000) else { continue };
        let (seen, computed) = (exchange.observation(), exchange.computed_cost(None));
        let (Some(CostStatus::Reported), Some(reported)) = (seen.cost.status, seen.cost.nanousd) else { continue };
        // Perplexity rounds each part to 10 micro-dollars.
        let rounding = if seen.provider == "perplexity" { 10_000 } else { 1 };
        let near = computed.nanousd.is_some_and(|nanousd| nanousd.abs_diff(reported) <= reported / 1_000 + rounding);
        if near {
            right += 1;
            continue;
        }
        let (names, model) = (computed.bill.unpriced.names().collect::<Vec<_>>(), &seen.response.model);
        let line = format!(
            "{}: {} {model:?} reported {reported}, computed {:?} {:?} {names:?}",
            fixture.id, seen.provider, computed.nanousd, computed.status
        );
        println!("{line}");
        if DIRECT.contains(&&*seen.provider) {
            wrong.push(line);
        }
    }
    assert!(right > 0);
    println!("{right} costs are as reported");
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), wrong.len() + right, wrong.join("\n"));
}
