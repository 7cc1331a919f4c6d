//! A fleet of workers that send to one Collector, with the encoder of the plugin and calls of the fixtures. It prints what they send and
//! what the Collector needs for it. "A fleet" in envoy/README.md has the figures.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::programs::Collector;
use crate::support::client::{self, Http};
use crate::support::expect;
use crate::support::fixtures::Fixture;
use gaugeway::config::{CacheAttribute, Config, Temporality};
use gaugeway::exchange::Exchange;
use gaugeway::sink::otlp::{Envelope, MetricStore, Source, SpanQueue, SpanReference, call_span};
use gaugeway::trace_context::TraceContext;

const WORKERS: usize = 200;
/// Calls per second of each worker.
const RATE: u64 = 1;
/// The models that a worker's calls name.
const MODELS: usize = 10;
/// Seconds between two exports of metrics, the default of `otlp.interval`.
const INTERVAL: u64 = 10;
const SECONDS: u64 = 60;
/// The fleet that the manual describes: 1,000 proxies with 16 workers.
const FLEET: u64 = 16_000;
const SECOND: u64 = 1_000_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes three minutes and prints figures: ./build.sh test mesh -- --ignored --nocapture fleet"]
async fn one_collector_takes_all_that_200_workers_send() {
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let sink = sink().await;
        let collector = Collector::start(sink, sink).await;
        let before = cpu(collector.backend.pid());
        let run = Fleet::of(temporality).send_to(collector.otlp);
        let sent = tokio::time::timeout(Duration::from_secs(300), run).await.expect("the Collector is too slow");
        let used = cpu(collector.backend.pid()) - before;
        let start = Instant::now();
        let scraped = client::get(collector.scraped, "/metrics").await.unwrap();
        let scrape = (scraped.body.len(), start.elapsed());
        sent.print(temporality, used, resident(collector.backend.pid()), scrape);
        assert_eq!(sent.refused, 0, "{}", collector.backend.log());
    }
}

struct Worker {
    metrics: MetricStore,
    spans: SpanQueue,
    envelope: Envelope,
}

struct Fleet {
    workers: Vec<Worker>,
    calls: Vec<Exchange>,
}

#[derive(Default)]
struct Sent {
    calls: u64,
    points: u64,
    series: usize,
    metric_bytes: u64,
    span_bytes: u64,
    requests: u64,
    refused: u64,
    seconds: f64,
}

impl Fleet {
    fn of(temporality: Temporality) -> Self {
        let service = [("service.name", "gaugeway")];
        let worker = |number: usize| {
            let instance = format!("proxy-{:04}/gaugeway/{}", number / 16, number % 16);
            let resource = [service[0], ("service.instance.id", &*instance)];
            Worker {
                metrics: MetricStore::new(number as u64, temporality),
                spans: SpanQueue::new(Rc::new(Envelope::new(&service))),
                envelope: Envelope::new(&resource),
            }
        };
        Self { workers: (0..WORKERS).map(worker).collect(), calls: calls() }
    }

    /// Makes the calls of each second and sends what the plugin would send then. A worker exports its metrics in a second of its own.
    async fn send_to(mut self, addr: SocketAddr) -> Sent {
        let (mut sent, config, start) = (Sent::default(), Config::parse("").unwrap(), Instant::now());
        for second in 0..SECONDS {
            let mut bodies = Vec::new();
            for (number, worker) in self.workers.iter_mut().enumerate() {
                for call in 0..RATE {
                    let at = number as u64 + second * RATE + call;
                    let seen = self.calls[at as usize % self.calls.len()].observation();
                    let id = ((number as u128) << 64 | u128::from(second * RATE + call)) + 1;
                    let place = TraceContext { trace: id.to_be_bytes(), span: [7; 8], sampled: true };
                    let own = call_span(place, None, seen.timing.start);
                    worker.metrics.record(
                        seen,
                        &config,
                        now(),
                        Some(SpanReference { trace: own.trace, span: own.span }),
                    );
                    assert!(worker.spans.exchange(seen, CacheAttribute::default(), place, None));
                    sent.calls += 1;
                }
                if let Some(batch) = worker.spans.take(now()) {
                    sent.span_bytes += batch.body.len() as u64;
                    bodies.push(("/v1/traces", batch.body));
                }
                while (second + number as u64).is_multiple_of(INTERVAL) {
                    let Some(request) = worker.metrics.export(&worker.envelope, now(), 3600 * SECOND) else { break };
                    sent.points += request.points;
                    sent.metric_bytes += request.body.len() as u64;
                    let has_more = request.has_more;
                    bodies.push(("/v1/metrics", request.body));
                    if !has_more {
                        break;
                    }
                }
            }
            sent.requests += bodies.len() as u64;
            for part in bodies.chunks(32) {
                let requests = part.iter().map(|(path, body)| tokio::spawn(post(addr, path, body.clone())));
                for request in requests.collect::<Vec<_>>() {
                    sent.refused += u64::from(request.await.unwrap() != 200);
                }
            }
            tokio::time::sleep_until((start + Duration::from_secs(second + 1)).into()).await;
        }
        sent.series = self.workers.iter().map(|worker| worker.metrics.series()).sum();
        sent.seconds = start.elapsed().as_secs_f64();
        sent
    }
}

