//! The fuzz target of WebSocket sessions.

use gaugeway::budget::Side;
use gaugeway::exchange::{End, Exchange, Head};
use gaugeway::session::{Session, SessionEvent};

use super::{OBSERVER, observation};

/// A WebSocket. Each line of the input is a message: of the client if it begins with `C`, else of the server. The messages come
/// in pieces of the size that the first byte gives.
pub fn session(data: &[u8]) {
    let Some((size, script)) = data.split_first() else { return };
    let lines: Vec<_> = script.split(|byte| *byte == b'\n').filter_map(<[u8]>::split_first).collect();
    for path in ["/v1/responses", "/v1/realtime?model=gpt-realtime", "/ws/google.GenerativeService.BidiGenerateContent"]
    {
        let whole = run(path, &lines, usize::MAX);
        let cut = run(path, &lines, usize::from(*size).max(1));
        assert_eq!(cut, whole, "{path}");
    }
}

/// What a session reports of these messages.
fn run(path: &str, lines: &[(&u8, &[u8])], size: usize) -> Vec<String> {
    let head: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":path", path.as_bytes()), (b":authority", b"llm"), (b"upgrade", b"websocket")];
    let exchange =
        OBSERVER.with(|observer| Exchange::start(observer, Head(&head), 1)).expect("the path is an API path");
    let template = exchange.into_template().expect("the request asks for a WebSocket");
    let mut session = Session::start(template, "").unwrap_or_else(|_| panic!("there is room for one session"));
    let mut reported = Vec::new();
    let mut tell = |event: SessionEvent<'_>| match event {
        SessionEvent::Changed(exchange) => {
            if exchange.changes().end {
                reported.push(observation(exchange));
            }
        }
        SessionEvent::Unread(reason) => reported.push(format!("{reason:?}")),
    };
    for (at, (side, message)) in lines.iter().enumerate() {
        let (side, mask) = if **side == b'C' { (Side::Request, 0x80) } else { (Side::Response, 0) };
        // Masked with zeros.
        let key = if mask == 0 { &[][..] } else { &[0; 4] };
        let frame = [&[0x81, 127 | mask][..], &(message.len() as u64).to_be_bytes(), key, message].concat();
        for piece in frame.chunks(size) {
            session.push(side, piece, at as u64 + 2, &mut tell);
        }
    }
    session.close(End::ClientDisconnect, lines.len() as u64 + 2, &mut tell);
    reported
}
