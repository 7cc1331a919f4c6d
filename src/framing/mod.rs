//! How a body carries its documents: plain JSON, one document a line, one array of them, or server-sent events.
//!
//! The content type decides, and where it does not, the body's first byte: errors to streaming requests come as plain JSON,
//! and some servers send events under another name. Bound: one JSON scanner and a few bytes.

mod sse;

use crate::draft::Draft;
use crate::json::{Documents, Ended, Program, Scanner};
use crate::observation::Trouble;
use sse::{Part, Sse};

/// What ends a stream of OpenAI's kind, in place of a document.
const DONE: &[u8] = b"[DONE]";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Undecided,
    Json,
    Events,
    /// Nothing that is read here.
    Opaque,
}

/// A body being read.
pub struct Body {
    kind: Kind,
    scanner: Scanner,
    sse: Sse,
    /// Bytes of [`DONE`] that began this event's data.
    done: usize,
    /// The event's data goes to the scanner.
    in_data: bool,
    /// A document without a field is being read.
    bare: bool,
    expects_json: bool,
    streams: bool,
}

impl Body {
    /// A body of this content type. `elements`: the request asked for a stream of a kind that may come as one array.
    pub fn new(content_type: &str, elements: bool) -> Self {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        let lines = ["application/x-ndjson", "application/stream+json", "application/jsonl", "application/ndjson"]
            .iter()
            .any(|name| kind.eq_ignore_ascii_case(name));
        let events = kind.eq_ignore_ascii_case("text/event-stream");
        Body {
            kind: if events { Kind::Events } else { Kind::Undecided },
            scanner: Scanner::new(match (elements, lines) {
                (true, _) => Documents::Elements,
                (_, true) => Documents::Lines,
                _ => Documents::Plain,
            }),
            sse: Sse::new(),
            done: 0,
            in_data: false,
            bare: false,
            expects_json: kind.ends_with("json"),
            streams: events || lines || elements,
        }
    }

    /// Whether the body is a stream of documents, each told as it comes.
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// Reads bytes, cut anywhere.
    pub fn feed(&mut self, program: &Program<Draft>, draft: &mut Draft, bytes: &[u8]) {
        let mut bytes = bytes;
        if self.kind == Kind::Undecided {
            bytes = bytes.trim_ascii_start();
            self.decide(bytes.first().copied(), draft);
        }
        match self.kind {
            Kind::Json => self.scanner.feed(program, draft, bytes),
            Kind::Events => self.events(program, draft, bytes),
            Kind::Undecided | Kind::Opaque => {}
        }
    }

    /// The body is over. Returns whether it ended between documents.
    pub fn finish(&mut self, program: &Program<Draft>, draft: &mut Draft) -> bool {
        self.scanner.finish(program, draft, Ended::Cut)
    }

    fn decide(&mut self, first: Option<u8>, draft: &mut Draft) {
        self.kind = match first {
            None => return,
            Some(b'{' | b'[') => Kind::Json,
            Some(b'd' | b'e' | b'i' | b'r' | b':' | 0xef) => {
                self.streams = true;
                Kind::Events
            }
            Some(_) => {
                if self.expects_json {
                    draft.seen.trouble.add(Trouble::Json);
                }
                Kind::Opaque
            }
        };
    }

    fn events(&mut self, program: &Program<Draft>, draft: &mut Draft, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.bare {
                let Some(rest) = self.scanner.feed_one(program, draft, bytes) else { return };
                self.bare = false;
                bytes = rest;
                continue;
            }
            let (part, rest) = self.sse.next(bytes);
            bytes = rest;
            match part {
                Some(Part::Data(data)) => self.data(program, draft, data),
                Some(Part::End) => {
                    self.scanner.finish(program, draft, Ended::Malformed);
                    self.in_data = false;
                    self.done = 0;
                }
                Some(Part::Bare) => self.bare = true,
                Some(Part::Name(_)) | None => {}
            }
        }
    }

    fn data(&mut self, program: &Program<Draft>, draft: &mut Draft, data: &[u8]) {
        if !self.in_data {
            let wanted = DONE.get(self.done..).unwrap_or_default();
            let same = wanted.iter().zip(data).take_while(|(a, b)| a == b).count();
            if same == data.len() || same == wanted.len() {
                self.done += same;
                draft.complete |= self.done == DONE.len();
                return;
            }
            self.in_data = true;
            let began = DONE.get(..self.done).unwrap_or_default();
            self.scanner.feed(program, draft, began);
        }
        self.scanner.feed(program, draft, data);
    }
}
