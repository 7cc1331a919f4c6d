//! The settings `attributes` and `stats`: what the host gets of a call's results, and that a call makes no host call for results
//! that nobody wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use crate::host::{self, Host};
use gaugeway_demo::fixtures::Fixture;
use serde_json::{Map, Value};

/// Filter state of the plugin's own, which a call needs whatever is reported.
const OWN: &str = "gaugeway.listener";

/// Numbers of host calls by name.
type Calls = Arc<Mutex<BTreeMap<String, u64>>>;

/// A host that counts the calls of the plugin.
fn counting(configuration: &str) -> (Host, Calls) {
    let calls = Calls::default();
    let own = Arc::clone(&calls);
    let count = move |name: &str| {
        *own.lock().unwrap().entry(name.to_owned()).or_default() += 1;
        None
    };
    (Host::refusing(configuration, Box::new(count)).unwrap(), calls)
}

/// The calls that the host got for one pass of all fixtures, and the number of those that the plugin reads.
fn calls_of_all_fixtures(configuration: &str) -> (BTreeMap<String, u64>, u64) {
    let (mut host, calls) = counting(configuration);
    calls.lock().unwrap().clear();
    let mut read = 0;
    for fixture in Fixture::all() {
        read += u64::from(host.pass(&fixture, 1000).unwrap().contains_key(OWN));
    }
    let calls = calls.lock().unwrap().clone();
    (calls, read)
}

#[test]
fn a_call_makes_no_host_call_for_results_that_are_switched_off() {
    let (calls, read) = calls_of_all_fixtures(r#"{"attributes": false, "stats": false}"#);
    let made: BTreeSet<_> = calls.keys().map(String::as_str).collect();
    let needed = [
        "proxy_get_buffer_bytes",
        "proxy_get_current_time_nanoseconds",
        "proxy_get_header_map_pairs",
        "proxy_get_header_map_value",
        "proxy_get_property",
        "proxy_get_shared_data",
        "proxy_set_property",
        "proxy_set_shared_data",
    ];
    assert_eq!(made, needed.into());
    assert!(read > 100);
    assert_eq!(calls["proxy_set_property"], read, "filter state other than {OWN} was written");

    // With both on, the same calls and further ones are made.
    let (all, _) = calls_of_all_fixtures("");
    assert!(all["proxy_set_property"] > 10 * read && all["proxy_increment_metric"] > 3 * read, "{all:?}");
    for name in needed.iter().filter(|name| **name != "proxy_set_property" && !name.ends_with("_shared_data")) {
        assert_eq!(all[*name], calls[*name], "{name}");
    }
}

#[test]
fn each_output_can_be_switched_off_alone() {
    let (calls, read) = calls_of_all_fixtures(r#"{"attributes": false}"#);
    assert_eq!(calls["proxy_set_property"], read);
    assert!(calls["proxy_increment_metric"] > read && calls["proxy_define_metric"] > 0);
    let (calls, read) = calls_of_all_fixtures(r#"{"stats": false}"#);
    assert!(calls["proxy_set_property"] > 10 * read);
    for name in ["proxy_define_metric", "proxy_increment_metric", "proxy_record_metric"] {
        assert_eq!(calls.get(name), None);
    }
}

#[test]
fn without_stats_only_the_metrics_of_the_plugin_itself_exist() {
    let mut host = Host::new(r#"{"stats": false}"#).unwrap();
    for fixture in Fixture::all() {
        host.pass(&fixture, 1000).unwrap();
    }
    host.tick().unwrap();
    let names: Vec<_> = host.state().metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["gaugeway_price_table_timestamp_seconds"]);
}

#[test]
fn packed_attributes_are_one_json_object_with_the_values_of_the_single_ones() {
    let (mut packed, calls) = counting(r#"{"attributes": "packed"}"#);
    let mut single = Host::new("").unwrap();
    calls.lock().unwrap().clear();
    let (mut read, mut written) = (0, 0);
    for fixture in Fixture::all() {
        let (mut packed, mut single) = (packed.pass(&fixture, 100).unwrap(), single.pass(&fixture, 100).unwrap());
        read += u64::from(packed.remove(OWN).is_some());
        single.remove(OWN);
        let Some(text) = packed.remove("gaugeway.packed") else {
            assert_eq!(single, BTreeMap::new(), "{}", fixture.id);
            continue;
        };
        written += 1;
        assert_eq!(packed, BTreeMap::new(), "{}", fixture.id);
        let object: Map<String, Value> = serde_json::from_str(&text).unwrap();
        // Both hosts have a clock of their own. Single values that are no longer true are empty.
        let is_timeless = |name: &str| !name.contains("time_to_first") && !name.contains("chunk_gap");
        // JSON may write a small number with an exponent, and a character in two ways.
        let canonical = |text: &str| match serde_json::from_str(text) {
            Ok(Value::Number(number)) => number.as_f64().unwrap_or_default().to_string(),
            Ok(value) => value.to_string(),
            Err(_) => text.to_owned(),
        };
        let shown = |value: &Value| canonical(value.as_str().unwrap_or(&value.to_string()));
        let object: BTreeMap<_, _> = object
            .iter()
            .filter(|(name, _)| is_timeless(name))
            .map(|(name, value)| (name.clone(), shown(value)))
            .collect();
        single.retain(|name, value| is_timeless(name) && !value.is_empty());
        single.values_mut().for_each(|value| *value = canonical(value));
        assert_eq!(object, single, "{}", fixture.id);
    }
    assert_eq!(calls.lock().unwrap()["proxy_set_property"], read + written);
    assert!(written > 100);
}

#[test]
fn only_selected_attributes_are_written() {
    let mut host = Host::new(r#"{"attributes": ["gen_ai.usage.input_tokens", "gaugeway.cost.usd"]}"#).unwrap();
    let written = host.pass(&Fixture::load("openai-chat/unary"), 100).unwrap();
    let names: Vec<_> = written.keys().map(String::as_str).collect();
    assert_eq!(names, ["gaugeway.cost.usd", OWN, "gen_ai.usage.input_tokens"]);
}

#[test]
fn an_unknown_name_in_the_list_of_attributes_is_an_error_at_start() {
    let error = Host::new(r#"{"attributes": ["error.type", "error.typo"]}"#).map(drop).unwrap_err().to_string();
    assert!(error.contains("attributes[1]: unknown attribute error.typo"), "{error}");
}

#[test]
fn a_leg_that_is_redirected_is_marked_and_leaves_its_start_even_without_attributes() {
    let fixture = Fixture::load("openai-chat/unary");
    for configuration in [r#"{"attributes": false}"#, r#"{"attributes": "packed"}"#] {
        let mut host = Host::new(configuration).unwrap();
        let id = host.open().unwrap();
        host.request_headers(id, host::request_head(&fixture), false).unwrap();
        host.request_body(id, &fixture.request.body, true).unwrap();
        let details = (b"response\0code_details".to_vec(), b"internal_redirect".to_vec());
        host.state().streams.get_mut(&id).unwrap().properties.extend([details]);
        host.log(id).unwrap();
        let written = host.delete(id).unwrap().written;
        assert_eq!(written["gaugeway.outcome"], "redirected", "{configuration}");
        assert!(written["gaugeway.redirect"].ends_with(" unchanged"), "{configuration}: {written:?}");
        assert!(!written.contains_key("gaugeway.packed"));
    }
}
