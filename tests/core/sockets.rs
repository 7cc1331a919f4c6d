//! The memory of WebSockets: what open ones have, idle and in the middle of messages.

use std::rc::Rc;

use gaugeway::budget::{Budget, Side};
use gaugeway::config::Config;
use gaugeway::exchange::{Exchange, Head, Observer};
use gaugeway::session::Session;
use serde_json::{Value, json};

use crate::memory::allocated;

const RESPONSES: &str = "/v1/responses";
const REALTIME: &str = "/v1/realtime?model=gpt-realtime";
const LIVE: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

fn session(observer: &Rc<Observer>, path: &str) -> Session {
    let head: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":path", path.as_bytes()),
        (b"upgrade", b"websocket"),
        (b"user-agent", b"codex_cli_rs/0.171.0"),
    ];
    let exchange = Exchange::start(observer, Head(&head), 1).unwrap();
    Session::start(exchange.into_template().unwrap(), "").unwrap_or_else(|_| panic!("the session is not read"))
}

/// The frame of a message. The client's is masked with zeros.
fn frame(side: Side, message: &Value) -> Vec<u8> {
    let payload = message.to_string().into_bytes();
    let (mask, key) = if side == Side::Request { (0x80, &[0; 4][..]) } else { (0, &[][..]) };
    let length = (payload.len() as u64).to_be_bytes();
    [&[0x81, mask | 127][..], &length, key, &payload].concat()
}

/// A conversation that ends with an answer, and the API that it belongs to.
fn conversations() -> [(&'static str, Vec<(Side, Value)>); 3] {
    let (client, server) = (Side::Request, Side::Response);
    let long = "It is windy in Bern. ".repeat(2000);
    let usage = json!({"input_tokens": 9, "output_tokens": 5, "total_tokens": 14});
    let responses = vec![
        (client, json!({"type": "response.create", "model": "gpt-5.1", "input": long})),
        (server, json!({"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5.1"}})),
        (server, json!({"type": "response.output_text.delta", "delta": long})),
        (
            server,
            json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "usage": usage}}),
        ),
    ];
    let realtime = vec![
        (server, json!({"type": "session.created", "session": {"model": "gpt-realtime", "instructions": long}})),
        (client, json!({"type": "input_audio_buffer.append", "audio": "AAAA".repeat(4000)})),
        (client, json!({"type": "response.create"})),
        (server, json!({"type": "response.created", "response": {"id": "resp_1"}})),
        (server, json!({"type": "response.output_audio.delta", "response_id": "resp_1", "delta": "AAAA".repeat(4000)})),
        (server, json!({"type": "response.done", "response": {"id": "resp_1", "status": "completed", "usage": usage}})),
    ];
    let usage = json!({"promptTokenCount": 9, "responseTokenCount": 5});
    let live = vec![
        (
            client,
            json!({"setup": {"model": "models/gemini-3.8-live", "systemInstruction": {"parts": [{"text": long}]}}}),
        ),
        (server, json!({"setupComplete": {}})),
        (
            client,
            json!({"clientContent": {"turns": [{"role": "user", "parts": [{"text": long}]}], "turnComplete": true}}),
        ),
        (server, json!({"serverContent": {"modelTurn": {"parts": [{"text": "Yes."}]}}})),
        (server, json!({"serverContent": {"turnComplete": true}, "usageMetadata": usage})),
    ];
    [(RESPONSES, responses), (REALTIME, realtime), (LIVE, live)]
}

#[test]
fn an_open_socket_has_less_than_8_kib_between_responses_and_never_more_than_it_has_reserved() {
    for (path, messages) in conversations() {
        let budget = Rc::new(Budget::default());
        let observer = Rc::new(Observer::with_budget(Config::parse("{}").unwrap(), Rc::clone(&budget)));
        // Tables of the observer grow with the first sessions.
        drop((session(&observer, path), session(&observer, path)));
        let frames: Vec<_> = messages.iter().map(|(side, message)| (*side, frame(*side, message))).collect();
        let before = allocated();
        let mut session = Box::new(session(&observer, path));
        let (mut peak, mut ended, mut now) = (0, 0, 1);
        for _ in 0..20 {
            for (side, bytes) in &frames {
                for piece in bytes.chunks(1000) {
                    now += 1;
                    session.push(*side, piece, now, &mut |event| {
                        if let gaugeway::session::SessionEvent::Changed(exchange) = event {
                            ended += usize::from(exchange.changes().end);
                        }
                    });
                    let used = allocated().wrapping_sub(before);
                    assert!(used <= budget.reserved(), "{path}: {used} bytes, and {} are reserved", budget.reserved());
                    peak = peak.max(used);
                }
            }
        }
        let idle = allocated().wrapping_sub(before);
        println!("{path}: {idle} bytes between responses, {peak} at most, {} reserved", budget.reserved());
        assert_eq!(ended, 20, "{path}");
        assert!(idle < 8 << 10, "{path}: {idle} bytes");
        drop(session);
        assert_eq!(budget.reserved(), 0, "{path}");
    }
}
