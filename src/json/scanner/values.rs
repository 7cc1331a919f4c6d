//! Strings and literals that a rule selects.

use super::{LIMIT, Scanner, ScannerState};
use crate::json::number;
use crate::json::program::{Node, Program, Scalar};
use crate::json::search::{is_literal_byte, plain_string};

impl Scanner {
    /// Reads a string up to its closing quote, or as much of it as `bytes` has. Returns the remaining bytes.
    pub(super) fn read_string<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        let Some(node) = program.node(self.node) else { return &[] };
        if let Some(apply) = node.text {
            let (rest, is_complete) = self.escape.decode(bytes, |piece| apply(target, piece));
            self.digest_string(target, node, bytes, rest, is_complete);
            if is_complete {
                self.value_ended(program, target);
            }
            return rest;
        }
        let is_at_start = self.held.is_clear() && !self.escape.is_open();
        let plain = if is_at_start { plain_string(bytes) } else { None };
        let (value, rest) = match plain {
            Some((value, rest)) => (Some(value), rest),
            None => {
                let (rest, is_complete) = self.escape.decode(bytes, |piece| self.held.push(piece));
                if !is_complete {
                    self.digest_string(target, node, bytes, rest, false);
                    return rest;
                }
                (self.held.value(), rest)
            }
        };
        if let Some(apply) = node.scalar {
            emit_string(apply, target, value);
        }
        self.digest_string(target, node, bytes, rest, true);
        self.value_ended(program, target);
        rest
    }

    /// Adds the bytes before `rest` to the hash of the string, if a rule of `node` wants it. The last of them is the closing quote
    /// if the string is complete.
    fn digest_string<T>(&mut self, target: &mut T, node: &Node<T>, bytes: &[u8], rest: &[u8], is_complete: bool) {
        let Some(apply) = node.digest else { return };
        let end = bytes.len().saturating_sub(rest.len() + usize::from(is_complete));
        self.digest.push(bytes.get(..end).unwrap_or_default());
        if is_complete {
            apply(target, self.digest.finish());
        }
    }

    /// Reads a literal up to the first byte after it, or as much of it as `bytes` has. Returns the remaining bytes.
    pub(super) fn read_literal<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        let end = bytes.iter().position(|b| !is_literal_byte(*b)).unwrap_or(bytes.len());
        let (literal, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        if self.state == ScannerState::Literal {
            self.held.push(literal);
        }
        if !rest.is_empty() {
            self.literal_ended(program, target);
            self.value_ended(program, target);
        }
        rest
    }

    /// Passes the literal to its rule.
    pub(super) fn literal_ended<T>(&mut self, program: &Program<T>, target: &mut T) {
        if self.state != ScannerState::Literal {
            return;
        }
        if let Some(apply) = program.node(self.node).and_then(|n| n.scalar) {
            apply(target, self.held.value().map_or(Scalar::Other, literal_value));
        }
    }
}

/// Passes a decoded string to a scalar rule. None and strings longer than [`LIMIT`] become [`Scalar::Other`].
pub(super) fn emit_string<T>(apply: fn(&mut T, Scalar<'_>), target: &mut T, value: Option<&[u8]>) {
    match value.filter(|v| v.len() <= LIMIT).map(|v| (v, core::str::from_utf8(v))) {
        Some((_, Ok(text))) => apply(target, Scalar::Text(text)),
        Some((bytes, Err(_))) => apply(target, Scalar::Text(&String::from_utf8_lossy(bytes))),
        None => apply(target, Scalar::Other),
    }
}

/// The value of a literal. One that is not JSON becomes [`Scalar::Other`].
pub(super) fn literal_value(literal: &[u8]) -> Scalar<'_> {
    // Patterns of single bytes: the compiler turns a pattern such as b"null" into a call of memcmp.
    match literal {
        [b'n', b'u', b'l', b'l'] => Scalar::Null,
        [b't', b'r', b'u', b'e'] => Scalar::Bool(true),
        [b'f', b'a', b'l', b's', b'e'] => Scalar::Bool(false),
        [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => match core::str::from_utf8(literal) {
            Ok(text) if number::parse(text).is_some() => Scalar::Number(text),
            _ => Scalar::Other,
        },
        _ => Scalar::Other,
    }
}
