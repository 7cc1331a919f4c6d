//! The built-in kinds of redaction compared with the regular expressions that define them, run by `regex-lite`, on generated
//! texts.

mod parts;

use std::sync::LazyLock;

use crate::oracle::dice::Dice;
use gaugeway::text::redaction::Redaction;
use parts::PARTS;
use regex_lite::Regex;

/// The separators of digits.
const S: &str = r"(?:[ \-\u{a0}\u{ad}\u{2000}-\u{2015}\u{202f}\u{205f}\u{2060}\u{2212}\u{3000}\u{feff}]|\\u(?:00[aA]0|202[fF]|0020)|%20|%C2%A0|&nbsp;)";
/// A letter of an e-mail address beyond ASCII, of those in [`PARTS`].
const L: &str = r"(?:[éü用户例え]|\\u00fc)";

static SEPARATOR: LazyLock<Regex> = LazyLock::new(|| Regex::new(S).unwrap());
/// An escape sequence at the end of a text.
static ESCAPE: LazyLock<Regex> = LazyLock::new(|| {
    let escape = r"(?:\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}|\\[abefnrtv0]|\[[0-9;]{0,8}m)$";
    Regex::new(escape).unwrap()
});

/// Returns the end of the match at an offset, and true if it is replaced.
type Kind = Box<dyn Fn(&str, usize) -> Option<(usize, bool)>>;

/// The built-in kinds, in the order of their passes, with their words.
fn kinds() -> Vec<(&'static str, Kind)> {
    let plain = r"[spr]k[-_]|gsk_|xai-|pplx-|nvapi-|hf_|gh[po]_|github_pat_|lsv2_pt_|xoxb-|ya29\.|AQ\.";
    let prefixed = format!(r"((?:{plain})([A-Za-z0-9_-]{{16,}})|(?:SG\.|glpat-)([A-Za-z0-9_.+/=-]{{16,}}))");
    let aws = r"((?:AKIA|ASIA)[A-Z0-9]{16})(?:[^A-Za-z0-9]|$)|(ABSK[A-Za-z0-9+/=]{40,})";
    let mail = format!(
        r"((?:[A-Za-z0-9._%+-]|{L})+@(?:[A-Za-z0-9-]|{L})+[.。](?:[A-Za-z0-9-]|{L})+(?:\.(?:[A-Za-z0-9-]|{L})+)*)"
    );
    let group = format!(r"(?:{S}|[./])");
    let international = format!(r"(?:\+|00)[1-9][0-9]*\)?(?:(?: {group} |{group})?\(?[0-9]+\)?)*");
    let national = format!(
        r"((?:\([0-9]{{2,5}}\)|\(0\)|0[0-9]{{1,4}}|[0-9]{{3}})(?:{group}?\(?[0-9]{{2,5}}\)?){{2,4}})(?:[^A-Za-z0-9]|$)"
    );
    let (international, national) = (longest(&international, 8, is_international), first(&national));
    let phone = move |text: &str, at: usize| {
        let begins_number = text[at..].starts_with(|c: char| c.is_ascii_digit()) && starts(text, at);
        if !begins_number && !text[at..].starts_with(['+', '(']) {
            return None;
        }
        let national = || national(text, at).map(|(end, _)| (end, is_national(&text[at..end])));
        international(text, at).or_else(national)
    };
    vec![
        ("[key]", Box::new(armour())),
        ("[key]", Box::new(bounded("sprgxnhlyAS", checked(&prefixed, is_random)))),
        ("[key]", Box::new(bounded("A", first(r"(AIza[A-Za-z0-9_-]{30,})")))),
        ("[key]", Box::new(bounded("A", first(aws)))),
        (
            "[key]",
            Box::new(bounded("e", first(r"(eyJ[A-Za-z0-9_-]{8,}\.(?:[A-Za-z0-9_-]{8,})?(?:\.[A-Za-z0-9_-]*)+)"))),
        ),
        ("[key]", Box::new(bounded("bB", first(r"((?i)bearer(?:\s|%20)+[A-Za-z0-9._~+/=-]{16,})")))),
        ("[email]", Box::new(outside_escapes(first(&mail)))),
        (
            "[iban]",
            Box::new(bounded(
                "DdGgNn",
                longest(&format!("[A-Za-z]{{2}}[0-9]{{2}}(?:{S}?[A-Za-z0-9]){{11,30}}"), 15, is_iban),
            )),
        ),
        ("[card]", Box::new(bounded("0123456789", longest(&format!("[0-9](?:{S}?[0-9]){{12,18}}"), 13, is_card)))),
        ("[phone]", Box::new(phone)),
    ]
}

