//! The attempts of an answer that has a list of them, and calls of auxiliary models (Anthropic's `usage.iterations`).
//!
//! Specification: platform.claude.com/docs, compaction, advisor tool, and refusals and fallback. The list is the record of what
//! is billed. The response's own counts describe only the attempt that produced the answer.

use super::{Draft, entry};
use crate::json::{LIMIT, Scalar};
use crate::observation::{Text, Unpriced, Usage};

/// Maximum number of different models whose attempts are kept apart.
const MODELS: usize = 8;

/// How an entry of the list is billed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum AttemptKind {
    /// An attempt of the model that was asked. The response's own counts include it, unless another model has answered.
    #[default]
    Asked,
    /// The attempt of another model that has answered. The response's own counts are its counts.
    Answered,
    /// A call beside the answer, which the response's own counts do not include.
    Auxiliary,
    /// The same by the model of a tool.
    Tool,
}

/// The sum of the attempts of one kind by one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BilledAttempt {
    kind: AttemptKind,
    /// None if the entry names no model.
    pub model: Option<Text>,
    /// Its counts, as they are reported. Input includes cached input.
    pub usage: Usage,
    /// Image tokens of the input.
    pub input_image: u64,
    /// Image tokens of the output.
    pub output_image: u64,
    /// Input tokens that were written to a cache for one hour.
    pub cache_write_1h: u64,
}

impl BilledAttempt {
    /// Returns true if the model of a tool made it.
    pub fn is_by_tool(&self) -> bool {
        self.kind == AttemptKind::Tool
    }
}

/// The list of attempts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attempts {
    /// The entry that is being read. Its input does not include cached input.
    open: BilledAttempt,
    closed: Vec<BilledAttempt>,
    /// The model of the first attempt, if another one has answered.
    first_model: Option<Text>,
    /// The model of a tool.
    tool_model: Option<Text>,
    /// True if there were more models than [`MODELS`].
    has_more_models: bool,
}

impl Attempts {
    /// Memory of the list without its entries, in bytes.
    pub const BOUND: usize = size_of::<Attempts>() + 3 * LIMIT;

    /// The attempts that the response's own counts do not include. An attempt that was declined before any output is not billed.
    pub fn extra(&self) -> impl Iterator<Item = BilledAttempt> + '_ {
        let other_answered = self.closed.iter().any(|attempt| attempt.kind == AttemptKind::Answered);
        let is_extra = move |attempt: &&BilledAttempt| match attempt.kind {
            AttemptKind::Auxiliary | AttemptKind::Tool => true,
            AttemptKind::Asked => other_answered && attempt.usage.output.is_some_and(|output| output > 0),
            AttemptKind::Answered => false,
        };
        self.closed.iter().filter(is_extra).map(|attempt| {
            let model = match attempt.kind {
                AttemptKind::Asked => attempt.model.as_ref().or(self.first_model.as_ref()),
                AttemptKind::Tool => self.tool_model.as_ref().or(attempt.model.as_ref()),
                _ => attempt.model.as_ref(),
            };
            BilledAttempt { model: model.cloned(), ..attempt.clone() }
        })
    }

    /// Returns [`Unpriced::MODEL`] if attempts of more models took part than are kept, because those attempts are not priced.
    pub fn unpriced(&self) -> Unpriced {
        let mut unpriced = Unpriced::default();
        if self.has_more_models {
            unpriced.add(Unpriced::MODEL);
        }
        unpriced
    }

    /// Ends the entry that is being read. `has_room`: another one fits into the memory.
    fn close(&mut self, kind: AttemptKind, has_room: bool) {
        let mut open = BilledAttempt { kind, ..core::mem::take(&mut self.open) };
        let cached = [open.usage.cache_read, open.usage.cache_creation];
        let cached = cached.map(|input| Usage { input, ..Usage::default() });
        open.usage = cached.iter().fold(open.usage, Usage::and);
        let same = |attempt: &&mut BilledAttempt| attempt.kind == kind && attempt.model == open.model;
        let is_full = !has_room || self.closed.len() >= MODELS;
        match self.closed.iter_mut().find(same) {
            Some(attempt) => {
                attempt.usage = attempt.usage.and(&open.usage);
                for (sum, count) in [
                    (&mut attempt.input_image, open.input_image),
                    (&mut attempt.output_image, open.output_image),
                    (&mut attempt.cache_write_1h, open.cache_write_1h),
                ] {
                    *sum = sum.saturating_add(count);
                }
            }
            None if is_full => self.has_more_models = true,
            None => self.closed.push(open),
        }
    }
}

