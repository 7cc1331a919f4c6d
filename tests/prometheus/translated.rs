//! The plugin's OTLP metrics under the names that Prometheus 3 gives them.
//!
//! The tests use Debian's Prometheus, which has no OTLP receiver. So the points that the plugin sent are translated here by the documented rules
//! and offered to it as a text to scrape. This proves that the dashboard's queries find what the plugin sends, under these names, in
//! seconds and dollars. It does not prove that Prometheus 3 translates as documented. The text has the instance of the service as a label.
//!
//! Rules: opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics, and prometheus.io/docs/guides/opentelemetry.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::otlp::{Point, PointKind, PointValue, Receiver};
use gaugeway::sink::stats::{Metric, MetricKind};
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A server whose answer to each request is the metrics that a receiver has got.
pub struct Translated {
    pub addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Translated {
    pub async fn start(receiver: Arc<Receiver>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let text = Arc::new(Mutex::new(Bytes::new()));
        let mut tasks = JoinSet::new();
        let made = Arc::clone(&text);
        tasks.spawn(async move {
            let mut series = BTreeMap::new();
            loop {
                let points = receiver.take_points();
                let update = move || {
                    series.extend(points.iter().map(lines));
                    let text: String = series.values().map(String::as_str).collect();
                    (series, text)
                };
                let text;
                (series, text) = tokio::task::spawn_blocking(update).await.unwrap();
                *made.lock().unwrap() = text.into();
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let text = Arc::clone(&text);
                tokio::spawn(async move {
                    let service = service_fn(move |_| {
                        let body = Full::new(text.lock().unwrap().clone());
                        let head = Response::builder().header("content-type", "text/plain; version=0.0.4");
                        async { Ok::<_, Infallible>(head.body(body).unwrap()) }
                    });
                    drop(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        Self { addr, _tasks: tasks }
    }
}

/// The name of an attribute as a label: what is not a letter, a digit or `_` becomes `_`.
pub fn prefixed(attribute: &str) -> String {
    attribute.replace(|char: char| !char.is_ascii_alphanumeric(), "_")
}

/// The name of a metric: a unit of UCUM as a word, `ratio` for a gauge without a unit, and `_total` for a sum that only grows. A unit in braces
/// adds nothing.
fn translated(name: &str, unit: &str, kind: PointKind) -> String {
    let mut words: Vec<_> =
        name.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let word = match unit {
        "s" => "seconds",
        "1" if kind == PointKind::Gauge => "ratio",
        _ => "",
    };
    if !word.is_empty() && !words.contains(&word) {
        words.push(word);
    }
    if kind == PointKind::Sum {
        words.retain(|word| *word != "total");
        words.push("total");
    }
    words.join("_")
}

/// The names of a metric's series.
pub fn series_of(metric: &Metric) -> Vec<String> {
    let kind = match metric.kind {
        MetricKind::Counter => PointKind::Sum,
        MetricKind::Histogram => PointKind::Histogram,
        MetricKind::Gauge => PointKind::Gauge,
    };
    let name = translated(metric.otlp, metric.otlp_unit(), kind);
    match kind {
        PointKind::Histogram => ["bucket", "sum", "count"].map(|end| format!("{name}_{end}")).into(),
        _ => vec![name],
    }
}

/// The lines of a series, after the name and the labels that identify it.
fn lines(point: &Point) -> (String, String) {
    let mut text = String::new();
    let name = translated(&point.name, &point.unit, point.kind);
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs = point.attributes.iter().map(|(key, value)| (prefixed(key), value.to_string()));
    let pairs = pairs.chain([("instance".to_owned(), point.instance().to_owned())]);
    let labels = pairs.map(|(key, value)| format!("{key}=\"{}\"", escaped(&value))).collect::<Vec<_>>().join(",");
    let PointValue::Histogram { count, sum, bucket_counts, explicit_bounds } = &point.value else {
        writeln!(text, "{name}{{{labels}}} {}", point.value.number()).unwrap();
        return (format!("{name}{{{labels}}}"), text);
    };
    let mut below = 0;
    for (bound, own) in explicit_bounds.iter().zip(bucket_counts) {
        below += own;
        writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}").unwrap();
    }
    writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}").unwrap();
    writeln!(text, "{name}_sum{{{labels}}} {}", sum.unwrap_or(0.0)).unwrap();
    writeln!(text, "{name}_count{{{labels}}} {count}").unwrap();
    (format!("{name}{{{labels}}}"), text)
}

#[test]
fn names_are_translated_as_documented() {
    let histogram = |name, unit| translated(name, unit, PointKind::Histogram);
    assert_eq!(histogram("gen_ai.server.time_to_first_token", "s"), "gen_ai_server_time_to_first_token_seconds");
    assert_eq!(histogram("gaugeway.feedback", "1"), "gaugeway_feedback");
    assert_eq!(translated("gaugeway.cost.usd", "{USD}", PointKind::Sum), "gaugeway_cost_usd_total");
    assert_eq!(translated("gaugeway.share", "1", PointKind::Gauge), "gaugeway_share_ratio");
    assert_eq!(translated("gaugeway.retry_after", "s", PointKind::Gauge), "gaugeway_retry_after_seconds");
    assert_eq!(prefixed("gaugeway.client.name"), "gaugeway_client_name");
}
