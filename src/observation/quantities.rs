//! The quantities that prices are applied to.

use super::{Text, Usage};

/// The quantities that an exchange used, in the units of price tables. Every part is also included in its whole; an unknown quantity is 0.
/// Quantities are tokens if nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantities<'a> {
    /// All input.
    pub input: u64,
    /// Input that was read from a cache.
    pub cached: u64,
    /// Input that was written to a cache, for any duration.
    pub cache_write: u64,
    /// Input that was written to a cache for one hour.
    pub cache_write_1h: u64,
    /// Text input, if it is reported. It has no price of its own.
    pub input_text: u64,
    /// Text input that was read from a cache, likewise.
    pub cached_text: u64,
    /// Audio input.
    pub input_audio: u64,
    /// Audio input that was read from a cache.
    pub cached_audio: u64,
    /// Image input, and documents, which cost the same.
    pub input_image: u64,
    /// Image input that was read from a cache, and documents.
    pub cached_image: u64,
    /// Documents in the image input.
    pub input_document: u64,
    /// Documents in the image input that was read from a cache.
    pub cached_document: u64,
    /// Video input.
    pub input_video: u64,
    /// All output.
    pub output: u64,
    /// Output that was spent on reasoning.
    pub reasoning: u64,
    /// Output that was spent on citations.
    pub citations: u64,
    /// Text output, if it is reported. It has no price of its own.
    pub output_text: u64,
    /// Audio output.
    pub output_audio: u64,
    /// Image output.
    pub output_image: u64,
    /// Video output.
    pub output_video: u64,
    /// Number of web searches that the provider ran.
    pub web_searches: u64,
    /// Number of searches in stored files that the provider ran.
    pub file_searches: u64,
    /// Seconds of audio that is billed by its duration.
    pub audio_seconds: u64,
    /// Units of a search, as rerankers bill them.
    pub search_units: u64,
    /// Characters of text that is billed by its length, such as that of speech.
    pub characters: u64,
    /// Pages of documents.
    pub pages: u64,
    /// Generated images that are billed by their number.
    pub images: u64,
    /// Number of times that the provider ran code.
    pub code_runs: u64,
    /// Number of searches in maps that the provider ran.
    pub maps_searches: u64,
    /// Number of pages that the provider retrieved.
    pub web_fetches: u64,
    /// These quantities belong to a call whose price per request is already counted.
    pub further: bool,
    /// Service tier of the answer, such as `batch`, `flex`, `priority` or `fast`. Empty for the standard tier.
    pub tier: &'a str,
    /// Region in which the model ran, such as `us`. Empty if it does not change the price.
    pub place: &'a str,
    /// Size of the context that a search gives to the model: `low`, `medium` or `high`. Empty if it does not change the price.
    pub search_context: &'a str,
    /// Time of the exchange, in seconds since 1970.
    pub at: u64,
}

/// What an exchange used beside its token counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OtherQuantities {
    /// Text input, in tokens; 0 also if it is not reported.
    pub input_text: u64,
    /// Text input that was read from a cache, in tokens; 0 also if it is not reported.
    pub cached_text: u64,
    /// Text output, in tokens; 0 also if it is not reported.
    pub output_text: u64,
    /// Audio input, in tokens.
    pub input_audio: u64,
    /// Audio input that was read from a cache, in tokens.
    pub cached_audio: u64,
    /// Audio output, in tokens.
    pub output_audio: u64,
    /// Image input, in tokens, without documents.
    pub input_image: u64,
    /// Image input that was read from a cache, in tokens, without documents.
    pub cached_image: u64,
    /// Image output, in tokens.
    pub output_image: u64,
    /// Number of web searches that the provider ran.
    pub web_searches: u64,
    /// Number of pages that the provider retrieved.
    pub web_fetches: u64,
    /// Number of searches in stored files that the provider ran.
    pub file_searches: u64,
    /// Number of searches in maps that the provider ran.
    pub maps_searches: u64,
    /// Number of times that the provider ran code.
    pub code_runs: u64,
    /// The models of attempts that the answer's own counts do not include.
    pub attempt_models: Vec<Text>,
}

