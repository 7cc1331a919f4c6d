//! Measures the throughput of the core alone, as native code on one CPU, for text-heavy JSON and for streams.

#[path = "../src/works.rs"]
#[allow(dead_code, reason = "the benchmark in Envoy uses the rest of the module")]
mod works;

use std::rc::Rc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gaugeway::config::Config;
use gaugeway::exchange::{End, Exchange, Head, Observer};
use gaugeway::text::redaction::Redaction;
use works::Work;

/// The size of the pieces in which Envoy passes a body.
const PIECE: usize = 16 << 10;

fn exchange(observer: &Rc<Observer>, work: &Work) -> Option<Exchange> {
    let method: (&[u8], &[u8]) = (b":method", b"POST");
    let head = [method, (b":authority", b"api.openai.com"), (b":path", work.path.as_bytes())];
    let mut exchange = Exchange::start(observer, Head(&head), 0)?;
    work.request.chunks(PIECE).for_each(|piece| exchange.request_body(piece));
    exchange.request_end(1);
    let kind: &[u8] = if work.streams { b"text/event-stream" } else { b"application/json" };
    exchange.response(Head(&[(b":status", b"200"), (b"content-type", kind)]), 2);
    work.response.chunks(PIECE).for_each(|piece| exchange.response_body(piece, 3));
    exchange.finish(End::Whole, 4);
    Some(exchange)
}

fn core(criterion: &mut Criterion) {
    let config = Config::parse("").unwrap_or_else(|error| panic!("{error}"));
    let observer = Rc::new(Observer::new(config));
    let mut group = criterion.benchmark_group("core");
    for work in works::all() {
        let seen = exchange(&observer, &work).map(|exchange| exchange.observation().usage.input);
        assert!(seen.flatten().is_some(), "work {} was not recognised as LLM traffic", work.letter);
        group.throughput(Throughput::Bytes((work.request.len() + work.response.len()) as u64));
        group.bench_function(format!("{} {}", work.letter, work.name), |bench| {
            bench.iter(|| exchange(&observer, &work))
        });
    }
}

/// Redaction of as much text as is held: ordinary text, and texts that make a search for each kind start often and fail.
fn redaction(criterion: &mut Criterion) {
    const HELD: usize = 4500;
    let own = serde_json::json!(["EMP-[0-9]+", "[A-Z]{3}[0-9]{6}", "(?i)project [a-z]+", "[0-9]{6,}", r"[^ @]+ing\b"]);
    let with = |own| Redaction::new(own).unwrap_or_else(|error| panic!("{error}"));
    let mut group = criterion.benchmark_group("redaction");
    group.throughput(Throughput::Bytes(HELD as u64));
    for (name, redaction) in [("built-in kinds", with(None)), ("five patterns more", with(Some(&own)))] {
        for (text, part) in [
            ("ordinary", "Answers arrive in pieces; see page 12 of 340, or write to ada@mail.example. "),
            ("telephone", "+00000000000000000000000000000000a"),
            ("digits and spaces", "0000000 "),
            ("separators", "_"),
            ("e-mail", "a@-a.b "),
            ("web token", "-eyJaaaaaaaa."),
            ("account", "AA00 AAAA AAAA AAAA a "),
            ("private key", "-----BEGIN "),
            ("five patterns", "project EMP-7 ABC12345 "),
        ] {
            let whole: String = part.chars().cycle().take(HELD).collect();
            group.bench_function(format!("{name}, {text}"), |bench| bench.iter(|| redaction.apply(&whole)));
        }
    }
}

criterion_group!(benches, core, redaction);
criterion_main!(benches);
