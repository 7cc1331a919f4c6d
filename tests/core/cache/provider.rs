//! A provider that caches prefixes as the documents say: OpenAI in steps of 128 tokens, Anthropic up to marks, Gemini without a count of 0.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::sessions::{Api, Session};

/// The counts that an answer reports.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub input: u64,
    pub read: u64,
    pub written: u64,
}

pub struct Provider {
    api: Api,
    /// When each prefix was used last, in seconds.
    cached: HashMap<u64, u64>,
}

impl Provider {
    pub fn new(api: Api) -> Self {
        Provider { api, cached: HashMap::new() }
    }

    /// Reads the request of a turn, and caches it.
    pub fn count(&mut self, session: &Session, turn: usize, at: u64) -> Counts {
        let (minimum, kept_for) = match self.api {
            Api::Gemini => (2048, 3600),
            _ => (1024, 300),
        };
        self.cached.retain(|_, used| at - *used <= kept_for && session.forgets != turn);
        let mut hasher = DefaultHasher::new();
        let (mut counts, mut prefixes) = (Counts::default(), Vec::new());
        for part in session.parts(turn) {
            part.hash(&mut hasher);
            counts.input += part.len() as u64 / 4;
            prefixes.push((hasher.finish(), counts.input));
            if self.cached.contains_key(&hasher.finish()) {
                counts.read = counts.input;
            }
        }
        let marks = [Session::PARTS_BEFORE_MESSAGES, prefixes.len()];
        for (at_part, (prefix, tokens)) in prefixes.iter().enumerate() {
            let is_cached = self.api != Api::Anthropic || marks.contains(&(at_part + 1));
            if is_cached && *tokens >= minimum {
                self.cached.insert(*prefix, at);
                counts.written = tokens.saturating_sub(counts.read);
            }
        }
        if self.api.counts_in_steps() {
            counts.read -= counts.read % 128;
        }
        counts
    }
}
