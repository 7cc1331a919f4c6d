//! Many WebSockets, and many messages on one: the memory that they take, and what other upgrades cost.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::envoy::{Envoy, Options};
use crate::support::prometheus::{Sample, total};

const PATIENCE: Duration = Duration::from_secs(20);
/// Number of WebSockets that are open at a time.
const SOCKETS: usize = 1000;
/// Number of questions whose cost is measured in a round, and of rounds.
const QUESTIONS: usize = 2000;
const ROUNDS: usize = 8;
/// Circuit breakers for more connections than Envoy's default of 1,024.
const BREAKERS: &str = "\n    circuit_breakers: {thresholds: [{max_connections: 9000, max_requests: 9000, max_pending_requests: 9000}]}\n    load_assignment:\n      cluster_name: llm\n";

/// A client that asks for a response again and again, and a server that always gives the same answer.
struct Talk {
    envoy: Envoy,
    path: &'static str,
}

/// Messages of a client with this first byte are masked with zeros, so that both ends know the bytes.
fn frame(masked: bool, message: &Value) -> Vec<u8> {
    let payload = message.to_string().into_bytes();
    let mask = if masked { 0x80 } else { 0 };
    let mut frame = match payload.len() {
        length @ ..126 => vec![0x81, mask | length as u8],
        length => [&[0x81, mask | 126][..], &(length as u16).to_be_bytes()].concat(),
    };
    frame.extend(if masked { &[0; 4][..] } else { &[] });
    frame.extend(payload);
    frame
}

fn question() -> Vec<u8> {
    let input = "Is it windy in Bern, and is it colder than in Oslo? ".repeat(20);
    frame(true, &json!({"type": "response.create", "model": "gpt-5.1", "input": input}))
}

/// The frames of a response with a hundred words.
fn answer() -> Vec<u8> {
    let response =
        |status: &str, usage: Value| json!({"id": "resp_1", "model": "gpt-5.1", "status": status, "usage": usage});
    let usage = json!({"input_tokens": 400, "output_tokens": 100, "total_tokens": 500});
    let mut frames = vec![json!({"type": "response.created", "response": response("in_progress", Value::Null)})];
    frames.extend(
        (0..100)
            .map(|n| json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": format!("word{n} ")})),
    );
    frames.push(json!({"type": "response.completed", "response": response("completed", usage)}));
    frames.iter().flat_map(|message| frame(false, message)).collect()
}

impl Talk {
    async fn start(plugin: bool, path: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        let anchor = "\n    load_assignment:\n      cluster_name: llm\n".to_owned();
        let options = Options { plugin, replace: vec![(anchor, BREAKERS.to_owned())], ..Options::to(upstream) };
        Self { envoy: Envoy::start(&options).await, path }
    }

    /// Opens a WebSocket, and asks once.
    async fn open(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.envoy.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let head = format!(
            "GET {} HTTP/1.1\r\nhost: llm\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.path
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101 "));
        self.ask(&mut stream, 1).await;
        stream
    }

    /// Asks for a number of responses. Every byte must arrive.
    async fn ask(&self, stream: &mut TcpStream, times: usize) {
        let (question, answer) = (question(), answer());
        let mut read = vec![0; answer.len()];
        for _ in 0..times {
            stream.write_all(&question).await.unwrap();
            stream.read_exact(&mut read).await.unwrap();
            assert!(read == answer);
        }
    }

    async fn count_when(&self, name: &str, expected: f64) {
        let enough = |samples: &[Sample]| total(samples, name, &[]) == expected;
        let samples = self.envoy.samples_when(enough, PATIENCE).await;
        assert_eq!(total(&samples, name, &[]), expected, "{name}");
    }

    /// Time that Envoy has spent on the CPU.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.envoy.pid())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

async fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    read_head(&mut stream).await;
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(agreed.as_bytes()).await.unwrap();
    let (question, answer) = (question(), answer());
    let mut read = vec![0; question.len()];
    while stream.read_exact(&mut read).await.is_ok() {
        assert!(read == question);
        if stream.write_all(&answer).await.is_err() {
            break;
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_open_sockets_take_less_than_8_kib_each() {
    let mut grown = Vec::new();
    for plugin in [false, true] {
        let talk = Talk::start(plugin, "/v1/responses").await;
        drop(talk.open().await);
        let before = talk.envoy.resident();
        let mut open = Vec::new();
        for _ in 0..SOCKETS {
            open.push(talk.open().await);
        }
        if plugin {
            talk.count_when("gaugeway_websocket_sessions", SOCKETS as f64).await;
            talk.count_when("gaugeway_requests_total", SOCKETS as f64 + 1.0).await;
        }
        grown.push(talk.envoy.resident() - before);
        drop(open);
        if plugin {
            talk.count_when("gaugeway_websocket_sessions", 0.0).await;
        }
    }
    let each = grown[1].saturating_sub(grown[0]) / SOCKETS as u64;
    println!("{each} bytes for each socket, besides the {} bytes of Envoy", grown[0] / SOCKETS as u64);
    assert!(each < 8 << 10, "{each} bytes for each socket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hours_messages_on_one_socket_take_no_memory() {
    let talk = Talk::start(true, "/v1/responses").await;
    let mut stream = talk.open().await;
    talk.ask(&mut stream, 50).await;
    let before = talk.envoy.resident();
    // Ten messages per second for an hour.
    let responses = 36_000 / 102 + 1;
    for _ in 0..10 {
        talk.ask(&mut stream, responses).await;
    }
    let grown = talk.envoy.resident().saturating_sub(before);
    println!("{} messages: {grown} bytes", 10 * 102 * responses);
    talk.count_when("gaugeway_requests_total", (51 + 10 * responses) as f64).await;
    assert!(grown < 2 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_upgrades_are_not_read() {
    let mut costs = Vec::new();
    for (plugin, path) in [(false, "/chat"), (true, "/chat"), (true, "/v1/responses")] {
        let talk = Talk::start(plugin, path).await;
        // The least of several rounds: other processes disturb some of them.
        let mut least = f64::MAX;
        for _ in 0..ROUNDS {
            let mut stream = talk.open().await;
            let before = talk.cpu();
            talk.ask(&mut stream, QUESTIONS).await;
            least = least.min((talk.cpu() - before).as_micros() as f64 / QUESTIONS as f64);
        }
        println!("plugin: {plugin}, {path}: {least:.0} us of CPU for a question and its answer");
        costs.push(least);
        if plugin {
            let read = if path == "/v1/responses" { ROUNDS * (QUESTIONS + 1) } else { 0 };
            talk.count_when("gaugeway_requests_total", read as f64).await;
            talk.count_when("gaugeway_websocket_sessions", 0.0).await;
        }
    }
    let [without, other, read] = costs[..] else { panic!("{costs:?}") };
    assert!(other - without < (read - without) / 4.0, "{costs:?}");
}
