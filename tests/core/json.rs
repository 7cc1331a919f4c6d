//! Compares the scanner with `serde_json` on random documents: both must find the same values at the same paths, at any
//! cut. Also tests documents that are incomplete, malformed or built to exhaust memory or time.

use crate::oracle::dice::Dice;
use crate::oracle::documents::{Shape, document};
use crate::oracle::paths::{Log, Told, Wanted, scan};
use crate::oracle::tree::Tree;
use gaugeway::bytes::Digest;
use gaugeway::json::{
    Deferred, Documents, Ended, Program, Rule, Scalar, Scanner, deferred, digest, scalar, supersedes, text,
};

const SMALL: Shape = Shape { size: 12, lines: true, object: false };

#[test]
fn the_scanner_finds_the_same_values_as_serde_json_at_every_path() {
    let mut values = 0;
    for seed in 0..1_000 {
        let mut dice = Dice::new(seed);
        let made = document(Shape { size: 40, ..SMALL }, &mut dice);
        let wanted = Wanted::some_of(&made, &mut dice);
        let (wire, expected) = (made.wire.as_bytes(), wanted.in_document(&made));
        wanted.assert(Documents::Plain, &[wire], &expected, &made.wire);
        wanted.assert(Documents::Plain, &single(wire), &expected, &made.wire);
        // Without the begin and the end of the document.
        values += expected.len() - 2;
    }
    assert!(values > 3_000, "the rules found only {values} values");
}

#[test]
fn a_cut_does_not_change_the_result() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let made = document(SMALL, &mut dice);
        let wanted = Wanted::some_of(&made, &mut dice);
        let expected = wanted.in_document(&made);
        for cut in 0..=made.wire.len() {
            let (a, b) = made.wire.as_bytes().split_at(cut);
            wanted.assert(Documents::Plain, &[a, b], &expected, &made.wire);
        }
    }
}

/// The hashes are those of the strings as written, whatever other rules select them and wherever the document is cut.
#[test]
fn the_hash_of_a_string_does_not_depend_on_cuts_or_on_other_rules() {
    const RULES: &[Rule<Vec<u64>>] = &[
        supersedes("m[]", |_, _| {}),
        deferred("m[].deferred", || Deferred {
            is_awaited: |seen| seen.len() % 5 == 3,
            now: |_, _| {},
            preview: None,
            later: |_, _| {},
            digest: Some(|seen, hash| seen.push(hash)),
        }),
        text("m[].text", |_, _| {}),
        scalar("m[].scalar", |_: &mut Vec<u64>, _: Scalar<'_>| {}),
    ];
    const HASHES: &[Rule<Vec<u64>>] = &[
        digest("m[].text", |seen, hash| seen.push(hash)),
        digest("m[].scalar", |seen, hash| seen.push(hash)),
        digest("m[].alone", |seen, hash| seen.push(hash)),
    ];
    let strings = ["", "a", "plain text of some length", r"\n", r#"a \"quoted\" word \\"#, r"\u00e9\ud83d\ude00 é"];
    let members = ["deferred", "text", "scalar", "alone"];
    let mut expected = Vec::new();
    let mut wire = String::from("{\"m\": [");
    for (at, string) in strings.iter().enumerate() {
        let object: Vec<_> = members.iter().map(|member| format!("\"{member}\":\"{string}\"")).collect();
        wire += &format!("{}{{{},\"n\":1}}", if at == 0 { "" } else { ", " }, object.join(","));
        let mut hash = Digest::new();
        hash.push(string.as_bytes());
        expected.extend([hash.finish(); 4]);
    }
    wire += "]}";
    let program = Program::new(&[("", RULES), ("", HASHES)], |_| {}, |_, _| {});
    for first in 0..=wire.len() {
        for second in [first, (first + 3).min(wire.len()), wire.len()] {
            let (mut scanner, mut seen) = (Scanner::new(Documents::Plain), Vec::new());
            let bytes = wire.as_bytes();
            for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                scanner.feed(&program, &mut seen, piece);
            }
            assert_eq!(seen, expected, "cut at {first} and {second}");
        }
    }
}

#[test]
fn documents_may_follow_each_other_without_a_separator() {
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let object = Shape { object: true, ..SMALL };
        let made: Vec<_> = (0..3).map(|_| document(object, &mut dice)).collect();
        let wanted = Wanted::some_of(&made[0], &mut dice);
        let expected: Log = made.iter().flat_map(|made| wanted.in_document(made)).collect();
        let wire: String = made.iter().map(|made| made.wire.as_str()).collect();
        wanted.assert(Documents::Plain, &[wire.as_bytes()], &expected, &wire);
        wanted.assert(Documents::Elements, &single(wire.as_bytes()), &expected, &wire);
    }
}

