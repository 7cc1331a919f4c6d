//! The events of a stream repeat themselves: from one to the next only the text and a few counters change. What stands before
//! and behind the text is compared with the event before, and where it is the same, not read again. So it must say nothing new:
//! no other document may have begun in between, and no word of it be replaced since. Where such an event has shown that it
//! does nothing but add its text, those after it are not followed through the rules any more.
//!
//! Bound: [`LONGEST`] bytes of one event's beginning with its name, and a [`Tail`]. Measured in V8, for an event of 200 bytes: 45 ns,
//! where reading it through takes 250.

use crate::draft::{Draft, Open};
use crate::json::{Place, Program, Scanner, Tail, behind, line, unescaped};

/// Longest beginning kept, in bytes.
const LONGEST: usize = 384;
/// After so many events in a row that begin otherwise, no more beginnings are kept; the same for ends.
const PATIENCE: u8 = 16;
/// So many events in a row are followed through the rules before one is looked at for what it does, and so often.
const TRIALS: u8 = 4;

/// The beginning of an event and what it came to.
#[derive(Default)]
pub struct Repeat {
    /// The event's fields up to the text of its data, as nearly everybody writes them.
    head: Vec<u8>,
    /// Where in that the name begins and ends, where there is one, and where the data begins.
    name: (u16, u16),
    data: u16,
    known: Option<Box<(Place, Open)>>,
    /// [`Draft::turns`] since then.
    turns: u32,
    misses: u8,
    tail: Option<Tail<Draft>>,
    tail_misses: u8,
    effect: Effect,
}

/// What an event like the last one does.
#[derive(Clone, Copy)]
enum Effect {
    /// That is not known, after so many of them.
    Unknown(u8),
    /// Nothing, but that its text may belong to the answer.
    Text(bool),
}

impl Default for Effect {
    fn default() -> Self {
        Effect::Unknown(0)
    }
}

impl Repeat {
    /// Most bytes it holds beside itself.
    pub const BOUND: usize = LONGEST + size_of::<(Place, Open)>() + Tail::<Draft>::BOUND;

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
        if let Effect::Text(answers) = self.effect {
            if answers {
                unescaped(text, |piece| draft.answer.push(piece));
            }
            draft.documents = draft.documents.saturating_add(1);
            return Some(rest);
        }
        let before = self.effect.is_due(text).then(|| (draft.heard(), draft.answer.length()));

        let name = self.head.get(self.name.0.into()..self.name.1.into()).unwrap_or_default();
        draft.event.push(name);
        let (place, open) = known;
        scanner.begin_at(program, draft, place, |draft| draft.reopen(open));
        self.turns = draft.turns;
        scanner.feed_text(program, draft, text);
        scanner.end_with(program, draft, tail, end);
        draft.event.clear();
        self.misses = 0;
        self.tail_misses = 0;

        self.effect = match (before, self.effect) {
            (Some((heard, length)), _) if self.turns == draft.turns && heard == draft.heard() => {
                match draft.answer.length() - length {
                    0 => Effect::Text(false),
                    added if added == text.len() as u64 - 1 => Effect::Text(true),
                    _ => Effect::Unknown(u8::MAX),
                }
            }
            (_, Effect::Unknown(count)) => Effect::Unknown(count.saturating_add(1)),
            (_, known) => known,
        };
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
            && let Some(rest) = behind(self.head.get(self.data.into()..).unwrap_or_default(), data)
        {
            let (place, open) = &**known;
            self.misses = 0;
            scanner.begin_at(program, draft, place, |draft| draft.reopen(open));
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
        if begin.len() + draft.event.as_str().len() + FIELDS <= LONGEST
            && self.turns == before.wrapping_add(1)
            && let Some(open) = draft.open.repeatable()
        {
            self.learn(draft.event.as_str().as_bytes(), begin);
            self.known = Some(Box::new((scanner.place(), open)));
        }
        rest
    }

    fn learn(&mut self, name: &[u8], begin: &[u8]) {
        self.head.clear();
        self.name = (0, 0);
        if !name.is_empty() {
            self.head.extend_from_slice(EVENT);
            self.head.extend_from_slice(name);
            self.name = (EVENT.len() as u16, self.head.len() as u16);
            self.head.push(b'\n');
        }
        self.head.extend_from_slice(DATA);
        self.data = self.head.len() as u16;
        self.head.extend_from_slice(begin);
        self.effect = Effect::default();
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
            if let Some(tail) = scanner.tail(program, rest) {
                self.tail = Some(tail);
                self.effect = Effect::default();
            }
        }
        rest
    }
}

/// How an event's fields begin.
const EVENT: &[u8] = b"event: ";
const DATA: &[u8] = b"data: ";
const FIELDS: usize = EVENT.len() + 1 + DATA.len();

