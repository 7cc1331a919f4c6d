use super::*;

/// Larger than any line of these tests.
const ROOM: usize = 16 << 10;

const RESPONSE: &str = concat!(
    ": hello\n\n",
    "data: {\"id\":1,\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}],\"usage\":null}\n\n",
    "data: {\"choices\":[],\"prompt_filter_results\":[], \"usage\": null, \"x\":{\"usage\":null}}\r\n\r\n",
    "data: {\"usage\":null,\"choices\":[]}\r\r",
    "data: { \"usage\" : null , \"a\":{\"b\":1,\"usage\":null},\"c\\\"\":[\"x,\",\"usage\",null]}\n\n",
    "data: {\"usage\":null}\n\n",
    "event: ping\ndata: {\"usage\":{\"prompt_tokens\":1},\"choices\":[ ]}\n\n",
    "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":1}}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\r\n\r\n",
    "data: {\"choices\":[],\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}} x\n\n",
    "data: {\"choices\":[],\"us\\u0061ge\":{}}\n\n",
    "data: {\"error\":{\"message\":\"x\"}}\n\n",
    "data: [DONE]\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt",
);

const STRIPPED: &str = concat!(
    ": hello\n\n",
    "data: {\"id\":1,\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}]}\n\n",
    "data: {\"choices\":[],\"prompt_filter_results\":[], \"x\":{\"usage\":null}}\r\n\r\n",
    "data: {\"choices\":[]}\r\r",
    "data: { \"a\":{\"b\":1,\"usage\":null},\"c\\\"\":[\"x,\",\"usage\",null]}\n\n",
    "data: {}\n\n",
    "event: ping\n\n",
    "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":1}}\n\n",
    "data: {\"choices\":[],\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}} x\n\n",
    "data: {\"choices\":[],\"us\\u0061ge\":{}}\n\n",
    "data: {\"error\":{\"message\":\"x\"}}\n\n",
    "data: [DONE]\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt",
);

fn strip(pieces: &[&[u8]]) -> String {
    let mut strip = UsageStripper::new(ROOM);
    let mut out: Vec<u8> = pieces.iter().flat_map(|piece| strip.feed(piece, true, false)).collect();
    out.extend(strip.feed(b"", true, true));
    String::from_utf8(out).unwrap()
}

#[test]
fn the_added_usage_is_removed_at_any_cut() {
    let bytes = RESPONSE.as_bytes();
    for cut in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(strip(&[head, tail]), STRIPPED, "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(strip(&single), STRIPPED);
}

#[test]
fn before_a_finish_reason_no_event_is_held_and_only_the_null_member_is_removed() {
    let bytes =
        b"data: {\"id\":\"a\",\"choices\":[],\"user\":null,\"usage\":{\"n\":1}}\n\ndata: {\"c\":1,\"usage\":null}\n\n";
    let (mut strip, mut out) = (UsageStripper::new(ROOM), Vec::new());
    for (at, byte) in bytes.iter().enumerate() {
        out.extend(strip.feed(&[*byte], false, false));
        assert!(strip.held().len() <= b",\"usage\":null".len(), "{}", strip.held().escape_ascii());
        let held = strip.held();
        let begins = [b",\"usage\":null".as_slice(), b"\"usage\":null"].iter().any(|member| member.starts_with(held));
        assert!(begins, "{at}: {}", held.escape_ascii());
    }
    let wanted = b"data: {\"id\":\"a\",\"choices\":[],\"user\":null,\"usage\":{\"n\":1}}\n\ndata: {\"c\":1}\n\n";
    assert_eq!(out.escape_ascii().to_string(), wanted.escape_ascii().to_string());
}

#[test]
fn what_is_held_at_any_cut_is_the_added_usage_or_an_unfinished_object() {
    let answer = concat!(
        "data: {\"id\":1,\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
        "data: {\"id\":2,\"error\":{}}\n\n",
        "data: {\"id\":3,\"choices\":[],\"usage\":{\"n\":1}}\n\ndata: [DONE]"
    );
    let whole =
        "data: {\"id\":1,\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: {\"id\":2,\"error\":{}}\n\ndata: [DONE]";
    for cut in 0..=answer.len() {
        let mut strip = UsageStripper::new(ROOM);
        let passed = String::from_utf8(strip.feed(&answer.as_bytes()[..cut], true, false)).unwrap();
        assert!(whole.starts_with(&passed), "{cut}: {passed}");
        let held = std::str::from_utf8(strip.held()).unwrap();
        let is_whole = |json: &str| serde_json::from_str::<serde_json::Value>(json).is_ok();
        let is_added = held.starts_with("data: {\"id\":3,") || ",\"usage\":null".starts_with(held);
        assert!(is_added || !held.strip_prefix("data: ").is_some_and(is_whole), "{cut}: {held}");
    }
}

#[test]
fn lines_that_are_not_chunks_are_passed_on_at_once() {
    let mut strip = UsageStripper::new(ROOM);
    for piece in ["data: [DO", "NE]", "\n", "\nevent: x", "\r", "id", "\n\n"] {
        assert_eq!(strip.feed(piece.as_bytes(), true, false), piece.as_bytes());
    }
}

#[test]
fn no_more_than_the_limit_is_held() {
    for line in [format!("data:{}", " ".repeat(1000)), format!("data: {{\"a\":\"{}", "x".repeat(1000))] {
        for size in [1, 7, 1000] {
            let mut strip = UsageStripper::new(64);
            let mut out = Vec::new();
            for piece in line.as_bytes().chunks(size) {
                out.extend(strip.feed(piece, true, false));
                assert!(strip.held().len() <= 64);
            }
            assert_eq!((out.len(), strip.held().len()), (line.len(), 0), "{size}");
        }
    }
}
