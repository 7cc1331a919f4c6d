//! The plugin on hosts that do not implement some functions, as Kong, APISIX or Google's Service Extensions. Everything
//! else is still reported, and the log names the missing function once.

use std::collections::BTreeMap;

use crate::host::{Host, request_head, response_head};
use crate::host_calls::UNIMPLEMENTED;
use gaugeway_demo::fixtures::Fixture;

const STREAM: &str = "anthropic-messages/stream-thinking-text-tool-use";
/// A response that comes in one piece has no gap between chunks.
const GAP: &str = "gaugeway.response.chunk_gap.max";
const TIMES: &[&str] = &["gen_ai.response.time_to_first_chunk", "gaugeway.time_to_first_token"];

#[test]
fn a_complete_host_gets_no_log_line() {
    let (mut host, written) = pass(&[]);
    assert_eq!(said(&mut host), "");
    assert!(TIMES.iter().all(|key| written.contains_key(*key)), "{written:?}");
    assert!(counts(&mut host, "gaugeway_requests_total") == 1 && counts(&mut host, "microseconds") > 2);
}

#[test]
fn without_metrics_the_attributes_are_still_reported() {
    let (mut host, written) = pass(&["proxy_define_metric"]);
    assert_eq!(said(&mut host), "gaugeway: this host lacks metrics (nothing is counted)");
    assert_eq!(timeless(written), timeless(pass(&[]).1));
    assert!(host.state().metrics.is_empty());
}

#[test]
fn without_a_clock_everything_but_times_is_reported() {
    let (mut host, written) = pass(&["proxy_get_current_time_nanoseconds"]);
    assert_eq!(said(&mut host), "gaugeway: this host lacks a clock (no durations are reported)");
    assert!(TIMES.iter().all(|key| !written.contains_key(*key)), "{written:?}");
    assert_eq!(timeless(written), timeless(pass(&[]).1));
    assert_eq!((counts(&mut host, "microseconds"), counts(&mut host, "gaugeway_requests_total")), (0, 1));
}

#[test]
fn without_properties_the_values_that_depend_on_them_are_missing() {
    let (mut host, written) = pass(&["proxy_get_property"]);
    let line = "gaugeway: this host lacks properties (the route, its settings and who ended a stream are unknown)";
    assert_eq!(said(&mut host), line);
    assert_eq!(timeless(written), timeless(pass(&[]).1));
    assert_eq!(counts(&mut host, "gaugeway_requests_total"), 1);
}

#[test]
fn without_timers_shared_data_or_random_numbers_each_call_is_reported_on_its_own() {
    for (lacking, what) in [
        (
            "proxy_set_tick_period_milliseconds",
            "timers (abandoned runs and stalled streams are not counted, spans are not sent)",
        ),
        ("proxy_get_shared_data", "shared data (durations of tools are unknown)"),
        ("random_get", "random numbers (durations of tools are unknown)"),
    ] {
        let (mut host, written) = pass(&[lacking]);
        assert_eq!(said(&mut host), format!("gaugeway: this host lacks {what}"));
        assert_eq!(timeless(written), timeless(pass(&[]).1));
        assert_eq!(counts(&mut host, "gaugeway_requests_total"), 1);
    }
}

#[test]
fn without_filter_state_the_metrics_are_still_reported() {
    let (mut host, written) = pass(&["proxy_set_property"]);
    again(&mut host);
    assert_eq!(said(&mut host), "gaugeway: this host stores no properties: there are no attributes, only metrics");
    assert!(written.is_empty());
    assert_eq!(counts(&mut host, "gaugeway_requests_total"), 2);
}

#[test]
fn without_headers_no_call_is_recognised_and_traffic_passes() {
    let (mut host, written) = pass(&["proxy_get_header_map_value", "proxy_get_header_map_pairs"]);
    again(&mut host);
    assert_eq!(said(&mut host), "gaugeway: this host shows no request headers: no call is recognised");
    assert!(written.is_empty());
    assert_eq!(counts(&mut host, "gaugeway_requests_total"), 0);
}

