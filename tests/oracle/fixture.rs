//! Loads `tests/fixtures/<api>/<case>`: request.http, response.http, observation.json.

use super::{Exchange, Map, frames, framing};
use std::path::Path;

pub struct Fixture {
    pub name: String,
    pub exchange: Exchange,
    pub observation: Map,
}

pub fn all() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut out = Vec::new();
    for api in folders(&root) {
        for case in folders(&api) {
            out.push(load(&root, &case));
        }
    }
    out
}

fn folders(root: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut out: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    out.sort();
    out
}

fn load(root: &Path, case: &Path) -> Fixture {
    let file = |name: &str| std::fs::read(case.join(name)).unwrap_or_else(|e| panic!("{}/{name}: {e}", case.display()));
    let (line, request_headers, request_body) = message(&file("request.http"));
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let (status, mut response_headers, mut response_body) = message(&file("response.http"));
    response_headers.retain(|(name, _)| name != "x-fixture-gap-ms");
    if framing::essence(&response_headers) == "application/vnd.amazon.eventstream" {
        response_body = event_stream(&String::from_utf8(response_body).unwrap());
    }
    let observation =
        serde_json::from_slice(&file("observation.json")).unwrap_or_else(|e| panic!("{}: {e}", case.display()));
    let host = framing::header(&request_headers, "host").unwrap_or_default().to_owned();
    let exchange = Exchange {
        method,
        host,
        path,
        request_headers,
        request_body,
        status: status.parse().unwrap_or_else(|e| panic!("{}: status {status:?}: {e}", case.display())),
        response_headers,
        response_body,
    };
    Fixture { name: case.strip_prefix(root).unwrap().display().to_string(), exchange, observation }
}

fn message(bytes: &[u8]) -> (String, Vec<(String, String)>, Vec<u8>) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 2..]));
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(k, v)| (k.trim().to_ascii_lowercase(), v.trim().to_owned()));
    (first, headers.collect(), body.to_vec())
}

/// One frame per line: `<event-type> <JSON>`, `!<exception-type> <JSON>`, or `<event-type> base64:<JSON>`.
fn event_stream(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (name, payload) = line.split_once(' ').unwrap_or((line, "{}"));
        let payload = match payload.strip_prefix("base64:") {
            Some(inner) => format!("{{\"bytes\":\"{}\"}}", frames::to_base64(inner.as_bytes())),
            None => payload.to_owned(),
        };
        match name.strip_prefix('!') {
            Some(exception) => out.extend(frame(":exception-type", exception, "exception", payload.as_bytes())),
            None => out.extend(frame(":event-type", name, "event", payload.as_bytes())),
        }
    }
    out
}

fn frame(key: &str, name: &str, kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (key, value) in [(key, name), (":content-type", "application/json"), (":message-type", kind)] {
        headers.push(key.len() as u8);
        headers.extend(key.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    frames::frame(&headers, payload)
}
