//! Very many exchanges of every kind through a real Envoy: whole, in small pieces, aborted by the client, cut by the
//! upstream, with bodies of 64 MiB and with 500 concurrent streams. Memory stays constant, every counter is exact and
//! every stream arrives intact.
//!
//! GAUGEWAY_SOAK sets the number of exchanges; 200,000 take ten minutes.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::support::client::{self, Http};
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const FEW: usize = 8_000;
const CLIENTS: usize = 24;
const OPEN: usize = 500;
const BIG: usize = 64 << 20;
/// Growth that Envoy's own buffers and allocator may cause, in bytes.
const SLACK: u64 = 10 << 20;
/// A stream that reports usage only in its last event.
const STREAM: &str = "openai-chat/stream-include-usage";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_memory_is_constant_counters_are_exact_and_streams_are_intact() {
    let count =
        std::env::var("GAUGEWAY_SOAK").map_or(FEW, |count| count.parse().expect("GAUGEWAY_SOAK must be a number"));
    let mut fixtures: Vec<_> = Fixture::all().into_iter().filter(Fixture::counts_each_time).collect();
    fixtures.iter_mut().for_each(|fixture| fixture.response.gap = Duration::ZERO);
    let fixtures = Arc::new(fixtures);
    let upstream = Upstream::start(fixtures.to_vec()).await;
    let envoy = Envoy::start(&quiet(&upstream)).await;
    let mut told = Told::default();

    // The warm-up creates every series and fills the table of remembered tool calls.
    told.add(exchanges(envoy.addr, &fixtures, count.min(20_000), 0).await);
    told.add(open_at_once(envoy.addr).await);
    big(&envoy, &mut told).await;
    let warm = resident(&envoy);
    for part in 0..4 {
        told.add(exchanges(envoy.addr, &fixtures, count / 4, part + 1).await);
        told.add(open_at_once(envoy.addr).await);
        big(&envoy, &mut told).await;
        println!(
            "{} exchanges: {warm} bytes of resident memory after the warm-up, {} now",
            told.requests(),
            resident(&envoy)
        );
    }
    let grown = resident(&envoy).saturating_sub(warm);

    let all = |samples: &[Sample]| total(samples, "gaugeway_requests_total", &[]) as u64 >= told.requests();
    let samples = envoy.samples_when(all, Duration::from_secs(20)).await;
    for (outcome, expected) in &told.outcomes {
        let seen = total(&samples, "gaugeway_requests_total", &[("outcome", outcome)]);
        assert_eq!(seen as u64, *expected, "{outcome}");
    }
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]) as u64, told.requests());
    assert_eq!(total(&samples, "gaugeway_input_tokens_total", &[]) as u64, told.input);
    assert_eq!(total(&samples, "gaugeway_output_tokens_total", &[]) as u64, told.output);
    let reloads = samples.iter().filter(|sample| sample.name.contains("vm_reload"));
    assert_eq!(reloads.map(|sample| sample.value).sum::<f64>(), 0.0, "{}", envoy.log());
    assert!(grown < SLACK, "{count} exchanges grew the resident memory of {warm} bytes by {grown} bytes");
}

/// The counts that the plugin must report.
#[derive(Debug, Default)]
struct Told {
    outcomes: BTreeMap<String, u64>,
    input: u64,
    output: u64,
}

impl Told {
    fn outcome(&mut self, outcome: &str) {
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }

    fn whole(&mut self, fixture: &Fixture) {
        let seen = &fixture.observation;
        if let Some(outcome) = seen.get("gaugeway.outcome") {
            self.outcome(outcome.as_str().unwrap());
            self.input += seen.get("gen_ai.usage.input_tokens").map_or(0, |count| count.as_u64().unwrap());
            self.output += seen.get("gen_ai.usage.output_tokens").map_or(0, |count| count.as_u64().unwrap());
        }
    }

    fn add(&mut self, other: Self) {
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.input += other.input;
        self.output += other.output;
    }

    fn requests(&self) -> u64 {
        self.outcomes.values().sum()
    }
}

