use super::History;
use crate::json::{Scalar, identity, unnamed_call};
use crate::observation::{Agent, Loop, LoopLimits, LoopState, Roles, Text, ToolResult};

/// A message of the user, then one turn for each text: calls (`tool arguments result`) that are separated by `;`. The results come
/// in a message each.
fn run(turns: &[&str]) -> Agent {
    let mut history = History::default();
    message(&mut history, "user", |_| {});
    turns.iter().for_each(|calls| add_turn(&mut history, calls, true));
    history.settle()
}

fn message(history: &mut History, role: &str, inside: impl FnOnce(&mut History)) {
    history.message_opened();
    history.role(Scalar::Text(role));
    inside(history);
    history.message_closed();
}

/// `named`: calls and results have identifiers. Otherwise only the results' tools are named.
fn add_turn(history: &mut History, calls: &str, named: bool) {
    let calls: Vec<Vec<_>> = calls.split(';').map(|call| call.split_whitespace().collect()).collect();
    let id = |at: usize| format!("call_{at}");
    message(history, "assistant", |history| {
        for (at, call) in calls.iter().enumerate() {
            history.call_opened();
            history.call_name(Scalar::Text(call[0]));
            if named {
                history.call_id(Scalar::Text(&id(at)));
            }
            history.call_arguments(call[1].as_bytes());
            history.call_closed();
        }
    });
    let results = calls.iter().enumerate().filter_map(|(at, call)| Some((at, call[0], call.get(2)?)));
    for (at, tool, result) in results {
        message(history, "tool", |history| {
            match named {
                true => history.result_id(Scalar::Text(&id(at))),
                false => history.result_name(Scalar::Text(tool)),
            }
            history.result_text(result.as_bytes());
            history.result_hashed(identity(Scalar::Text(result)));
        });
    }
}

#[test]
fn every_turn_with_calls_since_the_last_user_message_is_an_iteration() {
    assert_eq!(run(&[]).iteration, None);
    assert_eq!(run(&["search {} x"]).iteration, Some(2));
    assert_eq!(run(&["search {} x", "read {} x"]).iteration, Some(3));
}

