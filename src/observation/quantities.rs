//! What an exchange used, in the units that prices count.

use super::Usage;

/// What an exchange used, as finely as prices tell it apart. Every part is also in its whole; unknown is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantities<'a> {
    /// All input tokens.
    pub input: u64,
    /// Input read from a cache.
    pub cached: u64,
    /// Input written to a cache, for however long.
    pub cache_write: u64,
    /// Input written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Speech and sound of the input.
    pub input_audio: u64,
    /// That of it which was read from a cache.
    pub cached_audio: u64,
    /// Images of the input.
    pub input_image: u64,
    /// Those of them which were read from a cache.
    pub cached_image: u64,
    /// Video of the input.
    pub input_video: u64,
    /// All output tokens.
    pub output: u64,
    /// Output spent on reasoning.
    pub reasoning: u64,
    /// Output spent on citations.
    pub citations: u64,
    /// Speech and sound of the output.
    pub output_audio: u64,
    /// Images of the output.
    pub output_image: u64,
    /// Video of the output.
    pub output_video: u64,
    /// Searches of the web that the provider ran.
    pub web_searches: u64,
    /// Searches in stored files that the provider ran.
    pub file_searches: u64,
    /// Length of sound that is paid by its time.
    pub audio_seconds: u64,
    /// It is a further step of a call, which is one request.
    pub further: bool,
    /// `batch`, `flex`, `priority` or `fast`, if the answer came so; anything else is the standard.
    pub tier: &'a str,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl Quantities<'_> {
    /// The same with the tokens of a usage.
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

    /// The same with no part larger than its whole, as some wires say: no token is paid twice.
    pub fn consistent(mut self) -> Self {
        within(self.input, &mut [&mut self.cached, &mut self.cache_write]);
        within(self.cache_write, &mut [&mut self.cache_write_1h]);
        within(self.input, &mut [&mut self.input_audio, &mut self.input_image, &mut self.input_video]);
        within(self.output, &mut [&mut self.reasoning, &mut self.citations]);
        within(self.output, &mut [&mut self.output_audio, &mut self.output_image, &mut self.output_video]);
        // What does not fit beside the cached tokens is among them.
        let room = self.input - self.cached - self.cache_write;
        let spare = room.saturating_sub(self.input_image.saturating_sub(self.cached_image));
        self.cached_audio = self.cached_audio.max(self.input_audio.saturating_sub(spare)).min(self.input_audio);
        let spare = room.saturating_sub(self.input_audio - self.cached_audio);
        self.cached_image = self.cached_image.max(self.input_image.saturating_sub(spare)).min(self.input_image);
        within(self.cached, &mut [&mut self.cached_audio, &mut self.cached_image]);
        self
    }
}

/// Cuts parts that are apart from each other to what their whole has room for.
#[inline(never)]
fn within(whole: u64, parts: &mut [&mut u64]) {
    let mut left = whole;
    for part in parts {
        **part = left.min(**part);
        left -= **part;
    }
}
