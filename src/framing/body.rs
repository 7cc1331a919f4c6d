//! The reader of one request's or response's body.

use super::encoding::Decoder;
use super::event_stream::FramePart;
use super::format::{BodyFormat, is_json_lines, media_type};
use super::sse::SsePart;
use crate::budget::Share;
use crate::draft::Draft;
use crate::json::{Documents, Ended, Program, Scalar, Scanner};
use crate::observation::ParseError;
use memchr::memchr;

/// The data of the event that ends a stream in OpenAI's format. It is not a JSON document.
const DONE: &[u8] = b"[DONE]";

/// Most bytes of an envelope that are decoded before the nested document is read. It bounds the memory for decoded
/// bytes.
const ENVELOPE_PIECE: usize = 1024;

/// The rules for the documents of a body.
#[derive(Clone, Copy)]
pub struct Rules<'p> {
    /// Rules for the documents.
    pub document: &'p Program<Draft>,
    /// Rules for the JSON object around the documents of an AWS event stream, if each frame's payload has one (Amazon
    /// Bedrock's InvokeModelWithResponseStream). They pass the base64 text of the document to [`Draft::nested`].
    pub envelope: Option<&'p Program<Draft>>,
}

/// Reads a body, which may arrive in pieces of any size.
pub struct Body {
    format: BodyFormat,
    /// Reads documents, or envelopes if [`Rules::envelope`] is set.
    scanner: Scanner,
    /// Reads the documents in envelopes. Created with the first one.
    nested_scanner: Option<Box<Scanner>>,
    /// Number of bytes of [`DONE`] that the data of the current event began with.
    done_length: usize,
    /// True if the data of the current event goes to the scanner.
    is_in_data: bool,
    /// True if the scanner reads a document that is not in a field of an event.
    is_in_bare_document: bool,
    may_be_events: bool,
    expects_json: bool,
    streams: bool,
    is_empty: bool,
    is_abandoned: bool,
    decoder: Option<Decoder>,
}

impl Body {
    /// Maximum memory of the reader of a body, in bytes, without its decoder and the reader of documents in envelopes.
    pub const BOUND: usize = size_of::<Body>() + Scanner::BOUND + BodyFormat::BOUND;
    /// Maximum memory of the reader of documents in envelopes, in bytes.
    pub const ENVELOPE_BOUND: usize = size_of::<Scanner>() + Scanner::BOUND + 2 * ENVELOPE_PIECE;

    /// Creates the reader of a request's body. Returns None if the content encoding is not supported. A request's body
    /// is never read as server-sent events. `share` is the decoder's part of the memory budget.
    pub fn request(content_type: &str, encoding: &str, share: Share) -> Option<Self> {
        let body = Body::response(content_type, encoding, false, share)?;
        let format = if let BodyFormat::Form(_) = body.format { body.format } else { BodyFormat::Undecided };
        Some(Body { format, streams: false, may_be_events: false, ..body })
    }

