//! Many open requests with encoded bodies do not take a worker's decoder memory away from other clients.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);
const UNARY: &str = "openai-chat/unary";
/// Number of requests that are open at the same time.
const OPEN: usize = 300;
/// Allowed growth in bytes: the whole decoder budget for requests, and what Envoy needs for this many connections.
const MOST: u64 = 48 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_open_encoded_requests_stay_in_the_budget_and_other_clients_are_still_observed() {
    let mut honest = Vec::new();
    for (encoding, encode) in ENCODINGS {
        let mut fixture = Fixture::load(UNARY);
        fixture.id = format!("honest/{encoding}");
        fixture.response.body = encode(&fixture.response.body).into();
        fixture.response.headers.push(("content-encoding".to_owned(), encoding.to_owned()));
        honest.push(fixture);
    }
    let upstream = Upstream::start([vec![Fixture::load(UNARY)], honest.clone()].concat()).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    client::replay(envoy.addr, &honest[0], &[]).await;
    let mut before = envoy.resident();
    for (encoding, attack) in
        [("zstd", zstd_window()), ("br", brotli_window()), ("gzip", gzip_window()), ("deflate", zlib_window())]
    {
        let mut open = Vec::new();
        for _ in 0..OPEN {
            open.push(upload(envoy.addr, encoding, &attack).await);
        }
        for round in 0..25 {
            for fixture in &honest {
                let id = client::request_id();
                // Uses another loopback address, because the budget is shared by client address.
                let reply = from_elsewhere(envoy.addr, fixture, &id).await;
                assert!(reply.starts_with(b"HTTP/1.1 200"), "{encoding}: {}", reply.escape_ascii());
                let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
                assert_eq!(entry["gen_ai.usage.input_tokens"], "27", "{encoding}, round {round}: {entry}");
            }
        }
        let grown = envoy.resident().saturating_sub(before);
        assert!(grown < MOST, "{encoding}: the resident memory of {before} bytes grew by {grown} bytes");
        before = before.max(envoy.resident());
        drop(open);
    }
    let counted = |samples: &[_]| total(samples, "gaugeway_parse_errors_total", &[("parse_error", "encoding")]) > 0.0;
    let samples = envoy.samples_when(counted, PATIENCE).await;
    assert!(counted(&samples), "the requests that exceeded the budget were not counted");
    let mut reloads = samples.iter().filter(|sample| sample.name.contains("vm_reload"));
    assert!(reloads.all(|sample| sample.value == 0.0), "the plugin crashed:\n{}", envoy.log());
    // The memory was released: responses to the attacker's own address are decoded again.
    for fixture in &honest {
        let id = client::request_id();
        client::replay(envoy.addr, fixture, &[("x-request-id", &id)]).await;
        let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
        assert_eq!(entry["gen_ai.usage.input_tokens"], "27", "{entry}");
    }
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ENCODINGS: [(&str, Encode); 3] = [
    ("gzip", |text| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }),
    ("deflate", |text| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }),
    ("zstd", |text| compress_to_vec(text, CompressionLevel::Fastest)),
];

/// A zstd frame that announces a window of 8 MiB and starts to fill it with 64 repeated bytes: 262 bytes that decode to
/// 8 MiB.
fn zstd_window() -> Vec<u8> {
    let block = ((128_u32 << 10) << 3 | 1 << 1).to_le_bytes();
    let blocks = std::iter::repeat_n([block[0], block[1], block[2], b' '], 64).flatten();
    [0x28, 0xb5, 0x2f, 0xfd, 0, 0x68].into_iter().chain(blocks).collect()
}

/// A br stream that announces a window of 4 MiB and an incomplete block of 16 MiB (RFC 7932, section 9.2).
fn brotli_window() -> Vec<u8> {
    // WBITS 22, not the last block, six length nibbles, uncompressed, then padding to the byte boundary.
    let header = 0b1011_u64 | 2 << 5 | 0xff_ffff << 7 | 1 << 31;
    [&header.to_le_bytes()[..4], &b" ".repeat(1000)].concat()
}

/// Text that deflate cannot compress well.
fn numbers() -> Vec<u8> {
    (0..40_000_u32).flat_map(|n| (n * n % 9973).to_string().into_bytes()).collect()
}

/// An unfinished gzip stream that has filled its window of 32 KiB.
fn gzip_window() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&numbers()).unwrap();
    encoder.flush().unwrap();
    encoder.get_ref().clone()
}

fn zlib_window() -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&numbers()).unwrap();
    encoder.flush().unwrap();
    encoder.get_ref().clone()
}

/// Sends the headers of a chat call and the start of its body. The request stays open as long as the TCP stream lives.
async fn upload(addr: SocketAddr, encoding: &str, body: &[u8]) -> TcpStream {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\ncontent-type: application/json\r\n\
         content-encoding: {encoding}\r\ncontent-length: 100000000\r\n\r\n"
    );
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    stream
}

/// Sends a call from another source address than the attacker's and returns the response.
async fn from_elsewhere(addr: SocketAddr, fixture: &Fixture, id: &str) -> Vec<u8> {
    use tokio::io::AsyncReadExt;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(addr).await.unwrap();
    let head: [(&str, &[u8]); 2] = [("x-request-id", id.as_bytes()), ("connection", b"close")];
    stream.write_all(&client::raw_request(fixture, &head)).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    reply
}
