//! The syntax of the operator's own patterns: that of the crate `regex-lite`.
//!
//! `\d`, `\s`, `\w`, `\b` and `(?i)` know ASCII only, so that the plugin has no Unicode tables. `.` and negated classes match
//! whole characters. The parser of `regex-syntax` knows more and is 40 KB larger. Bound: the nesting of a pattern is limited,
//! and with it the recursion here and in what compiles the result.

use std::mem;

use regex_syntax::hir::{Class, ClassUnicode, Dot, Hir, Look, Repetition};

use super::class::{folded, named, negated, range};

/// Most groups inside of each other, and most repetitions of a repetition.
const NESTING: u32 = 50;

/// What is wrong with a pattern.
type Error = &'static str;

/// Parses a pattern.
///
/// # Errors
/// What is wrong with the pattern.
pub fn parse(pattern: &str) -> Result<Hir, Error> {
    let mut parser = Parser { rest: pattern, flags: Flags::default(), groups: 0, stacked: 0 };
    let parsed = parser.alternation()?;
    if parser.rest.is_empty() { Ok(parsed) } else { Err("a group is closed that is not open") }
}

/// The flags that are set at a place of a pattern.
#[derive(Clone, Copy, Default)]
struct Flags {
    /// `i`
    ignores_case: bool,
    /// `m`
    many_lines: bool,
    /// `s`
    dot_is_any: bool,
    /// `U`
    lazy: bool,
    /// `R`
    crlf: bool,
    /// `x`
    verbose: bool,
}

/// What an escape sequence stands for.
enum Escaped {
    Char(char),
    Class(ClassUnicode),
    Look(Look),
}