#[test]
fn elements_of_a_top_level_array_are_documents() {
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let object = Shape { object: true, ..SMALL };
        let made: Vec<_> = (0..3).map(|_| document(object, &mut dice)).collect();
        let wanted = Wanted::some_of(&made[0], &mut dice);
        let expected: Log = made.iter().flat_map(|made| wanted.in_document(made)).collect();
        let wire = made.iter().map(|made| made.wire.as_str()).collect::<Vec<_>>().join("\n,\r\n");
        let wire = format!("[{wire}\n]\n");
        wanted.assert(Documents::Elements, &[wire.as_bytes()], &expected, &wire);
        wanted.assert(Documents::Elements, &single(wire.as_bytes()), &expected, &wire);
    }
}

#[test]
fn the_line_after_a_malformed_line_is_read() {
    const MALFORMED: &[&str] = &[
        "{\"zz\":1,}",
        "{\"zz\" 1}",
        "]",
        "}",
        "{\"zz\":1]",
        "[1 2]",
        "{1:2}",
        "{\"zz\":}",
        "{,}",
        "\u{7f}",
        "{\"zz\":[[]]:",
    ];
    // The scanner validates only values that a rule selects. These rules look into every line.
    let wanted = Wanted::all(&["a", "b", "c[]", "d.a", "[].a"]);
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let (mut wire, mut expected) = (String::new(), Log::new());
        for _ in 0..6 {
            if dice.rarely(2) {
                wire.push_str(dice.pick(MALFORMED));
                expected.extend([Told::Begin, Told::End(Ended::Malformed)]);
            } else {
                let made = document(Shape { lines: false, object: true, ..SMALL }, &mut dice);
                wire.push_str(&made.wire);
                expected.extend(wanted.in_document(&made));
            }
            wire.push_str(dice.pick(&["\n", "\r\n", "\n\n"]));
        }
        wanted.assert(Documents::Lines, &[wire.as_bytes()], &expected, &wire);
        wanted.assert(Documents::Lines, &single(wire.as_bytes()), &expected, &wire);
    }
}

/// A document without blanks and variations of it: with a changed, added or missing byte, or cut short, or twice.
fn similar_documents(dice: &mut Dice) -> (Wanted, Vec<Vec<u8>>) {
    let made = document(Shape { size: 8, lines: false, object: true }, dice);
    let wanted = Wanted::some_of(&made, dice);
    let first = serde_json::from_str::<serde_json::Value>(&made.twin).unwrap().to_string().into_bytes();
    let others = (0..8).map(|_| {
        let mut other = first.clone();
        let at = dice.below(other.len());
        match dice.below(6) {
            0 => other.truncate(at),
            1 => other[at] = *dice.pick(&[b"\"", b"}", b",", b"x", b"0", b"\\"]).first().unwrap(),
            2 => other.insert(at, b'x'),
            3 => other.extend(&first),
            _ => {}
        }
        other
    });
    (wanted, [first.clone()].into_iter().chain(others).collect())
}

