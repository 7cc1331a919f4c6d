use super::History;
use crate::json::Scalar;
use crate::observation::{Agent, Loop, Roles, Text};

/// A message of the user, then one turn for each call (`tool arguments`), each with its result.
fn run(calls: &[&str]) -> Agent {
    let mut history = History::default();
    history.message_opened();
    history.role(Scalar::Text("user"));
    history.message_closed();
    for (at, call) in calls.iter().enumerate() {
        let (tool, arguments) = call.split_once(' ').unwrap();
        let id = format!("call_{at}");
        history.message_opened();
        history.role(Scalar::Text("assistant"));
        history.call_opened();
        history.call_name(Scalar::Text(tool));
        history.call_id(Scalar::Text(&id));
        history.call_arguments(arguments.as_bytes());
        history.call_closed();
        history.message_closed();
        history.message_opened();
        history.role(Scalar::Text("tool"));
        history.result_opened();
        history.result_id(Scalar::Text(&id));
        history.result_text(b"fine");
        history.message_closed();
    }
    history.settle()
}

#[test]
fn every_turn_with_calls_since_the_last_user_message_is_an_iteration() {
    assert_eq!(run(&[]).iteration, None);
    assert_eq!(run(&["search {}"]).iteration, Some(2));
    assert_eq!(run(&["search {}", "read {}"]).iteration, Some(3));
}

#[test]
fn three_equal_calls_are_a_retry_in_any_order_of_their_keys() {
    let calls = ["s {\"a\":1,\"b\":2}", "x {}", "s {\"b\":2,\"a\":1}", "s { \"a\":1, \"b\":2}"];
    assert_eq!(run(&calls).looping, Some(Loop::Retry));
    assert!(run(&calls).loop_began);
    assert_eq!(run(&calls[..3]).looping, None);
    let longer = [&calls[..], &["s {\"a\":1,\"b\":2}"]].concat();
    assert!(run(&longer).looping.is_some() && !run(&longer).loop_began);
}

#[test]
fn each_kind_of_loop_begins_once_in_a_run() {
    let began = |calls: &[&str]| {
        let of = |n: &usize| run(&calls[..*n]);
        (1..=calls.len()).filter(|n| of(n).loop_began).map(|n| (n, of(&n).looping.unwrap())).collect::<Vec<_>>()
    };
    // The fifth call is the third equal one. With the sixth, the two calls have alternated three times.
    let turns = ["a {}", "b {}", "a {}", "b {}", "a {}", "b {}", "a {}", "b {}"];
    assert_eq!(began(&turns), [(5, Loop::Retry), (6, Loop::Oscillation)]);
    assert_eq!(began(&["a {}", "a {}", "a {}", "b {}", "a {}", "a {}"]), [(3, Loop::Retry)]);
}

#[test]
fn equal_calls_of_one_turn_are_a_retry() {
    let agent = turn(&["a {}", "a {}", "a {}", "a {}", "b {}"]);
    assert_eq!((agent.looping, agent.loop_began), (Some(Loop::Retry), true));
}

#[test]
fn two_calls_that_alternate_three_times_are_an_oscillation() {
    assert_eq!(run(&["a {}", "b {}", "a {}", "b {}"]).looping, None);
    assert_eq!(run(&["a {}", "b {}", "a {}", "b {}", "a {}", "b {}"]).looping, Some(Loop::Oscillation));
    assert_eq!(run(&["a 1", "b 1", "a 2", "b 2", "a 3", "b 3"]).looping, None);
}

#[test]
fn six_turns_with_one_tool_and_different_arguments_are_a_drift() {
    let calls = ["s 1", "s 2", "s 3", "s 4", "s 5", "s 6"];
    assert_eq!(run(&calls).looping, Some(Loop::Drift));
    assert_eq!(run(&calls[1..]).looping, None);
    assert_eq!(turn(&calls).looping, None, "parallel calls are one turn");
}

/// One turn with all calls.
fn turn(calls: &[&str]) -> Agent {
    let mut history = History::default();
    history.message_opened();
    history.role(Scalar::Text("assistant"));
    for call in calls {
        let (tool, arguments) = call.split_once(' ').unwrap();
        history.call_opened();
        history.call_name(Scalar::Text(tool));
        history.call_arguments(arguments.as_bytes());
        history.call_closed();
    }
    history.message_closed();
    history.settle()
}

#[test]
fn messages_are_counted_by_role_if_tools_are_offered_or_called() {
    let roles = run(&["search {}", "read {}"]).messages;
    assert_eq!((roles.system, roles.user, roles.assistant, roles.tool), (0, 1, 2, 2));
    assert_eq!(run(&[]).messages, Roles::default());
    let mut history = History::default();
    (0..70_000).for_each(|_| history.tool_offered());
    assert_eq!(history.settle().tools_offered, u16::MAX);
}

#[test]
fn the_beginning_of_an_escaped_result_shows_whether_it_failed() {
    let blank = " \\n".repeat(60);
    for (text, failed) in [
        (format!("{blank}{{\\\"error\\\": \\\"no\\\"}}\""), true),
        (format!("{blank}\\u0065rror{blank}\""), true),
        (format!("{blank}fine\""), false),
    ] {
        for measures in [false, true] {
            let mut history = History::default();
            if measures {
                history.measure_results();
            }
            history.message_opened();
            history.result_opened();
            history.result_escaped_text(text.as_bytes());
            history.result_part_closed();
            let result = history.settle().results.remove(0);
            assert_eq!(result.failed, failed, "{text}");
            let unescaped: String = serde_json::from_str(&format!("\"{text}")).unwrap();
            assert_eq!(result.bytes, measures.then_some(unescaped.len() as u64), "{text}");
        }
    }
}

#[test]
fn a_failed_result_has_the_name_of_its_call() {
    let failed = |text: &str, flag: bool| {
        let mut history = History::default();
        history.measure_results();
        history.message_opened();
        history.role(Scalar::Text("assistant"));
        history.call_opened();
        history.call_name(Scalar::Text("search"));
        history.call_id(Scalar::Text("c1"));
        history.call_closed();
        history.message_closed();
        history.message_opened();
        history.role(Scalar::Text("tool"));
        history.result_opened();
        history.result_id(Scalar::Text("c1"));
        history.result_failed(Scalar::Bool(flag));
        text.as_bytes().chunks(2).for_each(|piece| history.result_text(piece));
        history.message_closed();
        let results = history.settle().results;
        assert_eq!(results.iter().filter_map(|result| result.bytes).sum::<u64>(), text.len() as u64);
        let failed = results.into_iter().filter(|result| result.failed);
        failed.filter_map(|result| result.name).collect::<Vec<_>>()
    };
    for text in
        ["Error: no such file", "{\"error\": 1}", "  { \"error\" : {} }", "Traceback (most recent", "Exception in x"]
    {
        assert_eq!(failed(text, false), [Text::from("search")], "{text}");
    }
    assert_eq!(failed("fine", true), [Text::from("search")]);
    assert!(failed("no errors found", false).is_empty());
    assert!(failed("{\"errata\": []}", false).is_empty());
}
