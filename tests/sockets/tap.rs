//! A relay that keeps the bytes of both directions of every connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Tap {
    pub addr: SocketAddr,
    connections: Connections,
    task: JoinHandle<()>,
}

/// The bytes of the client and of the server, by connection.
type Connections = Arc<Mutex<Vec<[Vec<u8>; 2]>>>;

impl Tap {
    /// Starts a relay to an address.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is no free port on 127.0.0.1");
        let addr = listener.local_addr().unwrap();
        let connections = Connections::default();
        let kept = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let at = kept.lock().unwrap().len();
                kept.lock().unwrap().push(Default::default());
                let Ok(server) = TcpStream::connect(server).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::spawn(relay(from_client, to_server, Arc::clone(&kept), at, 0));
                tokio::spawn(relay(from_server, to_client, Arc::clone(&kept), at, 1));
            }
        });
        Self { addr, connections, task }
    }

    /// The bytes after the heads of the connections that became WebSockets: of the client, and of the server.
    pub fn sockets(&self) -> Vec<[Vec<u8>; 2]> {
        let connections = self.connections.lock().unwrap();
        connections
            .iter()
            .filter(|connection| is_upgraded(connection))
            .map(|both| both.each_ref().map(|bytes| after_head(bytes)))
            .collect()
    }

    /// The heads of the answers that made a connection a WebSocket.
    pub fn answers(&self) -> Vec<String> {
        let connections = self.connections.lock().unwrap();
        let upgraded = connections.iter().filter(|connection| is_upgraded(connection));
        upgraded.map(|[_, server]| String::from_utf8_lossy(&server[..head_size(server)]).into_owned()).collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    kept: Connections,
    connection: usize,
    direction: usize,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(size @ 1..) = from.read(&mut buffer).await {
        kept.lock().unwrap()[connection][direction].extend_from_slice(&buffer[..size]);
        if to.write_all(&buffer[..size]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

fn is_upgraded([_, server]: &[Vec<u8>; 2]) -> bool {
    server.starts_with(b"HTTP/1.1 101 ")
}

fn after_head(bytes: &[u8]) -> Vec<u8> {
    bytes[head_size(bytes)..].to_vec()
}

fn head_size(bytes: &[u8]) -> usize {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("the head is complete");
    end + 4
}
