//! The events of a stream repeat themselves: from one to the next only the text and a few counters change. What stands before
//! and behind the text is compared with the event before, and where it is the same, not read again. So it must say nothing new:
//! no other document may have begun in between, and no word of it be replaced since.
//!
//! Bound: [`LONGEST`] bytes of one event's beginning with its name, and a [`Tail`]. Measured natively: the compare is a tenth of
//! the reading it saves.

use crate::draft::{Draft, Open, Word};
use crate::json::{Place, Program, Scanner, Tail, behind, line};

/// Longest beginning kept, in bytes.
const LONGEST: usize = 384;
/// After so many events in a row that begin otherwise, no more beginnings are kept; the same for ends.
const PATIENCE: u8 = 16;

/// The beginning of an event and what it came to.
#[derive(Default)]
pub struct Repeat {
    /// The event's fields up to the text of its data, as nearly everybody writes them.
    head: Vec<u8>,
    /// Where in that the data begins.
    data: usize,
    known: Option<Box<Known>>,
    /// [`Draft::turns`] since then.
    turns: u32,
    misses: u8,
    tail: Option<Tail<Draft>>,
    tail_misses: u8,
}

/// What a beginning came to.
struct Known {
    event: Word,
    place: Place,
    open: Open,
}

impl Repeat {
    /// Most bytes it holds beside itself.
    pub const BOUND: usize = LONGEST + size_of::<Word>() + 16 + size_of::<Known>() + Tail::<Draft>::BOUND;

    /// Reads an event that differs from the last one in its text only, where all of it came; returns what follows it.
    /// Begins where an event does.
    pub fn event<'b>(
        &mut self,
        scanner: &mut Scanner,
        program: &Program<Draft>,
        draft: &mut Draft,
        bytes: &'b [u8],
    ) -> Option<&'b [u8]> {
        let (known, tail) = self.known.as_deref().zip(self.tail.as_ref())?;
        if self.turns != draft.turns || !scanner.is_idle() {
            return None;
        }
        let (text, end) = line(behind(&self.head, bytes)?)?;
        let rest = tail.behind(end)?.strip_prefix(b"\n\n")?;
        if !known.event.as_str().is_empty() {
            draft.event = known.event;
        }
        scanner.begin_at(program, draft, &known.place, |draft| draft.reopen(&known.open));
        self.turns = draft.turns;
        scanner.feed_text(program, draft, text);
        scanner.end_with(program, draft, tail, end);
        draft.event.clear();
        self.misses = 0;
        self.tail_misses = 0;
        Some(rest)
    }

    /// Reads the start of an event's data; returns what is left to read.
    pub fn start<'b>(
        &mut self,
        scanner: &mut Scanner,
        program: &Program<Draft>,
        draft: &mut Draft,
        data: &'b [u8],
    ) -> &'b [u8] {
        if let Some(known) = &self.known
            && self.turns == draft.turns
            && let Some(rest) = behind(self.head.get(self.data..).unwrap_or_default(), data)
        {
            self.misses = 0;
            scanner.begin_at(program, draft, &known.place, |draft| draft.reopen(&known.open));
            self.turns = draft.turns;
            let rest = scanner.feed_text(program, draft, rest);
            return self.end(scanner, program, draft, rest);
        }
        if self.misses >= PATIENCE || !scanner.is_idle() {
            return data;
        }
        self.misses += 1;
        self.known = None;
        self.tail = None;
        let before = draft.turns;
        let Some(rest) = scanner.feed_to_text(program, draft, data) else { return &[] };
        let begin = data.get(..data.len() - rest.len()).unwrap_or_default();
        self.turns = draft.turns;
        if begin.len() <= LONGEST
            && self.turns == before.wrapping_add(1)
            && let Some(open) = draft.open.repeatable()
        {
            self.head.clear();
            if !draft.event.as_str().is_empty() {
                self.head.extend([b"event: ", draft.event.as_str().as_bytes(), b"\n"].concat());
            }
            self.head.extend_from_slice(b"data: ");
            self.data = self.head.len();
            self.head.extend_from_slice(begin);
            self.known = Some(Box::new(Known { event: draft.event, place: scanner.place(), open }));
        }
        rest
    }

    /// Reads the end of an event that began like the one before; returns what is left to read.
    fn end<'b>(
        &mut self,
        scanner: &mut Scanner,
        program: &Program<Draft>,
        draft: &mut Draft,
        rest: &'b [u8],
    ) -> &'b [u8] {
        if !scanner.is_behind_value() {
            return rest;
        }
        if let Some(tail) = self.tail.as_ref().filter(|tail| tail.behind(rest).is_some_and(<[u8]>::is_empty)) {
            scanner.end_with(program, draft, tail, rest);
            self.tail_misses = 0;
            return &[];
        }
        if self.tail_misses < PATIENCE {
            self.tail_misses += 1;
            self.tail = scanner.tail(program, rest).or(self.tail.take());
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use crate::config::Config;
    use crate::exchange::{End, Exchange, Head, Observer};

    /// The model that a stream of chat completions says last.
    fn model(stream: &str) -> String {
        let observer = Rc::new(Observer::new(Config::parse("").unwrap()));
        let head = [(&b":method"[..], &b"POST"[..]), (b":authority", b"llm"), (b":path", b"/v1/chat/completions")];
        let mut exchange = Exchange::start(&observer, Head(&head), 0).unwrap();
        exchange.request_end(0);
        exchange.response(Head(&[(b":status", b"200"), (b"content-type", b"text/event-stream")]), 0);
        exchange.response_body(stream.as_bytes(), 0);
        exchange.finish(End::Whole, 0);
        exchange.observation().response.model.as_deref().unwrap_or_default().to_owned()
    }

    /// An event's data.
    fn chunk(model: &str) -> String {
        format!(r#"{{"model":"{model}","choices":[{{"delta":{{"content":"x"}}}}]}}"#)
    }

    #[test]
    fn an_event_like_one_of_some_time_ago_is_read_again() {
        for others in 0..40 {
            let mut stream: String = (0..others).map(|n| format!("data: {}\n\n", chunk(&n.to_string()))).collect();
            for name in ["first", "second", "first"] {
                stream += &format!("data: {}\n\n", chunk(name));
            }
            assert_eq!(model(&stream), "first", "after {others} others");
        }
    }

    #[test]
    fn what_stands_between_two_equal_events_is_not_lost() {
        let (first, second) = (chunk("first"), chunk("second"));
        for between in [
            format!("data: {second}\n\n"),
            format!("data: {first}{second}\n\n"),
            format!("data: {first}\ndata: {second}\n\n"),
            format!("data: {first}\ndata: {{\"model\":\"second\"\n\n"),
            "data: {\"model\":\"second\",}\n\n".to_owned(),
            format!("{second}\n"),
            r#"data: {"model":"first","choices":[{"delta":{"content":"x"}}],"model":"second"}"#.to_owned() + "\n\n",
        ] {
            let stream = format!("data: {first}\n\ndata: {first}\n\n{between}");
            let last = model(&stream);
            assert!(["first", "second"].contains(&last.as_str()), "{stream}");
            assert_eq!(model(&format!("{stream}data: {first}\n\n")), "first", "{stream}");
        }
    }
}
