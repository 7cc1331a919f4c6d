//! The client and the upstream of the measured traffic, over plain sockets. They parse as little as possible, because
//! they share the machine with Envoy.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::works::Work;

const CONNECTIONS: usize = 8;
/// Selects the response of the upstream.
const HEADER: &str = "x-work: ";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Serves the response of the work that the request's header names, in one write.
pub async fn upstream(works: &[Work]) -> io::Result<SocketAddr> {
    let answers: HashMap<char, Vec<u8>> = works.iter().map(|work| (work.letter, answer(work))).collect();
    let answers = Arc::new(answers);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            // Envoy may close the connection at any time.
            tokio::spawn(async move { serve(socket, &answers).await.ok() });
        }
    });
    Ok(addr)
}

fn answer(work: &Work) -> Vec<u8> {
    let size = work.response.len();
    if !work.streams {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_1\r\ncontent-length: {size}\r\n\r\n"
        );
        return [head.as_bytes(), &work.response].concat();
    }
    let mut wire = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let stream = String::from_utf8_lossy(&work.response);
    for event in stream.split_inclusive("\n\n") {
        wire.extend(format!("{:x}\r\n{event}\r\n", event.len()).into_bytes());
    }
    wire.extend(LAST_CHUNK);
    wire
}

async fn serve(mut socket: TcpStream, answers: &HashMap<char, Vec<u8>>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut message = Message::default();
    while message.receive(&mut socket).await? {
        let letter = message.header(HEADER).and_then(|value| value.chars().next());
        let Some(answer) = letter.and_then(|letter| answers.get(&letter)) else { return Ok(()) };
        socket.write_all(answer).await?;
    }
    Ok(())
}

/// Sends the work's request repeatedly on several connections. Returns the number of responses, and of those that
/// failed.
pub async fn drive(to: SocketAddr, work: &Work, time: Duration) -> (u64, u64) {
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: api.openai.com\r\nauthorization: Bearer none\r\ncontent-type: application/json\r\naccept: application/json\r\nuser-agent: bench\r\n{HEADER}{}\r\ncontent-length: {}\r\n\r\n",
        work.path,
        work.letter,
        work.request.len()
    );
    let wire: Arc<[u8]> = [head.as_bytes(), &work.request].concat().into();
    let (end, size, streams) = (Instant::now() + time, work.response.len(), work.streams);
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let wire = Arc::clone(&wire);
            tokio::spawn(async move {
                let (mut sent, mut answered) = (0, 0);
                if let Ok(mut socket) = TcpStream::connect(to).await {
                    let mut message = Message::default();
                    while Instant::now() < end {
                        sent += 1;
                        let whole = socket.write_all(&wire).await.is_ok()
                            && message.receive(&mut socket).await.is_ok_and(|whole| whole)
                            && message.head.starts_with("HTTP/1.1 200 ")
                            && (streams || message.size == size);
                        if !whole {
                            break;
                        }
                        answered += 1;
                    }
                }
                (sent, sent - answered)
            })
        })
        .collect();
    let mut sum = (0, 0);
    for connection in connections {
        let (sent, failed) = connection.await.unwrap_or((0, 1));
        sum = (sum.0 + sent, sum.1 + failed);
    }
    sum
}

/// The state of reading successive messages from a connection.
#[derive(Default)]
struct Message {
    head: String,
    /// Bytes of the body, including the framing of chunks.
    size: usize,
    buffer: Vec<u8>,
}

impl Message {
    /// Reads one message. Returns false if the peer closed the connection.
    async fn receive(&mut self, socket: &mut TcpStream) -> io::Result<bool> {
        self.buffer.resize(64 << 10, 0);
        let mut have = 0;
        let end = loop {
            let read = socket.read(&mut self.buffer[have..]).await?;
            if read == 0 {
                return Ok(false);
            }
            have += read;
            if let Some(at) = self.buffer[..have].windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        self.head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase().replacen("http/", "HTTP/", 1);
        let length: Option<usize> = self.header("content-length: ").and_then(|value| value.parse().ok());
        self.size = have - end;
        let mut last = self.buffer[end..have].to_vec();
        while length.map_or(!last.ends_with(LAST_CHUNK), |length| self.size < length) {
            let read = socket.read(&mut self.buffer).await?;
            if read == 0 {
                return Ok(false);
            }
            self.size += read;
            last.extend_from_slice(&self.buffer[read.saturating_sub(LAST_CHUNK.len())..read]);
            last.drain(..last.len().saturating_sub(LAST_CHUNK.len()));
        }
        Ok(true)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let value = self.head.split_once(&format!("\r\n{name}"))?.1;
        value.split("\r\n").next()
    }
}