async fn exchanges(addr: SocketAddr, fixtures: &Arc<Vec<Fixture>>, count: usize, part: usize) -> Told {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let fixtures = Arc::clone(fixtures);
        clients.spawn(async move {
            let (mut dice, mut told, mut kept) = (Dice::new((part * CLIENTS + number) as u64), Told::default(), None);
            for _ in 0..count / CLIENTS {
                match dice.below(40) {
                    0 => leave(addr, &mut told).await,
                    1 => cut(addr, &mut told).await,
                    _ => whole(addr, &mut kept, &fixtures[dice.below(fixtures.len())], &mut dice, &mut told).await,
                }
            }
            told
        });
    }
    let mut all = Told::default();
    clients.join_all().await.into_iter().for_each(|told| all.add(told));
    all
}

/// An exchange that completes, on a connection that is kept.
async fn whole(
    addr: SocketAddr,
    kept: &mut Option<SendRequest<Full<Bytes>>>,
    fixture: &Fixture,
    dice: &mut Dice,
    told: &mut Told,
) {
    let travel = ["whole", "whole", "whole chunked", "events", "cut=100"][dice.below(5)];
    let mut sender = match kept.take() {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(addr).await.unwrap();
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender
        }
    };
    sender.ready().await.unwrap();
    let response = sender.send_request(client::request(fixture, &[("x-upstream", travel)])).await.unwrap();
    assert_eq!(response.status().as_u16(), fixture.response.status, "{}", fixture.id);
    let closes = response.headers().get("connection").is_some_and(|value| value == "close");
    let body = response.into_body().collect().await.unwrap_or_else(|error| panic!("{}: {error}", fixture.id));
    assert!(body.to_bytes() == fixture.response.body, "{} ({travel}): the response body was changed", fixture.id);
    told.whole(fixture);
    if !closes {
        *kept = Some(sender);
    }
}

/// A client that disconnects in the middle of a stream.
async fn leave(addr: SocketAddr, told: &mut Told) {
    let request = client::request(&Fixture::load(STREAM), &[("x-upstream", "gap=500")]);
    let mut open = client::open(addr, request, Http::One).await.unwrap();
    open.response.body_mut().frame().await.unwrap().unwrap();
    drop(open);
    told.outcome("client_disconnect");
}

/// An upstream that closes the connection in the middle of a stream.
async fn cut(addr: SocketAddr, told: &mut Told) {
    let request = client::request(&Fixture::load(STREAM), &[("x-upstream", "whole reset-after=700")]);
    let reply = client::send(addr, request, Http::One).await;
    assert!(
        reply.is_err() || reply.is_ok_and(|reply| reply.broken.is_some()),
        "the client did not see that the response was cut off"
    );
    told.outcome("upstream_reset");
}

/// Opens streams that all wait for their next event while the last one starts.
async fn open_at_once(addr: SocketAddr) -> Told {
    let fixture = Fixture::load(STREAM);
    let mut streams = Vec::new();
    for _ in 0..OPEN {
        let request = client::request(&fixture, &[("x-upstream", "gap=1000")]);
        streams.push(client::open(addr, request, Http::One).await.unwrap());
    }
    let mut told = Told::default();
    let mut readers = JoinSet::new();
    for stream in streams {
        readers.spawn(async move {
            let client::Open { response, connection } = stream;
            let body = response.into_body().collect().await.unwrap().to_bytes();
            drop(connection);
            body
        });
    }
    for body in readers.join_all().await {
        assert!(body == fixture.response.body);
        told.whole(&fixture);
    }
    told
}

async fn big(envoy: &Envoy, told: &mut Told) {
    for fixture in ["openai-chat/unary", "openai-responses/stream-text"].map(Fixture::load) {
        let request = client::request(&fixture, &[("x-upstream", &format!("big={BIG}"))]);
        let reply = client::send(envoy.addr, request, Http::One).await.unwrap();
        assert!(reply.status == 200 && reply.broken.is_none() && reply.body.len() > BIG);
        told.outcome("completed");
        told.input += 11;
        told.output += 22;
    }
}

/// Options without an access log line for each call.
fn quiet(upstream: &Upstream) -> Options {
    let mut options = Options::to(upstream.addr);
    let logger = "          - name: envoy.access_loggers.stdout\n";
    let never = "            filter: {runtime_filter: {runtime_key: never, percent_sampled: {numerator: 0}}}\n";
    options.replace.push((logger.to_owned(), format!("{logger}{never}")));
    options
}

/// Resident memory of the Envoy process, in bytes.
fn resident(envoy: &Envoy) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", envoy.pid()))
        .expect("/proc/PID/status is not readable: this test needs Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("/proc/PID/status has no line VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
