//! How a body carries its documents: plain JSON, one document a line, one array of them, server-sent events, AWS frames.
//!
//! The content type decides, and where it does not, the body's first byte: errors to streaming requests come as plain JSON,
//! and some servers send events under another name. Bound: one or two JSON scanners and a few bytes.

#[cfg(feature = "encodings")]
mod encoding;
mod event_stream;
mod multipart;
mod sse;

#[cfg(feature = "encodings")]
use encoding::Decoder;

use crate::budget::Share;
use crate::draft::Draft;
use crate::json::{Documents, Ended, Program, Scalar, Scanner};
use crate::observation::Trouble;
use event_stream::EventStream;
use multipart::Multipart;
use sse::Sse;

/// What ends a stream of OpenAI's kind, in place of a document.
const DONE: &[u8] = b"[DONE]";

/// Payload decoded at a time, where documents come in envelopes.
const SLICE: usize = 1024;

enum Kind {
    Undecided,
    Json,
    Events(Sse),
    Frames(Box<EventStream>),
    Form(Box<Multipart>),
    /// Nothing that is read here.
    Opaque,
}

/// The rules a body is read by.
#[derive(Clone, Copy)]
pub struct Rules<'p> {
    /// For its documents.
    pub document: &'p Program<Draft>,
    /// For what the documents of its frames come in.
    pub envelope: Option<&'p Program<Draft>>,
}

/// A body being read.
pub struct Body {
    kind: Kind,
    scanner: Scanner,
    /// Reads what comes in envelopes.
    inner: Option<Box<Scanner>>,
    /// Bytes of [`DONE`] that began this event's data.
    done: usize,
    /// The event's data goes to the scanner.
    in_data: bool,
    /// A document without a field is being read.
    bare: bool,
    /// It is read as JSON or not at all.
    one_document: bool,
    expects_json: bool,
    streams: bool,
    is_empty: bool,
    /// Its encoding could not be undone to the end.
    unread: bool,
    decoder: Option<Decoder>,
}

/// Takes the decoder's place in builds without the feature `encodings`.
#[cfg(not(feature = "encodings"))]
struct Decoder;

#[cfg(not(feature = "encodings"))]
impl Decoder {
    fn new(_: &str, _: Share) -> Option<Self> {
        None
    }

    fn waits(&self) -> bool {
        false
    }

    fn is_late(&self) -> bool {
        false
    }

    fn feed(&mut self, _: &[u8], _: impl FnMut(&[u8])) -> Result<(), ()> {
        Ok(())
    }
}

impl Body {
    /// A request's body of this content type and encoding. Returns None if the encoding is not supported. The body is never
    /// read as server-sent events. `share` is the decoder's memory.
    pub fn request(content_type: &str, encoding: &str, share: Share) -> Option<Self> {
        let body = Body::response(content_type, encoding, false, share)?;
        let kind = if let Kind::Form(_) = body.kind { body.kind } else { Kind::Undecided };
        Some(Body { kind, streams: false, one_document: true, ..body })
    }

