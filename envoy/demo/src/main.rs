//! The demonstration of `./build.sh run`: a real Envoy with the plugin, a few calls, and the values reported for them.
//!
//! `UPSTREAM` selects the provider: empty for the repository's recorded exchanges, `local` for a small model on this
//! machine, or a URL such as `https://api.openai.com` (with `OPENAI_API_KEY`, and `MODEL` for a model other than
//! gpt-4o-mini). `--once` exits after the calls, with status 0, or with status 1 and a line for each missing value.

mod calls;
mod report;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use calls::{Call, Provider};
use gaugeway_demo::client::{self, Http};
use gaugeway_demo::envoy::{Envoy, Options};
use gaugeway_demo::otlp::{Receiver, Span};
use gaugeway_demo::page::{Live, Subject};
use gaugeway_demo::prometheus::{Sample, total};
use report::Report;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

const PATIENCE: Duration = Duration::from_secs(10);
/// Next to Envoy's port. Browsers refuse some ports, for example 10080.
const PAGE_PORT: u16 = 10001;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let once = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--once"] => true,
        _ => return fail(&format!("unknown arguments {arguments:?}; the only one is --once")),
    };
    match run(once).await {
        Ok(code) => code,
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("demo: {why}");
    ExitCode::FAILURE
}

async fn run(once: bool) -> Result<ExitCode, String> {
    let mut stop = Stop::new()?;
    for port in [10000, 9901] {
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            return Err(format!(
                "port {port} on 127.0.0.1 is in use, but Envoy needs it: stop the process that listens there"
            ));
        }
    }
    let report = Report::on_stdout();
    let provider = tokio::select! {
        provider = Provider::from_environment() => provider?,
        () = stop.asked() => return Ok(ExitCode::SUCCESS),
    };
    let spans = match Receiver::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 4318))).await {
        Ok(spans) => spans,
        Err(_) => Receiver::start().await,
    };
    let options = Options {
        otlp: Some(spans.addr),
        // The page shows the plugin's own spans, and Prometheus's text has its metrics.
        config: json!({"otlp": {"cluster": "otlp", "metrics_path": "", "logs_path": ""}}),
        own_ports: true,
        replace: provider.changes(),
        ..Options::to(provider.addr())
    };
    let mut envoy = Envoy::try_start(&options).await?;
    report.title(&format!("Envoy {} -> {}; spans -> {}", envoy.addr, provider.name(), spans.addr));

    let calls = provider.calls();
    let live = if once { None } else { Some(live_page(&envoy, &provider, &calls).await?) };
    if let Some(live) = &live {
        report.note(&format!("Live page: http://{}/", live.addr));
    }
    let mut problems = Vec::new();
    let mut exported = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        tokio::select! {
            outcome = make(&report, &envoy, &spans, number + 1, call) => match outcome {
                Ok((span, missing)) => {
                    exported.push(span);
                    problems.extend(missing);
                }
                Err(problem) => problems.push(format!("call {}: {problem}", number + 1)),
            },
            () = stop.asked() => return Ok(ExitCode::SUCCESS),
        }
        if let Some(live) = &live {
            live.show(&spans.take_spans(), &[]);
        }
    }
    if let Some(span) = exported.iter().max_by_key(|span| span.attributes.len()) {
        report.span(span);
    }
    // Counters are updated at once, histograms with the next flush.
    let timed = |all: &[Sample]| {
        let durations = ["inference", "embeddings", "operation"]
            .map(|kind| total(all, &format!("gen_ai_client_{kind}_duration_microseconds_count"), &[]));
        durations.iter().sum::<f64>() >= exported.len() as f64
    };
    let samples = envoy.samples_when(timed, Duration::from_secs(2)).await;
    let counted = total(&samples, "gaugeway_requests_total", &[]);
    if counted < calls.len() as f64 {
        problems.push(format!("gaugeway_requests_total is {counted} after {} calls", calls.len()));
    }
    report.series(&samples);
    report.places(&envoy, live.as_ref().map(|live| live.addr), &provider.by_hand());

    for problem in &problems {
        eprintln!("demo: {problem}");
    }
    if once {
        return Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    report.note("Running until Ctrl-C. New calls are printed here.");
    let mut seen = envoy.take_entries().len();
    loop {
        tokio::select! {
            () = stop.asked() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        if envoy.has_ended() {
            return Err(format!("Envoy ended:\n{}", envoy.log()));
        }
        let entries = envoy.take_entries();
        if let Some(live) = &live {
            live.show(&spans.take_spans(), &entries);
        }
        for entry in &entries {
            seen += 1;
            report.call(seen, "", entry);
        }
    }
}

async fn live_page(envoy: &Envoy, provider: &Provider, calls: &[Call]) -> Result<Live, String> {
    let subject = Subject {
        envoy: envoy.addr,
        admin: envoy.admin,
        title: format!("Envoy {} → {}", envoy.addr, provider.name()),
        by_hand: provider.by_hand(),
        replays: provider.replays(calls),
    };
    Live::start(subject, PAGE_PORT).await
}

/// Sends one call and waits for its access log line and span. Missing or wrong values are returned, not fatal.
async fn make(
    report: &Report,
    envoy: &Envoy,
    spans: &Receiver,
    number: usize,
    call: &Call,
) -> Result<(Span, Vec<String>), String> {
    let reply = client::send(envoy.addr, call.request(), Http::One).await.map_err(|error| error.to_string())?;
    let entry = envoy.entry(&call.id, PATIENCE).await.ok_or("no line in the access log")?;
    report.call(number, &call.title, &entry);
    let mut missing = call.differences(&entry);
    if call.expected.is_none() && reply.status >= 400 {
        let words: String = String::from_utf8_lossy(&reply.body).chars().take(200).collect();
        missing.push(format!("the provider answered {}: {words}", reply.status));
    }
    let span = spans.wait_for_request(&call.id, PATIENCE).await.ok_or("no span was exported")?;
    Ok((span, missing.into_iter().map(|what| format!("call {number}: {what}")).collect()))
}

/// SIGINT (Ctrl-C) and SIGTERM.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
