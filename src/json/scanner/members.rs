//! Members of objects: keys, and a fast path for members that arrive whole.

use super::repeats::CallArgument;
use super::values::{emit_string, literal_value};
use super::{LIMIT, Scanner, ScannerState};
use crate::json::program::{NO_NODE, Program, Scalar};
use crate::json::search::{is_literal_byte, plain_string};

impl Scanner {
    /// Fast path: reads members whose key and value are complete in `bytes` and contain no escape and no blank. Almost
    /// all members are like this. `bytes` begin after the opening quote of a key. Stops at the first byte that it
    /// cannot read, with the state for that byte, and returns the remaining bytes.
    pub(super) fn read_plain_members<'b, T>(
        &mut self,
        program: &Program<T>,
        target: &mut T,
        bytes: &'b [u8],
    ) -> &'b [u8] {
        let parent = self.top().and_then(|f| program.node(f.node));
        let mut rest = bytes;
        loop {
            let Some((key, [b':', value @ ..])) = plain_string(rest) else { return rest };
            self.node = parent.map_or(NO_NODE, |n| program.member(n, key));
            self.state = ScannerState::Value;
            let node = program.node(self.node);
            let after = match value {
                [b'"', inside @ ..] if node.is_none_or(|n| n.text.is_none() && n.digest.is_none()) => {
                    let Some((string, after)) = plain_string(inside) else { return value };
                    if let Some(apply) = node.and_then(|n| n.scalar) {
                        emit_string(apply, target, Some(string));
                        self.repeats.note(self.node, CallArgument::String(inside.len() as u32, string.len() as u32));
                    }
                    after
                }
                [b'"', inside @ ..] => {
                    let rule = node.and_then(|n| n.deferred.as_ref());
                    let rule = rule.filter(|rule| self.deferred.has_room() && !(rule.is_awaited)(target));
                    let Some(after) = rule.and_then(|rule| self.try_defer(program, target, rule, inside)) else {
                        return value;
                    };
                    after
                }
                [b'-' | b'0'..=b'9' | b'a'..=b'z', ..] => {
                    let end = value.iter().position(|b| !is_literal_byte(*b)).unwrap_or(value.len());
                    let (literal, after) = value.split_at_checked(end).unwrap_or((value, &[]));
                    if after.is_empty() {
                        return value;
                    }
                    if let Some(apply) = node.and_then(|n| n.scalar) {
                        apply(target, if end <= LIMIT { literal_value(literal) } else { Scalar::Other });
                        self.repeats.note(self.node, CallArgument::Literal(value.len() as u32, end as u32));
                    }
                    after
                }
                _ => return value,
            };
            self.state = ScannerState::AfterValue;
            match after {
                [b',', b'"', next @ ..] => {
                    self.state = ScannerState::KeyString;
                    rest = next;
                }
                _ => return after,
            }
        }
    }

    /// Reads a key up to its closing quote, or as much of it as `bytes` has. Returns the remaining bytes.
    pub(super) fn read_key<'b, T>(&mut self, program: &Program<T>, bytes: &'b [u8]) -> &'b [u8] {
        let parent = self.top().and_then(|f| program.node(f.node));
        let is_at_start = self.held.is_clear() && !self.escape.is_open();
        let plain = if is_at_start { plain_string(bytes) } else { None };
        let (key, rest) = match plain {
            Some((key, rest)) => (Some(key), rest),
            None => {
                let (rest, is_complete) = self.escape.decode(bytes, |piece| self.held.push(piece));
                if !is_complete {
                    return rest;
                }
                (self.held.value(), rest)
            }
        };
        self.node = match (parent, key) {
            (Some(node), Some(key)) => program.member(node, key),
            (Some(node), None) => node.any,
            (None, _) => NO_NODE,
        };
        self.state = ScannerState::Colon;
        rest
    }
}