impl OtherQuantities {
    /// The reported ones of these quantities, and the models of attempts.
    pub fn of(used: &Quantities<'_>, attempt_models: Vec<Text>) -> Self {
        OtherQuantities {
            input_text: used.input_text,
            cached_text: used.cached_text,
            output_text: used.output_text,
            input_audio: used.input_audio,
            cached_audio: used.cached_audio,
            output_audio: used.output_audio,
            input_image: used.input_image.saturating_sub(used.input_document),
            cached_image: used.cached_image.saturating_sub(used.cached_document),
            output_image: used.output_image,
            web_searches: used.web_searches,
            web_fetches: used.web_fetches,
            file_searches: used.file_searches,
            maps_searches: used.maps_searches,
            code_runs: used.code_runs,
            attempt_models,
        }
    }

    /// Adds the quantities of another exchange, without the models of its attempts.
    pub fn add(&mut self, more: &OtherQuantities) {
        let sums = [
            (&mut self.input_text, more.input_text),
            (&mut self.cached_text, more.cached_text),
            (&mut self.output_text, more.output_text),
            (&mut self.input_audio, more.input_audio),
            (&mut self.cached_audio, more.cached_audio),
            (&mut self.output_audio, more.output_audio),
            (&mut self.input_image, more.input_image),
            (&mut self.cached_image, more.cached_image),
            (&mut self.output_image, more.output_image),
            (&mut self.web_searches, more.web_searches),
            (&mut self.web_fetches, more.web_fetches),
            (&mut self.file_searches, more.file_searches),
            (&mut self.maps_searches, more.maps_searches),
            (&mut self.code_runs, more.code_runs),
        ];
        for (sum, count) in sums {
            *sum = sum.saturating_add(count);
        }
    }
}

impl Quantities<'_> {
    /// These quantities with the token counts of `usage`.
    pub fn with(self, usage: &Usage) -> Self {
        let known = Option::unwrap_or_default;
        Quantities {
            input: known(usage.input),
            cached: known(usage.cache_read),
            cache_write: known(usage.cache_creation),
            output: known(usage.output),
            reasoning: known(usage.reasoning),
            ..self
        }
    }

    /// Returns true if there are tokens.
    pub fn has_tokens(&self) -> bool {
        self.input > 0 || self.output > 0
    }

    /// Returns true if there is a quantity that is neither tokens nor the call of a tool.
    pub fn has_other_units(&self) -> bool {
        [self.audio_seconds, self.search_units, self.characters, self.pages, self.images].iter().any(|count| *count > 0)
    }

    /// These quantities with no part larger than its whole, so that no token is billed twice. Some responses have such parts.
    pub fn consistent(mut self) -> Self {
        within(self.input, &mut [&mut self.cached, &mut self.cache_write]);
        within(self.cache_write, &mut [&mut self.cache_write_1h]);
        within(self.input, &mut [&mut self.input_audio, &mut self.input_image, &mut self.input_video]);
        within(self.output, &mut [&mut self.reasoning, &mut self.citations]);
        within(self.output, &mut [&mut self.output_audio, &mut self.output_image, &mut self.output_video]);
        // Audio and image tokens that exceed the uncached input must be cached ones.
        let room = self.input - self.cached - self.cache_write;
        let spare = room.saturating_sub(self.input_image.saturating_sub(self.cached_image));
        self.cached_audio = self.cached_audio.max(self.input_audio.saturating_sub(spare)).min(self.input_audio);
        let spare = room.saturating_sub(self.input_audio - self.cached_audio);
        self.cached_image = self.cached_image.max(self.input_image.saturating_sub(spare)).min(self.input_image);
        within(self.cached, &mut [&mut self.cached_audio, &mut self.cached_image]);
        self
    }
}

/// Reduces disjoint parts so that their sum is at most `whole`. Earlier parts have precedence.
#[inline(never)]
fn within(whole: u64, parts: &mut [&mut u64]) {
    let mut left = whole;
    for part in parts {
        **part = left.min(**part);
        left -= **part;
    }
}
