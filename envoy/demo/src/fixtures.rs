//! Recorded exchanges in `tests/fixtures/<api>/<case>/`: the client's request (`request.http`), the provider's response
//! (`response.http`) and the values that the plugin must report (`observation.json`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{event_stream, repository};

/// An exchange with its bodies as sent.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// `<api>/<case>`, which is also the value of the header `x-fixture`.
    pub id: String,
    pub request: Request,
    pub response: Response,
    /// Filter state keys and values: exactly the keys that must be written if the exchange completes.
    pub observation: Map<String, Value>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The body cut where the provider may pause: between events, frames or lines. Other bodies are one piece.
    pub events: Vec<Bytes>,
    pub gap: Duration,
}

impl Fixture {
    pub fn load(id: &str) -> Self {
        Self::load_from(&root(), id)
    }

    /// All fixtures of the repository, sorted by id.
    pub fn all() -> Vec<Self> {
        Self::all_in(&root())
    }

    pub fn all_in(root: &Path) -> Vec<Self> {
        let mut ids = Vec::new();
        for api in folders(root) {
            for case in folders(&root.join(&api)) {
                ids.push(format!("{api}/{case}"));
            }
        }
        ids.sort();
        ids.iter().map(|id| Self::load_from(root, id)).collect()
    }

    pub fn load_from(root: &Path, id: &str) -> Self {
        let folder = root.join(id);
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).unwrap_or_else(|error| panic!("fixture {id}: cannot read {}: {error}", path.display()))
        };
        let observation = serde_json::from_slice(&read("observation.json"))
            .unwrap_or_else(|error| panic!("fixture {id}: observation.json is not a JSON object: {error}"));
        Self {
            id: id.to_owned(),
            request: Request::parse(&read("request.http"), id),
            response: Response::parse(&read("response.http"), id),
            observation,
        }
    }

    /// A generated exchange: a POST of JSON to `at` (host and path) and a successful response.
    pub fn made(id: &str, at: (&str, &str), request: &Value, kind: &str, answer: impl Into<Bytes>) -> Self {
        let json = ("content-type".to_owned(), "application/json".to_owned());
        let body = answer.into();
        Self {
            id: id.to_owned(),
            request: Request {
                method: "POST".to_owned(),
                path: at.1.to_owned(),
                headers: vec![("host".to_owned(), at.0.to_owned()), json],
                body: request.to_string().into(),
            },
            response: Response {
                status: 200,
                headers: vec![("content-type".to_owned(), kind.to_owned())],
                events: vec![body.clone()],
                body,
                gap: Duration::ZERO,
            },
            observation: Map::new(),
        }
    }

    /// Returns true if the exchange counts each time. An answer or a file that is fetched counts once, and so does a run of Assistants, which
    /// several requests tell of.
    pub fn counts_each_time(&self) -> bool {
        self.request.method != "GET" && !self.request.path.contains("/threads/")
    }

    pub fn api(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    pub fn is_stream(&self) -> bool {
        self.response.is_stream()
    }
}

impl Request {
    fn parse(file: &[u8], id: &str) -> Self {
        let (first, headers, body) = split(file, id);
        let (method, path) = first
            .split_once(' ')
            .unwrap_or_else(|| panic!("fixture {id}: request.http must start with `METHOD /path`, not {first:?}"));
        Self { method: method.to_owned(), path: path.trim().to_owned(), headers, body: Bytes::copy_from_slice(body) }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Response {
    fn parse(file: &[u8], id: &str) -> Self {
        let (first, mut headers, body) = split(file, id);
        let status = first
            .split_whitespace()
            .find_map(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("fixture {id}: response.http must start with a status, not {first:?}"));
        let gap = header(&headers, "x-fixture-gap-ms")
            .map(|gap| gap.parse().unwrap_or_else(|_| panic!("fixture {id}: x-fixture-gap-ms is not a number: {gap}")));
        // The content length is added by the sender.
        headers
            .retain(|(name, _)| !matches!(name.as_str(), "x-fixture-gap-ms" | "content-length" | "transfer-encoding"));
        let kind = header(&headers, "content-type").unwrap_or_default();
        let events: Vec<Bytes> = if kind.starts_with("application/vnd.amazon.eventstream") {
            let text = std::str::from_utf8(body).unwrap_or_else(|_| panic!("fixture {id}: frames must be UTF-8 text"));
            event_stream::frames(text).into_iter().map(Bytes::from).collect()
        } else if kind.starts_with("text/event-stream") {
            after_each(body, &[b"\r\n\r\n", b"\n\n", b"\r\r"])
        } else if ["ndjson", "jsonl", "stream+json"].iter().any(|word| kind.contains(word)) {
            after_each(body, &[b"\n"])
        } else {
            vec![Bytes::copy_from_slice(body)]
        };
        Self { status, headers, body: events.concat().into(), events, gap: Duration::from_millis(gap.unwrap_or(0)) }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Returns true if the provider sends the body while it generates it, without a content-length.
    pub fn is_stream(&self) -> bool {
        let kind = self.header("content-type").unwrap_or_default();
        ["event-stream", "eventstream", "ndjson", "jsonl", "stream+json"].iter().any(|word| kind.contains(word))
    }
}

/// The folder of the repository's fixtures.
pub fn root() -> PathBuf {
    repository("tests/fixtures")
}

fn folders(parent: &Path) -> Vec<String> {
    let entries = fs::read_dir(parent).unwrap_or_else(|error| panic!("cannot list {}: {error}", parent.display()));
    entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("the name of a fixture's folder is not UTF-8"))
        .collect()
}

type Headers = Vec<(String, String)>;

fn split<'a>(file: &'a [u8], id: &str) -> (String, Headers, &'a [u8]) {
    let end = file.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((file, &file[file.len()..]), |end| (&file[..end], &file[end + 2..]));
    let head = std::str::from_utf8(head).unwrap_or_else(|_| panic!("fixture {id}: the headers are not UTF-8"));
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let headers = lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, value) =
                line.split_once(':').unwrap_or_else(|| panic!("fixture {id}: not a header line: {line:?}"));
            (name.trim().to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
    (first, headers, body)
}

fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn after_each(body: &[u8], ends: &[&[u8]]) -> Vec<Bytes> {
    let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
    while at < body.len() {
        match ends.iter().find(|end| body[at..].starts_with(end)) {
            Some(end) => {
                at += end.len();
                pieces.push(Bytes::copy_from_slice(&body[start..at]));
                start = at;
            }
            None => at += 1,
        }
    }
    if start < body.len() || pieces.is_empty() {
        pieces.push(Bytes::copy_from_slice(&body[start..]));
    }
    pieces
}