#[test]
fn three_equal_turns_are_a_retry_in_any_order_of_calls_and_keys() {
    let turns = [r#"s {"a":1,"b":2} x;t 1 y"#, r#"t 1 y;s {"b":2,"a":1} x"#, r#"s {"a":1,"b":2} x;t 1 y;t 1 y"#];
    let agent = run(&turns);
    assert_eq!((agent.looping, agent.loop_began), (Some(Loop::Retry), true));
    assert_eq!(run(&turns[..2]).looping, None);
    let longer = run(&[turns[0], turns[0], turns[0], turns[0]]);
    assert_eq!((longer.looping, longer.loop_began), (Some(Loop::Retry), false));
}

#[test]
fn progress_is_no_loop() {
    let polls: Vec<_> = (0..9).map(|n| format!("poll {{}} {}", n / 2)).collect();
    let drift: Vec<_> = (0..9).map(|n| format!("sql {n} same")).collect();
    let steps = |texts: &[String]| run(&texts.iter().map(String::as_str).collect::<Vec<_>>()).looping;
    assert_eq!(steps(&polls), None, "each result arrives twice at most");
    assert_eq!(steps(&drift), None, "one tool with other arguments");
    let test_and_edit = ["test {} a", "edit 1 ok", "test {} b", "edit 2 ok", "test {} c", "edit 3 ok", "test {} d"];
    assert_eq!(run(&test_and_edit).looping, None);
    assert_eq!(run(&["read 1 x;read 1 x;read 1 x"]).looping, None, "equal calls of one turn are one step");
    assert_eq!(run(&["a 1 x", "a 1 x", "b 1 x", "a 1 x"]).looping, None);
}

#[test]
fn a_turn_without_a_result_equals_no_other() {
    assert_eq!(run(&["a 1", "a 1", "a 1", "a 1"]).looping, None);
    assert_eq!(run(&["a 1 x;b 1", "a 1 x;b 1", "a 1 x;b 1"]).looping, None);
}

#[test]
fn a_message_of_the_user_ends_the_row() {
    let mut history = History::default();
    for at in 0..4 {
        add_turn(&mut history, "a 1 x", true);
        if at == 1 {
            message(&mut history, "user", |_| {});
        }
    }
    assert_eq!(history.settle().looping, None);
}

#[test]
fn two_turns_that_alternate_three_times_are_an_oscillation() {
    let turns = ["a {} x", "b {} y", "a {} x", "b {} y", "a {} x", "b {} y"];
    assert_eq!(run(&turns).looping, Some(Loop::Oscillation));
    assert_eq!(run(&turns[1..]).looping, None);
}

#[test]
fn the_limits_decide_what_is_a_loop() {
    let looping = |limits: LoopLimits, turns: &[&str]| {
        let mut history = History::default();
        history.set_loop_limits(limits);
        turns.iter().for_each(|calls| add_turn(&mut history, calls, true));
        history.settle().looping
    };
    let limits = LoopLimits { retry: 30, oscillation: 0, drift: 3 };
    assert_eq!(looping(limits, &["a 1 x"; 29]), None);
    assert_eq!(looping(limits, &["a 1 x"; 30]), Some(Loop::Retry));
    assert_eq!(looping(limits, &["a 1 x", "b 1 x"].repeat(20)), None);
    assert_eq!(looping(limits, &["a 1 x", "a 2 x", "a 3 x"]), Some(Loop::Drift));
}

#[test]
fn results_without_identifiers_belong_to_the_calls_of_their_tools_in_order() {
    let looping = |turns: &[&str], named: bool| {
        let mut history = History::default();
        turns.iter().for_each(|calls| add_turn(&mut history, calls, named));
        history.settle().looping
    };
    for (turns, expected) in [
        (["a 1 x;a 2 y;b 1 z"; 3], Some(Loop::Retry)),
        (["a 1 x;a 2 y;b 1 z", "a 1 x;a 2 y;b 1 z", "a 1 y;a 2 x;b 1 z"], None),
    ] {
        assert_eq!([looping(&turns, true), looping(&turns, false)], [expected; 2]);
    }
}

/// Calls (tool and identifier) of one turn, then results (identifier and tool). Returns the results.
fn matched(calls: &[(&str, &str)], results: &[(&str, &str)]) -> Vec<ToolResult> {
    let mut history = History::default();
    message(&mut history, "assistant", |history| {
        for (tool, id) in calls {
            history.call_opened();
            history.call_name(Scalar::Text(tool));
            history.call_id(Scalar::Text(id));
            history.call_closed();
        }
    });
    for (id, tool) in results {
        message(&mut history, "tool", |history| {
            history.result_id(Scalar::Text(id));
            history.result_name(Scalar::Text(tool));
        });
    }
    history.settle().results
}

#[test]
fn each_result_has_the_identifier_of_its_call_or_its_number_among_those_of_its_tool() {
    let of = |calls: &[(&str, &str)], results: &[(&str, &str)]| {
        matched(calls, results).iter().map(|result| result.call).collect::<Vec<_>>()
    };
    let text = |text| identity(Scalar::Text(text));
    let unnamed = |tool, earlier| unnamed_call(text(tool), earlier);
    let calls = [("a", ""), ("b", ""), ("a", "")];
    let numbered = [unnamed("a", 0), unnamed("b", 0), unnamed("a", 1)];
    assert_eq!(of(&calls, &[("", "a"), ("", "b"), ("", "a")]), numbered);
    assert_eq!(of(&calls, &[("", ""), ("", ""), ("", "")]), numbered);
    assert_eq!(of(&[], &[("", "a"), ("", "b"), ("", "a"), ("", "")]), [&numbered[..], &[0]].concat());
    assert_eq!(of(&[("a", "1"), ("b", "2")], &[("", "b"), ("", "a")]), [text("2"), text("1")]);
    assert_eq!(of(&calls[..1], &[("7", "a")]), [text("7")]);
    assert_eq!(of(&[("a", "1"), ("a", "1")], &[("1", ""), ("1", "")]), [text("1"); 2]);
}

#[test]
fn a_remembered_state_continues_with_the_last_turn_that_a_request_shows() {
    let trimmed = run(&["a 1 x"]);
    let mut state = run(&["a 1 x", "a 1 x"]).loops;
    assert_eq!(state, run(&["a 1 x", "a 1 x"]).loops);
    assert_eq!(state.add(trimmed.last_turn.unwrap(), LoopLimits::default()), (Some(Loop::Retry), true));
    assert_eq!(state, run(&["a 1 x"; 3]).loops);
    assert_eq!((run(&[]).last_turn, run(&[]).loops), (None, LoopState::default()));
}

#[test]
fn memory_does_not_grow_with_the_calls() {
    let calls: Vec<_> = (0..5000).map(|n| format!("a {n} x")).collect();
    let agent = run(&[&*calls.join(";"); 3]);
    assert_eq!((agent.results.len(), agent.looping), (crate::observation::STEPS, None));
}

#[test]
fn messages_are_counted_by_role_if_tools_are_offered_or_called() {
    let roles = run(&["search {} x", "read {} x"]).messages;
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
