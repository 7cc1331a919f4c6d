//! The reader of a body of MCP: JSON, or server-sent events with JSON.

use super::head::blanks;
use super::message::RpcMessages;
use crate::budget::Share;
use crate::framing::{Decoder, Sse, SsePart};
use crate::json::{Documents, Ended, Program, Scanner};

/// Reads a body, which may arrive in pieces of any size.
pub(super) struct RpcBody {
    scanner: Scanner,
    /// None if the body is JSON.
    events: Option<Sse>,
    /// True if the scanner reads a document that is not in a field of an event.
    is_in_bare_document: bool,
    decoder: Option<Decoder>,
    /// True until the first byte of a body of JSON that is not blank.
    is_blank: bool,
}

impl RpcBody {
    /// Maximum memory on the heap, in bytes, without the decoder.
    pub const BOUND: usize = Scanner::BOUND + size_of::<RpcBody>();

    /// Returns None if the content encoding is not supported. `share` is the decoder's part of the memory budget.
    pub fn new(has_events: bool, encoding: &str, share: Share) -> Option<Self> {
        let encoding = encoding.trim();
        let decoder = Decoder::new(encoding, share);
        if decoder.is_none() && !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            return None;
        }
        let events = has_events.then(Sse::new);
        Some(RpcBody {
            scanner: Scanner::new(Documents::Plain),
            events,
            is_in_bare_document: false,
            decoder,
            is_blank: true,
        })
    }

    /// Reads the next bytes. Returns false if the body cannot be decoded.
    pub fn feed(&mut self, program: &Program<RpcMessages>, messages: &mut RpcMessages, bytes: &[u8]) -> bool {
        self.scanner.allow_documents();
        let Some(mut decoder) = self.decoder.take() else {
            self.read(program, messages, bytes);
            return true;
        };
        let is_decoded = decoder.feed(bytes, |piece| self.read(program, messages, piece)).is_ok();
        self.decoder = Some(decoder);
        is_decoded
    }

    /// The body has ended.
    pub fn finish(&mut self, program: &Program<RpcMessages>, messages: &mut RpcMessages) {
        self.scanner.finish(program, messages, Ended::Cut);
    }

    fn read(&mut self, program: &Program<RpcMessages>, messages: &mut RpcMessages, mut bytes: &[u8]) {
        let Some(events) = &mut self.events else {
            if self.is_blank {
                bytes = bytes.get(blanks(bytes)..).unwrap_or_default();
                self.is_blank = bytes.is_empty();
            }
            return self.scanner.feed(program, messages, bytes);
        };
        while !bytes.is_empty() {
            if self.is_in_bare_document {
                let Some(rest) = self.scanner.feed_one(program, messages, bytes) else { return };
                self.is_in_bare_document = false;
                bytes = rest;
                continue;
            }
            let (part, rest) = events.next(bytes);
            bytes = rest;
            match part {
                Some(SsePart::Data(data)) => self.scanner.feed(program, messages, data),
                Some(SsePart::End) => _ = self.scanner.finish(program, messages, Ended::Malformed),
                Some(SsePart::BareDocument) => self.is_in_bare_document = true,
                Some(SsePart::Name(_)) | None => {}
            }
        }
    }
}