#[test]
fn a_document_that_resembles_the_previous_one_is_read_as_if_it_came_alone() {
    for seed in 0..3_000 {
        let mut dice = Dice::new(seed);
        let (Wanted { program, wishes }, documents) = similar_documents(&mut dice);
        let mut scanner = Scanner::new(Documents::Plain);
        for bytes in documents {
            let alone = {
                let (mut scanner, mut log) = (Scanner::new(Documents::Plain), Log::new());
                scanner.feed(&program, &mut log, &bytes);
                scanner.finish(&program, &mut log, Ended::Malformed);
                log
            };
            let mut log = Log::new();
            let (a, b) = bytes.split_at(if dice.rarely(3) { dice.below(bytes.len()) } else { bytes.len() });
            scanner.feed_document(&program, &mut log, a);
            scanner.feed(&program, &mut log, b);
            scanner.finish(&program, &mut log, Ended::Malformed);
            assert_eq!(log, alone, "{wishes:?} in {} and {}", String::from_utf8_lossy(a), String::from_utf8_lossy(b));
        }
    }
}

#[test]
fn an_incomplete_document_reports_the_values_before_the_cut_and_ends_as_cut() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let made = document(Shape { object: true, ..SMALL }, &mut dice);
        let wanted = Wanted::some_of(&made, &mut dice);
        let whole = wanted.in_document(&made);
        for cut in 1..made.wire.len() {
            let (mut scanner, mut log) = (Scanner::new(Documents::Plain), Log::new());
            scanner.feed(&wanted.program, &mut log, &made.wire.as_bytes()[..cut]);
            assert!(!scanner.finish(&wanted.program, &mut log, Ended::Cut), "complete at {cut}: {}", made.wire);
            assert_eq!(log.pop(), Some(Told::End(Ended::Cut)), "at {cut}: {}", made.wire);
            let same = log.iter().zip(&whole).take_while(|(a, b)| a == b).count();
            let is_beginning = match (log.get(same), whole.get(same)) {
                (None, _) => true,
                (Some(Told::Text(slot, text)), Some(Told::Text(wanted, whole))) => {
                    same + 1 == log.len() && slot == wanted && whole.starts_with(text)
                }
                _ => false,
            };
            assert!(is_beginning, "{log:?} is not the beginning of {whole:?} at {cut}: {}", made.wire);
            assert!(scanner.is_idle(), "not ready for the next document at {cut}: {}", made.wire);
        }
    }
}

#[test]
fn a_document_with_random_bytes_is_read_the_same_at_any_cut_and_as_serde_json_reads_it() {
    let mut valid = 0;
    for seed in 0..3_000 {
        let mut dice = Dice::new(seed);
        let made = document(Shape { object: true, ..SMALL }, &mut dice);
        let wanted = Wanted::some_of(&made, &mut dice);
        let mut wire = made.wire.into_bytes();
        for _ in 0..1 + dice.below(2) {
            let at = dice.below(wire.len());
            wire[at] = if dice.rarely(2) { b"{}[]\",:\\ 0u\n"[dice.below(12)] } else { dice.below(256) as u8 };
        }
        let told = scan(&wanted.program, Documents::Plain, &[&wire]);
        let shown = String::from_utf8_lossy(&wire);
        assert_eq!(scan(&wanted.program, Documents::Plain, &single(&wire)), told, "{:?} in {shown}", wanted.wishes);
        let (a, b) = wire.split_at(dice.below(wire.len()));
        assert_eq!(scan(&wanted.program, Documents::Plain, &[a, b]), told, "{:?} in {shown}", wanted.wishes);
        let begins = told.iter().filter(|told| **told == Told::Begin).count();
        let ends = told.iter().filter(|told| matches!(told, Told::End(_))).count();
        assert_eq!(begins, ends, "{shown}");
        if let Some(tree) = std::str::from_utf8(&wire).ok().and_then(Tree::parse) {
            valid += 1;
            assert_eq!(told, wanted.in_tree(&tree), "{:?} in {shown}", wanted.wishes);
        }
    }
    assert!(valid > 100, "only {valid} of the changed documents are still JSON");
}