impl Sent {
    fn print(&self, temporality: Temporality, cpu: f64, resident: u64, (scraped, took): (usize, Duration)) {
        let Sent { calls, points, series, metric_bytes, span_bytes, requests, seconds, .. } = self;
        let rate = |bytes: u64| bytes as f64 / seconds / 1e6;
        println!(
            "{temporality:?}: {WORKERS} workers, {MODELS} models, {calls} calls in {seconds:.1} s, {requests} requests"
        );
        println!("  spans: {} bytes each, {:.3} MB/s", span_bytes / calls, rate(*span_bytes));
        println!(
            "  metrics: {} series per worker, {points} points of {} bytes, {:.3} MB/s",
            series / WORKERS,
            metric_bytes / points.max(&1),
            rate(*metric_bytes)
        );
        println!(
            "  collector: {:.1}% of a CPU, {} MB, a scrape of {:.1} MB takes {took:?}",
            cpu / seconds * 100.0,
            resident / 1_000_000,
            scraped as f64 / 1e6
        );
        let fleet = FLEET as f64 / WORKERS as f64;
        println!(
            "  {FLEET} workers: {:.0} spans/s, {:.1} MB/s of spans, {:.2} million series, {:.1} MB/s of metrics, {:.1} CPUs",
            *calls as f64 / seconds * fleet,
            rate(*span_bytes) * fleet,
            *series as f64 * fleet / 1e6,
            rate(*metric_bytes) * fleet,
            cpu / seconds * fleet
        );
    }
}

/// A completed call of each of the first models, and one that failed.
fn calls() -> Vec<Exchange> {
    let (mut models, mut chosen) = (Vec::new(), Vec::new());
    for fixture in Fixture::all() {
        let Some(exchange) = expect::in_the_core(&fixture) else { continue };
        let text =
            |key: &str| fixture.observation.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let (model, outcome) = (text("gen_ai.request.model"), text("gaugeway.outcome"));
        if outcome == "completed"
            && fixture.response.events.len() > 1
            && models.len() < MODELS
            && !models.contains(&model)
        {
            models.push(model);
            chosen.push(exchange);
        } else if outcome == "error" && models.contains(&model) && chosen.len() == models.len() {
            chosen.push(exchange);
        }
    }
    assert!(models.len() == MODELS && chosen.len() == MODELS + 1, "{models:?}");
    chosen
}

async fn post(addr: SocketAddr, path: &'static str, body: Vec<u8>) -> u16 {
    let request = Request::post(path).header("host", addr.to_string()).header("content-type", "application/x-protobuf");
    let sent = client::send(addr, request.body(Full::new(Bytes::from(body))).unwrap(), Http::One).await;
    sent.map_or(0, |reply| reply.status)
}

/// A backend that accepts everything.
async fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let accept = service_fn(|request: Request<Incoming>| async {
                drop(request.into_body().collect().await);
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), accept));
        }
    });
    addr
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// CPU time of a process in seconds.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, in hundredths of a second.
    [11, 12].map(|at| fields[at].parse::<f64>().unwrap()).iter().sum::<f64>() / 100.0
}

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
