//! Synthetic sessions against a provider that caches prompts as the documents say: without an edit no loss is reported, and with one
//! planted edit its cause and its message are.

mod provider;
mod sessions;

use std::rc::Rc;

use gaugeway::config::Config;
use gaugeway::exchange::{End, Exchange, Head, Observer};
use gaugeway::observation::{CacheBreak, CacheBreakCause};
use gaugeway::signal::cache::{RECORD, Record, Records, WAYS};
use gaugeway::text::hash::Key;
use serde_json::{Value, json};

use provider::Provider;
use sessions::{Api, Edit, Session};

/// The plugin, and the calls that it remembers, all in one bucket.
pub struct World {
    observer: Rc<Observer>,
    pub bucket: Records,
}

/// A call, and what came of it.
pub struct Call<'a> {
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub request: &'a str,
    pub answer: &'a Value,
    /// When it begins, in seconds since 1970.
    pub at: u64,
}

impl World {
    pub fn new(config: &Value) -> Self {
        let observer = Observer::new(Config::parse(&config.to_string()).unwrap());
        World { observer: Rc::new(observer.sharing(Rc::new(Key::new(b"secret")))), bucket: Records::default() }
    }

    /// A world that remembers nothing yet, with the same plugin.
    fn another(&self) -> Self {
        World { observer: Rc::clone(&self.observer), bucket: Records::default() }
    }