/// Rules of attempts.
impl Draft {
    /// The list of attempts. None if there is no memory for it.
    fn attempts(&mut self) -> Option<&mut Attempts> {
        if !self.counts.has_attempts() && !self.keeps(Attempts::BOUND) {
            return None;
        }
        Some(self.counts.attempts())
    }

    /// Sets a count of the attempt that is being read.
    #[inline(never)]
    pub fn attempt_count(&mut self, value: Scalar<'_>, slot: fn(&mut Usage) -> &mut Option<u64>) {
        let count = self.checked_count(value);
        if let Some(attempts) = self.attempts() {
            *slot(&mut attempts.open.usage) = count;
        }
    }

    /// Sets a count of the attempt that is a part of another one. A value that is not a count is ignored.
    #[inline(never)]
    pub fn attempt_detail(&mut self, value: Scalar<'_>, slot: fn(&mut BilledAttempt) -> &mut u64) {
        if let (Some(count), Some(attempts)) = (value.count(), self.attempts()) {
            *slot(&mut attempts.open) = count;
        }
    }

    /// Sets the model of a tool that generates with a model of its own.
    pub fn tool_model(&mut self, value: Scalar<'_>) {
        if let Some(attempts) = self.attempts() {
            attempts.tool_model = value.text().filter(|model| !model.is_empty());
        }
    }

    /// The usage of a tool with a model of its own ends. A later one replaces it. `model`: the model if nothing else names it.
    pub fn tool_usage_closed(&mut self, model: &'static str) {
        let Some(attempts) = self.attempts() else { return };
        attempts.closed.retain(|attempt| attempt.kind != AttemptKind::Tool);
        let used = &attempts.open.usage;
        let is_used = used.input.max(used.output) > Some(0);
        let has_room = is_used && self.keeps(entry::<BilledAttempt>(model.len()));
        let Some(attempts) = self.attempts() else { return };
        if is_used {
            attempts.open.model = Some(model.into());
            attempts.close(AttemptKind::Tool, has_room);
        }
        attempts.open = BilledAttempt::default();
    }

    /// Sets the model of the attempt that is being read.
    pub fn attempt_model(&mut self, value: Scalar<'_>) {
        if let Some(attempts) = self.attempts() {
            attempts.open.model = value.text().filter(|model| !model.is_empty());
        }
    }

    /// An attempt ends, the open part of a list. A list replaces the one before it.
    pub fn attempt_closed(&mut self, kind: AttemptKind) {
        let is_first = self.open.part.index == 0;
        let answered = self.observation.response.model.clone();
        let Some(attempts) = self.attempts() else { return };
        if is_first {
            attempts.closed.clear();
            attempts.has_more_models = false;
        }
        let model = attempts.open.model.clone();
        let is_new = !attempts.closed.iter().any(|attempt| attempt.kind == kind && attempt.model == model);
        let length = model.as_deref().map_or(0, str::len);
        let has_room = !is_new || self.keeps(entry::<BilledAttempt>(length));
        let Some(attempts) = self.attempts() else { return };
        attempts.close(kind, has_room);
        if kind == AttemptKind::Answered && model.is_some() {
            if attempts.first_model.is_none() {
                attempts.first_model = answered;
            }
            self.observation.response.model = model;
        }
    }
}
