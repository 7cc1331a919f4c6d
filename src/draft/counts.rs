//! Token counts and costs, from each API's way of counting to the one that is reported.

use super::{Draft, Used};
use crate::json::Scalar;
use crate::observation::{COST_LIMIT, COUNT_LIMIT, Trouble, Usage};

/// Token counts before they are normalised; which are parts of which depends on the API.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Input.
    pub input: Option<u64>,
    /// Output.
    pub output: Option<u64>,
    /// Read from a cache.
    pub cache_read: Option<u64>,
    /// Written to a cache.
    pub cache_write: Option<u64>,
    /// Reasoning.
    pub reasoning: Option<u64>,
    /// Input of provider-run tools that the input count leaves out.
    pub tool_input: Option<u64>,
    /// The provider's own total.
    pub total: Option<u64>,
    /// Input and output once more, in other words (headers, a second object): used where the first are missing.
    pub spare_input: Option<u64>,
    /// See `spare_input`.
    pub spare_output: Option<u64>,
    /// See `spare_input`, which leaves them out: used with it only.
    pub spare_cache_read: Option<u64>,
    /// See `spare_cache_read`.
    pub spare_cache_write: Option<u64>,
    /// The cost as the provider itself says it, in nano-dollars.
    pub cost: Option<u64>,
    /// The cost as who serves it for a relay says it, in nano-dollars.
    pub upstream_cost: Option<u64>,
    /// One of the two costs was above [`COST_LIMIT`], so neither is reported.
    pub cost_absurd: bool,
    /// The client's own key was used there, so that the relay's cost leaves it out (OpenRouter).
    pub own_key: bool,
    /// Cached input stands beside the input, not in it (Anthropic, Bedrock).
    pub cache_beside: bool,
    /// Reasoning stands beside the output, not in it (Gemini).
    pub thoughts_beside: bool,
}

/// Steps of an answer that have counts of their own (Anthropic).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// Those of the step being read, its input without what was cached.
    pub open: Usage,
    /// Those that the message's counts leave out, in the form that is reported.
    pub beside: Usage,
}

impl Counts {
    /// The cost as the answer itself says it, in nano-dollars, at most twice [`COST_LIMIT`].
    pub fn reported_cost(&self) -> Option<u64> {
        if self.cost_absurd {
            return None;
        }
        let upstream = self.upstream_cost.filter(|_| self.own_key);
        self.cost.map(|cost| cost.saturating_add(upstream.unwrap_or(0))).or(upstream)
    }

    /// Normalises: input with what was cached, output with reasoning. A part larger than its whole (Azure-hosted Grok says
    /// 161 cached of 7; Cohere bills 11 of 506, of which 448 were cached) is told as it came.
    #[inline(never)]
    pub fn settle(&self) -> Usage {
        let sum = |a: Option<u64>, b: Option<u64>| a.map(|a| a.saturating_add(b.unwrap_or(0)));
        let spare = self.input.is_none();
        let mut usage = Usage {
            input: self.input.or(self.spare_input),
            output: self.output.or(self.spare_output),
            cache_read: self.cache_read.or(self.spare_cache_read.filter(|_| spare)),
            cache_creation: self.cache_write.or(self.spare_cache_write.filter(|_| spare)),
            reasoning: self.reasoning,
        };
        let spare_cache = self.spare_cache_read.is_some() || self.spare_cache_write.is_some();
        if self.cache_beside || spare && spare_cache {
            usage.input = sum(sum(usage.input, usage.cache_read), usage.cache_creation);
        }
        usage.input = sum(usage.input, self.tool_input);
        let without = sum(usage.input, usage.output);
        if self.thoughts_beside {
            // The total tells where the output already holds the thoughts.
            if self.reasoning.is_some() && (without.is_none() || without != self.total) {
                usage.output = sum(usage.output.or(Some(0)), self.reasoning);
            }
        } else if self.total.is_some() && self.total == sum(without, self.reasoning) {
            // xAI's reasoning is beside the output, which only its total shows.
            usage.output = sum(usage.output, self.reasoning);
        }
        usage
    }
}

impl Draft {
    /// Sets a count: the last one given stays. Null changes nothing. Anything else that is no count changes nothing and is
    /// reported as [`Trouble::Number`].
    #[inline(never)]
    pub fn count(&mut self, value: Scalar<'_>, slot: fn(&mut Counts) -> &mut Option<u64>) {
        if let Some(count) = self.counted(value) {
            *slot(&mut self.counts) = Some(count);
        }
    }

    /// A count of the step being read.
    #[inline(never)]
    pub fn step(&mut self, value: Scalar<'_>, slot: fn(&mut Usage) -> &mut Option<u64>) {
        let count = self.counted(value);
        *slot(&mut self.steps.get_or_insert_default().open) = count;
    }

    fn counted(&mut self, value: Scalar<'_>) -> Option<u64> {
        let count = value.count();
        if count.is_none() && value != Scalar::Null {
            self.seen.trouble.add(Trouble::Number);
        }
        count
    }