    /// Passes a call whose request is cut after `cut` bytes, and returns the exchange before it is remembered.
    fn exchange(&mut self, call: &Call<'_>, cut: usize) -> Exchange {
        let mut head: Vec<(&[u8], &[u8])> = vec![(b":method", b"POST"), (b":path", call.path.as_bytes())];
        head.push((b"content-type", b"application/json"));
        head.extend(call.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let start = call.at * 1_000_000_000;
        let mut exchange = Exchange::start(&self.observer, Head(&head), start).unwrap();
        exchange.identify(Head(&head), || b"10.0.0.1".to_vec());
        let (first, rest) = call.request.as_bytes().split_at(cut.min(call.request.len()));
        exchange.request_body(first);
        exchange.request_body(rest);
        exchange.request_end(start);
        if let Some(key) = exchange.continued_conversation() {
            exchange.compare_with(key, &self.bucket);
        }
        exchange.response(Head(&[(b":status", b"200"), (b"content-type", b"application/json")]), start);
        exchange.response_body(call.answer.to_string().as_bytes(), start + 1);
        exchange.finish(End::Whole, start + 2);
        exchange
    }

    /// Passes a call and remembers it. Returns what the cache lost.
    pub fn pass(&mut self, call: &Call<'_>) -> Option<CacheBreak> {
        let mut exchange = self.exchange(call, usize::MAX);
        if let Some(call) = exchange.take_conversation() {
            for key in call.keys.into_iter().flatten() {
                self.bucket.put(Record { key, ..call.record.clone() }, call.continued);
            }
        }
        let bytes = self.bucket.bytes();
        assert!(bytes.len() <= 1 + WAYS * RECORD);
        self.bucket = Records::parse(&bytes);
        exchange.observation().cache_break.as_deref().copied()
    }
}

/// Runs a session. Returns the turn, from 1, and the cause and message of each loss.
fn run(
    session: &Session,
    edits: &[(usize, Edit)],
    pauses: &[(usize, u64)],
) -> Vec<(usize, CacheBreakCause, Option<u32>)> {
    thread_local! { static WORLD: World = World::new(&json!({})); }
    let (mut world, mut provider) = (WORLD.with(World::another), Provider::new(session.api));
    let (mut session, mut at, mut losses) = (session.clone(), 1_700_000_000, Vec::new());
    for turn in 1..=session.turns {
        at += pauses.iter().find(|(paused, _)| *paused == turn).map_or(20, |(_, seconds)| *seconds);
        edits.iter().filter(|(edited, _)| *edited == turn).for_each(|(_, edit)| session.edit(edit, turn));
        let (path, request) = session.request(turn);
        let answer = session.answer(turn, &provider.count(&session, turn, at));
        let headers = [("authorization", "Bearer sk-1")];
        let call = Call { path: &path, headers: &headers, request: &request.to_string(), answer: &answer, at };
        if let Some(found) = world.pass(&call) {
            assert!(found.lost_tokens > 0 && found.lost_tokens < 200_000);
            losses.push((turn, found.cause, found.message));
        }
    }
    losses
}

#[test]
fn a_session_without_an_edit_loses_nothing() {
    for api in Api::ALL {
        for turns in 6..=10 {
            assert_eq!(run(&Session::new(api, turns), &[], &[]), [], "{api:?} with {turns} turns");
        }
    }
}

#[test]
fn an_edit_before_the_messages_is_the_cause_in_the_turn_in_which_it_is_made() {
    use CacheBreakCause::{Model, Parameters, System, Tools};
    let edits = [
        (Edit::Model, Model),
        (Edit::Parameter, Parameters),
        (Edit::ToolDescription, Tools),
        (Edit::ToolSchema, Tools),
        (Edit::AddTool, Tools),
        (Edit::SwapTools, Tools),
        (Edit::System, System),
    ];
    for api in Api::ALL {
        for (edit, cause) in &edits {
            // After a first call that read nothing, a count that Gemini leaves out is unknown.
            for turn in 2 + usize::from(api == Api::Gemini)..=6 {
                let losses = run(&Session::new(api, 6), &[(turn, edit.clone())], &[]);
                assert_eq!(losses, [(turn, *cause, None)], "{api:?}, {edit:?} in turn {turn}");
            }
        }
    }
}

/// The first user message names the conversation, so another one begins a new conversation.
#[test]
fn an_edited_message_is_the_cause_with_its_number() {
    for api in Api::ALL.into_iter().filter(|api| *api != Api::ResponsesById) {
        for turn in 2..=7 {
            let session = Session::new(api, 7);
            for message in 2..=Session::messages_before(turn) {
                let losses = run(&session, &[(turn, Edit::Message(message))], &[]);
                let number = (message + api.messages_before_first()) as u32;
                let expected = [(turn, CacheBreakCause::Message, Some(number))];
                assert_eq!(losses, expected, "{api:?}, message {message} in turn {turn}");
            }
        }
    }
}

#[test]
fn a_trimmed_history_is_a_changed_message_at_the_first_one_that_is_missing() {
    for api in Api::ALL.into_iter().filter(|api| *api != Api::ResponsesById) {
        for turn in 4..=7 {
            let losses = run(&Session::new(api, 7), &[(turn, Edit::Trim)], &[]);
            let number = 2 + api.messages_before_first() as u32;
            assert_eq!(losses, [(turn, CacheBreakCause::Message, Some(number))], "{api:?} in turn {turn}");
        }
    }
}

#[test]
fn a_pause_longer_than_the_provider_keeps_the_prefix_is_the_cause() {
    for api in Api::ALL {
        for turn in 2..=6 {
            let found = run(&Session::new(api, 6), &[], &[(turn, 100_000)]);
            // For how long Gemini keeps a prefix is not documented.
            let cause = if api == Api::Gemini { CacheBreakCause::Unknown } else { CacheBreakCause::Expired };
            let expected = if api == Api::Gemini && turn == 2 { vec![] } else { vec![(turn, cause, None)] };
            assert_eq!(found, expected, "{api:?} in turn {turn}");
        }
    }
}

#[test]
fn a_prompt_below_the_minimum_is_the_cause_until_it_is_long_enough() {
    for api in [Api::Chat, Api::Responses, Api::ResponsesById, Api::Anthropic] {
        let losses = run(&Session::short(api), &[], &[]);
        assert!(!losses.is_empty(), "{api:?}");
        assert!(losses.iter().all(|(_, cause, _)| *cause == CacheBreakCause::BelowMinimum), "{api:?}: {losses:?}");
        assert!(losses.iter().all(|(turn, _, _)| *turn < 8), "{api:?}: {losses:?}");
    }
}

#[test]
fn a_cache_that_is_gone_for_no_reason_that_shows_is_of_unknown_cause() {
    for api in Api::ALL {
        let losses = run(&Session::new(api, 6), &[(4, Edit::Forget)], &[]);
        assert_eq!(losses, [(4, CacheBreakCause::Unknown, None)], "{api:?}");
    }
}

#[test]
fn two_branches_of_a_conversation_and_two_callers_do_not_meet() {
    let answer = |read: u64, input: u64| {
        json!({"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": input, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": read}}})
    };
    let message = |role: &str, text: &str| json!({"role": role, "content": text});
    let request = |texts: &[&str]| {
        let roles = ["user", "assistant"].into_iter().cycle();
        let messages: Vec<_> = roles.zip(texts).map(|(role, text)| message(role, text)).collect();
        json!({"model": "gpt-4o", "messages": messages}).to_string()
    };
    let (mut world, mut at) = (World::new(&json!({})), 100);
    let mut pass = |caller: &str, texts: &[&str], answer: &Value| {
        at += 1;
        let headers = [("authorization", caller)];
        world.pass(&Call { path: "/v1/chat/completions", headers: &headers, request: &request(texts), answer, at })
    };
    // Both branches go on in turn. Each reads what it has in the cache, which is less than what the other has.
    let (a, b) = (["1", "2", "a", "4", "a", "6", "a"], ["1", "2", "b", "4", "b", "6", "b"]);
    assert_eq!(pass("alice", &a[..1], &answer(0, 5120)), None);
    let (mut read_a, mut read_b) = (5120, 5120);
    for length in [3, 5, 7] {
        let (input_a, input_b) = (12_800 * length as u64, 6400 * length as u64);
        assert_eq!(pass("alice", &a[..length], &answer(read_a, input_a)), None, "{length}");
        assert_eq!(pass("alice", &b[..length], &answer(read_b, input_b)), None, "{length}");
        (read_a, read_b) = (input_a, input_b);
    }
    // A user goes back and writes something else.
    assert_eq!(pass("alice", &["1", "2", "c"], &answer(5120, 9000)), None);
    // Another caller with the same messages has no calls before.
    assert_eq!(pass("bob", &a, &answer(0, 20_000)), None);
    assert!(pass("bob", &a, &answer(0, 20_000)).is_some());
}

#[test]
fn the_hashes_of_a_request_do_not_depend_on_cuts() {
    for api in Api::ALL {
        let session = Session::tiny(api);
        let (path, request) = session.request(3);
        let (request, answer) = (request.to_string(), session.answer(3, &provider::Counts::default()));
        let call = Call { path: &path, headers: &[], request: &request, answer: &answer, at: 1 };
        let mut world = World::new(&json!({}));
        let mut record = |cut| world.exchange(&call, cut).take_conversation().unwrap().record;
        let whole = record(usize::MAX);
        for cut in 0..request.len() {
            assert_eq!(record(cut), whole, "{api:?} after {cut} bytes of {request}");
        }
    }
}

#[test]
fn marks_that_move_and_thoughts_that_are_dropped_change_nothing() {
    let block = |text: &str| json!({"type": "text", "text": text});
    let marked = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
    let tool = |is_marked: bool| match is_marked {
        true => json!({"name": "f", "input_schema": {}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        false => json!({"name": "f", "input_schema": {}}),
    };
    let request = |system: Value, tool: Value, messages: Value| json!({"model": "m", "system": system, "tools": [tool], "messages": messages});
    let pairs = [
        request(
            json!([marked("s")]),
            tool(true),
            json!([{"role": "user", "content": [marked("u")]}, {"role": "assistant", "content": [thought, block("a")]}]),
        ),
        request(
            json!("s"),
            tool(false),
            json!([{"role": "user", "content": "u"}, {"role": "assistant", "content": [block("a")]}]),
        ),
    ];
    let answer = json!({"usage": {"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": 0}});
    let records = pairs.map(|request| {
        let call = Call { path: "/v1/messages", headers: &[], request: &request.to_string(), answer: &answer, at: 1 };
        let record = World::new(&json!({})).exchange(&call, 0).take_conversation().unwrap().record;
        Record { is_marked: false, kept_for: 0, ..record }
    });
    assert_eq!(records[0], records[1]);
}

#[test]
fn a_hostile_request_is_remembered_in_the_same_memory() {
    let messages: Vec<_> =
        (0..100_000).map(|n| json!({"role": (["user", "assistant"])[n % 2], "content": format!("{n}")})).collect();
    let tools: Vec<_> = (0..20_000)
        .map(|n| json!({"type": "function", "function": {"name": format!("f{n}"), "description": "d".repeat(100)}}))
        .collect();
    let mut request = json!({"model": "gpt-4o", "tools": tools, "messages": messages});
    let answer = |read: u64| json!({"id": "c", "model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 900_000, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": read}}});
    let mut world = World::new(&json!({}));
    let mut pass = |request: &Value, read| {
        let (request, answer) = (request.to_string(), answer(read));
        world.pass(&Call { path: "/v1/chat/completions", headers: &[], request: &request, answer: &answer, at: 1 })
    };
    assert_eq!(pass(&request, 0), None);
    assert_eq!(pass(&request, 899_968), None);
    // A message of the window, and one before it.
    request["messages"][99_900]["content"] = json!("edited");
    let found = pass(&request, 1024).unwrap();
    assert_eq!((found.cause, found.message), (CacheBreakCause::Message, Some(99_901)));
    request["messages"][77]["content"] = json!("edited");
    let found = pass(&request, 1024).unwrap();
    assert_eq!((found.cause, found.message), (CacheBreakCause::Message, None));
}

#[test]
fn nothing_is_remembered_if_it_is_switched_off_or_without_counts_or_in_other_operations() {
    let answer = |usage: Value| json!({"id": "c", "model": "m", "choices": [], "usage": usage});
    let counted = json!({"prompt_tokens": 5000, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 0}});
    let request = json!({"model": "m", "input": "u", "messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}).to_string();
    let off = json!({"agent": {"conversations": 0}});
    for (config, path, usage, is_read, is_remembered) in [
        (&json!({}), "/v1/chat/completions", &counted, true, true),
        (&json!({}), "/v1/chat/completions", &json!({"prompt_tokens": 5000, "completion_tokens": 1}), true, false),
        (&json!({}), "/v1/embeddings", &counted, false, false),
        (&off, "/v1/chat/completions", &counted, false, false),
    ] {
        let answer = answer(usage.clone());
        let call = Call { path, headers: &[], request: &request, answer: &answer, at: 1 };
        let mut exchange = World::new(config).exchange(&call, 0);
        assert_eq!(exchange.continued_conversation().is_some(), is_read, "{path} {usage}");
        assert_eq!(exchange.take_conversation().is_some(), is_remembered, "{path} {usage}");
        assert!(exchange.take_conversation().is_none());
    }
}

#[test]
fn the_loss_in_money_is_the_difference_of_the_rates_of_the_call() {
    let mut world = World::new(&json!({"prices": {"ours": {"input": 3, "cached_input": 0.5, "output": 1}}}));
    let messages = json!([{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "v"}]);
    let answer = json!({"id": "c", "model": "ours", "choices": [], "usage": {"prompt_tokens": 10_000, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2000}}});
    let mut pass = |model: &str| {
        let request = json!({"model": model, "messages": messages}).to_string();
        world.pass(&Call { path: "/v1/chat/completions", headers: &[], request: &request, answer: &answer, at: 1 })
    };
    assert_eq!(pass("ours"), None);
    let expected =
        CacheBreak { cause: CacheBreakCause::Model, message: None, lost_tokens: 8000, lost_nanousd: Some(20_000_000) };
    assert_eq!(pass("ours-too"), Some(expected));
}