    /// Creates the reader of a response's body. Returns None if the content encoding is not supported. `elements` is
    /// true if the request asked for a stream that may come as one JSON array. `share` is the decoder's part of the
    /// memory budget.
    pub fn response(content_type: &str, encoding: &str, elements: bool, share: Share) -> Option<Self> {
        let encoding = encoding.trim();
        let decoder = Decoder::new(encoding, share);
        if decoder.is_none() && !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            return None;
        }
        let media_type = media_type(content_type);
        let has_lines = is_json_lines(media_type);
        let format = BodyFormat::from_content_type(content_type);
        let documents = match (elements, has_lines) {
            (true, _) => Documents::Elements,
            (_, true) => Documents::Lines,
            _ => Documents::Plain,
        };
        Some(Body {
            streams: has_lines || elements || matches!(format, BodyFormat::Events(_) | BodyFormat::Frames(_)),
            format,
            scanner: Scanner::new(documents),
            nested_scanner: None,
            done_length: 0,
            is_in_data: false,
            is_in_bare_document: false,
            may_be_events: true,
            expects_json: media_type.ends_with("json"),
            is_empty: true,
            is_abandoned: false,
            decoder,
        })
    }

    /// Creates the reader of a sequence of messages, each of which is a JSON document. `share` is a part of the memory budget.
    pub fn messages(share: Share) -> Option<Self> {
        Some(Body { streams: true, may_be_events: false, expects_json: true, ..Body::response("", "", false, share)? })
    }

    /// Ends a message. The next one is read whatever this one was.
    pub fn end_message(&mut self, rules: Rules<'_>, draft: &mut Draft) {
        self.scanner.finish(rules.document, draft, Ended::Malformed);
        self.format = BodyFormat::Undecided;
    }

    /// Creates the reader of a response's body that may have one result of a batch per line. Returns None if the content encoding is
    /// not supported. `share` is the decoder's part of the memory budget.
    pub fn results(encoding: &str, share: Share) -> Option<Self> {
        let body = Body::response("", encoding, false, share)?;
        Some(Body { format: BodyFormat::Results, scanner: Scanner::new(Documents::Lines), ..body })
    }

    /// Returns true if nothing but blanks was read.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Returns true if the rest of the body is not read because it cannot be decoded. It is unknown then whether the
    /// body is complete.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// Returns true if the decoder delays its output, so that the time of a document cannot be measured.
    pub fn has_delayed_output(&self) -> bool {
        self.decoder.as_ref().is_some_and(Decoder::has_delayed_output)
    }

    /// Returns true if the decoder has more output for a call of [`Body::feed`] without bytes.
    pub fn has_pending_output(&self) -> bool {
        self.decoder.as_ref().is_some_and(Decoder::has_pending_output)
    }

    /// Returns true if the body is a stream of documents that the server sends one by one.
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// Reads the next bytes of the body. One call does a bounded amount of work. A call without bytes reads the pending
    /// output of the decoder.
    pub fn feed(&mut self, rules: Rules<'_>, draft: &mut Draft, bytes: &[u8]) {
        if matches!(self.format, BodyFormat::Opaque) {
            self.is_empty &= bytes.is_empty();
            return;
        }
        self.scanner.allow_documents();
        if let Some(nested) = &mut self.nested_scanner {
            nested.allow_documents();
        }
        let Some(mut decoder) = self.decoder.take() else { return self.read(rules, draft, bytes) };
        // The decoder is dropped if nothing more is read, which releases its memory.
        match decoder.feed(bytes, |piece| self.read(rules, draft, piece)) {
            Ok(()) if matches!(self.format, BodyFormat::Opaque) => {}
            Ok(()) => self.decoder = Some(decoder),
            Err(_) => self.abandon(draft),
        }
    }

    /// Ends the body. Returns true if it ended between documents.
    pub fn finish(&mut self, rules: Rules<'_>, draft: &mut Draft) -> bool {
        if self.decoder.take().is_some_and(|decoder| decoder.has_pending_output()) {
            self.abandon(draft);
        }
        if let BodyFormat::Form(form) = &mut self.format {
            form.finish(|name, value| apply_field(draft, name, value));
        }
        let has_open_frame = matches!(&self.format, BodyFormat::Frames(frames) if frames.is_open());
        let nested = self.nested_scanner.as_mut();
        let is_nested_whole = nested.is_none_or(|nested| nested.finish(rules.document, draft, Ended::Cut));
        let is_whole = self.scanner.finish(rules.envelope.unwrap_or(rules.document), draft, Ended::Cut);
        is_whole && is_nested_whole && !has_open_frame
    }

    /// Stops reading a body that cannot be decoded.
    fn abandon(&mut self, draft: &mut Draft) {
        draft.report(ParseError::Encoding);
        self.format = BodyFormat::Opaque;
        self.is_abandoned = true;
    }

    /// Reads decoded bytes.
    fn read(&mut self, rules: Rules<'_>, draft: &mut Draft, bytes: &[u8]) {
        let mut bytes = bytes;
        if matches!(self.format, BodyFormat::Undecided) {
            // Skips blanks and the bytes of a byte order mark, which may arrive in pieces.
            let is_blank = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
            let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
            bytes = bytes.get(start..).unwrap_or_default();
            if let Some(first) = bytes.first() {
                self.decide_format(*first, draft);
            }
        }
        self.is_empty &= bytes.is_empty();
        match &mut self.format {
            BodyFormat::Json => self.scanner.feed(rules.document, draft, bytes),
            BodyFormat::Events(_) => self.read_events(rules.document, draft, bytes),
            BodyFormat::Frames(_) => self.read_frames(rules, draft, bytes),
            BodyFormat::Results => self.read_results(rules.document, draft, bytes),
            BodyFormat::Form(form) => form.feed(bytes, |name, value| apply_field(draft, name, value)),
            BodyFormat::Undecided | BodyFormat::Opaque => {}
        }
    }

    fn decide_format(&mut self, first: u8, draft: &mut Draft) {
        self.format = BodyFormat::from_first_byte(first, self.may_be_events);
        match self.format {
            BodyFormat::Events(_) => self.streams = true,
            BodyFormat::Opaque if self.expects_json => draft.report(ParseError::Json),
            _ => {}
        }
    }

    /// Reads server-sent events.
    fn read_events(&mut self, program: &Program<Draft>, draft: &mut Draft, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.is_in_bare_document {
                let Some(rest) = self.scanner.feed_one(program, draft, bytes) else { return };
                self.is_in_bare_document = false;
                bytes = rest;
                continue;
            }
            let BodyFormat::Events(sse) = &mut self.format else { return };
            let (part, rest) = sse.next(bytes);
            bytes = rest;
            match part {
                Some(SsePart::Data(data)) => self.read_event_data(program, draft, data),
                Some(SsePart::End) => {
                    self.scanner.finish(program, draft, Ended::Malformed);
                    draft.event_ended();
                    self.is_in_data = false;
                    self.done_length = 0;
                }
                Some(SsePart::BareDocument) => self.is_in_bare_document = true,
                Some(SsePart::Name(name)) => draft.event_name(name),
                None => {}
            }
        }
    }

    /// Reads bytes of an event's data: a document or [`DONE`].
    fn read_event_data(&mut self, program: &Program<Draft>, draft: &mut Draft, data: &[u8]) {
        if !self.is_in_data {
            let expected = DONE.get(self.done_length..).unwrap_or_default();
            let same = expected.iter().zip(data).take_while(|(a, b)| a == b).count();
            if same == data.len() || same == expected.len() {
                self.done_length += same;
                if self.done_length == DONE.len() {
                    draft.end_stream();
                    self.format = BodyFormat::Opaque;
                }
                return;
            }
            self.is_in_data = true;
            if self.done_length > 0 {
                // The data began like `[DONE]`, but it is a document.
                self.scanner.feed(program, draft, DONE.get(..self.done_length).unwrap_or_default());
            } else {
                return self.scanner.feed_document(program, draft, data);
            }
        }
        self.scanner.feed(program, draft, data);
    }

    /// Reads lines with the results of a batch. Other files are not read on.
    fn read_results(&mut self, program: &Program<Draft>, draft: &mut Draft, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = memchr(b'\n', bytes).map(|at| at + 1);
            let (part, rest) = bytes.split_at_checked(end.unwrap_or(bytes.len())).unwrap_or_default();
            let is_read = draft.reads_line();
            if is_read {
                self.scanner.feed(program, draft, part);
            }
            draft.line_passed(part.len());
            if end.is_some() {
                if is_read {
                    self.scanner.finish(program, draft, Ended::Malformed);
                }
                if !draft.line_ended() {
                    self.format = BodyFormat::Opaque;
                    return;
                }
            }
            bytes = rest;
        }
    }

    /// Reads the frames of an AWS event stream.
    fn read_frames(&mut self, rules: Rules<'_>, draft: &mut Draft, bytes: &[u8]) {
        let Body { format: BodyFormat::Frames(frames), scanner, nested_scanner, .. } = self else { return };
        frames.feed(bytes, |part| match part {
            FramePart::Exception(name) => {
                draft.failed();
                draft.set_outer_error(Some(name));
            }
            FramePart::Payload(payload) => match rules.envelope {
                None => scanner.feed(rules.document, draft, payload),
                Some(envelope) => {
                    let nested = nested_scanner.get_or_insert_with(|| Box::new(Scanner::new(Documents::Plain)));
                    for piece in payload.chunks(ENVELOPE_PIECE) {
                        scanner.feed(envelope, draft, piece);
                        read_nested(nested, rules.document, draft);
                    }
                }
            },
            FramePart::End { is_valid } => {
                scanner.finish(rules.envelope.unwrap_or(rules.document), draft, Ended::Malformed);
                if let Some(nested) = nested_scanner {
                    draft.nested.finish();
                    read_nested(nested, rules.document, draft);
                    nested.finish(rules.document, draft, Ended::Malformed);
                }
                if !is_valid {
                    draft.report(ParseError::Framing);
                }
            }
            FramePart::Malformed => draft.report(ParseError::Framing),
        });
    }
}

/// Applies a field of a form. It means the same as the JSON member of that name.
fn apply_field(draft: &mut Draft, name: &str, value: &str) {
    match name {
        "model" => draft.request_model(Scalar::Text(value)),
        "stream" => draft.request_stream(Scalar::Bool(value.eq_ignore_ascii_case("true"))),
        _ => {}
    }
}

/// Reads the bytes of a nested document that were decoded so far.
fn read_nested(scanner: &mut Scanner, program: &Program<Draft>, draft: &mut Draft) {
    let bytes = draft.nested.take_decoded();
    scanner.feed(program, draft, &bytes);
    draft.nested.reuse_buffer(bytes);
}
