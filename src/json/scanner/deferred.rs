//! Deferred texts: strings that the scanner passes over first. Rules receive them at the end of the piece of input, or
//! before a text that must be passed on now, or never if a [`crate::json::On::Supersedes`] rule applies before that.
//!
//! Memory: the positions of three texts.

use super::{Scanner, ScannerState};
use crate::bytes::TextDigest;
use crate::json::program::{Deferred, NO_NODE, Program};
use crate::json::search::find_closing_quote;
use crate::json::string::unescape;

/// Positions of the deferred texts in the current piece of input.
#[derive(Clone, Copy)]
pub(super) struct DeferredTexts {
    /// Length of the piece in bytes. If it is 0, no text can be deferred.
    pub piece_length: u32,
    /// Number of texts in `texts`.
    pub count: u8,
    /// Node, position of the first byte, position after the closing quote.
    texts: [(u16, u32, u32); 3],
}

impl DeferredTexts {
    /// No text, and no piece of input.
    pub const NONE: DeferredTexts = DeferredTexts { piece_length: 0, count: 0, texts: [(NO_NODE, 0, 0); 3] };

    /// Returns true if one more text can be deferred.
    pub const fn has_room(&self) -> bool {
        self.piece_length > 0 && (self.count as usize) < self.texts.len()
    }
}

impl Scanner {
    /// Passes the deferred texts of `piece` to their rules, in order.
    pub(super) fn emit_deferred<T>(&mut self, program: &Program<T>, target: &mut T, piece: &[u8]) {
        let count = core::mem::take(&mut self.deferred.count);
        for (node, start, end) in self.deferred.texts.iter().take(count.into()) {
            let text = piece.get(*start as usize..*end as usize).unwrap_or_default();
            if let Some(rule) = program.node(*node).and_then(|n| n.deferred.as_ref()) {
                (rule.later)(target, b"");
                unescape(text, |piece| (rule.later)(target, piece));
            }
        }
    }

    /// Defers the string that starts at `bytes` and returns the bytes after it. If the string does not end in `bytes`,
    /// it must be passed on now: nothing is read.
    pub(super) fn defer_string<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        let rule = program.node(self.node).and_then(|n| n.deferred.as_ref());
        let Some(rest) = rule.and_then(|rule| self.try_defer(program, target, rule, bytes)) else {
            self.state = ScannerState::Immediate;
            return bytes;
        };
        self.value_ended(program, target);
        rest
    }

    /// Notes the position of the string that starts at `bytes`. Returns the bytes after its closing quote, or None if
    /// the string does not end in `bytes`.
    pub(super) fn try_defer<'b, T>(
        &mut self,
        program: &Program<T>,
        target: &mut T,
        rule: &Deferred<T>,
        bytes: &'b [u8],
    ) -> Option<&'b [u8]> {
        let (text, rest) = bytes.split_at_checked(find_closing_quote(bytes)? + 1)?;
        let start = self.deferred.piece_length.saturating_sub(bytes.len() as u32);
        if let Some(slot) = self.deferred.texts.get_mut(usize::from(self.deferred.count)) {
            *slot = (self.node, start, start.saturating_add(text.len() as u32));
            self.deferred.count += 1;
        }
        if let Some(preview) = rule.preview {
            preview(target, text);
        }
        if let Some(apply) = program.node(self.node).and_then(|n| n.digest) {
            apply(target, TextDigest::of(text.get(..text.len().saturating_sub(1)).unwrap_or_default()));
        }
        Some(rest)
    }
}