#[test]
fn a_malformed_document_ends_as_malformed_and_reports_no_more_values() {
    // The scanner validates only values that a rule selects. These rules select everything.
    let wanted = Wanted::all(&["a", "a[]", "[]"]);
    for malformed in [
        "}",
        "]",
        ",",
        ":",
        "{]",
        "[}",
        "{,}",
        "[,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":1 2}",
        "{\"a\":1:2}",
        "{\"a\":[1,]}",
        "[1 2]",
        "[1}",
        "{\"a\":1]",
        "[1;2]",
        "{'a':1}",
        "{\"a\":'1'}",
        "\u{feff}{}",
        "\0",
    ] {
        let wire = format!("{malformed} {{\"a\":1}}");
        let told = scan(&wanted.program, Documents::Plain, &[wire.as_bytes()]);
        assert_eq!(told.last(), Some(&Told::End(Ended::Malformed)), "{wire}: {told:?}");
        assert_eq!(told.iter().filter(|told| matches!(told, Told::End(_))).count(), 1, "{wire}: {told:?}");
    }
}

#[test]
fn a_word_that_is_not_json_is_reported_as_other() {
    let wanted = Wanted::all(&["a"]);
    for word in ["nul", "True", "NaN", "Infinity", "-", "-inf", "-nan", "-infinity", "1e", "0x10", "1.2.3", "--1"] {
        let wire = format!("{{\"a\":{word}}}");
        let told = scan(&wanted.program, Documents::Plain, &single(wire.as_bytes()));
        assert!(told.contains(&Told::Other(0)), "{wire}: {told:?}");
    }
}

#[test]
fn deep_long_and_invalid_documents_need_no_more_memory_and_hide_no_member() {
    assert!(size_of::<Scanner>() < 1024, "a scanner takes {} bytes", size_of::<Scanner>());
    let wanted = Wanted::all(&["z", "a.b", "a[].b", "a[][]"]);
    let assert_finds_z = |wire: &[u8]| {
        for pieces in [vec![wire], wire.chunks(4096).collect(), wire.chunks(7).collect()] {
            let told = scan(&wanted.program, Documents::Plain, &pieces);
            assert!(told.contains(&Told::Number(0, 1.0)), "the next member is lost: {:?}", told.last());
            assert_eq!(told.last(), Some(&Told::End(Ended::Whole)));
        }
    };
    let deep = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"b\":", "}]"), ("{\"q\":[", "]}")] {
        assert_finds_z(format!("{{\"a\":{}0{},\"z\":1}}", open.repeat(deep), close.repeat(deep)).as_bytes());
        let unclosed = scan(&wanted.program, Documents::Plain, &[format!("{{\"a\":{}", open.repeat(deep)).as_bytes()]);
        assert_eq!(unclosed.last(), Some(&Told::End(Ended::Cut)));
    }
    assert_finds_z(format!("{{\"{}\":0,\"z\":1}}", "k".repeat(10 << 20)).as_bytes());
    assert_finds_z(format!("{{\"{}\":0,\"z\":1}}", "\\u0041".repeat(1 << 20)).as_bytes());
    assert_finds_z(format!("{{\"a\":{{\"b\":{}}},\"z\":1}}", "9".repeat(1_000_000)).as_bytes());
    assert_finds_z(format!("{{\"a\":{{\"b\":\"{}\"}},\"z\":1}}", "\\\\".repeat(1 << 20)).as_bytes());
    assert_finds_z(format!("{{{}\"z\":1}}", "\"a\":[],".repeat(100_000)).as_bytes());
    assert_finds_z(&[&b"{\"\xff\xc3\":\"\x80\",\"a\":{\"b\":\"\xf0\x9f\"},\"z\":1}"[..]].concat());
    let told = scan(&wanted.program, Documents::Plain, &[b"{\"a\":{\"b\":\"x\xffy\xf0\x9f\"}}"]);
    assert!(told.contains(&Told::Text(1, "x\u{fffd}y\u{fffd}".into())), "{told:?}");
}

