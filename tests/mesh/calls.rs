//! Calls of the fixtures through a proxy, and their spans and metrics at a collector.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gaugeway::config::Config;
use gaugeway::exchange::Exchange;
use gaugeway::sink::attributes::{ATTRIBUTES, AttributeType};
use serde_json::{Map, Value};

use crate::proxy::Proxy;
use crate::support::client;
use crate::support::core::{self, TIMING};
use crate::support::expect::{self, Series};
use crate::support::fixtures::Fixture;
use crate::support::otlp::{Attribute, Receiver, Span};
use crate::support::points;
use crate::support::prometheus;

const PATIENCE: Duration = Duration::from_secs(40);

/// The fixtures whose requests name one of these hosts.
pub fn fixtures_of(hosts: &[&str]) -> Vec<Fixture> {
    let of = |fixture: &Fixture| fixture.request.header("host").is_some_and(|host| hosts.contains(&host));
    Fixture::all().into_iter().filter(of).collect()
}

/// Sends each fixture's request, each in a trace of its own. The answers must be those of the fixtures. Then each call must have
/// one span, with the attributes of its fixture and their types, and the metrics must be the sums of all calls.
pub async fn report_themselves(addr: SocketAddr, fixtures: &[Fixture], receiver: &Receiver) {
    for (number, fixture) in fixtures.iter().enumerate() {
        let (id, trace) = (client::request_id(), trace(number));
        let parent = format!("00-{trace}-{}-01", &trace[16..]);
        // Each call has a caller of its own: none continues the run of another.
        let headers = [("traceparent", parent.as_str()), ("x-request-id", &id), ("x-auth-token", &id)];
        let reply = client::replay(addr, fixture, &headers).await;
        assert_eq!(reply.status, fixture.response.status, "{}: {:?}", fixture.id, reply.body);
        assert_eq!(reply.body, fixture.response.body, "{}: the answer was changed", fixture.id);
    }
    let calls: Vec<_> = fixtures.iter().enumerate().filter(|(_, fixture)| !fixture.observation.is_empty()).collect();
    let of_calls = || receiver.spans().into_iter().filter(|span| span.kind == "CLIENT").collect::<Vec<_>>();
    wait_until(|| of_calls().len() >= calls.len()).await;
    let spans = of_calls();
    let mut faults = Vec::new();
    for (number, fixture) in &calls {
        let own: Vec<_> = spans.iter().filter(|span| is_of(span, &trace(*number))).collect();
        let found = match own[..] {
            [span] => span_faults(fixture, span),
            _ => vec![format!("there must be one span, not {}", own.len())],
        };
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", fixture.id)));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(spans.len(), calls.len(), "there are spans that belong to no call");

    let expected = expected(calls.iter().map(|(_, fixture)| *fixture));
    let seen = || without_route(expect::series(&points::samples(receiver)));
    wait_until(|| seen() == expected).await;
    let mut faults = expect::series_faults(&expected, &seen());
    faults.extend(points::faults(&receiver.points()));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Sends a call whose values must be in Envoy's own span of the call, in its access log, and in its statistics with labels and buckets.
/// `more` are the names of Envoy's other spans.
pub async fn show_in_envoys_outputs(addr: SocketAddr, proxy: &Proxy, receiver: &Receiver, more: &[&str]) {
    let fixture = Fixture::load("openai-chat/stream-tool-calls-in-fragments");
    let id = client::request_id();
    let reply = client::replay(addr, &fixture, &[("x-request-id", &id)]).await;
    assert_eq!(reply.body, fixture.response.body);
    let model = fixture.observation["gen_ai.request.model"].as_str().unwrap();
    let name = format!("chat {model}");
    let span = receiver.wait_for(|span| span.name == name, PATIENCE).await;
    let span = span.unwrap_or_else(|| panic!("no span {name:?}: {:#?}", receiver.spans()));
    // Waits for another span, which would be exported by then.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let all = receiver.spans();
    let others: Vec<_> = all.iter().map(|span| span.name.as_str()).filter(|other| *other != name).collect();
    assert_eq!((all.len(), &others[..]), (1 + more.len(), more), "{all:#?}");
    let entry = proxy.entry().await;
    assert!(fixture.observation.len() > 15, "the fixture has too few attributes for this test");
    for (key, value) in &fixture.observation {
        let says = |text: Option<&str>| text.is_some_and(|text| is_written(value, text));
        assert!(says(span.text(key)), "{key} is {:?} in the span, not {value}", span.text(key));
        assert!(says(entry[key].as_str()), "{key} is {} in the access log, not {value}", entry[key]);
    }
    let labels = [("outcome", "completed"), ("gen_ai_provider_name", "openai")];
    let end = Instant::now() + PATIENCE;
    loop {
        let samples = prometheus::parse(&proxy.admin("/stats/prometheus").await);
        let buckets = samples.iter().filter(|one| one.name == "gen_ai_client_inference_operation_input_tokens_bucket");
        let bounds: Vec<_> = buckets.filter_map(|one| one.label("le").parse::<u64>().ok()).take(4).collect();
        if prometheus::total(&samples, "gaugeway_requests_total", &labels) == 1.0 && bounds == [1, 4, 16, 64] {
            break;
        }
        assert!(Instant::now() < end, "no statistics with labels and buckets: {bounds:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Returns true if the string represents the value.
fn is_written(value: &Value, text: &str) -> bool {
    match value {
        Value::String(wanted) => wanted == text,
        Value::Number(number) => text.parse::<f64>().ok() == number.as_f64(),
        other => serde_json::from_str::<Value>(text).is_ok_and(|seen| seen == *other),
    }
}

fn trace(number: usize) -> String {
    format!("{:032x}", number + 1)
}

async fn wait_until(enough: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !enough() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Returns true for the span of a call. Those of the later calls of an agent's run link to the client's trace.
fn is_of(span: &Span, wanted: &str) -> bool {
    span.links.first().map_or(&span.trace_id, |(trace, _)| trace) == wanted
}

fn span_faults(fixture: &Fixture, span: &Span) -> Vec<String> {
    let seen: Map<_, _> = span.attributes.iter().map(|(key, value)| (key.clone(), json(value))).collect();
    let text = |key: &str| fixture.observation.get(key).and_then(Value::as_str);
    let words: Vec<_> = ["gen_ai.operation.name", "gen_ai.request.model"].into_iter().filter_map(text).collect();
    let mut faults = core::differences(&fixture.observation, &seen);
    if span.name != words.join(" ") {
        faults.push(format!("the span is called {:?}", span.name));
    }
    let wrong = span.attributes.iter().filter(|(key, value)| {
        let row = ATTRIBUTES.iter().find(|row| row.name == *key);
        row.is_none_or(|row| type_name(row.kind()) != value.kind())
    });
    faults.extend(wrong.map(|(key, value)| format!("{key} is {value:?}, which the table does not say")));
    faults
}

fn type_name(kind: AttributeType) -> &'static str {
    match kind {
        AttributeType::String => "string",
        AttributeType::Strings => "strings",
        AttributeType::Int => "int",
        AttributeType::Double => "double",
        AttributeType::Bool => "bool",
    }
}

fn json(value: &Attribute) -> Value {
    match value {
        Attribute::String(text) | Attribute::Other(text) => Value::from(text.as_str()),
        Attribute::Int(number) => Value::from(*number),
        Attribute::Double(number) => Value::from(*number),
        Attribute::Bool(is) => Value::from(*is),
        Attribute::Strings(list) => Value::from(list.as_slice()),
    }
}

fn expected<'a>(fixtures: impl Iterator<Item = &'a Fixture>) -> Series {
    let (mut series, config) = (Series::new(), Config::parse("").unwrap());
    for fixture in fixtures {
        let exchange = expect::in_the_core(fixture);
        let seen = exchange.as_ref().map(Exchange::observation);
        let told = seen.map(core::attributes).unwrap_or_default();
        let timed: Vec<_> = TIMING.iter().copied().filter(|key| told.contains_key(*key)).collect();
        expect::add_series(&mut series, &fixture.observation, &timed, seen, &config);
    }
    without_route(series)
}

/// The name of the route depends on the mesh.
fn without_route(series: Series) -> Series {
    let mut comparable = Series::new();
    for ((name, mut labels), value) in series {
        labels.remove("route");
        *comparable.entry((name, labels)).or_default() += value;
    }
    comparable
}
