//! Token counts, counts of steps, quantities beside the tokens, and costs, as the response reports them.

use super::{Draft, TokenCounts, TokenSlot, WireCost};
use crate::json::Scalar;
use crate::observation::{COST_LIMIT, COUNT_LIMIT, ParseError, Quantities, Usage};

/// Quantities that the response reports beside the token counts. Only the cost depends on them.
pub type UsageDetails = Quantities<'static>;

/// Everything that the response reports as used.
#[derive(Debug, Default)]
pub struct Counts {
    tokens: TokenCounts,
    cost: WireCost,
    details: UsageDetails,
    /// Present if the response has steps with counts of their own.
    steps: Option<Box<Steps>>,
}

/// The counts of an answer's steps (Anthropic).
#[derive(Clone, Debug, Default, PartialEq)]
struct Steps {
    /// Counts of the step that is being read. Its input does not include cached input.
    open: Usage,
    /// Sum of the steps that the response's own counts do not include, as it is reported.
    extra: Usage,
}

impl Counts {
    /// The tokens, without extra steps, as they are reported.
    pub fn usage(&self) -> Usage {
        self.tokens.usage()
    }

    /// All tokens, as they are reported. Sums can be above [`COUNT_LIMIT`].
    pub fn usage_with_steps(&self) -> Usage {
        let usage = self.usage();
        self.extra_steps().map_or(usage, |extra| usage.and(extra))
    }

    /// The tokens of steps that the response's own counts do not include. None if the response has no steps.
    pub fn extra_steps(&self) -> Option<&Usage> {
        self.steps.as_ref().map(|steps| &steps.extra)
    }

    /// The quantities beside the token counts.
    pub fn details(&self) -> UsageDetails {
        self.details
    }

    /// The cost that the response reports, in nano-dollars.
    pub fn reported_cost(&self) -> Option<u64> {
        self.cost.total()
    }
}

/// Rules of counts. A count is a whole number from 0 to [`COUNT_LIMIT`].
impl Draft {
    /// Sets a count. The last one counts. Null is ignored. Any other value is ignored and reported as [`ParseError::Number`].
    #[inline(never)]
    pub fn count(&mut self, value: Scalar<'_>, slot: TokenSlot) {
        if let Some(count) = self.checked_count(value) {
            *slot(&mut self.counts.tokens) = Some(count);
        }
    }

    /// As [`Draft::count`], but 0 does not replace a count.
    #[inline(never)]
    pub fn count_unless_zero(&mut self, value: Scalar<'_>, slot: TokenSlot) {
        if value.count() != Some(0) || slot(&mut self.counts.tokens).is_none() {
            self.count(value, slot);
        }
    }

    /// Adds to the input, in APIs that count each part of it.
    pub fn add_input(&mut self, value: Scalar<'_>) {
        let before = self.counts.tokens.input.take();
        self.count(value, |c| &mut c.input);
        let tokens = &mut self.counts.tokens;
        tokens.input = match (before, tokens.input) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
    }

    /// The input count does not include cached input.
    pub fn input_excludes_cache(&mut self) {
        self.counts.tokens.excludes_cache = true;
    }

    /// The output count does not include reasoning.
    pub fn output_excludes_reasoning(&mut self) {
        self.counts.tokens.excludes_reasoning = true;
    }

    /// Sets a count of the step that is being read.
    #[inline(never)]
    pub fn step_count(&mut self, value: Scalar<'_>, slot: fn(&mut Usage) -> &mut Option<u64>) {
        let count = self.checked_count(value);
        *slot(&mut self.counts.steps.get_or_insert_default().open) = count;
    }

    /// A step ends, the open part of a list. `is_extra`: the response's own counts do not include it. A list replaces the one
    /// before it.
    pub fn step_closed(&mut self, is_extra: bool) {
        let Steps { open, extra } = &mut **self.counts.steps.get_or_insert_default();
        let open = core::mem::take(open);
        if self.open.part.index == 0 {
            *extra = Usage::default();
        }
        if is_extra {
            let cached = [open.cache_read, open.cache_creation].map(|input| Usage { input, ..Usage::default() });
            *extra = cached.iter().fold(extra.and(&open), Usage::and);
        }
    }

    fn checked_count(&mut self, value: Scalar<'_>) -> Option<u64> {
        let count = value.count();
        if count.is_none() && value != Scalar::Null {
            self.report(ParseError::Number);
        }
        count
    }
}

/// Rules of quantities beside the token counts.
impl Draft {
    /// Sets a quantity. The last one that is not 0 counts. A value that is no count is ignored. It is reported as
    /// [`ParseError::Number`] only if it is a number above [`COUNT_LIMIT`].
    #[inline(never)]
    pub fn detail(&mut self, value: Scalar<'_>, slot: fn(&mut UsageDetails) -> &mut u64) {
        self.check_limit(value, COUNT_LIMIT as f64);
        if let Some(count) = value.count().filter(|count| *count > 0) {
            *slot(&mut self.counts.details) = count;
        }
    }