    /// As [`Draft::count`], but 0 does not replace a count already seen.
    #[inline(never)]
    pub fn count_up(&mut self, value: Scalar<'_>, slot: fn(&mut Counts) -> &mut Option<u64>) {
        if value.count() != Some(0) || slot(&mut self.counts).is_none() {
            self.count(value, slot);
        }
    }

    /// Sets a finer count: the last one that is not 0 stays. What is no count changes nothing; only a number above
    /// [`COUNT_LIMIT`] is reported as [`Trouble::Number`].
    #[inline(never)]
    pub fn detail(&mut self, value: Scalar<'_>, slot: fn(&mut Used) -> &mut u64) {
        self.bounded(value, COUNT_LIMIT as f64);
        if let Some(count) = value.count().filter(|count| *count > 0) {
            *slot(&mut self.used) = count;
        }
    }

    /// Sets the tokens of the list's entry being read, see [`Draft::modality`].
    #[inline(never)]
    pub fn part_tokens(&mut self, value: Scalar<'_>) {
        self.bounded(value, COUNT_LIMIT as f64);
        self.open.part.tokens = value.count().unwrap_or(0);
    }

    /// Whether a number is not above `limit`; one that is, is reported as [`Trouble::Number`].
    fn bounded(&mut self, value: Scalar<'_>, limit: f64) -> bool {
        let exceeds = value.exceeds(limit);
        if exceeds {
            self.seen.trouble.add(Trouble::Number);
        }
        !exceeds
    }

    /// An entry of a list of counts is over, which says its kind and its tokens in any order. A list replaces the one
    /// before it; text is what the others leave.
    #[inline(never)]
    pub fn modality(&mut self, slots: fn(&mut Used) -> [Option<&mut u64>; 3]) {
        let part = core::mem::take(&mut self.open.part);
        let kinds: [&[&str]; 3] = [&["AUDIO"], &["IMAGE", "DOCUMENT"], &["VIDEO"]];
        for (slot, kinds) in slots(&mut self.used).into_iter().zip(kinds) {
            let Some(slot) = slot else { continue };
            if part.index == 0 {
                *slot = 0;
            }
            if kinds.iter().any(|kind| part.kind.as_str().eq_ignore_ascii_case(kind)) {
                *slot = slot.saturating_add(part.tokens).min(COUNT_LIMIT);
            }
        }
    }

    /// The tier the answer came at, in OpenAI's word or one that ends in it: the last one said.
    #[inline(never)]
    pub fn tier(&mut self, value: Scalar<'_>) {
        if let Scalar::Text(word) = value {
            let word = word.rsplit('_').next().unwrap_or_default();
            let priced = ["batch", "flex", "priority", "fast"];
            let tier = priced.into_iter().find(|tier| word.eq_ignore_ascii_case(tier)).unwrap_or_default();
            self.used.tier = tier;
        }
    }

    /// Sets the length of sound, in seconds begun. A length above [`COUNT_LIMIT`] is reported as [`Trouble::Number`].
    #[inline(never)]
    pub fn seconds(&mut self, value: Scalar<'_>) {
        self.bounded(value, COUNT_LIMIT as f64);
        if let Some(seconds) = value.float().filter(|seconds| (0.0..=COUNT_LIMIT as f64).contains(seconds)) {
            self.used.audio_seconds = seconds.ceil() as u64;
        }
    }

    /// Sets a cost in USD as the provider itself says it. A cost above [`COST_LIMIT`] is reported as [`Trouble::Number`].
    #[inline(never)]
    pub fn cost(&mut self, value: Scalar<'_>, slot: fn(&mut Counts) -> &mut Option<u64>) {
        self.costs(value, 1e9, 1.0, slot);
    }

    /// Sets the same in xAI's ticks, of which a dollar has 10^10. Azure serves xAI's models, bills them itself and says 0.
    ///
    /// Spec: docs.x.ai/developers/cost-tracking.
    #[inline(never)]
    pub fn ticks(&mut self, value: Scalar<'_>) {
        if value.float() != Some(0.0) {
            self.costs(value, 1.0, 10.0, |c| &mut c.cost);
        }
    }

    /// Sets a cost, which in nano-dollars is the value times `times` divided by `by`.
    fn costs(&mut self, value: Scalar<'_>, times: f64, by: f64, slot: fn(&mut Counts) -> &mut Option<u64>) {
        if !self.bounded(value, COST_LIMIT as f64 / times * by) {
            self.counts.cost_absurd = true;
        } else if let Some(cost) = value.float().filter(|cost| *cost >= 0.0) {
            *slot(&mut self.counts) = Some((cost * times / by).round() as u64);
        }
    }

    /// Adds to the input, for answers that count each part of it.
    pub fn add_input(&mut self, value: Scalar<'_>) {
        let before = self.counts.input.take();
        self.count(value, |c| &mut c.input);
        self.counts.input = match (before, self.counts.input) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
    }
}