#[test]
fn one_log_line_at_start_names_every_missing_function() {
    let (mut host, _) = pass(&[
        "proxy_define_metric",
        "proxy_get_current_time_nanoseconds",
        "proxy_get_property",
        "proxy_get_shared_data",
        "proxy_set_tick_period_milliseconds",
    ]);
    let said = said(&mut host);
    assert_eq!(said.lines().count(), 1, "{said}");
    for what in ["metrics (", "a clock (", "properties (", "shared data (", "timers ("] {
        assert!(said.contains(what), "the log does not name {what}: {said}");
    }
}

#[test]
fn without_an_end_of_stream_the_log_callback_or_the_deletion_ends_the_exchange() {
    let fixture = Fixture::load(STREAM);
    for logs in [true, false] {
        let mut host = Host::new("").unwrap();
        let id = host.open().unwrap();
        host.request_headers(id, request_head(&fixture), false).unwrap();
        host.request_body(id, &fixture.request.body, false).unwrap();
        host.response_headers(id, response_head(&fixture), false).unwrap();
        host.response_body(id, &fixture.response.body, false).unwrap();
        if logs {
            host.log(id).unwrap();
        }
        let written = host.delete(id).unwrap().written;
        assert_eq!(timeless(written), timeless(pass(&[]).1), "logs: {logs}");
        assert_eq!(counts(&mut host, "gaugeway_requests_total"), 1, "logs: {logs}");
    }
}

#[test]
fn without_response_bodies_nothing_is_reported_about_them() {
    let mut host = Host::new("").unwrap();
    for (id, status, outcome) in
        [("openai-chat/unary", 200, "completed"), (STREAM, 200, "completed"), ("openai-chat/error-401", 401, "error")]
    {
        let fixture = Fixture::load(id);
        let stream = host.open().unwrap();
        host.request_headers(stream, request_head(&fixture), false).unwrap();
        host.request_body(stream, &fixture.request.body, true).unwrap();
        host.response_headers(stream, response_head(&fixture), false).unwrap();
        let written = host.delete(stream).unwrap().written;
        assert_eq!((fixture.response.status, written["gaugeway.outcome"].as_str()), (status, outcome), "{id}");
        assert_eq!(written["gen_ai.request.model"], fixture.observation["gen_ai.request.model"], "{id}");
        assert!(!written.keys().any(|key| key.contains("usage") || key.contains("cost")), "{written:?}");
    }
    assert_eq!(said(&mut host), "gaugeway: this host shows no response bodies: tokens and cost are unknown");
    assert_eq!(
        (counts(&mut host, "gaugeway_requests_total"), counts(&mut host, "gaugeway_usage_missing_total")),
        (3, 0)
    );
}

/// Passes a stream through a host without these calls.
fn pass(lacking: &[&'static str]) -> (Host, BTreeMap<String, String>) {
    let lacking = lacking.to_vec();
    let refuse = move |name: &str| lacking.contains(&name).then_some(UNIMPLEMENTED);
    let mut host = Host::refusing("", Box::new(refuse)).unwrap();
    let written = again(&mut host);
    (host, written)
}

fn again(host: &mut Host) -> BTreeMap<String, String> {
    host.pass(&Fixture::load(STREAM), 100).unwrap()
}

fn said(host: &mut Host) -> String {
    host.state().log.join("\n")
}

/// Number of updates of all series whose name contains `name`.
fn counts(host: &mut Host, name: &str) -> u64 {
    host.state().metrics.iter().filter(|metric| metric.name.contains(name)).map(|metric| metric.count).sum()
}

fn timeless(mut written: BTreeMap<String, String>) -> BTreeMap<String, String> {
    assert!(!written.is_empty());
    written.retain(|key, _| key != GAP && !TIMES.contains(&key.as_str()));
    written
}