/// The first capture group that takes part in the match at an offset.
fn first(pattern: &str) -> impl Fn(&str, usize) -> Option<(usize, bool)> + use<> {
    checked(pattern, |_| true)
}

/// The same, if the last group that takes part holds.
fn checked(pattern: &str, holds: fn(&str) -> bool) -> impl Fn(&str, usize) -> Option<(usize, bool)> + use<> {
    let pattern = Regex::new(&format!("^(?:{pattern})")).unwrap();
    move |text, at| {
        let found = pattern.captures(&text[at..])?;
        let mut groups = found.iter().skip(1).flatten();
        let whole = groups.next()?;
        let body = groups.last().unwrap_or(whole);
        holds(body.as_str()).then(|| (at + whole.end(), true))
    }
}

/// The longest match at an offset that holds and is not followed by a letter or a digit.
fn longest(
    pattern: &str,
    least: usize,
    holds: fn(&str) -> bool,
) -> impl Fn(&str, usize) -> Option<(usize, bool)> + use<> {
    let begins = Regex::new(&format!("^(?:{pattern})")).unwrap();
    let whole = Regex::new(&format!("^(?:{pattern})$")).unwrap();
    move |text, at| {
        let most = at + begins.find(&text[at..])?.end();
        let ends = (at + least..=most).rev().filter(|end| text.is_char_boundary(*end));
        let mut ends = ends.filter(|end| !text[*end..].starts_with(|c: char| c.is_ascii_alphanumeric()));
        let end = ends.find(|end| whole.is_match(&text[at..*end]) && holds(&text[at..*end]))?;
        Some((end, true))
    }
}

/// Private keys: the beginning of the armour, and then what ends it.
fn armour() -> impl Fn(&str, usize) -> Option<(usize, bool)> {
    let label = r"[A-Za-z0-9 ]*(?:PRIVATE|SECRET) KEY(?: BLOCK)? *";
    let begin = Regex::new(&format!("^-{{4,5}} ?BEGIN {label}-{{4,5}}")).unwrap();
    let end = Regex::new(r"-{4,} ?END [A-Za-z0-9 ]{0,64}-{4,5}|-----").unwrap();
    move |text, at| {
        let body = at + begin.find(&text[at..])?.end();
        let Some(found) = end.find(&text[body..]) else { return Some((text.len(), true)) };
        let closes = found.as_str().contains("END");
        Some((body + if closes { found.end() } else { found.start() }, true))
    }
}

/// Matches that start where a word or number may start, and with one of some characters. The latter saves time.
fn bounded(
    firsts: &'static str,
    find: impl Fn(&str, usize) -> Option<(usize, bool)>,
) -> impl Fn(&str, usize) -> Option<(usize, bool)> {
    move |text, at| {
        let may_start = text[at..].starts_with(|c| firsts.contains(c)) && starts(text, at);
        may_start.then(|| find(text, at)).flatten()
    }
}

/// Matches that do not start inside of an escape sequence.
fn outside_escapes(
    find: impl Fn(&str, usize) -> Option<(usize, bool)>,
) -> impl Fn(&str, usize) -> Option<(usize, bool)> {
    let inside = Regex::new(r"\\$|\\u[0-9a-f]{0,3}$").unwrap();
    let escape = Regex::new(r"\\(?:u[0-9a-f]{4}|[a-z])").unwrap();
    move |text, at| {
        // An address has no space. This saves time.
        let sign = text[at..].find('@')?;
        if text[at..at + sign].contains(' ') {
            return None;
        }
        let open = inside.find(tail(text, at)).map(|found| at - found.as_str().len());
        let is_inside = open.and_then(|open| escape.find_at(text, open)).is_some_and(|found| found.end() > at);
        find(text, at).filter(|_| !is_inside)
    }
}

/// The last bytes before an offset.
fn tail(text: &str, at: usize) -> &str {
    &text[(0..=at.saturating_sub(12)).rev().find(|start| text.is_char_boundary(*start)).unwrap()..at]
}