#[test]
fn the_number_of_documents_in_one_call_is_bounded_and_the_next_call_reads_on() {
    let program = Program::new(&[], |begun: &mut u32| *begun += 1, |_, _| {});
    let mut scanner = Scanner::new(Documents::Lines);
    let mut begun = 0;
    for call in 1..=2 {
        scanner.allow_documents();
        scanner.feed(&program, &mut begun, "{}\n".repeat(100_000).as_bytes());
        assert_eq!(begun, call << 16);
    }
    // Lines that no call read are not malformed.
    scanner.allow_documents();
    scanner.feed(&program, &mut begun, b"{}\n{}\n");
    assert_eq!(begun, (2 << 16) + 2);
}

/// The texts that the rules received.
#[derive(Default)]
struct Received {
    /// The texts of the last message, joined.
    last: Vec<u8>,
    /// Number of bytes of all texts.
    bytes: usize,
}

#[test]
fn deferred_texts_arrive_in_order_or_not_at_all() {
    fn receive(received: &mut Received, piece: &[u8]) {
        received.last.extend_from_slice(piece);
        received.bytes += piece.len();
    }
    let may_wait = || Deferred { is_awaited: |_| false, now: receive, preview: None, later: receive, digest: None };
    let must_not_wait = || Deferred { is_awaited: |_| true, now: receive, preview: None, later: receive, digest: None };
    let rules = [
        supersedes("m[]", |received: &mut Received, _| received.last.clear()),
        deferred("m[].late", may_wait),
        deferred("m[].parts[].late", may_wait),
        deferred("m[].due", must_not_wait),
    ];
    let rules: &'static [_] = Vec::from(rules).leak();
    let program = Program::new(&[("", rules)], |_| {}, |_, _| {});
    let texts = ["", "plain", "a \"quoted\" word", "\\", "\\\\\"", "line\nline", "naïve 模", "😀", "x\u{1}\\\"y"];
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let (mut messages, mut last) = (Vec::new(), String::new());
        for _ in 0..=dice.below(4) {
            last.clear();
            let mut text = |dice: &mut Dice| {
                let text = texts[dice.below(texts.len())];
                last += text;
                serde_json::to_string(text).unwrap()
            };
            let mut members: Vec<_> = (0..dice.below(6))
                .map(|_| match dice.below(3) {
                    0 => format!(r#""late":{}"#, text(&mut dice)),
                    1 => format!(r#""parts": [{{"late":{}}} ]"#, text(&mut dice)),
                    _ => format!(r#""due":{}"#, text(&mut dice)),
                })
                .collect();
            members.insert(0, r#""role":"user""#.to_owned());
            messages.push(format!("{{{}}}", members.join(",")));
        }
        let wire = format!(r#"{{"m":[{}],"end":true}}"#, messages.join(", "));
        let read = |pieces: &[&[u8]]| {
            let (mut scanner, mut received) = (Scanner::new(Documents::Plain), Received::default());
            pieces.iter().for_each(|piece| scanner.feed(&program, &mut received, piece));
            assert!(scanner.is_idle(), "{wire}");
            assert_eq!(String::from_utf8_lossy(&received.last), last, "{wire}");
            received.bytes
        };
        for cut in 0..=wire.len() {
            read(&[&wire.as_bytes()[..cut], &wire.as_bytes()[cut..]]);
        }
        read(&single(wire.as_bytes()));
        if !wire.contains("due") && messages.iter().all(|message| message.matches("late").count() <= 3) {
            assert_eq!(read(&[wire.as_bytes()]), last.len(), "texts of earlier messages arrived: {wire}");
        }
    }
}

/// Pieces of one byte each.
fn single(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.chunks(1).collect()
}