    /// Sets a quantity to the tokens of the open part.
    pub fn detail_from_part(&mut self, slot: fn(&mut UsageDetails) -> &mut u64) {
        *slot(&mut self.counts.details) = self.open.part.tokens;
    }

    /// The tokens of the open part, which is an entry of a list of counts.
    #[inline(never)]
    pub fn part_tokens(&mut self, value: Scalar<'_>) {
        self.check_limit(value, COUNT_LIMIT as f64);
        self.open.part.tokens = value.count().unwrap_or(0);
    }

    /// An entry of a list of counts by modality ends. `slots` are those of audio, images and video. A list replaces the one
    /// before it. Text has no count of its own: it is the rest.
    #[inline(never)]
    pub fn modality_closed(&mut self, slots: fn(&mut UsageDetails) -> [Option<&mut u64>; 3]) {
        let part = core::mem::take(&mut self.open.part);
        let kinds: [&[&str]; 3] = [&["AUDIO"], &["IMAGE", "DOCUMENT"], &["VIDEO"]];
        for (slot, kinds) in slots(&mut self.counts.details).into_iter().zip(kinds) {
            let Some(slot) = slot else { continue };
            if part.index == 0 {
                *slot = 0;
            }
            if kinds.iter().any(|kind| part.kind.as_str().eq_ignore_ascii_case(kind)) {
                *slot = slot.saturating_add(part.tokens).min(COUNT_LIMIT);
            }
        }
    }

    /// The output is images, unless the response reports how many tokens of it are.
    pub fn output_is_images(&mut self) {
        if self.counts.details.output_image == 0 {
            self.counts.details.output_image = self.counts.tokens.output.unwrap_or(0);
        }
    }

    /// The service tier: one of OpenAI's names, or a word that ends in `_` and one. The last one counts.
    #[inline(never)]
    pub fn service_tier(&mut self, value: Scalar<'_>) {
        if let Scalar::Text(word) = value {
            let word = word.rsplit('_').next().unwrap_or_default();
            let priced = ["batch", "flex", "priority", "fast"];
            let tier = priced.into_iter().find(|tier| word.eq_ignore_ascii_case(tier)).unwrap_or_default();
            self.counts.details.tier = tier;
        }
    }

    /// The length of audio, in seconds, which is rounded up. A length above [`COUNT_LIMIT`] is reported as [`ParseError::Number`].
    #[inline(never)]
    pub fn audio_seconds(&mut self, value: Scalar<'_>) {
        self.check_limit(value, COUNT_LIMIT as f64);
        if let Some(seconds) = value.float().filter(|seconds| (0.0..=COUNT_LIMIT as f64).contains(seconds)) {
            self.counts.details.audio_seconds = seconds.ceil() as u64;
        }
    }

    /// Returns true if a number is at most `limit`. If it is not, reports [`ParseError::Number`].
    fn check_limit(&mut self, value: Scalar<'_>, limit: f64) -> bool {
        let exceeds = value.exceeds(limit);
        if exceeds {
            self.report(ParseError::Number);
        }
        !exceeds
    }
}

/// Rules of costs. A cost above [`COST_LIMIT`] is reported as [`ParseError::Number`].
impl Draft {
    /// Sets a cost in USD.
    #[inline(never)]
    pub fn cost(&mut self, value: Scalar<'_>, slot: fn(&mut WireCost) -> &mut Option<u64>) {
        self.set_cost(value, 1e9, 1.0, slot);
    }

    /// The cost in xAI's ticks: 10^10 are a dollar. 0 is ignored: Azure serves xAI's models, bills them itself and says 0.
    ///
    /// Spec: docs.x.ai/developers/cost-tracking.
    #[inline(never)]
    pub fn cost_in_ticks(&mut self, value: Scalar<'_>) {
        if value.float() != Some(0.0) {
            self.set_cost(value, 1.0, 10.0, |c| &mut c.cost);
        }
    }

    /// Sets that the client used its own key at the provider behind a relay, if `value` is true.
    pub fn uses_own_key(&mut self, value: Scalar<'_>) {
        self.counts.cost.uses_own_key = value.is_true();
    }

    /// Sets a cost to the value times `times` divided by `by`, in nano-dollars.
    fn set_cost(&mut self, value: Scalar<'_>, times: f64, by: f64, slot: fn(&mut WireCost) -> &mut Option<u64>) {
        if !self.check_limit(value, COST_LIMIT as f64 / times * by) {
            self.counts.cost.is_above_limit = true;
        } else if let Some(cost) = value.float().filter(|cost| *cost >= 0.0) {
            *slot(&mut self.counts.cost) = Some((cost * times / by).round() as u64);
        }
    }
}
