//! Objects and arrays: where values begin and end, and the stack of open containers.

use super::repeats::CallArgument;
use super::{Scanner, ScannerFrame, ScannerState};
use crate::bytes::TextDigest;
use crate::json::program::{Ended, NO_NODE, Program};

impl Scanner {
    /// Reads the first byte of a value.
    pub(super) fn begin_value<T>(&mut self, program: &Program<T>, target: &mut T, byte: u8) {
        let node = program.node(self.node);
        match byte {
            b'"' => {
                self.state = ScannerState::SkippedString;
                if let Some(node) = node.filter(|n| n.selects_string()) {
                    self.held.clear();
                    self.digest = TextDigest::new();
                    self.state = ScannerState::String;
                    if let Some(rule) = node.deferred.as_ref().filter(|_| self.deferred.piece_length > 0) {
                        let is_deferrable = self.deferred.has_room() && !(rule.is_awaited)(target);
                        self.state = if is_deferrable { ScannerState::Deferrable } else { ScannerState::Immediate };
                    } else if let Some(apply) = node.text {
                        apply(target, b"");
                    }
                }
            }
            b'{' => match node.filter(|n| n.selects_object()) {
                Some(node) => {
                    let index = self.top().filter(|f| f.is_array).map_or(0, |f| f.index);
                    if let Some(apply) = node.open {
                        apply(target, index);
                        self.repeats.note(self.node, CallArgument::Open(index));
                    }
                    if node.supersedes {
                        self.deferred.count = 0;
                    }
                    self.push(false);
                }
                None => self.begin_skipped_container(node, target, byte),
            },
            b'[' => match node.filter(|n| n.element != NO_NODE) {
                Some(node) => {
                    self.push(true);
                    self.node = node.element;
                }
                None => self.begin_skipped_container(node, target, byte),
            },
            b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.state = ScannerState::SkippedLiteral;
                if node.is_some_and(|n| n.scalar.is_some()) {
                    self.state = ScannerState::Literal;
                    self.held.clear();
                    self.held.push(&[byte]);
                }
            }
            _ => self.malformed(program, target),
        }
    }

    /// Enters a string that a text rule receives in pieces.
    pub(super) fn begin_text<T>(&mut self, program: &Program<T>, target: &mut T) {
        self.state = ScannerState::String;
        self.held.clear();
        if let Some(apply) = program.node(self.node).and_then(|n| n.text) {
            apply(target, b"");
        }
    }

    /// The innermost open container.
    pub(super) fn top(&self) -> Option<&ScannerFrame> {
        self.stack.get(usize::from(self.depth).checked_sub(1)?)
    }

    /// Opens a container. One that is nested too deeply is skipped.
    fn push(&mut self, is_array: bool) {
        let Some(frame) = self.stack.get_mut(usize::from(self.depth)) else {
            self.skip_depth = 1;
            self.state = ScannerState::SkippedContainer;
            return;
        };
        *frame = ScannerFrame { node: self.node, is_array, index: 0 };
        self.depth += 1;
        self.state = if is_array { ScannerState::ArrayStart } else { ScannerState::ObjectStart };
    }

    /// Closes the innermost open container.
    pub(super) fn pop<T>(&mut self, program: &Program<T>, target: &mut T) {
        if let Some(frame) = self.top().copied() {
            self.depth -= 1;
            if let Some(apply) = program.node(frame.node).and_then(|n| n.close).filter(|_| !frame.is_array) {
                apply(target);
                self.repeats.note(frame.node, CallArgument::Close);
            }
        }
        self.value_ended(program, target);
    }

    /// The current value is complete, and with it the document if no container is open.
    pub(super) fn value_ended<T>(&mut self, program: &Program<T>, target: &mut T) {
        self.state = ScannerState::AfterValue;
        if self.depth == 0 {
            self.reset();
            (program.end)(target, Ended::Whole);
        }
    }

    /// Ends the current document as malformed.
    pub(super) fn malformed<T>(&mut self, program: &Program<T>, target: &mut T) {
        self.reset();
        self.state = ScannerState::Malformed;
        (program.end)(target, Ended::Malformed);
    }

    /// Reads the byte after a value: a comma or a closing bracket.
    pub(super) fn after_value<T>(&mut self, program: &Program<T>, target: &mut T, byte: u8) {
        let at = usize::from(self.depth).wrapping_sub(1);
        let Some(frame) = self.stack.get_mut(at) else { return self.malformed(program, target) };
        match (byte, frame.is_array) {
            (b',', true) => {
                frame.index = frame.index.saturating_add(1);
                self.node = program.node(frame.node).map_or(NO_NODE, |n| n.element);
                self.state = ScannerState::Value;
            }
            (b',', false) => self.state = ScannerState::Key,
            (b']', true) | (b'}', false) => self.pop(program, target),
            _ => self.malformed(program, target),
        }
    }
}
