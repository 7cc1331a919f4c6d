//! Reads the response: head and body.

use super::{End, Exchange, ExchangePhase, Head, readable};
use crate::budget::{Share, Side};
use crate::draft::{BLOCK, ResultLines};
use crate::framing::Body;
use crate::observation::ChunkGaps;
use crate::provider::{self, Results};

impl Exchange {
    /// No provider gave the answer: neither its head nor its body is read, and it has no usage and no cost.
    pub fn answered_locally(&mut self) {
        self.is_local = true;
    }

    /// Reads the head of the response. Ends the request.
    pub fn response(&mut self, head: Head<'_>, now: u64) {
        if matches!(self.phase, ExchangePhase::Ended) {
            return;
        }
        self.request_end(now);
        let status = head.text(":status").parse().ok();
        self.draft.observation.response.status = status;
        self.draft.begin_response();
        if self.is_local {
            self.phase = ExchangePhase::Response { body: None, is_error: true };
            return;
        }
        provider::headers::response(head, &mut self.draft);
        let is_error = status.is_some_and(|s| s >= 400);
        if is_error {
            self.draft.failed();
        }
        match self.api.results {
            Results::Lines => {
                let body = self.results_body(head, status).map(Box::new);
                self.phase = ExchangePhase::Response { body, is_error };
                return;
            }
            Results::List => self.read_results(ResultLines::of(0..1)),
            Results::None => {}
        }
        let share = Share::new(&self.observer.budget, Side::Response, self.address);
        let (content_type, encoding) = (head.text("content-type"), head.whole("content-encoding"));
        let body = Body::response(content_type, encoding, self.path_asks_for_stream, share);
        self.phase = ExchangePhase::Response { body: readable(&mut self.draft, body), is_error };
    }

    /// Reads bytes of the response's body. A call without bytes reads what a decoder has kept.
    pub fn response_body(&mut self, bytes: &[u8], now: u64) {
        let ExchangePhase::Response { body: Some(body), is_error } = &mut self.phase else { return };
        let Some(programs) = self.observer.programs.get(self.endpoint) else { return };
        if bytes.is_empty() && !body.has_pending_output() {
            return;
        }
        self.draft.now = now;
        let had_token = self.draft.observation.timing.first_token.is_some();
        self.draft.answer.set_stream(body.streams() && !*is_error);
        body.feed(programs.response_rules(), &mut self.draft, bytes);
        // The first bytes may show that the body is a stream.
        let is_stream = body.streams() && !*is_error;
        self.draft.answer.set_stream(is_stream);
        let timing = &mut self.draft.observation.timing;
        if is_stream {
            timing.first_chunk.get_or_insert(now);
            self.changes.first_token |= !had_token && timing.first_token.is_some();
        }
        if !is_stream || body.has_delayed_output() {
            timing.first_token = None;
        }
        if is_stream && !bytes.is_empty() && !self.fetches() {
            self.note_chunk(now);
        }
        self.update_usage();
        self.changes.asks =
            !self.run.calls_are_taken && self.is_answered() && !self.draft.observation.output.tools.is_empty();
        // Clients may disconnect after this event. Attributes that are written later would not be in Envoy's span.
        if self.draft.answer.has_ended() {
            self.finish(End::Whole, now);
        }
    }

    /// A chunk of a stream arrived.
    fn note_chunk(&mut self, now: u64) {
        if let Some(gaps) = &mut self.draft.observation.timing.gaps {
            gaps.chunk(now);
        } else if self.draft.keeps(size_of::<ChunkGaps>() + BLOCK) {
            self.draft.observation.timing.gaps = Some(Box::new(ChunkGaps::new(now)));
        }
        match &self.stream {
            Some(stream) => stream.chunk(now),
            None => self.watch(now),
        }
    }

    /// Watches the stream for stalls, if there is room and the bodies show that this is LLM traffic.
    fn watch(&mut self, now: u64) {
        let Some(Ok(mut streams)) = self.observer.streams.as_ref().map(|streams| streams.try_borrow_mut()) else {
            return;
        };
        if self.is_recognised() {
            let patience = self.observer.config.streams.stalled_after.saturating_mul(1_000_000_000);
            self.stream = streams.watch(&self.draft.observation, self.another_share(), patience, now);
        }
    }
}
