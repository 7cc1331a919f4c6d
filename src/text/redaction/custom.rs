//! The operator's own patterns: each is searched with a lazy DFA, so that a byte costs a few nanoseconds.
//!
//! Bound: the size of the automaton and of the cache of its states, both for each pattern.

use std::cell::RefCell;
use std::ops::Range;

use regex_automata::hybrid::dfa::{Config, DFA};
use regex_automata::hybrid::regex::{Builder, Cache, Regex};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Input, MatchKind, hybrid};
use regex_syntax::hir::Hir;

use super::syntax;

/// Most bytes of the automaton of a pattern, for each direction of the search.
const AUTOMATON: usize = 256 << 10;
/// Most bytes of states that are kept, for each direction. A pattern that needs more for its fewest states gets more.
const STATES: usize = 64 << 10;

/// A pattern of the operator's own.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    cache: RefCell<Cache>,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with the pattern, to be read after the name of its key.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let parsed = syntax::parse(pattern).map_err(|error| format!("is no pattern: {error}"))?;
        if parsed.properties().minimum_len() == Some(0) {
            return Err("matches nothing at all, which is everywhere".to_owned());
        }
        let forward = automaton(&parsed, false, MatchKind::LeftmostFirst)?;
        let reverse = automaton(&parsed, true, MatchKind::All)?;
        let regex = Builder::new().build_from_dfas(forward, reverse);
        let cache = RefCell::new(regex.create_cache());
        Ok(Pattern { regex, cache })
    }

    /// The leftmost match that starts at or after `from`. Never empty, and ends between characters.
    pub fn find(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        let mut cache = self.cache.try_borrow_mut().ok()?;
        match self.regex.try_search(&mut cache, &Input::new(text).range(from..)) {
            Ok(found) => found.map(|found| found.range()),
            // The configuration has no reason for a search to give up. If one does, no text gets out.
            Err(_) => (from < text.len()).then_some(from..text.len()),
        }
    }
}

fn automaton(parsed: &Hir, reverse: bool, matches: MatchKind) -> Result<DFA, String> {
    let limits =
        thompson::Config::new().nfa_size_limit(Some(AUTOMATON)).which_captures(WhichCaptures::None).reverse(reverse);
    let nfa = thompson::Compiler::new().configure(limits).build_from_hir(parsed);
    let nfa = nfa.map_err(|_| format!("is too large: more than {AUTOMATON} bytes once compiled"))?;
    let config = Config::new().match_kind(matches).cache_capacity(STATES).skip_cache_capacity_check(true);
    let dfa = hybrid::dfa::Builder::new().configure(config).build_from_nfa(nfa);
    dfa.map_err(|_| "needs too many states".to_owned())
}
