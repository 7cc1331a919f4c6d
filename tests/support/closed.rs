//! A port that refuses connections.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// Owns a port of 127.0.0.1 and does not listen on it. While this value lives, each connection is refused, and no other process can get the
/// port: a port that is only known to be free may soon be that of another test's server.
pub struct Closed {
    pub addr: SocketAddr,
    _socket: TcpSocket,
}

impl Closed {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self { addr: socket.local_addr().unwrap(), _socket: socket }
    }
}