impl Effect {
    /// Whether an event with this text can show what it does, and is to: not the first few, and the last few in vain.
    fn is_due(self, text: &[u8]) -> bool {
        let due = matches!(self, Effect::Unknown(count) if (TRIALS..2 * TRIALS).contains(&count));
        due && text.len() > 1 && !text.contains(&b'\\')
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::TRIALS;
    use crate::config::Config;
    use crate::exchange::{End, Exchange, Head, Observer};
    use crate::observation::Observation;

    /// What a stream comes to, read in pieces of so many bytes.
    fn read(path: &str, stream: &str, size: usize) -> Observation {
        let observer = Rc::new(Observer::new(Config::parse("").unwrap()));
        let head = [(&b":method"[..], &b"POST"[..]), (b":authority", b"llm"), (b":path", path.as_bytes())];
        let mut exchange = Exchange::start(&observer, Head(&head), 0).unwrap();
        exchange.request_end(0);
        exchange.response(Head(&[(b":status", b"200"), (b"content-type", b"text/event-stream")]), 0);
        stream.as_bytes().chunks(size).for_each(|piece| exchange.response_body(piece, 0));
        exchange.finish(End::Whole, 0);
        exchange.observation().clone()
    }

    /// The model that a stream of chat completions says last.
    fn model(stream: &str) -> String {
        read("/v1/chat/completions", stream, stream.len()).response.model.as_deref().unwrap_or_default().to_owned()
    }

    #[test]
    fn after_any_number_of_equal_events_another_is_read_as_if_it_were_the_first() {
        let chat = |inside: &str| format!(r#"data: {{"id":"c","model":"m","choices":[{inside}]}}"#) + "\n\n";
        let delta = |delta: &str| chat(&format!(r#"{{"index":0,"delta":{{{delta}}},"finish_reason":null}}"#));
        let text = |text: &str| delta(&format!(r#""content":"{text}""#));
        let others = [
            text(""),
            text(r#"a \"word\" and \ud83d\ude00 \\"#),
            text("not\nJSON"),
            text("same").replace("\n\n", "\n"),
            text("same").replace('\n', "\r\n"),
            text("same").replace("data: ", "data:"),
            text("same").replace("data: ", "event: error\ndata: "),
            text("same").replace("null", r#""stop""#),
            text("same").replace(r#""index":0"#, r#""index":1"#),
            text("same").replace(r#""m""#, r#""n""#),
            delta(r#""reasoning_content":"hm""#),
            delta(r#""refusal":"no""#),
            delta(r#""tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]"#),
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n".to_owned(),
            ": a comment\n\n".to_owned(),
            "data: {\"error\":{\"code\":\"overloaded\"}}\n\n".to_owned(),
        ];
        check("/v1/chat/completions", &[text("same"), text(r"as\nthe"), text("last")], &others);
        check("/v1/chat/completions", &[text("same").replace(r#""index":0"#, r#""index":1"#)], &others);
        check("/v1/chat/completions", &[delta(r#""reasoning_content":"hm""#)], &others);

        let event = |name: &str, inside: &str| {
            format!("event: {name}\ndata: ") + &format!(r#"{{"type":"{name}"{inside}}}"#) + "\n\n"
        };
        let block = |inside: &str| event("content_block_delta", &format!(r#","index":0,"delta":{{{inside}}}"#));
        let text = |text: &str| block(&format!(r#""type":"text_delta","text":"{text}""#));
        let tool = r#","index":1,"content_block":{"type":"tool_use","id":"t","name":"f"}"#;
        let others = [
            block(r#""type":"thinking_delta","thinking":"hm""#),
            event("content_block_start", tool),
            event("message_delta", r#","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}"#),
            event("error", r#","error":{"type":"overloaded_error"}"#),
            event("ping", ""),
            text("same").replace("event: content_block_delta\n", ""),
            text("same").replace("event: content_block_delta", "event: error"),
        ];
        check("/v1/messages", &[text("same"), text(r"\u00e9\\")], &others);
    }

    /// Byte by byte no event comes whole, so none is compared with another.
    fn check(path: &str, equal: &[String], others: &[String]) {
        for before in 0..=3 * TRIALS {
            for (at, other) in others.iter().enumerate() {
                let run = |count: u8| equal.iter().cycle().take(count.into()).map(String::as_str).collect::<String>();
                let next = others.get(at + 1).map_or("", String::as_str);
                let stream = [&run(before), other, &run(before / 2), next, &run(2)].concat();
                assert_eq!(read(path, &stream, stream.len()), read(path, &stream, 1), "{stream}");
            }
        }
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
