//! Random JSON documents: every escape, every form of number, repeated keys, deep nesting, and whitespace wherever it
//! is allowed.

use super::dice::Dice;

/// A document as sent, and a twin in which every lone surrogate escape is written as U+FFFD. A lone surrogate means
/// U+FFFD, but `serde_json` rejects it.
pub struct Document {
    pub wire: String,
    pub twin: String,
}

/// The properties of a random document.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Approximate number of values.
    pub size: usize,
    /// True if there may be line ends between tokens.
    pub lines: bool,
    /// True if the document is an object.
    pub object: bool,
}

pub fn document(shape: Shape, dice: &mut Dice) -> Document {
    let mut writer =
        Writer { dice, shape, left: shape.size, out: Document { wire: String::new(), twin: String::new() } };
    match writer.dice.below(8) {
        _ if shape.object => writer.object(0),
        0 => writer.value(0),
        1 => writer.array(0),
        2 => writer.chain(),
        _ => writer.object(0),
    }
    writer.out
}

/// Keys that a path can name, and some that it cannot.
const KEYS: &[&str] =
    &["a", "b", "c", "d", "e", "f", "g", "h", "é", "ключ", "\u{1F511}", "a\"b", "", "a.b", "*", "a[]"];
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "7",
    "-12",
    "3.25",
    "-0.5",
    "1e3",
    "1E+3",
    "25e-1",
    "0.1E-7",
    "18446744073709551615",
    "9007199254740993",
    "123456789012345678901234567890",
    "-1.0",
    "1.5e300",
];
const CHARACTERS: &[char] = &[
    'a',
    'z',
    ' ',
    '0',
    '"',
    '\\',
    '/',
    '\n',
    '\t',
    '\r',
    '\u{8}',
    '\u{c}',
    '\u{0}',
    '\u{1f}',
    '\u{7f}',
    'é',
    '\u{800}',
    '\u{ffff}',
    '€',
    '\u{10000}',
    '\u{1F600}',
    '\u{10ffff}',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    'u',
];

struct Writer<'d> {
    dice: &'d mut Dice,
    shape: Shape,
    left: usize,
    out: Document,
}

impl Writer<'_> {
    fn put(&mut self, text: &str) {
        self.out.wire.push_str(text);
        self.out.twin.push_str(text);
    }

    fn gap(&mut self) {
        while self.dice.rarely(4) {
            let spaces: &[&str] = if self.shape.lines { &[" ", "\t", "\n", "\r", "\r\n"] } else { &[" ", "\t"] };
            let space = self.dice.pick(spaces);
            self.put(space);
        }
    }

    fn value(&mut self, depth: usize) {
        self.left = self.left.saturating_sub(1);
        match self.dice.below(10) {
            0..=2 if depth < 30 && self.left > 0 => self.object(depth),
            3..=4 if depth < 30 && self.left > 0 => self.array(depth),
            5..=7 => self.string(),
            8 => {
                let number = self.number();
                self.put(&number);
            }
            _ => {
                let word = self.dice.pick(&["null", "true", "false"]);
                self.put(word);
            }
        }
    }

    fn object(&mut self, depth: usize) {
        self.put("{");
        for at in 0..self.members() {
            self.put(if at > 0 { "," } else { "" });
            self.gap();
            self.key();
            self.gap();
            self.put(":");
            self.gap();
            self.value(depth + 1);
            self.gap();
        }
        self.gap();
        self.put("}");
    }

    fn array(&mut self, depth: usize) {
        self.put("[");
        for at in 0..self.members() {
            self.put(if at > 0 { "," } else { "" });
            self.gap();
            self.value(depth + 1);
            self.gap();
        }
        self.gap();
        self.put("]");
    }

    fn members(&mut self) -> usize {
        if self.left == 0 || self.dice.rarely(8) { 0 } else { 1 + self.dice.below(5) }
    }

    /// Writes one value inside up to 40 containers, with a few siblings.
    fn chain(&mut self) {
        let mut close = Vec::new();
        for depth in 0..1 + self.dice.below(40) {
            if self.dice.rarely(3) {
                self.put("[");
                close.push("]");
            } else {
                self.put("{");
                self.key();
                self.put(":");
                close.push("}");
            }
            if self.dice.rarely(6) {
                self.array(depth);
                let next = if close.last() == Some(&"]") { "," } else { ",\"a\":" };
                self.put(next);
            }
        }
        self.value(40);
        while let Some(bracket) = close.pop() {
            self.gap();
            self.put(bracket);
        }
    }

    fn key(&mut self) {
        let key = match self.dice.below(40) {
            0 => "k".repeat(250 + self.dice.below(12)),
            1..=20 => KEYS[self.dice.below(3)].to_owned(),
            _ => self.dice.pick(KEYS).to_owned(),
        };
        self.quoted(&key);
    }

    fn string(&mut self) {
        let length = match self.dice.below(30) {
            0 => 240 + self.dice.below(30),
            1 => 1000,
            _ => self.dice.below(9),
        };
        let plain = self.dice.rarely(2);
        let text: String =
            (0..length).map(|_| if plain { 'x' } else { CHARACTERS[self.dice.below(CHARACTERS.len())] }).collect();
        self.quoted(&text);
    }

    fn quoted(&mut self, text: &str) {
        self.put("\"");
        for character in text.chars() {
            self.character(character);
            if self.dice.rarely(60) {
                self.half_a_pair();
            }
        }
        self.put("\"");
    }

    fn character(&mut self, character: char) {
        let short = match character {
            '"' => "\\\"",
            '\\' => "\\\\",
            '/' => "\\/",
            '\n' => "\\n",
            '\t' => "\\t",
            '\r' => "\\r",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            _ => "",
        };
        let must = character < ' ' || matches!(character, '"' | '\\');
        if !short.is_empty() && (must || self.dice.rarely(2)) && !self.dice.rarely(4) {
            self.put(short);
        } else if must || self.dice.rarely(5) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let escape = self.escape(*unit);
                self.put(&escape);
            }
        } else {
            self.put(character.encode_utf8(&mut [0; 4]));
        }
    }

    /// Writes a lone low surrogate, or high surrogates without a low one.
    fn half_a_pair(&mut self) {
        let low = self.dice.rarely(2);
        for _ in 0..if low { 1 } else { 1 + self.dice.below(3) } {
            let unit = if low { 0xdc00 } else { 0xd800 } + self.dice.below(0x400) as u16;
            let escape = self.escape(unit);
            self.out.wire.push_str(&escape);
            self.out.twin.push_str("\\ufffd");
        }
        if !low {
            self.put("!");
        }
    }

    fn escape(&mut self, unit: u16) -> String {
        if self.dice.rarely(2) { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") }
    }

    fn number(&mut self) -> String {
        match self.dice.below(20) {
            0 => format!("0.{}", "1".repeat(240 + self.dice.below(30))),
            1 => self.dice.below(1 << 30).to_string(),
            _ => self.dice.pick(NUMBERS).to_owned(),
        }
    }
}
