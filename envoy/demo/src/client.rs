//! A client for single calls over HTTP/1.1, HTTP/2 or raw bytes. Callers measure times themselves.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::HOST;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::fixtures::Fixture;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

/// A response that was read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
    /// The reason why the body ended early. `body` has the bytes received until then.
    pub broken: Option<String>,
    pub first_byte: Duration,
    pub took: Duration,
}

/// A response whose body has not been read. Dropping the value in the middle of a response disconnects the client.
/// Dropping only `response` over HTTP/2 cancels the call and keeps the connection.
pub struct Open {
    pub response: Response<Incoming>,
    pub connection: Connection,
}

/// Closes the connection when dropped.
pub struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A body whose frames are generated when they are sent.
pub struct Made<I>(pub I);

impl<I: Iterator<Item = Frame<Bytes>> + Unpin> Body for Made<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

/// A request id that Envoy does not change: a UUID whose 15th character marks the trace as sampled. It identifies the
/// access log line and the span of a call.
pub fn request_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("00000000-0000-9000-8000-{:04x}{:08x}", std::process::id() & 0xffff, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The fixture's request with the header `x-fixture`, and `extra` after the fixture's own headers.
pub fn request(fixture: &Fixture, extra: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(fixture.request.method.as_str()).uri(&fixture.request.path);
    let own = fixture.request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.filter(|(name, _)| *name != "content-length").chain([("x-fixture", fixture.id.as_str())]) {
        request = request.header(name, value);
    }
    for (name, value) in extra {
        request = request.header(*name, *value);
    }
    request
        .body(Full::new(fixture.request.body.clone()))
        .unwrap_or_else(|error| panic!("fixture {}: {error}", fixture.id))
}

/// Sends a fixture's request to `addr` and reads the response.
pub async fn replay(addr: SocketAddr, fixture: &Fixture, extra: &[(&str, &str)]) -> Reply {
    let reply = send(addr, request(fixture, extra), Http::One).await;
    reply.unwrap_or_else(|error| panic!("{}: no response from {addr}: {error}", fixture.id))
}

pub async fn get(addr: SocketAddr, path: &str) -> io::Result<Reply> {
    let request = Request::get(path).header(HOST, addr.to_string()).body(Full::default()).map_err(io::Error::other)?;
    send(addr, request, Http::One).await
}

/// Sends a request, whose body may be generated as it is sent, and reads the response.
pub async fn send<B>(addr: SocketAddr, request: Request<B>, http: Http) -> io::Result<Reply>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let start = Instant::now();
    let mut open = open(addr, request, http).await?;
    let mut reply = Reply {
        status: open.response.status().as_u16(),
        headers: open.response.headers().clone(),
        body: Bytes::new(),
        trailers: None,
        broken: None,
        first_byte: Duration::ZERO,
        took: Duration::ZERO,
    };
    let mut body = BytesMut::new();
    while let Some(frame) = open.response.body_mut().frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => {
                if body.is_empty() {
                    reply.first_byte = start.elapsed();
                }
                body.extend_from_slice(&data);
            }
            Ok(Err(frame)) => reply.trailers = frame.into_trailers().ok(),
            Err(error) => {
                reply.broken = Some(error.to_string());
                break;
            }
        }
    }
    reply.body = body.freeze();
    reply.took = start.elapsed();
    Ok(reply)
}

/// Sends the request and returns after the response headers. The caller reads the body or drops it.
pub async fn open<B>(addr: SocketAddr, mut request: Request<B>, http: Http) -> io::Result<Open>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let io = TokioIo::new(stream);
    match http {
        Http::One => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(io::Error::other)?;
            let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            Ok(Open { response, connection })
        }
        Http::Two => {
            let host = request
                .headers_mut()
                .remove(HOST)
                .map_or_else(|| addr.to_string(), |host| String::from_utf8_lossy(host.as_bytes()).into_owned());
            *request.uri_mut() = format!("http://{host}{}", request.uri()).parse().map_err(io::Error::other)?;
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
            let (mut sender, connection) = handshake.await.map_err(io::Error::other)?;
            let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            Ok(Open { response, connection })
        }
    }
}

/// The fixture's request as HTTP/1.1 bytes with the right content-length. Header values need not be UTF-8.
pub fn raw_request(fixture: &Fixture, extra: &[(&str, &[u8])]) -> Vec<u8> {
    let request = &fixture.request;
    let mut out = format!("{} {} HTTP/1.1\r\n", request.method, request.path).into_bytes();
    let own = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let own = own.filter(|(name, _)| *name != "content-length");
    let length = request.body.len().to_string();
    let added = [("x-fixture", fixture.id.as_bytes()), ("content-length", length.as_bytes())];
    for (name, value) in own.chain(added).chain(extra.iter().copied()) {
        out.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&request.body);
    out
}

/// A connection without a client library, for bytes that a library would not send.
pub struct Raw {
    stream: TcpStream,
    pub read: Vec<u8>,
}

impl Raw {
    pub async fn send(addr: SocketAddr, bytes: &[u8]) -> io::Result<Self> {
        let mut stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        stream.write_all(bytes).await?;
        Ok(Self { stream, read: Vec::new() })
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads until the received bytes contain `wanted`. Returns false if the peer closed the connection before.
    pub async fn read_until(&mut self, wanted: &[u8]) -> io::Result<bool> {
        while !self.read.windows(wanted.len()).any(|window| window == wanted) {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub async fn read_to_end(&mut self) -> io::Result<()> {
        self.stream.read_to_end(&mut self.read).await.map(drop)
    }

    /// Closes the connection with a TCP reset.
    pub fn reset(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }
}
