//! Token counts, counts of steps, quantities beside the tokens, and costs, as the response reports them.

use super::attempts::{Attempts, BilledAttempt};
use super::provider_tools::ProviderTools;
use super::{Draft, TokenCounts, TokenSlot, WireCost};
use crate::json::Scalar;
use crate::observation::{COST_LIMIT, COUNT_LIMIT, OtherQuantities, ParseError, Quantities, Unpriced, Usage};

/// Quantities that the response reports beside the token counts. Only the cost depends on them.
pub type UsageDetails = Quantities<'static>;

/// Everything that the response reports as used.
#[derive(Debug, Default)]
pub struct Counts {
    tokens: TokenCounts,
    cost: WireCost,
    /// Present if there are any. Most answers have none.
    details: Option<Box<UsageDetails>>,
    /// Present if the provider ran tools.
    provider_tools: Option<Box<ProviderTools>>,
    /// Present if the response has a list of attempts.
    attempts: Option<Box<Attempts>>,
    /// The counts that are 0 in the usage object that is being read, if an earlier count was kept.
    zeros: [Option<TokenSlot>; 3],
    /// True if the output count is only the count so far.
    output_is_preliminary: bool,
    /// Quantities that have no rate for any model.
    unpriced: Unpriced,
    /// True if the call used capacity that was paid for in advance.
    is_prepaid: bool,
    /// True if nothing is charged for the answer if it is empty.
    is_free_if_empty: bool,
    /// True if the answer is charged nevertheless.
    refusal_is_charged: bool,
}

impl Counts {
    /// Maximum heap memory, in bytes, without what [`Draft::keeps`] has reserved.
    pub const BOUND: usize = ProviderTools::BOUND + size_of::<UsageDetails>() + size_of::<OtherQuantities>();

    /// The response's own counts, without extra attempts. An output count that is only the count so far is left out, and an input
    /// count of 0 beside it.
    pub fn usage(&self) -> Usage {
        let mut tokens = self.tokens;
        if self.output_is_preliminary {
            tokens.output = None;
            tokens.input = tokens.input.filter(|input| *input > 0);
        }
        tokens.usage()
    }

    /// All tokens, as they are reported, but for those of a tool's own model. Sums can be above [`COUNT_LIMIT`].
    pub fn usage_of_all_attempts(&self) -> Usage {
        let attempts = self.extra_attempts().filter(|attempt| !attempt.is_by_tool());
        attempts.fold(self.usage(), |usage, attempt| usage.and(&attempt.usage))
    }

    /// The attempts that the response's own counts do not include.
    pub fn extra_attempts(&self) -> impl Iterator<Item = BilledAttempt> {
        self.attempts.iter().flat_map(|attempts| attempts.extra())
    }

    /// Returns the quantities that have no rate for any model, and those of attempts that cannot be priced.
    pub fn unpriced(&self) -> Unpriced {
        let mut unpriced =
            self.attempts.as_ref().map_or(self.unpriced, |attempts| attempts.unpriced().and(self.unpriced));
        if self.output_is_preliminary {
            unpriced.add(Unpriced::OUTPUT);
        }
        unpriced
    }

    /// Returns true if the call used capacity that was paid for in advance.
    pub fn is_prepaid(&self) -> bool {
        self.is_prepaid
    }

    /// Returns true if nothing is charged for the answer if it is empty.
    pub fn is_free_if_empty(&self) -> bool {
        self.is_free_if_empty && !self.refusal_is_charged
    }

    pub(super) fn provider_tools(&mut self) -> &mut ProviderTools {
        self.provider_tools.get_or_insert_default()
    }

    pub(super) fn provider_tools_if_any(&mut self) -> Option<&mut ProviderTools> {
        self.provider_tools.as_deref_mut()
    }

    fn details_mut(&mut self) -> &mut UsageDetails {
        self.details.get_or_insert_default()
    }

    pub(super) fn has_attempts(&self) -> bool {
        self.attempts.is_some()
    }

