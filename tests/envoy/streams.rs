//! Streams with real pauses and encoded bodies through a real Envoy: the reported times are correct, and compressed
//! bodies are read while the client still gets them compressed.

use std::io::Write;
use std::time::Duration;

use crate::support::client::{self, Reply};
use crate::support::core::TIMING;
use crate::support::envoy::{Envoy, Options};
use crate::support::expect;
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);
const UNARY: &str = "openai-chat/unary";
/// The first event of this stream has only the role.
const STREAM: &str = "openai-chat/stream-include-usage";
/// Delay in seconds that a busy machine may add.
const LATE: f64 = 1.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_to_first_chunk_time_to_first_token_and_time_per_token_match_the_upstream() {
    let (stream, unary) = (Fixture::load(STREAM), Fixture::load(UNARY));
    let upstream = Upstream::start(vec![stream.clone(), unary.clone()]).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;

    let (entry, reply) = exchange(&envoy, &stream, "wait=300 gap=150").await;
    let first_chunk = seconds(&entry, "gen_ai.response.time_to_first_chunk");
    let first_token = seconds(&entry, "gaugeway.time_to_first_token");
    assert!((0.3..0.3 + LATE).contains(&first_chunk), "{entry}");
    assert!(
        (first_chunk - reply.first_byte.as_secs_f64()).abs() < LATE / 2.0,
        "the client measured {:?}: {entry}",
        reply.first_byte
    );
    let pause = first_token - first_chunk;
    assert!((0.14..0.14 + LATE).contains(&pause), "{pause} s from the first chunk to the first token: {entry}");

    let (entry, _) = exchange(&envoy, &unary, "wait=50").await;
    assert!(entry["gen_ai.response.time_to_first_chunk"].is_null(), "only a stream has this time: {entry}");
    assert!(entry["gaugeway.time_to_first_token"].is_null(), "only a stream has this time: {entry}");

    let duration = "gen_ai_client_inference_duration_microseconds";
    let shown = |samples: &[Sample]| total(samples, &format!("{duration}_count"), &[]) == 2.0;
    let samples = envoy.samples_when(shown, Duration::from_secs(5)).await;
    let sum =
        |metric: &str, model: &str| total(&samples, &format!("{metric}_sum"), &[("gen_ai_request_model", model)]) / 1e6;
    let near = |seen: f64, told: f64| (seen - told).abs() <= told * 0.06; // Envoy's sums are exact to 6 %
    let (chunk, token) = (
        sum("gen_ai_client_inference_time_to_first_chunk_microseconds", "gpt-4o-mini"),
        sum("gen_ai_server_time_to_first_token_microseconds", "gpt-4o-mini"),
    );
    assert!(near(chunk, first_chunk) && near(token, first_token), "{chunk} {token}: {entry}");
    let (whole, took) = (sum(duration, "gpt-4o-mini"), reply.took.as_secs_f64());
    assert!(
        (whole - took).abs() < took * 0.06 + LATE / 2.0,
        "the plugin reports {whole} s, but the client measured {took} s"
    );
    // Seven of eight tokens come after the first, in the pauses before the third and every later event.
    let events = stream.response.events.len() as f64;
    let pace = sum("gen_ai_server_time_per_output_token_microseconds", "gpt-4o-mini");
    assert!((0.9..1.0 + LATE).contains(&(pace / (0.15 * (events - 2.0) / 7.0))), "wrong time per token: {pace} s");
    let (chunks, tokens) = (
        "gen_ai_client_inference_time_to_first_chunk_microseconds_count",
        "gen_ai_server_time_to_first_token_microseconds_count",
    );
    assert_eq!(
        (total(&samples, chunks, &[]), total(&samples, tokens, &[])),
        (1.0, 1.0),
        "only the stream must have these times"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_bodies_are_read_and_reach_the_client_compressed() {
    let (unary, stream) = (Fixture::load(UNARY), Fixture::load(STREAM));
    let body = &unary.response.body[..];
    let mut answers = vec![
        encoded(&unary, "gzip", vec![gzip(&[body]).concat()]),
        encoded(&unary, "x-gzip", vec![gzip(&[&body[..100], &body[100..]]).concat()]),
        encoded(&unary, "deflate", vec![zlib(body)]),
        encoded(&unary, "deflate", vec![bare_deflate(body)]),
        encoded(&unary, "br", vec![stored_brotli(body)]),
        encoded(&unary, "zstd", vec![stored_zstd(body)]),
        encoded(&unary, "identity", vec![body.to_vec()]),
    ];
    let events: Vec<_> = stream.response.events.iter().map(|event| &event[..]).collect();
    answers.push(encoded(&stream, "gzip", gzip(&events)));
    for (number, answer) in answers.iter_mut().enumerate() {
        answer.id = format!("encoded/{number}");
    }
    let mut upload = unary.clone();
    upload.request.headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
    upload.request.body = gzip(&[&unary.request.body[..]]).concat().into();

    let mut fixtures = answers.clone();
    fixtures.push(unary);
    let upstream = Upstream::start(fixtures).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    for fixture in answers.iter().chain([&upload]) {
        for travel in ["whole", "cut=1", "gap=20"] {
            let (entry, reply) = exchange(&envoy, fixture, travel).await;
            let timed = if fixture.is_stream() { TIMING } else { &[] };
            let faults = expect::log_faults(&fixture.observation, timed, &entry);
            let encoding = fixture.response.header("content-encoding");
            assert!(faults.is_empty(), "{encoding:?} {travel}: {faults:#?}");
            assert_eq!(reply.headers.get("content-encoding").map(|value| value.to_str().unwrap()), encoding);
            let id = entry["request_id"].as_str().unwrap();
            let received = upstream.take_request(id, PATIENCE).await.expect("the request did not reach the upstream");
            assert_eq!(received.body, fixture.request.body);
            // The first token comes with the second event, in every encoding.
            if fixture.is_stream() && travel == "gap=20" {
                let times = TIMING.iter().map(|key| seconds(&entry, key)).collect::<Vec<_>>();
                assert!(times[1] - times[0] > 0.015, "{times:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_encoding_is_counted_as_a_parse_error_and_passes_unchanged() {
    let unary = Fixture::load(UNARY);
    let packed = gzip(&[&unary.response.body[..]]).concat();
    let damaged = [&packed[..40], &[0xff; 40], &packed[80..]].concat();
    let bomb = gzip(&[&vec![b' '; 32 << 20]]).concat();
    let mut answers = [
        encoded(&unary, "aws-chunked", vec![unary.response.body.to_vec()]),
        encoded(&unary, "gzip, br", vec![packed.clone()]),
        encoded(&unary, "gzip", vec![unary.response.body.to_vec()]),
        encoded(&unary, "gzip", vec![damaged]),
        encoded(&unary, "gzip", vec![bomb]),
    ];
    for (number, answer) in answers.iter_mut().enumerate() {
        answer.id = format!("unreadable/{number}");
    }
    let upstream = Upstream::start(answers.to_vec()).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    for fixture in &answers {
        let (entry, _) = exchange(&envoy, fixture, "whole").await;
        assert_eq!(entry["gaugeway.parse_error"], "encoding", "{}: {entry}", fixture.id);
        assert_eq!(entry["gen_ai.request.model"], "gpt-4o", "{}: {entry}", fixture.id);
        assert!(entry["gen_ai.usage.input_tokens"].is_null(), "{}: {entry}", fixture.id);
    }
    let parse_errors = total(&envoy.samples().await, "gaugeway_parse_errors_total", &[("parse_error", "encoding")]);
    assert_eq!(parse_errors, answers.len() as f64);
}

/// Sends a fixture and checks that the response arrives unchanged.
async fn exchange(envoy: &Envoy, fixture: &Fixture, travel: &str) -> (Value, Reply) {
    let id = client::request_id();
    let reply = client::replay(envoy.addr, fixture, &[("x-request-id", &id), ("x-upstream", travel)]).await;
    assert_eq!((reply.status, &reply.body, &reply.broken), (200, &fixture.response.body, &None), "{}", fixture.id);
    (envoy.entry(&id, PATIENCE).await.expect("no access log line for the request"), reply)
}

fn seconds(entry: &Value, key: &str) -> f64 {
    entry[key].as_str().unwrap_or_else(|| panic!("no {key} in {entry}")).parse().unwrap()
}

/// The fixture with its response in an encoding, sent in these pieces.
fn encoded(fixture: &Fixture, encoding: &str, pieces: Vec<Vec<u8>>) -> Fixture {
    let mut fixture = fixture.clone();
    fixture.response.headers.push(("content-encoding".to_owned(), encoding.to_owned()));
    fixture.response.body = pieces.concat().into();
    fixture.response.events = pieces.into_iter().map(Bytes::from).collect();
    fixture
}

/// One gzip member, flushed after each piece so that each piece can be decoded on arrival.
fn gzip(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut packed = Vec::new();
    for piece in pieces {
        encoder.write_all(piece).unwrap();
        encoder.flush().unwrap();
        packed.push(std::mem::take(encoder.get_mut()));
    }
    packed.last_mut().unwrap().extend(encoder.finish().unwrap());
    packed
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn bare_deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A br stream (RFC 7932): a window of 64 KiB, one uncompressed meta-block and an empty last one.
fn stored_brotli(body: &[u8]) -> Vec<u8> {
    let head = u32::try_from(body.len() - 1).unwrap() << 4 | 1 << 20;
    [&head.to_le_bytes()[..3], body, &[0b11]].concat()
}

/// A zstd frame (RFC 8878) that states its size, with one raw block.
fn stored_zstd(body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).unwrap();
    let block = size << 3 | 1;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0], &size.to_le_bytes()[..], &block.to_le_bytes()[..3], body].concat()
}
