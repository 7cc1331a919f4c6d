//! The operator's own patterns: each is searched with a lazy DFA, so that a byte costs a few nanoseconds.
//!
//! Patterns are read as bytes: `.` is one byte, and classes and `(?i)` know ASCII only. So the plugin needs no Unicode tables.
//! Bound: the size of the automaton and of the cache of its states, both for each pattern, and the time of a search.

use std::cell::RefCell;
use std::ops::Range;

use regex_automata::hybrid::dfa::{Config, DFA};
use regex_automata::hybrid::regex::{Builder, Cache, Regex};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Input, MatchKind, hybrid};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;

/// Most bytes of the automaton of a pattern, for each direction of the search.
const AUTOMATON: usize = 256 << 10;
/// Most bytes of states that are kept, for each direction. A pattern that needs more for its fewest states gets more.
const STATES: usize = 64 << 10;

/// Times that a search may empty the cache of states before it must make progress.
const CLEARS: usize = 3;
/// Bytes that a search reads for each new state, after that. Below it the search gives up.
const PROGRESS: usize = 10;
/// Most groups inside of each other.
const NESTING: u32 = 50;

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
        let mut parser = ParserBuilder::new().unicode(false).utf8(false).nest_limit(NESTING).build();
        let parsed =
            parser.parse(pattern).map_err(|error| format!("is not a valid regular expression: {}", reason(&error)))?;
        if parsed.properties().minimum_len() == Some(0) {
            return Err("matches the empty text; write a pattern that needs at least one character".to_owned());
        }
        let forward = automaton(&parsed, false, MatchKind::LeftmostFirst)?;
        let reverse = automaton(&parsed, true, MatchKind::All)?;
        let regex = Builder::new().build_from_dfas(forward, reverse);
        let cache = RefCell::new(regex.create_cache());
        Ok(Pattern { regex, cache })
    }

    /// The leftmost match that starts at or after `from`, extended to whole characters. Never empty. If the search gives up,
    /// the rest of the text is the match, so that nothing gets out.
    pub fn find(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        let mut cache = self.cache.try_borrow_mut().ok()?;
        let found = match self.regex.try_search(&mut cache, &Input::new(text).range(from..)) {
            Ok(found) => found?.range(),
            Err(_) => from..text.len(),
        };
        let is_inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let start = (from..=found.start).rev().find(|at| !is_inside(*at)).unwrap_or(found.start);
        let end = (found.end..text.len()).find(|at| !is_inside(*at)).unwrap_or(text.len());
        (start < end).then_some(start..end)
    }
}

/// What is wrong, in one line: the error itself draws the pattern and marks the place.
fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        _ => "its syntax is not known".to_owned(),
    }
}

fn automaton(parsed: &Hir, reverse: bool, matches: MatchKind) -> Result<DFA, String> {
    let limits =
        thompson::Config::new().nfa_size_limit(Some(AUTOMATON)).which_captures(WhichCaptures::None).reverse(reverse);
    let nfa = thompson::Compiler::new().configure(limits).build_from_hir(parsed);
    let nfa = nfa.map_err(|_| format!("is too large: more than {AUTOMATON} bytes once compiled"))?;
    let config = Config::new().match_kind(matches).cache_capacity(STATES).skip_cache_capacity_check(true);
    let config = config.minimum_cache_clear_count(Some(CLEARS)).minimum_bytes_per_state(Some(PROGRESS));
    let dfa = hybrid::dfa::Builder::new().configure(config).build_from_nfa(nfa);
    dfa.map_err(|_| "needs too many states".to_owned())
}