struct Parser<'a> {
    rest: &'a str,
    flags: Flags,
    /// Groups that are open.
    groups: u32,
    /// Repetitions so far of which the operand is a repetition without a group.
    stacked: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let first = chars.next();
        self.rest = chars.as_str();
        first
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// With the flag `x`, passes over whitespace and comments.
    fn skip_space(&mut self) {
        while self.flags.verbose {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix('#') else { return };
            self.rest = comment.split_once('\n').map_or("", |(_, after)| after);
        }
    }

    /// Parses alternatives up to the end of the group or of the pattern.
    fn alternation(&mut self) -> Result<Hir, Error> {
        let (mut alternatives, mut concat, mut repeated) = (Vec::new(), Vec::new(), false);
        loop {
            self.skip_space();
            let repeats = matches!(self.peek(), Some('?' | '*' | '+' | '{'));
            match self.peek() {
                None | Some(')') => break,
                Some('|') => {
                    self.bump();
                    alternatives.push(Hir::concat(mem::take(&mut concat)));
                }
                Some('(') => concat.extend(self.group()?),
                Some(_) if repeats => {
                    self.stacked += u32::from(repeated);
                    let operand = concat.pop().filter(|_| self.stacked <= NESTING);
                    let repetition = self.repetition(operand.ok_or("a repetition has nothing to repeat")?)?;
                    concat.push(repetition);
                }
                Some(_) => concat.push(self.single()?),
            }
            repeated = repeats;
        }
        alternatives.push(Hir::concat(concat));
        Ok(Hir::alternation(alternatives))
    }

    /// Parses a group, or flags for the rest of the group around them: then there is no expression.
    fn group(&mut self) -> Result<Option<Hir>, Error> {
        self.bump();
        let outer = self.flags;
        self.skip_space();
        if ["?=", "?!", "?<=", "?<!"].iter().any(|prefix| self.rest.starts_with(prefix)) {
            return Err("look-around is not supported");
        }
        // What a group captures, and its name, are not used.
        if self.eat("?P<") || self.eat("?<") {
            let (name, rest) = self.rest.split_once('>').ok_or("the name of a group has no end")?;
            if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
                return Err("the name of a group is invalid");
            }
            self.rest = rest;
        } else if self.eat("?") && self.flags()? {
            return Ok(None);
        }
        self.groups += 1;
        if self.groups > NESTING {
            return Err("too many groups are inside of each other");
        }
        let inner = self.alternation()?;
        self.groups -= 1;
        self.flags = outer;
        if self.eat(")") { Ok(Some(inner)) } else { Err("a group is not closed") }
    }

    /// Parses flags. Returns whether the group ends with them.
    fn flags(&mut self) -> Result<bool, Error> {
        let mut on = true;
        if self.rest.starts_with(')') {
            return Err("a group has no flags");
        }
        loop {
            match self.bump() {
                Some('-') if on => on = false,
                Some('i') => self.flags.ignores_case = on,
                Some('m') => self.flags.many_lines = on,
                Some('s') => self.flags.dot_is_any = on,
                Some('U') => self.flags.lazy = on,
                Some('R') => self.flags.crlf = on,
                Some('x') => self.flags.verbose = on,
                Some('u') => {}
                Some(':') => return Ok(false),
                Some(')') => return Ok(true),
                _ => return Err("a flag is unknown"),
            }
        }
    }

    fn repetition(&mut self, operand: Hir) -> Result<Hir, Error> {
        let (min, max) = match self.bump() {
            Some('?') => (0, Some(1)),
            Some('*') => (0, None),
            Some('+') => (1, None),
            _ => {
                let (counts, rest) = self.rest.split_once('}').ok_or("a counted repetition has no end")?;
                self.rest = rest;
                self.skip_space();
                let number = |text: &str| {
                    let text = text.trim();
                    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                    text.parse().ok().filter(|_| digits).ok_or("the count of a repetition is no number")
                };
                match counts.split_once(',') {
                    None => (number(counts)?, Some(number(counts)?)),
                    Some((min, max)) if max.trim().is_empty() => (number(min)?, None),
                    Some((min, max)) => (number(min)?, Some(number(max)?)),
                }
            }
        };
        if max.is_some_and(|max| max < min) {
            return Err("the least count of a repetition is above its most");
        }
        let greedy = self.eat("?") == self.flags.lazy;
        Ok(Hir::repetition(Repetition { min, max, greedy, sub: Box::new(operand) }))
    }

    /// Parses a character, a class or an assertion.
    fn single(&mut self) -> Result<Hir, Error> {
        let Flags { ignores_case, many_lines, dot_is_any, crlf, .. } = self.flags;
        Ok(match self.bump().unwrap_or_default() {
            '.' if dot_is_any => Hir::dot(Dot::AnyChar),
            '.' if crlf => Hir::dot(Dot::AnyCharExceptCRLF),
            '.' => Hir::dot(Dot::AnyCharExceptLF),
            '^' => Hir::look(if !many_lines {
                Look::Start
            } else if crlf {
                Look::StartCRLF
            } else {
                Look::StartLF
            }),
            '$' => Hir::look(if !many_lines {
                Look::End
            } else if crlf {
                Look::EndCRLF
            } else {
                Look::EndLF
            }),
            '[' => Hir::class(Class::Unicode(self.class()?)),
            '\\' => match self.escape()? {
                Escaped::Char(c) => Hir::class(Class::Unicode(folded(range(c, c), ignores_case))),
                Escaped::Class(class) => Hir::class(Class::Unicode(class)),
                Escaped::Look(look) => Hir::look(look),
            },
            c => Hir::class(Class::Unicode(folded(range(c, c), ignores_case))),
        })
    }

    /// Parses what follows a backslash.
    fn escape(&mut self) -> Result<Escaped, Error> {
        let class = |name, negate| named(name).map(|class| Escaped::Class(negated(class, negate)));
        let escaped = match self.bump().ok_or("an escape sequence has no end")? {
            '0'..='9' => return Err("backreferences are not supported"),
            'p' | 'P' => return Err("Unicode classes are not supported"),
            'x' => Escaped::Char(self.hexadecimal(2)?),
            'u' => Escaped::Char(self.hexadecimal(4)?),
            'U' => Escaped::Char(self.hexadecimal(8)?),
            c @ ('d' | 'D') => return class("digit", c == 'D'),
            c @ ('s' | 'S') => return class("space", c == 'S'),
            c @ ('w' | 'W') => return class("word", c == 'W'),
            'a' => Escaped::Char('\x07'),
            'f' => Escaped::Char('\x0c'),
            't' => Escaped::Char('\t'),
            'n' => Escaped::Char('\n'),
            'r' => Escaped::Char('\r'),
            'v' => Escaped::Char('\x0b'),
            'A' => Escaped::Look(Look::Start),
            'z' => Escaped::Look(Look::End),
            'b' if self.eat("{start}") => Escaped::Look(Look::WordStartAscii),
            'b' if self.eat("{end}") => Escaped::Look(Look::WordEndAscii),
            'b' if self.eat("{start-half}") => Escaped::Look(Look::WordStartHalfAscii),
            'b' if self.eat("{end-half}") => Escaped::Look(Look::WordEndHalfAscii),
            'b' => Escaped::Look(Look::WordAscii),
            'B' => Escaped::Look(Look::WordAsciiNegate),
            '<' => Escaped::Look(Look::WordStartAscii),
            '>' => Escaped::Look(Look::WordEndAscii),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Escaped::Char(c),
            _ => return Err("an escape sequence is unknown"),
        };
        Ok(escaped)
    }

    /// Parses the number of a character: so many digits, or any number of them in braces.
    fn hexadecimal(&mut self, count: usize) -> Result<char, Error> {
        let wrong = "the number of a character is invalid";
        let braced = self.rest.strip_prefix('{').map(|rest| rest.split_once('}'));
        let (digits, rest) = braced.unwrap_or_else(|| self.rest.split_at_checked(count)).ok_or(wrong)?;
        self.rest = rest;
        let number = u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
        number.and_then(char::from_u32).ok_or(wrong)
    }

    /// Parses a class after its opening bracket.
    fn class(&mut self) -> Result<ClassUnicode, Error> {
        let mut union = ClassUnicode::empty();
        self.skip_space();
        let negate = self.eat("^");
        self.skip_space();
        // A dash and a closing bracket are characters where they are first.
        let mut first = true;
        while self.eat("-") {
            union.union(&range('-', '-'));
            first = false;
            self.skip_space();
        }
        if first && self.eat("]") {
            union.union(&range(']', ']'));
        }
        loop {
            self.skip_space();
            if self.eat("]") {
                return Ok(negated(folded(union, self.flags.ignores_case), negate));
            }
            if ["&&", "--", "~~"].iter().any(|operator| self.rest.starts_with(operator)) {
                return Err("operations on classes are not supported");
            }
            if self.eat("[:") {
                let (name, rest) = self.rest.split_once(":]").ok_or("the name of a class has no end")?;
                let bare = name.strip_prefix('^');
                union.union(&negated(named(bare.unwrap_or(name))?, bare.is_some()));
                self.rest = rest;
                continue;
            }
            if self.rest.starts_with('[') {
                return Err("classes inside of classes are not supported");
            }
            match self.item()? {
                Escaped::Char(start) => {
                    self.skip_space();
                    let end = if self.is_range() { self.range_end()? } else { start };
                    if end < start {
                        return Err("a range ends before its start");
                    }
                    union.union(&range(start, end));
                }
                Escaped::Class(class) => union.union(&class),
                Escaped::Look(_) => return Err("an assertion is in a class"),
            }
        }
    }

    /// Parses one character or one escape sequence of a class.
    fn item(&mut self) -> Result<Escaped, Error> {
        match self.bump() {
            None => Err("a class is not closed"),
            Some('\\') => self.escape(),
            Some(c) => Ok(Escaped::Char(c)),
        }
    }

    /// Whether a dash follows that is neither the last character of the class nor half of an operator.
    fn is_range(&self) -> bool {
        let mut after = Parser { flags: self.flags, ..*self };
        after.eat("-") && {
            after.skip_space();
            !matches!(after.peek(), Some(']' | '-'))
        }
    }

    fn range_end(&mut self) -> Result<char, Error> {
        self.bump();
        self.skip_space();
        match self.item()? {
            Escaped::Char(end) => Ok(end),
            _ => Err("a range does not end with a character"),
        }
    }
}