/// Returns true if a word or number may start at an offset.
fn starts(text: &str, at: usize) -> bool {
    let before = tail(text, at);
    let digits = text[at..].chars().take_while(char::is_ascii_hexdigit).count();
    let open = [("\\x", 2), ("\\u", 4), ("%", 2)];
    let is_inside = open.iter().any(|(sign, count)| {
        let head = before.trim_end_matches(|c: char| c.is_ascii_hexdigit());
        let read = before.len() - head.len();
        head.ends_with(sign) && read < *count && read + digits >= *count
    });
    let is_free = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
    !(is_inside && text[at..].starts_with(|c: char| c.is_ascii_digit())) && (is_free || ESCAPE.is_match(before))
}

fn is_random(body: &str) -> bool {
    let longest = body.split(['-', '_', '.', '+', '/', '=']).map(str::len).max().unwrap();
    let (digit, capital) = (body.contains(|c: char| c.is_numeric()), body.contains(char::is_uppercase));
    match longest {
        16.. => true,
        12.. => digit || capital,
        _ => digit && capital,
    }
}

fn digits(text: &str) -> Vec<u32> {
    let plain = SEPARATOR.replace_all(text, "").into_owned();
    plain.chars().filter_map(|c| c.to_digit(10)).collect()
}

fn is_card(found: &str) -> bool {
    let digits = digits(found);
    let doubled = |digit: u32| [0, 2, 4, 6, 8, 1, 3, 5, 7, 9][digit as usize];
    let place = |at: usize| (digits.len() - at).is_multiple_of(2);
    let sum: u32 = digits.iter().enumerate().map(|(at, digit)| if place(at) { doubled(*digit) } else { *digit }).sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit > 0)
}

fn is_iban(found: &str) -> bool {
    let compact = SEPARATOR.replace_all(found, "").to_uppercase();
    let length = match &compact[..2] {
        "DE" | "GB" => 22,
        "NO" => 15,
        _ => return false,
    };
    let moved = format!("{}{}", &compact[4..], &compact[..4]);
    let number: String = moved.chars().map(|c| c.to_digit(36).unwrap().to_string()).collect();
    let rest = number.bytes().fold(0_u64, |rest, digit| (rest * 10 + u64::from(digit - b'0')) % 97);
    compact.len() == length && rest == 1
}

fn is_international(found: &str) -> bool {
    let number = found.strip_prefix("00").unwrap_or(found);
    let grouped = number.trim_end_matches(')').contains(|c: char| !c.is_ascii_digit());
    grouped && (8..=15).contains(&digits(number).len())
}

/// A closing bracket alone does not group digits.
fn is_national(found: &str) -> bool {
    let count = found.bytes().filter(u8::is_ascii_digit).count();
    (8..=15).contains(&count) && count < found.replace(')', "").len()
}

#[test]
fn built_in_kinds_are_what_their_patterns_match() {
    let (kinds, redaction) = (kinds(), Redaction::new(None).unwrap());
    let mut changed = vec![0; kinds.len()];
    for seed in 0..3_000 {
        let text = text(&mut Dice::new(seed));
        let mut expected = text.clone();
        for ((word, kind), changed) in kinds.iter().zip(&mut changed) {
            let replaced = replaced(&expected, word, kind);
            *changed += usize::from(replaced != expected);
            expected = replaced;
        }
        assert_eq!(redaction.apply(&text), expected, "seed {seed}: {text:?}");
    }
    assert!(changed.iter().all(|count| *count > 15), "each kind is found: {changed:?}");
}

/// The text with the leftmost matches replaced. A match that is not replaced is passed over.
fn replaced(text: &str, word: &str, kind: &Kind) -> String {
    let (mut out, mut at) = (String::new(), 0);
    while at < text.len() {
        let next = at + text[at..].chars().next().unwrap().len_utf8();
        let (end, part) = match kind(text, at) {
            Some((end, true)) => (end, word),
            Some((end, false)) => (end, &text[at..end]),
            None => (next, &text[at..next]),
        };
        out.push_str(part);
        at = end;
    }
    out
}

/// Parts of one kind, or of two kinds in turn.
fn text(dice: &mut Dice) -> String {
    let kinds = [dice.below(PARTS.len()), dice.below(PARTS.len())];
    let mixed = dice.rarely(4);
    let count = 1 + dice.below(30);
    let part = |_| {
        let kind = kinds[usize::from(mixed && dice.rarely(3))];
        dice.pick(PARTS[kind])
    };
    (0..count).map(part).collect()
}