    /// A response's body of this content type and encoding. Returns None if the encoding is not supported. `elements`: the
    /// request asked for a stream that may come as one JSON array. `share` is the decoder's memory.
    pub fn response(content_type: &str, encoding: &str, elements: bool, share: Share) -> Option<Self> {
        let encoding = encoding.trim();
        let decoder = Decoder::new(encoding, share);
        if decoder.is_none() && !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            return None;
        }
        let name = content_type.split(';').next().unwrap_or_default().trim();
        let is = |names: &[&str]| names.iter().any(|n| name.eq_ignore_ascii_case(n));
        let lines = is(&["application/x-ndjson", "application/stream+json", "application/jsonl", "application/ndjson"]);
        let kind = if is(&["text/event-stream"]) {
            Kind::Events(Sse::new())
        } else if is(&["application/vnd.amazon.eventstream"]) {
            Kind::Frames(Box::default())
        } else if let Some(form) = Multipart::new(content_type) {
            Kind::Form(Box::new(form))
        } else {
            Kind::Undecided
        };
        Some(Body {
            streams: lines || elements || matches!(kind, Kind::Events(_) | Kind::Frames(_)),
            kind,
            scanner: Scanner::new(match (elements, lines) {
                (true, _) => Documents::Elements,
                (_, true) => Documents::Lines,
                _ => Documents::Plain,
            }),
            inner: None,
            done: 0,
            in_data: false,
            bare: false,
            one_document: false,
            expects_json: name.ends_with("json"),
            is_empty: true,
            unread: false,
            decoder,
        })
    }

    /// Whether nothing but blanks has come.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Whether it was given up, so that nobody knows how it ended.
    pub fn is_unread(&self) -> bool {
        self.unread
    }

    /// Whether what is read comes later than it was sent: no time can be told of it.
    pub fn is_late(&self) -> bool {
        self.decoder.as_ref().is_some_and(Decoder::is_late)
    }

    /// Whether a call of [`Body::feed`] without bytes would read something.
    pub fn waits(&self) -> bool {
        self.decoder.as_ref().is_some_and(Decoder::waits)
    }

    /// Whether the body is a stream of documents, each told as it comes.
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// Reads bytes, which may be cut anywhere. One call is one callback of the host: its work is bounded. A call without bytes
    /// reads what a decoder has kept.
    pub fn feed(&mut self, rules: Rules<'_>, draft: &mut Draft, bytes: &[u8]) {
        let Some(mut decoder) = self.decoder.take() else {
            if !self.unread {
                self.read(rules, draft, bytes);
            }
            return;
        };
        match decoder.feed(bytes, |piece| self.read(rules, draft, piece)) {
            Ok(()) => self.decoder = Some(decoder),
            // Dropping the decoder gives its memory back.
            Err(_) => self.stop(draft),
        }
    }

    /// Stops reading a body that cannot be decoded to its end.
    fn stop(&mut self, draft: &mut Draft) {
        draft.report(Trouble::Encoding);
        self.kind = Kind::Opaque;
        self.unread = true;
    }

    fn read(&mut self, rules: Rules<'_>, draft: &mut Draft, bytes: &[u8]) {
        let mut bytes = bytes;
        if matches!(self.kind, Kind::Undecided) {
            // Blanks, and a byte order mark, however it is cut.
            let blank = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
            let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
            bytes = bytes.get(start..).unwrap_or_default();
            self.decide(bytes.first().copied(), draft);
        }
        self.is_empty &= bytes.is_empty();
        match &mut self.kind {
            Kind::Json => self.scanner.feed(rules.document, draft, bytes),
            Kind::Events(_) => self.events(rules.document, draft, bytes),
            Kind::Frames(_) => self.frames(rules, draft, bytes),
            Kind::Form(form) => form.feed(bytes, |name, value| field(draft, name, value)),
            Kind::Undecided | Kind::Opaque => {}
        }
    }

    /// Ends the body. Returns true if it ended between documents.
    pub fn finish(&mut self, rules: Rules<'_>, draft: &mut Draft) -> bool {
        if self.decoder.take().is_some_and(|decoder| decoder.waits()) {
            self.stop(draft);
        }
        if let Kind::Form(form) = &mut self.kind {
            form.finish(|name, value| field(draft, name, value));
        }
        let open_frame = matches!(&self.kind, Kind::Frames(frames) if frames.is_open());
        let inner = self.inner.as_mut().is_none_or(|inner| inner.finish(rules.document, draft, Ended::Cut));
        self.scanner.finish(rules.envelope.unwrap_or(rules.document), draft, Ended::Cut) && inner && !open_frame
    }

    fn decide(&mut self, first: Option<u8>, draft: &mut Draft) {
        self.kind = match first {
            None => return,
            Some(b'{' | b'[') => Kind::Json,
            Some(b'd' | b'e' | b'i' | b'r' | b':') if !self.one_document => {
                self.streams = true;
                Kind::Events(Sse::new())
            }
            Some(_) => {
                if self.expects_json {
                    draft.report(Trouble::Json);
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
            let Kind::Events(sse) = &mut self.kind else { return };
            let (part, rest) = sse.next(bytes);
            bytes = rest;
            match part {
                Some(sse::Part::Data(data)) => self.data(program, draft, data),
                Some(sse::Part::End) => {
                    self.scanner.finish(program, draft, Ended::Malformed);
                    draft.event_ended();
                    self.in_data = false;
                    self.done = 0;
                }
                Some(sse::Part::Bare) => self.bare = true,
                Some(sse::Part::Name(name)) => draft.event_name(name),
                None => {}
            }
        }
    }

    fn data(&mut self, program: &Program<Draft>, draft: &mut Draft, data: &[u8]) {
        if !self.in_data {
            let wanted = DONE.get(self.done..).unwrap_or_default();
            let same = wanted.iter().zip(data).take_while(|(a, b)| a == b).count();
            if same == data.len() || same == wanted.len() {
                self.done += same;
                if self.done == DONE.len() {
                    draft.end_stream();
                    self.kind = Kind::Opaque;
                }
                return;
            }
            self.in_data = true;
            if self.done > 0 {
                self.scanner.feed(program, draft, DONE.get(..self.done).unwrap_or_default());
            } else {
                return self.scanner.feed_document(program, draft, data);
            }
        }
        self.scanner.feed(program, draft, data);
    }

    fn frames(&mut self, rules: Rules<'_>, draft: &mut Draft, bytes: &[u8]) {
        let Body { kind: Kind::Frames(frames), scanner, inner, .. } = self else { return };
        frames.feed(bytes, |part| match part {
            event_stream::Part::Exception(name) => {
                draft.failed();
                draft.set_outer_error(Some(name));
            }
            event_stream::Part::Payload(payload) => match rules.envelope {
                None => scanner.feed(rules.document, draft, payload),
                Some(envelope) => {
                    let inner = inner.get_or_insert_with(|| Box::new(Scanner::new(Documents::Plain)));
                    for slice in payload.chunks(SLICE) {
                        scanner.feed(envelope, draft, slice);
                        unwrapped(inner, rules.document, draft);
                    }
                }
            },
            event_stream::Part::End(sound) => {
                scanner.finish(rules.envelope.unwrap_or(rules.document), draft, Ended::Malformed);
                if let Some(inner) = inner {
                    draft.nested.finish();
                    unwrapped(inner, rules.document, draft);
                    inner.finish(rules.document, draft, Ended::Malformed);
                }
                if !sound {
                    draft.report(Trouble::Framing);
                }
            }
            event_stream::Part::Broken => draft.report(Trouble::Framing),
        });
    }
}

/// A field of a form that means what the member of that name means in JSON.
fn field(draft: &mut Draft, name: &str, value: &str) {
    match name {
        "model" => draft.request_model(Scalar::Text(value)),
        "stream" => draft.request_stream(Scalar::Bool(value.eq_ignore_ascii_case("true"))),
        _ => {}
    }
}

/// Reads what has been taken out of the envelope so far.
fn unwrapped(inner: &mut Scanner, program: &Program<Draft>, draft: &mut Draft) {
    let bytes = draft.nested.take();
    inner.feed(program, draft, &bytes);
    draft.nested.reuse(bytes);
}
