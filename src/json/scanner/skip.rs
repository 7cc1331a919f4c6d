//! Values that no rule looks into: the scanner finds their end and passes them to a raw rule if there is one.

use super::{Scanner, ScannerState};
use crate::bytes::TextDigest;
use crate::json::program::{Node, Program, Scalar};
use crate::json::search::plain_string;

impl Scanner {
    /// Reads the opening bracket of an object or array that no rule looks into. A scalar rule receives
    /// [`Scalar::Other`].
    pub(super) fn begin_skipped_container<T>(&mut self, node: Option<&Node<T>>, target: &mut T, byte: u8) {
        self.is_raw = false;
        self.is_hashed = node.is_some_and(|n| n.digest.is_some());
        if self.is_hashed {
            self.digest = TextDigest::EMPTY;
            self.digest.push(&[byte]);
        }
        if let Some(apply) = node.and_then(|n| n.raw) {
            self.is_raw = true;
            apply(target, b"");
            apply(target, &[byte]);
        }
        if let Some(apply) = node.and_then(|n| n.scalar) {
            apply(target, Scalar::Other);
        }
        self.skip_depth = 1;
        self.state = ScannerState::SkippedContainer;
    }

    /// Skips as much of a string as `bytes` has. Returns the remaining bytes.
    pub(super) fn read_skipped_string<'b, T>(
        &mut self,
        program: &Program<T>,
        target: &mut T,
        bytes: &'b [u8],
    ) -> &'b [u8] {
        let (rest, is_complete) = self.escape.skip_string(bytes);
        let is_in_container = self.state == ScannerState::SkippedContainerString;
        if is_in_container {
            self.pass_skipped(program, target, bytes, rest);
        }
        if is_complete && is_in_container {
            self.state = ScannerState::SkippedContainer;
        } else if is_complete {
            self.value_ended(program, target);
        }
        rest
    }

    /// Skips as much of an object or array as `bytes` has. Returns the remaining bytes.
    pub(super) fn read_skipped_container<'b, T>(
        &mut self,
        program: &Program<T>,
        target: &mut T,
        bytes: &'b [u8],
    ) -> &'b [u8] {
        let rest = self.skip_container(bytes);
        self.pass_skipped(program, target, bytes, rest);
        if self.skip_depth == 0 {
            if let Some(apply) = program.node(self.node).and_then(|n| n.digest).filter(|_| self.is_hashed) {
                apply(target, self.digest.finish());
            }
            self.value_ended(program, target);
        }
        rest
    }

    /// Passes the bytes from the start of `from` to the start of `to` to the raw rule, and hashes them if a rule wants the hash.
    /// `to` is the end of `from`.
    fn pass_skipped<T>(&mut self, program: &Program<T>, target: &mut T, from: &[u8], to: &[u8]) {
        if !self.is_raw && !self.is_hashed {
            return;
        }
        let passed = from.get(..from.len() - to.len()).unwrap_or_default();
        if self.is_hashed {
            self.digest.push(passed);
        }
        let raw = program.node(self.node).and_then(|n| n.raw);
        if let Some(apply) = raw.filter(|_| self.is_raw && !passed.is_empty()) {
            apply(target, passed);
        }
    }

    /// Counts brackets up to the end of the container or into a string that does not end in `bytes`. Returns the
    /// remaining bytes.
    fn skip_container<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'{' | b'[' | b'}' | b']')) {
            let Some((byte, tail)) = rest.get(at..).and_then(<[u8]>::split_first) else { break };
            rest = tail;
            match byte {
                b'"' => match plain_string(rest) {
                    Some((_, tail)) => rest = tail,
                    None => {
                        self.state = ScannerState::SkippedContainerString;
                        return rest;
                    }
                },
                b'{' | b'[' => self.skip_depth = self.skip_depth.saturating_add(1),
                _ => self.skip_depth -= 1,
            }
            if self.skip_depth == 0 {
                return rest;
            }
        }
        &[]
    }
}