    pub(super) fn attempts(&mut self) -> &mut Attempts {
        self.attempts.get_or_insert_default()
    }

    /// The quantities beside the token counts.
    pub fn details(&self) -> UsageDetails {
        let mut details = self.details.as_deref().copied().unwrap_or_default();
        if let Some(tools) = &self.provider_tools {
            tools.add_to(&mut details);
        }
        details
    }

    /// The cost that the response reports, in nano-dollars, and true if it is an estimate.
    pub fn reported_cost(&self) -> Option<(u64, bool)> {
        let estimate = || Some((self.cost.estimate.filter(|_| !self.cost.is_above_limit)?, true));
        self.cost.total().map(|cost| (cost, false)).or_else(estimate)
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
        } else if let Some(free) = self.counts.zeros.iter_mut().find(|zero| zero.is_none()) {
            *free = Some(slot);
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

    /// Adds to the output, as [`Draft::add_input`].
    pub fn add_output(&mut self, value: Scalar<'_>) {
        let before = self.counts.tokens.output.take();
        self.count(value, |c| &mut c.output);
        let tokens = &mut self.counts.tokens;
        tokens.output = match (before, tokens.output) {
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

    /// Sets an output count that is only the count so far. It is not reported if the answer is cut before a later one.
    pub fn preliminary_output(&mut self, value: Scalar<'_>) {
        self.counts.output_is_preliminary = true;
        self.count(value, |c| &mut c.output);
    }

    /// Sets an output count that a preliminary one does not replace.
    pub fn final_output(&mut self, value: Scalar<'_>) {
        self.counts.output_is_preliminary = false;
        self.count(value, |c| &mut c.output);
    }

    /// A usage object ends. If it has a list of attempts, a count of 0 in it replaces an earlier count: that one belongs to
    /// another attempt.
    pub fn usage_closed(&mut self) {
        let zeros = core::mem::take(&mut self.counts.zeros);
        if self.counts.attempts.is_some() {
            for slot in zeros.into_iter().flatten() {
                *slot(&mut self.counts.tokens) = Some(0);
            }
        }
    }

    pub(super) fn checked_count(&mut self, value: Scalar<'_>) -> Option<u64> {
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
            *slot(self.counts.details_mut()) = count;
        }
    }

    /// Sets a quantity to the tokens of the open part.
    pub fn detail_from_part(&mut self, slot: fn(&mut UsageDetails) -> &mut u64) {
        let tokens = self.open.part.tokens;
        *slot(self.counts.details_mut()) = tokens;
    }

    /// The tokens of the open part, which is an entry of a list of counts.
    #[inline(never)]
    pub fn part_tokens(&mut self, value: Scalar<'_>) {
        self.check_limit(value, COUNT_LIMIT as f64);
        self.open.part.tokens = value.count().unwrap_or(0);
    }

    /// An entry of a list of counts by modality ends. `slots` are those of audio, images with documents, video, text and
    /// documents. A list replaces the one before it.
    #[inline(never)]
    pub fn modality_closed(&mut self, slots: fn(&mut UsageDetails) -> [Option<&mut u64>; 5]) {
        let part = core::mem::take(&mut self.open.part);
        let kinds: [&[&str]; 5] = [&["AUDIO"], &["IMAGE", "DOCUMENT"], &["VIDEO"], &["TEXT"], &["DOCUMENT"]];
        for (slot, kinds) in slots(self.counts.details_mut()).into_iter().zip(kinds) {
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
        let output = self.counts.tokens.output.unwrap_or(0);
        let details = self.counts.details_mut();
        if details.output_image == 0 {
            details.output_image = output;
        }
    }

    /// The service tier: one of OpenAI's names, or a word that ends in `_` and one. The last one counts, and one in the answer
    /// replaces one in the request. Another word means a tier without rates.
    #[inline(never)]
    pub fn service_tier(&mut self, value: Scalar<'_>) {
        const STANDARD: [&str; 8] = ["", "auto", "default", "standard", "demand", "ondemand", "none", "unspecified"];
        const PRICED: [&str; 4] = ["batch", "flex", "priority", "fast"];
        if let Scalar::Text(word) = value {
            let is = |tier: &&str| word.eq_ignore_ascii_case(tier) || ends_in_word(word, tier);
            self.counts.is_prepaid = PREPAID.iter().any(|tier| word.eq_ignore_ascii_case(tier));
            let is_standard = self.counts.is_prepaid || STANDARD.iter().any(is);
            let other = if is_standard { "" } else { "other" };
            let tier = PRICED.into_iter().find(|tier| is(tier)).unwrap_or(other);
            if !tier.is_empty() || self.counts.details.is_some() {
                self.counts.details_mut().tier = tier;
            }
        }
    }

    /// The region in which the model ran. Other words than those of price tables have no effect.
    pub fn place(&mut self, value: Scalar<'_>) {
        const PLACES: [&str; 4] = ["us", "eu", "regional", "global"];
        if let Scalar::Text(word) = value {
            let known = PLACES.into_iter().find(|place| word.eq_ignore_ascii_case(place)).unwrap_or_default();
            if !known.is_empty() || self.counts.details.is_some() {
                self.counts.details_mut().place = known;
            }
        }
    }

    /// The size of the context that a search gave to the model.
    pub fn search_context(&mut self, value: Scalar<'_>) {
        const SIZES: [&str; 3] = ["low", "medium", "high"];
        if let Scalar::Text(word) = value
            && let Some(size) = SIZES.into_iter().find(|size| *size == word)
        {
            self.counts.details_mut().search_context = size;
        }
    }

    /// Sets that nothing is charged for the answer if it is empty.
    pub fn free_if_empty(&mut self, is_free: bool) {
        self.counts.is_free_if_empty = is_free;
    }

    /// Sets that a refusal is charged, even if the answer is empty.
    pub fn refusal_is_charged(&mut self) {
        self.counts.refusal_is_charged = true;
    }

    /// Adds to a quantity that the response does not count.
    pub fn add_detail(&mut self, count: u64, slot: fn(&mut UsageDetails) -> &mut u64) {
        let sum = slot(self.counts.details_mut());
        *sum = sum.saturating_add(count).min(COUNT_LIMIT);
    }

    /// The usage has a number that no rule reads and that is not 0: the cost is only a part.
    pub fn unknown_usage(&mut self, value: Scalar<'_>) {
        if value.float().is_some_and(|number| number != 0.0) {
            self.counts.unpriced.add(Unpriced::USAGE);
        }
    }

    /// The length of audio, in seconds, which is rounded up. A length above [`COUNT_LIMIT`] is reported as [`ParseError::Number`].
    #[inline(never)]
    pub fn audio_seconds(&mut self, value: Scalar<'_>) {
        self.check_limit(value, COUNT_LIMIT as f64);
        if let Some(seconds) = value.float().filter(|seconds| (0.0..=COUNT_LIMIT as f64).contains(seconds)) {
            self.counts.details_mut().audio_seconds = seconds.ceil() as u64;
        }
    }

    /// Sets the shortest length of audio that is billed, in seconds, if there is audio.
    pub fn audio_seconds_at_least(&mut self, seconds: u64) {
        if let Some(details) = self.counts.details.as_mut().filter(|details| details.audio_seconds > 0) {
            details.audio_seconds = details.audio_seconds.max(seconds);
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

/// Values of service tiers that mean capacity that was paid for in advance. OpenAI: scale tier. Vertex AI: `trafficType`. Amazon
/// Bedrock: reserved tier.
const PREPAID: [&str; 3] = ["scale", "provisioned_throughput", "reserved"];

/// Returns true if `word` ends in `_` and `end`.
fn ends_in_word(word: &str, end: &str) -> bool {
    let rest = word.len().checked_sub(end.len()).and_then(|at| word.split_at_checked(at));
    rest.is_some_and(|(start, tail)| !end.is_empty() && start.ends_with('_') && tail.eq_ignore_ascii_case(end))
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
