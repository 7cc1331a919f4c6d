//! A number in a usage object that no rule reads and that is not on the documented list makes the cost a partial one.
//!
//! GAUGEWAY_RECORDINGS names a folder with further exchanges in the form of `tests/fixtures`.

use crate::support::core::{Wire, observer, pass_at};
use crate::support::fixtures::Fixture;
use gaugeway::exchange::{End, Observer};
use gaugeway::observation::CostStatus;
use gaugeway::provider::{USAGE_OBJECTS, WITHOUT_PRICE};
use serde_json::Value;
use std::path::Path;
use std::rc::Rc;

fn status(observer: &Rc<Observer>, fixture: &Fixture, response: &[u8]) -> Option<CostStatus> {
    let wire = Wire { response: vec![response], ..Wire::of(fixture) };
    let exchange = pass_at(observer, &wire, End::Whole, 1_000)?;
    exchange.computed_cost(None).status
}

/// The paths of the numbers that are not 0 in the usage objects of a document.
fn numbers(value: &Value, path: &mut Vec<String>, is_usage: bool, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                path.push(key.clone());
                numbers(member, path, is_usage || USAGE_OBJECTS.contains(&&**key), found);
                path.pop();
            }
        }
        Value::Number(number) if is_usage && number.as_f64() != Some(0.0) => found.push(path.clone()),
        _ => {}
    }
}

/// The document with another name for the member at a path.
fn renamed(document: &Value, path: &[String]) -> Value {
    let mut document = document.clone();
    let (last, parents) = path.split_last().unwrap();
    let parent = parents.iter().fold(&mut document, |value, key| &mut value[key]);
    let number = parent.as_object_mut().unwrap().remove(last).unwrap();
    parent["unheard_of"] = number;
    document
}

#[test]
fn no_cost_is_priced_with_a_number_in_its_usage_that_nothing_reads() {
    let observer = observer();
    let mut fixtures = Fixture::all();
    fixtures.extend(
        std::env::var("GAUGEWAY_RECORDINGS").map(|folder| Fixture::all_in(Path::new(&folder))).into_iter().flatten(),
    );
    let (mut checked, mut ignored, mut wrong) = (0, 0, Vec::new());
    for fixture in fixtures {
        let Ok(document) = serde_json::from_slice::<Value>(&fixture.response.body) else { continue };
        if status(&observer, &fixture, &fixture.response.body) != Some(CostStatus::Priced) {
            continue;
        }
        let mut paths = Vec::new();
        numbers(&document, &mut Vec::new(), false, &mut paths);
        for path in paths {
            if path.iter().any(|key| WITHOUT_PRICE.contains(&&**key)) {
                ignored += 1;
                continue;
            }
            let changed = serde_json::to_vec(&renamed(&document, &path)).unwrap();
            if status(&observer, &fixture, &changed) == Some(CostStatus::Priced) {
                wrong.push(format!("{}: {}", fixture.id, path.join(".")));
            }
            checked += 1;
        }
    }
    println!("{checked} numbers were renamed, {ignored} have no price");
    assert!(checked > 100, "only {checked} numbers");
    assert!(wrong.is_empty(), "still priced without these names:\n{}", wrong.join("\n"));
}
