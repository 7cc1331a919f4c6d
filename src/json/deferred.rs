//! Texts that may come late: passed over at first, and told when the piece of input ends or another text has to come behind them.
//!
//! Bound: the places of three texts.

use super::program::{Deferred, NONE, Program};
use super::search::closing;
use super::string::unescaped;
use super::{Scanner, State};

/// Places of texts that did not come yet, in a piece of input of `size` bytes; of none there can be any.
#[derive(Clone, Copy)]
pub(super) struct DeferredTexts {
    pub size: u32,
    pub count: u8,
    /// Node, first byte, byte behind the last quote.
    texts: [(u16, u32, u32); 3],
}

impl DeferredTexts {
    pub const NONE: DeferredTexts = DeferredTexts { size: 0, count: 0, texts: [(NONE, 0, 0); 3] };

    /// Whether there may be another.
    pub const fn has_room(&self) -> bool {
        self.size > 0 && (self.count as usize) < self.texts.len()
    }
}

impl Scanner {
    /// Passes on the texts of a piece that did not come yet.
    pub(super) fn catch_up<T>(&mut self, program: &Program<T>, target: &mut T, piece: &[u8]) {
        let count = core::mem::take(&mut self.deferred.count);
        for (node, start, end) in self.deferred.texts.iter().take(count.into()) {
            let text = piece.get(*start as usize..*end as usize).unwrap_or_default();
            if let Some(late) = program.node(*node).and_then(|n| n.deferred.as_ref()) {
                (late.later)(target, b"");
                unescaped(text, |piece| (late.later)(target, piece));
            }
        }
    }

    /// Passes over a text that may come late, where it is whole in this piece.
    pub(super) fn defer<'b, T>(&mut self, program: &Program<T>, target: &mut T, bytes: &'b [u8]) -> &'b [u8] {
        let late = program.node(self.node).and_then(|n| n.deferred.as_ref());
        let Some(rest) = late.and_then(|late| self.put_off(target, late, bytes)) else {
            self.state = State::Immediate;
            return bytes;
        };
        self.value_ended(program, target);
        rest
    }

    /// Notes where a text is; returns what follows its quote, or None where that is not in this piece.
    pub(super) fn put_off<'b, T>(&mut self, target: &mut T, late: &Deferred<T>, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let (text, rest) = bytes.split_at_checked(closing(bytes)? + 1)?;
        let start = self.deferred.size.saturating_sub(bytes.len() as u32);
        if let Some(slot) = self.deferred.texts.get_mut(usize::from(self.deferred.count)) {
            *slot = (self.node, start, start.saturating_add(text.len() as u32));
            self.deferred.count += 1;
        }
        if let Some(preview) = late.preview {
            preview(target, text);
        }
        Some(rest)
    }
}
